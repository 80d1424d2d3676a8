"""The absolute truth of a simulated micrograph: label map and particle table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.arrange import Placement
from nanolake.simulate.families import Draws
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.stamp import Stamp

Labels = NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True)
class SimulatedMicrograph:
    """A picture and everything that is known about it. Arrays are (y, x), origin top left.

    ``particles`` holds columns of equal length, row k is label k + 1: ``label``, ``family``,
    ``p``, ``d``, ``l_ratio`` (canonical), ``phi_rad``, ``diameter_nm`` and ``diameter_px``
    (equivalent circular diameter of the whole outline), ``centroid_y_px`` and ``centroid_x_px``
    (of the whole outline, pixel (0, 0) has its centre at 0, 0; may lie outside the frame),
    ``area_px`` (pixels visible in the frame), ``visible_fraction`` (of its pixels within the
    frame, not covered by another or by print), ``touches_border``, ``touches_print``, ``hidden``.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    labels: Labels
    """0 is background; the particle on top owns a pixel."""
    printed: NDArray[np.bool_]
    """(y, x): True in the box of everything printed; outlines drawn over it do not count."""
    particles: Mapping[str, NDArray[Any]]
    pixel_size_nm: float
    settings: MicrographSettings
    seed: int

    @property
    def count(self) -> int:
        """Number of particles with at least one pixel within the frame, hidden ones included."""
        return len(self.particles["label"])


@dataclass(frozen=True, kw_only=True)
class Painted:
    """Stamps laid down: frame-sized depth and labels, and pixel counts of each, (m,)."""

    depth: NDArray[np.float32]
    labels: Labels
    whole_px: NDArray[np.int64]
    """Pixels of each particle, the part outside the frame included."""
    framed_px: NDArray[np.int64]
    """Pixels of each particle within the frame, covered ones included."""


def paint(settings: MicrographSettings, stamps: list[Stamp], placement: Placement) -> Painted:
    """Lay the placed stamps down in order: depths add up, the later one owns a shared pixel."""
    shape = settings.height_px, settings.width_px
    depth, labels = np.zeros(shape, np.float32), np.zeros(shape, np.uint16)
    counts = np.zeros((2, len(placement.index)), np.int64)
    pairs = zip(placement.index.tolist(), placement.anchors.tolist(), strict=True)
    for order, (index, (y, x)) in enumerate(pairs):
        stamp = stamps[index]
        frame, own = _windows(shape, stamp.half, y, x)
        mask = stamp.mask[own]
        depth[frame] += stamp.depth[own]
        labels[frame][mask] = order + 1
        counts[:, order] = np.count_nonzero(stamp.mask), np.count_nonzero(mask)
    return Painted(depth=depth, labels=labels, whole_px=counts[0], framed_px=counts[1])


def particle_table(
    settings: MicrographSettings,
    draws: Draws,
    stamps: list[Stamp],
    placement: Placement,
    painted: Painted,
    printed: NDArray[np.bool_],
) -> tuple[Labels, dict[str, NDArray[Any]]]:
    """Return the final label map (print cleared, labels without gaps) and the particle columns."""
    present = np.flatnonzero(painted.framed_px > 0)
    number = len(placement.index)
    under_print = np.bincount(painted.labels[printed], minlength=number + 1)[1:][present]
    labels = _renumber(np.where(printed, 0, painted.labels), present, number)
    visible = np.bincount(labels.ravel(), minlength=present.size + 1)[1:]
    index, anchors = placement.index[present], placement.anchors[present]
    centres = anchors + _centroids(stamps)[index]
    fraction = visible / painted.framed_px[present]
    at_border = _labels_on_border(labels, present.size)
    cut = painted.framed_px[present] < painted.whole_px[present]
    columns = {
        "label": np.arange(1, present.size + 1, dtype=np.int64),
        "family": np.array([f.name for f in settings.families])[draws.family[index]],
        "p": draws.p[index],
        "d": draws.d[index],
        "l_ratio": draws.l_ratio[index],
        "phi_rad": draws.phi_rad[index],
        "diameter_nm": draws.diameter_px[index] * settings.pixel_size_nm,
        "diameter_px": draws.diameter_px[index],
        "centroid_y_px": centres[:, 0],
        "centroid_x_px": centres[:, 1],
        "area_px": visible,
        "visible_fraction": fraction,
        "touches_border": cut | at_border,
        "touches_print": under_print > 0,
        "hidden": fraction < settings.hidden_below,
    }
    return labels, columns


def _windows(
    shape: tuple[int, int], half: int, y: int, x: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the part of the frame under a stamp and the part of the stamp within the frame."""
    frame, own = [], []
    for centre, length in zip((y, x), shape, strict=True):
        low, high = centre - half, centre + half + 1
        frame.append(slice(max(low, 0), max(min(high, length), 0)))
        own.append(slice(max(-low, 0), max(min(high, length) - low, 0)))
    return (frame[0], frame[1]), (own[0], own[1])


def _centroids(stamps: list[Stamp]) -> NDArray[np.float64]:
    return np.array([(s.centroid_y, s.centroid_x) for s in stamps], float).reshape(-1, 2)


def _renumber(labels: NDArray[Any], present: NDArray[np.int64], number: int) -> Labels:
    table = np.zeros(number + 1, np.uint16)
    table[present + 1] = np.arange(1, present.size + 1)
    return np.asarray(table[labels], np.uint16)


def _labels_on_border(labels: Labels, number: int) -> NDArray[np.bool_]:
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.bincount(edge, minlength=number + 1)[1:] > 0
