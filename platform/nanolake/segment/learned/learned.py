"""The learned method: maps of a network at several scales, decoded into particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.records import Segmentation
from nanolake.segment.annotation import Boxes, find_print, printed_labels
from nanolake.segment.connected import connected
from nanolake.segment.instances import areas_of, first_pixels, keep_particles
from nanolake.segment.learned.decode import (
    PRINT,
    Candidates,
    Decoding,
    candidates,
    enlarged,
    filled,
    highest_near,
    merged,
    without,
)
from nanolake.segment.learned.outline import fitted_edges
from nanolake.segment.settings import SegmentSettings
from nanolake.segment.threads import at_once

Grey = NDArray[np.float32]
Labels = NDArray[np.int32]

ZOOMS = (1.0, 0.5, 0.25, 0.125)
"""Scales at which the network looks at a picture."""
_LEAST_SIDE_PX = 40
_PRINT = 0.5
_LEAST_PRINT_PX = 30
_RING_PX = 3


class Maps(Protocol):
    """What gives the maps (4, y, x) of a picture: a `MapModel`."""

    def maps(self, grey: Grey) -> Grey:
        """Return particle, print, distance and overlap in 0 … 1 for grey (y, x) in 0 … 1."""
        ...


_RULE = Decoding()
_NEGATIVE = {"dark": "bright", "bright": "dark", "auto": "auto"}
_SAMPLED_FROM = 65_536


def learned(grey: Grey, settings: SegmentSettings) -> Segmentation:
    """Find particles with the network of the settings; ``grey`` is (y, x) float32 in 0 … 1."""
    from nanolake.segment.learned.model import load_model

    threads = max(1, cv2.getNumThreads())
    return segment_with(load_model(settings.weights, threads=threads), grey, settings)


def segment_with(
    model: Maps, grey: Grey, settings: SegmentSettings, rule: Decoding = _RULE
) -> Segmentation:
    """Find particles with any network: its maps at each of `ZOOMS`, decoded and joined.

    A picture and its negative are the same question and get the same answer: of the two the one
    with its tail of grey values on the dark side is looked at.
    """
    if not _bright_tail(grey):
        return _find(model, grey, settings, rule)
    turned = settings.model_copy(update={"polarity": _NEGATIVE[settings.polarity]})
    found = _find(model, 1 - grey, turned, rule)
    return replace(found, polarity=_NEGATIVE[found.polarity])


def _bright_tail(grey: Grey) -> bool:
    """Return whether the grey values' third central moment is above 0."""
    sample = grey[::4, ::4] if grey.size > _SAMPLED_FROM else grey
    apart = sample.astype(np.float64) - sample.mean(dtype=np.float64)
    return bool((apart * apart * apart).mean() > 0.0)


def _find(model: Maps, grey: Grey, settings: SegmentSettings, rule: Decoding) -> Segmentation:
    rule = replace(rule, least=settings.min_confidence)
    fine, coarse = at_once(
        lambda: maps_by_zoom(model, grey, ZOOMS[:1]),
        lambda: competing(maps_by_zoom(model, grey, ZOOMS[1:]), rule),
    )
    printed = fine[1.0][PRINT] > _PRINT
    found, marks = at_once(
        lambda: decoded(fine, rule, coarse),
        lambda: _Marks.of(grey, printed) if settings.remove_print else None,
    )
    found = without(found, found.confidence < settings.min_confidence)
    height = heights(grey, found.labels)
    polarity = _polarity(settings, found, height)
    found = without(found, height < 0 if polarity == "bright" else height > 0)
    drawn = _drawn(found.labels, grey, polarity, settings)
    on_print = None if marks is None else marks.hit(found)
    kept, excluded = keep_particles(found.labels, settings, on_print, drawn=drawn)
    if marks is not None:
        excluded["print"] += marks.count
    number = _numbers_of(kept, drawn)
    return Segmentation(
        labels=kept,
        polarity=polarity,
        method="learned",
        excluded=excluded,
        confidence=found.confidence[number],
        overlap=found.overlap[number],
    )


def maps_by_zoom(model: Maps, grey: Grey, zooms: Sequence[float] = ZOOMS) -> dict[float, Grey]:
    """Run the network at every scale at which the picture is large enough; 1 always."""
    maps = {}
    for zoom in zooms:
        if zoom == 1.0 or zoom * min(grey.shape) >= _LEAST_SIDE_PX:
            maps[zoom] = model.maps(_zoomed(grey, zoom))
    return maps


def _zoomed(grey: Grey, zoom: float) -> Grey:
    if zoom == 1.0:
        return grey
    size = round(grey.shape[1] * zoom), round(grey.shape[0] * zoom)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def decoded(
    maps: Mapping[float, Grey], rule: Decoding, coarser: Candidates | None = None
) -> Candidates:
    """Decode each scale, from coarse to fine, and keep the best answer at each place.

    ``coarser``: what is known from scales before these.
    """
    found = competing(maps, rule, coarser)
    assert found is not None, "a picture is looked at on one scale at least"
    return replace(found, labels=filled(found.labels))


def competing(
    maps: Mapping[float, Grey], rule: Decoding, found: Candidates | None = None
) -> Candidates | None:
    """As `decoded`, with the cores of hollow particles still open; None without any scale."""
    for zoom in sorted(maps):
        fine = candidates(maps[zoom], rule, coarse=zoom < 1)
        found = fine if found is None else merged(enlarged(found, fine.labels.shape), fine, rule)
    return found


@dataclass(frozen=True, kw_only=True)
class _Marks:
    """What was printed onto a picture: as the network sees it, and by the classical rules."""

    printed: NDArray[np.bool_]
    count: int
    """Number of printed things of at least 30 px that the network sees."""
    glyphs: tuple[Boxes, Boxes]
    """Letters and bars in white and in black ink."""

    @classmethod
    def of(cls, grey: Grey, printed: NDArray[np.bool_]) -> _Marks:
        things = connected(printed, diagonal=True)
        return cls(
            printed=printed,
            count=int((things.area >= _LEAST_PRINT_PX).sum()),
            glyphs=(find_print(grey), find_print(1 - grey)),
        )

    def hit(self, found: Candidates) -> NDArray[np.bool_]:
        """Which labels lie mostly on print, (n + 1,)."""
        area, inside = _areas_on(found.labels.ravel(), self.printed.ravel(), found.confidence.size)
        white, black = (printed_labels(found.labels, boxes) for boxes in self.glyphs)
        return np.asarray((inside > 0.5 * area) | white | black)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _areas_on(labels: Labels, chosen: NDArray[np.bool_], count: int) -> Any:
    """Pixels of each label, and how many of them are chosen, (2, count); 0 for the background."""
    areas = np.zeros((2, count), np.int64)
    for index in range(labels.size):
        if labels[index]:
            areas[0, labels[index]] += 1
            areas[1, labels[index]] += chosen[index]
    return areas


def _drawn(labels: Labels, grey: Grey, polarity: str, settings: SegmentSettings) -> Labels:
    return fitted_edges(labels, grey, polarity) if settings.edges == "fitted" else labels


def heights(grey: Grey, labels: Labels) -> NDArray[np.float64]:
    """How much brighter each particle is than the background close around it, (n + 1,).

    0 where it has no background around it.
    """
    count = int(labels.max(initial=0)) + 1
    near = highest_near(labels, _RING_PX)
    pixels, total = _inside_and_around(labels.ravel(), near.ravel(), grey.ravel(), count)
    inside, around = total / np.maximum(pixels, 1)
    return np.where((pixels > 0).all(axis=0), inside - around, 0.0)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _inside_and_around(labels: Labels, near: NDArray[Any], grey: Grey, count: int) -> Any:
    """Pixels and sums of grey in each label and in the background near it, two of (2, count)."""
    pixels, total = np.zeros((2, count)), np.zeros((2, count))
    for index in range(labels.size):
        if near[index]:
            row = 0 if labels[index] else 1
            label = labels[index] if labels[index] else int(near[index])
            pixels[row, label] += 1
            total[row, label] += grey[index]
    return pixels, total


def _polarity(settings: SegmentSettings, found: Candidates, height: NDArray[np.float64]) -> str:
    """Whether the particles of the picture are dark or bright, the clearer ones weighing more."""
    if settings.polarity != "auto":
        return settings.polarity
    area = areas_of(found.labels, height.size)
    return "bright" if float((np.sqrt(area) * found.confidence * height).sum()) > 0 else "dark"


def _numbers_of(kept: NDArray[np.integer], drawn: Labels) -> NDArray[np.int32]:
    """Return the number before of each kept particle, (n,), in the order of the new labels."""
    first = first_pixels(kept.astype(np.int32), int(kept.max(initial=0)) + 1)[1:]
    return drawn.ravel()[first]
