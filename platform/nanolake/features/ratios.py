"""Division that gives NaN, not a warning, where there is nothing to divide by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ratio(over: ArrayLike, under: ArrayLike) -> NDArray[np.float64]:
    """Return ``over / under``, NaN where ``under`` is 0.

    >>> ratio([1.0, 0.0], [2.0, 0.0]).tolist()
    [0.5, nan]
    """
    top, bottom = np.broadcast_arrays(np.asarray(over, float), np.asarray(under, float))
    result = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom != 0)
    return result
