"""Whether a particle is like those that a group was learnt from, or unlike anything known.

A support vector machine divides all of space: what lies far from every particle it has seen gets
a group as well, often with high confidence. So each group also keeps the particles it was learnt
from, and how far a new one may be from them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.classify.settings import ClassifySettings
from nanolake.scaling import Scaling

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """Known particles of each group, and the distance beyond which one is unlike them.

    ``scaling`` does not clip: a value far outside must stay far outside. ``points`` (s, c) are
    sorted by group; ``counts``, ``classes`` and ``limits`` are (k,).
    """

    scaling: Scaling
    classes: Ints
    counts: Ints
    points: Floats
    limits: Floats
    neighbours: int

    def ratio(self, raw: Floats, groups: Ints) -> Floats:
        """Return each row's distance to its group over the group's limit: above 1 is too far.

        ``raw`` (n, c) holds complete rows, ``groups`` (n,) the group that each is said to be of.
        """
        points, result = self.scaling.apply(raw), np.full(len(raw), np.nan)
        ends = np.concatenate([[0], np.cumsum(self.counts)])
        for place, group in enumerate(self.classes):
            rows = np.flatnonzero(groups == group)
            known = self.points[ends[place] : ends[place + 1]]
            result[rows] = distance_to(known, points[rows], self.neighbours) / self.limits[place]
        return result


def distance_to(known: Floats, points: Floats, neighbours: int) -> Floats:
    """Return the distance (n,) of each of ``points`` to its ``neighbours``-th nearest of ``known``.

    Where fewer are known: to the last of them.
    """
    from scipy.spatial import cKDTree

    if not len(points):
        return np.zeros(0)
    distance, _ = cKDTree(known).query(points, k=[min(neighbours, len(known))])
    return np.asarray(distance, np.float64)[:, 0]


def fit_nearness(
    raw: Floats, labels: Ints, scaling: Scaling, units: NDArray[Any], settings: ClassifySettings
) -> Nearness:
    """Keep complete rows ``raw`` (n, c) of groups ``labels`` (n,) and find each group's limit.

    The limit is the distance that ``settings.too_far_share`` of the group's own particles exceed
    when their micrograph (``units``, (n,)) is held out: what a new picture is going to show. A
    group of one micrograph only is divided at random instead, and may be held too narrowly.
    """
    open_scaling = replace(scaling, clip=np.inf)
    order = np.argsort(labels, kind="stable")
    points = open_scaling.apply(raw[order])
    classes, counts = np.unique(labels, return_counts=True)
    limits = [
        _limit(points[labels[order] == label], units[order][labels[order] == label], settings)
        for label in classes
    ]
    return Nearness(
        scaling=open_scaling,
        classes=classes.astype(np.int64),
        counts=counts.astype(np.int64),
        points=points,
        limits=np.array(limits),
        neighbours=settings.neighbours,
    )


def _limit(points: Floats, units: NDArray[Any], settings: ClassifySettings) -> float:
    from sklearn.model_selection import GroupKFold, KFold

    count = len(np.unique(units))
    if count > 1:
        folds = GroupKFold(min(settings.folds, count)).split(points, groups=units)
    else:
        folds = KFold(settings.folds, shuffle=True, random_state=settings.seed).split(points)
    held = [distance_to(points[a], points[b], settings.neighbours) for a, b in folds]
    limit = np.quantile(np.concatenate(held), 1.0 - settings.too_far_share, method="higher")
    return float(max(limit, 1e-9))  # a group of equal particles: only their like is of it
