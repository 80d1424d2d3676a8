"""One particle in its own bounding box: which pixels it covers and how thick it is there.

A pixel belongs to the particle when its centre lies inside the outline, so that the expected
pixel count is the outline's area. The optical depth fades over the one pixel that the outline
crosses. Pixel centres have whole coordinates, (0, 0) is the centre of the top left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.interior import coat, core_and_shell, core_place, interior
from nanolake.simulate.noise import smooth
from nanolake.simulate.settings import Family
from nanolake.simulate.solids import Solid, silhouette, thickness, turned_solid
from nanolake.simulate.superellipse import radius

TABLE = 1440
"""Directions in which the outline is tabulated: under 1 px of arc up to 400 px across."""

EDGE_OF_SOLID = np.float32(0.15)
"""Thickness of a polyhedron's rim relative to its thickest point: edges are never knives."""

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
    table = _outline_table(p, d, l_ratio, phi, diameter_px, family, rng)
    r, offset = table.radius, table.centroid
    centroid = rng.uniform(-0.5, 0.5, 2)
    origin = centroid - offset
    blur_px = rng.uniform(0.0, family.soft) * diameter_px if family.soft else 0.0
    room = gap_px + (family.ligand_px if family.ligand else 0.0) + 2.5 * blur_px
    half = int(np.ceil(r.max() + np.abs(origin).max() + room)) + 2
    y = np.arange(-half, half + 1, dtype=np.float32)[:, None] - np.float32(origin[0])
    x = np.arange(-half, half + 1, dtype=np.float32)[None, :] - np.float32(origin[1])
    part, distance = _inside(r, y, x)
    mask = part <= 1.0
    absorption = _absorption(table, y, x, part, distance, diameter_px, family, rng)
    return Stamp(
        mask=mask,
        reserve=_grow(mask, gap_px),
        depth=smooth(_coated(np.float32(depth) * absorption, distance, family), blur_px),
        half=half,
        centroid_y=float(centroid[0]),
        centroid_x=float(centroid[1]),
        reach=float(r.max() + np.hypot(*offset)),
    )


@dataclass(frozen=True)
class _Outline:
    """R in px at TABLE directions, the centroid (y, x) relative to the pole, the body if any."""

    radius: Single
    centroid: NDArray[np.float64]
    body: Solid | None
    scale: float
    """Pixels to a unit of the body."""


def _outline_table(
    p: float,
    d: int,
    l_ratio: float,
    phi: float,
    diameter_px: float,
    family: Family,
    rng: np.random.Generator,
) -> _Outline:
    """Return the outline scaled to the area of a disc of ``diameter_px``.

    Only d = 1, polyhedra and uneven outlines have their centroid off the pole.
    """
    theta = np.linspace(0.0, 2.0 * np.pi, TABLE, endpoint=False)
    body = None if family.solid == "outline" else turned_solid(family.solid, rng)
    r = radius(theta, p, d, l_ratio, phi) if body is None else silhouette(body, theta)
    if family.waist:
        r = r * (1.0 - family.waist * np.exp(-((np.cos(0.5 * d * (theta + phi)) / 0.35) ** 2)))
    if family.roughness:
        r = r * _uneven(family, rng)
    step = theta[1]
    scale = np.sqrt(np.pi / 4.0 * diameter_px**2 / (0.5 * step * np.sum(r**2)))
    r = r * scale
    area = 0.5 * step * np.sum(r**2)
    moments = np.array([np.sum(r**3 * np.sin(theta)), np.sum(r**3 * np.cos(theta))])
    centroid = np.asarray(moments * step / 3.0 / area, np.float64)
    return _Outline(r.astype(np.float32), centroid, body, float(scale))


def _uneven(family: Family, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the factor on the radius: 1 and a sum of waves of random phase, sd ``roughness``.

    Few waves (pebbles) start at two bumps around; many (raspberries) leave out the slow ones.
    """
    highest = family.roughness_order
    lowest = 2 if highest < 10 else highest // 3
    spectrum = np.zeros(TABLE // 2 + 1, complex)
    waves = rng.standard_normal((2, highest - lowest + 1))
    spectrum[lowest : highest + 1] = waves[0] + 1j * waves[1]
    wave = np.fft.irfft(spectrum, TABLE)
    return np.asarray(np.maximum(1.0 + family.roughness * wave / wave.std(), 0.3))


def _absorption(
    table: _Outline,
    y: Single,
    x: Single,
    part: Single,
    distance: Single,
    diameter_px: float,
    family: Family,
    rng: np.random.Generator,
) -> Single:
    """Return the absorption relative to that of the thickest point, 0 outside the outline."""
    profile = _profile(part, family) if table.body is None else _solid_profile(table, y, x)
    thickness = profile * np.clip(distance + 0.5, 0.0, 1.0)
    if family.bend_contours > rng.random():
        thickness *= _bend_contour(y, x, 0.5 * diameter_px, rng)
    inner = interior(family, y, x, diameter_px, rng)
    if inner is not None:
        thickness *= inner
    if family.core:
        shift_y, shift_x = core_place(family, diameter_px, rng)
        shifted, _ = _inside(table.radius, y - np.float32(shift_y), x - np.float32(shift_x))
        thickness *= core_and_shell(family, shifted / np.float32(family.core))
    return np.asarray(thickness, np.float32)


def _solid_profile(table: _Outline, y: Single, x: Single) -> Single:
    assert table.body is not None
    unit = np.float32(1.0 / table.scale)
    path = thickness(table.body, y * unit, x * unit)
    path *= (1.0 - EDGE_OF_SOLID) / max(float(path.max()), 1e-6)
    return np.asarray(path + EDGE_OF_SOLID, np.float32)


def _coated(depth: Single, distance: Single, family: Family) -> Single:
    if family.ligand:
        depth = depth + coat(family, distance)
    return depth.astype(np.float32)


def _inside(r: Single, y: Single, x: Single) -> tuple[Single, Single]:
    """Return r / R(theta) (1 on the outline) and the distance to the outline, px, inside > 0.

    The distance is exact to first order near the outline, which is where it is used.
    """
    following, before = np.append(r[1:], r[:1]), np.append(r[-1:], r[:-1])
    slope = (following - before) * np.float32(TABLE / (4.0 * np.pi))
    normal = r / np.sqrt(1.0 + (slope / r) ** 2)
    place = np.arctan2(y, x) * np.float32(TABLE / (2.0 * np.pi)) + np.float32(TABLE)
    low = place.astype(np.int32)
    rest = place - low
    low = low % TABLE
    outline = r[low] + rest * (following - r)[low]
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
