"""Figures: what they show is what was handed over, and odd input draws a figure, not an error."""

import json
import threading

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from nanolake.report import (
    GROUP_COLOURS,
    ReportError,
    batch_comparison_figure,
    confusion_figure,
    feature_histograms,
    parameter_scatter,
    silhouette_figure,
    size_histogram,
)
from nanolake.report.figures import to_png, to_svg
from nanolake.report.figures.size import bin_edges


def texts(figure):
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_every_particle_lies_in_a_bar_of_its_groups_colour():
    rng = np.random.default_rng(0)
    values = np.append(rng.normal(20, 3, 300), [np.nan, 400.0])
    groups = np.append(np.repeat([1, 2, 3], 100), [1, 2])
    axes = size_histogram(values, groups).axes[0]
    heights: dict[str, float] = {}
    for bar in axes.patches:
        colour = to_hex(bar.get_facecolor()).upper()
        heights[colour] = heights.get(colour, 0) + bar.get_height()
    assert heights == {GROUP_COLOURS[0]: 100, GROUP_COLOURS[1]: 101, GROUP_COLOURS[2]: 100}
    assert axes.get_xlabel() == "Equivalent circular diameter (nm)"


def test_fit_curves_hold_as_many_particles_as_the_bars():
    values = np.random.default_rng(1).normal(50, 5, 2000)
    axes = size_histogram(values, unit="px").axes[0]
    bars = sum(bar.get_height() * bar.get_width() for bar in axes.patches)
    for line in axes.lines:
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(bars, rel=0.02)
    assert "fits" in axes.get_title(loc="left")
    assert "(px)" in axes.get_xlabel()


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [3.0, 3.0, 3.0], [1.0, 2.0]])
def test_histogram_of_almost_nothing(values):
    assert to_svg(size_histogram(np.array(values))).startswith(b"<?xml")


def test_bins_hold_all_values_and_are_not_too_many():
    values = np.append(np.random.default_rng(2).normal(10, 0.1, 500), 1000.0)
    edges = bin_edges(values)
    assert len(edges) == 61
    assert np.histogram(values, edges)[0].sum() == 501


def test_scatter_shows_every_complete_particle_and_says_when_it_does_not():
    n = 50
    p, d, l_ratio = np.full(n, 3.0), np.full(n, 2), np.full(n, 0.5)
    p[0] = np.nan
    figure = parameter_scatter(p, d, l_ratio, np.repeat([1, 2], 25))
    assert [sum(len(c.get_offsets()) for c in a.collections) for a in figure.axes] == [49] * 3
    assert "Group 1 (n = 24)" in [t.get_text() for t in figure.legends[0].get_texts()]
    many = parameter_scatter(np.full(7000, 3.0), np.full(7000, 2), np.full(7000, 0.5))
    assert "a random 6,000 of 7,000 particles" in texts(many)


def test_twelve_groups_and_unassigned_are_all_in_the_legend():
    groups = np.arange(130) % 13
    figure = parameter_scatter(np.full(130, 2.0), np.full(130, 2), np.linspace(0.2, 1, 130), groups)
    words = [t.get_text() for t in figure.legends[0].get_texts()]
    assert words[0] == "Group 1 (n = 10)"
    assert words[-1] == "Not grouped (n = 10)"
    assert len(words) == 13


def test_feature_histograms_take_what_has_values(toy):
    frame = toy.particles.assign(solidity=np.nan)
    figure = feature_histograms(frame)
    titles = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    assert "Equivalent circular diameter (nm)" in titles
    assert "Solidity" not in titles
    assert not any("px" in title for title in titles)
    assert to_png(feature_histograms(pd.DataFrame({"p": []})), dpi=50)[1:4] == b"PNG"


def test_batches_show_mean_and_quantiles():
    figure = batch_comparison_figure({"a": np.array([1.0, 2, 3, 6]), "none": [], "b": [4.0]})
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["a", "b"]
    # D10 to D90 of 1, 2, 3, 6 is 1 to 6 (Hazen); the mean is 3.
    assert left.lines[0].get_xdata().tolist() == [1.0, 6.0]
    assert any(line.get_xdata().tolist() == [3.0] for line in left.lines)
    assert right.lines[0].get_ydata().tolist() == [12.5, 37.5, 62.5, 87.5]


def test_confusion_writes_its_counts():
    figure = confusion_figure([[9, 1], [0, 1234]], [1, "$bad{ name"])
    assert {"9", "1", "0", "1,234"} <= {t.get_text() for t in figure.axes[0].texts}
    assert to_svg(figure)
    with pytest.raises(ReportError, match=r"\(2, 3\)"):
        confusion_figure(np.zeros((2, 3)))
    with pytest.raises(ReportError, match="3 class names"):
        confusion_figure(np.zeros((2, 2)), [1, 2, 3])


def test_silhouette_draws_both_and_marks_the_chosen_one(report):
    tried = json.loads(report.grouping["scores_json"])["tried"]
    axes = silhouette_figure(tried, 3).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [0.5, 0.61, 0.48, 0.41]
    assert axes.lines[1].get_ydata().tolist() == [0.27, 0.24, 0.22, 0.21]
    assert (axes.lines[2].get_xdata()[0], axes.lines[2].get_ydata()[0]) == (3, 0.61)


def test_names_are_no_formulas():
    assert to_svg(batch_comparison_figure({r"$\frac{": [1.0, 2.0], "x_$1$": [2.0, 3.0]}))


def test_figures_are_drawn_in_threads_alike():
    values = np.random.default_rng(3).normal(10, 1, 100)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(to_png(size_histogram(values), dpi=40)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
