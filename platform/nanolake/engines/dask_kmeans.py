"""K-means of dask-ml over blocks of rows, for a table that is larger than memory.

dask-ml 2025.1 has no working ``k-means++`` start, a single start easily ends in a bad optimum, and
its ``inertia_`` sums unsquared distances unless converged. So K is chosen and the centres are found
on a sample elsewhere; here they are only moved, by Lloyd's steps over every row, to where all
particles want them. Each step reads every block again: no more than a few are in memory at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST_STEPS = 30
"""Each reads the whole table; a sample of 50,000 has brought the centres near enough for few."""


def refine_centers(
    blocks: Sequence[Callable[[], Floats]], counts: Sequence[int], centers: Floats
) -> Floats:
    """Return the centres (k, c) of K-means over all rows, started from ``centers`` (k, c).

    ``blocks`` read points (m, c) without missing values when they are called, ``counts`` are their
    numbers of rows. Runs where the caller's Dask scheduler runs; there the blocks must be readable.
    """
    import dask
    import dask.array as da
    from dask_ml.cluster import KMeans

    k, width = centers.shape
    parts = [
        da.from_delayed(dask.delayed(block)(), shape=(count, width), dtype=np.float64)
        for block, count in zip(blocks, counts, strict=True)
        if count
    ]
    points = da.concatenate(parts, axis=0)
    model = KMeans(n_clusters=k, init=np.ascontiguousarray(centers), max_iter=MOST_STEPS)
    return np.asarray(model.fit(points).cluster_centers_, np.float64)
