"""Climb: the pose of an outline from which no small change covers its mask better. Compiled.

BFGS (Nocedal & Wright, Numerical Optimization, 2nd edition, 6.1) on the Jaccard of `overlap`. It
starts from the curvature that the Jaccard of an outline about `_EDGE_PX` off its mask has: the
outline's own metric, so that the first step is already of the right length for every parameter.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.shape.overlap import (
    CENTRE_Y,
    LOG_L,
    LOG_L_RANGE,
    LOG_P,
    LOG_P_RANGE,
    LOG_SIZE,
    LOG_SIZE_REACH,
    PHI,
    slope,
)

Floats = NDArray[np.float64]

_EDGE_PX = 1.25
"""Spread of the distance between outline and mask, in crop pixels, that the first step is made
for. d2(area between) / d(shift)2 = 2 x (density of edges at no distance) = 0.8 / spread."""
_STIFF = 1e-3
"""Added to the metric, times the mask's area (1 for the centre): phi of a circle has none."""
_LONGEST = np.array([0.7, 0.5, 0.5, 0.2, 6.0, 6.0])
"""Longest step of ln p, ln L, d/2 phi (rad), ln size, and the centre in px."""
_SHORTER, _TRIES = 0.35, 5
"""A step that does not climb is shortened by the factor, so often."""


@numba.njit(cache=True)
def climb(
    pose: Floats,
    d: int,
    sheet: Floats,
    sums: Floats,
    area: float,
    rows: Floats,
    free: NDArray[np.bool_],
    steps: int,
    gain: float,
) -> float:
    """Move ``pose`` in place to a maximum of the soft Jaccard, which is returned.

    Only parameters that are ``free`` (6,) move. Ends after ``steps``, or where a step promises or
    brings less than ``gain``. ``sheet``, ``sums``, ``area``, ``rows`` as in `overlap`.
    """
    largest = 0.5 * np.log(area / np.pi) + LOG_SIZE_REACH
    gradient, ahead = np.zeros(6), np.zeros(6)
    inverse, none = np.zeros((6, 6)), np.zeros((0, 0))
    hold(pose, free, largest)
    value: float = slope(pose, d, sheet, sums, area, rows, gradient, inverse)
    inverse = _first_inverse(inverse, free, area)
    reached, step, bent = np.zeros(6), np.zeros(6), np.zeros(6)
    for _ in range(steps):
        promised = _direction(inverse, gradient, free, step)
        if promised < gain:
            break
        length, found = _longest(step, d), -1.0
        for _try in range(_TRIES):
            for t in range(6):
                reached[t] = pose[t] + length * step[t]
            hold(reached, free, largest)
            found = slope(reached, d, sheet, sums, area, rows, ahead, none)
            if found > value + 1e-4 * length * promised:
                break
            length *= _SHORTER
        if found <= value:
            break
        for t in range(6):
            step[t] = reached[t] - pose[t]
            bent[t] = gradient[t] - ahead[t] if free[t] else 0.0
            pose[t], gradient[t] = reached[t], ahead[t]
        _learn(inverse, step, bent)
        gained, value = found - value, found
        if gained < gain:
            break
    return value


@numba.njit(cache=True)
def hold(pose: Floats, free: NDArray[np.bool_], largest: float) -> None:
    """Keep p, L and size of a pose in their ranges, where they are free."""
    if free[LOG_P]:
        pose[LOG_P] = min(max(pose[LOG_P], LOG_P_RANGE[0]), LOG_P_RANGE[1])
    if free[LOG_L]:
        pose[LOG_L] = min(max(pose[LOG_L], LOG_L_RANGE[0]), LOG_L_RANGE[1])
    if free[LOG_SIZE]:
        smallest = largest - 2.0 * LOG_SIZE_REACH
        pose[LOG_SIZE] = min(max(pose[LOG_SIZE], smallest), largest)


@numba.njit(cache=True)
def _first_inverse(metric: Floats, free: NDArray[np.bool_], area: float) -> Floats:
    """Return the inverse of the curvature that the outline's metric stands for."""
    stiff = metric.copy()
    for t in range(6):
        stiff[t, t] += _STIFF * (area if t < CENTRE_Y else 1.0)
        if not free[t]:
            stiff[t, :] = 0.0
            stiff[:, t] = 0.0
            stiff[t, t] = 1.0
    inverse = np.empty_like(stiff)
    inverse[:] = np.linalg.inv(stiff) * (area * _EDGE_PX / 0.8)
    return inverse


@numba.njit(cache=True)
def _direction(inverse: Floats, gradient: Floats, free: NDArray[np.bool_], step: Floats) -> float:
    """Fill ``step`` and return what it promises where the slope does not change."""
    promised = 0.0
    for t in range(6):
        step[t] = 0.0
        if free[t]:
            for u in range(6):
                step[t] += inverse[t, u] * gradient[u] * free[u]
            promised += step[t] * gradient[t]
    return promised


@numba.njit(cache=True)
def _longest(step: Floats, d: int) -> float:
    """Return the share of a step, 1 at most, that moves nothing too far."""
    share = 1.0
    for t in range(6):
        moved = abs(step[t]) * (0.5 * d if t == PHI else 1.0)
        if moved * share > _LONGEST[t]:
            share = _LONGEST[t] / moved
    return share


@numba.njit(cache=True)
def _learn(inverse: Floats, step: Floats, bent: Floats) -> None:
    """Update the inverse curvature (BFGS) by how the slope changed along a step."""
    along, turned, across = 0.0, np.zeros(6), 0.0
    for t in range(6):
        along += step[t] * bent[t]
        for u in range(6):
            turned[t] += inverse[t, u] * bent[u]
        across += bent[t] * turned[t]
    if along <= 1e-12:
        return
    for t in range(6):
        for u in range(6):
            inverse[t, u] += (along + across) * step[t] * step[u] / along**2
            inverse[t, u] -= (turned[t] * step[u] + step[t] * turned[u]) / along
