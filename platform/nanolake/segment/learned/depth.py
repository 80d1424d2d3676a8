"""How deep each pixel lies inside its own particle, touching neighbours or not."""

from __future__ import annotations

from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def own_depth(labels: NDArray[np.integer]) -> Map:
    """Distance (px) of each pixel to the nearest one of another label, 0 on background.

    A particle cut by the picture's edge keeps the depth that it has there.
    """
    inside = labels > 0
    inside &= ~_meets_another(labels)
    depth = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.minimum(depth, float(max(labels.shape))), np.float32)


def deepest(labels: NDArray[np.integer], depth: Map) -> Map:
    """Largest depth of each label, (n + 1,); 0 for the background."""
    return np.asarray(_largest(labels.ravel(), depth.ravel()), np.float32)


def share_of_deepest(labels: NDArray[np.integer], depth: Map) -> Map:
    """Depth over the largest depth in the same particle, 0 … 1."""
    most = np.maximum(deepest(labels, depth), np.float32(1e-6))
    return np.asarray(depth / most[labels], np.float32)


def _meets_another(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the pixel to the right or below belongs to another particle."""
    meets = np.zeros(labels.shape, bool)
    meets[:, :-1] |= (labels[:, 1:] > 0) & (labels[:, 1:] != labels[:, :-1])
    meets[:-1] |= (labels[1:] > 0) & (labels[1:] != labels[:-1])
    return meets


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _largest(labels: NDArray[np.integer], depth: Map) -> Any:
    largest = np.zeros(labels.max() + 1, np.float32)
    for index in range(labels.size):
        if depth[index] > largest[labels[index]]:
            largest[labels[index]] = depth[index]
    largest[0] = 0
    return largest
