"""Whether a shape network knows what it does not know: stated against measured certainty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nanolake.report import colours
from nanolake.report.figures import axes as axis
from nanolake.report.figures import style
from nanolake.report.shape_errors import Errors, binned_share, coverage, errors

P_COLOUR, L_COLOUR, D_COLOUR = (colours.GROUP_COLOURS[i] for i in (0, 3, 2))
"""Colours of p, L and d in every figure of an evaluation."""


def calibration_figure(predicted: Mapping[str, Any], truth: Any) -> Figure:
    """Draw how often the stated intervals hold the truth, and how often a sure d is right.

    Left: nominal against measured coverage of the central intervals of ln p (true p under 10) and
    L: on the diagonal the stated uncertainty is honest, below it too small. Right: the probability
    of the answered d against how often it was right.
    """
    own = errors(predicted, truth)
    if own.log_p_sd is None or own.l_sd is None or len(own) == 0:
        return style.nothing("The network states no uncertainty.")
    figure = style.blank(8.2, 3.7)
    left, right = figure.subplots(1, 2)
    style.plain(left, "Stated probability of the interval", "Share that holds the truth")
    nominal = np.linspace(0.0, 1.0, 101)
    at_90 = []
    for name, error, sd, rows, colour in (
        ("ln p, p under 10", own.log_p_error, own.log_p_sd, own.small_p, P_COLOUR),
        ("L", own.l_error, own.l_sd, np.ones(len(own), bool), L_COLOUR),
    ):
        left.plot(nominal, coverage(error[rows], sd[rows], nominal), color=colour, lw=1.6,
                  label=name)  # fmt: skip
        at_90.append(f"{name.split(',')[0]} {_percent(coverage(error[rows], sd[rows], [0.9])[0])}")
    _diagonal(left)
    style.note(left, f"90 % intervals hold: {', '.join(at_90)}")
    style.legend(left, axis.handles(left), loc="upper left")
    _reliability(right, own)
    return figure


def _reliability(axes: Axes, own: Errors) -> None:
    style.plain(axes, "Stated probability of the answered d", "Share of right d")
    if own.d_probability is None:
        axes.text(0.5, 0.5, "no probabilities of d", ha="center", color=colours.MUTED)
        return
    sure = own.d_probability.max(axis=1)
    found = binned_share(own.right, sure, np.linspace(0.0, 1.0, 11), least=10)
    half = np.stack([found.value - found.low, found.high - found.value])
    axes.errorbar(found.centre, found.value, np.abs(half), fmt="o-", color=D_COLOUR, lw=1.4, ms=4,
                  capsize=2)  # fmt: skip
    _diagonal(axes)
    style.note(
        axes, f"stated {_percent(sure.mean())} on average, right {_percent(own.right.mean())}"
    )


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], "--", color=colours.MUTED, lw=1.0, label="honest")
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axis.percent_ticks(axes, "x", "y")


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f} %"
