"""The last step: each outline is put where the particle's own edge is.

The level that finds particles is one for the whole picture, low and smoothed; it is good for
finding them and too generous for measuring them. Here each particle gets a level of its own,
between its own inside and the background beside it (`nanolake.segment.edge_fit`), on the least
smoothed picture that the noise allows. Only a narrow band along the free outline changes; the
line between touching particles stays where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.edge_fit import EdgeFit, Profiles, fit_edges

Grey = NDArray[np.float32]
Labels = NDArray[np.int32]

_SIGMAS_PX = (0.6, 0.9, 1.3, 1.9, 2.7, 4.0)
_QUIET = 6.0
_FARTHEST = 0.6


def place_edges(labels: Labels, bright: Grey, background: Grey, sigma_px: float) -> Labels:
    """Move the free outline of each label to where the particle's blurred edge came from.

    Parameters
    ----------
    labels
        (y, x) int32, 0 is background, 1 … n particles, touching ones parted.
    bright
        (y, x) the picture, particles bright; not smoothed.
    background
        (y, x) level of the empty background on the same scale.
    sigma_px
        Width of the Gaussian with which the labels were found: how far off they may be.

    Returns
    -------
    (y, x) int32 with the same numbers. An outline whose edge cannot be made out (no contrast, too
    few pixels) stays.
    """
    if not labels.any():
        return labels
    reach = int(np.ceil(7 + 3 * sigma_px))
    band = Band.around(labels, reach)
    values = _least_smoothed(bright, background, labels, sigma_px).ravel()[band.place]
    fit = fit_edges(_profiles(labels, band, values, reach), sigma_px + 3)
    return _redrawn(labels, band, values, fit, _FARTHEST * reach)


def _least_smoothed(bright: Grey, background: Grey, labels: Labels, sigma_px: float) -> Grey:
    """Height above the background, smoothed until noise is a sixth of the particles' contrast."""
    step = max(3, max(labels.shape) // 512)
    thin = (slice(None, None, step), slice(None, None, step))
    inside = labels[thin] > 0
    for sigma in _SIGMAS_PX:
        relief = cv2.GaussianBlur(bright, (0, 0), sigma)
        values = relief[thin] - background[thin]
        contrast = float(np.median(values[inside])) if inside.any() else 0.0
        below = values[values < 0]
        noise = 1.4826 * float(np.median(-below)) if below.size else 0.0
        if sigma >= sigma_px or noise * _QUIET < contrast:
            break
    return np.asarray(cv2.subtract(relief, background, dst=relief))


@dataclass(frozen=True, kw_only=True)
class Band:
    """The pixels near a free outline: where each is, whose, and how deep inside."""

    place: NDArray[np.int64]
    """(m,) flat index of the pixel."""
    label: Labels
    """(m,) the label it belongs to, or the nearest one."""
    depth: NDArray[np.float32]
    """(m,) distance (px) to the outline, above 0 inside."""

    @classmethod
    def around(cls, labels: Labels, reach: int) -> Band:
        """All pixels within ``reach`` px of the outline of labels (y, x)."""
        empty = (labels == 0).view(np.uint8)
        outside, nearest = cv2.distanceTransformWithLabels(
            empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        depth = cv2.distanceTransform(1 - empty, cv2.DIST_L2, cv2.DIST_MASK_5)
        cv2.subtract(depth, outside, dst=depth)
        place = np.flatnonzero(cv2.inRange(depth, -float(reach), float(reach)))
        filled = empty.ravel() == 0
        owner = np.zeros(int(np.count_nonzero(filled)) + 1, np.int32)
        owner[nearest.ravel()[filled]] = labels.ravel()[filled]
        deep = depth.ravel()[place]
        return cls(
            place=place,
            label=owner[nearest.ravel()[place]],
            depth=deep - np.copysign(np.float32(0.5), deep),
        )


def _profiles(labels: Labels, band: Band, values: Grey, reach: int) -> Profiles:
    """Mean depth and height of each label in steps of 1 px of depth; row 0 is no particle."""
    area = np.maximum(np.bincount(labels.ravel()), 1).astype(float)
    shape = (area.size, 2 * reach)
    step = np.clip(np.floor(band.depth).astype(np.int64) + reach, 0, shape[1] - 1)
    cell = band.label * np.int64(shape[1]) + step
    weight = np.bincount(cell, minlength=shape[0] * shape[1])
    depth, height = (
        np.bincount(cell, v, minlength=weight.size) / np.maximum(weight, 1)
        for v in (band.depth, values)
    )
    return Profiles(
        depth=depth.reshape(shape),
        height=height.reshape(shape),
        weight=weight.reshape(shape).astype(float),
        area=area,
    )


def _redrawn(labels: Labels, band: Band, values: Grey, fit: EdgeFit, farthest_px: float) -> Labels:
    """Cut the band at each label's level, near its edge only, and smooth away single pixels."""
    known = np.isfinite(fit.misfit) & (np.abs(fit.offset_px) < farthest_px)
    offset = np.where(known, fit.offset_px, 0).astype(np.float32)[band.label]
    level = np.where(known, fit.level, np.nan).astype(np.float32)[band.label]
    from_edge = band.depth - offset
    width = 2 * fit.blur_px + 1
    inside = (from_edge > width) | ((from_edge > -width) & (values > level))
    mask = (labels > 0).view(np.uint8)
    mask.ravel()[band.place] = np.where(known[band.label], inside, band.depth > 0)
    drawn = labels.copy()
    drawn.ravel()[band.place] = band.label
    drawn[cv2.medianBlur(mask, 3) == 0] = 0
    return drawn
