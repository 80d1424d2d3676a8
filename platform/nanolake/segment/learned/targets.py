"""What the network is to learn of a labelled picture, map by map; and how much."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanolake.segment.learned.depth import deepest, own_depth
from nanolake.segment.learned.model import MOST_FURTHER

_TYPICAL_RADIUS_PX = 12.0
_LEAST_WEIGHT, _MOST_WEIGHT = 0.5, 4.0
_RESOLVED_RADIUS_PX = 1.6
_UNRESOLVED_WEIGHT = 0.2
_PER_PX = 4.0


def training_maps(
    labels: NDArray[np.integer],
    printed: NDArray[np.bool_],
    layers: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Return the maps (y, x, 5) uint8 that a picture with these labels should give.

    ``layers``: how many particles lie over each pixel; None: nothing overlaps.

    0: 255 on particles; 1: 255 on print; 2: distance to the particle's own outline over the
    largest one in that particle, 0 … 255, so that touching particles are parted by a valley and
    each has one summit; 3: further particles over the pixel (``layers`` less 1) in thirds of 255;
    4: the largest distance itself, in quarters of a px (at most 63 px).
    A particle cut by the picture's edge keeps the depth it has there.
    """
    depth = own_depth(labels)
    radius = deepest(labels, depth)
    maps = np.zeros((*labels.shape, 5), np.uint8)
    maps[..., 0] = np.where(labels > 0, 255, 0)
    maps[..., 1] = np.where(printed, 255, 0)
    maps[..., 2] = np.rint(255.0 * depth / np.maximum(radius, 1e-6)[labels])
    if layers is not None:
        further = np.clip(layers, 1, 1 + MOST_FURTHER) - 1
        maps[..., 3] = np.where(labels > 0, 255 // MOST_FURTHER * further, 0)
    maps[..., 4] = np.minimum(np.rint(_PER_PX * radius), 255)[labels]
    return maps


def loss_weights(radius: NDArray[np.uint8], zoom: float) -> NDArray[np.float32]:
    """Return each pixel's weight in the loss, from the last map and the crop's zoom.

    A particle's pixels weigh the more, the thinner it is, since a small particle counts as much
    as a large one; hardly anything where it is too small to be seen at this zoom. Background: 1.
    """
    radius_px = radius.astype(np.float32) * np.float32(zoom / _PER_PX)
    weights = _TYPICAL_RADIUS_PX / np.maximum(radius_px, 1.0)
    weights = np.clip(weights, _LEAST_WEIGHT, _MOST_WEIGHT)
    weights[radius_px < _RESOLVED_RADIUS_PX] = _UNRESOLVED_WEIGHT
    weights[radius == 0] = 1.0
    return np.asarray(weights, np.float32)
