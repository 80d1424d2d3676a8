"""The figures of a shape network's evaluation (paper, Fig. 3), and its calibration.

Every function takes what `nanolake.shape.ShapePredictor` returns as ``predicted`` and the known
``truth`` (see `nanolake.report.shape_errors.errors`), and returns a matplotlib ``Figure``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours
from nanolake.report.data import ReportError
from nanolake.report.figures import axes as axis
from nanolake.report.figures import style
from nanolake.report.figures.compare import confusion_figure
from nanolake.report.shape_calibration import D_COLOUR, L_COLOUR, P_COLOUR, calibration_figure
from nanolake.report.shape_errors import (
    MOST_D,
    SMALL_P,
    binned_mean,
    binned_rmse,
    binned_share,
    errors,
    rms,
)

__all__ = [
    "GOALS",
    "calibration_figure",
    "d_confusion_figure",
    "d_qq_figure",
    "error_against_p_figure",
    "error_against_size_figure",
    "learning_curve_figure",
    "model_figures",
    "parity_figure",
    "write_figures",
]

Floats = NDArray[np.float64]

GOALS = {"log_p": 0.35, "l_ratio": 0.06, "d": 0.9, "jaccard": 0.95}
"""What the network is asked for on simulated crystals: RMSE of ln p (p under 10) and of L at most,
share of right d (where the outline is not round) and mean Jaccard at least."""
P_EDGES = np.geomspace(0.5, 80.0, 15)
NOTHING = "There are no predictions to score."


def learning_curve_figure(
    counts: ArrayLike,
    validation: Mapping[str, ArrayLike],
    training: Mapping[str, ArrayLike] | None = None,
    *,
    goals: Mapping[str, float] | None = None,
    x_title: str = "Pictures trained on",
) -> Figure:
    """Draw error against the number of training pictures, a panel a score (paper, Fig. 3a).

    Parameters
    ----------
    counts
        (m,) numbers of training pictures, on a logarithmic axis.
    validation
        Score -> (m,) or (m, repeats): its title, such as ``RMSE of ln p``, and its values on
        pictures never trained on. Repeats are drawn as a band from the smallest to the largest
        about their mean.
    training
        The same scores on the pictures trained on, where known: dashed.
    goals
        Score -> value: a thin line.
    """
    n = np.asarray(counts, np.float64)
    if n.ndim != 1 or n.size == 0 or not (n > 0).all():
        raise ReportError("counts must be numbers of pictures above 0, (m,)")
    figure = style.blank(3.2 * len(validation) + 0.2, 3.0)
    panels = np.atleast_1d(figure.subplots(1, len(validation)))
    for axes, (name, values) in zip(panels, validation.items(), strict=True):
        style.plain(axes, x_title, name)
        _curve(axes, n, values, "o-", P_COLOUR, "never seen")
        if training and name in training:
            _curve(axes, n, training[name], "s--", colours.MUTED, "trained on")
        if goals and name in goals:
            axis.goal(axes, goals[name])
        axes.set_ylim(bottom=0)
        axis.count_ticks(axes, n)
        axis.headroom(axes)
        style.legend(axes, axis.handles(axes), loc="upper right")
    return figure


def _curve(axes: Axes, n: Floats, values: ArrayLike, how: str, colour: str, label: str) -> None:
    table = np.asarray(values, np.float64)
    if len(table) != n.size:
        raise ReportError(f"{len(table)} scores for {n.size} numbers of pictures")
    order = np.argsort(n)
    table = table.reshape(n.size, -1)[order]
    axes.plot(n[order], table.mean(axis=1), how, color=colour, lw=1.4, ms=4, label=label)
    if table.shape[1] > 1:
        axes.fill_between(n[order], table.min(axis=1), table.max(axis=1), color=colour, alpha=0.2,
                          lw=0)  # fmt: skip


def d_qq_figure(predicted: Mapping[str, Any], truth: Any) -> Figure:
    """Draw the quantiles of the predicted d against those of the true one (paper, Fig. 3b).

    Where ``d_probability`` is known, the expected d (not a whole number) is drawn as well. A Q-Q
    plot compares two distributions, not particle with particle: see `d_confusion_figure`.
    """
    own = errors(predicted, truth)
    if len(own) == 0:
        return style.nothing(NOTHING)
    figure = style.blank(4.4, 4.0)
    axes = style.plain(figure.add_subplot(), "Quantiles of the true d", "Quantiles of predicted d")
    levels = (np.arange(400) + 0.5) / 400
    true = np.quantile(own.d, levels, method="inverted_cdf")
    axes.plot([0.7, 6.3], [0.7, 6.3], color=colours.PALE, lw=1.2, label="equal")
    if own.d_probability is not None:
        expected = own.d_probability @ np.arange(1, MOST_D + 1)
        axes.plot(true, np.quantile(expected, levels), ".", color=colours.MUTED, ms=4,
                  label="expected d")  # fmt: skip
    found = np.quantile(own.d_predicted, levels, method="inverted_cdf")
    pairs, weight = np.unique(np.stack([true, found], axis=1), axis=0, return_counts=True)
    axes.scatter(pairs[:, 0], pairs[:, 1], s=6 + 900 * weight / levels.size, color=P_COLOUR,
                 alpha=0.55, lw=0, label="most probable d (area: share)")  # fmt: skip
    axes.set(xlim=(0.5, 6.5), ylim=(0.5, 6.5), aspect="equal", xticks=range(1, 7),
             yticks=range(1, 7))  # fmt: skip
    legend = axis.handles(axes)
    style.legend(axes, legend, loc="upper left", markerscale=0.6)
    style.note(axes, f"n = {len(own):,}")
    return figure


def d_confusion_figure(
    predicted: Mapping[str, Any], truth: Any, angular: ArrayLike | None = None
) -> Figure:
    """Draw how often each true d was answered by each d; shading by share of the row.

    ``angular`` (n,) bool limits it to outlines whose radius varies enough (5 %) to have axes.
    """
    own = errors(predicted, truth)
    keep = np.ones(len(own), bool) if angular is None else np.asarray(angular, bool)
    counts = np.zeros((MOST_D, MOST_D), np.int64)
    np.add.at(counts, (own.d[keep] - 1, own.d_predicted[keep] - 1), 1)
    share = float(own.right[keep].mean()) if keep.any() else float("nan")
    which = "" if angular is None else " outlines that are not round"
    title = f"{int(keep.sum()):,}{which}: {100 * share:.1f} % right" if keep.any() else NOTHING
    return confusion_figure(counts, [f"{d}" for d in range(1, MOST_D + 1)], title=title, noun="d")


def error_against_p_figure(predicted: Mapping[str, Any], truth: Any) -> Figure:
    """Draw the RMSE of ln p and of L in bins of the true p (paper, Fig. 3c), with the bias."""
    own = errors(predicted, truth)
    if len(own) == 0:
        return style.nothing(NOTHING)
    figure = style.blank(8.2, 3.2)
    left, right = figure.subplots(1, 2)
    for axes, name, error, colour, goal in (
        (left, "ln p", own.log_p_error, P_COLOUR, GOALS["log_p"]),
        (right, "L", own.l_error, L_COLOUR, GOALS["l_ratio"]),
    ):
        style.plain(axes, "True curvature p", f"Error of {name}")
        found = binned_rmse(error, own.p, P_EDGES)
        axis.band(axes, found, colour, f"RMSE of {name}")
        axes.plot(found.centre, found.bias, ":", color=colour, lw=1.4, label="mean error")
        axes.axhline(0.0, color=colours.PALE, lw=0.8)
        axis.goal(axes, goal)
        axis.log_ticks(axes, own.p)
        axes.axvspan(SMALL_P, 1000.0, color=colours.PALE, alpha=0.35, lw=0)
        axis.headroom(axes)
        style.legend(axes, axis.handles(axes), loc="upper left")
    below = rms(own.log_p_error[own.small_p])
    style.note(left, f"p under {SMALL_P:g}: RMSE {below:.3f}; grey: outlines look alike")
    style.note(right, f"all: RMSE {rms(own.l_error):.3f}")
    return figure


def error_against_size_figure(
    predicted: Mapping[str, Any],
    truth: Any,
    size_px: ArrayLike,
    angular: ArrayLike | None = None,
) -> Figure:
    """Draw the errors of ln p (p under 10), L and d against the particle's size in pixels.

    ``size_px`` (n,) equivalent circular diameter; ``angular`` as in `d_confusion_figure`. A panel
    of the mean Jaccard is added where ``predicted`` has it.
    """
    own = errors(predicted, truth)
    size = np.asarray(size_px, np.float64)
    if size.shape != own.p.shape:
        raise ReportError(f"size_px {size.shape} must be as long as the truth {own.p.shape}")
    if not (np.isfinite(size) & (size > 0)).any():
        return style.nothing("No particle has a size in pixels.")
    edges = _size_edges(size)
    angles = np.ones(len(own), bool) if angular is None else np.asarray(angular, bool)
    small = own.small_p
    panels = [
        (
            "RMSE of ln p (p under 10)",
            binned_rmse(own.log_p_error[small], size[small], edges),
            "log_p",
        ),
        ("RMSE of L", binned_rmse(own.l_error, size, edges), "l_ratio"),
        ("Share of right d", binned_share(own.right[angles], size[angles], edges), "d"),
    ]
    if own.jaccard is not None:
        panels.append(("Mean Jaccard", binned_mean(own.jaccard, size, edges), "jaccard"))
    figure = style.blank(2.9 * len(panels), 3.0)
    tints = (P_COLOUR, L_COLOUR, D_COLOUR, colours.GROUP_COLOURS[5])
    drawn = np.atleast_1d(figure.subplots(1, len(panels)))
    for axes, (name, found, goal), colour in zip(drawn, panels, tints, strict=False):
        style.plain(axes, "Particle size (px)", name)
        axis.band(axes, found, colour, name)
        axis.goal(axes, GOALS[goal])
        axis.log_ticks(axes, size, axis.SIZE_RUNGS)
        if goal in ("log_p", "l_ratio"):
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(top=1.0)
        style.note(axes, f"line: {GOALS[goal]:g} asked for")
    return figure


def _size_edges(size: Floats) -> Floats:
    known = size[np.isfinite(size) & (size > 0)]
    low, high = float(known.min()), float(known.max())
    return np.geomspace(low, high, 11) if high > low else np.array([low * 0.9, high * 1.1])


def parity_figure(predicted: Mapping[str, Any], truth: Any) -> Figure:
    """Draw predicted against true p and L, as the number of particles in hexagons."""
    own = errors(predicted, truth)
    if len(own) == 0:
        return style.nothing(NOTHING)
    figure = style.blank(8.2, 3.8)
    left, right = figure.subplots(1, 2)
    limits = (float(own.p.min()) / 1.1, float(own.p.max()) * 1.1)
    guess = np.clip(own.p * np.exp(own.log_p_error), *limits)
    style.plain(left, "True curvature p", "Predicted curvature p")
    extent = tuple(np.log10([*limits, *limits]).tolist())
    _hexagons(figure, left, own.p, guess, limits, {"xscale": "log", "yscale": "log",
              "extent": extent})  # fmt: skip
    axis.log_ticks(left, np.array(limits))
    axis.log_ticks(left, np.array(limits), which="y")
    style.note(left, "beyond the axes: drawn at their ends")
    guess = np.clip(own.l_ratio + own.l_error, 0.0, 1.02)
    style.plain(right, "True axis ratio L", "Predicted axis ratio L")
    _hexagons(figure, right, own.l_ratio, guess, (0.0, 1.02),
              {"extent": (0.0, 1.02, 0.0, 1.02)})  # fmt: skip
    return figure


def _hexagons(
    figure: Figure, axes: Axes, x: Floats, y: Floats, limits: tuple[float, float], how: Any
) -> None:
    drawn = axes.hexbin(x, y, gridsize=45, bins="log", mincnt=1, cmap="viridis", linewidths=0,
                        rasterized=True, **how)  # fmt: skip
    axes.plot(limits, limits, "--", color=colours.MUTED, lw=1.0)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("Particles", fontsize=style.SMALL, color=colours.INK)
    bar.ax.tick_params(labelsize=style.SMALL)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def model_figures(
    predicted: Mapping[str, Any],
    truth: Any,
    size_px: ArrayLike | None = None,
    angular: ArrayLike | None = None,
) -> dict[str, Figure]:
    """Return every figure of one evaluation but the learning curve, by name."""
    found = {
        "qq_d": d_qq_figure(predicted, truth),
        "confusion_d": d_confusion_figure(predicted, truth, angular),
        "error_against_p": error_against_p_figure(predicted, truth),
        "calibration": calibration_figure(predicted, truth),
        "parity": parity_figure(predicted, truth),
    }
    if size_px is not None:
        found["error_against_size"] = error_against_size_figure(predicted, truth, size_px, angular)
    return found


def write_figures(figures: Mapping[str, Figure], folder: Path | str) -> list[Path]:
    """Write each figure as ``NAME.svg`` and ``NAME.png`` into ``folder``; return the paths."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures.items():
        for ending, data in ((".svg", style.to_svg(figure)), (".png", style.to_png(figure))):
            written.append(target / f"{name}{ending}")
            written[-1].write_bytes(data)
    return written
