"""One palette for every picture, figure and table of a report, safe for colour-blind readers.

The first seven colours are those of Okabe and Ito (*Color Universal Design*, 2008) without black,
which cannot be seen on a dark particle. The other five were chosen by computation: each is the
sRGB colour (L* between 33 and 85) farthest from those before it and from white in CIEDE2000,
taking the smallest of normal sight, simulated deuteranopia and simulated protanopia. Any two of
the twelve, and each of them and the grey of unassigned particles, are at least 11 apart in all
three.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RGB = tuple[int, int, int]

GROUP_COLOURS: tuple[str, ...] = (
    "#0072B2",  # blue
    "#E69F00",  # orange
    "#009E73",  # green
    "#D55E00",  # vermilion
    "#56B4E9",  # sky blue
    "#CC79A7",  # purple-pink
    "#F0E442",  # yellow
    "#991A1A",  # dark red
    "#4D6666",  # slate
    "#CCCC99",  # sand
    "#6680FF",  # periwinkle
    "#991A4D",  # wine
)
"""Colours of groups 1 to 12; group 13 begins again at the first."""

UNASSIGNED = "#C0C0C0"
"""Group 0 and particles without a group."""

CALM_COLOURS: tuple[str, ...] = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2")
"""For outlines without groups, where a colour only separates neighbours."""

INK = "#222222"
MUTED = "#666666"
PALE = "#D9D9D9"

PLAIN = "#8FB8D8"
"""Bars that stand for no group."""
LOSSES: tuple[str, ...] = ("#4A4A4A", "#858585", "#AEAEAE", "#CFCFCF", "#E4E4E4")
"""Objects left out, by reason: greys, so that none is taken for a group."""

_BATCH_RAMP = ("#002051", "#3C4D6E", "#7F7C75", "#BBAF71", "#E3CF4F")
"""Along matplotlib's cividis, whose order every eye sees."""

MARKERS: tuple[str, ...] = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
"""A second sign beside the colour, for black-and-white print."""


def colour_of(group: Any) -> str:
    """Return the ``#RRGGBB`` colour of a group number; grey for 0, None, NaN and NA.

    >>> colour_of(1), colour_of(13), colour_of(None)
    ('#0072B2', '#0072B2', '#C0C0C0')
    """
    number = group_number(group)
    return UNASSIGNED if number == 0 else GROUP_COLOURS[(number - 1) % len(GROUP_COLOURS)]


def marker_of(group: Any) -> str:
    """Return the matplotlib marker of a group number."""
    number = group_number(group)
    return "." if number == 0 else MARKERS[(number - 1) % len(MARKERS)]


def batch_colours(count: int) -> list[str]:
    """Return a colour for each of ``count`` experiments, none of them a group's.

    >>> batch_colours(2)
    ['#002051', '#e3cf4f']
    """
    ramp = np.array([rgb(colour) for colour in _BATCH_RAMP], float)
    places = np.linspace(0, len(ramp) - 1, count) if count > 1 else np.zeros(count)
    mixed = np.stack([np.interp(places, range(len(ramp)), part) for part in ramp.T], axis=1)
    return ["#{:02x}{:02x}{:02x}".format(*row) for row in mixed.round().astype(int).tolist()]


def group_number(group: Any) -> int:
    """Return ``group`` as an int from 0 up; 0 stands for unassigned (None, NaN, NA, negative).

    >>> group_number(2.0), group_number(float("nan"))
    (2, 0)
    """
    try:
        value = float(group)
    except (TypeError, ValueError):  # None and pandas.NA
        return 0
    return 0 if math.isnan(value) else max(int(value), 0)


def group_numbers(groups: ArrayLike | None, n: int) -> NDArray[np.int64]:
    """Return (n,) group numbers; 0 where there is no group, and everywhere for None."""
    if groups is None:
        return np.zeros(n, np.int64)
    values = np.asarray(groups)
    if values.dtype.kind in "iuf":
        whole = np.where(np.isfinite(values), values, 0)
        return np.maximum(whole.astype(np.int64), 0)
    return np.array([group_number(group) for group in values.tolist()], np.int64)


def in_order(numbers: NDArray[np.int64]) -> list[int]:
    """Return the groups there are, in rising order, what is not grouped last."""
    return sorted(np.unique(numbers).tolist(), key=lambda g: (g == 0, g))


def group_name(group: Any) -> str:
    """Return the words that stand for a group everywhere in the report."""
    number = group_number(group)
    return f"Group {number}" if number else "Not grouped"


def rgb(colour: str) -> RGB:
    """Turn ``#RRGGBB`` into three numbers from 0 to 255.

    >>> rgb("#0072B2")
    (0, 114, 178)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
