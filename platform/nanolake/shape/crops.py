"""Crops: one particle's mask, centred and brought to one size, made without a random step.

A crop cannot depend on polarity, fill or contrast, by construction (decision 0005). What the
picture shows around the mask comes beside it, from `surroundings` (decision 0018). The same
functions cut the simulated crystals that the network is trained on and the particles of a
micrograph.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError, SettingsError

CROP_PX = 64
"""Side of a crop."""
FILL = 0.92
"""The particle's farthest point lies at this share of the way from centre to edge."""


def cut(
    labels: NDArray[Any],
    pixels: NDArray[Any] | None = None,
    *,
    size: int = CROP_PX,
    fill: float = FILL,
    pixel_aspect: float = 1.0,
) -> NDArray[np.float32]:
    """Return one crop a particle, (n, size, size) float32 (y, x), in ascending order of label.

    The particle's centroid is the crop's centre; its farthest pixel from there lies at ``fill`` of
    half the side, so a crop does not tell the size. ``pixel_aspect`` is pixel height / pixel width:
    crops have square pixels. Without ``pixels`` a crop holds the share of each crop pixel that the
    particle covers (0 … 1, bilinear where enlarged, area mean where reduced); with ``pixels``
    ((y, x), any number type) that share times the grey value, everything else 0. Touching
    particles do not appear in one another's crop.

    Does not turn, pad at random or normalise. Raises `PictureError` where ``labels`` is not a
    (y, x) array of non-negative integers or ``pixels`` has another shape.
    """
    ids, index = labelled(labels)
    check(labels, pixels, size, fill, pixel_aspect)
    crops = np.zeros((ids.size, size, size), np.float32)
    if ids.size == 0:
        return crops
    geometry = geometry_of(labels, index, ids.size, float(pixel_aspect))
    grey = np.empty((0, 0), np.float32) if pixels is None else pixels.astype(np.float32)
    _sample(labels, ids.astype(np.int64), geometry, grey, fill, float(pixel_aspect), crops)
    return crops


def standard(crops: NDArray[np.float32], *, fill: float = FILL) -> NDArray[np.float32]:
    """Return crops (n, size, size) in which every particle lies and fills as `cut` would have it.

    For mask crops of other makers: one whose centroid is off the middle by more than half a pixel,
    or whose farthest pixel (from a coverage of 0.5) reaches less than `_LEAST_FILL` or more than
    `_MOST_FILL` of where ``fill`` puts it, is moved and scaled, bilinear. Crops of `cut` come back
    as they are, the same array where all do; an empty one stays empty.
    """
    moves = _moves(np.ascontiguousarray(crops, np.float32), fill * 0.5 * crops.shape[1])
    rows = np.flatnonzero(moves[:, 2] > 0.0)
    if rows.size == 0:
        return crops
    out = np.array(crops, np.float32)
    fitted = np.zeros_like(out[rows])
    _move(out[rows], moves[rows], fitted)
    out[rows] = fitted
    return out


_LEAST_FILL, _MOST_FILL = 0.85, 1.02
_OFF_PX = 0.5
_TIP_PX = 0.45
"""How much nearer than the pixel's edge the last crop pixel of a coverage of 0.5 lies."""


@numba.njit(cache=True)
def _moves(crops: NDArray[np.float32], reach_px: float) -> NDArray[np.float64]:
    """Return (n, 3): centroid y, x in px and the step between new pixels in old ones; 0: leave."""
    out = np.zeros((crops.shape[0], 3))
    middle = 0.5 * (crops.shape[1] - 1)
    for i in range(crops.shape[0]):
        total = 0.0
        for y in range(crops.shape[1]):
            for x in range(crops.shape[2]):
                total += crops[i, y, x]
                out[i, 0] += crops[i, y, x] * y
                out[i, 1] += crops[i, y, x] * x
        if not total > 0.0:
            continue
        out[i, 0] /= total
        out[i, 1] /= total
        far = 0.0
        for y in range(crops.shape[1]):
            for x in range(crops.shape[2]):
                if crops[i, y, x] >= 0.5:
                    far = max(far, (y - out[i, 0]) ** 2 + (x - out[i, 1]) ** 2)
        far = np.sqrt(far)
        share = (far + _TIP_PX) / reach_px
        off = max(abs(out[i, 0] - middle), abs(out[i, 1] - middle))
        if far > 0.0 and (off > _OFF_PX or share < _LEAST_FILL or share > _MOST_FILL):
            out[i, 2] = share
    return out


@numba.njit(cache=True)
def _move(crops: NDArray[np.float32], moves: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    size = crops.shape[1]
    middle = 0.5 * (size - 1)
    for i in range(crops.shape[0]):
        cy, cx, step = moves[i]
        for row in range(size):
            for column in range(size):
                y, x = cy + (row - middle) * step, cx + (column - middle) * step
                soft = _between(crops[i], y, x)
                if step < 1.0:  # an edge over one old pixel becomes one over one new pixel
                    soft = min(max((soft - 0.5) / step + 0.5, 0.0), 1.0)
                out[i, row, column] = soft


@numba.njit(cache=True, inline="always")
def _between(crop: NDArray[np.float32], y: float, x: float) -> float:
    """Return a crop's value at a point, bilinear, 0 outside."""
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    total = 0.0
    for row in range(y0, y0 + 2):
        for column in range(x0, x0 + 2):
            if 0 <= row < crop.shape[0] and 0 <= column < crop.shape[1]:
                total += (1.0 - abs(y - row)) * (1.0 - abs(x - column)) * crop[row, column]
    return total


def labelled(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the labels present (ascending, without 0) and the table label -> row (-1: none)."""
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise PictureError(
            "not_an_image",
            f"labels must be a (y, x) array of integers, not {labels.dtype} of shape "
            f"{labels.shape}; give one label image at a time",
        )
    if labels.size and int(labels.min()) < 0:
        raise PictureError("not_an_image", f"labels holds {labels.min()}; labels start at 0")
    highest = int(labels.max(initial=0))
    if highest > 16 * labels.size + 65_535:
        raise PictureError(
            "not_an_image",
            f"labels holds {highest} in {labels.size} pixels; renumber the labels from 1",
        )
    present = np.zeros(highest + 1, bool)
    _mark(labels, present)
    present[0] = False
    ids = np.flatnonzero(present)
    index = np.full(highest + 1, -1, np.int64)
    index[ids] = np.arange(ids.size)
    return ids, index


def check(
    labels: NDArray[Any], pixels: NDArray[Any] | None, size: int, fill: float, aspect: float
) -> None:
    if pixels is not None and pixels.shape != labels.shape:
        raise PictureError(
            "not_an_image",
            f"pixels {pixels.shape} and labels {labels.shape} must be one picture's, of one shape",
        )
    if size < 8 or not 0.0 < fill <= 1.0:
        raise SettingsError(f"size={size}, fill={fill}: size must be 8 or more, fill in (0, 1]")
    if not (np.isfinite(aspect) and aspect > 0.0):
        raise SettingsError(f"pixel_aspect={aspect} must be positive: pixel height / pixel width")


@numba.njit(cache=True)
def _mark(labels: NDArray[Any], present: NDArray[np.bool_]) -> None:
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            present[labels[y, x]] = True


@numba.njit(cache=True)
def geometry_of(
    labels: NDArray[Any], index: NDArray[np.int64], count: int, aspect: float
) -> NDArray[np.float64]:
    """Return (count, 3): centroid y, x in px and its farthest pixel edge in pixel widths."""
    out = np.zeros((count, 3))
    area = np.zeros(count)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x]:
                i = index[labels[y, x]]
                area[i] += 1.0
                out[i, 0] += y
                out[i, 1] += x
    for i in range(count):
        out[i, 0] /= area[i]
        out[i, 1] /= area[i]
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x]:
                i = index[labels[y, x]]
                dy, dx = (y - out[i, 0]) * aspect, x - out[i, 1]
                out[i, 2] = max(out[i, 2], dy * dy + dx * dx)
    for i in range(count):
        out[i, 2] = np.sqrt(out[i, 2]) + 0.5
    return out


@numba.njit(cache=True)
def _sample(
    labels: NDArray[Any],
    ids: NDArray[np.int64],
    geometry: NDArray[np.float64],
    grey: NDArray[np.float32],
    fill: float,
    aspect: float,
    crops: NDArray[np.float32],
) -> None:
    """Fill each crop: bilinear where a crop pixel is below a picture's pixel, else area means."""
    size = crops.shape[1]
    for i in range(crops.shape[0]):
        cy, cx, reach = geometry[i]
        step_x = 2.0 * reach / (fill * size)
        step_y = step_x / aspect
        reduced = step_x > 1.0 or step_y > 1.0
        if reduced:
            sums, top, left = _running_sums(labels, grey, ids[i], cy, cx, reach, aspect)
            # Bilinear interpolation blurs by one pixel, and so does an area mean: together they are
            # one box of the two variances' sum.
            wide_y, wide_x = np.sqrt(step_y**2 + 1.0), np.sqrt(step_x**2 + 1.0)
        limit = (reach / step_x + 1.5) ** 2
        for row in range(size):
            v = row + 0.5 - 0.5 * size
            for column in range(size):
                u = column + 0.5 - 0.5 * size
                if u * u + v * v > limit:
                    continue
                y, x = cy + v * step_y, cx + u * step_x
                if reduced:
                    mean = _area_mean(sums, y - top, x - left, wide_y, wide_x)
                    crops[i, row, column] = mean
                else:
                    crops[i, row, column] = _bilinear(labels, grey, ids[i], y, x)


@numba.njit(cache=True)
def _running_sums(
    labels: NDArray[Any],
    grey: NDArray[np.float32],
    label: int,
    cy: float,
    cx: float,
    reach: float,
    aspect: float,
) -> Any:
    """Return sums of the mask (times grey) over all pixels above and left, and their origin."""
    top = max(int(np.floor(cy - reach / aspect)), 0)
    left = max(int(np.floor(cx - reach)), 0)
    bottom = min(int(np.ceil(cy + reach / aspect)) + 1, labels.shape[0])
    right = min(int(np.ceil(cx + reach)) + 1, labels.shape[1])
    sums = np.zeros((bottom - top + 1, right - left + 1))
    for y in range(top, bottom):
        across = 0.0
        for x in range(left, right):
            if labels[y, x] == label:
                across += grey[y, x] if grey.size else 1.0
            sums[y - top + 1, x - left + 1] = sums[y - top, x - left + 1] + across
    return sums, top, left


@numba.njit(cache=True, inline="always")
def _area_mean(
    sums: NDArray[np.float64], y: float, x: float, wide_y: float, wide_x: float
) -> float:
    """Return the mean over a box about a point; pixel (0, 0) of ``sums`` covers -0.5 to 0.5."""
    y0, y1 = y + 0.5 - 0.5 * wide_y, y + 0.5 + 0.5 * wide_y
    x0, x1 = x + 0.5 - 0.5 * wide_x, x + 0.5 + 0.5 * wide_x
    inside = _sum_to(sums, y1, x1) - _sum_to(sums, y0, x1)
    inside -= _sum_to(sums, y1, x0) - _sum_to(sums, y0, x0)
    mean: float = max(inside, 0.0) / (wide_y * wide_x)
    return mean


@numba.njit(cache=True, inline="always")
def _sum_to(sums: NDArray[np.float64], y: float, x: float) -> float:
    """Return the running sum at a point between pixel corners, bilinear: exact for whole pixels."""
    y = min(max(y, 0.0), sums.shape[0] - 1.0)
    x = min(max(x, 0.0), sums.shape[1] - 1.0)
    row, column = min(int(y), sums.shape[0] - 2), min(int(x), sums.shape[1] - 2)
    b, a = y - row, x - column
    above = (1.0 - a) * sums[row, column] + a * sums[row, column + 1]
    below = (1.0 - a) * sums[row + 1, column] + a * sums[row + 1, column + 1]
    total: float = (1.0 - b) * above + b * below
    return total


@numba.njit(cache=True, inline="always")
def _bilinear(
    labels: NDArray[Any], grey: NDArray[np.float32], label: int, y: float, x: float
) -> float:
    """Return the mask of ``label`` (times the grey value, where given) at a point, 0 outside."""
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    total = 0.0
    for row in range(y0, y0 + 2):
        if row < 0 or row >= labels.shape[0]:
            continue
        for column in range(x0, x0 + 2):
            if column < 0 or column >= labels.shape[1] or labels[row, column] != label:
                continue
            weight = (1.0 - abs(y - row)) * (1.0 - abs(x - column))
            total += weight * (grey[row, column] if grey.size else 1.0)
    return total
