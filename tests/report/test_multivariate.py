"""Parallel coordinates, principal components, histograms by group, the space of p, d and L."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from nanolake.report import (
    GROUP_COLOURS,
    columns,
    feature_histograms,
    fit_table,
    parallel_coordinates_figure,
    parameter_space_figure,
    pareto_figure,
)
from nanolake.report.figures import to_png
from nanolake.report.figures.multivariate import principal_components


def test_components_of_a_line_by_hand():
    # Points on (1, 2): one component holds everything, its weights are (1, 2) / sqrt(5).
    share, weights = principal_components(np.array([[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]]))
    assert share == pytest.approx([1.0, 0.0])
    assert weights[:, 0] == pytest.approx(np.array([1.0, 2.0]) / np.sqrt(5))


def test_pareto_bars_fall_and_their_sum_is_one(toy):
    names = ["aspect_ratio", "circularity", "solidity", "L_ratio"]
    left, right = pareto_figure(toy.particles, names).axes
    heights = [bar.get_height() for bar in left.patches]
    assert heights == sorted(heights, reverse=True)
    assert sum(heights) == pytest.approx(1.0)
    assert left.lines[0].get_ydata()[-1] == pytest.approx(1.0)
    assert [t.get_text() for t in right.get_yticklabels()] == [
        "Aspect ratio", "Circularity", "Solidity", "Axis ratio L",
    ]  # fmt: skip
    assert left.get_ylabel() == "Share of the variance"


def test_parallel_lines_are_medians_in_standard_deviations():
    # Solidity 1, 1, 3, 3: mean 2, sd 1: group 1 lies at -1, group 2 at +1; the constant column is
    # left out. Area 1, 1, e², e²: its logarithm has mean 1, so 0 stands for e.
    frame = pd.DataFrame({
        "solidity": [1.0, 1, 3, 3], "extent": 2.0, "area_nm2": np.exp([0.0, 0, 2, 2]),
        "shape_group": [1, 1, 2, 2],
    })  # fmt: skip
    axes = parallel_coordinates_figure(frame, ["solidity", "extent", "area_nm2"]).axes[0]
    medians = {to_hex(line.get_color()).upper(): line.get_ydata() for line in axes.lines[:2]}
    assert medians[GROUP_COLOURS[0]] == pytest.approx([-1, -1])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["Solidity\n2", "Area\n2.72 nm²"]
    assert "Group 2 (n = 2)" in [t.get_text() for t in axes.figure.legends[0].get_texts()]


@pytest.mark.parametrize("draw", [parallel_coordinates_figure, pareto_figure])
@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"p": [], "d_mean": []}),
        pd.DataFrame({"p": [np.nan] * 4, "d_mean": [1.0, 2, 3, 4]}).assign(p=np.nan, d_mean=np.nan),
        pd.DataFrame({"p": [2.0] * 5, "d_mean": [3.0] * 5}),
        pd.DataFrame({"other": [1.0, 2.0]}),
    ],
)
def test_nothing_to_compare_is_said(draw, frame):
    assert "No particle has a value" in draw(frame, ["p", "d_mean"]).texts[0].get_text()


def test_every_group_has_a_row_with_both_fits():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "solidity": np.concatenate([rng.normal(0.5, 0.02, 200), rng.normal(0.9, 0.02, 200)]),
        "d": np.repeat([2, 3], 200), "shape_group": np.repeat([1, 2], 200),
    })  # fmt: skip
    first, second = feature_histograms(frame, ["solidity", "d"]).axes
    assert first.get_xlabel() == "Solidity"
    assert [t.get_text() for t in first.get_yticklabels()] == ["Group 1", "Group 2"]
    curves = [line for line in first.lines if line.get_label() in ("normal", "lognormal")]
    assert [line.get_label() for line in curves] == ["lognormal", "normal"] * 2
    # The curve of each group peaks at its own mean, in its own row.
    tops = [line.get_xdata()[line.get_ydata().argmax()] for line in curves[1::2]]
    assert tops == pytest.approx([0.5, 0.9], abs=0.02)
    assert curves[1].get_ydata().min() >= 0 > curves[3].get_ydata().max() - 1
    assert len(second.patches) == 2  # d: one bar a group, nothing fitted


def test_fit_table_by_hand():
    frame = pd.DataFrame({"solidity": [1.0, 2, 3, 4, np.nan], "shape_group": [1, 1, 1, 2, 2]})
    table = fit_table(frame, ["solidity"]).set_index("group")
    assert table.loc[1, "N"] == 3
    assert table.loc[1, "normal_mean"] == pytest.approx(2.0)
    assert table.loc[1, "normal_sd"] == pytest.approx(np.sqrt(2 / 3))
    assert table.loc[1, "lognormal_median"] == pytest.approx(6 ** (1 / 3))
    assert table.loc[1, "better"] == "either"  # three values decide nothing
    assert table.loc[2, "N"] == 1
    assert np.isnan(table.loc[2, "normal_mean"])


def test_every_feature_of_the_schema_has_words_and_one_unit():
    found = {item.column: item for item in columns.every_quantity()}
    assert found["perimeter_nm"].title == "Perimeter (nm)"
    assert found["area_convex_nm2"].title == "Area convex (nm²)"
    assert not [name for name in found if name.endswith("_rad") or "centroid" in name]
    assert len(found) == len(columns.every_quantity())


def test_space_has_two_views_of_every_particle():
    n = 60
    groups = np.repeat([1, 2], 30)
    p, d = np.append(np.full(n - 1, 3.0), np.nan), np.repeat([2, 3], 30)
    figure = parameter_space_figure(p, d, np.linspace(0.2, 1, n), groups)
    assert [sum(len(c._offsets3d[0]) for c in a.collections) for a in figure.axes] == [59, 59]
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()) == (
        "Axis ratio L", "Number of axes d", "Curvature p",
    )  # fmt: skip
    assert to_png(figure, dpi=40)[1:4] == b"PNG"
    assert "no shape parameters" in parameter_space_figure([], [], []).texts[0].get_text()
