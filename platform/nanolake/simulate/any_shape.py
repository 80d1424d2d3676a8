"""Settings of one random micrograph that holds crystals of every shape: what a shape network learns
from.

Stage, optics, camera and print are those of `any_lab`; instead of one or two kinds of particles the
picture holds many, each an owned triple of eq. 1 (`crystal.draw_triples`), so that few pictures
cover the family.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nanolake.errors import SettingsError
from nanolake.simulate.any_lab import draw_settings
from nanolake.simulate.crystal import draw_triples
from nanolake.simulate.settings import MicrographSettings

STREAM = 20260823
"""Keeps these random numbers apart from `any_lab`'s, whatever the seed."""
KINDS = 16
"""Shapes in one picture."""
ACROSS_PX = (12.0, 160.0)
"""Equivalent diameters are log-uniform in here, but stay below `WIDEST` of the side."""
WIDEST = 0.3
LONGEST = 0.8
"""Longest particle relative to the picture's side."""
COVERAGE = (0.06, 0.32)
CROWDED = 0.3
"""Share of pictures in which particles touch, or cover one another in part."""


def draw_shape_settings(
    seed: int, *, side_px: int = 512, paper_share: float = 0.5, most: int = 45
) -> MicrographSettings:
    """Return the settings of one micrograph of many shapes, the same for the same seed.

    ``paper_share`` is `crystal.draw_triples`'s; ``most`` is about how many crystals a picture may
    hold: thousands of small ones would fit, and a set of pictures would be nothing else. The truth
    is known for every particle: there are no polyhedra and no necks. Raises `SettingsError` where
    the seed is negative or the side is under 128 px.
    """
    if side_px < 128:
        raise SettingsError(f"side_px={side_px}: give 128 px or more")
    any_lab = draw_settings(seed, side_px=side_px).model_dump()
    rng = np.random.default_rng([STREAM, seed])
    typical_px = _typical_px(rng, side_px)
    families = _families(rng, any_lab, typical_px, side_px, paper_share)
    return MicrographSettings.build(
        {
            **any_lab,
            "families": families,
            **_arrangement(rng, most_covered=most * np.pi / 4.0 * (typical_px / side_px) ** 2),
            "supports": _open(any_lab),
        }
    )


def _typical_px(rng: np.random.Generator, side_px: int) -> float:
    low, high = np.log(ACROSS_PX[0]), np.log(min(ACROSS_PX[1], WIDEST * side_px))
    return float(np.exp(rng.uniform(low, high)))


def _families(
    rng: np.random.Generator,
    any_lab: dict[str, Any],
    typical_px: float,
    side_px: int,
    paper_share: float,
) -> list[dict[str, Any]]:
    """Return `KINDS` families: shapes of their own, the looks of the picture's first family."""
    look = any_lab["families"][0]
    kept = ("profile", "contrast", "contrast_sd", "bend_contours", "twinned", "wedge", "soft")
    shared = {name: look[name] for name in kept}
    triples = draw_triples(rng, KINDS, paper_share=paper_share)
    families = []
    for number in range(KINDS):
        l_ratio = float(max(triples.l_ratio[number], 0.1))
        longest_px = LONGEST * side_px * np.sqrt(l_ratio) / 1.3
        diameter_px = min(typical_px * float(np.exp(rng.normal(0.0, 0.25))), longest_px)
        diameter_nm = max(diameter_px, 10.0) * any_lab["pixel_size_nm"]
        families.append(
            {
                **shared,
                "name": f"shape {number}",
                "p": float(triples.p[number]),
                "p_sd": 0.0,
                "d": int(triples.d[number]),
                "l_ratio": l_ratio,
                "l_ratio_sd": 0.0,
                "diameter_nm": diameter_nm,
                "diameter_sd_nm": 0.1 * diameter_nm,
                "roughness": float(rng.choice([0.0, 0.01, 0.02], p=[0.6, 0.25, 0.15])),
            }
        )
    return families


def _arrangement(rng: np.random.Generator, most_covered: float) -> dict[str, Any]:
    crowded = rng.random() < CROWDED
    return {
        "count": None,
        "coverage": float(min(rng.uniform(*COVERAGE), most_covered)),
        "arrangement": str(rng.choice(["random", "clustered", "touching"], p=[0.6, 0.2, 0.2])),
        "touching_fraction": float(rng.uniform(0.1, 0.5)) if crowded else 0.0,
        "overlap_fraction": float(rng.uniform(0.0, 0.3)) if crowded else 0.0,
        "overlap_depth": 0.2,
        "gap_px": float(rng.uniform(1.0, 4.0)),
        "keep_inside": True,
        "on_support": False,
    }


def _open(any_lab: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the picture's supports but for carriers, on which small crystals are lost."""
    return [s for s in any_lab["supports"] if s["kind"] not in _CARRIERS]


_CARRIERS = ("grains", "clumps", "granular", "graphite", "sheets")
