"""A lake of one family is one group, by every method, whatever its distributions look like."""

from __future__ import annotations

import numpy as np
import pytest

from nanolake.group import GroupSettings, group, select_columns
from nanolake.group.methods import METHODS
from nanolake.group.null import Population, counts_things, one_peak
from nanolake.group.scores import adjusted_rand
from nanolake.scaling import takes_log

ROWS = 250
QUICK = {"seeds": 2, "null_runs": 4, "bootstrap_runs": 2, "k_max": 5}


def correlated(rng, width):
    return rng.normal(size=(ROWS, width)) @ (np.eye(width) + 0.5 * rng.normal(size=(width, width)))


def heavy(rng, width):
    return rng.standard_t(4, size=(ROWS, width))


def skewed(rng, width):
    return np.exp(0.5 * correlated(rng, width))


def bounded(rng, width):
    return rng.uniform(size=(ROWS, width))


def whole_d(rng, width):
    """The last column is 2, or 3 for one particle in seven, whatever the others say."""
    values = correlated(rng, width)
    values[:, -1] = np.where(rng.random(ROWS) < 1 / 7, 3.0, 2.0)
    return values


def table(values, dataset):
    columns = select_columns(dataset)
    if dataset != "features":  # d_mean comes last: whole_d's whole numbers belong to it
        columns = (*(c for c in columns if c != "d_mean"), "d_mean")
    return {
        c: np.exp(0.2 * v) if takes_log(c) else v for c, v in zip(columns, values.T, strict=True)
    }


@pytest.mark.parametrize("draw", [correlated, heavy, skewed, bounded, whole_d])
@pytest.mark.parametrize("method", METHODS)
def test_one_family_is_one_group(method, draw):
    splits = []
    for seed, dataset in enumerate(("features", "parameters", "both")):
        rows = table(draw(np.random.default_rng(seed), len(select_columns(dataset))), dataset)
        found = group(rows, GroupSettings(method=method, dataset=dataset, **QUICK))
        splits.append((dataset, found.k, found.reason))
    assert [k for _, k, _ in splits] == [1, 1, 1], splits


def test_against_a_normal_null_a_skewed_family_would_be_split():
    rows = table(skewed(np.random.default_rng(1), 3), "parameters")
    settings = GroupSettings(dataset="parameters", null_kind="normal", **QUICK)
    assert group(rows, settings).k > 1


@pytest.mark.parametrize("method", METHODS)
def test_three_families_ten_deviations_apart_come_back(method):
    rng = np.random.default_rng(3)
    truth = np.repeat([0, 1, 2], (125, 75, 50))
    axes, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    values = rng.normal(size=(ROWS, 8)) + (10 / np.sqrt(2) * np.eye(3))[truth] @ axes[:3]
    found = group(table(values, "both"), GroupSettings(method=method, **QUICK))
    assert found.k == 3, found.reason
    # five deviations to every border: none should stray
    assert adjusted_rand(truth, found.labels) > 0.95


def test_one_peak_fills_a_gap_and_keeps_a_skew():
    # Values 0, 1, 2 and 8, 9, 10: the middle gap is the widest spacing and must be filled. With
    # one peak allowed the density may only rise and then fall, so no spacing between two denser
    # ones stays empty.
    values, share = one_peak(np.array([0.0, 1.0, 2.0, 8.0, 9.0, 10.0]))
    density = np.diff(share) / np.diff(values)
    top = int(density.argmax())
    assert (np.diff(density[: top + 1]) >= -1e-12).all()
    assert (np.diff(density[top:]) <= 1e-12).all()
    assert (share[0], share[-1]) == (0.0, pytest.approx(1.0))
    skew = np.random.default_rng(0).exponential(size=500)
    values, share = one_peak(skew)
    # it has one peak already: the fit lies on the data, to their own noise
    np.testing.assert_allclose(share, np.arange(500) / 499, atol=0.05)


def test_a_draw_has_mean_spread_and_correlation_of_the_data():
    rng = np.random.default_rng(4)
    data = np.exp(rng.normal(size=(3000, 2)) @ np.array([[0.4, 0.3], [0.0, 0.3]]))
    drawn = Population.fit(data, [False, False]).draw(3000, rng)
    np.testing.assert_allclose(drawn.mean(0), data.mean(0))
    np.testing.assert_allclose(drawn.std(0), data.std(0))
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(data.T), rtol=0.1)


def test_what_counts_things_keeps_its_gaps():
    assert counts_things("d_mean", np.array([2.1, 2.9]))
    assert counts_things("euler_number", np.array([1.0, 0.0, 1.0]))
    assert not counts_things("solidity", np.array([0.9, 0.8]))
    data = np.array([[2.0], [3.0]])[np.random.default_rng(0).integers(0, 2, 400)]
    drawn = Population.fit(data, [True]).draw(400, np.random.default_rng(1))
    gap = np.sort(drawn[:, 0])
    assert np.diff(gap).max() > 0.9  # nothing is drawn between 2 and 3
