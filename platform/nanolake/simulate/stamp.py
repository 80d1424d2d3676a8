"""One particle in its own bounding box: which pixels it covers and how thick it is there.

A pixel belongs to the particle when its centre lies inside the outline, so that the expected
pixel count is the outline's area. The optical depth fades over the one pixel that the outline
crosses. Pixel centres have whole coordinates, (0, 0) is the centre of the top left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.settings import Family
from nanolake.simulate.superellipse import radius

TABLE = 1440
"""Directions in which the outline is tabulated: under 1 px of arc up to 400 px across."""

Single = NDArray[np.float32]


@dataclass(frozen=True)
class Stamp:
    """A particle about its anchor, the pixel (half, half) of each array (2 half + 1 square)."""

    mask: NDArray[np.bool_]
    reserve: NDArray[np.uint8]
    """``mask`` grown by the least gap to a neighbour; 1 inside."""
    depth: Single
    half: int
    centroid_y: float
    """Centroid of the outline relative to the anchor, px."""
    centroid_x: float
    reach: float
    """Largest distance of the outline from its centroid, px."""


def make_stamp(
    p: float,
    d: int,
    l_ratio: float,
    phi: float,
    diameter_px: float,
    depth: float,
    family: Family,
    rng: np.random.Generator,
    gap_px: float = 0.0,
) -> Stamp:
    """Draw one particle with a random sub-pixel offset; ``depth`` is that of its thickest point.

    >>> stamp = make_stamp(2, 2, 1.0, 0.0, 40.0, 1.0, Family(), np.random.default_rng(0))
    >>> bool(abs(stamp.mask.sum() / (3.14159 * 20**2) - 1) < 0.01)
    True
    """
    r, offset = _outline_table(p, d, l_ratio, phi, diameter_px)
    centroid = rng.uniform(-0.5, 0.5, 2)
    origin = centroid - offset
    half = int(np.ceil(r.max() + np.abs(origin).max() + gap_px)) + 2
    y = np.arange(-half, half + 1, dtype=np.float32)[:, None] - np.float32(origin[0])
    x = np.arange(-half, half + 1, dtype=np.float32)[None, :] - np.float32(origin[1])
    part, distance = _inside(r, y, x)
    mask = part <= 1.0
    thickness = _profile(part, family) * np.clip(distance + 0.5, 0.0, 1.0)
    if family.bend_contours > rng.random():
        thickness *= _bend_contour(y, x, 0.5 * diameter_px, rng)
    return Stamp(
        mask=mask,
        reserve=_grow(mask, gap_px),
        depth=(np.float32(depth) * thickness).astype(np.float32),
        half=half,
        centroid_y=float(centroid[0]),
        centroid_x=float(centroid[1]),
        reach=float(r.max() + np.hypot(*offset)),
    )


def _outline_table(
    p: float, d: int, l_ratio: float, phi: float, diameter_px: float
) -> tuple[Single, NDArray[np.float64]]:
    """Return R in px at TABLE directions and the centroid (y, x) relative to the pole.

    Only d = 1 has its centroid off the pole.
    """
    theta = np.linspace(0.0, 2.0 * np.pi, TABLE, endpoint=False)
    r = radius(theta, p, d, l_ratio, phi)
    step = theta[1]
    r = r * np.sqrt(np.pi / 4.0 * diameter_px**2 / (0.5 * step * np.sum(r**2)))
    area = 0.5 * step * np.sum(r**2)
    moments = np.array([np.sum(r**3 * np.sin(theta)), np.sum(r**3 * np.cos(theta))])
    return r.astype(np.float32), np.asarray(moments * step / 3.0 / area, np.float64)


def _inside(r: Single, y: Single, x: Single) -> tuple[Single, Single]:
    """Return r / R(theta) (1 on the outline) and the distance to the outline, px, inside > 0.

    The distance is exact to first order near the outline, which is where it is used.
    """
    slope = (np.roll(r, -1) - np.roll(r, 1)) * np.float32(TABLE / (4.0 * np.pi))
    normal = r / np.sqrt(1.0 + (slope / r) ** 2)
    place = np.arctan2(y, x) * np.float32(TABLE / (2.0 * np.pi)) + np.float32(TABLE)
    low = place.astype(np.int32)
    rest = place - low
    low = low % TABLE
    outline = r[low] + rest * (np.roll(r, -1) - r)[low]
    part = np.sqrt(x * x + y * y) / outline
    distance = (1.0 - part) * normal[low]
    return np.asarray(part, np.float32), np.asarray(distance, np.float32)


def _profile(part: Single, family: Family) -> Single:
    inner = np.minimum(part, 1.0)
    if family.profile == "dome":
        thickness = np.sqrt(1.0 - inner * inner)
    elif family.profile == "faceted":
        thickness = np.minimum(1.0, 0.5 + 2.0 * (1.0 - inner))
    else:
        thickness = np.ones_like(inner)
    if family.hollow:
        core = np.minimum(inner / family.hollow, 1.0)
        thickness = thickness - family.hollow * np.sqrt(1.0 - core * core)
    return np.asarray(thickness, np.float32)


def _bend_contour(y: Single, x: Single, scale: float, rng: np.random.Generator) -> Single:
    """Return the factor by which a curved dark or bright band changes the absorption."""
    angle, place, bow = rng.uniform([0.0, -0.5, -0.5], [np.pi, 0.5, 0.5])
    along = (x * np.cos(angle) + y * np.sin(angle)) / scale
    across = (y * np.cos(angle) - x * np.sin(angle)) / scale
    width, strength = rng.uniform(0.1, 0.25), rng.uniform(-0.35, 0.7)
    band = np.exp(-(((across - place - bow * along**2) / width) ** 2))
    return np.asarray(1.0 + strength * band, np.float32)


def _grow(mask: NDArray[np.bool_], gap_px: float) -> NDArray[np.uint8]:
    import cv2

    plain = mask.astype(np.uint8)
    if gap_px < 1.0:
        return plain
    side = 2 * int(gap_px) + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(plain, disk))
