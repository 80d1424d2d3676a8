"""Particles side by side: examples, one row a group, or many of them close together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.report import colours
from nanolake.report.data import ReportError
from nanolake.report.overlay import Picture8, outline_mask, stretch

GAP = 6
CAPTION = 20
MARGIN = 148
"""Width in px of the group names at the left of a montage."""


@dataclass(frozen=True, eq=False)
class Crop:
    """One particle cut out: ``pixels`` (y, x) grey uint8, ``mask`` of the same shape."""

    pixels: Picture8
    mask: NDArray[np.bool_]
    caption: str = ""


def cut_crop(
    pixels: NDArray[Any],
    labels: NDArray[Any],
    label: int,
    *,
    caption: str = "",
    box: tuple[int, int, int, int] | None = None,
) -> Crop:
    """Cut a square about one label, half as large again as its bounding box.

    ``box`` is the label's bounding box (y0, x0, y1, x1), the last ones just outside it; None looks
    for it in the whole picture.

    ``pixels`` (y, x) should be stretched to uint8 for the whole picture (`overlay.stretch`), so
    that contrast is comparable between crops; other dtypes are stretched crop by crop. Where the
    square leaves the picture, the last row or column is repeated.
    """
    y0, x0, y1, x1 = box or _find(labels, label)
    side = int(1.5 * (max(y1 - y0, x1 - x0) - 1)) + 6
    y, x = (y0 + y1 - 1) // 2 - side // 2, (x0 + x1 - 1) // 2 - side // 2
    down = np.clip(np.arange(y, y + side), 0, labels.shape[0] - 1)
    across = np.clip(np.arange(x, x + side), 0, labels.shape[1] - 1)
    window = np.ix_(down, across)
    outside = (down != np.arange(y, y + side))[:, None] | (across != np.arange(x, x + side))[None]
    cut = pixels[window]
    grey = cut if cut.dtype == np.uint8 else stretch(cut)
    return Crop(grey, (labels[window] == label) & ~outside, caption)


def _find(labels: NDArray[Any], label: int) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(labels == label)
    if rows.size == 0:
        raise ReportError(f"label {label} is not in the label image")
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def montage(
    crops: Mapping[Any, Sequence[Crop]],
    *,
    names: Mapping[Any, str] | None = None,
    tile_px: int = 112,
    columns: int = 8,
) -> Picture8:
    """Draw one row of examples a group, each scaled to its tile and outlined in the group's colour.

    ``crops`` maps a group number to its examples (at most ``columns`` are drawn), ``names`` a group
    to the words beside its row. Returns uint8 (y, x, 3), red-green-blue, on white.
    """
    if not crops:
        raise ReportError("montage needs at least one group of crops")
    rows = [
        _row(group, list(examples)[:columns], (names or {}).get(group), tile_px, columns)
        for group, examples in crops.items()
    ]
    return np.concatenate(rows, axis=0)


def mosaic(
    crops: Mapping[Any, Sequence[Crop]], *, tile_px: int = 44, columns: int = 24
) -> Picture8:
    """Draw many particles close together, group after group, each in a frame of its group's colour.

    ``crops`` maps a group number to its crops, all of which are drawn, each scaled to its tile.
    Returns uint8 (y, x, 3), red-green-blue; tiles that are left over are white.
    """
    tiles = [
        _framed(crop, colours.rgb(colours.colour_of(group)), tile_px)
        for group, members in crops.items()
        for crop in members
    ]
    if not tiles:
        raise ReportError("mosaic needs at least one crop")
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    grid = np.stack(tiles).reshape(-1, columns, *tiles[0].shape)
    return np.ascontiguousarray(
        grid.swapaxes(1, 2).reshape(len(grid) * tile_px, columns * tile_px, 3)
    )


def _framed(crop: Crop, colour: colours.RGB, tile: int) -> Picture8:
    """Return a tile with a coloured frame of 2 px, a white line around it, and no outline."""
    framed = np.full((tile, tile, 3), 255, np.uint8)
    framed[1:-1, 1:-1] = colour
    inner = tile - 6
    grey = cv2.resize(crop.pixels, (inner, inner), interpolation=_method(crop, inner))
    framed[3:-3, 3:-3] = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    return framed


def _row(group: Any, crops: list[Crop], name: str | None, tile: int, columns: int) -> Picture8:
    height, width = tile + CAPTION + GAP, MARGIN + columns * (tile + GAP)
    row = np.full((height, width, 3), 255, np.uint8)
    colour = colours.rgb(colours.colour_of(group))
    row[:tile, :6] = colour
    _write(row, name or colours.group_name(group), 16, 15, tile // 2)
    for place, crop in enumerate(crops):
        left = MARGIN + place * (tile + GAP)
        row[:tile, left : left + tile] = _tile(crop, colour, tile)
        _write(row, crop.caption, left + 2, 13, tile + CAPTION - 5)
    return row


def _tile(crop: Crop, colour: colours.RGB, tile: int) -> Picture8:
    grey = cv2.resize(crop.pixels, (tile, tile), interpolation=_method(crop, tile))
    mask = cv2.resize(crop.mask.astype(np.float32), (tile, tile), interpolation=cv2.INTER_LINEAR)
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    picture[outline_mask((mask > 0.5).astype(np.int32))] = colour
    return np.asarray(picture, np.uint8)


def _method(crop: Crop, tile: int) -> int:
    return int(cv2.INTER_AREA if crop.pixels.shape[0] > tile else cv2.INTER_CUBIC)


def _write(picture: Picture8, text: str, x: int, size: int, baseline: int) -> None:
    """Write lines of dark text, the block centred about ``baseline`` where there are several."""
    font = cv2.FontFace("sans")
    lines = text.split("\n")
    top = baseline - (len(lines) - 1) * (size + 4) // 2
    for number, line in enumerate(lines):
        origin = (x, top + number * (size + 4))
        cv2.putText(picture, line, origin, colours.rgb(colours.INK), font, size, 400)
