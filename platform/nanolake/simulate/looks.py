"""How particles absorb and what shows inside them, drawn at random for `any_lab`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nanolake.simulate.shapes import BALLS

Rng = np.random.Generator

INNER_FROM_PX = 14.0
"""Smaller particles show nothing inside."""
TEXTURED_FROM_PX = 70.0
TEXTURED_SHARE = 0.3
"""Part of the larger particles that are vesicles, cells, mesoporous or metal-loaded bodies."""


def draw_look(rng: Rng, shape: str, diameter_px: float) -> dict[str, Any]:
    """Return the fields of a `Family` that say its absorption and its inside."""
    look = _contrast(rng)
    if diameter_px < INNER_FROM_PX:
        return look
    if diameter_px > TEXTURED_FROM_PX and rng.random() < TEXTURED_SHARE:
        look |= _textured(rng)
    else:
        look |= _inner_of_ball(rng, diameter_px) if shape in BALLS else _inner_of_crystal(rng)
    if rng.random() < (0.22 if diameter_px > 60.0 else 0.1):
        look |= draw_lattice(rng)
    if rng.random() < 0.08:
        look |= _coat(rng, diameter_px, look["contrast"])
    return look


def draw_lattice(rng: Rng) -> dict[str, Any]:
    """Return the fields of lattice fringes, from hardly there to plain."""
    return {
        "lattice": float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))),
        "lattice_px": float(np.exp(rng.uniform(np.log(2.2), np.log(8.0)))),
        "crossed": float(rng.choice([0.0, 0.3, 0.9])),
    }


def _contrast(rng: Rng) -> dict[str, Any]:
    """A quarter faint, a third nearly opaque; neighbours differ little or a lot (diffraction)."""
    low, high = ((0.1, 0.35), (0.3, 0.7), (0.7, 0.97))[int(rng.choice(3, p=[0.25, 0.42, 0.33]))]
    spread = rng.uniform(0.03, 0.2) if rng.random() < 0.6 else rng.uniform(0.2, 0.5)
    return {"contrast": float(rng.uniform(low, high)), "contrast_sd": float(spread)}


def _inner_of_ball(rng: Rng, diameter_px: float) -> dict[str, Any]:
    kinds: list[Callable[[Rng], dict[str, Any]]]
    kinds = [_plain, _core, _hollow, _grainy, _spotted, _polycrystal, _sloped]
    kind = kinds[int(rng.choice(len(kinds), p=[0.42, 0.12, 0.12, 0.14, 0.06, 0.08, 0.06]))]
    look = kind(rng)
    if diameter_px > 60.0 and rng.random() < 0.25:
        look |= {"speckle": float(rng.uniform(0.05, 0.25)), **_grain(rng)}
    return look


def _inner_of_crystal(rng: Rng) -> dict[str, Any]:
    kinds: list[Callable[[Rng], dict[str, Any]]]
    kinds = [_plain, _polycrystal, _twinned, _bent, _sloped, _core, _grainy]
    kind = kinds[int(rng.choice(len(kinds), p=[0.36, 0.14, 0.14, 0.15, 0.09, 0.05, 0.07]))]
    return kind(rng)


def _plain(rng: Rng) -> dict[str, Any]:
    return {}


def _core(rng: Rng) -> dict[str, Any]:
    return {
        "core": float(rng.uniform(0.2, 0.8)),
        "shell": float(rng.uniform(0.3, 0.8)),
        "core_shift": float(rng.uniform(0.0, 1.0) * (rng.random() < 0.4)),
    }


def _hollow(rng: Rng) -> dict[str, Any]:
    return {"hollow": float(rng.uniform(0.4, 0.92)), "profile": "dome"}


def _grain(rng: Rng) -> dict[str, Any]:
    return {"speckle_grain": float(np.exp(rng.uniform(np.log(0.01), np.log(0.12))))}


def _grainy(rng: Rng) -> dict[str, Any]:
    return {"speckle": float(rng.uniform(0.15, 0.6)), **_grain(rng)}


def _textured(rng: Rng) -> dict[str, Any]:
    """A body of many greys that is one particle all the same: dark grains in a pale envelope."""
    look: dict[str, Any] = {}
    kind = str(rng.choice(["grains", "core", "grains in a core", "coarse"]))
    if "core" in kind:
        look = {"core": float(rng.uniform(0.35, 0.85)), "shell": float(rng.uniform(0.15, 0.5)),
                "core_shift": float(rng.uniform(0.0, 1.0))}  # fmt: skip
    if "grains" in kind:
        look |= {"spots": int(rng.integers(15, 200)),
                 "spot_contrast": float(rng.uniform(0.5, 3.0))}  # fmt: skip
    grain = (0.04, 0.2) if kind == "coarse" else (0.01, 0.08)
    look |= {
        "speckle": float(rng.uniform(0.3, 0.8) if kind == "coarse" else rng.uniform(0.05, 0.5)),
        "speckle_grain": float(np.exp(rng.uniform(*np.log(grain)))),
    }
    faint = {"contrast": float(rng.uniform(0.15, 0.5))} if "grains" in kind else {}
    return {**look, **faint, "wedge": float(rng.uniform(0.0, 0.6))}


def _spotted(rng: Rng) -> dict[str, Any]:
    dark = rng.random() < 0.7
    return {
        "spots": int(rng.integers(2, 40)),
        "spot_contrast": float(rng.uniform(0.3, 2.0) if dark else rng.uniform(-0.6, -0.2)),
    }


def _polycrystal(rng: Rng) -> dict[str, Any]:
    return {"facets": int(rng.integers(2, 8)), "facet_contrast": float(rng.uniform(0.1, 0.45))}


def _twinned(rng: Rng) -> dict[str, Any]:
    share = float(rng.uniform(0.2, 1.0))
    return {"twinned": share, "facet_contrast": float(rng.uniform(0.15, 0.5))}


def _bent(rng: Rng) -> dict[str, Any]:
    return {"bend_contours": float(rng.uniform(0.3, 1.0))}


def _sloped(rng: Rng) -> dict[str, Any]:
    return {"wedge": float(rng.uniform(0.3, 1.0))}


def _coat(rng: Rng, diameter_px: float, contrast: float) -> dict[str, Any]:
    """A thin coat, at most a quarter as deep as the particle."""
    deep = -np.log1p(-contrast)
    return {
        "ligand": float(min(rng.uniform(0.05, 0.25) * deep, 0.12)),
        "ligand_px": float(np.clip(rng.uniform(0.04, 0.15) * diameter_px, 1.5, 16.0)),
    }
