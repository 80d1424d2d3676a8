"""Grouping: known blobs come back, structureless data gives one group, nothing depends on order."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from nanolake.errors import SchemaError, SettingsError
from nanolake.group import GroupSettings, choice, group, select_columns
from nanolake.group.choice import Scan
from nanolake.group.methods import METHODS
from nanolake.group.scores import distances, silhouette
from nanolake.scaling import fit_scaling, structureless
from nanolake.simulate.superellipse import outline

XY = GroupSettings(columns=("x", "y"), k_max=5, null_runs=3, seeds=3)


def blobs(counts=(60, 40, 20), seed=0):
    """Three round blobs, 10 standard deviations apart."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(counts)), counts)
    points = rng.normal(size=(len(truth), 2)) + np.array([[0, 0], [10, 0], [0, 10]])[truth]
    order = rng.permutation(len(truth))
    return {"x": points[order, 0], "y": points[order, 1]}, truth[order]


def test_blobs_come_back_numbered_by_size():
    table, truth = blobs()
    found = group(table, XY)
    assert found.k == 3
    # blob 0 is the largest, so it is group 1, and so on
    np.testing.assert_array_equal(found.labels, truth + 1)
    # the centres are in the table's units: (0, 0), (10, 0), (0, 10) to the error of a mean
    np.testing.assert_allclose(found.centers["x"], [0, 10, 0], atol=0.7)
    np.testing.assert_allclose(found.centers["y"], [0, 0, 10], atol=0.7)
    assert found.margin > 0.2
    assert found.stability_ari > 0.95
    assert found.null_stability_ari < found.stability_ari


def test_structureless_data_is_one_group():
    points = np.random.default_rng(1).normal(size=(400, 2)) @ np.array([[3.0, 1.0], [0.0, 1.0]])
    found = group({"x": points[:, 0], "y": points[:, 1]}, XY)
    assert found.k == 1
    assert set(found.labels) == {1}
    assert found.silhouette is None
    assert "no groups" in found.reason
    assert len(found.scores) == 4  # K = 2 … 5 were tried and are on record


def test_a_true_division_does_not_carry_a_false_one_along():
    rng = np.random.default_rng(7)
    family = np.repeat([0, 1, 2], [400, 200, 200])
    points = rng.normal(size=(800, 2)) * np.where(family == 0, [[3.0], [1.0]], 1.0).T
    points += np.array([[0, 0], [40, -4], [40, 4]])[family]
    scan = Scan(points, XY, METHODS["kmeans"], lambda rng: structureless(points, rng))
    halves = np.where((family == 0) & (points[:, 0] > 0), 3, family)
    strays = np.where(np.arange(800) < 10, 1, family)  # 2.5 % of the first family
    scan.labels = {2: np.minimum(family, 1), 3: family, 4: halves, 5: strays}
    assert scan.weakest_excess(2, 3) > 0.1
    assert scan.weakest_excess(2, 4) < 0.0
    assert scan.weakest_excess(2, 5) > 0.1
    assert scan.weakest_excess(2, 2) is None


@pytest.mark.parametrize(("excess", "k"), [(0.01, 3), (None, 3), (-0.01, 2), (np.nan, 2)])
def test_a_finer_division_is_taken_only_where_it_divides_well(monkeypatch, excess, k):
    rng = np.random.default_rng(8)
    family = np.repeat([0, 1, 2], [200, 100, 100])
    points = rng.normal(size=(400, 2)) + np.array([[0, 0], [20, -3], [20, 3]])[family]
    scan = Scan(points, XY, METHODS["kmeans"], lambda rng: structureless(points, rng))
    scores = scan.scores()
    assert choice._refine(scan, scores[0], scores)[0] == 3
    monkeypatch.setattr(Scan, "weakest_excess", lambda *_: excess)
    assert choice._refine(scan, scores[0], scores)[0] == k


def test_the_order_of_rows_does_not_matter():
    table, _ = blobs(seed=2)
    order = np.random.default_rng(3).permutation(120)
    first = group(table, XY)
    second = group({name: values[order] for name, values in table.items()}, XY)
    np.testing.assert_array_equal(first.labels[order], second.labels)
    # to the rounding of a matrix product, which depends on the place of a row
    np.testing.assert_allclose(
        first.distance_to_centre[order], second.distance_to_centre, rtol=1e-12, atol=1e-12
    )


def test_the_same_seed_gives_the_same_result():
    table, _ = blobs(seed=4)
    first, second = group(table, XY), group(table, XY)
    assert first.scores_json() == second.scores_json()
    np.testing.assert_array_equal(first.labels, second.labels)


def test_a_row_with_a_missing_value_is_not_assigned():
    table, truth = blobs()
    table["x"][5], table["y"][7] = np.nan, np.inf
    found = group(table, XY)
    assert found.labels[5] == found.labels[7] == 0
    assert np.isnan(found.distance_to_centre[[5, 7]]).all()
    assert found.unassigned_count == 2
    rest = found.labels > 0
    assert adjusted_rand_score(truth[rest], found.labels[rest]) == 1.0


def test_a_constant_column_is_left_out_and_said_so():
    table, truth = blobs()
    found = group(
        {**table, "flat": np.full(120, 7.0)}, XY.model_copy(update={"columns": ("x", "flat", "y")})
    )
    assert found.columns == ("x", "y")
    assert found.left_out == {"flat": "constant"}
    np.testing.assert_array_equal(found.labels, truth + 1)


def test_only_constant_columns_are_one_group():
    found = group({"x": np.ones(30), "y": np.ones(30)}, XY)
    assert found.k == 1
    assert (found.distance_to_centre == 0).all()


def test_size_unknown_in_nm_is_left_out():
    rng = np.random.default_rng(0)
    table = {c: rng.uniform(0.5, 1.0, 60) for c in select_columns("features")}
    size = "equivalent_diameter_area_nm"
    table[size] = np.where(np.arange(60) < 20, np.nan, 12.0 + rng.normal(size=60))
    found = group(table, GroupSettings(dataset="features", k=1))
    assert found.left_out == {size: "unknown for 33% of the particles"}
    assert found.unassigned_count == 0


@pytest.mark.parametrize("count", [1, 2, 9])
def test_too_few_rows_to_divide_are_one_group(count):
    table, _ = blobs()
    found = group({name: values[:count] for name, values in table.items()}, XY)
    assert found.k == 1


def test_more_groups_than_particles_is_refused():
    table, _ = blobs()
    few = {name: values[:3] for name, values in table.items()}
    with pytest.raises(SettingsError, match="k=8 groups need as many"):
        group(few, XY.model_copy(update={"k": 8}))


def test_bad_tables_are_refused_by_name():
    with pytest.raises(SchemaError, match="no column y; it has: x"):
        group({"x": np.ones(4)}, XY)
    with pytest.raises(SchemaError, match=r"none of 4 particles.*'y': 4"):
        group({"x": np.ones(4), "y": np.full(4, np.nan)}, XY)
    with pytest.raises(SettingsError, match="dask_kmeans"):
        group({"x": np.ones(4), "y": np.ones(4)}, XY.model_copy(update={"engine": "dask-ml"}))
    with pytest.raises(SettingsError, match="k_min=5 is above k_max=3"):
        GroupSettings.build({"k_min": 5, "k_max": 3})


def test_all_are_assigned_though_k_is_chosen_on_a_sample():
    table, truth = blobs(counts=(300, 200, 100))
    found = group(table, XY.model_copy(update={"sample_size": 150}))
    assert found.sample_count == 150
    # blobs 10 sd apart: a border 5 sd away, about one stray in 600
    assert adjusted_rand_score(truth, found.labels) > 0.98


def test_silhouette_equals_scikit_learn():
    rng = np.random.default_rng(5)
    points, labels = rng.normal(size=(50, 3)), rng.integers(0, 4, 50)
    labels[0] = 9  # alone in its group
    expected = silhouette_score(points, labels)
    assert silhouette(distances(points), labels) == pytest.approx(expected, abs=1e-5)


def test_structureless_draws_keep_mean_and_covariance():
    rng = np.random.default_rng(6)
    points = rng.normal(size=(4000, 2)) @ np.array([[2.0, 1.0], [0.0, 0.5]]) + [3.0, -1.0]
    drawn = structureless(points, rng)
    np.testing.assert_allclose(drawn.mean(0), points.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(points.T), rtol=0.12)


def test_scaling_halves_or_removes_correlation():
    rng = np.random.default_rng(7)
    raw = rng.normal(size=(2000, 2)) @ np.array([[1.0, 0.9], [0.0, 0.4]])
    whitened = fit_scaling(raw, ("a", "b"), decorrelate=1.0, clip=10.0).apply(raw)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(2), atol=1e-9)


def measures(polygon, rng):
    """Measure an outline (n, 2) as the features do, with 1.5 % of noise."""
    y, x = polygon.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = abs(cross.sum()) / 2
    perimeter = np.hypot(*(np.roll(polygon, -1, axis=0) - polygon).T).sum()
    centred = polygon - polygon.mean(axis=0)
    angle = np.linspace(0, np.pi, 60, endpoint=False)
    widths = np.ptp(centred @ np.array([np.cos(angle), np.sin(angle)]), axis=0)
    # support function h(angle) of the hull: its area is half the integral of h^2 - h'^2
    full = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    h = (centred @ np.array([np.cos(full), np.sin(full)])).max(axis=0)
    step = full[1]
    hull = 0.5 * step * (h**2 - (np.gradient(np.r_[h[-1], h, h[0]], step)[1:-1]) ** 2).sum()
    values = {
        "equivalent_diameter_area_nm": np.sqrt(4 * area / np.pi),
        "aspect_ratio": widths.min() / widths.max(),
        "circularity": 4 * np.pi * area / perimeter**2,
        "roundness": 4 * area / np.pi / widths.max() ** 2,
        "solidity": area / hull,
    }
    return {name: value * (1 + rng.normal(0, 0.015)) for name, value in values.items()}


def draw(family, rng):
    """Draw p, d, L of one particle of a family."""
    return {
        "cube": lambda: (rng.normal(9, 1), 2, rng.uniform(0.9, 1)),
        "rod": lambda: (rng.uniform(2.5, 5), 2, rng.uniform(0.28, 0.42)),
        "sphere": lambda: (rng.normal(2, 0.05), 2, rng.uniform(0.95, 1)),
        "irregular": lambda: (rng.uniform(1.2, 2), 3, rng.uniform(0.4, 0.55)),
    }[family]()


def families(counts, seed=0):
    rng = np.random.default_rng(seed)
    rows, truth = [], []
    for index, (family, count) in enumerate(counts.items()):
        for _ in range(count):
            p, d, ratio = draw(family, rng)
            area = np.pi / 4 * (20 * np.exp(rng.normal(0, 0.12))) ** 2
            polygon = outline(p, d, ratio, rng.uniform(0, 6), area=area, points=120)
            noisy = {"p": p * np.exp(rng.normal(0, 0.1)), "d_mean": d + rng.normal(0, 0.2)}
            noisy["L_ratio"] = min(ratio + rng.normal(0, 0.03), 1.0)
            rows.append({**measures(polygon, rng), **noisy})
            truth.append(index)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}, np.array(truth)


@pytest.mark.parametrize("dataset", ["features", "parameters", "both"])
def test_simulated_families_come_back(dataset):
    table, truth = families({"cube": 120, "rod": 60, "sphere": 80, "irregular": 50})
    found = group(table, GroupSettings(dataset=dataset, null_runs=3, seeds=3, k_max=6))
    assert adjusted_rand_score(truth, found.labels) > 0.8, found.reason


@pytest.mark.parametrize("family", ["cube", "sphere"])
def test_one_family_is_one_group(family):
    table, _ = families({family: 250})
    found = group(table, GroupSettings(null_runs=3, seeds=3, k_max=5))
    assert found.k == 1, found.reason


def test_how_sure_the_network_is_of_d_makes_no_group() -> None:
    # One population; d = 2 throughout, but an eighth of the answers lean a little towards d = 3.
    rng = np.random.default_rng(5)
    n = 800
    leaning = np.where(rng.random(n) < 0.125, rng.uniform(0.1, 0.25, n), rng.uniform(0, 0.04, n))
    table = {
        "p": np.exp(rng.normal(2.0, 0.2, n)),
        "d_mean": 2.0 + leaning,
        "L_ratio": rng.normal(0.92, 0.02, n),
    }
    assert group(table, GroupSettings(dataset="parameters")).k == 1
