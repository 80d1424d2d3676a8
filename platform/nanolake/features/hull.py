"""Convex hull of one particle and the diameters that follow from it, compiled.

The hull is that of the midpoints of the pixels' edges, as in scikit-image's ``convex_hull_image``
and MATLAB: a pixel at (4, 7) gives (3.5, 7), (4.5, 7), (4, 6.5) and (4, 7.5). It is found from
the first and last pixel of each row, in whole half pixels, so that it is exact. The pixels whose
centres lie in it are the *convex image*; diameters are those of the convex image's own hull, as
scikit-image's ``feret_diameter_max``. Measured on 180 drawn superellipses 12 to 80 px across, they
lie 0.8 px above the true ones on average (0.4 px without the second hull).

Lengths are in pixels of x; a step in y counts ``aspect`` (height of a pixel over its width).
Angles are those of a direction (dy, dx) = (cos, sin), in (-pi/2, pi/2], as scikit-image's
``orientation``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_EMPTY = 1 << 40


class Hull(NamedTuple):
    """What follows from the hull: lengths in pixels of x, angles in radians."""

    convex_pixels: float
    perimeter_convex: float
    feret_max: float
    feret_max_angle: float
    feret_min: float
    feret_min_angle: float
    feret_orthogonal: float
    circumscribed: float
    crofton_convex: float


@numba.njit(cache=True, nogil=True)
def measure_hull(mask: NDArray[np.uint8], aspect: float, weights: Floats) -> Hull:
    """Measure the hull of one particle; ``weights`` are the angles of `crofton_weights`."""
    first, last = _row_ends(mask)
    left, right = _chain(first, -1), _chain(last, 1)
    tight = _polygon(left, right, aspect)
    first, last = _convex_rows(left, right, first.size)
    points = _polygon(_chain(first, -1), _chain(last, 1), aspect)
    longest, along = _feret_max(points)
    shortest, across = _feret_min(points)
    return Hull(
        float(_count_between(first, last)),
        _length(points),
        longest,
        along,
        shortest,
        across,
        _width(points, -math.sin(across), math.cos(across)),
        2.0 * _enclosing_radius(points),
        _mean_width(tight, aspect, weights),
    )


@numba.njit(cache=True, nogil=True)
def _row_ends(mask: NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Return column of the first and last pixel of each row, +-_EMPTY where a row has none."""
    height, width = mask.shape
    first = np.full(height, _EMPTY, dtype=np.int64)
    last = np.full(height, -_EMPTY, dtype=np.int64)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                first[y] = min(first[y], x)
                last[y] = x
    return first, last


@numba.njit(cache=True, nogil=True)
def _chain(ends: Ints, side: int) -> Ints:
    """Return one side of the hull, top to bottom, as (k, 2) of half pixels (2y, 2x).

    ``side`` is -1 for the left and 1 for the right one (Andrew's monotone chain over the rows).
    """
    chain = np.empty((2 * ends.size + 1, 2), dtype=np.int64)
    size = 0
    for level in range(-1, 2 * ends.size):
        x = _outermost(ends, level, side)
        if abs(x) >= _EMPTY:
            continue
        while size >= 2 and _not_outside(chain[size - 2], chain[size - 1], level, x, side):
            size -= 1
        chain[size, 0], chain[size, 1] = level, x
        size += 1
    return chain[:size]


@numba.njit(cache=True, nogil=True)
def _outermost(ends: Ints, level: int, side: int) -> int:
    """Outermost edge midpoint (2x) at half row ``level`` (2y)."""
    if level % 2 == 0:
        level_x: int = 2 * ends[level // 2] + side
        return level_x
    above, below = (level - 1) // 2, (level + 1) // 2
    x = -side * _EMPTY
    if above >= 0:
        x = side * max(side * x, side * 2 * ends[above])
    if below < ends.size:
        x = side * max(side * x, side * 2 * ends[below])
    return x


@numba.njit(cache=True, nogil=True)
def _not_outside(a: Ints, b: Ints, y: int, x: int, side: int) -> bool:
    """Whether b lies on the line from a to (y, x) or on its inner side."""
    return bool(side * ((b[1] - a[1]) * (y - a[0]) - (x - a[1]) * (b[0] - a[0])) <= 0)


@numba.njit(cache=True, nogil=True)
def _polygon(left: Ints, right: Ints, aspect: float) -> Floats:
    """Return the corners in order, as (k, 2) of (y, x) in pixels of x."""
    points = np.empty((left.shape[0] + right.shape[0], 2))
    size = 0
    for index in range(points.shape[0]):
        rightwards = index - left.shape[0]
        corner = left[index] if rightwards < 0 else right[right.shape[0] - 1 - rightwards]
        y, x = 0.5 * aspect * corner[0], 0.5 * corner[1]
        if size == 0 or y != points[size - 1, 0] or x != points[size - 1, 1]:
            points[size, 0], points[size, 1] = y, x
            size += 1
    if points[0, 0] == points[size - 1, 0] and points[0, 1] == points[size - 1, 1]:
        size -= 1
    return points[:size]


@numba.njit(cache=True, nogil=True)
def _convex_rows(left: Ints, right: Ints, height: int) -> tuple[Ints, Ints]:
    """Return the first and last pixel of each row whose centre lies in or on the hull."""
    first = np.full(height, _EMPTY, dtype=np.int64)
    last = np.full(height, -_EMPTY, dtype=np.int64)
    i, j = 0, 0
    for y in range(height):
        level = 2 * y
        if left[0, 0] <= level <= left[-1, 0]:
            while left[i + 1, 0] < level:
                i += 1
            while right[j + 1, 0] < level:
                j += 1
            over, under = _crossing(left, i, level)
            first[y] = -((-over) // under)
            over, under = _crossing(right, j, level)
            last[y] = over // under
    return first, last


@numba.njit(cache=True, nogil=True)
def _count_between(first: Ints, last: Ints) -> int:
    count = 0
    for y in range(first.size):
        count += max(last[y] - first[y] + 1, 0)
    return count


@numba.njit(cache=True, nogil=True)
def _crossing(chain: Ints, i: int, level: int) -> tuple[int, int]:
    """Column where a side crosses a half row, as an exact fraction."""
    rise = chain[i + 1, 0] - chain[i, 0]
    run = chain[i + 1, 1] - chain[i, 1]
    return chain[i, 1] * rise + run * (level - chain[i, 0]), 2 * rise


@numba.njit(cache=True, nogil=True)
def _length(points: Floats) -> float:
    total = 0.0
    for i in range(points.shape[0]):
        total += math.hypot(
            points[i, 0] - points[i - 1, 0],
            points[i, 1] - points[i - 1, 1],
        )
    return total


@numba.njit(cache=True, nogil=True)
def _angle(dy: float, dx: float) -> float:
    angle = math.atan2(dx, dy)
    if angle > 0.5 * math.pi:
        angle -= math.pi
    elif angle <= -0.5 * math.pi:
        angle += math.pi
    return angle


@numba.njit(cache=True, nogil=True)
def _feret_max(points: Floats) -> tuple[float, float]:
    best, angle = -1.0, 0.0
    for i in range(points.shape[0]):
        for j in range(i):
            dy, dx = points[i, 0] - points[j, 0], points[i, 1] - points[j, 1]
            if dy * dy + dx * dx > best * (1.0 + 1e-12):
                best = dy * dy + dx * dx
                angle = _angle(dy, dx)
    return math.sqrt(best), angle


@numba.njit(cache=True, nogil=True)
def _feret_min(points: Floats) -> tuple[float, float]:
    """Smallest width: it is met perpendicular to a side of the hull (rotating calipers)."""
    best, angle = np.inf, 0.0
    for i in range(points.shape[0]):
        dy, dx = points[i, 0] - points[i - 1, 0], points[i, 1] - points[i - 1, 1]
        side = math.hypot(dy, dx)
        width = _width(points, -dx / side, dy / side)
        if width < best * (1.0 - 1e-12):
            best = width
            angle = _angle(-dx, dy)
    return best, angle


@numba.njit(cache=True, nogil=True)
def _width(points: Floats, along_y: float, along_x: float) -> float:
    low, high = np.inf, -np.inf
    for i in range(points.shape[0]):
        place = points[i, 0] * along_y + points[i, 1] * along_x
        low = min(low, place)
        high = max(high, place)
    return high - low


@numba.njit(cache=True, nogil=True)
def _mean_width(points: Floats, aspect: float, weights: Floats) -> float:
    """Perimeter of the hull from its widths in the four directions of the lattice (Cauchy).

    The same quadrature as the particle's Crofton perimeter, so that their ratio has no bias.
    """
    slanted = math.sqrt(1.0 + aspect * aspect)
    total: float = weights[0] * _width(points, 1.0, 0.0) + weights[1] * _width(points, 0.0, 1.0)
    for sign in (-1.0, 1.0):
        total += weights[2] * _width(points, sign / slanted, aspect / slanted)
    return total


@numba.njit(cache=True, nogil=True)
def _enclosing_radius(points: Floats) -> float:
    """Radius of the smallest circle round the points (Welzl, the incremental form)."""
    y, x, r = points[0, 0], points[0, 1], 0.0
    for i in range(1, points.shape[0]):
        if not _inside(points[i], y, x, r):
            y, x, r = points[i, 0], points[i, 1], 0.0
            for j in range(i):
                if not _inside(points[j], y, x, r):
                    y, x, r = _circle_of_two(points[i], points[j])
                    for k in range(j):
                        if not _inside(points[k], y, x, r):
                            y, x, r = _circle_of_three(points[i], points[j], points[k])
    return r


@numba.njit(cache=True, nogil=True)
def _inside(point: Floats, y: float, x: float, r: float) -> bool:
    dy, dx = point[0] - y, point[1] - x
    return bool(dy * dy + dx * dx <= r * r * (1.0 + 1e-10) + 1e-12)


@numba.njit(cache=True, nogil=True)
def _circle_of_two(a: Floats, b: Floats) -> tuple[float, float, float]:
    y, x = 0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1])
    return y, x, math.hypot(a[0] - y, a[1] - x)


@numba.njit(cache=True, nogil=True)
def _circle_of_three(a: Floats, b: Floats, c: Floats) -> tuple[float, float, float]:
    """Circumcircle; corners of a hull do not lie on one line."""
    by, bx, cy, cx = b[0] - a[0], b[1] - a[1], c[0] - a[0], c[1] - a[1]
    twice = 2.0 * (bx * cy - by * cx)
    b2, c2 = by * by + bx * bx, cy * cy + cx * cx
    dx = (cy * b2 - by * c2) / twice
    dy = (bx * c2 - cx * b2) / twice
    return a[0] + dy, a[1] + dx, math.hypot(dy, dx)
