"""Ensemble numbers by hand, intervals that cover the truth, fits that find their parameters."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nanolake.report import ReportError, ensemble, ensemble_table, fit_sizes, group_table
from nanolake.report.bootstrap import STATISTICS
from nanolake.report.fits import verdict
from nanolake.report.statistics import mean_interval

SIZES = arrays(np.float64, st.integers(2, 40), elements=st.floats(1.0, 500.0))


def test_four_particles_by_hand():
    # 1, 2, 3, 6: mean 12 / 4 = 3; squares about it 4 + 1 + 0 + 9 = 14; sd = sqrt(14 / 3).
    # Mid-points of the shares are 1/8, 3/8, 5/8, 7/8: D50 lies half-way between 2 and 3, D10 is
    # below the first mid-point and D90 above the last.
    # t(0.975, 3) = 3.182446: half the interval is 3.182446 * sqrt(14 / 3) / 2 = 3.437443.
    found = ensemble(np.array([6.0, 1.0, 3.0, 2.0]))
    assert (found["N"], found["dropped"]) == (4, 0)
    assert found["mean"] == pytest.approx(3.0)
    assert found["sd"] == pytest.approx(math.sqrt(14 / 3))
    assert found["sigma_over_d"] == pytest.approx(math.sqrt(14 / 3) / 3)
    assert [found[k] for k in ("D10", "D50", "D90")] == pytest.approx([1.0, 2.5, 6.0])
    assert found["mean_low"] == pytest.approx(3 - 3.437443, abs=1e-5)
    assert found["mean_high"] == pytest.approx(3 + 3.437443, abs=1e-5)


def test_weights_by_hand():
    # Sizes 1 and 3 with weights 1 and 3: mean (1 + 9) / 4 = 2.5; squares 1 * 2.25 + 3 * 0.25 = 3;
    # below the line 4 - (1 + 9) / 4 = 1.5; variance 2. Shares' mid-points are 1/8 and 5/8:
    # D50 = 1 + 2 * (0.5 - 0.125) / 0.5 = 2.5.
    found = ensemble(np.array([1.0, 3.0]), np.array([1.0, 3.0]))
    assert found["mean"] == pytest.approx(2.5)
    assert found["sd"] == pytest.approx(math.sqrt(2.0))
    assert found["D50"] == pytest.approx(2.5)


@given(SIZES)
@settings(derandomize=True, max_examples=30, deadline=None)
def test_equal_weights_are_no_weights_and_percentiles_are_hazens(x):
    plain, weighted = ensemble(x), ensemble(x, np.full(x.size, 7.0))
    for name in STATISTICS:
        assert plain[name] == pytest.approx(weighted[name], rel=1e-9, abs=1e-6)
    expected = np.percentile(x, [10, 50, 90], method="hazen")
    assert [plain["D10"], plain["D50"], plain["D90"]] == pytest.approx(expected)


@given(SIZES, st.sampled_from([0.01, 0.4, 30.0]))
@settings(derandomize=True, max_examples=20, deadline=None)
def test_lengths_scale_with_the_pixel_size_and_their_ratio_does_not(x, nm):
    small, large = ensemble(x), ensemble(x * nm)
    assert large["mean_high"] == pytest.approx(small["mean_high"] * nm, rel=1e-6)
    assert large["D90_low"] == pytest.approx(small["D90_low"] * nm, rel=1e-6)
    assert large["sigma_over_d"] == pytest.approx(small["sigma_over_d"], rel=1e-6, abs=1e-6)


def test_missing_values_are_dropped_and_counted():
    with_gaps = ensemble(np.array([np.nan, 2.0, 4.0, np.inf, 6.0]))
    without = ensemble(np.array([2.0, 4.0, 6.0]))
    assert with_gaps == without | {"dropped": 2}


@pytest.mark.parametrize("values", [[], [5.0], [np.nan, 5.0]])
def test_fewer_than_two_give_no_numbers(values):
    found = ensemble(np.array(values))
    assert found["N"] < 2
    assert all(found[name] is None and found[f"{name}_low"] is None for name in STATISTICS)


def test_equal_input_gives_equal_output():
    x = np.random.default_rng(3).lognormal(2, 0.3, 300)
    assert ensemble(x, seed=5) == ensemble(x, seed=5)
    assert ensemble(x, seed=5)["D50_low"] == ensemble(x[::-1], seed=5)["D50_low"]


def test_area_weights_of_a_lognormal_follow_hatch_and_choate():
    # Weighting a lognormal (mu, s) by x^2 gives a lognormal (mu + 2 s^2, s).
    x = np.random.default_rng(0).lognormal(2.5, 0.2, 100_000)
    found = ensemble(x, x**2)
    assert found["D50"] == pytest.approx(math.exp(2.5 + 2 * 0.04), rel=0.01)
    assert found["mean"] == pytest.approx(math.exp(2.5 + 2 * 0.04 + 0.02), rel=0.01)
    assert found["D50_low"] < found["D50"] < found["D50_high"]


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say():
    # 95 % intervals of 60 samples of 80 values: with true coverage 0.95 fewer than 50 of 60 hits
    # have a probability below 0.001.
    rng = np.random.default_rng(1)
    truth = {"D50": 10.0, "sd": 2.0, "sigma_over_d": 0.2, "D90": 10.0 + 1.2816 * 2.0}
    found = [ensemble(rng.normal(10, 2, 80)) for _ in range(60)]
    for name, value in truth.items():
        hits = sum(f[f"{name}_low"] <= value <= f[f"{name}_high"] for f in found)
        assert hits >= 50, name


def test_intervals_over_bins_agree_with_theory():
    # n = 20,000 > BINS. Standard error of the median of a normal: sd sqrt(pi / 2 / n);
    # of the sd: sd / sqrt(2 n). A 95 % interval is 3.92 of them wide.
    n = 20_000
    found = ensemble(np.random.default_rng(2).normal(50, 5, n))
    assert found["D50_high"] - found["D50_low"] == pytest.approx(
        3.92 * 5 * math.sqrt(math.pi / 2 / n), rel=0.15
    )
    assert found["sd_high"] - found["sd_low"] == pytest.approx(3.92 * 5 / math.sqrt(2 * n), rel=0.1)


@pytest.mark.parametrize(
    ("values", "weights", "words"),
    [([1.0, 2.0], [1.0], "equally long"), ([1.0, 2.0], [1.0, -2.0], "negative")],
)
def test_bad_weights_are_named(values, weights, words):
    with pytest.raises(ReportError, match=words):
        ensemble(np.array(values), np.array(weights))


def test_a_level_outside_0_to_1_is_refused():
    with pytest.raises(ReportError, match=r"level=95.*0\.95"):
        ensemble(np.array([1.0, 2.0]), level=95)


def test_the_mean_by_micrograph_by_hand():
    # Micrographs a: 1, 2; b: 3, 4; c: 5, 9. Mean 4. Sums of (x - 4): -5, -1, 6: squares 62.
    # Variance 62 * 3 / 2 / 6² = 2.5833; t(0.975, 2) = 4.302653.
    found = ensemble([1.0, 2, 3, 4, 5, 9], micrographs=["a", "a", "b", "b", "c", "c"])
    half = 4.302653 * math.sqrt(62 * 1.5) / 6
    assert (found["interval_by"], found["micrographs"]) == ("micrograph", 3)
    assert found["mean_low"] == pytest.approx(4 - half, abs=1e-5)
    assert found["mean_high"] == pytest.approx(4 + half, abs=1e-5)
    assert mean_interval([1.0, 2, 3, 4, 5, 9], list("aabbcc")) == pytest.approx(
        (4, 4 - half, 4 + half), abs=1e-5
    )


def test_two_micrographs_are_too_few_to_go_by():
    x = np.random.default_rng(0).normal(10, 1, 50)
    found = ensemble(x, micrographs=np.repeat(["a", "b"], 25))
    assert found["interval_by"] == "particle"
    assert found["D50_low"] == ensemble(x)["D50_low"]


def test_intervals_by_micrograph_cover_where_those_by_particle_do_not():
    # A fifth of the variance lies between micrographs: 10 pictures of 40 particles, true median 10.
    # With coverage 0.9 fewer than 24 of 30 hits have a probability of 2 %; the seed is fixed.
    rng = np.random.default_rng(2)
    names = np.repeat(np.arange(10), 40)
    hits = {"micrograph": 0, "particle": 0}
    for _ in range(30):
        shift = rng.normal(0, math.sqrt(0.2), 10)[names]
        x = 10 + 2 * (shift + rng.normal(0, math.sqrt(0.8), 400))
        for by, places in (("micrograph", names), ("particle", None)):
            found = ensemble(x, micrographs=places)
            hits[by] += found["D50_low"] <= 10 <= found["D50_high"]
    assert hits["micrograph"] >= 24
    assert hits["particle"] <= 20


def test_positive_sizes_have_positive_bounds_with_few_micrographs():
    found = ensemble([1.0, 1.1, 5, 6, 90, 100], micrographs=list("aabbcc"))
    assert all(found[f"{name}_low"] > 0 for name in ("sd", "sigma_over_d", "D10", "D50", "D90"))


def test_micrographs_must_be_as_many_as_values():
    with pytest.raises(ReportError, match=r"micrographs \(2,\)"):
        ensemble([1.0, 2.0, 3.0], micrographs=["a", "b"])


def test_fits_find_the_parameters_and_the_better_family_comes_first():
    rng = np.random.default_rng(4)
    skew = fit_sizes(rng.lognormal(2.5, 0.4, 5000))
    assert [fit.name for fit in skew] == ["lognormal", "normal"]
    assert (skew[0].location, skew[0].scale) == pytest.approx((2.5, 0.4), rel=0.03)
    even = fit_sizes(rng.normal(20.0, 4.0, 5000))
    assert even[0].name == "normal"
    assert (even[0].location, even[0].scale) == pytest.approx((20.0, 4.0), rel=0.03)
    assert "normal fits better" in verdict(even)


def test_fit_and_aic_equal_scipys():
    from scipy import stats

    x = np.random.default_rng(5).lognormal(1.0, 0.3, 200)
    fits = {fit.name: fit for fit in fit_sizes(x)}
    shape, _, scale = stats.lognorm.fit(x, floc=0)
    loglik = stats.lognorm.logpdf(x, shape, 0, scale).sum()
    assert fits["lognormal"].aic == pytest.approx(4 - 2 * loglik, rel=1e-6)
    assert fits["normal"].aic == pytest.approx(
        4 - 2 * stats.norm.logpdf(x, *stats.norm.fit(x)).sum()
    )
    grid = np.linspace(0.1, 8, 50)
    assert fits["lognormal"].density(grid) == pytest.approx(
        stats.lognorm.pdf(grid, shape, 0, scale), rel=1e-3
    )


def test_no_fit_of_too_little_and_no_lognormal_of_what_is_not_positive():
    assert fit_sizes([1.0, 2.0]) == ()
    assert fit_sizes([2.0, 2.0, 2.0]) == ()
    assert [fit.name for fit in fit_sizes([-1.0, 2.0, 3.0])] == ["normal"]
    assert verdict(fit_sizes([-1.0, 2.0, 3.0])) == ""


def test_the_total_stands_last_and_both_weightings_are_there(report):
    table = ensemble_table(report.particles)
    assert table["experiment"].tolist() == ["HI-01"] * 2 + ["LARP-07"] * 2 + ["All"] * 2
    assert table["weighting"].tolist() == ["number", "area"] * 3
    number = table[table["weighting"] == "number"]
    assert number["N"].iloc[:2].sum() == number["N"].iloc[2] == len(report.particles)
    assert (table["mean"][1::2].to_numpy() > table["mean"][::2].to_numpy()).all()


def test_one_experiment_has_no_total(toy):
    assert set(ensemble_table(toy.particles)["experiment"]) == {"HI-01"}


def test_group_table_by_hand():
    frame = pd.DataFrame(
        {"shape_group": [2, 1, 1, None], "aspect_ratio": [3.0, 1.0, 2.0, 9.0], "p": np.nan}
    )
    table = group_table(frame)
    assert table["group"].tolist() == [1, 2, 0]
    assert table["count"].tolist() == [2, 1, 1]
    assert table["share"].tolist() == [0.5, 0.25, 0.25]
    assert table["aspect_ratio_mean"].tolist() == [1.5, 3.0, 9.0]
    assert table["aspect_ratio_sd"].iloc[0] == pytest.approx(math.sqrt(0.5))
    assert np.isnan(table["aspect_ratio_sd"].iloc[1])
    assert "p_mean" not in table
