"""What lies round one particle: local background, sharpness of its edge, contact; compiled."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.features.raster import BACKGROUND, OTHER, SELF

State = NDArray[np.uint8]
Floats = NDArray[np.float64]
Places = NDArray[np.int32]

RING_GAP_PX = 2
"""Pixels next to the particle that belong to its blurred edge, not to the background."""
RING_WIDTH_PX = 5
"""Width of the ring of background beyond the gap."""
MARGIN_PX = RING_GAP_PX + RING_WIDTH_PX + 1
"""How many pixels a crop must hold round the particle."""


class Surroundings(NamedTuple):
    """Intensities round the particle, NaN where it has no background beside it."""

    background: float
    background_sd: float
    edge_step: float
    touches_neighbour: float


@numba.njit(cache=True, nogil=True)
def surroundings(
    state: State, edge: Places, values: Floats, top: int, left: int, aspect: float
) -> Surroundings:
    """Measure what lies round a particle.

    ``state`` has `MARGIN_PX` round the particle, ``edge`` (k, 2) lists its border pixels in it;
    ``values`` is the whole picture, ``top`` and ``left`` the crop's place in it.
    """
    ring = _ring(state, edge, values, top, left)
    level, spread = np.nan, np.nan
    if ring.size:
        level, spread = np.median(ring), np.std(ring)
    step = _edge_step(state, edge, values, top, left, aspect)
    return Surroundings(level, spread, step, _touches(state, edge))


@numba.njit(cache=True, nogil=True)
def _ring(state: State, edge: Places, values: Floats, top: int, left: int) -> Floats:
    """Values of the background pixels more than the gap and at most gap + width steps away.

    Steps are taken to four and to eight neighbours in turn, which keeps the ring round.
    """
    seen = state == SELF
    front = np.empty((state.size, 2), dtype=np.int32)
    front[: edge.shape[0]] = edge
    start, end, ring_start = 0, edge.shape[0], 0
    for layer in range(1, RING_GAP_PX + RING_WIDTH_PX + 1):
        stop = end
        for index in range(start, stop):
            end = _spread(seen, front, index, end, layer % 2 == 0)
        start = stop
        if layer == RING_GAP_PX + 1:
            ring_start = stop
    ring: Floats = _background(state, front[ring_start:end], values, top, left)
    return ring


@numba.njit(cache=True, nogil=True)
def _background(state: State, places: Places, values: Floats, top: int, left: int) -> Floats:
    ring = np.empty(places.shape[0])
    size = 0
    for index in range(places.shape[0]):
        y, x = places[index, 0], places[index, 1]
        if state[y, x] == BACKGROUND:
            ring[size] = values[top + y, left + x]
            size += 1
    return ring[:size]


@numba.njit(cache=True, nogil=True)
def _spread(seen: NDArray[np.bool_], front: Places, index: int, end: int, corners: bool) -> int:
    """Add the unseen neighbours of one pixel of the front; `MARGIN_PX` is never left."""
    row, column = front[index, 0], front[index, 1]
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if (corners or dy == 0 or dx == 0) and not seen[row + dy, column + dx]:
                seen[row + dy, column + dx] = True
                front[end, 0], front[end, 1] = row + dy, column + dx
                end += 1
    return end


@numba.njit(cache=True, nogil=True)
def _edge_step(
    state: State, edge: Places, values: Floats, top: int, left: int, aspect: float
) -> float:
    """Mean change of intensity from the particle outwards over its edge, per pixel of x.

    Central differences over two pixels would halve a sharp step; the change over the crack
    between an inner and an outer pixel does not, and its sign lets noise average out.
    """
    total, count = 0.0, 0
    for index in range(edge.shape[0]):
        y, x = edge[index, 0], edge[index, 1]
        inside = float(values[top + y, left + x])
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            if state[y + dy, x + dx] == BACKGROUND:
                rise = float(values[top + y + dy, left + x + dx]) - inside
                total += rise / aspect if dx == 0 else rise
                count += 1
    return total / count if count else math.nan


@numba.njit(cache=True, nogil=True)
def _touches(state: State, edge: Places) -> float:
    """Return 1 if one of the eight neighbours of any pixel belongs to another particle, else 0."""
    for index in range(edge.shape[0]):
        y, x = edge[index, 0], edge[index, 1]
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                if state[y + dy, x + dx] == OTHER:
                    return 1.0
    return 0.0
