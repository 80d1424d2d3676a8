"""Re-simulation: draw the predicted outline over the particle's mask and say how well it fits."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.simulate.crystal import POINTS, centred_profiles

_COARSE = 10
"""Table steps (of 720) between phases of the first search: 5 degrees."""
_SCALES = (0.94, 0.97, 1.0, 1.03, 1.06)
"""Sizes tried at the best phase, relative to the outline of the mask's own area."""


def redraw(
    crops: NDArray[np.float32], p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike
) -> dict[str, NDArray[np.float32]]:
    """Return ``phi_rad`` and ``jaccard``, (n,) float32 each, of outlines fitted into crops.

    ``crops`` (n, size, size) are mask crops of `nanolake.shape.cut` (a pixel is inside from 0.5);
    ``p``, ``d``, ``l_ratio`` broadcast to (n,). The outline's centroid is put on the mask's (the
    crop's centre), its area starts at the mask's. phi (eq. 1, in [0, 2 pi / d), image coordinates
    with y down) is searched in steps of 5 degrees, then 0.5 degree; the size over +-6 %. Jaccard
    is intersection / union in crop pixels. An empty crop or a non-finite parameter gives NaN.
    """
    n = len(crops)
    p_, d_, l_ = (np.broadcast_to(np.asarray(v, float), (n,)) for v in (p, d, l_ratio))
    usable = np.isfinite(p_) & np.isfinite(d_) & np.isfinite(l_)
    table = centred_profiles(*(np.where(usable, v, 2.0) for v in (p_, d_, l_)))
    fitted = np.full((n, 2), np.nan)
    masks = np.ascontiguousarray(crops >= 0.5)
    rho, angle = _polar_grid(masks.shape[1] if n else 1)
    periods = np.where(usable, POINTS / np.where(usable, d_, 1.0), 0).astype(np.int64)
    _fit(masks, table, periods, rho, angle, np.asarray(_SCALES), fitted)
    phi = fitted[:, 0] * (2.0 * np.pi / POINTS)
    return {"phi_rad": phi.astype(np.float32), "jaccard": fitted[:, 1].astype(np.float32)}


def _polar_grid(size: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return distance and table angle of every crop pixel's centre from the crop's centre."""
    y, x = np.mgrid[:size, :size] - 0.5 * (size - 1)
    angle = np.rint(np.arctan2(y, x) * (POINTS / (2.0 * np.pi))).astype(np.int64) % POINTS
    return np.hypot(y, x).ravel(), angle.ravel()


@numba.njit(cache=True)
def _fit(
    masks: NDArray[np.bool_],
    table: NDArray[np.float64],
    periods: NDArray[np.int64],
    rho: NDArray[np.float64],
    angle: NDArray[np.int64],
    scales: NDArray[np.float64],
    fitted: NDArray[np.float64],
) -> None:
    points = table.shape[1]
    twice = np.empty(2 * points)
    for i in range(masks.shape[0]):
        inside = np.flatnonzero(masks[i])
        if inside.size == 0 or periods[i] == 0:
            continue
        r = np.sqrt(inside.size / np.pi)
        twice[:points] = table[i] * r
        twice[points:] = twice[:points]
        best = _best_shift(twice, inside, rho, angle, 0, periods[i], _COARSE)
        best = _best_shift(twice, inside, rho, angle, best - _COARSE, best + _COARSE + 1, 1)
        fitted[i, 0] = best % periods[i]
        for scale in scales:
            value = _jaccard(twice, inside, rho, angle, best % points, scale)
            if not fitted[i, 1] >= value:
                fitted[i, 1] = value


@numba.njit(cache=True)
def _best_shift(
    twice: NDArray[np.float64],
    inside: NDArray[np.int64],
    rho: NDArray[np.float64],
    angle: NDArray[np.int64],
    start: int,
    stop: int,
    step: int,
) -> int:
    """Return the shift of the table that covers most mask pixels (the outline's area is fixed)."""
    points = twice.shape[0] // 2
    best, most = start, -1
    for shift in range(start, stop, step):
        turn = shift % points
        covered = 0
        for k in inside:
            covered += rho[k] < twice[angle[k] + turn]
        if covered > most:
            best, most = shift, covered
    return best


@numba.njit(cache=True)
def _jaccard(
    twice: NDArray[np.float64],
    inside: NDArray[np.int64],
    rho: NDArray[np.float64],
    angle: NDArray[np.int64],
    turn: int,
    scale: float,
) -> float:
    """Return intersection / union of the mask and the outline at one phase and size."""
    drawn, both = 0, 0
    for k in range(rho.size):
        drawn += rho[k] < scale * twice[angle[k] + turn]
    for k in inside:
        both += rho[k] < scale * twice[angle[k] + turn]
    return both / (drawn + inside.size - both)
