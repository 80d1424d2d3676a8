"""All compiled passes over the particles of a picture, one bounding box at a time."""

from __future__ import annotations

from typing import Any

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
    """Return (n,) values for each of `NAMES`; ``wanted`` (n,) labels lie in ``boxes`` (n, 4).

    The loop is not compiled on purpose: numba's cache of a compiled function does not notice
    changes of functions that it calls in other modules, and would go on with the old ones.
    """
    exact = np.float32 if np.can_cast(pixels.dtype, np.float32) else np.float64
    values = np.ascontiguousarray(pixels, dtype=exact)
    labels = np.ascontiguousarray(labels)
    table = np.empty((len(wanted), len(NAMES)))
    for row, label, box in zip(table, wanted, boxes, strict=True):
        row[:] = _probe_one(values, labels, label, box, aspect, weights)
    columns = dict(zip(NAMES, table.T.copy(), strict=True))
    return {**columns, **_in_picture(columns, boxes)}


def _probe_one(
    values: NDArray[Any],
    labels: NDArray[np.uint32],
    label: np.int64,
    box: NDArray[np.int64],
    aspect: float,
    weights: Floats,
) -> tuple[float, ...]:
    """Measure one particle; its rows and columns count from one pixel before its box."""
    state = raster.cut(labels, label, box, around.MARGIN_PX)
    frame = around.MARGIN_PX - 1
    mask = raster.mask_of(state, frame)
    edge = raster.border(mask)
    places = raster.places_of(edge)
    top, left = int(box[0]) - 1, int(box[1]) - 1
    sums = raster.sums(mask)
    deep = round(sums.centroid_row), round(sums.centroid_column)
    return (
        *sums,
        *raster.light(mask, values, top, left),
        *raster.lattice(mask),
        raster.perimeter(edge, places, aspect),
        raster.filled_count(mask),
        raster.inscribed_diameter(mask, *deep, aspect),
        *hull.measure_hull(mask, aspect, weights),
        *around.surroundings(state, places + frame, values, top - frame, left - frame, aspect),
    )


def _in_picture(columns: dict[str, Floats], boxes: NDArray[np.int64]) -> dict[str, Floats]:
    """Turn rows and columns that count from before each box into those of the picture."""
    top, left = boxes[:, 0] - 1, boxes[:, 1] - 1
    return {
        **{name: columns[name] + top for name in ("centroid_row", "weighted_row")},
        **{name: columns[name] + left for name in ("centroid_column", "weighted_column")},
    }
