"""The one look of all figures: white, thin grey axes, no box, no grid where none is needed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours

TEXT = 9.0
SMALL = 8.0


def blank(width_in: float, height_in: float) -> Figure:
    """Return an empty white figure whose parts are kept from overlapping."""
    return Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")


def plain(axes: Axes, x_title: str, y_title: str) -> Axes:
    """Title the axes and take away what carries no information."""
    axes.set_xlabel(literal(x_title), fontsize=TEXT, color=colours.INK)
    axes.set_ylabel(literal(y_title), fontsize=TEXT, color=colours.INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(colours.MUTED)
    axes.tick_params(labelsize=SMALL, color=colours.MUTED, labelcolor=colours.INK, length=3)
    return axes


def note(axes: Axes, text: str) -> None:
    """Write a line above the axes, left aligned."""
    axes.set_title(literal(text), loc="left", fontsize=TEXT, color=colours.MUTED)


def legend(target: Any, handles: list[Any], **place: Any) -> None:
    """Add a legend without a frame."""
    target.legend(handles=handles, frameon=False, fontsize=SMALL, labelcolor=colours.INK, **place)


def literal(text: object) -> str:
    """Return text that matplotlib shows as it is: a dollar sign starts no formula."""
    return str(text).replace("$", r"\$")


def shorten(text: object, length: int = 32) -> str:
    """Cut a long name in the middle.

    >>> shorten("abcdefghij", 7)
    'abc…hij'
    """
    words = str(text)
    if len(words) <= length:
        return words
    half = (length - 1) // 2
    return f"{words[:half]}…{words[-half:]}"


def nothing(reason: str, width_in: float = 9.0) -> Figure:
    """Return a figure that says why it is empty."""
    figure = blank(width_in, 1.2)
    figure.text(0.5, 0.5, literal(reason), ha="center", va="center", color=colours.MUTED)
    return figure


def finite(values: ArrayLike) -> NDArray[np.float64]:
    """Return the finite values as float64."""
    x: NDArray[np.float64] = np.asarray(values, np.float64)
    return x[np.isfinite(x)]


def to_svg(figure: Figure) -> bytes:
    """Return the figure as SVG with its text as outlines: the same on every machine."""
    target = io.BytesIO()
    figure.savefig(target, format="svg", metadata={"Date": None}, dpi=200)
    return target.getvalue()


def to_png(figure: Figure, dpi: int = 200) -> bytes:
    """Return the figure as PNG."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=dpi)
    return target.getvalue()
