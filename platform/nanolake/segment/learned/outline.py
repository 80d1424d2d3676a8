"""The learned method's outlines, put where each particle's own edge is.

The network weighs small particles up in its training, so that it does not miss them, and draws
them half a pixel too large in the radius, much as people do (hand-drawn outlines lie outside the
visible edge, too). Where a blurred edge came from can be fitted (`nanolake.segment.edges`): on
simulated pictures of one kind of particle that is right to 2 % down to 10 px; on mixtures of balls
and plates, which get one common profile, single outlines are worse than the network's.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.edges import place_edges
from nanolake.segment.instances import areas_of, typical_area

Grey = NDArray[np.float32]
Labels = NDArray[np.int32]

_REDUCED = 4
_SIGMA_PX = 20.0
_LEAST_SHARE = 0.02
_OFF_BY_PX = 1.0
_SMOOTHING = 0.025


def fitted_edges(labels: Labels, grey: Grey, polarity: str) -> Labels:
    """Move the free outline of each label (y, x) to its fitted edge; numbers stay."""
    if not labels.any():
        return labels
    bright = grey if polarity == "bright" else 1 - grey
    diameter_px = float(np.sqrt(4 / np.pi * typical_area(areas_of(labels))))
    sigma_px = max(_OFF_BY_PX, _SMOOTHING * diameter_px)
    return place_edges(labels, bright, background(bright, labels), sigma_px)


def background(grey: Grey, labels: Labels) -> Grey:
    """Return the grey level beside the particles, (y, x), smoothed over about 20 px.

    Where there is no background near by: the median of what there is.
    """
    height, width = grey.shape
    size = max(1, width // _REDUCED), max(1, height // _REDUCED)
    free = (labels == 0).astype(np.float32)
    share = cv2.resize(free, size, interpolation=cv2.INTER_AREA)
    level = cv2.resize(grey * free, size, interpolation=cv2.INTER_AREA)
    sigma = _SIGMA_PX / _REDUCED
    share, level = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (share, level))
    known = share > _LEAST_SHARE
    level = np.divide(level, share, where=known, out=np.zeros_like(level))
    level[~known] = np.median(level[known]) if known.any() else 0.0
    return np.asarray(cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR))
