"""Large pictures in tiles whose seams do not show.

A map at a pixel depends on the pixels at most ``halo_px`` around it (the network's receptive
field) and on where it lies in the grid of ``stride`` pixels (its pooling). So a tiled result
equals the untiled one where three things hold: the picture is padded to the stride once, before it
is cut; tiles begin at multiples of the stride; and of each tile only what lies ``halo_px`` or more
from its sides is kept, except at the sides that are the picture's own, where both see the same end.
Nothing in the network may look at the whole picture (global pooling, instance norm).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import SettingsError

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Pictures (n, 1, h, w) to maps (n, c, h, w), h and w multiples of the stride."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of the padded picture; stops are exclusive."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def padded_px(length_px: int, stride: int) -> int:
    """Return the next multiple of ``stride`` at or above ``length_px``."""
    return -(-length_px // stride) * stride


def spans(length_px: int, *, core_px: int, halo_px: int, stride: int) -> list[Span]:
    """Cut an axis of ``length_px`` (a multiple of ``stride``) into equal, overlapping tiles.

    As few as ``core_px`` allows, and no longer than their number needs: at most ``core_px + 2
    halo_px``. What the tiles keep covers the axis once.
    """
    count = max(1, -(-(length_px - 2 * halo_px) // core_px))
    tile_px = padded_px(-(-(length_px + (count - 1) * 2 * halo_px) // count), stride)
    last = length_px - tile_px
    starts = [*range(0, last, max(stride, tile_px - 2 * halo_px)), last]
    edges = [0, *(start + halo_px for start in starts[1:]), length_px]
    return [
        Span(start, start + tile_px, *kept)
        for start, kept in zip(starts, pairwise(edges), strict=True)
    ]


def tile_shape(
    height: int, width: int, *, core_px: int, halo_px: int, stride: int
) -> tuple[int, int]:
    """Return height and width of the tiles that a picture of this size is cut into, in pixels."""
    first_row, first_column = (
        spans(padded_px(length, stride), core_px=core_px, halo_px=halo_px, stride=stride)[0]
        for length in (height, width)
    )
    return first_row.stop, first_column.stop


def map_tiles(
    run: Run,
    grey: NDArray[np.floating],
    *,
    core_px: int = 2048,
    halo_px: int,
    stride: int,
    batch: int = 1,
) -> NDArray[np.float32]:
    """Run a network over a picture of any size, tile by tile.

    Parameters
    ----------
    run
        The network. Its memory is bounded: it is never given more than ``batch`` tiles at once,
        each at most ``core_px + 2 halo_px`` high and wide and all of one size in one picture.
    grey
        (h, w), at least one pixel, origin top left. Not changed.
    core_px
        What a tile gives at most, a multiple of ``stride``; a picture of up to ``core_px + 2
        halo_px`` on both sides is run whole. It moves memory and time, not the result.
    halo_px
        Radius of the network's receptive field, rounded up to a multiple of ``stride``.
    stride
        The network takes heights and widths that are multiples of it. Other pictures are
        continued by reflection at the bottom and on the right; what is added is cut off again.
    batch
        Tiles in one call of ``run``.

    Returns
    -------
    NDArray[np.float32]
        (c, h, w), the same for every ``core_px`` and ``batch``, to the rounding of ``run``.

    Raises
    ------
    SettingsError
        Lengths that are no multiples of ``stride``, or a batch of none.
    """
    _check(core_px, halo_px, stride, batch)
    height, width = grey.shape
    padded = _padded(grey, stride)
    places = list(
        product(*(spans(n, core_px=core_px, halo_px=halo_px, stride=stride) for n in padded.shape))
    )
    if len(places) == 1:
        return np.ascontiguousarray(run(padded[None, None])[0, :, :height, :width])
    batches = (places[i : i + batch] for i in range(0, len(places), batch))
    return _assembled(run, padded, batches_of_places=list(batches), height=height, width=width)


def _check(core_px: int, halo_px: int, stride: int, batch: int) -> None:
    if stride < 1 or core_px < 1 or core_px % stride:
        raise SettingsError(f"core_px = {core_px} is no positive multiple of stride = {stride}")
    if halo_px < 0 or halo_px % stride:
        raise SettingsError(
            f"halo_px = {halo_px} is no multiple of stride = {stride}: round it up, to "
            f"{padded_px(max(halo_px, 0), stride)}"
        )
    if batch < 1:
        raise SettingsError(f"batch = {batch}: at least one tile is run at a time")


def _padded(grey: NDArray[np.floating], stride: int) -> NDArray[np.float32]:
    """Continue the picture by reflection, without repeating the edge, to multiples of stride."""
    more = [(0, padded_px(length, stride) - length) for length in grey.shape]
    grey = np.asarray(grey, np.float32)
    return np.pad(grey, more, mode="reflect") if np.any(more) else np.ascontiguousarray(grey)


def _assembled(
    run: Run,
    padded: NDArray[np.float32],
    *,
    batches_of_places: list[list[tuple[Span, ...]]],
    height: int,
    width: int,
) -> NDArray[np.float32]:
    maps: NDArray[np.float32] | None = None
    for places in batches_of_places:
        tiles = np.stack([padded[r.start : r.stop, c.start : c.stop] for r, c in places])
        found = run(tiles[:, None])
        if maps is None:
            maps = np.empty((found.shape[1], height, width), np.float32)
        for (row, column), tile in zip(places, found, strict=True):
            kept = tile[
                :,
                row.keep_start - row.start : min(row.keep_stop, height) - row.start,
                column.keep_start - column.start : min(column.keep_stop, width) - column.start,
            ]
            maps[:, row.keep_start : row.keep_stop, column.keep_start : column.keep_stop] = kept
    assert maps is not None, "a picture has at least one tile"
    return maps
