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

from nanolake.shape.crops import CROP_PX, FILL, check, cut, geometry_of, labelled

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


def maps_of(
    labels: NDArray[Any],
    pixels: NDArray[Any] | None,
    wanted: NDArray[Any],
    *,
    size: int = CROP_PX,
    pixel_aspect: float = 1.0,
) -> NDArray[np.float32]:
    """Return the maps (n, 3, size, size) of the particles with a ``wanted`` label, ascending.

    The others of ``labels`` are seen around them. Takes and raises as `cut` and `cut_maps`.
    """
    masks = cut(labels, size=size, pixel_aspect=pixel_aspect)
    chosen = np.isin(labelled(labels)[0], wanted)
    return cut_maps(labels, pixels, masks, pixel_aspect=pixel_aspect)[chosen]


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
    """Fill both maps: bilinear where a crop pixel is below a picture's pixel, else box means."""
    size = grey_maps.shape[1]
    height, width = labels.shape
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
        # As in `crops.cut`: one box of the variances of a bilinear blur and of an area mean.
        rows = _places(cy - top, step_y, size, reduced)
        columns = _places(cx - left, step_x, size, reduced)
        across = np.empty((2, bottom - top, size))
        line = np.empty((2, right - left + 1))
        for row in range(top, bottom):
            y = min(max(row, 0), height - 1)
            for column in range(left, right):
                x = min(max(column, 0), width - 1)
                line[0, column - left] = grey[y, x]
                line[1, column - left] = labels[y, x] != 0 and labels[y, x] != ids[i]
            for which in range(2):
                _resample(line[which], right - left, columns, reduced, across[which, row - top])
        gain = 0.5 / (inside - outside)
        line = np.empty((2, bottom - top + 1))
        down = np.empty((2, size))
        for column in range(size):
            for which in range(2):
                line[which, : bottom - top] = across[which, :, column]
                _resample(line[which], bottom - top, rows, reduced, down[which])
            for row in range(size):
                value = 0.25 + (down[0, row] - outside) * gain
                grey_maps[i, row, column] = min(max(value, 0.0), 1.0)
                other_maps[i, row, column] = min(max(down[1, row], 0.0), 1.0)


@numba.njit(cache=True)
def _places(middle: float, step: float, size: int, reduced: bool) -> NDArray[np.float64]:
    """Return (2, size): where the box of each crop pixel begins and ends, or its point (bilinear).

    Boxes are in corners of the window's pixels, points in their middles.
    """
    places = np.empty((2, size))
    half = 0.5 * np.sqrt(step**2 + 1.0) - 0.5
    for n in range(size):
        point = middle + (n + 0.5 - 0.5 * size) * step
        places[0, n] = point - half if reduced else point
        places[1, n] = point + half + 1.0
    return places


@numba.njit(cache=True)
def _resample(
    line: NDArray[np.float64],
    length: int,
    places: NDArray[np.float64],
    reduced: bool,
    out: NDArray[np.float64],
) -> None:
    """Resample one line of ``length`` values; box sums are differences of running sums."""
    if reduced:
        total = 0.0
        for n in range(length):
            value = line[n]
            line[n] = total
            total += value
        line[length] = total
    for n in range(out.size):
        low = int(places[0, n])
        share = places[0, n] - low
        first = (1.0 - share) * line[low] + share * line[low + 1]
        if reduced:
            high = int(places[1, n])
            share = places[1, n] - high
            last = (1.0 - share) * line[high] + share * line[min(high + 1, length)]
            out[n] = (last - first) / (places[1, n] - places[0, n])
        else:
            out[n] = first


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
