"""How well an outline of eq. 1 covers a mask, and how that changes with the outline. Compiled.

Strategy. An outline is `ANGLES` points; the mask is a sheet that is linear between the centres of
its pixels. Green's theorem turns the area that the outline shares with the mask into a sum along
the outline, of the mask integrated from the left up to each point. After one running sum over the
crop, an overlap therefore costs `ANGLES` look-ups instead of a visit to every pixel, and its
derivative by any parameter is the mask's value at the outline times how fast the outline moves
outwards there. Concave, ring-shaped and cut masks need no case of their own.

A pose is six numbers: ln p, ln L, phi, ln (radius of the circle of the outline's area), and the
outline's centroid y, x, lengths in crop pixels with the centre of the first pixel at 0, 0. Area
and centroid stay where they are while p, L and phi change, so the six hardly depend on one another.

For whoever changes this file: numba keeps compiled callers in other modules (`climb`,
`resimulate`, `refine`) until those files change as well; delete `shape/__pycache__` before a test.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

ANGLES = 240
"""Points on an outline: a multiple of 2 d for every d, so that half a period is whole."""
LOG_P, LOG_L, PHI, LOG_SIZE, CENTRE_Y, CENTRE_X = range(6)
"""Places in a pose."""
LOG_P_RANGE = (float(np.log(0.5)), float(np.log(70.0)))
"""What p is held to: the range that the network is trained in."""
LOG_L_RANGE = (-3.0, 3.0)
"""What L is held to while searched for: 1 / 20 to 20; folded into (0, 1] at the end."""
LOG_SIZE_REACH = 0.35
"""The radius is held to this many units of ln around that of the mask's own area: +-40 %."""

_THETA = 2.0 * np.pi * np.arange(ANGLES) / ANGLES
_COS, _SIN = np.cos(_THETA), np.sin(_THETA)
_NOUGHT = -40.0


def _half_angles() -> Floats:
    """Return ln |cos|, ln |sin| of the half angles (7, ANGLES / 2 + 1, 2): half a period of d."""
    logs = np.full((7, ANGLES // 2 + 1, 2), _NOUGHT)
    for d in range(1, 7):
        half = ANGLES // (2 * d)
        alpha = 0.5 * np.pi * np.arange(half + 1) / half
        logs[d, :half, 0] = np.log(np.cos(alpha[:-1]))
        logs[d, 1 : half + 1, 1] = np.log(np.sin(alpha[1:]))
    return logs


_LOGS = _half_angles()


@numba.njit(cache=True)
def sheet_of(mask: Bytes) -> tuple[Floats, Floats]:
    """Return the mask with a border of one pixel, and its integral along each row, from the left.

    Both (n + 2, n + 2): the integral at (j, i) is that of the line between the pixels' centres.
    """
    n = mask.shape[0]
    sheet, sums = np.zeros((n + 2, n + 2)), np.zeros((n + 2, n + 2))
    for j in range(n):
        for i in range(n):
            sheet[j + 1, i + 1] = mask[j, i]
        for i in range(1, n + 2):
            sums[j + 1, i] = sums[j + 1, i - 1] + 0.5 * (sheet[j + 1, i - 1] + sheet[j + 1, i])
    return sheet, sums


@numba.njit(cache=True, fastmath=True)
def unit_radii(log_p: float, log_l: float, d: int, rows: Floats) -> tuple[float, float, float]:
    """Fill in eq. 1's radii, the outline's area being pi, with their derivatives.

    ``rows`` (5, ANGLES): row 0 the radius R, rows 1 and 2 the derivatives of ln R by ln p and
    ln L. Returns the distance of the centroid from eq. 1's origin (0 but for d = 1) and its two
    derivatives; it lies where theta + phi = 0.
    """
    half, p = ANGLES // (2 * d), np.exp(log_p)
    area, area_p, area_l = 0.0, 0.0, 0.0
    for q in range(half + 1):
        a, b = log_l + _LOGS[d, q, 0], _LOGS[d, q, 1]
        small = np.exp(-p * abs(a - b))
        share = 1.0 / (1.0 + small) if a > b else small / (1.0 + small)
        log_r = -max(a, b) - np.log(1.0 + small) / p
        rows[0, q] = np.exp(log_r)
        rows[1, q] = -log_r - (share * a + (1.0 - share) * b)
        rows[2, q] = -share
        part = rows[0, q] ** 2 * (0.5 if q == 0 or q == half else 1.0)
        area += part
        area_p += part * rows[1, q]
        area_l += part * rows[2, q]
    factor = np.sqrt(half / area)
    for q in range(half + 1):
        rows[0, q] *= factor
        rows[1, q] -= area_p / area
        rows[2, q] -= area_l / area
    _repeat(2 * half, rows)
    return _off_centre(half, rows) if d == 1 else (0.0, 0.0, 0.0)


@numba.njit(cache=True)
def _repeat(period: int, rows: Floats) -> None:
    """Mirror half a period of rows 0 to 2 into the other half, and repeat it round the outline."""
    for t in range(3):
        for k in range(period // 2 + 1, period):
            rows[t, k] = rows[t, period - k]
        for k in range(period, ANGLES):
            rows[t, k] = rows[t, k - period]


@numba.njit(cache=True, fastmath=True)
def _off_centre(half: int, rows: Floats) -> tuple[float, float, float]:
    """Return centroid and derivatives of a lopsided outline: integral of R^3 cos / (3 pi)."""
    off, off_p, off_l = 0.0, 0.0, 0.0
    for q in range(half + 1):
        part = rows[0, q] ** 3 * _COS[q] * (2.0 if q == 0 or q == half else 4.0) / ANGLES
        off += part / 3.0
        off_p += part * rows[1, q]
        off_l += part * rows[2, q]
    return off, off_p, off_l


@numba.njit(cache=True, fastmath=True)
def place(pose: Floats, off: float, rows: Floats, stride: int) -> None:
    """Fill rows 3 and 4 with every ``stride``-th point x, y of the outline from its centroid."""
    size = np.exp(pose[LOG_SIZE])
    cos, sin = size * np.cos(pose[PHI]), size * np.sin(pose[PHI])
    for k in range(0, ANGLES, stride):
        r = rows[0, k]
        u, v = r * _COS[k] - off, r * _SIN[k]
        rows[3, k] = u * cos + v * sin
        rows[4, k] = v * cos - u * sin


@numba.njit(cache=True, inline="always")
def _normal(rows: Floats, k: int, stride: int) -> tuple[float, float]:
    """Return the outward normal x, y at a point, as long as the outline's share of it."""
    before = k - stride if k > 0 else ANGLES - stride
    after = k + stride if k < ANGLES - stride else 0
    return 0.5 * (rows[4, after] - rows[4, before]), 0.5 * (rows[3, before] - rows[3, after])


@numba.njit(cache=True, inline="always", fastmath=True)
def _look(sheet: Floats, sums: Floats, y: float, x: float) -> tuple[float, float]:
    """Return the mask at a point of the crop, and its integral from the left up to there."""
    last = sheet.shape[0] - 1 - 1e-9
    y, x = min(max(y + 1.0, 0.0), last), min(max(x + 1.0, 0.0), last)
    j, i = int(y), int(x)
    v, u = y - j, x - i
    rise, rise_below = sheet[j, i + 1] - sheet[j, i], sheet[j + 1, i + 1] - sheet[j + 1, i]
    here = (1.0 - v) * (sheet[j, i] + u * rise) + v * (sheet[j + 1, i] + u * rise_below)
    above = sums[j, i] + u * (sheet[j, i] + 0.5 * u * rise)
    below = sums[j + 1, i] + u * (sheet[j + 1, i] + 0.5 * u * rise_below)
    return here, (1.0 - v) * above + v * below


@numba.njit(cache=True, fastmath=True)
def soft_jaccard(
    pose: Floats,
    off: float,
    sheet: Floats,
    sums: Floats,
    mask_area: float,
    rows: Floats,
    stride: int = 1,
) -> float:
    """Return intersection / union of outline and sheet; `unit_radii` has filled ``rows``.

    ``stride`` takes every second, third … point: coarser, for a first search.
    """
    place(pose, off, rows, stride)
    drawn, both = 0.0, 0.0
    for k in range(0, ANGLES, stride):
        nx, _ = _normal(rows, k, stride)
        x = rows[3, k]
        drawn += x * nx
        both += nx * _look(sheet, sums, rows[4, k] + pose[CENTRE_Y], x + pose[CENTRE_X])[1]
    return both / (mask_area + drawn - both)


@numba.njit(cache=True, fastmath=True)
def slope(
    pose: Floats,
    d: int,
    sheet: Floats,
    sums: Floats,
    mask_area: float,
    rows: Floats,
    gradient: Floats,
    metric: Floats,
) -> float:
    """Return `soft_jaccard` and fill its ``gradient`` (6,) by the pose.

    Also fills ``metric`` (6, 6) where it has rows: the sum over the outline of (normal shift by
    one parameter) x (normal shift by another), px^2 of outline.
    """
    off, off_p, off_l = unit_radii(pose[LOG_P], pose[LOG_L], d, rows)
    place(pose, off, rows, 1)
    size = np.exp(pose[LOG_SIZE])
    ex, ey = size * np.cos(pose[PHI]), -size * np.sin(pose[PHI])
    drawn, both = 0.0, 0.0
    moved = np.zeros(6)
    by_drawn, by_both = np.zeros(6), np.zeros(6)
    metric[:] = 0.0
    for k in range(ANGLES):
        nx, ny = _normal(rows, k, 1)
        x, y = rows[3, k], rows[4, k]
        inside, left = _look(sheet, sums, y + pose[CENTRE_Y], x + pose[CENTRE_X])
        drawn += x * nx
        both += left * nx
        axis, out = ex * nx + ey * ny, x * nx + y * ny
        radial = out + off * axis
        moved[LOG_P] = rows[1, k] * radial - off_p * axis
        moved[LOG_L] = rows[2, k] * radial - off_l * axis
        moved[PHI] = y * nx - x * ny
        moved[LOG_SIZE], moved[CENTRE_Y], moved[CENTRE_X] = out, ny, nx
        for t in range(6):
            by_drawn[t] += moved[t]
            by_both[t] += inside * moved[t]
        if metric.size:
            _add_outer(metric, moved, 1.0 / np.sqrt(nx * nx + ny * ny + 1e-12))
    union = mask_area + drawn - both
    for t in range(6):
        gradient[t] = ((union + both) * by_both[t] - both * by_drawn[t]) / union**2
    return both / union


@numba.njit(cache=True, inline="always", fastmath=True)
def _add_outer(metric: Floats, moved: Floats, weight: float) -> None:
    for t in range(6):
        for u in range(6):
            metric[t, u] += weight * moved[t] * moved[u]


@numba.njit(cache=True)
def hard_jaccard(
    pose: Floats, d: int, mask: Bytes, mask_area: int, rows: Floats, runs: NDArray[np.int32]
) -> float:
    """Return intersection / union in whole pixels: those whose centre the outline encloses.

    Also pixels outside the crop count as drawn. ``runs`` (n, n + 1) is scratch space. The outline
    is drawn by scan lines: every edge notes where it enters or leaves a row, and a running sum
    along the row says what is inside.
    """
    off, _, _ = unit_radii(pose[LOG_P], pose[LOG_L], d, rows)
    place(pose, off, rows, 1)
    n, drawn, both = mask.shape[0], 0, 0
    runs[:] = 0
    for k in range(ANGLES):
        after = k + 1 if k < ANGLES - 1 else 0
        y0, y1 = rows[4, k] + pose[CENTRE_Y], rows[4, after] + pose[CENTRE_Y]
        x0, x1 = rows[3, k] + pose[CENTRE_X], rows[3, after] + pose[CENTRE_X]
        way = 1 if y1 > y0 else -1
        for row in range(int(np.ceil(min(y0, y1))), int(np.ceil(max(y0, y1)))):
            column = int(np.ceil(x0 + (row - y0) * (x1 - x0) / (y1 - y0)))
            drawn += way * column
            if 0 <= row < n:
                runs[row, min(max(column, 0), n)] += way
    for row in range(n):
        depth = 0
        for column in range(n):
            depth += runs[row, column]
            both += mask[row, column] if depth != 0 else 0
    return both / (abs(drawn) + mask_area - both)
