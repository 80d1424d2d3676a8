"""Lloyd's steps over blocks end where scikit-learn's over one table do."""

import warnings

import numpy as np
import pytest
from sklearn.cluster import KMeans


@pytest.mark.dask
@pytest.mark.filterwarnings("ignore")
def test_centres_move_to_where_all_rows_want_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dask-ml's own imports
        import dask

        from nanolake.engines.dask_kmeans import refine_centers

    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 100)
    points = rng.normal(size=(300, 2)) + 8 * np.array([[0, 0], [1, 0], [0, 1]])[truth]
    rng.shuffle(points)
    parts = [points[:120], points[120:120], points[120:]]  # one block has no complete row
    reads = []

    def reader(place):
        def read():
            reads.append(place)
            return parts[place]

        return read

    start = np.array([[1.0, 1.0], [6.0, 1.0], [1.0, 6.0]])
    with dask.config.set(scheduler="synchronous"):
        found = refine_centers([reader(i) for i in range(3)], [120, 0, 180], start)
    expected = KMeans(3, init=start, n_init=1).fit(points).cluster_centers_
    np.testing.assert_allclose(found, expected, atol=0.05)
    assert set(reads) == {0, 2}  # every block with rows, read again at each step
    assert len(reads) > 4
