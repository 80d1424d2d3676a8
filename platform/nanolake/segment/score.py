"""Score a label image against hand-made or simulated truth, instance by instance.

Particles that touch the picture's border are neither rewarded nor punished: cut truth is left
out, and so is every found instance that touches the border or lies mostly on cut truth. Where
only boxes were drawn by hand, `nanolake.segment.score_boxes` does the same with boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError

THRESHOLDS = (0.5, 0.75, 0.9)
"""The overlaps (intersection over union) at which a match counts."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many instances are true, found and matched. Those at the border are left out."""

    truth: int
    """Instances in the truth."""
    found: int
    """Instances found."""
    matched: tuple[int, ...]
    """Matched pairs at each overlap (level) that was asked for."""

    def precision(self, level: int = 0) -> float:
        """Matched over found at a level; NaN where nothing was found."""
        return self.matched[level] / self.found if self.found else float("nan")

    def recall(self, level: int = 0) -> float:
        """Matched over true at a level; NaN where there is no truth."""
        return self.matched[level] / self.truth if self.truth else float("nan")

    def f1(self, level: int = 0) -> float:
        """Harmonic mean of precision and recall; NaN for nothing found where nothing is."""
        total = self.truth + self.found
        return 2 * self.matched[level] / total if total else float("nan")

    @property
    def count_error(self) -> float:
        """(found - true) / true; NaN where there is no truth."""
        return (self.found - self.truth) / self.truth if self.truth else float("nan")


@dataclass(frozen=True, kw_only=True)
class Score(Counts):
    """What one picture, or a pool of pictures, scored; the levels are `THRESHOLDS`."""

    size_ratios: NDArray[np.float64]
    """Found over true equivalent diameter, one value a pair matched at the lowest overlap."""
    pairs: NDArray[np.int64]
    """(n, 2) true and found label of the pairs matched at the lowest overlap; empty for a pool."""

    @property
    def size_bias(self) -> float:
        """Median of found over true equivalent diameter, minus 1; NaN without a match."""
        return float(np.median(self.size_ratios)) - 1 if self.size_ratios.size else float("nan")


def score(
    truth: NDArray[np.integer],
    found: NDArray[np.integer],
    ignored: NDArray[np.integer] | None = None,
) -> Score:
    """Match instances one to one and count.

    Parameters
    ----------
    truth, found
        Label images (y, x) of the same shape, any integer type; 0 is background. Labels need
        not be without gaps.
    ignored
        (n,) labels of the truth that are treated as those at the border are, for example of
        particles that are nearly covered by others.

    Raises
    ------
    PictureError
        ``not_an_image`` where the two shapes differ or are not two-dimensional.

    Notes
    -----
    Above an overlap of 0.5 a match is unique by itself; pairs at exactly 0.5 are taken in order
    of falling overlap, each instance once.
    """
    _check(truth, found)
    truth_ids, truth_flat = np.unique(truth, return_inverse=True)
    found_ids, found_flat = np.unique(found, return_inverse=True)
    truth_area = np.bincount(truth_flat.ravel())
    found_area = np.bincount(found_flat.ravel())
    pair, overlap = np.unique(
        truth_flat.ravel().astype(np.int64) * len(found_ids) + found_flat.ravel(),
        return_counts=True,
    )
    rows, columns = np.divmod(pair, len(found_ids))
    truth_out = (truth_ids == 0) | np.isin(truth_ids, _border_labels(truth))
    if ignored is not None:
        truth_out |= np.isin(truth_ids, ignored)
    on_cut = truth_out & (truth_ids != 0)
    cut_cover = np.bincount(columns, overlap * on_cut[rows], minlength=len(found_ids))
    found_out = (found_ids == 0) | np.isin(found_ids, _border_labels(found))
    found_out |= cut_cover > 0.5 * found_area
    usable = ~truth_out[rows] & ~found_out[columns]
    rows, columns, overlap = rows[usable], columns[usable], overlap[usable]
    iou = overlap / (truth_area[rows] + found_area[columns] - overlap)
    keep = _one_to_one(rows, columns, iou)
    ratios = np.sqrt(found_area[columns[keep]] / truth_area[rows[keep]])
    return Score(
        truth=int((~truth_out).sum()),
        found=int((~found_out).sum()),
        matched=tuple(int((iou[keep] >= level).sum()) for level in THRESHOLDS),
        size_ratios=ratios,
        pairs=np.stack([truth_ids[rows[keep]], found_ids[columns[keep]]], axis=1).astype(np.int64),
    )


def pool(scores: Iterable[Score]) -> Score:
    """Add up the scores of several pictures: every particle weighs the same."""
    items = list(scores)
    levels = range(len(THRESHOLDS))
    return Score(
        truth=sum(item.truth for item in items),
        found=sum(item.found for item in items),
        matched=tuple(sum(item.matched[level] for item in items) for level in levels),
        size_ratios=np.concatenate([item.size_ratios for item in items] or [np.empty(0)]),
        pairs=np.empty((0, 2), np.int64),
    )


def mean_f1(scores: Sequence[Counts], level: int = 0) -> float:
    """Mean over the pictures of each picture's F1: every picture weighs the same."""
    values = np.array([item.f1(level) for item in scores], dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def _check(truth: NDArray[np.integer], found: NDArray[np.integer]) -> None:
    if truth.ndim != 2 or truth.shape != found.shape:
        raise PictureError(
            "not_an_image",
            f"truth of shape {truth.shape} and found of shape {found.shape} cannot be compared; "
            "give two label images (y, x) of the same shape",
        )


def _border_labels(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    return np.unique(np.concatenate(edges))


def _one_to_one(
    rows: NDArray[np.int64], columns: NDArray[np.int64], iou: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Indices of the pairs of at least the lowest overlap, each instance at most once."""
    order = np.argsort(-iou, kind="stable")
    order = order[iou[order] >= THRESHOLDS[0]]
    first_row = np.zeros(order.size, dtype=bool)
    first_column = np.zeros(order.size, dtype=bool)
    first_row[np.unique(rows[order], return_index=True)[1]] = True
    first_column[np.unique(columns[order], return_index=True)[1]] = True
    return order[first_row & first_column]
