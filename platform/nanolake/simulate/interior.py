"""What a particle looks like inside: cores, grains, sectors, twins, spots, fringes, a coat.

Each function returns a factor on the particle's absorption, (y, x) float32 of the stamp's shape;
none changes the mask. Coordinates are px from the outline's pole. Random numbers are drawn only
for features that the family asks for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.settings import Family

Single = NDArray[np.float32]
SPOT_RADIUS = (0.02, 0.09)
"""Radii of spots as a fraction of the particle's diameter."""


def interior(
    family: Family, y: Single, x: Single, diameter_px: float, rng: np.random.Generator
) -> Single | None:
    """Return the factor on the absorption for all features but the core; None where none is on."""
    factors = []
    if family.facets:
        factors.append(_sectors(family, y, x, diameter_px, rng))
    if family.twinned > 0.0 and rng.random() < family.twinned:
        factors.append(_twins(family, y, x, diameter_px, rng))
    if family.wedge:
        factors.append(_wedge(family, y, x, diameter_px, rng))
    if family.speckle:
        factors.append(_speckle(family, (y.size, x.size), diameter_px, rng))
    if family.spots:
        factors.append(_spots(family, y, x, diameter_px, rng))
    if family.lattice:
        factors.append(_lattice(family, y, x, rng))
    if not factors:
        return None
    return np.asarray(np.prod(factors, axis=0) if len(factors) > 1 else factors[0], np.float32)


def core_and_shell(family: Family, part_of_core: Single) -> Single:
    """Return 1 within the core (``part_of_core`` below 1) and ``shell`` around it, softly."""
    outside = np.clip((part_of_core - 1.0) * 8.0 + 0.5, 0.0, 1.0)
    return np.asarray(1.0 + np.float32(family.shell - 1.0) * outside, np.float32)


def core_place(family: Family, diameter_px: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return how far (y, x), px, the core lies off the middle."""
    room = 0.5 * diameter_px * (1.0 - family.core) * family.core_shift
    angle, far = rng.uniform(0.0, 2.0 * np.pi), room * np.sqrt(rng.random())
    return float(far * np.sin(angle)), float(far * np.cos(angle))


def coat(family: Family, distance: Single) -> Single:
    """Return the optical depth of the coat outside the outline (``distance`` px, inside > 0)."""
    rise = np.clip(0.5 - distance, 0.0, 1.0)
    fall = np.clip((distance + family.ligand_px) / (0.4 * family.ligand_px) + 0.5, 0.0, 1.0)
    return np.asarray(np.float32(family.ligand) * rise * fall, np.float32)


def _sectors(
    family: Family, y: Single, x: Single, diameter_px: float, rng: np.random.Generator
) -> Single:
    """Wedges about a point near the middle, each with its own diffraction contrast."""
    centre = rng.uniform(-0.12, 0.12, 2) * diameter_px
    edges = np.arange(family.facets) + rng.uniform(-0.25, 0.25, family.facets)
    turn = rng.uniform(0.0, 1.0)
    level = np.exp(family.facet_contrast * rng.standard_normal(family.facets + 1))
    level[-1] = level[0]
    angle = np.arctan2(y - np.float32(centre[0]), x - np.float32(centre[1]))
    place = (angle / np.float32(2.0 * np.pi) + np.float32(turn)) % 1.0
    sector = np.searchsorted(edges / family.facets, place.ravel(), side="right")
    return np.asarray(level[sector].reshape(place.shape), np.float32)


def _twins(
    family: Family, y: Single, x: Single, diameter_px: float, rng: np.random.Generator
) -> Single:
    """One to three straight bands across the particle."""
    angle, number = rng.uniform(0.0, np.pi), int(rng.integers(1, 4))
    edges = np.sort(rng.uniform(-0.5, 0.5, 2 * number)) * diameter_px
    level = np.exp(family.facet_contrast * rng.standard_normal())
    across = x * np.float32(np.sin(angle)) - y * np.float32(np.cos(angle))
    inside = np.searchsorted(edges, across.ravel()) % 2 == 1
    return np.where(inside, np.float32(level), np.float32(1.0)).reshape(across.shape)


def _wedge(
    family: Family, y: Single, x: Single, diameter_px: float, rng: np.random.Generator
) -> Single:
    """A slope of the thickness in a random direction."""
    angle, slope = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.3, 1.0) * family.wedge
    along = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) / diameter_px
    return np.asarray(np.clip(1.0 + slope * along, 0.1, 2.0), np.float32)


def _speckle(
    family: Family, shape: tuple[int, int], diameter_px: float, rng: np.random.Generator
) -> Single:
    """Smooth noise of the grain's size, exponentiated: grains absorb more, gaps less."""
    import cv2

    grain_px = max(family.speckle_grain * diameter_px, 1.0)
    step = max(grain_px / 2.0, 1.0)
    coarse = tuple(int(np.ceil(n / step)) + 2 for n in shape)
    noise = cv2.GaussianBlur(rng.standard_normal(coarse, np.float32), (0, 0), 0.5 * grain_px / step)
    noise = cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    noise *= np.float32(family.speckle / max(float(noise.std()), 1e-6))
    return np.asarray(np.clip(np.exp(noise), 0.1, 4.0), np.float32)


def _lattice(family: Family, y: Single, x: Single, rng: np.random.Generator) -> Single:
    """Straight stripes; a second set close in period and direction beats with them (Moiré)."""
    angle = rng.uniform(0.0, np.pi)
    period = max(family.lattice_px * rng.uniform(0.9, 1.1), 2.0)
    stripes = _stripes(y, x, angle, period, rng)
    if rng.random() < family.crossed:
        turn = rng.uniform(0.02, 0.2) if rng.random() < 0.5 else rng.uniform(0.8, 1.6)
        second = max(period * rng.uniform(0.85, 1.15), 2.0)
        stripes = np.float32(0.6) * (stripes + _stripes(y, x, angle + turn, second, rng))
    strength = family.lattice * rng.uniform(0.2, 1.0)
    return np.asarray(np.maximum(1.0 + np.float32(strength) * stripes, 0.0), np.float32)


def _stripes(y: Single, x: Single, angle: float, period: float, rng: np.random.Generator) -> Single:
    wave = 2.0 * np.pi / period
    along = x * np.float32(wave * np.cos(angle)) + y * np.float32(wave * np.sin(angle))
    return np.asarray(np.cos(along + np.float32(rng.uniform(0.0, 2.0 * np.pi))), np.float32)


def _spots(
    family: Family, y: Single, x: Single, diameter_px: float, rng: np.random.Generator
) -> Single:
    """Small round spots anywhere on the particle; those outside its mask are not seen."""
    import cv2

    layer = np.zeros((y.size, x.size), np.uint8)
    far = 0.5 * diameter_px * np.sqrt(rng.random(family.spots))
    angle = rng.uniform(0.0, 2.0 * np.pi, family.spots)
    radius = np.maximum(rng.uniform(*SPOT_RADIUS, family.spots) * diameter_px, 0.7)
    centre = np.stack([far * np.cos(angle) - x.min(), far * np.sin(angle) - y.min()], axis=1)
    for (spot_x, spot_y), size in zip(np.rint(centre * 16).astype(int), radius, strict=True):
        cv2.circle(layer, (int(spot_x), int(spot_y)), int(size * 16), 255, -1, cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(layer, (0, 0), 0.7).astype(np.float32) / np.float32(255.0)
    return np.asarray(1.0 + np.float32(family.spot_contrast) * soft, np.float32)
