"""The Dask adapter reaches scikit-learn's optimum and reports the true inertia."""

import warnings

import numpy as np
import pytest

from nanolake.group.methods import fit_kmeans as on_one_machine


@pytest.mark.dask
def test_inertia_equals_scikit_learn_on_blobs():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dask-ml's own imports
        from nanolake.engines.dask_kmeans import fit_kmeans

        rng = np.random.default_rng(0)
        truth = np.repeat([0, 1, 2], 100)
        points = rng.normal(size=(300, 2)) + 8 * np.array([[0, 0], [1, 0], [0, 1]])[truth]
        centers, labels, inertia = fit_kmeans(points, 3, [0, 1, 2])
    _, _, expected = on_one_machine(points, 3, [0, 1, 2])
    assert inertia == pytest.approx(expected, rel=0.01)
    assert inertia == pytest.approx(((points - centers[labels]) ** 2).sum())
