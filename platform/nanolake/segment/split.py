"""Splitting of touching particles by the depth of the neck between them.

One pass over the pixels of the foreground, from the deepest (farthest from the background) to the
shallowest, with union-find: each pixel joins the basin of its deepest neighbour. Where two
basins meet for the first time, at the saddle between them, they become one unless the lower of
the two peaks stands out enough above the saddle. With an absolute height this is the watershed
of the h-maxima (Vincent & Soille 1991; h-dynamics, Grimaud 1992) without the reconstruction by
dilation, which takes seconds on a picture; with a relative height it has no scale.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

_LEVELS_PER_PX = 64


def distance_inside(mask: NDArray[np.bool_], *, exact: bool = True) -> NDArray[np.float32]:
    """Euclidean distance (px) of each pixel of the mask to the nearest pixel outside.

    Not ``exact`` is about ten times as fast and off by up to 2 %.
    The picture's edge is not an outside: a cut particle keeps its depth.
    """
    kind = cv2.DIST_MASK_PRECISE if exact else cv2.DIST_MASK_5
    depth = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, kind)
    return np.asarray(np.minimum(depth, float(sum(mask.shape))), dtype=np.float32)


def split_touching(
    depth: NDArray[np.float32], *, height_px: float, relative: float
) -> NDArray[np.int32]:
    """Label the basins of a distance map, 1 … n without gaps in raster order.

    Parameters
    ----------
    depth
        (y, x) float32, `distance_inside` of the foreground (px); 0 is background.
    height_px
        Two basins stay apart only if the lower peak is at least this far above the saddle.
    relative
        ... and at least this share (0 … 1) of its own height above the saddle: a neck narrower
        than ``1 - relative`` of the thinner particle's width.

    Notes
    -----
    Depths are ranked in steps of 1/64 px. Neighbours are the eight around a pixel.
    """
    height, width = depth.shape[0] + 2, depth.shape[1] + 2
    ranks = np.zeros(height * width, dtype=np.int32)
    order = _deepest_first(np.ascontiguousarray(depth), ranks)
    parent = np.full(ranks.size, -1, dtype=np.int32)
    _flood(ranks, order, parent, width, height_px * _LEVELS_PER_PX, relative)
    labels = np.empty(depth.shape, dtype=np.int32)
    _number(parent, labels)
    return labels


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _deepest_first(depth: NDArray[np.float32], ranks: NDArray[np.int32]) -> Any:
    """Fill ``ranks`` with the depths in steps, a frame of one pixel 0 around them.

    Returns its flat indices above 0, by falling rank, raster order within a rank.
    """
    rows, columns = depth.shape
    starts = np.zeros(int(np.rint(depth.max() * _LEVELS_PER_PX)) + 2, dtype=np.int64)
    for y in range(rows):
        for x in range(columns):
            rank = np.int32(np.rint(depth[y, x] * _LEVELS_PER_PX))
            if rank > 0:
                ranks[(y + 1) * (columns + 2) + x + 1] = rank
                starts[rank] += 1
    place = np.int64(0)
    for level in range(starts.size - 1, 0, -1):
        count = starts[level]
        starts[level] = place
        place += count
    order = np.empty(place, dtype=np.int32)
    for index in range(ranks.size):
        rank = ranks[index]
        if rank > 0:
            order[starts[rank]] = index
            starts[rank] += 1
    return order


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _root(parent: NDArray[np.int32], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _flood(
    ranks: NDArray[np.int32],
    order: NDArray[np.int32],
    parent: NDArray[np.int32],
    width: int,
    height: float,
    relative: float,
) -> None:
    """Fill ``parent``: every root is the peak of one basin. ``ranks[root]`` is its height.

    The picture's outermost pixels must be background, so that no neighbour lies outside.
    """
    steps = np.array([-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1])
    for index in order:
        home, best, last, several = -1, -1, -1, False
        for step in steps:
            near = index + step
            above = parent[near]
            if above >= 0:
                if ranks[near] > best:
                    best, home = ranks[near], near
                several |= last >= 0 and above != last
                last = above
        if home < 0:
            parent[index] = index
            continue
        home = _root(parent, home)
        parent[index] = home
        if not several:
            continue
        for step in steps:
            near = index + step
            if parent[near] < 0 or parent[near] == home:
                continue
            other = _root(parent, near)
            if other == home:
                continue
            low, high = other, home
            if ranks[low] > ranks[high] or (ranks[low] == ranks[high] and low < high):
                low, high = high, low
            rise = ranks[low] - ranks[index]
            if rise < height or rise < relative * ranks[low]:
                parent[low] = high
                home = high


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _number(parent: NDArray[np.int32], labels: NDArray[np.int32]) -> None:
    """Fill ``labels`` (y, x): basin n = 1 … in raster order of first pixels, 0 elsewhere.

    ``parent`` has a frame of one pixel. Each pixel's parent is replaced by ``-1 - n``: a pixel
    once numbered ends the search for its root, so no second array is needed.
    """
    last = 0
    rows, columns = labels.shape
    for y in range(rows):
        for x in range(columns):
            index = (y + 1) * (columns + 2) + x + 1
            root = index
            while parent[root] >= 0 and parent[root] != root:
                root = parent[root]
            if parent[root] >= 0:
                last += 1
                parent[root] = -1 - last
            parent[index] = parent[root]
            labels[y, x] = -1 - parent[index]
