"""Particles cut out of a report's micrographs: examples of each group, and many of all.

A large lake holds more pictures than a report should read: particles come from at most
`MOST_PICTURES` micrographs, drawn at random, and the captions say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanolake.report import colours, columns, numbers
from nanolake.report.content import Content
from nanolake.report.montage import Crop, cut_crop, montage, mosaic
from nanolake.report.overlay import Picture8, stretch

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOST_PICTURES = 24
EXAMPLES = 8
TILES = 360
"""Particles in the montage of all."""
COLUMNS = 24


@dataclass(frozen=True, eq=False)
class Examples:
    """The two montages of a report, with their captions."""

    by_group: Picture8
    by_group_caption: str
    of_all: Picture8
    of_all_caption: str


def examples(content: Content) -> Examples | None:
    """Cut examples of each group and a montage of all; None where there is no picture to cut."""
    frame = content.particles
    if frame.empty or not {"micrograph_id", "label"} <= set(frame.columns):
        return None
    at_hand = _at_hand(content)
    if not at_hand.any():
        return None
    chosen = _examples(content, at_hand)
    many = _sample(content.groups, at_hand)
    crops = _cut(content, np.unique(np.concatenate([*chosen.values(), *many.values()])))
    rows = {group: _present(crops, places) for group, places in chosen.items()}
    tiles = {group: _present(crops, places) for group, places in many.items()}
    if not any(tiles.values()):
        return None
    return Examples(
        by_group=montage(rows, names=_names(content), columns=EXAMPLES),
        by_group_caption=_source(content, at_hand),
        of_all=mosaic(tiles, columns=COLUMNS),
        of_all_caption=_all_words(content, tiles),
    )


def _present(crops: dict[int, Crop], places: Ints) -> list[Crop]:
    return [crops[place] for place in places.tolist() if place in crops]


def _at_hand(content: Content) -> Bools:
    """Mark the particles of the micrographs that may be read."""
    names = content.particles["micrograph_id"].to_numpy()
    if content.data.open_pictures is None:
        return np.isin(names, [m.micrograph_id for m in content.data.micrographs])
    return np.isin(names, _pictures(names, content.groups))


def _pictures(names: NDArray[Any], groups: Ints) -> list[Any]:
    """Choose micrographs: of each group the one with most of it, then others at random."""
    chosen: dict[Any, None] = {}
    for group in colours.in_order(groups):
        found, counts = np.unique(names[groups == group].astype(str), return_counts=True)
        chosen[found[counts.argmax()]] = None
    others = np.random.default_rng(0).permutation(np.unique(names.astype(str)))
    return list(dict.fromkeys([*chosen, *others.tolist()]))[:MOST_PICTURES]


def _examples(content: Content, at_hand: Bools) -> dict[int, Ints]:
    """Choose EXAMPLES of each group, evenly from its smallest particle to its largest."""
    found = {}
    for group in colours.in_order(content.groups[at_hand]):
        places = np.flatnonzero(at_hand & (content.groups == group))
        ordered = places[np.argsort(content.size[places], kind="stable")]
        picks = np.linspace(0, ordered.size - 1, min(EXAMPLES, ordered.size)).round().astype(int)
        found[group] = np.asarray(ordered[picks], np.int64)
    return found


def _sample(groups: Ints, at_hand: Bools) -> dict[int, Ints]:
    """Choose up to TILES particles at random, each group its share of all, but one at least."""
    rng = np.random.default_rng(0)
    total = min(TILES, groups.size)
    found = {}
    for group in colours.in_order(groups[at_hand]):
        quota = max(1, round(total * float((groups == group).mean())))
        places = np.flatnonzero(at_hand & (groups == group))
        found[group] = np.sort(rng.permutation(places)[:quota])
    return found


def _cut(content: Content, places: Ints) -> dict[int, Crop]:
    """Return place -> crop, reading one micrograph at a time; a label that is gone is left out."""
    rows = content.particles.iloc[places]
    crops = {}
    for identity, pixels, labels in _read(content, rows["micrograph_id"].unique().tolist()):
        grey = stretch(np.asarray(pixels))
        for place in rows.index[rows["micrograph_id"] == identity].tolist():
            row = content.particles.iloc[place]
            box = _box(row)
            if box is None and not (labels == int(row["label"])).any():
                continue
            caption = _caption(row, content.size[place], content.unit)
            crops[place] = cut_crop(grey, labels, int(row["label"]), caption=caption, box=box)
    return crops


def _read(content: Content, ids: list[str]) -> Iterator[tuple[str, Any, Any]]:
    if content.data.open_pictures is not None:
        yield from content.data.open_pictures(ids)
        return
    for micrograph in content.data.micrographs:
        if micrograph.micrograph_id in ids:
            yield micrograph.micrograph_id, micrograph.pixels, np.asarray(micrograph.labels)


def _box(row: pd.Series) -> tuple[int, int, int, int] | None:
    """Return the bounding box y0, x0, y1, x1 where the row has it."""
    names = [f"bbox_{end}_{axis}_px" for end in ("min", "max") for axis in ("y", "x")]
    if any(name not in row or row[name] is None or row[name] != row[name] for name in names):
        return None
    y0, x0, y1, x1 = (int(row[name]) for name in names)
    return y0, x0, y1, x1


def _caption(row: pd.Series, size: float, unit: str) -> str:
    value, own = (size, unit) if np.isfinite(size) else (row.get(f"{columns.SIZE}_px"), "px")
    return f"{value:.1f} {own}" if value is not None and np.isfinite(value) else ""


def _names(content: Content) -> dict[int, str]:
    names = {}
    for group in colours.in_order(content.groups):
        words = colours.group_name(group) if content.grouped else "Particles"
        names[group] = f"{words}\nn = {int((content.groups == group).sum()):,}"
    return names


def _source(content: Content, at_hand: Bools) -> str:
    """Say from how many of the micrographs the particles come, where it is not all."""
    names = content.particles["micrograph_id"]
    read, known = names[at_hand].nunique(), names.nunique()
    if read == known:
        return ""
    return f"Cut from {numbers.counted(read, 'micrograph')} of {known:,}."


def _all_words(content: Content, tiles: dict[int, list[Crop]]) -> str:
    shown, total = sum(map(len, tiles.values())), len(content.particles)
    if shown == total:
        return f"All {total:,} particles."
    return f"A random {shown:,} of {total:,} particles, each group by its share."
