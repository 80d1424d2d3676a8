"""The last step: each outline is put where the particle's own edge is.

The level that finds particles is one for the whole picture, low and smoothed; it is good for
finding them and too generous for measuring them. Here each particle gets a level of its own,
between its own inside and the background beside it (`nanolake.segment.edge_fit`), on the least
smoothed picture that the noise allows. Only a narrow band along the free outline changes; the
line between touching particles stays where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.edge_fit import EdgeFit, Profiles, fit_edges
from nanolake.segment.instances import areas_of
from nanolake.segment.threads import at_once

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
    band, relief = at_once(
        lambda: Band.around(labels, reach),
        lambda: _least_smoothed(bright, background, labels, sigma_px),
        px=labels.size,
    )
    values = relief.ravel()[band.place]
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
        middle, rows = labels.shape[0] // 2, labels.shape[0]
        halves = at_once(
            lambda: _near_outline(labels, 0, middle, reach),
            lambda: _near_outline(labels, middle, rows, reach),
            px=labels.size,
        )
        place, label, depth = (np.concatenate(parts) for parts in zip(*halves, strict=True))
        return cls(place=place, label=label, depth=depth)


def _near_outline(labels: Labels, first: int, last: int, reach: int) -> Any:
    """Place, owner and signed depth of the pixels of some rows.

    A distance of at most ``reach`` is known from that many rows around: they are looked at, too.
    """
    top = max(0, first - reach - 2)
    part = np.ascontiguousarray(labels[top : last + reach + 2])
    empty = (part == 0).view(np.uint8)
    outside, nearest = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = cv2.distanceTransform(1 - empty, cv2.DIST_L2, cv2.DIST_MASK_5)
    owner = _owners(part.ravel(), nearest.ravel())
    own = slice(first - top, last - top)
    place, label, depth = _within(
        inside[own].ravel(), outside[own].ravel(), nearest[own].ravel(), owner, np.float32(reach)
    )
    place += first * labels.shape[1]
    return place, label, depth


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _owners(labels: Labels, nearest: Labels) -> Any:
    """The label of each filled pixel, by the number that the distance transform gave it."""
    owner = np.zeros(nearest.max() + 1, np.int32)
    for index in range(labels.size):
        if labels[index]:
            owner[nearest[index]] = labels[index]
    return owner


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _within(inside: Grey, outside: Grey, nearest: Labels, owner: Labels, reach: np.float32) -> Any:
    """Place, owner and signed depth of the pixels within ``reach`` of the outline."""
    total = 0
    for index in range(inside.size):
        total += abs(inside[index] - outside[index]) <= reach
    place = np.empty(total, np.int64)
    label = np.empty(total, np.int32)
    depth = np.empty(total, np.float32)
    row = 0
    for index in range(inside.size):
        deep = inside[index] - outside[index]
        if abs(deep) <= reach:
            place[row], label[row] = index, owner[nearest[index]]
            depth[row] = deep - np.float32(0.5) if deep >= 0 else deep + np.float32(0.5)
            row += 1
    return place, label, depth


def _profiles(labels: Labels, band: Band, values: Grey, reach: int) -> Profiles:
    """Mean depth and height of each label in steps of 1 px of depth; row 0 is no particle."""
    area = np.maximum(areas_of(labels), 1).astype(float)
    weight, depth, height = _summed(band.label, band.depth, values, area.size, reach)
    many = np.maximum(weight, 1)
    return Profiles(depth=depth / many, height=height / many, weight=weight, area=area)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _summed(label: Labels, depth: Grey, values: Grey, count: int, reach: int) -> Any:
    """Number of pixels and sums of depth and value, (3, count, 2 reach) by label and depth."""
    sums = np.zeros((3, count, 2 * reach))
    for row in range(label.size):
        step = min(max(int(np.floor(depth[row])) + reach, 0), 2 * reach - 1)
        sums[0, label[row], step] += 1
        sums[1, label[row], step] += depth[row]
        sums[2, label[row], step] += values[row]
    return sums


def _redrawn(labels: Labels, band: Band, values: Grey, fit: EdgeFit, farthest_px: float) -> Labels:
    """Cut the band at each label's level, near its edge only, and smooth away single pixels."""
    known = np.isfinite(fit.misfit) & (np.abs(fit.offset_px) < farthest_px)
    offset = np.where(known, fit.offset_px, 0).astype(np.float32)
    level = np.where(known, fit.level, np.nan).astype(np.float32)
    width = np.float32(2 * fit.blur_px + 1)
    mask = (labels > 0).view(np.uint8)
    drawn = labels.copy()
    _cut(drawn.ravel(), mask.ravel(), band.place, band.label, band.depth, values,
         known, offset, level, width)  # fmt: skip
    return np.asarray(cv2.copyTo(drawn, cv2.medianBlur(mask, 3)))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cut(
    drawn: Labels,
    mask: NDArray[np.uint8],
    place: NDArray[np.int64],
    label: Labels,
    depth: Grey,
    values: Grey,
    known: NDArray[np.bool_],
    offset: Grey,
    level: Grey,
    width: np.float32,
) -> None:
    """Write the band's owners to ``drawn``, and to ``mask`` (both flat) which pixels are inside.

    ``known``, ``offset`` and ``level`` are by label; where nothing is known the outline stays.
    """
    for row in range(place.size):
        owner = label[row]
        drawn[place[row]] = owner
        from_edge = depth[row] - offset[owner]
        inside = from_edge > width or (from_edge > -width and values[row] > level[owner])
        mask[place[row]] = inside if known[owner] else depth[row] > 0
