"""The linkage tree of the particles, its branches coloured by the groups found without it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from nanolake.report import colours
from nanolake.report.data import ReportError
from nanolake.report.figures import style

Floats = NDArray[np.float64]

Method = Literal["single", "complete", "average", "weighted", "centroid", "median", "ward"]
MOST_LEAVES = 400
MIXED = -1


def dendrogram_figure(
    points: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    method: Method = "average",
    most: int = MOST_LEAVES,
    seed: int = 0,
    title: str = "",
) -> Figure:
    """Draw the linkage tree of particles, coloured by group where a whole branch is of one.

    Parameters
    ----------
    points
        (n, c) in the coordinates that the grouping compares; rows with NaN are left out.
    labels
        (n,) shape group, 1 and up; 0, NaN or None for none. A branch with particles of several
        groups is grey, and the strip below shows each particle's own group.
    method
        Linkage; ``average`` is that of the cophenetic correlation.
    most
        Of more particles a random draw of as many is taken (a tree takes memory with the square
        of the particles), and the figure says so.
    title
        Put before the note above the axes.

    The tree never sees ``labels``: one that does not fall into their colours speaks against them.
    """
    table = np.asarray(points, np.float64)
    if table.ndim != 2:
        raise ReportError(f"points must be (particles, columns), not of shape {table.shape}")
    numbers = colours.group_numbers(labels, len(table))
    if len(numbers) != len(table):
        raise ReportError(f"{len(numbers)} labels for {len(table)} points")
    chosen = _draw(table, most, seed)
    if len(chosen) < 3:
        return style.nothing("A tree needs at least three particles with every value known.")
    known = int(np.isfinite(table).all(axis=1).sum())
    figure = style.blank(9.0, 3.8)
    tree, strip = figure.subplots(2, 1, sharex=True, height_ratios=(14, 1))
    order, correlation = _branches(tree, table[chosen], numbers[chosen], method)
    _strip(strip, numbers[chosen][order])
    style.legend(figure, _signs(numbers[chosen]), loc="outside lower center", ncols=6)
    drawn = f"{len(chosen):,} particles"
    if len(chosen) < known:
        drawn = f"a random {len(chosen):,} of {known:,} particles"
    words = [title, f"{method} linkage of {drawn}", f"cophenetic correlation {correlation:.3f}"]
    style.note(tree, "; ".join(word for word in words if word))
    return figure


def _draw(table: Floats, most: int, seed: int) -> NDArray[np.int64]:
    complete = np.flatnonzero(np.isfinite(table).all(axis=1))
    if complete.size <= most:
        return complete
    return np.sort(np.random.default_rng(seed).choice(complete, most, replace=False))


def _branches(
    axes: Axes, points: Floats, numbers: NDArray[np.int64], method: Method
) -> tuple[NDArray[np.int64], float]:
    """Draw the tree; return the leaves from left to right and the cophenetic correlation."""
    from scipy.cluster.hierarchy import cophenet, dendrogram, linkage
    from scipy.spatial.distance import pdist

    apart = pdist(points)
    links = linkage(apart, method=method)
    # scipy asks for one colour a merge and draws with none: the colour carries the merge's number.
    drawn = dendrogram(links, no_plot=True, link_color_func=lambda k: f"{k - len(points)}")
    groups = _merged_groups(links, numbers)[np.array(drawn["color_list"], int)]
    lines = [
        np.stack([x, y], axis=1) for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    ]
    tints = [colours.MUTED if g == MIXED else colours.colour_of(g) for g in groups]
    axes.add_collection(LineCollection(lines, colors=tints, linewidths=0.8))
    axes.set(xlim=(0, 10 * len(points)), ylim=(0, 1.03 * float(links[:, 2].max()) or 1.0))
    style.plain(axes, "", "Distance at which branches join\n(scaled units)")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    tree = cophenet(links)
    spread = float(np.std(tree)) * float(np.std(apart))
    correlation = float(np.corrcoef(tree, apart)[0, 1]) if spread > 0 else float("nan")
    return np.array(drawn["leaves"], np.int64), correlation


def _merged_groups(links: Floats, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group of each merge's particles, `MIXED` where they are of several."""
    n = len(numbers)
    found = np.concatenate([numbers, np.zeros(n - 1, np.int64)])
    for step, (left, right) in enumerate(links[:, :2].astype(int)):
        found[n + step] = found[left] if found[left] == found[right] else MIXED
    return found[n:]


def _strip(axes: Axes, numbers: NDArray[np.int64]) -> None:
    """Draw a coloured cell for each leaf, at 5, 15, 25 … as scipy places them."""
    shades = np.array([colours.rgb(colours.colour_of(number)) for number in numbers], np.uint8)
    axes.imshow(shades[None], aspect="auto", extent=(0, 10 * len(numbers), 0, 1),
                interpolation="nearest")  # fmt: skip
    axes.set_axis_off()


def _signs(numbers: NDArray[np.int64]) -> list[Any]:
    signs: list[Any] = [
        Patch(color=colours.colour_of(g), label=colours.group_name(g))
        for g in colours.in_order(numbers)
    ]
    if len(signs) > 1:
        signs.append(Line2D([], [], color=colours.MUTED, lw=1, label="several groups"))
    return signs
