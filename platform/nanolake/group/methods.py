"""Ways to divide points into k groups, behind one signature."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


class Fit(Protocol):
    """Divide ``points`` (n, c) into ``k`` groups, the best of one start for each of ``seeds``.

    Returns centres (k, c), labels (n,) in 0 … k - 1, and the inertia (summed squared distances to
    the nearest centre, the smaller the better).
    """

    def __call__(
        self, points: Any, k: int, seeds: Sequence[int], /
    ) -> tuple[Floats, Labels, float]: ...


def fit_kmeans(points: Any, k: int, seeds: Sequence[int]) -> tuple[Floats, Labels, float]:
    """K-means (Lloyd's, k-means++ starts) with scikit-learn: a `Fit`."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():  # fewer distinct points than k: some groups stay empty
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = [KMeans(k, n_init=1, random_state=seed).fit(points) for seed in seeds]
    best = min(models, key=lambda model: float(model.inertia_))
    return (
        np.asarray(best.cluster_centers_, np.float64),
        best.labels_.astype(np.int64),
        float(best.inertia_),
    )


METHODS: dict[str, Fit] = {"kmeans": fit_kmeans}


def nearest(points: Floats, centers: Floats, chunk: int = 200_000) -> Labels:
    """Return the index of the centre nearest to each point, in chunks of rows."""
    parts = [
        squared_distances(points[i : i + chunk], centers).argmin(axis=1)
        for i in range(0, len(points), chunk)
    ]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)


def squared_distances(points: Floats, centers: Floats) -> Floats:
    """Return squared Euclidean distances (n, k), never below 0."""
    cross = points @ centers.T
    total = (points**2).sum(axis=1)[:, None] - 2.0 * cross + (centers**2).sum(axis=1)[None]
    return np.asarray(np.maximum(total, 0.0))
