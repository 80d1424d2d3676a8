"""The evaluation's figures against errors worked out by hand, and odd input."""

import math

import numpy as np
import pytest

from nanolake.report import ReportError
from nanolake.report.figures import to_png
from nanolake.report.shape_errors import binned_rmse, binned_share, coverage, errors, wilson
from nanolake.report.shape_figures import (
    calibration_figure,
    d_confusion_figure,
    d_qq_figure,
    error_against_p_figure,
    error_against_size_figure,
    learning_curve_figure,
    model_figures,
    parity_figure,
    write_figures,
)


def made(n=600, seed=0, sure=True):
    """An honest network: its errors have the standard deviations that it states."""
    rng = np.random.default_rng(seed)
    truth = {
        "p": np.exp(rng.uniform(0, math.log(50), n)),
        "d": rng.integers(1, 7, n),
        "l_ratio": rng.uniform(0.2, 1.0, n),
    }
    log_sd, l_sd = rng.uniform(0.05, 0.4, n), rng.uniform(0.01, 0.05, n)
    probability = np.full((n, 6), 0.02)
    answer = np.where(rng.random(n) < 0.9, truth["d"], truth["d"] % 6 + 1)
    probability[np.arange(n), answer - 1] = 0.9
    predicted = {
        "p": truth["p"] * np.exp(rng.normal(0, log_sd)),
        "d": answer,
        "L_ratio": truth["l_ratio"] + rng.normal(0, l_sd),
    }
    if sure:
        predicted |= {"log_p_sd": log_sd, "L_ratio_sd": l_sd, "d_probability": probability}
    return predicted, truth


def titles(figure):
    return [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]


def test_rmse_in_bins_by_hand():
    # bin [0, 1): errors 3 and 4, mean square 12.5; bin [1, 2]: error -2 twice (2 lies in the last).
    found = binned_rmse([3.0, 4.0, -2.0, -2.0, math.nan], [0.0, 0.5, 1.0, 2.0, 1.5], [0, 1, 2],
                        least=2)  # fmt: skip
    assert found.value == pytest.approx([math.sqrt(12.5), 2.0])
    assert found.bias == pytest.approx([3.5, -2.0])
    assert found.centre == pytest.approx([0.25, 1.5])
    assert found.count.tolist() == [2, 2]
    # squares 9 and 16: sd 3.5 sqrt(2), half width 1.96 * 3.5 sqrt(2) / sqrt(2) = 6.86.
    assert found.high[0] == pytest.approx(math.sqrt(12.5 + 6.86))
    assert found.low[1] == found.high[1] == 2.0


def test_bins_with_few_values_are_left_out():
    found = binned_share([True, False, True], [0.1, 0.2, 5.0], [0, 1, 10], least=2)
    assert found.value.tolist() == [0.5]
    assert binned_share([], [], [0, 1], least=1).value.size == 0


def test_wilsons_interval_stays_inside_0_and_1():
    low, high = wilson([0.0, 1.0], [10, 10])
    # All right of 10: the lower bound is n / (n + z²) = 10 / 13.84 = 0.722.
    assert low == pytest.approx([0.0, 10 / (10 + 1.96**2)], abs=1e-12)
    assert high == pytest.approx([1.96**2 / (10 + 1.96**2), 1.0])


def test_coverage_by_hand():
    # |z| = 0.5, 1, 2, 3: the 68.27 % interval holds 0.5 and (barely) not 1.0001; 95.45 % three.
    error, sd = np.array([0.5, -1.0001, 1.9, -6.0]), np.array([1.0, 1.0, 1.0, 2.0])
    assert coverage(error, sd, [0.6827, 0.9545, 1.0]).tolist() == [0.25, 0.75, 1.0]
    assert coverage(error, sd, [0.0]).tolist() == [0.0]
    assert np.isnan(coverage([math.nan], [1.0], [0.5])).all()


def test_an_honest_network_lies_on_the_diagonal():
    predicted, truth = made(20_000)
    left, right = calibration_figure(predicted, truth).axes
    for line in left.lines[:2]:
        assert np.abs(line.get_xdata() - line.get_ydata()).max() < 0.02
    assert right.containers[0].lines[0].get_xdata() == pytest.approx([0.9])
    assert right.containers[0].lines[0].get_ydata() == pytest.approx([0.9], abs=0.02)
    assert left.get_xlabel() == "Stated probability of the interval"


def test_too_small_an_uncertainty_lies_below_it():
    predicted, truth = made(5000)
    predicted["L_ratio_sd"] = predicted["L_ratio_sd"] / 3
    line = calibration_figure(predicted, truth).axes[0].lines[1]
    assert line.get_ydata()[90] < 0.5


def test_without_an_uncertainty_the_figure_says_so():
    figure = calibration_figure(*made(sure=False))
    assert "states no uncertainty" in figure.texts[0].get_text()


def test_confusion_counts_and_limits_to_what_is_not_round():
    predicted = {"p": [2.0] * 4, "d": [1, 2, 2, 6], "L_ratio": [0.5] * 4}
    truth = {"p": [2.0] * 4, "d": [1, 1, 2, 6], "l_ratio": [0.5] * 4}
    figure = d_confusion_figure(predicted, truth)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts[:3]] == ["1", "1", "0"]  # true 1: answered 1 and 2
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Predicted d", "True d")
    assert axes.get_title(loc="left") == "4: 75.0 % right"
    some = d_confusion_figure(predicted, truth, [True, False, True, True]).axes[0]
    assert some.get_title(loc="left") == "3 outlines that are not round: 100.0 % right"


def test_equal_distributions_of_d_lie_on_the_line_of_the_qq_plot():
    predicted, truth = made()
    predicted = {"p": truth["p"], "d": truth["d"][::-1], "L_ratio": truth["l_ratio"]}
    axes = d_qq_figure(predicted, truth).axes[0]
    points = np.asarray(axes.collections[0].get_offsets())
    assert (points[:, 0] == points[:, 1]).all()
    assert points[:, 0].tolist() == [1, 2, 3, 4, 5, 6]


def test_error_against_p_draws_error_bias_and_what_is_asked_for():
    predicted, truth = made()
    predicted["p"] = truth["p"] * math.e  # ln p is 1 too large everywhere
    left, right = error_against_p_figure(predicted, truth).axes
    assert left.lines[0].get_ydata() == pytest.approx(1.0)
    assert left.lines[1].get_ydata() == pytest.approx(1.0)
    assert "p under 10: RMSE 1.000" in left.get_title(loc="left")
    assert titles(left.figure) == [
        ("True curvature p", "Error of ln p"),
        ("True curvature p", "Error of L"),
    ]
    assert "asked for: 0.06" in right.get_legend_handles_labels()[1]


def test_error_against_size_has_a_panel_a_score():
    predicted, truth = made()
    size = np.random.default_rng(1).uniform(12, 200, 600)
    figure = error_against_size_figure(predicted, truth, size)
    assert {x for x, _ in titles(figure)} == {"Particle size (px)"}
    assert len(figure.axes) == 3
    predicted["jaccard"] = np.full(600, 0.97)
    last = error_against_size_figure(predicted, truth, size).axes[3]
    assert last.get_ylabel() == "Mean Jaccard"
    assert last.lines[0].get_ydata() == pytest.approx(0.97)
    with pytest.raises(ReportError, match="size_px"):
        error_against_size_figure(predicted, truth, size[:5])


def test_parity_draws_every_outline():
    predicted, truth = made()
    figure = parity_figure(predicted, truth)
    assert [axes.collections[0].get_array().sum() for axes in figure.axes[:2]] == [600, 600]


def test_learning_curve_draws_repeats_as_a_band_about_their_mean():
    figure = learning_curve_figure(
        [4000, 1000],
        {"RMSE of L": [[0.04, 0.06], [0.1, 0.2]]},
        {"RMSE of L": [0.03, 0.02]},
        goals={"RMSE of L": 0.06},
    )
    axes = figure.axes[0]
    assert axes.lines[0].get_xdata().tolist() == [1000, 4000]
    assert axes.lines[0].get_ydata() == pytest.approx([0.15, 0.05])
    assert axes.lines[1].get_ydata() == pytest.approx([0.02, 0.03])
    assert len(axes.collections) == 1
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1k", "4k"]
    with pytest.raises(ReportError, match="1 scores for 2"):
        learning_curve_figure([1, 2], {"RMSE": [0.1]})
    with pytest.raises(ReportError, match="above 0"):
        learning_curve_figure([0, 2], {"RMSE": [0.1, 0.1]})


def test_all_figures_are_written_as_svg_and_png(tmp_path):
    found = model_figures(*made(200), size_px=np.linspace(12, 90, 200))
    assert {"error_against_p", "error_against_size", "qq_d", "calibration"} < set(found)
    two = {name: found[name] for name in ("qq_d", "confusion_d")}
    written = write_figures(two, tmp_path / "new")
    assert {path.suffix for path in written} == {".svg", ".png"}
    assert {path.stem for path in written} == set(two)
    assert all(path.stat().st_size > 2000 for path in written)


def test_no_predictions_give_figures_that_say_so():
    nothing = {"p": [], "d": [], "L_ratio": []}
    for figure in model_figures(nothing, {"p": [], "d": [], "l_ratio": []}, size_px=[]).values():
        assert to_png(figure, dpi=40)[1:4] == b"PNG"


def test_bad_input_is_named():
    predicted, truth = made(10)
    with pytest.raises(ReportError, match="l_ratio is absent"):
        errors(predicted, {"p": truth["p"], "d": truth["d"]})
    with pytest.raises(ReportError, match="equally long"):
        errors(predicted, {name: values[:4] for name, values in truth.items()})
    with pytest.raises(ReportError, match="predicted p is 0"):
        errors(predicted | {"p": np.zeros(10)}, truth)
