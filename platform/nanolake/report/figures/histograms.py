"""One small histogram a feature, a row a group, each with its fitted normal and lognormal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from nanolake.report import colours, columns
from nanolake.report.figures import style
from nanolake.report.figures.size import bin_edges
from nanolake.report.fits import fit_sizes

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ACROSS = 4
LINES = {"normal": "-", "lognormal": (0, (2, 1.2))}
ROW = 0.92
"""Height of a group's row, of the 1 between baselines."""


def feature_histograms(
    particles: pd.DataFrame, features: Sequence[str] | None = None, *, unit: str = "nm"
) -> Figure:
    """Draw one small histogram a feature; in it a row a shape group, with two fitted curves.

    Parameters
    ----------
    particles
        Rows of ``morphology``; the groups are in ``shape_group`` where that column is there.
    features
        Columns to draw; None takes the main ones that have values.
    unit
        ``nm`` or ``px``: the lengths taken where ``features`` is None.

    Solid: normal; dashed: lognormal, both fitted to all values of the group by maximum likelihood
    (`nanolake.report.fits`). Each row is scaled to its own height, so that small groups can be
    seen: heights of two rows do not compare. The axes leave out the outermost half per cent.
    Whole numbers are drawn as bars of their share and not fitted.
    """
    names = list(features or (item.column for item in columns.shown(particles, unit)))
    names = [name for name in names if style.finite(_values(particles, name)).size > 0]
    if not names:
        return style.nothing("There are no features to draw.")
    numbers = colours.group_numbers(particles.get("shape_group"), len(particles))
    groups = colours.in_order(numbers)
    across = min(ACROSS, len(names))
    down = -(-len(names) // across)
    height = 0.75 + (
        1.0 if len(groups) == 1 else max(0.34, 0.62 - 0.03 * len(groups)) * len(groups)
    )
    figure = style.blank(2.35 * across + 0.4, height * down + 0.35)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for place, (axes, name) in enumerate(zip(panels, names, strict=False)):
        style.plain(axes, columns.quantity(name).title, "")
        _rows(axes, _values(particles, name), numbers, groups)
        _row_names(axes, groups if "shape_group" in particles else [], named=place % across == 0)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    style.legend(figure, _signs(), loc="outside lower center", ncols=2)
    return figure


def _values(particles: pd.DataFrame, name: str) -> Floats:
    return np.asarray(particles[name].to_numpy(float, na_value=np.nan), np.float64)


def _rows(axes: Axes, x: Floats, numbers: Ints, groups: Sequence[int]) -> None:
    known = style.finite(x)
    whole = _whole(known)
    low, high = (float(v) for v in np.percentile(known, [0.5, 99.5]))
    for row, number in enumerate(groups):
        own = style.finite(x[numbers == number])
        axes.axhline(-row, color=colours.PALE, lw=0.6, zorder=0)
        if own.size and whole:
            _bars(axes, own, -row, colours.colour_of(number))
        elif own.size:
            _ridge(axes, own, (low, high), -row, colours.colour_of(number))
    axes.set_ylim(-len(groups) + 0.95, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True) if whole else MaxNLocator(4))
    if not whole and high > low:
        axes.set_xlim(low, high)


def _ridge(axes: Axes, own: Floats, limits: tuple[float, float], base: float, colour: str) -> None:
    """Draw one group's density, in bins of its own, and its fits, scaled together to the row."""
    inside = own[(own >= limits[0]) & (own <= limits[1])]
    if inside.size == 0:
        return
    edges = bin_edges(inside, most=30)
    heights = np.histogram(own, edges)[0] / (own.size * np.diff(edges))
    reach = np.ptp(inside)
    grid = np.linspace(inside.min() - reach, inside.max() + reach, 240)
    grid = grid[(grid >= limits[0]) & (grid <= limits[1])]
    curves = {fit.name: fit.density(grid) for fit in fit_sizes(own)} if grid.size else {}
    top = max([float(heights.max()), *(float(curve.max()) for curve in curves.values())])
    scale = ROW / top if top > 0 else 0.0
    axes.stairs(base + scale * heights, edges, baseline=base, fill=True, color=colour, alpha=0.4,
                lw=0)  # fmt: skip
    for name in sorted(curves):
        axes.plot(grid, base + scale * curves[name], ls=LINES[name], color=_dark(colour), lw=1.1,
                  label=name)  # fmt: skip


def _bars(axes: Axes, own: Floats, base: float, colour: str) -> None:
    values, counts = np.unique(own, return_counts=True)
    axes.bar(values, ROW * counts / counts.max(), 0.7, bottom=base, color=colour, alpha=0.7)


def _row_names(axes: Axes, groups: Sequence[int], *, named: bool) -> None:
    axes.set_yticks([-row for row in range(len(groups))], [])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if named:
        names = [colours.group_name(number) for number in groups]
        axes.set_yticks(axes.get_yticks(), names, va="bottom", fontsize=style.SMALL)


def _dark(colour: str) -> str:
    """Return the colour at 70 % of its brightness: a line on its own fill."""
    return "#{:02x}{:02x}{:02x}".format(*(int(0.7 * part) for part in colours.rgb(colour)))


def _signs() -> list[Any]:
    return [
        Line2D([], [], ls=line, color=colours.INK, lw=1.1, label=f"fitted {name} distribution")
        for name, line in LINES.items()
    ]


def _whole(values: Floats) -> bool:
    return bool(np.all(values == np.round(values))) and float(np.ptp(values)) < 30
