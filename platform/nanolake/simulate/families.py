"""Drawing particles from their families: outline parameters, sizes, absorption."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import SettingsError
from nanolake.simulate.settings import Family, MicrographSettings
from nanolake.simulate.superellipse import canonical

Floats = NDArray[np.float64]
DEFAULT_COVERAGE = 0.15
LABEL_MAX = 65535
"""Particles that a uint16 label map can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Parameters of n particles, each field (n,): everything but where they lie."""

    family: NDArray[np.int64]
    p: Floats
    d: NDArray[np.int64]
    l_ratio: Floats
    phi_rad: Floats
    diameter_px: Floats
    depth: Floats
    """Optical depth at the thickest point."""


def draw_particles(settings: MicrographSettings, rng: np.random.Generator) -> Draws:
    """Draw as many particles as the settings ask for, in canonical parameters.

    Where centres may lie outside the frame (``keep_inside`` false) proportionally more are drawn.
    """
    diameters_px = np.array([f.diameter_nm for f in settings.families]) / settings.pixel_size_nm
    shares = np.array([f.weight for f in settings.families])
    shares = shares / shares.sum()
    number = _number(settings, float(np.sum(shares * np.pi / 4.0 * diameters_px**2)))
    family = rng.choice(len(shares), size=number, p=shares)
    p, d, l_ratio = _outlines(settings.families, family, rng)
    diameter_nm = _diameters_nm(settings.families, family, rng)
    return Draws(
        family=family,
        p=p,
        d=d,
        l_ratio=l_ratio,
        phi_rad=rng.uniform(0.0, 2.0 * np.pi, number),
        diameter_px=diameter_nm / settings.pixel_size_nm,
        depth=_depths(settings.families, family, diameter_nm, rng),
    )


def recorded(settings: MicrographSettings, draws: Draws) -> Draws:
    """Return what the truth may say: p and l_ratio NaN and d 0 where eq. 1 is not the outline."""
    other = np.array([f.solid != "outline" or f.waist > 0.0 for f in settings.families])
    unknown = other[draws.family]
    return replace(
        draws,
        p=np.where(unknown, np.nan, draws.p),
        d=np.where(unknown, 0, draws.d),
        l_ratio=np.where(unknown, np.nan, draws.l_ratio),
    )


def margin_px(settings: MicrographSettings) -> float:
    """Return how far outside the frame a particle's centre may lie: the largest mean radius."""
    if settings.keep_inside:
        return 0.0
    return 0.5 * max(f.diameter_nm for f in settings.families) / settings.pixel_size_nm


def lognormal(
    mean: Floats, sd: Floats, rng: np.random.Generator, size: tuple[int, ...] | None = None
) -> Floats:
    """Draw lognormal values of the given arithmetic mean and standard deviation."""
    variance = np.log1p((sd / mean) ** 2)
    return rng.lognormal(np.log(mean) - variance / 2.0, np.sqrt(variance), size)


def _number(settings: MicrographSettings, mean_area_px2: float) -> int:
    height, width = settings.height_px, settings.width_px
    margin = margin_px(settings)
    enlarged = (height + 2 * margin) * (width + 2 * margin) / (height * width)
    if settings.count is not None:
        number = round(settings.count * enlarged)
    else:
        coverage = DEFAULT_COVERAGE if settings.coverage is None else settings.coverage
        number = round(coverage * height * width / mean_area_px2 * enlarged)
    if number > LABEL_MAX:
        raise SettingsError(
            f"count={settings.count}, coverage={settings.coverage} make {number} particles; a "
            f"uint16 label map holds {LABEL_MAX}: ask for fewer or larger particles"
        )
    return number


def _of(families: tuple[Family, ...], name: str, family: NDArray[np.int64]) -> Floats:
    return np.array([getattr(f, name) for f in families], float)[family]


def _outlines(
    families: tuple[Family, ...], family: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64], Floats]:
    noise = rng.standard_normal((2, family.size))
    p = _of(families, "p", family) * np.exp(_of(families, "p_sd", family) * noise[0])
    ratio = _of(families, "l_ratio", family) + _of(families, "l_ratio_sd", family) * noise[1]
    ratio = np.clip(np.minimum(ratio, 1.0 / np.maximum(ratio, 0.1)), 0.1, 1.0)
    return canonical(np.clip(p, 0.4, 70.0), _of(families, "d", family).astype(np.int64), ratio)


def _diameters_nm(
    families: tuple[Family, ...], family: NDArray[np.int64], rng: np.random.Generator
) -> Floats:
    return lognormal(
        _of(families, "diameter_nm", family), _of(families, "diameter_sd_nm", family), rng
    )


def _depths(
    families: tuple[Family, ...],
    family: NDArray[np.int64],
    diameter_nm: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Beer-Lambert: the depth goes with the thickness, and the thickness with the diameter."""
    mean_depth = -np.log1p(-_of(families, "contrast", family))
    spread = np.exp(_of(families, "contrast_sd", family) * rng.standard_normal(family.size))
    return np.asarray(mean_depth * diameter_nm / _of(families, "diameter_nm", family) * spread)
