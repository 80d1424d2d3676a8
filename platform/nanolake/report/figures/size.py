"""The size histogram with its fitted distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours
from nanolake.report.figures import style
from nanolake.report.fits import Fit, fit_sizes, verdict

Floats = NDArray[np.float64]

LINES = {"normal": (colours.MUTED, "--"), "lognormal": ("#000000", "-")}


def size_histogram(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    unit: str = "nm",
    *,
    title: str = "Equivalent circular diameter",
) -> Figure:
    """Draw the number of particles against size, stacked by group, with two fits.

    ``values`` (n,) in ``unit``; values that are not finite are left out. ``groups`` (n,) numbers
    from 1, 0 or NaN for none. A normal and a lognormal distribution are fitted to all values by
    maximum likelihood; the note above the axes says which has the smaller AIC.
    """
    x = np.asarray(values, float)
    numbers = colours.group_numbers(groups, x.size)
    x, numbers = x[np.isfinite(x)], numbers[np.isfinite(x)]
    if x.size == 0:
        return style.nothing("There are no sizes to draw.")
    figure = style.blank(9.0, 3.9)
    axes = style.plain(figure.add_subplot(), f"{title} ({unit})", "Number of particles")
    edges = bin_edges(x)
    handles = _bars(axes, x, numbers, edges, grouped=groups is not None)
    fits = fit_sizes(x)
    handles += _curves(axes, fits, edges, x.size, unit)
    style.note(axes, "; ".join(part for part in (f"N = {x.size:,}", verdict(fits)) if part))
    style.legend(axes, handles, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def bin_edges(x: Floats, most: int = 60) -> Floats:
    """Return Freedman and Diaconis' bins (width 2 IQR n^(-1/3)).

    At most ``most``; at least 5, from 100 values on at least 15, since the quartiles of several
    separate groups make the rule's bins too wide.
    """
    spread = float(np.subtract(*np.percentile(x, [75, 25])))
    span = float(np.ptp(x))
    if span == 0:
        half = max(abs(float(x[0])) * 0.05, 0.5)
        return np.array([x[0] - half, x[0] + half])
    width = 2.0 * spread / x.size ** (1.0 / 3.0)
    least = 15 if x.size >= 100 else 5
    count = math.ceil(span / width) if width > 0 else least
    return np.linspace(x.min(), x.max(), min(max(count, least), most) + 1)


def _bars(
    axes: Axes, x: Floats, numbers: NDArray[np.int64], edges: Floats, *, grouped: bool
) -> list[Any]:
    bottom = np.zeros(edges.size - 1)
    handles = []
    for number in colours.in_order(numbers):
        part = x[numbers == number]
        counts = np.histogram(part, edges)[0]
        colour = colours.colour_of(number) if grouped else colours.PLAIN
        axes.bar(edges[:-1], counts, np.diff(edges), bottom, align="edge", color=colour,
                 edgecolor="white", linewidth=0.5)  # fmt: skip
        bottom = bottom + counts
        name = colours.group_name(number) if grouped else "Particles"
        handles.append(Patch(color=colour, label=f"{name} (n = {part.size:,})"))
    return handles


def _curves(axes: Axes, fits: tuple[Fit, ...], edges: Floats, n: int, unit: str) -> list[Any]:
    x = np.linspace(edges[0], edges[-1], 400)
    handles = []
    for fit in fits:
        colour, line = LINES[fit.name]
        axes.plot(x, fit.density(x) * n * (edges[1] - edges[0]), line, color=colour, lw=1.4)
        label = f"{fit.name.capitalize()} fit\n{fit_words(fit, unit)}"
        handles.append(Line2D([], [], ls=line, color=colour, lw=1.4, label=label))
    return handles


def fit_words(fit: Fit, unit: str) -> str:
    """Write a fit's two numbers: mean and sd, or median and geometric standard deviation."""
    if fit.name == "normal":
        return f"mean {fit.location:.3g} {unit}, σ {fit.scale:.3g} {unit}"
    return f"median {math.exp(fit.location):.3g} {unit}, σg {math.exp(fit.scale):.3f}"
