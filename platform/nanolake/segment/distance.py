"""The distance transform, in two halves at once where a second core is free."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.threads import at_once

_COMMON_PX = 128
"""Rows that a half looks at beyond its own: distances up to this are those of the whole."""
_LEAST_PX = 8 * _COMMON_PX


def distance(mask: NDArray[np.uint8], *, exact: bool) -> NDArray[np.float32]:
    """Distance (px) of each pixel above 0 to the nearest 0, very large where there is none.

    Not ``exact`` (Borgefors 1986, 5 x 5) is about ten times as fast and off by up to 2 %. One row
    counts at least 1 in it, so a half with so many rows more knows each distance up to their
    number. Where one is larger, the picture is gone through as a whole: the result is the same.
    """
    kind = cv2.DIST_MASK_PRECISE if exact else cv2.DIST_MASK_5
    rows = mask.shape[0]
    if not exact and min(rows, mask.shape[1]) >= _LEAST_PX and cv2.getNumThreads() > 1:
        middle = rows // 2
        above, below = at_once(
            lambda: _transformed(mask[: middle + _COMMON_PX], kind)[:middle],
            lambda: _transformed(mask[middle - _COMMON_PX :], kind)[_COMMON_PX:],
        )
        if max(above.max(), below.max()) <= _COMMON_PX:
            return np.concatenate([above, below])
    return _transformed(mask, kind)


def _transformed(mask: NDArray[np.uint8], kind: int) -> NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, kind), np.float32)
