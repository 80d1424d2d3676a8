"""Connected pieces of a mask, held as runs of pixels instead of a second picture.

A picture has far fewer runs (pixels of one piece side by side in a row) than pixels. What is asked
of the pieces (boxes, areas, which to fill) is answered from the runs; no label image is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Runs = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Pieces 0 … n - 1, in raster order of their first pixels."""

    runs: Runs
    """(m, 3) row, first column, one past the last column; in raster order."""
    piece: Runs
    """(m,) the piece that each run belongs to."""
    boxes: Runs
    """(n, 4) first column, first row, width and height of each piece."""
    area: NDArray[np.int64]
    """(n,) pixels of each piece."""

    def mask_of(self, index: int | np.integer) -> Mask:
        """Return one piece within its box, (height, width)."""
        mask = np.zeros(self.boxes[index, :1:-1], dtype=bool)
        _draw(mask, self.runs, self.piece, index, self.boxes[index])
        return mask

    def box(self, index: int | np.integer) -> tuple[slice, slice]:
        """Return the place (rows, columns) of one piece's box."""
        x, y, width, height = self.boxes[index]
        return slice(y, y + height), slice(x, x + width)


def connected(mask: Mask, *, diagonal: bool) -> Pieces:
    """Find the connected pieces of a mask (y, x); ``diagonal``: pixels touch at corners too."""
    runs = _runs(np.ascontiguousarray(mask))
    piece = np.arange(runs.shape[0], dtype=np.int32)
    count = _join(runs, piece, 1 if diagonal else 0)
    boxes, area = _boxes(runs, piece, count)
    return Pieces(runs=runs, piece=piece, boxes=boxes, area=area)


def painted(picture: NDArray[Any], pieces: Pieces, values: NDArray[Any], chosen: Mask) -> None:
    """Write ``values`` (n,) of the ``chosen`` (n,) pieces into a picture (y, x), in place."""
    _paint(picture, pieces.runs, pieces.piece, values, chosen)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _runs(mask: Mask) -> Any:
    rows, columns = mask.shape
    total = 0
    for y in range(rows):
        line = mask[y]
        found = int(line[0])
        for x in range(1, columns):
            found += line[x] > line[x - 1]
        total += found
    runs = np.empty((total, 3), np.int32)
    place = 0
    for y in range(rows):
        line, inside = mask[y], False
        for x in range(columns):
            if line[x] != inside:
                inside = not inside
                if inside:
                    runs[place, 0], runs[place, 1] = y, x
                else:
                    runs[place, 2] = x
                    place += 1
        if inside:
            runs[place, 2] = columns
            place += 1
    return runs


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _root(parent: Runs, index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _join(runs: Runs, parent: Runs, reach: int) -> int:
    """Give each run the number of its piece; ``parent`` holds its own index first.

    The root of a piece is its first run, so that pieces are numbered by their first pixels.
    """
    above = 0
    for run in range(runs.shape[0]):
        row, start, stop = runs[run]
        while runs[above, 0] < row - 1 or (
            runs[above, 0] == row - 1 and runs[above, 2] + reach <= start
        ):
            above += 1
        near = above
        while runs[near, 0] == row - 1 and runs[near, 1] < stop + reach:
            a, b = _root(parent, near), _root(parent, run)
            parent[max(a, b)] = min(a, b)
            near += 1
    last = 0
    for run in range(runs.shape[0]):
        if parent[run] == run:
            parent[run] = last
            last += 1
        else:
            parent[run] = parent[parent[run]]
    return last


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _boxes(runs: Runs, piece: Runs, count: int) -> Any:
    boxes = np.empty((count, 4), np.int32)
    area = np.zeros(count, np.int64)
    for run in range(runs.shape[0]):
        row, start, stop = runs[run]
        box = boxes[piece[run]]
        if area[piece[run]] == 0:
            box[0], box[1], box[2] = start, row, stop
        box[0], box[2], box[3] = min(box[0], start), max(box[2], stop), row + 1
        area[piece[run]] += stop - start
    boxes[:, 2] -= boxes[:, 0]
    boxes[:, 3] -= boxes[:, 1]
    return boxes, area


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _draw(mask: Mask, runs: Runs, piece: Runs, index: int, box: Runs) -> None:
    """Draw one piece into its box: only the runs of the box's rows are looked at."""
    x, y = box[0], box[1]
    run = np.searchsorted(runs[:, 0], y)
    while run < runs.shape[0] and runs[run, 0] < y + box[3]:
        if piece[run] == index:
            mask[runs[run, 0] - y, runs[run, 1] - x : runs[run, 2] - x] = True
        run += 1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _paint(
    picture: NDArray[Any], runs: Runs, piece: Runs, values: NDArray[Any], chosen: Mask
) -> None:
    for run in range(runs.shape[0]):
        if chosen[piece[run]]:
            picture[runs[run, 0], runs[run, 1] : runs[run, 2]] = values[piece[run]]
