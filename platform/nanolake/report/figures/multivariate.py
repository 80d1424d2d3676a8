"""All compared features at once: parallel coordinates, and principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nanolake.report import colours, columns
from nanolake.report.figures import style
from nanolake.report.figures.axes import percent_ticks
from nanolake.scaling import raw_matrix, takes_log

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_LINES = 240
"""Particles drawn as single lines, all groups together."""
ENDS = 4.0
NOTHING = "No particle has a value in every feature compared."


def parallel_coordinates_figure(
    particles: pd.DataFrame, features: Sequence[str], *, seed: int = 0
) -> Figure:
    """Draw every compared feature as an upright axis and every group as a line across them.

    Thick line: the group's median; band: its quartiles; thin lines: a random 240 particles, each
    group its share. Heights are standard deviations from the mean of all particles (lengths,
    areas, p and the aspect ratio by their logarithms), cut at 4; below each axis stands that mean
    in its own unit. Constant features are left out. The groups are in ``shape_group``, if any.
    """
    found = _standardised(particles, features)
    if found is None:
        return style.nothing(NOTHING)
    table, numbers = np.clip(found.table, -ENDS, ENDS), found.groups
    figure = style.blank(9.0, 4.0)
    axes = style.plain(figure.add_subplot(), "", "Standard deviations from the mean")
    places = [float(i) for i in range(table.shape[1])]
    for number in colours.in_order(numbers):
        own = table[numbers == number]
        _sampled_lines(axes, own, number, MOST_LINES * len(own) / len(table), seed)
        low, middle, high = np.percentile(own, [25, 50, 75], axis=0)
        axes.fill_between(places, low, high, color=colours.colour_of(number), alpha=0.16, lw=0)
        axes.plot(places, middle, marker=colours.marker_of(number), ms=5, lw=2.2,
                  color=colours.colour_of(number), label=_counted(number, len(own)))  # fmt: skip
    for place in places:
        axes.axvline(place, color=colours.MUTED, lw=0.6, zorder=0)
    axes.set_xticks(places, list(map(_under, found.columns, found.centre)))
    axes.set(xlim=(-0.2, places[-1] + 0.2), ylim=(-1.04 * ENDS, 1.04 * ENDS))
    handles = axes.get_legend_handles_labels()[0]
    style.legend(figure, handles, loc="outside lower center", ncols=min(len(handles), 5))
    return figure


def _counted(number: int, count: int) -> str:
    return f"{colours.group_name(number)} (n = {count:,})"


def _sampled_lines(axes: Axes, own: Floats, number: int, share: float, seed: int) -> None:
    chosen = np.random.default_rng(seed).permutation(len(own))[: max(1, round(share))]
    lines = [np.stack([np.arange(own.shape[1]), row], axis=1) for row in own[chosen]]
    axes.add_collection(LineCollection(lines, colors=colours.colour_of(number), linewidths=0.5,
                                       alpha=0.3, rasterized=True))  # fmt: skip


def _under(name: str, centre: float) -> str:
    """Return a feature's name over some lines, with the value at 0 and its unit."""
    item = columns.quantity(name)
    words = _folded(item.words.split(",")[0])
    return style.literal(f"{words}\n{centre:.3g} {item.unit}".strip())


def _folded(words: str, width: int = 12) -> str:
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def pareto_figure(particles: pd.DataFrame, features: Sequence[str]) -> Figure:
    """Draw a Pareto chart of the principal components, and what each component is made of.

    Left: share of the variance of the standardised features that each component holds (bars), and
    of all components up to it (line). Right: the weights of the features in the first four.
    """
    found = _standardised(particles, features)
    if found is None or len(found.table) < 3:
        return style.nothing(NOTHING)
    share, weights = principal_components(found.table)
    figure = style.blank(9.0, 1.7 + 0.24 * max(len(share), 5))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
    style.plain(left, "Principal component", "Share of the variance")
    places = np.arange(1, len(share) + 1)
    left.bar(places, share, 0.75, color=colours.GROUP_COLOURS[4], label="this component")
    left.plot(places, np.cumsum(share), "o-", color=colours.INK, lw=1.3, ms=4, label="up to here")
    for place, value in zip(places, np.cumsum(share), strict=True):
        left.annotate(f"{100 * value:.0f}", (place, value), (-3, 5), textcoords="offset points",
                      ha="right", fontsize=style.SMALL, color=colours.INK)  # fmt: skip
    left.set(ylim=(0, 1.1), yticks=(0, 0.25, 0.5, 0.75, 1.0), xticks=places)
    percent_ticks(left, "y")
    style.legend(left, left.get_legend_handles_labels()[0], loc="center right")
    _weights(right, weights[:, :4], found.columns)
    return figure


def _weights(axes: Axes, weights: Floats, features: Sequence[str]) -> None:
    style.plain(axes, "Principal component", "")
    axes.imshow(weights, cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(weights):
        ink = "white" if abs(value) > 0.7 else colours.INK
        axes.text(column, row, f"{value:.2f}".replace("-", "−"), ha="center", va="center",
                  fontsize=style.SMALL, color=ink)  # fmt: skip
    names = [style.literal(columns.quantity(c).words.split(",")[0]) for c in features]
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(weights.shape[1]), [str(i + 1) for i in range(weights.shape[1])])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def principal_components(table: Floats) -> tuple[Floats, Floats]:
    """Return (c,) shares of the variance, falling, and (c, c) weights, a column a component.

    ``table`` (n, c) without NaN. A component's sign is chosen so that its largest weight is
    positive.
    """
    centred = table - table.mean(axis=0)
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(centred.T)))
    order = np.argsort(variance)[::-1]
    weights = axes[:, order]
    strongest = np.abs(weights).argmax(axis=0)
    signs = np.sign(weights[strongest, np.arange(weights.shape[1])])
    variance = np.maximum(variance[order], 0.0)
    return variance / max(float(variance.sum()), 1e-300), np.asarray(weights * signs)


@dataclass(frozen=True, eq=False)
class _Standard:
    """Standardised features of the particles in which all are known."""

    columns: tuple[str, ...]
    table: Floats
    """(n, c) standard deviations from the mean."""
    centre: Floats
    """(c,) means in the columns' own units; geometric where the logarithm is compared."""
    groups: Ints


def _standardised(particles: pd.DataFrame, features: Sequence[str]) -> _Standard | None:
    """Return the complete rows standardised, constant columns left out; None without any."""
    present = [name for name in features if name in particles]
    raw = raw_matrix(particles, present) if present else np.empty((len(particles), 0))
    known = np.flatnonzero(np.isfinite(raw).any(axis=0))
    complete = np.isfinite(raw[:, known]).all(axis=1)
    if known.size == 0 or not complete.any():
        return None
    raw = raw[complete][:, known]
    mean, sd = raw.mean(axis=0), raw.std(axis=0)
    kept = np.flatnonzero(sd > 1e-9 * np.maximum(np.abs(raw).max(axis=0), 1e-300))
    names = tuple(present[known[i]] for i in kept)
    if not names:
        return None
    logged = np.array([takes_log(name) for name in names])
    return _Standard(
        columns=names,
        table=(raw[:, kept] - mean[kept]) / sd[kept],
        centre=np.where(logged, np.exp(np.where(logged, mean[kept], 0.0)), mean[kept]),
        groups=colours.group_numbers(particles.get("shape_group"), len(particles))[complete],
    )
