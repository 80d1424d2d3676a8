"""Experiments against one another: differences in size, shares of shape groups, losses, cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nanolake.report import colours
from nanolake.report.batches import ALIKE
from nanolake.report.figures import style
from nanolake.report.figures.axes import percent_ticks

if TYPE_CHECKING:
    import pandas as pd

MOST_PAIRS = 20
REACH = 25.0
"""Differences beyond this many per cent are drawn as an arrow with their value."""
VERDICTS = {
    "alike": (colours.INK, "o", "alike within 5 %"),
    "differs slightly": ("#7F7C75", "s", "differs, by under 5 %"),
    "differs": ("#6A3D9A", "D", "differs"),
    "open": ("#8C8C8C", "v", "not decided"),
}
LOSSES = ("border", "small", "large", "print", "outlier")
"""Reasons of exclusion in the order drawn; others follow."""


def batch_difference_figure(pairs: pd.DataFrame, unit: str = "nm") -> Figure:
    """Draw the difference in mean size of pairs of experiments, with its 95 % interval.

    ``pairs`` as `nanolake.report.batches.batch_table` returns them; the first 20 (the likest in
    size) are drawn, in per cent of the first mean, with the difference in ``unit`` beside. The grey
    band is 5 %: an interval inside it says alike. What lies beyond 25 % is an arrow.
    """
    if len(pairs) == 0:
        return style.nothing("There are no two experiments with sizes to compare.")
    shown = pairs.head(MOST_PAIRS).to_dict("records")
    figure = style.blank(9.0, 1.25 + 0.3 * len(shown))
    axes = style.plain(figure.add_subplot(), "Difference in mean diameter, % of the first", "")
    axes.axvspan(-100 * ALIKE, 100 * ALIKE, color=colours.PALE, alpha=0.6, lw=0, zorder=0)
    axes.axvline(0.0, color=colours.INK, lw=0.8)
    for row, pair in enumerate(shown):
        _difference(axes, row, pair)
        axes.text(1.01, row, f"{pair['difference']:+.2f} {unit}".replace("-", "−"), va="center",
                  fontsize=style.SMALL, color=colours.MUTED,
                  transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set_yticks(range(len(shown)), [_pair_name(pair) for pair in shown], fontsize=style.SMALL)
    axes.set(ylim=(len(shown) - 0.4, -0.6), xlim=(-REACH, REACH))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    used = [name for name in VERDICTS if any(pair["size"] == name for pair in shown)]
    style.legend(figure, [_verdict_sign(name) for name in used] + [
        Patch(color=colours.PALE, label="within 5 %")
    ], loc="outside lower center", ncols=5)  # fmt: skip
    if len(pairs) > len(shown):
        style.note(axes, f"the {len(shown)} likest of {len(pairs)} pairs")
    return figure


def _difference(axes: Axes, row: int, pair: Mapping[Any, Any]) -> None:
    colour, marker, _ = VERDICTS[pair["size"]]
    low, value, high = (
        100.0 * pair[name] / pair["mean_a"]
        for name in ("difference_low", "difference", "difference_high")
    )
    if abs(value) <= REACH:
        axes.plot([low, high], [row, row], color=colour, lw=2.0)
        axes.plot([value], [row], marker, color=colour, ms=6)
        return
    side = 1.0 if value > 0 else -1.0
    axes.plot([side * (REACH - 0.6)], [row], ">" if side > 0 else "<", color=colour, ms=7)
    axes.text(side * (REACH - 1.5), row, f"{value:+.0f} %".replace("-", "−"), va="center",
              ha="right" if side > 0 else "left", fontsize=style.SMALL, color=colour)  # fmt: skip


def _pair_name(pair: Mapping[Any, Any]) -> str:
    return style.literal(f"{style.shorten(pair['a'], 26)} → {style.shorten(pair['b'], 26)}")


def _verdict_sign(name: str) -> Line2D:
    colour, marker, words = VERDICTS[name]
    return Line2D([], [], color=colour, marker=marker, ms=6, lw=2.0, label=words)


def group_share_figure(shares: pd.DataFrame) -> Figure:
    """Draw each experiment as a bar, divided by the shares of its shape groups.

    ``shares`` as `nanolake.report.batches.share_table` returns them. The number of particles stands
    at the end of the bar.
    """
    if len(shares) == 0:
        return style.nothing("There are no particles to count.")
    names = list(dict.fromkeys(shares["experiment"]))
    figure = style.blank(9.0, 1.15 + 0.3 * len(names))
    axes = style.plain(figure.add_subplot(), "Share of the experiment's particles", "")
    left = dict.fromkeys(names, 0.0)
    groups = colours.in_order(shares["group"].to_numpy(np.int64))
    for group in groups:
        for name, share in shares.loc[shares["group"] == group, ["experiment", "share"]].values:
            axes.barh(names.index(name), share, 0.72, left[name], color=colours.colour_of(group),
                      edgecolor="white", linewidth=0.6)  # fmt: skip
            if share >= 0.06:
                _inside(axes, left[name] + share / 2, names.index(name), group)
            left[name] += share
    counts = shares.groupby("experiment")["N"].sum()
    _bar_names(axes, names, {name: f"n = {counts[name]:,}" for name in names})
    signs = [Patch(color=colours.colour_of(g), label=colours.group_name(g)) for g in groups]
    style.legend(figure, signs, loc="outside lower center", ncols=7)
    return figure


def _inside(axes: Axes, x: float, y: int, group: int) -> None:
    """Write the group's number on its part of the bar, black or white by the colour's lightness."""
    red, green, blue = colours.rgb(colours.colour_of(group))
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 120
    axes.text(x, y, str(group) if group else "–", ha="center", va="center",
              color="white" if dark else colours.INK, fontsize=style.SMALL)  # fmt: skip


def _bar_names(axes: Axes, names: list[str], ends: Mapping[str, str]) -> None:
    axes.set_yticks(range(len(names)), [style.literal(style.shorten(n)) for n in names])
    for row, name in enumerate(names):
        axes.text(1.01, row, ends[name], va="center", fontsize=style.SMALL, color=colours.MUTED,
                  clip_on=False)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
    percent_ticks(axes, "x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def excluded_figure(counts: pd.DataFrame) -> Figure:
    """Draw, for each experiment, the shares of objects kept and left out, by reason.

    ``counts`` holds ``experiment``, ``kept`` and a column a reason. Objects at the border are
    large ones more often than small ones, so a long part there means that sizes come out small.
    """
    reasons = [name for name in counts.columns if name not in ("experiment", "kept")]
    reasons.sort(key=lambda name: LOSSES.index(name) if name in LOSSES else len(LOSSES))
    reasons = [name for name in reasons if counts[name].sum() > 0]
    total = counts[["kept", *reasons]].sum(axis=1)
    counts = counts[total > 0]
    if len(counts) == 0:
        return style.nothing("No object was found.")
    names = [str(name) for name in counts["experiment"]]
    figure = style.blank(9.0, 1.15 + 0.3 * len(names))
    axes = style.plain(figure.add_subplot(), "Share of the objects found", "")
    left = np.zeros(len(names))
    tints = (colours.PLAIN, *colours.LOSSES, *colours.LOSSES)
    signs = []
    for name, tint in zip(["kept", *reasons], tints, strict=False):
        share = counts[name].to_numpy(float) / total[total > 0].to_numpy(float)
        axes.barh(range(len(names)), share, 0.72, left, color=tint, edgecolor="white",
                  linewidth=0.6)  # fmt: skip
        left += share
        words = f"{name.replace('_', ' ')} ({int(counts[name].sum()):,})"
        signs.append(Patch(color=tint, label=words))
    kept = dict(zip(names, counts["kept"], strict=True))
    found = dict(zip(names, total[total > 0], strict=True))
    _bar_names(axes, names, {n: f"{int(kept[n]):,} of {int(found[n]):,} kept" for n in names})
    style.legend(figure, signs, loc="outside lower center", ncols=6)
    return figure


def cost_figure(cost: pd.DataFrame) -> Figure:
    """Draw the computing time of each stage in minutes.

    ``cost`` holds ``stage, units, computing_s``: the time that the units of work took in their
    workers, added up over all workers.
    """
    known = cost[np.isfinite(cost["computing_s"].to_numpy(float))]
    if len(known) == 0:
        return style.nothing("No computing time was recorded.")
    unit, divisor = ("min", 60.0) if known["computing_s"].max() >= 120 else ("s", 1.0)
    figure = style.blank(6.4, 0.9 + 0.28 * len(known))
    axes = style.plain(figure.add_subplot(), f"Computing time, all workers added up ({unit})", "")
    times = known["computing_s"].to_numpy(float) / divisor
    axes.barh(range(len(known)), times, 0.7, color=colours.PLAIN)
    for row, (time, units) in enumerate(zip(times, known["units"], strict=True)):
        axes.text(time, row, f"  {time:.1f} {unit}, {int(units):,} units", va="center",
                  fontsize=style.SMALL, color=colours.INK)  # fmt: skip
    axes.set_yticks(range(len(known)), list(known["stage"]))
    axes.set(ylim=(len(known) - 0.4, -0.6), xlim=(0, 1.35 * max(float(times.max()), 1e-9)))
    axes.tick_params(axis="y", length=0)
    return figure
