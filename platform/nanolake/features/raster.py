"""Sums over the pixels of one particle: compiled passes inside its bounding box.

`cut` gives the *state* of every pixel in and round the box: `BACKGROUND`, `SELF` (the particle),
`OTHER` (another particle) or `OUTSIDE` (beyond the picture). The other functions take a *mask*
(y, x) uint8 of 0 and 1 with a frame of zeros one pixel wide. Lengths are in pixels of x; a step
in y counts ``aspect`` (height of a pixel over its width).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

State = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Floats = NDArray[np.float64]

BACKGROUND, SELF, OTHER, OUTSIDE = 0, 1, 2, 3


@numba.njit(cache=True, nogil=True)
def cut(labels: NDArray[np.uint32], label: int, box: NDArray[np.int64], margin: int) -> State:
    """Return the states in a bounding box (min row, min column, max row, max column) + margin."""
    top, left = box[0] - margin, box[1] - margin
    state = np.full((box[2] + margin - top, box[3] + margin - left), OUTSIDE, dtype=np.uint8)
    for y in range(max(0, -top), min(state.shape[0], labels.shape[0] - top)):
        for x in range(max(0, -left), min(state.shape[1], labels.shape[1] - left)):
            here = labels[top + y, left + x]
            state[y, x] = OTHER * (here != 0) - (here == label)
    return state


@numba.njit(cache=True, nogil=True)
def mask_of(state: State, trim: int) -> Mask:
    """Return 1 where the state is SELF, without ``trim`` pixels on each side."""
    mask = np.empty((state.shape[0] - 2 * trim, state.shape[1] - 2 * trim), dtype=np.uint8)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            mask[y, x] = state[y + trim, x + trim] == SELF
    return mask


class Sums(NamedTuple):
    """Count, centroid (rows and columns of the crop) and central moments in square pixels."""

    num_pixels: float
    centroid_row: float
    centroid_column: float
    mu20: float
    mu11: float
    mu02: float
    mu30: float
    mu21: float
    mu12: float
    mu03: float


class Light(NamedTuple):
    """Intensity inside the particle; the centroid is in rows and columns of the crop."""

    intensity_mean: float
    intensity_sd: float
    intensity_min: float
    intensity_max: float
    weighted_row: float
    weighted_column: float


class Lattice(NamedTuple):
    """Topology, and how often lines of four directions enter the particle."""

    euler_number: float
    chords_x: float
    chords_y: float
    chords_diagonal: float
    chords_antidiagonal: float


@numba.njit(cache=True, nogil=True)
def sums(mask: Mask) -> Sums:
    """Return count, centroid and central moments mu_pq (p counts rows, q columns) to order 3.

    Sums are whole numbers, exact, about the middle of the crop, before they are shifted.
    """
    raw = np.zeros((4, 4))
    middle_y, middle_x = mask.shape[0] // 2, mask.shape[1] // 2
    for y in range(mask.shape[0]):
        line = _row_sums(mask[y], middle_x)
        power = 1.0
        for p in range(4):
            for q in range(4 - p):
                raw[p, q] += power * line[q]
            power *= y - middle_y
    found: Sums = _centred(raw, middle_y, middle_x)
    return found


@numba.njit(cache=True, nogil=True)
def _row_sums(line: Mask, middle: int) -> tuple[int, int, int, int]:
    s0, s1, s2, s3 = 0, 0, 0, 0
    for x in range(line.size):
        if line[x]:
            dx = x - middle
            s0 += 1
            s1 += dx
            s2 += dx * dx
            s3 += dx * dx * dx
    return s0, s1, s2, s3


@numba.njit(cache=True, nogil=True)
def _centred(raw: Floats, middle_y: int, middle_x: int) -> Sums:
    """Shift raw moments to the centroid (the parallel axis theorem)."""
    n = raw[0, 0]
    y, x = raw[1, 0] / n, raw[0, 1] / n
    yy, xy, xx = raw[2, 0] - y * raw[1, 0], raw[1, 1] - y * raw[0, 1], raw[0, 2] - x * raw[0, 1]
    return Sums(
        n,
        middle_y + y,
        middle_x + x,
        yy,
        xy,
        xx,
        raw[3, 0] - 3.0 * y * yy - n * y**3,
        raw[2, 1] - 2.0 * y * xy - x * yy - n * y * y * x,
        raw[1, 2] - 2.0 * x * xy - y * xx - n * x * x * y,
        raw[0, 3] - 3.0 * x * xx - n * x**3,
    )


@numba.njit(cache=True, nogil=True)
def light(mask: Mask, values: Floats, top: int, left: int) -> Light:
    """Return mean, sd (of the population), extremes and the intensity-weighted centroid.

    ``values`` is the whole picture, ``top`` and ``left`` the mask's place in it. Deviations are
    taken from the first value met. The weighted centroid is NaN where intensities sum to zero.
    """
    count, first, total, squares, total_y, total_x = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    low, high = np.inf, -np.inf
    for y in range(1, mask.shape[0] - 1):
        for x in range(1, mask.shape[1] - 1):
            if mask[y, x]:
                value = float(values[top + y, left + x])
                if count == 0:
                    first = value
                count += 1
                total += value - first
                squares += (value - first) ** 2
                total_y += value * y
                total_x += value * x
                low, high = min(low, value), max(high, value)
    shift = total / count
    variance = max(squares / count - shift * shift, 0.0)
    whole = (first + shift) * count
    row, column = np.nan, np.nan
    if whole != 0.0:
        row, column = total_y / whole, total_x / whole
    return Light(first + shift, math.sqrt(variance), low, high, row, column)


@numba.njit(cache=True, nogil=True)
def lattice(mask: Mask) -> Lattice:
    """Return the Euler number (pixels joined through corners) and the chord counts.

    Euler: corners - edges + faces of the union of closed pixels; a run of n pixels has n + 1
    edges across it. Chords: lines of the lattice that enter the particle (Crofton's formula).
    """
    count, corners, along_x, along_y, diagonal, anti = 0, 0, 0, 0, 0, 0
    for y in range(1, mask.shape[0]):
        above, here = mask[y - 1], mask[y]
        for x in range(1, mask.shape[1]):
            a, b, c, d = above[x - 1], above[x], here[x - 1], here[x]
            count += d
            corners += a | b | c | d
            along_x += d & ~c
            along_y += d & ~b
            diagonal += d & ~a
            anti += c & ~b
    euler = corners - count - along_x - along_y
    return Lattice(float(euler), float(along_x), float(along_y), float(diagonal), float(anti))


@numba.njit(cache=True, nogil=True)
def border(mask: Mask) -> Mask:
    """Return the particle's pixels that have a neighbour (of four) outside it."""
    found = np.zeros(mask.shape, dtype=np.uint8)
    for y in range(1, mask.shape[0] - 1):
        above, here, below, edge = mask[y - 1], mask[y], mask[y + 1], found[y]
        for x in range(1, mask.shape[1] - 1):
            inner = above[x] & below[x] & here[x - 1] & here[x + 1]
            edge[x] = here[x] & ~inner
    return found


@numba.njit(cache=True, nogil=True)
def places_of(edge: Mask) -> NDArray[np.int32]:
    """Return rows and columns of the pixels that are set, (k, 2), in raster order."""
    places = np.empty((np.count_nonzero(edge), 2), dtype=np.int32)
    size = 0
    for y in range(edge.shape[0]):
        for x in range(edge.shape[1]):
            if edge[y, x]:
                places[size, 0], places[size, 1] = y, x
                size += 1
    return places


@numba.njit(cache=True, nogil=True)
def perimeter(edge: Mask, places: NDArray[np.int32], aspect: float) -> float:
    """Return the length of the line through the centres of the border pixels.

    Benkrid & Crookes' estimator, as scikit-image's ``perimeter``: a border pixel counts by the
    steps to its border neighbours: two straight ones 1, two diagonal ones sqrt(2), one of each
    their mean. With ``aspect`` the steps have their own lengths.
    """
    slanted = math.sqrt(1.0 + aspect * aspect)
    total = 0.0
    for index in range(places.shape[0]):
        y, x = places[index, 0], places[index, 1]
        above_below = int(edge[y - 1, x]) + int(edge[y + 1, x])
        straight = above_below + int(edge[y, x - 1]) + int(edge[y, x + 1])
        diagonal = int(edge[y - 1, x - 1]) + int(edge[y - 1, x + 1])
        diagonal += int(edge[y + 1, x - 1]) + int(edge[y + 1, x + 1])
        step = 0.0
        if straight > 0:
            step = (above_below * aspect + (straight - above_below)) / straight
        total += _step(straight, diagonal, step, slanted)
    return total


@numba.njit(cache=True, nogil=True)
def _step(straight: int, diagonal: int, step: float, slanted: float) -> float:
    """Weight of one border pixel (codes 5, 7, 15, 17, 25, 27; 21, 33; 13, 23 of the source)."""
    if (straight in (2, 3)) and diagonal <= 2:
        return step
    if (straight == 0 and diagonal == 2) or (straight == 1 and diagonal == 3):
        return slanted
    if straight == 1 and diagonal in (1, 2):
        return 0.5 * (step + slanted)
    return 0.0


@numba.njit(cache=True, nogil=True)
def filled_count(mask: Mask) -> int:
    """Return the pixels of the particle and of its holes.

    A hole is enclosed by a wall that is closed through edges, so the outside creeps through
    diagonal gaps: scikit-image's ``area_filled``.
    """
    if not _has_gaps(mask):
        return int(np.count_nonzero(mask))
    height, width = mask.shape
    reached = mask != 0
    stack = np.empty((height * width, 2), dtype=np.int32)
    stack[0, 0], stack[0, 1] = 0, 0
    reached[0, 0] = True
    size, outside = 1, 0
    while size:
        size -= 1
        row, column = stack[size, 0], stack[size, 1]
        outside += 1
        for y in range(max(row - 1, 0), min(row + 2, height)):
            for x in range(max(column - 1, 0), min(column + 2, width)):
                if not reached[y, x]:
                    reached[y, x] = True
                    stack[size, 0], stack[size, 1] = y, x
                    size += 1
    filled: int = height * width - outside
    return filled


@numba.njit(cache=True, nogil=True)
def _has_gaps(mask: Mask) -> bool:
    """Whether a row of the particle has more than one run: without, there is no hole."""
    for y in range(mask.shape[0]):
        runs = 0
        for x in range(1, mask.shape[1]):
            runs += mask[y, x] & ~mask[y, x - 1]
        if runs > 1:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def inscribed_diameter(mask: Mask, row: int, column: int, aspect: float) -> float:
    """Return the diameter of the largest circle in the particle that is centred on a pixel.

    Twice the largest distance from a pixel to one outside, centre to centre and exact, less half
    a pixel (an ellipse of the pixel's aspect) for the outer one. ``row`` and ``column`` name a
    pixel that is likely deep (the centroid): with a good first bound, nearly every other pixel
    is ruled out after a few steps.
    """
    vertical = _vertical_distance(mask)
    best, upright = 0.0, 0.0
    if mask[row, column]:
        best, upright = _depth_squared(vertical, row, column, aspect, best)
    for y in range(1, mask.shape[0] - 1):
        for x in range(1, mask.shape[1] - 1):
            clear = vertical[y, x] * aspect
            if clear * clear > best:
                depth, share = _depth_squared(vertical, y, x, aspect, best)
                if depth > best:
                    best, upright = depth, share
    half = 0.5 * math.sqrt((best - upright + upright * aspect * aspect) / best)
    return 2.0 * (math.sqrt(best) - half)


@numba.njit(cache=True, nogil=True)
def _depth_squared(
    vertical: NDArray[np.int32], y: int, x: int, aspect: float, enough: float
) -> tuple[float, float]:
    """Squared distance from (y, x) to the outside, and the share of it that lies along y.

    Given up once it is not above ``enough``.
    """
    nearest = (vertical[y, x] * aspect) ** 2
    upright = nearest
    step = 1
    while step * step < nearest and nearest > enough:
        for column in (x - step, x + step):
            # beyond the crop's edge, a step nearer has been outside already
            if 0 <= column < vertical.shape[1]:
                reach = (vertical[y, column] * aspect) ** 2
                if step * step + reach < nearest:
                    nearest, upright = step * step + reach, reach
        step += 1
    return nearest, upright


@numba.njit(cache=True, nogil=True)
def _vertical_distance(mask: Mask) -> NDArray[np.int32]:
    """Rows from each pixel to the nearest one in its column that is not the particle's."""
    height, width = mask.shape
    distance = np.zeros(mask.shape, dtype=np.int32)
    for y in range(1, height):
        above, here, inside = distance[y - 1], distance[y], mask[y]
        for x in range(width):
            here[x] = (above[x] + 1) * inside[x]
    for y in range(height - 2, -1, -1):
        here, below = distance[y], distance[y + 1]
        for x in range(width):
            here[x] = min(here[x], below[x] + 1)
    return distance
