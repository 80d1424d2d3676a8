"""The one entrance to segmentation, and the register of its methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.records import Segmentation
from nanolake.segment.settings import SegmentSettings
from nanolake.segment.threshold import threshold
from nanolake.segment.williamson2022 import williamson2022

Method = Callable[[NDArray[np.float32], SegmentSettings], Segmentation]

METHODS: Mapping[str, Method] = MappingProxyType(
    {"threshold": threshold, "williamson2022": williamson2022}
)
"""Name in the settings to function of grey values (y, x) float32 in 0 … 1."""

_DEFAULTS = SegmentSettings()


def segment(pixels: NDArray[Any], settings: SegmentSettings = _DEFAULTS) -> Segmentation:
    """Find the particles in one picture.

    Parameters
    ----------
    pixels
        (y, x), any integer or float type, any range; origin top left. Not changed.
    settings
        Which method, and what is taken out.

    Returns
    -------
    Segmentation
        Labels uint16 (uint32 above 65,535 particles), 1 … n without gaps in raster order of
        each particle's first pixel; what was taken out is counted by reason. A picture without
        particles, a constant one too, gives zero labels. No ``confidence`` is given by the
        classical methods.

    Raises
    ------
    PictureError
        ``not_an_image`` unless two-dimensional and real, ``empty`` without pixels,
        ``not_finite`` with NaN or infinity.

    Notes
    -----
    An affine change of the grey values (another bit depth, another unit) changes nothing but
    rounding. Overlapping particles are parted along a line; hidden parts are not guessed.
    """
    return METHODS[settings.method](_grey(pixels), settings)


def _grey(pixels: NDArray[Any]) -> NDArray[np.float32]:
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
