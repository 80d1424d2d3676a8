"""Outlines that crystals have, drawn at random for `any_lab`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator

SHARES = {
    "sphere": 0.28,
    "rod": 0.17,
    "polyhedron": 0.15,
    "cube": 0.10,
    "triangle": 0.06,
    "hexagon": 0.06,
    "shard": 0.05,
    "pebble": 0.05,
    "any": 0.04,
    "dumbbell": 0.03,
    "star": 0.01,
}
ROUND = ("sphere", "pebble", "polyhedron", "shard", "hexagon")
"""Shapes about as long as wide, for which jammed discs are a fair picture."""
POLYHEDRA = (
    "cube",
    "tetrahedron",
    "octahedron",
    "truncated_octahedron",
    "cuboctahedron",
    "icosahedron",
    "decahedron",
)
BALLS = ("sphere", "pebble", "dumbbell")
LONGEST = 1.3
"""Longest particle relative to the picture's side: some wires cross it."""


def choose_shape(rng: Rng) -> str:
    """Return the name of a shape, by `SHARES`."""
    shares = np.array(list(SHARES.values()))
    return str(rng.choice(list(SHARES), p=shares / shares.sum()))


def draw_shape(rng: Rng, shape: str | None, diameter_px: float, side_px: int) -> dict[str, Any]:
    """Return the fields of a `Family` that say its outline and sizes, sizes still in px.

    ``diameter_px`` is lowered where the particle would be longer than the picture allows;
    ``diameter_spread`` is the relative standard deviation.
    """
    shape = choose_shape(rng) if shape is None else shape
    family = {"name": shape, "p_sd": float(rng.uniform(0.02, 0.2)), **_SHAPES[shape](rng)}
    family["l_ratio_sd"] = float(rng.uniform(0.0, 0.08)) * (family["l_ratio"] < 1.0)
    longest = LONGEST * side_px * np.sqrt(family["l_ratio"])
    family["diameter_px"] = float(max(min(diameter_px, longest), 4.0))
    family["diameter_spread"] = float(rng.choice([0.03, 0.07, 0.12, 0.2, 0.35], p=_SPREADS))
    if "roughness" not in family and diameter_px > 10.0 and rng.random() < 0.4:
        family |= _rough(rng, diameter_px, smooth=shape not in BALLS)
    return family


_SPREADS = (0.25, 0.3, 0.25, 0.13, 0.07)


def _rough(rng: Rng, diameter_px: float, smooth: bool) -> dict[str, Any]:
    """Unevenness of bumps over about 4 px; crystals are even, balls may be raspberries."""
    most = int(np.clip(np.pi * diameter_px / 8.0, 4, 12 if smooth else 60))
    highest = round(float(np.exp(rng.uniform(np.log(3.0), np.log(most)))))
    least, largest = (
        (0.004, 0.02) if smooth else (0.005, float(np.clip(0.25 / highest, 0.008, 0.04)))
    )
    return {"roughness": float(rng.uniform(least, largest)), "roughness_order": highest}


def _sphere(rng: Rng) -> dict[str, Any]:
    round_one = rng.random() < 0.6
    return {
        "p": 2.0,
        "d": 2,
        "l_ratio": 1.0 if round_one else float(rng.uniform(0.75, 0.99)),
        "profile": "dome" if rng.random() < 0.7 else "flat",
    }


def _rod(rng: Rng) -> dict[str, Any]:
    return {
        "p": float(rng.uniform(2.2, 9.0)),
        "d": 2,
        "l_ratio": float(np.exp(rng.uniform(np.log(0.1), np.log(0.6)))),
        "profile": str(rng.choice(["dome", "flat", "faceted"])),
    }


def _cube(rng: Rng) -> dict[str, Any]:
    return {
        "p": float(np.exp(rng.uniform(np.log(3.5), np.log(14.0)))),
        "d": 2,
        "l_ratio": float(rng.uniform(0.8, 1.0)),
        "profile": "flat" if rng.random() < 0.6 else "faceted",
    }


def _triangle(rng: Rng) -> dict[str, Any]:
    return {
        "p": float(rng.uniform(1.6, 3.2)),
        "d": 3,
        "l_ratio": float(rng.uniform(0.45, 0.7)),
        "profile": "flat" if rng.random() < 0.6 else "faceted",
    }


def _hexagon(rng: Rng) -> dict[str, Any]:
    return {
        "p": float(rng.uniform(1.5, 2.5)),
        "d": 6,
        "l_ratio": float(rng.uniform(0.84, 0.93)),
        "profile": "flat" if rng.random() < 0.6 else "faceted",
    }


def _polyhedron(rng: Rng) -> dict[str, Any]:
    return {"p": 2.0, "d": 2, "l_ratio": 1.0, "solid": str(rng.choice(POLYHEDRA))}


def _shard(rng: Rng) -> dict[str, Any]:
    return {"p": 2.0, "d": 2, "l_ratio": 1.0, "solid": "shard"}


def _pebble(rng: Rng) -> dict[str, Any]:
    return {
        "p": float(rng.uniform(2.0, 3.0)),
        "d": 2,
        "l_ratio": float(rng.uniform(0.6, 1.0)),
        "profile": "dome" if rng.random() < 0.6 else "flat",
        "roughness": float(rng.uniform(0.04, 0.14)),
        "roughness_order": int(rng.integers(3, 6)),
    }


def _any(rng: Rng) -> dict[str, Any]:
    return {
        "p": float(np.exp(rng.uniform(np.log(1.7), np.log(11.0)))),
        "d": int(rng.integers(1, 7)),
        "l_ratio": float(rng.uniform(0.45, 1.0)),
        "profile": str(rng.choice(["dome", "flat", "faceted"])),
    }


def _dumbbell(rng: Rng) -> dict[str, Any]:
    return {
        "p": float(rng.uniform(2.0, 3.5)),
        "d": 2,
        "l_ratio": float(rng.uniform(0.4, 0.7)),
        "profile": "dome" if rng.random() < 0.6 else "flat",
        "waist": float(rng.uniform(0.1, 0.5)),
    }


def _star(rng: Rng) -> dict[str, Any]:
    return {
        "p": float(rng.uniform(0.6, 0.9)),
        "d": 2,
        "l_ratio": float(rng.uniform(0.7, 1.0)),
        "profile": "flat",
    }


_SHAPES: dict[str, Callable[[Rng], dict[str, Any]]] = {
    "sphere": _sphere,
    "rod": _rod,
    "polyhedron": _polyhedron,
    "cube": _cube,
    "triangle": _triangle,
    "hexagon": _hexagon,
    "shard": _shard,
    "pebble": _pebble,
    "any": _any,
    "dumbbell": _dumbbell,
    "star": _star,
}
