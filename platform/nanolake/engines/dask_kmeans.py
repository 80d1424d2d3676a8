"""K-means on Dask arrays, with what dask-ml gets wrong put right in this one place.

dask-ml 2025.1 has no working ``k-means++`` start, a single start easily ends in a bad optimum, and
its ``inertia_`` sums unsquared distances unless converged. So: ``k-means||``, one run for each
seed, and the inertia computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 100_000


def fit_kmeans(
    points: Any, k: int, seeds: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    """Divide ``points`` (n, c), a NumPy or Dask array, into ``k`` groups.

    Returns centres (k, c), labels (n,) in 0 … k - 1 and the inertia (summed squared distances) of
    the best seed. Runs where the caller's Dask scheduler runs.
    """
    import dask.array as da

    if not isinstance(points, da.Array):
        points = da.from_array(np.ascontiguousarray(points), chunks=(CHUNK_ROWS, -1))
    fitted = [_one_start(points, k, seed) for seed in seeds]
    return min(fitted, key=lambda one: one[2])


def _one_start(
    points: Any, k: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], float]:
    import dask
    from dask_ml.cluster import KMeans

    model = KMeans(n_clusters=k, init="k-means||", random_state=seed).fit(points)
    centers = np.asarray(model.cluster_centers_, np.float64)
    squares = ((points[:, None, :] - centers[None]) ** 2).sum(axis=2)
    labels, inertia = dask.compute(squares.argmin(axis=1), squares.min(axis=1).sum())
    return centers, np.asarray(labels, np.int64), float(inertia)
