"""Holes and shapes of regions in a mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.connected import Pieces, connected, painted

Mask = NDArray[np.bool_]

_SMALL_HOLE = 0.01
_DOUBTFUL_HOLE = 0.05
_LARGEST_HOLE = 2.0
_ROUND_HOLE = 0.9


def disk(radius_px: float) -> NDArray[np.uint8]:
    """Round structuring element of the nearest whole radius."""
    size = 2 * round(radius_px) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def opened(mask: Mask, radius_px: float) -> Mask:
    """Remove what a disk of this radius does not fit into; below 0.5 px nothing is done."""
    if round(radius_px) < 1:
        return mask
    return np.asarray(cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, disk(radius_px))).view(
        bool
    )


def fill_holes(mask: Mask, typical_area_px: float) -> Mask:
    """Fill holes that belong to a particle, leave the gaps between particles open.

    Small holes (under 1 % of the typical particle) are filled, and those over 5 % if they bulge
    outwards as the core of a hollow particle does; the gap between touching particles has sides
    that bend inwards. In between a gap cannot be told from a core by its few pixels and stays
    open; holes larger than two particles stay too.
    """
    gaps = connected(~mask, diagonal=False)
    height, width = mask.shape
    (x, y, w, h), area = gaps.boxes.T, gaps.area
    inner = (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    fill = inner & (area < _SMALL_HOLE * typical_area_px)
    doubtful = inner & (area > _DOUBTFUL_HOLE * typical_area_px)
    doubtful &= area < _LARGEST_HOLE * typical_area_px
    for index in np.flatnonzero(doubtful):
        fill[index] = solidity(gaps.mask_of(index)) > _ROUND_HOLE
    return _filled(mask, gaps, fill) if fill.any() else mask


def _filled(mask: Mask, gaps: Pieces, fill: Mask) -> Mask:
    whole = mask.copy()
    painted(whole, gaps, fill, fill)
    return whole


def solidity(region: Mask) -> float:
    """Area over area of the convex hull of a region's pixels (whole pixels, not centres)."""
    outlines, _ = cv2.findContours(
        region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    hull = cv2.convexHull(np.concatenate(outlines))
    hull_area = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    return float(np.count_nonzero(region) / hull_area)
