"""How deep each pixel lies inside its own particle, touching neighbours or not."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.distance import distance

Map = NDArray[np.float32]


def own_depth(labels: NDArray[np.integer], *, exact: bool = True) -> Map:
    """Distance (px) of each pixel to the nearest one of another label, 0 on background.

    A particle cut by the picture's edge keeps the depth that it has there. Not ``exact`` is
    several times as fast and off by up to 2 %.
    """
    depth = distance(_apart(labels), exact=exact)
    return np.asarray(np.minimum(depth, float(max(labels.shape)), out=depth))


def deepest(labels: NDArray[np.integer], depth: Map) -> Map:
    """Largest depth of each label, (n + 1,); 0 for the background."""
    size = int(labels.max(initial=0)) + 1
    return np.asarray(_largest(labels.ravel(), depth.ravel(), size), np.float32)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _apart(labels: NDArray[np.integer]) -> Any:
    """1 on particles, but not where the pixel to the right or below belongs to another one."""
    height, width = labels.shape
    apart = np.zeros((height, width), np.uint8)
    for y in range(height):
        here, below, line = labels[y], labels[min(y + 1, height - 1)], apart[y]
        right = here[1:]
        for x in range(width - 1):
            own, a, b = here[x], right[x], below[x]
            line[x] = (own != 0) & ((a == own) | (a == 0)) & ((b == own) | (b == 0))
        own, b = here[width - 1], below[width - 1]
        line[width - 1] = (own != 0) & ((b == own) | (b == 0))
    return apart


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _largest(labels: NDArray[np.integer], depth: Map, size: int) -> Any:
    largest = np.zeros(size, np.float32)
    for index in range(labels.size):
        if depth[index] > largest[labels[index]]:
            largest[labels[index]] = depth[index]
    largest[0] = 0
    return largest
