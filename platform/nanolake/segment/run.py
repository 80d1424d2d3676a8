"""The one entrance to segmentation, and the register of its methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.records import Segmentation
from nanolake.segment.grey import stretched
from nanolake.segment.learned.learned import learned
from nanolake.segment.settings import SegmentSettings
from nanolake.segment.threshold import threshold
from nanolake.segment.williamson2022 import williamson2022

Method = Callable[[NDArray[np.float32], SegmentSettings], Segmentation]

METHODS: Mapping[str, Method] = MappingProxyType(
    {"learned": learned, "threshold": threshold, "williamson2022": williamson2022}
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
        particles, a constant one too, gives zero labels. The classical methods give neither
        ``confidence`` nor ``overlap``.

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
    return METHODS[settings.method](stretched(pixels), settings)


def weights_id(settings: SegmentSettings) -> str | None:
    """Return the id of the weights that these settings use, None for a method without any.

    Raises `ModelError` where the file is missing or is no segmentation network.
    """
    if settings.method != "learned":
        return None
    from nanolake.segment.learned import load_model

    return load_model(settings.weights).model_id
