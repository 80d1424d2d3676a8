"""Grey values as every method takes them: float32 in 0 … 1, whatever the camera wrote."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError


def stretched(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Grey values stretched linearly to 0 … 1; extremes far outside the bulk are clipped."""
    array = np.asarray(pixels)
    _check(array)
    least, most = float(array.min()), float(array.max())
    if not np.isfinite([least, most]).all():
        raise PictureError(
            "not_finite", "the picture holds NaN or infinity; replace or crop these pixels first"
        )
    sample = array[::2, ::2] if array.size > 4096 else array
    low, high = _percentiles(sample, (0.5, 99.5))
    if high <= low:
        low, high = least, most
    low, high = max(least, low - 0.25 * (high - low)), min(most, high + 0.25 * (high - low))
    span = high - low
    if span <= 0:
        return np.zeros(array.shape, dtype=np.float32)
    if array.dtype.itemsize > 2:
        array = array.astype(np.float64) - low
        return np.clip(array / span, 0, 1, out=array).astype(np.float32)
    grey = array.astype(np.float32)
    grey -= np.float32(low)
    grey /= np.float32(span)
    return np.clip(grey, 0, 1, out=grey)


def _percentiles(sample: NDArray[Any], percents: tuple[float, ...]) -> list[float]:
    """Return what `numpy.percentile` does; 8 and 16 bit are counted, which sorts them."""
    if sample.dtype.kind != "u" or sample.dtype.itemsize > 2:
        return [float(value) for value in np.percentile(sample, percents)]
    below = np.cumsum(_counts(sample, np.iinfo(sample.dtype).max + 1))
    places = [percent / 100 * (sample.size - 1) for percent in percents]
    return [_between(below, place) for place in places]


def _between(below: NDArray[np.int64], place: float) -> float:
    """Return the value at a place between two of the sorted ones, as numpy interpolates."""
    first = int(place)
    low, high = (int(np.searchsorted(below, first + step, side="right")) for step in (0, 1))
    part = place - first
    if high >= below.size:
        return float(low)
    if part < 0.5:
        return low + (high - low) * part
    return high - (high - low) * (1 - part)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _counts(sample: NDArray[Any], size: int) -> Any:
    counts = np.zeros(size, np.int64)
    for y in range(sample.shape[0]):
        for x in range(sample.shape[1]):
            counts[sample[y, x]] += 1
    return counts


def _check(array: NDArray[Any]) -> None:
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise PictureError(
            "not_an_image",
            f"pixels of shape {array.shape} and type {array.dtype} are no grey picture; "
            "give a two-dimensional array of real numbers",
        )
    if array.size == 0:
        raise PictureError("empty", f"the picture of shape {array.shape} has no pixels")
