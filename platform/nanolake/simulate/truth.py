"""The absolute truth of a simulated micrograph: label map and particle table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.arrange import Placement
from nanolake.simulate.families import Draws
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.stamp import Stamp

Labels = NDArray[np.uint16]
Window = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class SimulatedMicrograph:
    """A picture and everything that is known about it. Arrays are (y, x), origin top left.

    ``particles`` holds columns of equal length, row k is label k + 1: ``label``, ``family``,
    ``p``, ``d``, ``l_ratio`` (canonical), ``phi_rad``, ``diameter_nm`` and ``diameter_px``
    (equivalent circular diameter of the whole outline), ``centroid_y_px`` and ``centroid_x_px``
    (of the whole outline, pixel (0, 0) has its centre at 0, 0; may lie outside the frame),
    ``area_px`` (pixels in ``labels``), ``visible_fraction`` (of its pixels within the frame, those
    that it has in ``labels``: not given to another, nor under print), ``touches_border``,
    ``touches_print``, ``hidden``.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    labels: Labels
    """0 is background. Of several particles over a pixel that one owns it in which it lies deepest
    (`paint`)."""
    layers: NDArray[np.uint8]
    """How many particles lie over each pixel, at most 255; 0 under print."""
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
    """Stamps laid down: frame-sized depth, labels and layers, and pixel counts of each, (m,)."""

    depth: NDArray[np.float32]
    labels: Labels
    layers: NDArray[np.uint8]
    whole_px: NDArray[np.int64]
    """Pixels of each particle, the part outside the frame included."""
    framed_px: NDArray[np.int64]
    """Pixels of each particle within the frame, covered ones included."""


def paint(settings: MicrographSettings, stamps: list[Stamp], placement: Placement) -> Painted:
    """Lay the placed stamps down: depths add up, a shared pixel goes where it lies deepest.

    Electrons pass through all that lies over one another, and a picture does not tell which is on
    top: to give shared pixels to the upper one would be a truth that nobody can know. Deepest is
    the distance to the particle's outline over the cube of the largest one in it: equal particles
    halve what they share, a small one keeps its shape before a large one.
    """
    shape = settings.height_px, settings.width_px
    labels, layers = np.zeros(shape, np.uint16), np.zeros(shape, np.uint8)
    counts = np.zeros((2, len(placement.index)), np.int64)
    for order, stamp, frame, own in _laid(shape, stamps, placement):
        mask = stamp.mask[own]
        labels[frame][mask] = order + 1
        layers[frame] += mask
        counts[:, order] = np.count_nonzero(stamp.mask), np.count_nonzero(mask)
    if layers.max(initial=0) > 1:
        _share(labels, layers, _laid(shape, stamps, placement))
    return Painted(
        depth=summed_depth(settings, stamps, placement),
        labels=labels,
        layers=layers,
        whole_px=counts[0],
        framed_px=counts[1],
    )


def summed_depth(
    settings: MicrographSettings, stamps: list[Stamp], placement: Placement
) -> NDArray[np.float32]:
    """Return the optical depth (y, x) of all particles together."""
    shape = settings.height_px, settings.width_px
    depth = np.zeros(shape, np.float32)
    for _, stamp, frame, own in _laid(shape, stamps, placement):
        depth[frame] += stamp.depth[own]
    return depth


def _laid(
    shape: tuple[int, int], stamps: list[Stamp], placement: Placement
) -> Iterator[tuple[int, Stamp, Window, Window]]:
    """Yield each stamp's number, itself, and the windows of `_windows`."""
    pairs = zip(placement.index.tolist(), placement.anchors.tolist(), strict=True)
    for order, (index, (y, x)) in enumerate(pairs):
        stamp = stamps[index]
        yield order, stamp, *_windows(shape, stamp.half, y, x)


def _share(
    labels: Labels,
    layers: NDArray[np.uint8],
    laid: Iterator[tuple[int, Stamp, Window, Window]],
) -> None:
    """Give each pixel of several layers to the particle in which it lies deepest."""
    most = np.zeros(labels.shape, np.float32)
    for order, stamp, frame, own in laid:
        shared = stamp.mask[own] & (layers[frame] > 1)
        if not shared.any():
            continue
        rank = _rank(stamp.mask)[own]
        mine = shared & (rank > most[frame])
        most[frame][mine] = rank[mine]
        labels[frame][mine] = order + 1


def _rank(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance to the outline over the cube of the largest one, 1 / px^2."""
    import cv2

    inside = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(inside / max(float(inside.max()), 1.0) ** 3, np.float32)


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


def _windows(shape: tuple[int, int], half: int, y: int, x: int) -> tuple[Window, Window]:
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
