"""Shape parameters and features, coloured by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator, ScalarFormatter
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours, columns
from nanolake.report.figures import style
from nanolake.report.figures.size import bin_edges
from nanolake.report.statistics import fit_sizes

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

MOST_POINTS = 6000
TITLES = {"p": "Curvature p", "d": "Number of axes d", "L": "Axis ratio L"}


def parameter_scatter(
    p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike, groups: ArrayLike | None = None
) -> Figure:
    """Draw the shape parameters against each other in three panels, coloured by group.

    All (n,); particles with a missing parameter are left out. ``p`` is on a logarithmic axis.
    Whole numbers ``d`` are spread at random by up to 0.3 so that points do not hide one another.
    Of more than 6,000 particles a random 6,000 are drawn, and the figure says so.
    """
    table = np.stack([np.asarray(v, float) for v in (p, d, l_ratio)], axis=1)
    numbers = style.group_numbers(groups, len(table))
    keep = np.isfinite(table).all(axis=1) & (table[:, 0] > 0)
    table, numbers = table[keep], numbers[keep]
    if len(table) == 0:
        return style.nothing("There are no shape parameters to draw.")
    chosen = _sample(len(table))
    figure = style.blank(9.0, 3.7)
    panels = figure.subplots(1, 3)
    shown = dict(zip(("p", "d", "L"), table[chosen].T, strict=True))
    for axes, (x, y) in zip(panels, (("L", "p"), ("d", "p"), ("L", "d")), strict=True):
        _scatter(axes, shown, x, y, numbers[chosen])
    handles = [_sign(number, numbers) for number in style.in_order(numbers)]
    style.legend(figure, handles, loc="outside lower center", ncols=min(len(handles), 6))
    if len(chosen) < len(table):
        style.note(panels[0], f"a random {len(chosen):,} of {len(table):,} particles")
    return figure


def _sample(n: int) -> NDArray[np.int64]:
    """Return positions to draw, in random order so that no group lies on top of the others."""
    return np.random.default_rng(0).permutation(n)[:MOST_POINTS]


def _scatter(axes: Axes, shown: dict[str, Floats], x: str, y: str, numbers: Any) -> None:
    style.plain(axes, TITLES[x], TITLES[y])
    spread = np.random.default_rng(1).uniform(-0.3, 0.3, numbers.size)
    drawn = {name: v + spread if name == "d" and _whole(v) else v for name, v in shown.items()}
    size = 14 if numbers.size < 1500 else 7
    for number in style.in_order(numbers):
        own = numbers == number
        axes.scatter(
            drawn[x][own], drawn[y][own], s=size, c=colours.colour_of(number), alpha=0.6,
            marker=colours.marker_of(number), linewidths=0, rasterized=True,
        )  # fmt: skip
    if y == "p":
        _log_ticks(axes, shown["p"])
    _whole_ticks(axes, x, y)


def _log_ticks(axes: Axes, values: Floats) -> None:
    low, high = float(values.min()) / 1.1, float(values.max()) * 1.1
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    rungs = [v for v in (0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100) if low <= v <= high]
    axes.yaxis.set_major_locator(FixedLocator(rungs))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _whole_ticks(axes: Axes, x: str, y: str) -> None:
    if x == "d":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if y == "d":
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _whole(values: Floats) -> bool:
    return bool(np.all(values == np.round(values)))


def _sign(number: int, numbers: NDArray[np.int64]) -> Line2D:
    label = f"{colours.group_name(number)} (n = {int((numbers == number).sum()):,})"
    return Line2D([], [], ls="", marker=colours.marker_of(number), ms=5, mew=0,
                  color=colours.colour_of(number), label=label)  # fmt: skip


def feature_histograms(
    particles: pd.DataFrame, features: Sequence[str] | None = None, *, unit: str = "nm"
) -> Figure:
    """Draw one small histogram a feature, a line a group, each with its fitted normal.

    ``features`` are columns of ``particles``; None takes the main ones that have values. The
    groups are in ``shape_group`` where that column exists. The height is density, so that groups
    of different size can be compared.
    """
    names = list(features or (item.column for item in columns.shown(particles, unit)))
    names = [name for name in names if style.finite(particles[name]).size > 0]
    if not names:
        return style.nothing("There are no features to draw.")
    numbers = style.group_numbers(particles.get("shape_group"), len(particles))
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure = style.blank(3.0 * across, 2.15 * down + 0.4)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for place, (axes, name) in enumerate(zip(panels, names, strict=False)):
        style.plain(axes, columns.quantity(name).title, "" if place % across else "Density")
        _feature(axes, particles[name].to_numpy(float, na_value=np.nan), numbers)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    handles = [
        Line2D([], [], color=colours.colour_of(g), lw=2, label=colours.group_name(g))
        for g in style.in_order(numbers)
    ]
    if "shape_group" in particles:
        style.legend(figure, handles, loc="outside lower center", ncols=min(len(handles), 6))
    return figure


def _feature(axes: Axes, x: Floats, numbers: NDArray[np.int64]) -> None:
    axes.set_yticks([])
    if _whole(style.finite(x)):
        _counted(axes, x, numbers)
        return
    edges = _edges(style.finite(x))
    for number in style.in_order(numbers):
        own = style.finite(x[numbers == number])
        colour = colours.colour_of(number)
        if own.size > 1:
            _step(axes, own, edges, colour)
        normal = [fit for fit in fit_sizes(own) if fit.name == "normal"]
        if normal and normal[0].scale > 0.2 * (edges[1] - edges[0]):
            grid = np.linspace(edges[0], edges[-1], 200)
            axes.plot(grid, normal[0].density(grid), color=colour, lw=1.2)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)


def _counted(axes: Axes, x: Floats, numbers: NDArray[np.int64]) -> None:
    """Bars of each whole number's share of its group, the groups side by side."""
    groups = style.in_order(numbers)
    width = 0.8 / len(groups)
    for place, number in enumerate(groups):
        values, counts = np.unique(style.finite(x[numbers == number]), return_counts=True)
        shift = (place - 0.5 * (len(groups) - 1)) * width
        axes.bar(values + shift, counts / max(counts.sum(), 1), width,
                 color=colours.colour_of(number), alpha=0.6)  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _edges(x: Floats) -> Floats:
    """Return bins over the inner 99 %."""
    low, high = np.percentile(x, [0.5, 99.5])
    return bin_edges(x[(x >= low) & (x <= high)], most=30)


def _step(axes: Axes, own: Floats, edges: Floats, colour: str) -> None:
    """Bars of density; values outside the drawn range count in the total."""
    heights = np.histogram(own, edges)[0] / (own.size * np.diff(edges))
    axes.stairs(heights, edges, fill=True, color=colour, alpha=0.28, lw=0)
