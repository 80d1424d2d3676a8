"""Settings of one random micrograph as any laboratory might have taken it.

The order of choice: polarity, the size of the particles, the stage (`stage_draw`), the faintest
contrast that is still seen on that stage, the kinds of particles, how they lie. What the eye could
not see is not drawn, so that the truth holds nothing that an expert would not outline.

Shares are judged from what is published (about a third of pictures hold particles below 25 px, a
third above 80 px; most are spheres, rods, cubes and polyhedra), not fitted to any data set.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nanolake.errors import SettingsError
from nanolake.simulate.layouts import draw_layout
from nanolake.simulate.looks import draw_look
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.shapes import draw_shape
from nanolake.simulate.stage_draw import draw_stage

STREAM = 20260822
"""Keeps the settings' random numbers apart from the picture's own, whatever the seed."""
HAADF_SHARE = 0.35
SIZES_PX = ((5.0, 25.0), (25.0, 80.0), (80.0, 400.0))
"""Diameters are log-uniform within a band; each band holds a third of the pictures."""
SECOND_FAMILY = 0.25
SEEN = 6.0
"""A particle is seen when its contrast is this many times the noise over its area (Rose)."""
LOCAL_PX2 = 150.0
"""Area over which the eye averages noise: a larger particle must show in each part of its rim."""


def draw_settings(seed: int, *, side_px: int = 512) -> MicrographSettings:
    """Return the settings of one random square micrograph, the same for the same seed.

    Diameters run from 5 to 400 px but stay below 0.85 of ``side_px``.

    Raises
    ------
    SettingsError
        The seed is negative or the side is under 64 px.
    """
    if seed < 0 or side_px < 64:
        raise SettingsError(f"seed={seed}, side_px={side_px}: give a seed from 0 and 64 px or more")
    rng = np.random.default_rng([STREAM, seed])
    polarity = "bright" if rng.random() < HAADF_SHARE else "dark"
    typical_px = _typical_px(side_px, rng)
    stage = draw_stage(rng, polarity=polarity, typical_px=typical_px, side_px=side_px)
    layout = draw_layout(rng, polarity=polarity, typical_px=typical_px, side_px=side_px)
    stage["supports"] = (*stage.get("supports", ()), *layout.supports)
    pixel_size_nm = float(np.exp(rng.uniform(np.log(0.05), np.log(2.0))))
    families = _families(layout.shape, typical_px, side_px, stage, polarity, rng)
    for family in families:
        family["diameter_nm"] = family.pop("diameter_px") * pixel_size_nm
        family["diameter_sd_nm"] = family["diameter_nm"] * family.pop("diameter_spread")
    return MicrographSettings.build(
        {
            **stage,
            **layout.arrangement,
            "height_px": side_px,
            "width_px": side_px,
            "pixel_size_nm": pixel_size_nm,
            "polarity": polarity,
            "families": families,
        }
    )


def faintest_contrast(stage: dict[str, Any], polarity: str, diameter_px: float) -> float:
    """Return the least fraction of the beam that a particle must take out to be seen by eye.

    Noise, the film's grain and the unevenness of what lies below are counted over the particle's
    area, but never over more than ``LOCAL_PX2``; grain counts once for each of its own patches.
    """
    known = MicrographSettings.build({"polarity": polarity, **stage})
    carbon = 1.0 if polarity == "dark" else 1.0 / 3.0
    level = np.exp(-known.film_depth) if polarity == "dark" else 0.03 + known.film_depth / 3.0
    area = min(0.4 * diameter_px**2, LOCAL_PX2)
    electrons = known.dose * level * max(area / known.enlarged**2, 1.0)
    noise = level * np.sqrt(1.0 + known.readout_sd**2 / (known.dose * level)) / np.sqrt(electrons)
    patch = (3.0 * known.film_grain_px) ** 2 * known.film_texture**2
    patch += (0.6 * known.film_speckle_px) ** 2 * known.film_speckle**2
    grain = carbon * np.sqrt(patch / max(area, 1.0))
    below = 0.08 * carbon * max((s.depth for s in known.supports), default=0.0)
    uneven = 0.5 * carbon * known.film_mottle + min(below, 0.06)
    step = SEEN * np.hypot(noise / (level if polarity == "dark" else 1.0), 0.5 * grain) + uneven
    return float(np.clip(1.3 * step, 0.05, 0.85))


def _typical_px(side_px: int, rng: np.random.Generator) -> float:
    low, high = SIZES_PX[int(rng.integers(len(SIZES_PX)))]
    drawn = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return min(drawn, 0.8 * side_px)


def _families(
    shape: str | None,
    typical_px: float,
    side_px: int,
    stage: dict[str, Any],
    polarity: str,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Return one or two kinds of particles; the second is often smaller: seeds, by-products."""
    sizes = [typical_px]
    if rng.random() < SECOND_FAMILY:
        sizes.append(max(typical_px * float(rng.uniform(0.25, 1.0)), 4.5))
    families = []
    for number, diameter_px in enumerate(sizes):
        faintest = faintest_contrast(stage, polarity, 0.8 * diameter_px)
        family = draw_shape(rng, shape if number == 0 else None, diameter_px, side_px)
        family |= draw_look(rng, family["name"], family["diameter_px"], faintest)
        family["weight"] = float(rng.uniform(0.2, 1.0)) if number else 1.0
        families.append(family)
    return families
