"""How good a division into groups is: silhouette, cophenetic correlation, stability."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.group.methods import Fit, Floats, Labels, nearest, squared_distances

COPHENETIC_SAMPLE = 1000
"""Linkage takes memory and time with the square of the points."""


def distances(points: Floats) -> NDArray[np.float32]:
    """Return the (n, n) Euclidean distances that `silhouette` takes."""
    square = np.sqrt(squared_distances(points - points.mean(axis=0), points - points.mean(axis=0)))
    np.fill_diagonal(square, 0.0)
    return square.astype(np.float32)


def silhouette(apart: NDArray[np.float32], labels: Labels) -> float:
    """Return the mean silhouette (Rousseeuw 1987): NaN with fewer than two groups.

    ``(b - a) / max(a, b)`` per point, a: mean distance to the others of its group, b: the smallest
    mean distance to another group; 0 for a point alone in its group. ``apart`` is computed once
    for all divisions of the same points.
    """
    present, code = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return float("nan")
    member = np.eye(len(present), dtype=np.float32)[code]
    total, count = (apart @ member).astype(np.float64), member.sum(axis=0).astype(np.float64)
    rows = np.arange(len(code))
    own = total[rows, code] / np.maximum(count[code] - 1.0, 1.0)
    total /= count
    total[rows, code] = np.inf
    other = total.min(axis=1)
    larger = np.maximum(own, other)
    value = np.divide(other - own, larger, out=np.zeros_like(own), where=larger > 0)
    return float(np.where(count[code] > 1, value, 0.0).mean())


def cophenetic(points: Floats) -> float | None:
    """Return the cophenetic correlation of average linkage on the first 1,000 points.

    It says how well *a tree* represents the distances and never sees a grouping (SCIENCE,
    section 5): read it beside the null's. None where all distances are equal.
    """
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import pdist

    apart = pdist(points[:COPHENETIC_SAMPLE])
    if len(apart) < 2 or float(np.ptp(apart)) <= 0.0:
        return None
    tree = cophenet(linkage(apart, method="average"))
    return float(np.corrcoef(tree, apart)[0, 1]) if float(np.ptp(tree)) > 0.0 else None


def stability(
    points: Floats, k: int, fit: Fit, seeds: list[int], runs: int, rng: np.random.Generator
) -> float:
    """Return the mean adjusted Rand index between groupings fitted to ``runs`` bootstraps."""
    from sklearn.metrics import adjusted_rand_score

    labelled = []
    for _ in range(runs):
        drawn = points[rng.integers(0, len(points), len(points))]
        labelled.append(nearest(points, fit(drawn, k, seeds)[0]))
    return float(np.mean([adjusted_rand_score(a, b) for a, b in combinations(labelled, 2)]))


def calinski_davies(points: Floats, labels: NDArray[Any]) -> tuple[float | None, float | None]:
    """Return the Calinski-Harabasz and Davies-Bouldin indices; None where not defined."""
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    if not 1 < len(np.unique(labels)) < len(points):
        return None, None
    return (
        float(calinski_harabasz_score(points, labels)),
        float(davies_bouldin_score(points, labels)),
    )
