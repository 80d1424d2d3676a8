"""The shape parameters of the outlines, coloured by group."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours
from nanolake.report.figures import style
from nanolake.report.figures.axes import P_RUNGS, log_ticks

Floats = NDArray[np.float64]

MOST_POINTS = 6000
MOST_IN_SPACE = 2500
"""In three dimensions points hide one another sooner."""
TITLES = {"p": "Curvature p", "d": "Number of axes d", "L": "Axis ratio L"}


def parameter_scatter(
    p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike, groups: ArrayLike | None = None
) -> Figure:
    """Draw the shape parameters against each other in three panels, coloured by group.

    All (n,); particles with a missing parameter are left out. ``p`` is on a logarithmic axis.
    Whole numbers ``d`` are spread at random by up to 0.3 so that points do not hide one another.
    Of more than 6,000 particles a random 6,000 are drawn, and the figure says so.
    """
    table, numbers = _known(p, d, l_ratio, groups)
    if len(table) == 0:
        return style.nothing("There are no shape parameters to draw.")
    chosen = _sample(len(table), MOST_POINTS)
    figure = style.blank(9.0, 3.7)
    panels = figure.subplots(1, 3)
    shown = dict(zip(("p", "d", "L"), table[chosen].T, strict=True))
    for axes, (x, y) in zip(panels, (("L", "p"), ("d", "p"), ("L", "d")), strict=True):
        _scatter(axes, shown, x, y, numbers[chosen])
    handles = [_sign(number, numbers) for number in colours.in_order(numbers)]
    style.legend(figure, handles, loc="outside lower center", ncols=min(len(handles), 5))
    if len(chosen) < len(table):
        style.note(panels[0], f"a random {len(chosen):,} of {len(table):,} particles")
    return figure


def parameter_space_figure(
    p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike, groups: ArrayLike | None = None
) -> Figure:
    """Draw the particles in the space of (L, d, p), coloured by group: two views of one cloud.

    As `parameter_scatter`, of which the panels are easier to read off: this one is for seeing
    whether groups lie apart. Of more than 2,500 particles a random 2,500 are drawn.
    """
    table, numbers = _known(p, d, l_ratio, groups)
    if len(table) == 0:
        return style.nothing("There are no shape parameters to draw.")
    chosen = _sample(len(table), MOST_IN_SPACE)
    figure = style.blank(9.0, 4.2)
    for place, turn in enumerate((-60, 30), start=1):
        axes = figure.add_subplot(1, 2, place, projection="3d")
        _space(axes, table[chosen], numbers[chosen])
        axes.view_init(elev=18, azim=turn)
    handles = [_sign(number, numbers) for number in colours.in_order(numbers)]
    style.legend(figure, handles, loc="outside lower center", ncols=min(len(handles), 5))
    if len(chosen) < len(table):
        figure.suptitle(f"a random {len(chosen):,} of {len(table):,} particles", x=0.01, ha="left",
                        fontsize=style.TEXT, color=colours.MUTED)  # fmt: skip
    return figure


def _space(axes: Any, table: Floats, numbers: NDArray[np.int64]) -> None:
    """Scatter in three dimensions; matplotlib knows no logarithmic axis there, so p is log10 p."""
    spread = np.random.default_rng(1).uniform(-0.2, 0.2, len(table))
    d = table[:, 1] + spread if _whole(table[:, 1]) else table[:, 1]
    height = np.log10(table[:, 0])
    for number in colours.in_order(numbers):
        own = numbers == number
        axes.scatter(
            table[own, 2], d[own], height[own], s=7, c=colours.colour_of(number), alpha=0.55,
            marker=colours.marker_of(number), linewidths=0, depthshade=False, rasterized=True,
        )  # fmt: skip
    rungs = [v for v in P_RUNGS if height.min() - 0.05 <= np.log10(v) <= height.max() + 0.05]
    axes.set_zticks(np.log10(rungs), [f"{v:g}" for v in rungs])
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    for axis, name in ((axes.xaxis, "L"), (axes.yaxis, "d"), (axes.zaxis, "p")):
        axis.set_label_text(TITLES[name], fontsize=style.TEXT, color=colours.INK)
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))
        axis.pane.set_edgecolor(colours.PALE)
    axes.tick_params(labelsize=style.SMALL, labelcolor=colours.INK, pad=0)
    axes.set_box_aspect((1, 1, 0.85), zoom=0.95)


def _known(
    p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike, groups: ArrayLike | None
) -> tuple[Floats, NDArray[np.int64]]:
    """Return (n, 3) of the complete particles and their (n,) groups."""
    table = np.stack([np.asarray(v, float) for v in (p, d, l_ratio)], axis=1)
    numbers = colours.group_numbers(groups, len(table))
    keep = np.isfinite(table).all(axis=1) & (table[:, 0] > 0)
    return table[keep], numbers[keep]


def _sample(n: int, most: int) -> NDArray[np.int64]:
    """Return positions to draw, in random order so that no group lies on top of the others."""
    return np.random.default_rng(0).permutation(n)[:most]


def _scatter(axes: Axes, shown: dict[str, Floats], x: str, y: str, numbers: Any) -> None:
    style.plain(axes, TITLES[x], TITLES[y])
    spread = np.random.default_rng(1).uniform(-0.3, 0.3, numbers.size)
    drawn = {name: v + spread if name == "d" and _whole(v) else v for name, v in shown.items()}
    size = 14 if numbers.size < 1500 else 7
    for number in colours.in_order(numbers):
        own = numbers == number
        axes.scatter(
            drawn[x][own], drawn[y][own], s=size, c=colours.colour_of(number), alpha=0.6,
            marker=colours.marker_of(number), linewidths=0, rasterized=True,
        )  # fmt: skip
    if y == "p":
        log_ticks(axes, shown["p"], which="y")
    _whole_ticks(axes, x, y)


def _whole_ticks(axes: Axes, x: str, y: str) -> None:
    for name, axis, limits in ((x, axes.xaxis, axes.set_xlim), (y, axes.yaxis, axes.set_ylim)):
        if name == "d":
            low, high = axis.get_view_interval()
            limits(min(low, math.floor(low) + 0.4), max(high, math.ceil(high) - 0.4))
            axis.set_major_locator(MaxNLocator(integer=True))


def _whole(values: Floats) -> bool:
    return bool(np.all(values == np.round(values)))


def _sign(number: int, numbers: NDArray[np.int64]) -> Line2D:
    label = f"{colours.group_name(number)} (n = {int((numbers == number).sum()):,})"
    return Line2D([], [], ls="", marker=colours.marker_of(number), ms=5, mew=0,
                  color=colours.colour_of(number), label=label)  # fmt: skip
