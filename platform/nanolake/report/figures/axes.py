"""Parts that several figures draw: logarithmic ticks, bands, goals and diagonals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from nanolake.report import colours
from nanolake.report.shape_errors import Binned

Floats = NDArray[np.float64]

P_RUNGS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
SIZE_RUNGS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def log_ticks(
    axes: Axes,
    values: Floats,
    rungs: Sequence[float] = P_RUNGS,
    which: Literal["x", "y"] = "x",
) -> None:
    """Make one axis logarithmic over the positive values, ticked at plain round numbers."""
    known = values[np.isfinite(values) & (values > 0)]
    low, high = (float(known.min()) / 1.08, float(known.max()) * 1.08) if known.size else (1, 10)
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(FixedLocator([v for v in rungs if low <= v <= high]))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_locator(NullLocator())


def count_ticks(axes: Axes, counts: Floats) -> None:
    """Make the x axis logarithmic, ticked at up to six of the ``counts``, written short."""
    chosen = np.unique(counts)
    if chosen.size > 6:
        chosen = chosen[np.linspace(0, chosen.size - 1, 6).round().astype(int)]
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(chosen.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short_count(v)))


def short_count(value: float) -> str:
    """Write a large number short.

    >>> short_count(64000.0), short_count(1500000.0), short_count(500.0)
    ('64k', '1.5M', '500')
    """
    if value >= 1e6:
        return f"{value / 1e6:.3g}M"
    return f"{value / 1e3:.3g}k" if value >= 1e3 else f"{value:.0f}"


def percent_ticks(axes: Axes, *which: Literal["x", "y"]) -> None:
    """Write an axis from 0 to 1 as per cent."""
    for name in which:
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))


def band(axes: Axes, found: Binned, colour: str, label: str) -> None:
    """Draw a binned error as a line with its interval."""
    axes.plot(found.centre, found.value, "o-", color=colour, lw=1.4, ms=4, label=label)
    axes.fill_between(found.centre, found.low, found.high, color=colour, alpha=0.2, lw=0)


def goal(axes: Axes, value: float) -> None:
    """Draw the value asked for as a thin dashed line."""
    axes.axhline(value, color=colours.INK, lw=0.9, ls=(0, (4, 3)), label=f"asked for: {value:g}")


def headroom(axes: Axes, share: float = 0.3) -> None:
    """Leave the upper ``share`` of the axes free for a legend."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, low + (high - low) / (1.0 - share))


def handles(axes: Axes) -> list[Any]:
    """Return what a legend of the axes would list."""
    return list(axes.get_legend_handles_labels()[0])
