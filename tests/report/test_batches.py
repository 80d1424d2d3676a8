"""Batches compared: verdicts by hand, intervals by micrograph, figures that show the table."""

import math

import numpy as np
import pandas as pd
import pytest

from nanolake.report import (
    batch_difference_figure,
    batch_table,
    cost_figure,
    excluded_figure,
    group_share_figure,
    share_table,
)
from nanolake.report.batches import kolmogorov, size_verdict


def sizes(**batches):
    rows = [
        {"experiment": name, "equivalent_diameter_area_nm": float(x), "micrograph_id": f"{name}{i}",
         "shape_group": group}
        for name, (values, group) in batches.items()
        for i, x in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_pair_by_hand():
    # One particle a micrograph: by micrograph and by particle are then the same.
    # a: 9, 10, 11: mean 10, sd 1, error 1 / sqrt(3). b: 13, 14, 15: mean 14, the same error.
    # Error of the difference sqrt(2 / 3); Welch's freedom 4; t(0.975, 4) = 2.776445.
    pair = batch_table(sizes(a=([9, 10, 11], 1), b=([13, 14, 15], 2))).iloc[0]
    assert (pair["a"], pair["b"], pair["n_a"], pair["n_b"]) == ("a", "b", 3, 3)
    assert pair["difference"] == pytest.approx(4.0)
    half = 2.776445 * math.sqrt(2 / 3)
    assert pair["difference_low"] == pytest.approx(4 - half, abs=1e-5)
    assert pair["difference_high"] == pytest.approx(4 + half, abs=1e-5)
    assert pair["ratio"] == pytest.approx(1.4)
    assert pair["sigma_over_d_a"] == pytest.approx(0.1)
    assert (pair["ks"], pair["group_overlap"], pair["size"]) == (1.0, 0.0, "differs")
    assert pair["by_micrograph"]


def test_particles_of_few_pictures_do_not_decide():
    # Three pictures of each batch, whose means scatter by 1 nm: 200 particles in each picture make
    # the interval by particle far too narrow.
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame({
            "experiment": name, "micrograph_id": f"{name}{i}",
            "equivalent_diameter_area_nm": rng.normal(10 + shift, 0.5, 200),
        })
        for name, shifts in (("a", (-1, 0, 1)), ("b", (-0.7, 0.5, 1.3)))
        for i, shift in enumerate(shifts)
    ]  # fmt: skip
    frame = pd.concat(frames)
    assert batch_table(frame).iloc[0]["size"] == "open"
    by_particle = batch_table(frame.drop(columns="micrograph_id")).iloc[0]
    assert by_particle["size"] == "differs slightly"
    assert not by_particle["by_micrograph"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 2.0, "differs"),
        (-2.0, -0.1, "differs"),
        (-0.4, 0.5, "alike"),
        (0.1, 0.4, "differs slightly"),
        (-0.6, 0.4, "open"),
    ],
)
def test_what_an_interval_decides(low, high, expected):
    assert size_verdict(low, high, 10.0) == expected


def test_the_likest_pair_comes_first_and_every_pair_is_there():
    table = batch_table(sizes(a=([10, 11, 12], 1), b=([30, 31, 32], 1), c=([11, 12, 13], 1)))
    assert list(zip(table["a"], table["b"], strict=True)) == [("a", "c"), ("b", "c"), ("a", "b")]
    assert table["group_overlap"].tolist() == [1.0, 1.0, 1.0]


def test_batches_without_sizes_or_groups():
    frame = sizes(a=([10, 11], None), b=([math.nan, 3], None), c=([9, 12], None))
    table = batch_table(frame)
    assert list(zip(table["a"], table["b"], strict=True)) == [("a", "c")]
    assert table["group_overlap"].isna().all()
    assert batch_table(frame[:0]).empty
    assert (
        "no two experiments" in batch_difference_figure(batch_table(frame[:0])).texts[0].get_text()
    )


def test_kolmogorovs_distance_equals_scipys():
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 60).round(1), rng.normal(0.5, 1, 90).round(1)
    assert kolmogorov(a, b) == pytest.approx(ks_2samp(a, b).statistic)


def test_differences_are_drawn_in_per_cent_and_far_ones_as_arrows():
    figure = batch_difference_figure(
        batch_table(sizes(a=([10, 10.1, 10.2], 1), b=([10.2, 10.3, 10.4], 1), c=([20, 21, 22], 1)))
    )
    axes = figure.axes[0]
    near = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_lw() == 2.0]
    assert len(near) == 1  # a and b; the others are arrows
    centre = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in ("o", "s", "v")]
    assert centre == pytest.approx([100 * 0.2 / 10.1])
    assert axes.get_xlabel() == "Difference in mean diameter, % of the first"
    words = [text.get_text() for text in axes.texts]
    assert "+0.20 nm" in words
    assert sum(word.endswith(" %") for word in words) == 2
    assert axes.get_yticklabels()[0].get_text() == "a → b"


def test_shares_by_hand_and_their_bars():
    shares = share_table(["x", "x", "x", "y"], [1, 1, 2, None])
    assert shares.to_dict("list") == {
        "experiment": ["x", "x", "y"], "group": [1, 2, 0], "N": [2, 1, 1],
        "share": [2 / 3, 1 / 3, 1.0],
    }  # fmt: skip
    axes = group_share_figure(shares).axes[0]
    assert sorted(bar.get_width() for bar in axes.patches) == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["x", "y"]
    assert "n = 3" in [t.get_text() for t in axes.texts]
    assert "no particles" in group_share_figure(share_table([], [])).texts[0].get_text()


def test_losses_are_shares_of_what_was_found():
    counts = pd.DataFrame(
        {"experiment": ["x", "none"], "kept": [6, 0], "border": [3, 0], "small": [0, 0],
         "print": [1, 0]}
    )  # fmt: skip
    axes = excluded_figure(counts).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.6, 0.3, 0.1])
    assert [t.get_text() for t in axes.figure.legends[0].get_texts()] == [
        "kept (6)", "border (3)", "print (1)",
    ]  # fmt: skip
    assert "6 of 10 kept" in [t.get_text() for t in axes.texts]
    assert "No object" in excluded_figure(counts[1:]).texts[0].get_text()


def test_cost_in_minutes_where_it_is_long():
    cost = pd.DataFrame(
        {"stage": ["ingest", "segment"], "units": [2, 3], "computing_s": [6.0, 600.0]}
    )
    axes = cost_figure(cost).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.1, 10.0])
    assert axes.get_xlabel().endswith("(min)")
    assert "No computing time" in cost_figure(cost[:0]).texts[0].get_text()
