"""Ways to divide points into groups, behind one signature.

A method divides the same points into each K asked for in one call, because linkage builds one tree
for all of them. What it returns can say to which group any other point belongs: K is chosen and
the groups are made on a sample, every particle of the lake is assigned.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
MethodName = Literal["kmeans", "gaussian_mixture", "linkage"]

NEIGHBOURS = 5
"""Linkage: a particle joins the group of most of this many nearest particles of the sample."""
LEAST_VARIANCE = 0.01
"""Added to every variance of a Gaussian mixture. Without it a column that is all but constant in
one group (d, or L_ratio at its bound) draws a needle of any likelihood."""
EM_STEPS = 50


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Divisions of n points of c coordinates, one for each K asked for."""

    centers: Mapping[int, Floats]
    """K -> (K, c) means of the groups."""
    labels: Mapping[int, Labels]
    """K -> (n,) in 0 … K - 1."""
    assign: Callable[[Floats, Sequence[int]], dict[int, Labels]]
    """Points (m, c) and some of the K -> labels (m,) of each."""


class Fit(Protocol):
    """Divide ``points`` (n, c) into each of ``ks`` groups, the best of a start for each seed."""

    def __call__(self, points: Any, ks: Sequence[int], seeds: Sequence[int], /) -> Fitted: ...


def fit_kmeans(points: Any, ks: Sequence[int], seeds: Sequence[int]) -> Fitted:
    """K-means (Lloyd's, k-means++ starts) with scikit-learn; the nearest centre: a `Fit`."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    centers, labels = {}, {}
    with warnings.catch_warnings():  # fewer distinct points than k: some groups stay empty
        warnings.simplefilter("ignore", ConvergenceWarning)
        for k in ks:
            models = [KMeans(k, n_init=1, random_state=seed).fit(points) for seed in seeds]
            best = min(models, key=lambda model: float(model.inertia_))
            centers[k] = np.asarray(best.cluster_centers_, np.float64)
            labels[k] = best.labels_.astype(np.int64)
    return by_nearest_centre(centers, labels)


def by_nearest_centre(centers: Mapping[int, Floats], labels: Mapping[int, Labels]) -> Fitted:
    """Return divisions in which a point belongs to the nearest centre."""
    return Fitted(
        centers=centers,
        labels=labels,
        assign=lambda points, ks: {k: nearest(points, centers[k]) for k in ks},
    )


def fit_gaussian_mixture(points: Any, ks: Sequence[int], seeds: Sequence[int]) -> Fitted:
    """Gaussian mixture of full covariances with scikit-learn; the likeliest component: a `Fit`.

    Expectation and maximisation start from the best K-means division, so that the seeds are spent
    where a step is cheap.
    """
    starts = fit_kmeans(points, ks, seeds)
    models = {k: _mixture(points, k, starts.labels[k]) for k in ks}

    def assign(others: Floats, asked: Sequence[int]) -> dict[int, Labels]:
        return {k: models[k].predict(others).astype(np.int64) for k in asked}

    labels = assign(points, ks)
    return Fitted(
        centers={k: means(points, labels[k], starts.centers[k]) for k in ks},
        labels=labels,
        assign=assign,
    )


def _mixture(points: Floats, k: int, start: Labels) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    shares = np.maximum(np.bincount(start, minlength=k), 1) / len(points)
    covariances = [_covariance(points[start == group]) for group in range(k)]
    model = GaussianMixture(
        k,
        reg_covar=LEAST_VARIANCE,
        max_iter=EM_STEPS,
        weights_init=shares / shares.sum(),
        means_init=means(points, start, np.zeros((k, points.shape[1]))),
        precisions_init=np.linalg.inv(covariances),
        init_params="random_from_data",  # drawn, then replaced by what is given above
        random_state=0,
    )
    with warnings.catch_warnings():  # stopped after EM_STEPS: the division has settled by then
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(points)


def _covariance(points: Floats) -> Floats:
    centred = points - points.mean(axis=0) if len(points) else points
    square = centred.T @ centred / max(len(points), 1)
    return np.asarray(square + LEAST_VARIANCE * np.eye(points.shape[1]))


def fit_linkage(points: Any, ks: Sequence[int], seeds: Sequence[int]) -> Fitted:
    """Ward's hierarchical linkage with SciPy, one tree cut into each K: a `Fit` without chance.

    Memory and time grow with the square of the points: give it a sample. Another point joins the
    group of most of its `NEIGHBOURS` nearest points, which follows the tree's borders also between
    groups of unequal width, where the nearest centre does not.
    """
    from scipy.cluster.hierarchy import cut_tree, linkage
    from scipy.spatial import KDTree

    cut = cut_tree(linkage(points, method="ward"), n_clusters=list(ks))
    labels = {k: cut[:, place].astype(np.int64) for place, k in enumerate(ks)}
    tree = KDTree(points)

    def assign(others: Floats, asked: Sequence[int]) -> dict[int, Labels]:
        _, near = tree.query(others, k=min(NEIGHBOURS, len(points)))
        near = near.reshape(len(others), -1)
        return {k: _most(labels[k][near], k) for k in asked}

    none = np.zeros((max(ks, default=1), points.shape[1]))
    return Fitted(
        centers={k: means(points, labels[k], none[:k]) for k in ks}, labels=labels, assign=assign
    )


def _most(votes: Labels, k: int) -> Labels:
    """Return the commonest label of each row (m, neighbours), the nearer one where two tie."""
    total = np.zeros((len(votes), k))
    rows = np.arange(len(votes))
    for place in range(votes.shape[1]):
        total[rows, votes[:, place]] += 1.0 - 1e-3 * place
    return np.asarray(total.argmax(axis=1), np.int64)


METHODS: dict[str, Fit] = {
    "kmeans": fit_kmeans,
    "gaussian_mixture": fit_gaussian_mixture,
    "linkage": fit_linkage,
}


def means(points: Floats, labels: Labels, empty: Floats) -> Floats:
    """Return the mean (k, c) of each group, and the row of ``empty`` (k, c) where it has none."""
    k = len(empty)
    count = np.bincount(labels, minlength=k).astype(np.float64)
    sums = [np.bincount(labels, weights=column, minlength=k) for column in points.T]
    total = np.stack(sums, axis=1) if sums else np.zeros((k, 0))
    return np.where(count[:, None] > 0, total / np.maximum(count, 1.0)[:, None], empty)


def nearest(points: Floats, centers: Floats) -> Labels:
    """Return the index of the centre nearest to each point (n,)."""
    return np.asarray(squared_distances(points, centers).argmin(axis=1), np.int64)


def squared_distances(points: Floats, centers: Floats) -> Floats:
    """Return squared Euclidean distances (n, k), never below 0."""
    cross = points @ centers.T
    total = (points**2).sum(axis=1)[:, None] - 2.0 * cross + (centers**2).sum(axis=1)[None]
    return np.asarray(np.maximum(total, 0.0))
