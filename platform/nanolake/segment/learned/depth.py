"""How deep each pixel lies inside its own particle, touching neighbours or not."""

from __future__ import annotations

from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def own_depth(labels: NDArray[np.integer], *, exact: bool = True) -> Map:
    """Distance (px) of each pixel to the nearest one of another label, 0 on background.

    A particle cut by the picture's edge keeps the depth that it has there. Not ``exact`` is
    several times as fast and off by up to 2 %.
    """
    apart = _apart(labels)
    kind = cv2.DIST_MASK_PRECISE if exact else cv2.DIST_MASK_5
    depth = cv2.distanceTransform(apart, cv2.DIST_L2, kind)
    return np.asarray(np.minimum(depth, float(max(labels.shape)), out=depth), np.float32)


def deepest(labels: NDArray[np.integer], depth: Map) -> Map:
    """Largest depth of each label, (n + 1,); 0 for the background."""
    return np.asarray(_largest(labels.ravel(), depth.ravel()), np.float32)


def share_of_deepest(labels: NDArray[np.integer], depth: Map) -> Map:
    """Depth over the largest depth in the same particle, 0 … 1."""
    most = np.maximum(deepest(labels, depth), np.float32(1e-6))
    return np.asarray(depth / most[labels], np.float32)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _apart(labels: NDArray[np.integer]) -> Any:
    """1 on particles, but not where the pixel to the right or below belongs to another one."""
    height, width = labels.shape
    apart = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            right = labels[y, x + 1] if x + 1 < width else label
            below = labels[y + 1, x] if y + 1 < height else label
            apart[y, x] = (right == label or right == 0) and (below == label or below == 0)
    return apart


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _largest(labels: NDArray[np.integer], depth: Map) -> Any:
    largest = np.zeros(labels.max() + 1, np.float32)
    for index in range(labels.size):
        if depth[index] > largest[labels[index]]:
            largest[labels[index]] = depth[index]
    largest[0] = 0
    return largest
