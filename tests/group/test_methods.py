"""Each method divides, and carries its groups over to points that it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from nanolake.errors import SettingsError
from nanolake.group import GroupSettings, group, rand_of_counts
from nanolake.group.methods import METHODS, fit_gaussian_mixture, fit_kmeans, fit_linkage
from nanolake.group.rows import TableRows, draw_sample
from nanolake.group.scores import adjusted_rand, cophenetic, stability


def blobs(seed=0, apart=10.0, n=90):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    return rng.normal(size=(n, 2)) + apart * np.array([[0, 0], [1, 0], [0, 1]])[truth], truth


@pytest.mark.parametrize("method", METHODS)
def test_new_points_join_the_group_they_lie_in(method):
    points, truth = blobs()
    others, theirs = blobs(seed=1, n=300)
    fitted = METHODS[method](points, [2, 3], [0, 1])
    assert adjusted_rand(fitted.labels[3], truth) == 1.0
    assigned = fitted.assign(others, [2, 3])
    assert adjusted_rand(assigned[3], theirs) == 1.0
    assert set(assigned[2]) == {0, 1}
    # the sample's labels and the new ones are the same groups: their means lie together
    for label in range(3):
        mean = others[assigned[3] == label].mean(axis=0)
        np.testing.assert_allclose(mean, fitted.centers[3][label], atol=0.8)


def wide_and_narrow(seed, n=400):
    """A wide family (sd 3) at 0 and a narrow one (sd 0.3) at x = 7."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    scale = np.where(truth == 0, 3.0, 0.3)[:, None]
    return rng.normal(size=(n, 2)) * scale + np.array([7.0, 0.0]) * truth[:, None], truth


def test_mixture_and_linkage_follow_families_of_unequal_width():
    points, _ = wide_and_narrow(0)
    others, truth = wide_and_narrow(1)
    rand = {
        fit: adjusted_rand(fit(points, [2], [0, 1]).assign(others, [2])[2], truth)
        for fit in (fit_kmeans, fit_gaussian_mixture, fit_linkage)
    }
    # The nearest centre cuts the wide family at x = 3.5, 1.2 of its deviations from its middle:
    # an eighth of it is lost. The mixture knows the widths.
    assert rand[fit_gaussian_mixture] > 0.9 > rand[fit_kmeans]


def test_rand_index_equals_scikit_learn():
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 4, 80), rng.integers(2, 5, 80)
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b))
    # By hand: of 6 pairs 1 is together in both, 2 in one, 3 in the other; by chance 2 * 3 / 6 = 1
    assert rand_of_counts(np.array([[2, 0], [1, 1]])) == 0.0
    # of 10 pairs 2 are together in both, 4 in either; by chance 4 * 4 / 10 = 1.6: 0.4 / 2.4
    assert rand_of_counts(np.array([[2, 1], [0, 2]])) == pytest.approx(1 / 6)


def test_bootstraps_agree_on_families_and_not_on_a_cloud():
    points, _ = blobs()
    cloud = np.random.default_rng(3).normal(size=(90, 2))
    rng = np.random.default_rng(4)
    for_families = stability(points, [3], fit_kmeans, [0, 1], 4, rng)[3]
    for_cloud = stability(cloud, [3], fit_kmeans, [0, 1], 4, rng)[3]
    assert for_families > 0.99
    assert for_cloud < 0.8


@pytest.mark.parametrize("method", METHODS)
def test_every_k_has_every_score_beside_the_null(method):
    points, truth = blobs(n=120)
    settings = GroupSettings(columns=("x", "y"), method=method, k_max=12, null_runs=2,
                             bootstrap_runs=2, seeds=2)  # fmt: skip
    found = group({"x": points[:, 0], "y": points[:, 1]}, settings)
    assert found.k == 3
    assert adjusted_rand(found.labels, truth) == 1.0
    rows = found.scores_json()["tried"]
    assert [row["k"] for row in rows] == list(range(2, 13))
    assert all(value is not None for row in rows for value in row.values())
    assert all(row["margin"] == row["silhouette"] - row["null_silhouette_mean"] for row in rows)
    assert found.cophenetic > found.null_cophenetic


def test_the_tree_is_made_from_all_of_a_sample_in_the_order_of_its_values():
    """Two heaps far apart: a tree of the first 1,000 points alone would see one of them only."""
    points = np.sort(blobs(apart=0.0, n=1500)[0], axis=0)
    points[1100:] += 50.0
    assert cophenetic(points) > 0.95


def test_dask_has_k_means_only():
    with pytest.raises(SettingsError, match="engine='dask-ml' has K-means only"):
        GroupSettings.build({"engine": "dask-ml", "method": "linkage"})
    with pytest.raises(SettingsError, match="fit_rows=100 is below sample_size=2000"):
        GroupSettings.build({"fit_rows": 100})


def test_a_sample_is_drawn_from_every_block_alike():
    class Blocks:
        block_count = 5

        def block(self, index, columns):
            return TableRows({"x": 100.0 * index + np.arange(100.0)}).block(0, columns)

    sample = draw_sample(Blocks(), ("x",), 200, seed=0)
    assert (sample.row_count, sample.complete_counts) == (500, (100,) * 5)
    assert len(np.unique(sample.raw)) == 200
    share = np.bincount((sample.raw[:, 0] // 100).astype(int))
    # 40 of each block are expected; the hypergeometric deviation is about 4.4
    assert share.min() > 40 - 4 * 4.4
    assert share.max() < 40 + 4 * 4.4
