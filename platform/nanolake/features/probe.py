"""All compiled passes over the particles of a picture, one bounding box at a time."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.features import hull, raster
from nanolake.features import surroundings as around

Floats = NDArray[np.float64]

NAMES = (
    *raster.Sums._fields,
    *raster.Light._fields,
    *raster.Lattice._fields,
    "perimeter",
    "filled_pixels",
    "inscribed",
    *hull.Hull._fields,
    *around.Surroundings._fields,
)
"""What `probe` returns, in order. Rows and columns are those of the picture."""


def probe(
    pixels: NDArray[Any],
    labels: NDArray[np.uint32],
    wanted: NDArray[np.int64],
    boxes: NDArray[np.int64],
    aspect: float,
    weights: Floats,
) -> dict[str, Floats]:
    """Return (n,) values for each of `NAMES`; ``wanted`` (n,) labels lie in ``boxes`` (n, 4)."""
    exact = np.float32 if np.can_cast(pixels.dtype, np.float32) else np.float64
    values = np.ascontiguousarray(pixels, dtype=exact)
    table = np.empty((len(wanted), len(NAMES)))
    _probe_all(values, np.ascontiguousarray(labels), wanted, boxes, aspect, weights, table)
    return dict(zip(NAMES, table.T.copy(), strict=True))


@numba.njit(cache=True, nogil=True)
def _probe_all(
    values: NDArray[Any],
    labels: NDArray[np.uint32],
    wanted: NDArray[np.int64],
    boxes: NDArray[np.int64],
    aspect: float,
    weights: Floats,
    table: Floats,
) -> None:
    for i in range(wanted.size):
        _probe_one(values, labels, wanted[i], boxes[i], aspect, weights, table[i])


@numba.njit(cache=True, nogil=True)
def _probe_one(
    values: NDArray[Any],
    labels: NDArray[np.uint32],
    label: int,
    box: NDArray[np.int64],
    aspect: float,
    weights: Floats,
    row: Floats,
) -> None:
    state = raster.cut(labels, label, box, around.MARGIN_PX)
    frame = around.MARGIN_PX - 1
    mask = (state[frame:-frame, frame:-frame] == raster.SELF).astype(np.uint8)
    edge = raster.border(mask)
    places = raster.places_of(edge)
    top, left = box[0] - 1, box[1] - 1
    sums = raster.sums(mask)
    deep_y, deep_x = round(sums.centroid_row), round(sums.centroid_column)
    at = _put(row, 0, sums)
    at = _put(row, at, raster.light(mask, values, top, left))
    at = _put(row, at, raster.lattice(mask))
    row[at] = raster.perimeter(edge, places, aspect)
    row[at + 1] = raster.filled_count(mask)
    row[at + 2] = raster.inscribed_diameter(mask, deep_y, deep_x, aspect)
    at = _put(row, at + 3, hull.measure_hull(mask, aspect, weights))
    beyond = around.surroundings(state, places + frame, values, top - frame, left - frame, aspect)
    _put(row, at, beyond)
    _move(row, top, left)


@numba.njit(cache=True, nogil=True)
def _put(row: Floats, start: int, found: tuple[float, ...]) -> int:
    for i, value in enumerate(found):
        row[start + i] = value
    return start + len(found)


_ROWS = np.array([NAMES.index("centroid_row"), NAMES.index("weighted_row")])
_COLUMNS = np.array([NAMES.index("centroid_column"), NAMES.index("weighted_column")])


@numba.njit(cache=True, nogil=True)
def _move(row: Floats, top: int, left: int) -> None:
    """Turn rows and columns of the crop into those of the picture."""
    for i in _ROWS:
        row[i] += top
    for i in _COLUMNS:
        row[i] += left
