"""Settings of one random micrograph as any laboratory might have taken it.

The order of choice: polarity, the size of the particles, the stage (`stage_draw`), how particles
lie, what they are and how they look. What the eye could not see is deepened or left out
(`visibility`), so that the truth holds nothing that an expert would not outline.

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
PILED_COVERAGE = (0.05, 0.4)
"""What a coverage is held to in `piled`."""
STAND_OUT = (3.0, 6.0)
"""Least contrast of a particle over noise, a draw for each picture; at 3 it is only just seen."""


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
    families = [f | layout.look for f in _families(layout.shape, typical_px, side_px, rng)]
    arrangement = layout.arrangement
    if any(f["diameter_px"] > 0.9 * side_px * np.sqrt(f["l_ratio"]) for f in families):
        arrangement["keep_inside"] = False
    for family in families:
        family["diameter_nm"] = family.pop("diameter_px") * pixel_size_nm
        family["diameter_sd_nm"] = family["diameter_nm"] * family.pop("diameter_spread")
    return MicrographSettings.build(
        {
            "stand_out": float(rng.uniform(*STAND_OUT)),
            **_sharp_for_lattice(stage, families),
            **layout.stage,
            **arrangement,
            "height_px": side_px,
            "width_px": side_px,
            "pixel_size_nm": pixel_size_nm,
            "polarity": polarity,
            "families": families,
        }
    )


def piled(settings: MicrographSettings, seed: int) -> MicrographSettings:
    """Return the settings with 40 % to all of their particles lying over one another.

    As a drop that dried thick leaves them: everything else stays, also an empty picture. The same
    for the same ``seed``.
    """
    if settings.count == 0:
        return settings
    rng = np.random.default_rng([STREAM, seed, 1])
    values: dict[str, Any] = {
        "arrangement": "clustered" if rng.random() < 0.3 else "random",
        "touching_fraction": 0.0,
        "overlap_fraction": float(rng.uniform(0.4, 1.0)),
        "overlap_depth": float(rng.uniform(0.3, 0.95)),
    }
    if settings.coverage is not None:
        values["coverage"] = float(np.clip(settings.coverage, *PILED_COVERAGE))
    return MicrographSettings.build({**settings.model_dump(), **values})


def _sharp_for_lattice(stage: dict[str, Any], families: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the stage with no more blur than lets lattice fringes, if any, be seen."""
    periods = [family["lattice_px"] for family in families if family.get("lattice")]
    if not periods:
        return stage
    most = 0.22 * min(periods)
    blurs = {name: min(stage[name], most) for name in ("blur_px", "detector_blur_px")}
    return {**stage, **blurs}


def _typical_px(side_px: int, rng: np.random.Generator) -> float:
    low, high = SIZES_PX[int(rng.integers(len(SIZES_PX)))]
    drawn = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return min(drawn, 0.8 * side_px)


def _families(
    shape: str, typical_px: float, side_px: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Return one or two kinds of particles; the second is often smaller: seeds, by-products."""
    sizes = [typical_px]
    if rng.random() < SECOND_FAMILY:
        sizes.append(max(typical_px * float(rng.uniform(0.25, 1.0)), 4.5))
    families = []
    for number, diameter_px in enumerate(sizes):
        family = draw_shape(rng, shape if number == 0 else None, diameter_px, side_px)
        family |= draw_look(rng, family["name"], family["diameter_px"])
        family["weight"] = float(rng.uniform(0.2, 1.0)) if number else 1.0
        families.append(family)
    return families
