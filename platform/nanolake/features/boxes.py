"""Where each particle lies: one compiled pass over the label image."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint32]


class Boxes(NamedTuple):
    """Labels that occur, ascending, and their boxes (n, 4): first and one past the last row and
    column, as (min row, min column, max row, max column).
    """

    labels: NDArray[np.int64]
    boxes: NDArray[np.int64]


def find_boxes(labels: Labels) -> Boxes:
    """Return the labels above 0 and their bounding boxes."""
    highest = int(labels.max(initial=0))
    if highest <= max(labels.size, 1 << 16):
        table = _scan(labels, highest)
        present = np.flatnonzero(table[:, 2])
        return Boxes(present, table[present])
    names, dense = np.unique(labels, return_inverse=True)
    if names[0] != 0:
        names, dense = np.append(0, names), dense + 1
    found = find_boxes(dense.reshape(labels.shape).astype(np.uint32))
    return Boxes(names[found.labels].astype(np.int64), found.boxes)


@numba.njit(cache=True, nogil=True)
def _scan(labels: Labels, highest: int) -> NDArray[np.int64]:
    """Return boxes by label, all zero for labels that do not occur and for 0."""
    table = np.zeros((highest + 1, 4), dtype=np.int64)
    for y in range(labels.shape[0]):
        run, start = np.uint32(0), 0
        for x in range(labels.shape[1] + 1):
            label = labels[y, x] if x < labels.shape[1] else np.uint32(0)
            if label != run:
                if run != 0:
                    _widen(table[run], y, start, x)
                run, start = label, x
    return table


@numba.njit(cache=True, nogil=True)
def _widen(box: NDArray[np.int64], y: int, start: int, stop: int) -> None:
    """Take the run of pixels ``start`` … ``stop`` - 1 of row ``y`` into a box."""
    if box[2] == 0:
        box[0], box[1] = y, start
    box[1] = min(box[1], start)
    box[2] = y + 1
    box[3] = max(box[3], stop)
