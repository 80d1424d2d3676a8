"""The classical method without a scale: constants follow from the picture's own particles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanolake.records import Segmentation
from nanolake.segment.annotation import blank_zones, find_print, printed_labels, touching
from nanolake.segment.edges import place_edges
from nanolake.segment.foreground import Foreground, find_foreground, foreground_at
from nanolake.segment.instances import areas_of, keep_particles, typical_area
from nanolake.segment.polarity import describe_phase, reduced
from nanolake.segment.regions import fill_holes, opened
from nanolake.segment.settings import SegmentSettings
from nanolake.segment.split import distance_inside, split_touching
from nanolake.segment.threads import at_once

Grey = NDArray[np.float32]

_SHARE = 0.6
_SMOOTHING = 0.025
_OPENING = 0.06
_HEIGHT_PX = 0.75
_HEIGHT = 0.01
_SETTLED = 0.25
_LARGEST_OPENING_PX = 40
_POLARITY_PX = 512


def threshold(grey: Grey, settings: SegmentSettings) -> Segmentation:
    """Find particles by one level of grey, part touching ones, take out what is none.

    ``grey`` is (y, x) float32 in 0 … 1. Two passes: the first finds the particles' typical size
    in this picture, the second smooths, opens and parts them in proportion to it.
    """
    zones = blank_zones(grey) if settings.remove_print else None
    clean = grey if zones is None else zones.blanked
    polarity: str = settings.polarity
    if polarity == "auto":
        polarity = find_polarity(clean, settings.neck)
    bright = clean if polarity == "bright" else 1 - clean
    (labels, scale), print_boxes = at_once(
        lambda: pieces(bright, settings.neck),
        lambda: find_print(bright) if settings.remove_print else [],
    )
    cut = touching(labels, zones) if zones is not None else None
    found = scale.foreground
    drawn = place_edges(labels, bright, found.background, found.sigma_px)
    printed = printed_labels(labels, print_boxes)
    kept, excluded = keep_particles(labels, settings, printed, cut, drawn=drawn)
    if zones is not None:
        excluded["print"] += zones.count
    return Segmentation(labels=kept, polarity=polarity, method="threshold", excluded=excluded)


def find_polarity(grey: Grey, neck: float) -> str:
    """Tell ``dark`` from ``bright`` particles by the shapes of both phases."""
    small = reduced(grey, _POLARITY_PX)
    dark, bright = at_once(
        lambda: describe_phase(pieces(1 - small, neck)[0]).likeness(),
        lambda: describe_phase(pieces(small, neck)[0]).likeness(),
    )
    return "bright" if bright > dark else "dark"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the passes found out about a picture."""

    diameter_px: float
    """Typical equivalent diameter, 0 without particles."""
    foreground: Foreground


def pieces(bright: Grey, neck: float) -> tuple[NDArray[np.int32], Scale]:
    """Label everything that stands out bright, touching particles parted, nothing taken out."""
    found = find_foreground(bright, _SHARE)
    labels = split_touching(
        distance_inside(opened(found.mask, 1), exact=False), height_px=_HEIGHT_PX, relative=neck
    )
    area = typical_area(areas_of(labels))
    for _ in range(2):
        if area <= 0:
            break
        expected = area
        labels, found = _second_pass(bright, found, area, neck)
        area = typical_area(areas_of(labels))
        if abs(area - expected) < _SETTLED * expected:
            break
    return labels, Scale(diameter_px=_diameter(area), foreground=found)


def _second_pass(
    bright: Grey, first: Foreground, area: float, neck: float
) -> tuple[NDArray[np.int32], Foreground]:
    diameter = _diameter(area)
    sigma = max(0.7, _SMOOTHING * diameter, first.sigma_px if first.sigma_px > 1 else 0)
    found = foreground_at(bright, sigma, _SHARE)
    mask = fill_holes(found.mask, area)
    radius = min(max(_OPENING * diameter, 1 if diameter > 6 else 0), _LARGEST_OPENING_PX)
    depth = distance_inside(opened(mask, radius), exact=False)
    height = max(_HEIGHT_PX, _HEIGHT * diameter)
    return split_touching(depth, height_px=height, relative=neck), found


def _diameter(area: float) -> float:
    return float(np.sqrt(4 * area / np.pi))
