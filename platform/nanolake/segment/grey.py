"""Grey values as every method takes them: float32 in 0 … 1, whatever the camera wrote."""

from __future__ import annotations

from typing import Any

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
    low, high = (float(value) for value in np.percentile(sample, [0.5, 99.5]))
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


def _check(array: NDArray[Any]) -> None:
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise PictureError(
            "not_an_image",
            f"pixels of shape {array.shape} and type {array.dtype} are no grey picture; "
            "give a two-dimensional array of real numbers",
        )
    if array.size == 0:
        raise PictureError("empty", f"the picture of shape {array.shape} has no pixels")
