"""Refinement: the outline of eq. 1 that covers a mask best, found from the network's prediction.

The network reads p, d and L off the whole outline at once and is right on average; the refinement
then moves p, L, phi, size and centre together until no small change covers the mask better
(`climb`). It is stored beside the prediction, never in its place: it has no uncertainty, and it
follows every dent of one mask, where the network has seen what such dents are worth.
"""

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
    unit_radii,
)
from nanolake.shape.predictor import ShapePredictor, predict_labels
from nanolake.shape.resimulate import best_phase, binary, fitted_poses, phase, put_on_mask, whole_d

Floats = NDArray[np.float64]

METHOD = "jaccard-1"
"""Name of this way of refining, as stored; another name where results would differ."""
LIKELY = 0.05
"""Besides the reported d, the two next are tried where the network gives them this much."""
CLEARLY = 0.005
"""Another d is taken where its Jaccard is higher by more: equal outlines keep their name."""
_RIVALS = 2
_STEPS, _GAIN = 30, 1e-5
"""Most steps of a climb; it ends where one promises less Jaccard than the gain."""
_STARTS = np.log(np.array([[1.5, 0.5], [3.0, 0.9], [6.0, 0.6], [2.5, 0.3]]))
"""ln p, ln L that the climb for another d starts from: the best of them at the best phase."""
_PHASES = 12
_ROUND = 0.01
"""`superellipse.canonical`: a radius that varies by less is a circle's, (2, 2, 1)."""
_ALL = np.ones(6, np.bool_)


def refine_outlines(
    crops: NDArray[np.float32],
    p: ArrayLike,
    d: ArrayLike,
    l_ratio: ArrayLike,
    d_probability: NDArray[Any] | None = None,
) -> dict[str, NDArray[Any]]:
    """Fit the outline of eq. 1 into mask crops of `cut`, (n, size, size), from a prediction.

    ``p``, ``d``, ``l_ratio`` broadcast to (n,); ``d_probability`` (n, 6), where given, names
    other d to try. Returns arrays (n,): canonical ``p``, ``L_ratio`` float32 and ``d`` int32
    (`superellipse.canonical`); ``phi_rad`` and ``jaccard`` float32 as `redraw` gives them, so that
    the two compare; ``size_factor`` float32, the outline's radius over the mask's (of the circles
    of equal area); ``offset_y``, ``offset_x`` float32, the outline's centroid from the mask's in
    equivalent circular diameters of the mask, y down; ``improved`` bool.

    Never covers a mask worse than `redraw`: the prediction is kept as it is where nothing better
    is found (``improved`` False). An empty crop or a prediction that is not finite gives NaN and
    d = 0. Each row depends on its own crop only.
    """
    whole = whole_d(d, len(crops))
    poses, jaccard = fitted_poses(crops, p, whole, l_ratio)
    return _refined(crops, (p, whole, l_ratio), d_probability, poses, jaccard)


def refine_particles(
    pixels: NDArray[Any] | None,
    labels: NDArray[Any],
    predictor: ShapePredictor,
    *,
    pixel_aspect: float = 1.0,
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return `predict_particles` of one label image, and `refine_outlines` of the same particles.

    Both have ``label`` (n,) int64, ascending: the columns of ``shape_prediction.toml`` and of
    ``shape_refinement.toml`` in ``schemas/tables/``.
    """
    ids, crops, predicted = predict_labels(pixels, labels, predictor, pixel_aspect)
    triple = predicted["p"], whole_d(predicted["d"], len(crops)), predicted["L_ratio"]
    poses, jaccard = fitted_poses(crops, *triple)
    drawn = {"phi_rad": phase(poses[:, PHI], triple[1]), "jaccard": jaccard.astype(np.float32)}
    refined = _refined(crops, triple, predicted["d_probability"], poses, jaccard)
    return {"label": ids, **predicted, **drawn}, {"label": ids, **refined}


def _refined(
    crops: NDArray[np.float32],
    triple: tuple[ArrayLike, NDArray[np.int64], ArrayLike],
    d_probability: NDArray[Any] | None,
    poses: Floats,
    jaccard: Floats,
) -> dict[str, NDArray[Any]]:
    """Refine the ``poses`` of a prediction and their ``jaccard`` in place (`refine_outlines`)."""
    n = len(crops)
    d, improved, relative = triple[1].copy(), np.zeros(n, bool), np.full((n, 3), np.nan)
    chance = np.zeros((n, 6)) if d_probability is None else np.asarray(d_probability, float)
    _refine(binary(crops), chance, poses, d, jaccard, improved, relative)
    d[np.isnan(jaccard)] = 0
    return {
        "p": _kept(triple[0], np.exp(poses[:, LOG_P]), improved, jaccard),
        "d": d.astype(np.int32),
        "L_ratio": _kept(triple[2], np.exp(poses[:, LOG_L]), improved, jaccard),
        "phi_rad": phase(poses[:, PHI], d),
        "jaccard": jaccard.astype(np.float32),
        "size_factor": relative[:, 0].astype(np.float32),
        "offset_y": relative[:, 1].astype(np.float32),
        "offset_x": relative[:, 2].astype(np.float32),
        "improved": improved,
    }


def _kept(
    given: ArrayLike, found: Floats, improved: NDArray[np.bool_], jaccard: Floats
) -> NDArray[np.float32]:
    """Return the given values where nothing better was found, NaN where nothing was fitted."""
    values = np.where(improved, found, np.asarray(given, float))
    return np.where(np.isnan(jaccard), np.nan, values).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _refine(
    masks: NDArray[np.uint8],
    chance: Floats,
    poses: Floats,
    d: NDArray[np.int64],
    jaccard: Floats,
    improved: NDArray[np.bool_],
    relative: Floats,
) -> None:
    """Better ``poses``, ``d`` and ``jaccard`` in place; rows without a Jaccard stay as they are."""
    size = masks.shape[1]
    rows, runs = np.zeros((5, ANGLES)), np.zeros((size, size + 1), np.int32)
    centred = np.zeros(6)
    for i in range(masks.shape[0]):
        if np.isnan(jaccard[i]):
            continue
        area, first = int(masks[i].sum()), d[i]
        sheet, sums = sheet_of(masks[i])
        put_on_mask(centred, masks[i], area)
        for rank in range(1 + _RIVALS):
            axes = first if rank == 0 else _rival(chance[i], first, rank)
            if axes == 0:
                break
            pose = poses[i].copy() if rank == 0 else centred.copy()
            if rank > 0:
                _start(pose, axes, sheet, sums, float(area), rows)
            climb(pose, axes, sheet, sums, float(area), rows, _ALL, _STEPS, _GAIN)
            axes = _settle(pose, axes, rows)
            value = hard_jaccard(pose, axes, masks[i], area, rows, runs)
            if value > jaccard[i] + (0.0 if rank == 0 else CLEARLY):
                poses[i], d[i], jaccard[i], improved[i] = pose, axes, value, True
        _relate(poses[i], centred, relative[i])


@numba.njit(cache=True)
def _rival(chance: Floats, first: int, rank: int) -> int:
    """Return the ``rank``-th most probable d besides the first, or 0 where none is likely."""
    above = 2.0
    found = 0
    for _ in range(rank):
        found = 0
        for d in range(1, 7):
            value = chance[d - 1]
            likely = d != first and LIKELY <= value < above
            if likely and (found == 0 or value > chance[found - 1]):
                found = d
        if found == 0:
            return 0
        above = chance[found - 1]
    return found


@numba.njit(cache=True)
def _start(pose: Floats, d: int, sheet: Floats, sums: Floats, area: float, rows: Floats) -> None:
    """Give a pose that lies on the mask the p, L and phi of the best start."""
    best, most = pose.copy(), -1.0
    for s in range(_STARTS.shape[0]):
        pose[LOG_P], pose[LOG_L] = _STARTS[s]
        value = best_phase(pose, d, sheet, sums, area, rows, _PHASES)
        if value > most:
            best, most = pose.copy(), value
    pose[:] = best


@numba.njit(cache=True)
def _settle(pose: Floats, d: int, rows: Floats) -> int:
    """Bring a pose into canonical form in place and return its d (`superellipse.canonical`)."""
    if pose[LOG_L] > 0.0:
        pose[LOG_L] = -pose[LOG_L]
        pose[PHI] += np.pi / d
    unit_radii(pose[LOG_P], pose[LOG_L], d, rows)
    if rows[0].max() / rows[0].min() - 1.0 < _ROUND:
        pose[LOG_P], pose[LOG_L], pose[PHI] = np.log(2.0), 0.0, 0.0
        return 2
    return d


@numba.njit(cache=True)
def _relate(pose: Floats, centred: Floats, relative: Floats) -> None:
    """Fill size and offset of a pose relative to the mask's own circle."""
    across = 2.0 * np.exp(centred[LOG_SIZE])
    relative[0] = np.exp(pose[LOG_SIZE] - centred[LOG_SIZE])
    relative[1] = (pose[CENTRE_Y] - centred[CENTRE_Y]) / across
    relative[2] = (pose[CENTRE_X] - centred[CENTRE_X]) / across
