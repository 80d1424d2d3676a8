"""Experiments beside one another, and the classifier's confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours
from nanolake.report.data import ReportError
from nanolake.report.figures import style
from nanolake.report.statistics import mean_interval

Floats = NDArray[np.float64]

DASHES = ("-", "--", "-.", ":")
"""A second sign beside the colour of a cumulative curve."""


def batch_comparison_figure(
    batches: Mapping[str, ArrayLike],
    unit: str = "nm",
    *,
    micrographs: Mapping[str, ArrayLike] | None = None,
    title: str = "Equivalent circular diameter",
) -> Figure:
    """Draw each batch's sizes as a row: spread, quartiles, and mean with its interval.

    ``batches`` maps a name to (n,) sizes, ``micrographs`` the same names to (n,) identities: with
    them the interval of the mean is by micrograph (`nanolake.report.ensemble`). The thin line runs
    from D10 to D90, the box from the first to the third quartile with the median as a white line,
    the black sign is the mean with its 95 % interval. Right of it stand the cumulative
    distributions. Colours stand for batches, in the order of the rows.
    """
    filled = {name: style.finite(values) for name, values in batches.items()}
    filled = {name: values for name, values in filled.items() if values.size}
    tints = colours.batch_colours(len(filled))
    if not filled:
        return style.nothing("There are no sizes to compare.")
    figure = style.blank(9.0, max(2.8, 0.42 * len(filled) + 1.5))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    style.plain(left, f"{title} ({unit})", "")
    for row, name in enumerate(filled):
        found = mean_interval(batches[name], (micrographs or {}).get(name))
        _box(left, row, filled[name], tints[row], found)
    names = [style.literal(style.shorten(name)) for name in filled]
    left.set_yticks(range(len(filled)), names, fontsize=style.SMALL)
    left.set_ylim(len(filled) - 0.4, -0.6)
    left.tick_params(axis="y", length=0)
    left.spines["left"].set_visible(False)
    style.legend(figure, _signs(), loc="outside lower left", ncols=4)
    _cumulative(right, filled, f"{title} ({unit})", tints)
    return figure


def _box(
    axes: Axes, row: int, values: Floats, colour: str, found: tuple[float, float, float] | None
) -> None:
    d10, q1, d50, q3, d90 = np.percentile(values, [10, 25, 50, 75, 90], method="hazen")
    axes.plot([d10, d90], [row, row], color=colour, lw=1.5, solid_capstyle="butt")
    axes.barh(row, q3 - q1, 0.5, q1, color=colour, alpha=0.75)
    axes.plot([d50, d50], [row - 0.25, row + 0.25], color="white", lw=2)
    if found is not None:
        mean, low, high = found
        axes.errorbar(mean, row, xerr=[[mean - low], [high - mean]], fmt="D", ms=4, color="black",
                      mec="white", mew=0.6, lw=1.2, capsize=3)  # fmt: skip


def _signs() -> list[Any]:
    return [
        Line2D([], [], color=colours.MUTED, lw=1.5, label="D10 to D90"),
        Patch(color=colours.MUTED, alpha=0.75, label="quartiles, median"),
        Line2D([], [], color="black", marker="D", ms=4, lw=1.2, label="mean, 95 % interval"),
    ]


def _cumulative(axes: Axes, filled: Mapping[str, Floats], title: str, tints: Sequence[str]) -> None:
    style.plain(axes, title, "Share of particles below (%)")
    for row, values in enumerate(filled.values()):
        share = 100.0 * (np.arange(values.size) + 0.5) / values.size
        axes.plot(np.sort(values), share, ls=DASHES[row % len(DASHES)], color=tints[row], lw=1.5,
                  rasterized=values.size > 20_000)  # fmt: skip
    axes.set_ylim(0, 100)


def confusion_figure(
    matrix: ArrayLike,
    classes: Sequence[object] | None = None,
    *,
    title: str = "",
    noun: str = "group",
) -> Figure:
    """Draw a confusion matrix: counts, and shading by the share of each row.

    ``matrix`` (k, k) counts; rows are the true groups, columns the predicted ones. ``classes`` are
    their numbers or names, ``noun`` what the numbers count.
    """
    counts = np.asarray(matrix, float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ReportError(f"a confusion matrix is square, not {counts.shape}")
    names = [_class_name(c) for c in classes or range(1, len(counts) + 1)]
    if len(names) != len(counts):
        raise ReportError(f"{len(names)} class names for a {len(counts)} x {len(counts)} matrix")
    side = 1.5 + 0.45 * len(counts)
    figure = style.blank(side + 0.4, side)
    of = f" {noun}" if names[0].isdigit() else ""
    axes = style.plain(figure.add_subplot(), f"Predicted{of}", f"True{of}")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    for (row, column), value in np.ndenumerate(counts):
        ink = "white" if share[row, column] > 0.55 else colours.INK if value else colours.PALE
        axes.text(column, row, f"{value:,.0f}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    if max(map(len, names)) > 3:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if title:
        style.note(axes, title)
    return figure


def _class_name(name: object) -> str:
    number = colours.group_number(name)
    return str(number) if number else style.literal(style.shorten(name, 16))


def silhouette_figure(tried: Sequence[Mapping[str, Any]], chosen: int | None = None) -> Figure:
    """Draw the silhouette of every K tried beside that of data without structure.

    ``tried`` holds mappings with ``k``, ``silhouette``, ``null_silhouette_mean`` and
    ``null_silhouette_sd``; the band is three standard deviations of the null wide on either side.
    """
    rows = sorted(tried, key=lambda row: int(row["k"]))
    if not rows:
        return style.nothing("No number of groups was tried.")
    k, own, null, sd = (
        np.array([row[name] for row in rows], float)
        for name in ("k", "silhouette", "null_silhouette_mean", "null_silhouette_sd")
    )
    figure = style.blank(6.0, 3.1)
    axes = style.plain(figure.add_subplot(), "Number of groups K", "Mean silhouette")
    axes.plot(k, own, "o-", color=colours.GROUP_COLOURS[0], lw=1.4, ms=5, label="these particles")
    axes.plot(k, null, "s--", color=colours.MUTED, lw=1.2, ms=4, label="data without structure")
    axes.fill_between(k, null - 3 * sd, null + 3 * sd, color=colours.MUTED, alpha=0.2, lw=0)
    if chosen is not None and chosen in k:
        height = float(own[k == chosen][0])
        axes.plot(
            [chosen], [height], "o", ms=11, mfc="none", mec="black", label=f"chosen: {chosen}"
        )
    axes.set_xticks(k)
    axes.set_ylim(bottom=min(0.0, float(own.min()), float((null - 3 * sd).min())))
    style.legend(axes, axes.get_legend_handles_labels()[0], loc="center left",
                 bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    return figure
