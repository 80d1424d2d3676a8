"""The linkage tree: branches of one group take its colour, mixed ones are grey."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from nanolake.report import GROUP_COLOURS, ReportError, dendrogram_figure
from nanolake.report.colours import MUTED
from nanolake.report.figures import to_svg


def branches(figure):
    lines = figure.axes[0].collections[0]
    return lines.get_segments(), [to_hex(c).upper() for c in lines.get_colors()]


def test_two_far_pairs_make_two_coloured_branches_and_a_grey_one():
    # Pairs at 0, 1 and 10, 11: two merges at distance 1, one at the mean distance of the pairs,
    # (10 + 11 + 9 + 10) / 4 = 10.
    figure = dendrogram_figure([[0.0], [10.0], [1.0], [11.0]], [1, 2, 1, 2])
    segments, tints = branches(figure)
    heights = [segment[:, 1].max() for segment in segments]
    assert sorted(zip(heights, tints, strict=True)) == sorted(
        [(1.0, GROUP_COLOURS[0]), (1.0, GROUP_COLOURS[1]), (10.0, MUTED.upper())]
    )
    title = figure.axes[0].get_title(loc="left")
    # Distances 1, 1, 9, 10, 10, 11 against tree heights 1, 1, 10, 10, 10, 10.
    expected = np.corrcoef([1, 1, 9, 10, 10, 11], [1, 1, 10, 10, 10, 10])[0, 1]
    assert title == f"average linkage of 4 particles; cophenetic correlation {expected:.3f}"


def test_the_strip_has_a_cell_a_particle_in_the_trees_order():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 1, (30, 2)), rng.normal(30, 1, (10, 2))])
    figure = dendrogram_figure(points, np.repeat([1, 2], [30, 10]))
    cells = figure.axes[1].images[0].get_array()[0]
    blue = (cells == (0, 114, 178)).all(axis=1)
    assert blue.sum() == 30
    assert np.count_nonzero(np.diff(blue)) == 1  # far apart: each group is one run of leaves
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "Group 1", "Group 2", "several groups",
    ]  # fmt: skip
    assert "scaled units" in figure.axes[0].get_ylabel()


def test_a_large_table_is_sampled_and_the_figure_says_so():
    points = np.random.default_rng(1).normal(size=(900, 3))
    points[0] = np.nan
    figure = dendrogram_figure(points, most=50, title="Pt")
    assert len(branches(figure)[0]) == 49
    assert "Pt; average linkage of a random 50 of 899" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize("points", [np.empty((0, 3)), np.full((9, 2), np.nan), [[1.0], [2.0]]])
def test_too_few_particles_give_a_figure_that_says_so(points):
    assert "at least three" in dendrogram_figure(points).texts[0].get_text()


def test_equal_points_and_wrong_shapes():
    assert to_svg(dendrogram_figure(np.ones((5, 2)), [1, 2, 1, 2, 0]))
    with pytest.raises(ReportError, match=r"\(3,\)"):
        dendrogram_figure([1.0, 2.0, 3.0])
    with pytest.raises(ReportError, match="2 labels for 3 points"):
        dendrogram_figure(np.ones((3, 2)), [1, 2])
