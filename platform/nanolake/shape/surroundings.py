"""What lies around a particle in its crop: the picture's grey values, and other particles.

A segmentation cuts corners, closes gaps and moves edges; the picture beneath still shows them. So a
crop may come with two maps of the same place and scale as its mask (`crops.cut`):

- *grey*: the picture between what lies outside the particle and what it is made of. 0.25 is the
  mean of the background in the crop's square, 0.75 the mean of the particle, cut off at 0 and 1.
  Polarity, contrast and brightness are gone by construction;
- *others*: the share of each crop pixel that other particles cover, 0 … 1.

Where there is no picture the mask stands for it (`unknown`): as if it were right and alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.shape.crops import FILL, check, geometry_of, labelled, sum_to

MAPS = 3
"""Mask, grey, others: what a network that looks around takes."""
_LEAST_BACKGROUND = 0.05
"""Share of the crop's square that must be background; else the whole picture's is taken."""


def cut_maps(
    labels: NDArray[Any],
    pixels: NDArray[Any] | None,
    masks: NDArray[np.float32],
    *,
    fill: float = FILL,
    pixel_aspect: float = 1.0,
) -> NDArray[np.float32]:
    """Return (n, 3, size, size) float32: the ``masks`` of `crops.cut`, grey and others.

    ``labels``, ``fill`` and ``pixel_aspect`` as they were given to `cut`; ``pixels`` (y, x), any
    number type, or None (`unknown`). Beyond the picture's border its last pixels go on. Outside the
    circle inside the crop, which no network reads, grey and others hold no meaning. A particle that
    cannot be told from its background by grey gets `unknown`'s maps. Raises as `cut`.
    """
    parts = list(
        map_batches(labels, pixels, masks, len(masks), fill=fill, pixel_aspect=pixel_aspect)
    )
    return parts[0] if parts else unknown(masks)


def map_batches(
    labels: NDArray[Any],
    pixels: NDArray[Any] | None,
    masks: NDArray[np.float32],
    batch: int,
    *,
    fill: float = FILL,
    pixel_aspect: float = 1.0,
) -> Iterator[NDArray[np.float32]]:
    """Yield the maps of `cut_maps` for ``batch`` particles at a time: they are three times masks.

    Takes and raises the same.
    """
    ids, index = labelled(labels)
    seen = pixels is not None and ids.size > 0
    if seen:
        check(labels, pixels, masks.shape[1], fill, pixel_aspect)
        grey = np.asarray(pixels, np.float32)
        geometry = geometry_of(labels, index, ids.size, float(pixel_aspect))
        background = _background_mean(labels, grey)
    for start in range(0, len(masks), max(batch, 1)):
        rows = slice(start, start + batch)
        maps = unknown(masks[rows])
        if seen:
            place = labels, grey, ids[rows], geometry[rows]
            _sample(*place, fill, float(pixel_aspect), background, maps[:, 1], maps[:, 2])
        yield maps


def unknown(masks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the maps (n, 3, size, size) of ``masks`` (n, size, size) where no picture is known."""
    maps = np.zeros((len(masks), MAPS, *masks.shape[1:]), np.float32)
    maps[:, 0] = masks
    maps[:, 1] = 0.25 + 0.5 * masks
    return maps


@numba.njit(cache=True)
def _background_mean(labels: NDArray[Any], grey: NDArray[np.float32]) -> float:
    """Return the mean grey value of all that is no particle; NaN where there is nothing else."""
    total, count = 0.0, 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] == 0:
                total += grey[y, x]
                count += 1
    return total / count if count else np.nan


@numba.njit(cache=True)
def _sample(
    labels: NDArray[Any],
    grey: NDArray[np.float32],
    ids: NDArray[np.int64],
    geometry: NDArray[np.float64],
    fill: float,
    aspect: float,
    background: float,
    grey_maps: NDArray[np.float32],
    other_maps: NDArray[np.float32],
) -> None:
    size = grey_maps.shape[1]
    height, width = labels.shape
    limit = (0.5 * size + 1.0) ** 2
    for i in range(ids.size):
        cy, cx, reach = geometry[i]
        step_x = 2.0 * reach / (fill * size)
        step_y = step_x / aspect
        half_y, half_x = 0.5 * size * step_y + 2.0, 0.5 * size * step_x + 2.0
        top, bottom = int(np.floor(cy - half_y)), int(np.ceil(cy + half_y)) + 1
        left, right = int(np.floor(cx - half_x)), int(np.ceil(cx + half_x)) + 1
        inside, outside = _levels(
            labels, grey, ids[i], max(top, 0), min(bottom, height), max(left, 0), min(right, width),
            background,
        )  # fmt: skip
        if not abs(inside - outside) > 1e-6 * (abs(inside) + abs(outside)):
            continue
        reduced = step_x > 1.0 or step_y > 1.0
        if reduced:
            sums = np.zeros((2, bottom - top + 1, right - left + 1))
            _running_sums(labels, grey, ids[i], top, left, sums)
            wide_y, wide_x = np.sqrt(step_y**2 + 1.0), np.sqrt(step_x**2 + 1.0)
        gain = 0.5 / (inside - outside)
        for row in range(size):
            v = row + 0.5 - 0.5 * size
            for column in range(size):
                u = column + 0.5 - 0.5 * size
                if u * u + v * v > limit:
                    continue
                y, x = cy + v * step_y, cx + u * step_x
                if reduced:
                    value, other = _area_means(sums, y - top, x - left, wide_y, wide_x)
                else:
                    value, other = _between(labels, grey, ids[i], y, x)
                value = 0.25 + (value - outside) * gain
                grey_maps[i, row, column] = min(max(value, 0.0), 1.0)
                other_maps[i, row, column] = other


@numba.njit(cache=True)
def _levels(
    labels: NDArray[Any],
    grey: NDArray[np.float32],
    label: int,
    top: int,
    bottom: int,
    left: int,
    right: int,
    background: float,
) -> tuple[float, float]:
    """Return the mean grey value of the particle, and of the background in a window around it."""
    inside, inside_count, outside, outside_count = 0.0, 0, 0.0, 0
    for y in range(top, bottom):
        for x in range(left, right):
            if labels[y, x] == label:
                inside += grey[y, x]
                inside_count += 1
            elif labels[y, x] == 0:
                outside += grey[y, x]
                outside_count += 1
    enough = outside_count >= _LEAST_BACKGROUND * (bottom - top) * (right - left)
    return inside / inside_count, outside / outside_count if enough else background


@numba.njit(cache=True)
def _running_sums(
    labels: NDArray[Any],
    grey: NDArray[np.float32],
    label: int,
    top: int,
    left: int,
    sums: NDArray[np.float64],
) -> None:
    """Fill ``sums`` (grey, others) over all pixels above and left of each corner of the window."""
    for row in range(sums.shape[1] - 1):
        y = min(max(top + row, 0), labels.shape[0] - 1)
        across, others = 0.0, 0.0
        for column in range(sums.shape[2] - 1):
            x = min(max(left + column, 0), labels.shape[1] - 1)
            across += grey[y, x]
            others += labels[y, x] != 0 and labels[y, x] != label
            sums[0, row + 1, column + 1] = sums[0, row, column + 1] + across
            sums[1, row + 1, column + 1] = sums[1, row, column + 1] + others


@numba.njit(cache=True, inline="always")
def _area_means(
    sums: NDArray[np.float64], y: float, x: float, wide_y: float, wide_x: float
) -> tuple[float, float]:
    """Return both means over a box about a point; pixel (0, 0) of ``sums`` covers -0.5 to 0.5."""
    y0, y1 = y + 0.5 - 0.5 * wide_y, y + 0.5 + 0.5 * wide_y
    x0, x1 = x + 0.5 - 0.5 * wide_x, x + 0.5 + 0.5 * wide_x
    area = wide_y * wide_x
    value = sum_to(sums[0], y1, x1) - sum_to(sums[0], y0, x1)
    value -= sum_to(sums[0], y1, x0) - sum_to(sums[0], y0, x0)
    other = sum_to(sums[1], y1, x1) - sum_to(sums[1], y0, x1)
    other -= sum_to(sums[1], y1, x0) - sum_to(sums[1], y0, x0)
    return value / area, max(other, 0.0) / area


@numba.njit(cache=True, inline="always")
def _between(
    labels: NDArray[Any], grey: NDArray[np.float32], label: int, y: float, x: float
) -> tuple[float, float]:
    """Return grey value and share of others at a point, bilinear; the border's pixels go on."""
    y0, x0 = int(np.floor(y)), int(np.floor(x))
    value, other = 0.0, 0.0
    for row in range(y0, y0 + 2):
        inner_y = min(max(row, 0), labels.shape[0] - 1)
        for column in range(x0, x0 + 2):
            inner_x = min(max(column, 0), labels.shape[1] - 1)
            weight = (1.0 - abs(y - row)) * (1.0 - abs(x - column))
            value += weight * grey[inner_y, inner_x]
            here = labels[inner_y, inner_x]
            if here != 0 and here != label:
                other += weight
    return value, other
