"""How good a division into groups is: silhouette, cophenetic correlation, stability."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.group.methods import Fit, Floats, Labels, squared_distances

COPHENETIC_SAMPLE = 1000
"""Linkage takes memory and time with the square of the points."""


def distances(points: Floats) -> NDArray[np.float32]:
    """Return the (n, n) Euclidean distances that `silhouette` takes."""
    centred = (points - points.mean(axis=0)).astype(np.float32)
    square = squared_distances(centred, centred)
    np.fill_diagonal(square, 0.0)
    return np.asarray(np.sqrt(square, out=square), np.float32)


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
    """Return the cophenetic correlation of average linkage on 1,000 points, taken evenly.

    Evenly, because a small sample is in the order of its values.

    It says how well *a tree* represents the distances and never sees a grouping (SCIENCE,
    section 5): it is one number for all K, to be read beside the null's. None where all distances
    are equal.
    """
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import pdist

    places = np.linspace(0, len(points) - 1, min(len(points), COPHENETIC_SAMPLE)).astype(int)
    apart = pdist(points[places])
    if len(apart) < 2 or float(np.ptp(apart)) <= 0.0:
        return None
    tree = cophenet(linkage(apart, method="average"))
    return float(np.corrcoef(tree, apart)[0, 1]) if float(np.ptp(tree)) > 0.0 else None


def stability(
    points: Floats,
    ks: Sequence[int],
    fit: Fit,
    seeds: Sequence[int],
    runs: int,
    rng: np.random.Generator,
) -> dict[int, float]:
    """Return each K's mean adjusted Rand index between groupings fitted to ``runs`` bootstraps.

    Every bootstrap's groups are carried over to all of ``points`` before they are compared.
    """
    labelled = []
    for _ in range(runs):
        drawn = points[rng.integers(0, len(points), len(points))]
        labelled.append(fit(drawn, ks, seeds).assign(points, ks))
    pairs = list(combinations(labelled, 2))
    return {k: float(np.mean([adjusted_rand(a[k], b[k]) for a, b in pairs])) for k in ks}


def adjusted_rand(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the adjusted Rand index (Hubert & Arabie 1985) of two labellings, 0 … small, (n,).

    1: the same division; about 0: no more in common than by chance; 1 for two single groups.
    """
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    width = int(b.max()) + 1
    return rand_of_counts(np.bincount(a * width + b, minlength=(int(a.max()) + 1) * width)
                          .reshape(-1, width))  # fmt: skip


def rand_of_counts(counts: NDArray[Any]) -> float:
    """Return the adjusted Rand index of a contingency table (groups of one, groups of the other).

    >>> rand_of_counts(np.array([[3, 0], [0, 2]])), rand_of_counts(np.array([[3, 2]]))
    (1.0, 0.0)
    """
    table = np.asarray(counts, np.float64)

    def pairs(count: Any) -> float:
        return float((count * (count - 1.0)).sum() / 2.0)

    rows, columns = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    every = pairs(table.sum())
    chance = rows * columns / every if every else 0.0
    most = (rows + columns) / 2.0
    return (pairs(table) - chance) / (most - chance) if most != chance else 1.0


def calinski_davies(points: Floats, labels: NDArray[Any]) -> tuple[float | None, float | None]:
    """Return the Calinski-Harabasz and Davies-Bouldin indices; None where not defined."""
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

    if not 1 < len(np.unique(labels)) < len(points):
        return None, None
    return (
        float(calinski_harabasz_score(points, labels)),
        float(davies_bouldin_score(points, labels)),
    )
