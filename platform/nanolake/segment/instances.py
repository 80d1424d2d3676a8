"""From a raw label image to the kept particles: what is taken out, and why."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.settings import SegmentSettings

REASONS = ("border", "small", "print", "outlier", "large")
"""Why a found object is not among the particles."""

Labels = NDArray[np.uint16] | NDArray[np.uint32]


def typical_area(areas: NDArray[np.integer]) -> float:
    """Area that half of the covered area lies above: the median particle, weighted by area.

    Specks hardly move it, however many. 0 without particles.
    """
    falling = np.sort(areas[areas > 0])[::-1]
    if not falling.size:
        return 0.0
    covered = np.cumsum(falling)
    return float(falling[np.searchsorted(covered, 0.5 * covered[-1])])


def areas_of(labels: NDArray[np.int32], size: int = 0) -> NDArray[np.int64]:
    """Pixels of each label, (n + 1,) or at least (size,); index 0 (background) set to 0."""
    size = max(size, int(labels.max(initial=0)) + 1)
    areas: NDArray[np.int64] = _count(np.ascontiguousarray(labels).ravel(), size)
    return areas


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(labels: NDArray[np.int32], size: int) -> Any:
    areas = np.zeros(size, np.int64)
    for label in labels:
        if label:
            areas[label] += 1
    return areas


def renumbered(labels: NDArray[Any], number: NDArray[Any]) -> NDArray[Any]:
    """Return ``number[labels]``, (y, x) in the type of ``number``; an order of time faster."""
    found = np.empty(labels.shape, number.dtype)
    _renumber(np.ascontiguousarray(labels).ravel(), number, found.ravel())
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _renumber(labels: NDArray[Any], number: NDArray[Any], found: NDArray[Any]) -> None:
    for index in range(labels.size):
        found[index] = number[labels[index]]


def first_pixels(labels: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Flat index of each label's first pixel, (size,); the picture's size where there is none."""
    first: NDArray[np.int64] = _first(np.ascontiguousarray(labels).ravel(), size)
    return first


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _first(labels: NDArray[np.int32], size: int) -> Any:
    first = np.full(size, labels.size, np.int64)
    for index in range(labels.size - 1, -1, -1):
        first[labels[index]] = index
    return first


def border_labels(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """The labels met on the picture's outermost pixels, 0 among them if it is."""
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    return np.unique(np.concatenate(edges))


def keep_particles(
    labels: NDArray[np.int32],
    settings: SegmentSettings,
    printed: NDArray[np.bool_] | None = None,
    cut: NDArray[np.integer] | None = None,
    *,
    drawn: NDArray[np.int32] | None = None,
) -> tuple[Labels, dict[str, int]]:
    """Take out what is no whole particle; return new labels and the counts by reason.

    ``labels`` is (y, x), 1 … n in raster order; ``printed`` is (n + 1,) bool by label; ``cut``
    are labels besides those at the picture's edge that count as ``border``. Each object is
    counted once, under the first reason that fits: print, large, border, small, outlier. Border
    particles and print do not enter the typical size. ``drawn`` are the same objects with better
    outlines: what they are is decided by ``labels``, where they lie by ``drawn``.
    """
    drawn = labels if drawn is None else drawn
    areas = areas_of(labels)
    cut = border_labels(drawn) if cut is None else np.union1d(cut, border_labels(drawn))
    reasons = _reasons(labels, areas, settings, printed, cut)
    gone = np.zeros(areas.size, dtype=bool)
    counts = dict.fromkeys(REASONS, 0)
    for name, hit in reasons:
        counts[name] = int((hit & ~gone & (areas > 0)).sum())
        gone |= hit
    keep = ~gone & (areas > 0)
    return _renumbered(drawn, keep), counts


def _renumbered(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> Labels:
    """Kept labels as 1 … n in raster order of their first pixel, the others as 0."""
    first = first_pixels(labels, keep.size)
    first[~keep] = labels.size
    order = np.argsort(first, kind="stable")[: int((first < labels.size).sum())]
    number: Labels = np.zeros(keep.size, np.uint32)
    number[order] = np.arange(1, order.size + 1)
    if order.size <= 65535:
        number = number.astype(np.uint16)
    return renumbered(labels, number)


def _least_share(settings: SegmentSettings) -> float:
    if settings.min_relative_area is not None:
        return settings.min_relative_area
    return 0.03 if settings.method == "learned" else 0.1


def _reasons(
    labels: NDArray[np.int32],
    areas: NDArray[np.int64],
    settings: SegmentSettings,
    printed: NDArray[np.bool_] | None,
    cut: NDArray[np.integer] | None,
) -> list[tuple[str, NDArray[np.bool_]]]:
    no = np.zeros(areas.size, dtype=bool)
    print_hit = printed if printed is not None and settings.remove_print else no
    large = areas > settings.max_area_fraction * labels.size
    border = no.copy()
    border[border_labels(labels)] = settings.remove_border
    if cut is not None:
        border[cut] = settings.remove_border
    border[0] = False
    whole = np.where(print_hit | large | border, 0, areas)
    typical = typical_area(whole if whole.any() else areas)
    least = max(np.pi / 4 * settings.min_diameter_px**2, _least_share(settings) * typical)
    small = areas < least
    outlier = no
    if settings.max_relative_area is not None and (whole > least).any():
        outlier = areas > settings.max_relative_area * np.median(whole[whole > least])
    return [
        ("print", print_hit),
        ("large", large),
        ("border", border),
        ("small", small),
        ("outlier", outlier),
    ]
