"""Re-simulation: draw the predicted outline over the particle's mask and say how well it fits."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.shape.climb import climb
from nanolake.shape.overlap import (
    ANGLES,
    CENTRE_X,
    CENTRE_Y,
    LOG_L,
    LOG_P,
    LOG_SIZE,
    PHI,
    hard_jaccard,
    sheet_of,
    soft_jaccard,
    unit_radii,
)

Floats = NDArray[np.float64]

_PHASES = 24
"""Phases tried in one period of the outline, before the best is climbed from."""
_STEPS, _GAIN = 12, 1e-5
"""Most steps of the climb; it ends where one promises less Jaccard than the gain."""
_TIE = 1e-9
"""Soft Jaccards that differ by less are equal, and the first phase is the one."""
_DRAWN_P, _DRAWN_L = (0.05, 1e4), (1e-3, 1e3)
"""Beyond these an outline has no width or no longer changes: it is drawn at the end of them."""
_TURN_AND_SIZE = np.array([False, False, True, True, False, False])
"""What of a pose is searched: the prediction's p and L stay, and so does the mask's centroid."""


def redraw(
    crops: NDArray[np.float32], p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike
) -> dict[str, NDArray[np.float32]]:
    """Return ``phi_rad`` and ``jaccard``, (n,) float32 each, of outlines fitted into crops.

    ``crops`` (n, size, size) are mask crops of `nanolake.shape.cut` (a pixel is inside from 0.5);
    ``p``, ``d`` (1 to 6), ``l_ratio`` broadcast to (n,). The outline's centroid is put on the
    mask's. phi (eq. 1, in [0, 2 pi / d), image coordinates with y down) and the size, from that of
    the mask's own area, are searched: 24 phases a period, the best climbed from (`overlap`).
    Jaccard is intersection / union in crop pixels. An empty crop or a parameter that is not
    finite gives NaN.
    """
    d_ = whole_d(d, len(crops))
    poses, jaccard = fitted_poses(crops, p, d_, l_ratio)
    phi = phase(poses[:, PHI], d_)
    return {"phi_rad": phi, "jaccard": jaccard.astype(np.float32)}


def phase(phi: Floats, d: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return phi as float32 in [0, 2 pi / d)."""
    period = 2.0 * np.pi / np.maximum(d, 1)
    turned = np.mod(phi, period).astype(np.float32)
    return np.where(turned >= period, np.float32(0.0), turned)


def whole_d(d: ArrayLike, count: int) -> NDArray[np.int64]:
    """Return d as (count,) int64, 0 where it is not finite or not from 1 to 6."""
    given = np.broadcast_to(np.asarray(d, float), (count,))
    return np.where((given >= 1) & (given <= 6), given, 0).astype(np.int64)


def fitted_poses(
    crops: NDArray[np.float32], p: ArrayLike, d: NDArray[np.int64], l_ratio: ArrayLike
) -> tuple[Floats, Floats]:
    """Return poses (n, 6) of `overlap` at the best phase and size, and their Jaccard (n,).

    Rows that cannot be fitted are NaN.
    """
    n = len(crops)
    masks = binary(crops)
    p_, l_ = (np.broadcast_to(np.asarray(v, float), (n,)) for v in (p, l_ratio))
    poses, jaccard = np.full((n, 6), np.nan), np.full(n, np.nan)
    usable = (d > 0) & (p_ > 0) & (l_ > 0) & np.isfinite(p_) & np.isfinite(l_)
    poses[usable, LOG_P] = np.log(np.clip(p_[usable], *_DRAWN_P))
    poses[usable, LOG_L] = np.log(np.clip(l_[usable], *_DRAWN_L))
    _fit(masks, d, usable, poses, jaccard)
    poses[np.isnan(jaccard)] = np.nan
    return poses, jaccard


def binary(crops: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return which pixels of the crops are inside: 1 from 0.5, else 0 (also where NaN)."""
    return np.ascontiguousarray(np.asarray(crops) >= 0.5).view(np.uint8)


@numba.njit(cache=True, nogil=True)
def _fit(
    masks: NDArray[np.uint8],
    d: NDArray[np.int64],
    usable: NDArray[np.bool_],
    poses: Floats,
    jaccard: Floats,
) -> None:
    size = masks.shape[1]
    rows, runs = np.zeros((5, ANGLES)), np.zeros((size, size + 1), np.int32)
    for i in range(masks.shape[0]):
        area = int(masks[i].sum())
        if area == 0 or not usable[i]:
            continue
        sheet, sums = sheet_of(masks[i])
        pose = poses[i]
        put_on_mask(pose, masks[i], area)
        best_phase(pose, d[i], sheet, sums, float(area), rows, _PHASES)
        climb(pose, d[i], sheet, sums, float(area), rows, _TURN_AND_SIZE, _STEPS, _GAIN)
        jaccard[i] = hard_jaccard(pose, d[i], masks[i], area, rows, runs)


@numba.njit(cache=True)
def put_on_mask(pose: Floats, mask: NDArray[np.uint8], area: int) -> None:
    """Give a pose the mask's area and centroid."""
    sum_y, sum_x = 0, 0
    for y in range(mask.shape[0]):
        in_row = 0
        for x in range(mask.shape[1]):
            in_row += mask[y, x]
            sum_x += mask[y, x] * x
        sum_y += in_row * y
    pose[PHI], pose[LOG_SIZE] = 0.0, 0.5 * np.log(area / np.pi)
    pose[CENTRE_Y], pose[CENTRE_X] = sum_y / area, sum_x / area


@numba.njit(cache=True)
def best_phase(
    pose: Floats, d: int, sheet: Floats, sums: Floats, area: float, rows: Floats, phases: int
) -> Any:
    """Turn a pose to the best of ``phases`` phases of its period; return the soft Jaccard there."""
    off, _, _ = unit_radii(pose[LOG_P], pose[LOG_L], d, rows)
    best, most = 0.0, -1.0
    for k in range(phases):
        pose[PHI] = k * 2.0 * np.pi / (d * phases)
        value = soft_jaccard(pose, off, sheet, sums, area, rows, 2)
        if value > most + _TIE:  # a square's phases tie: the last bit must not choose
            best, most = pose[PHI], value
    pose[PHI] = best
    return most
