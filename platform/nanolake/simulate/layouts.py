"""How particles lie and how many there are, drawn at random for `any_lab`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nanolake.simulate.looks import draw_lattice
from nanolake.simulate.shapes import ROUND, choose_shape
from nanolake.simulate.stage_settings import Support

Rng = np.random.Generator

EMPTY_SHARE = 0.03
MOST = 300
"""Most particles asked for; `DOTS` of them where they are under 9 px."""
DOTS = 500
FEW_FROM = 0.3
"""A particle wider than this part of the picture has few neighbours in it."""
CATALYST_BELOW_PX = 40.0
CATALYST_SHARE = {"bright": 0.74, "dark": 0.22}
"""Of the pictures of particles below that size; makes about 18 % of all."""
CARRIERS = {
    "bright": {"grains": 0.6, "clumps": 0.15, "granular": 0.15, "sheets": 0.1},
    "dark": {"graphite": 0.4, "grains": 0.25, "clumps": 0.1, "granular": 0.15, "sheets": 0.1},
}
"""``grains``: a cloud of rounded grains a few times larger than the particles on it."""
LAYOUTS = {
    "apart": 0.34,
    "clustered": 0.12,
    "touching": 0.12,
    "lattice": 0.14,
    "jammed": 0.10,
    "chain": 0.05,
    "half_overlapping": 0.08,
    "piled": 0.05,
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Shape of the commonest particles, fields of `MicrographSettings`, carriers to add."""

    shape: str
    arrangement: dict[str, Any]
    supports: tuple[Support, ...] = ()
    stage: dict[str, Any] = field(default_factory=dict)
    """Fields of the stage that the layout decides."""
    look: dict[str, Any] = field(default_factory=dict)
    """Fields of every `Family` that the layout decides."""


def draw_layout(rng: Rng, *, polarity: str, typical_px: float, side_px: int) -> Layout:
    """Return what shape the particles have, how they lie, how many are asked for."""
    shape = choose_shape(rng)
    if rng.random() < EMPTY_SHARE:
        return Layout(shape=shape, arrangement={"count": 0})
    if typical_px > FEW_FROM * side_px:
        return Layout(shape=shape, arrangement=_few(rng, typical_px / side_px))
    if typical_px < CATALYST_BELOW_PX and rng.random() < CATALYST_SHARE[polarity]:
        return _catalyst(rng, polarity, typical_px, side_px)
    kind = str(rng.choice(list(LAYOUTS), p=np.array(list(LAYOUTS.values()))))
    if kind == "jammed" and shape not in ROUND:
        kind = "touching"
    values = _arranged(rng, kind, shape)
    coverage = _affordable(values.pop("coverage"), typical_px, side_px)
    return Layout(shape=shape, arrangement={**values, "coverage": coverage})


def _arranged(rng: Rng, kind: str, shape: str) -> dict[str, Any]:
    """Return arrangement and coverage of one of `LAYOUTS`."""
    uniform = rng.uniform
    gap = {"gap_px": float(uniform(1.0, 4.0)), "touching_fraction": float(uniform(0.0, 0.3))}
    if kind == "apart":
        return {**gap, "coverage": float(uniform(0.02, 0.3) if rng.random() < 0.8 else 0.4)}
    if kind == "clustered":
        clusters = int(rng.integers(1, 6))
        return {**gap, "arrangement": "clustered", "cluster_count": clusters,
                "coverage": float(uniform(0.04, 0.3))}  # fmt: skip
    if kind in ("touching", "chain"):
        return {"arrangement": kind, "cluster_count": int(rng.integers(1, 7)),
                "overlap_fraction": float(uniform(0.0, 0.2)), "overlap_depth": 0.15,
                "coverage": float(uniform(0.03, 0.4 if kind == "touching" else 0.2))}  # fmt: skip
    if kind == "lattice":
        islands = int(rng.integers(4, 30)) if shape == "rod" else int(rng.integers(1, 4))
        return {"arrangement": "close_packed", "cluster_count": islands,
                "gap_px": float(uniform(0.0, 2.5)),
                "coverage": float(uniform(0.15, 0.85))}  # fmt: skip
    if kind == "jammed":
        return {"arrangement": "jammed", "cluster_count": int(rng.integers(1, 5)),
                "gap_px": float(uniform(0.0, 1.5)),
                "coverage": float(uniform(0.15, 0.75))}  # fmt: skip
    deep = kind == "piled"
    return {"overlap_fraction": float(uniform(0.6, 1.0) if deep else uniform(0.2, 0.7)),
            "overlap_depth": float(uniform(0.6, 0.9) if deep else uniform(0.15, 0.5)),
            "arrangement": "clustered" if rng.random() < 0.3 else "random",
            "coverage": float(uniform(0.03, 0.3))}  # fmt: skip


def _affordable(coverage: float, typical_px: float, side_px: int) -> float:
    """Lower the coverage to `MOST` particles; raise it to two."""
    each = 0.25 * np.pi * typical_px**2 / side_px**2
    most = (DOTS if typical_px < 9.0 else MOST) * each * (side_px / 512.0) ** 2
    return float(np.clip(coverage, 2.0 * each, max(most, 2.0 * each)))


def _few(rng: Rng, relative: float) -> dict[str, Any]:
    """One to a few large particles, alone, touching or overlapping, often cut by the border."""
    if rng.random() < 0.35:
        return {"count": 1, "keep_inside": bool(relative < 0.75 and rng.random() < 0.8)}
    most = max(2, round(0.5 / relative**2))
    return {
        "count": int(rng.integers(1, most + 1)),
        "touching_fraction": float(rng.choice([0.1, 0.6, 1.0])),
        "overlap_fraction": float(rng.choice([0.0, 0.2, 0.7], p=[0.6, 0.25, 0.15])),
        "overlap_depth": float(rng.uniform(0.1, 0.5)),
    }


def _catalyst(rng: Rng, polarity: str, typical_px: float, side_px: int) -> Layout:
    """Small particles on a thick uneven carrier; in HAADF the carrier is bright too."""
    number = float(np.exp(rng.uniform(np.log(12.0), np.log(600.0)))) * (side_px / 512.0) ** 2
    coverage = min(number * 0.25 * np.pi * typical_px**2 / side_px**2, 0.3)
    kinds = CARRIERS[polarity]
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    shape = str(rng.choice(["sphere", "pebble", "polyhedron", "hexagon"], p=[0.5, 0.2, 0.2, 0.1]))
    arrangement = {
        "on_support": bool(rng.random() < 0.9),
        "gap_px": float(rng.uniform(0.0, 3.0)),
        "touching_fraction": float(rng.uniform(0.0, 0.4)),
        "overlap_fraction": float(rng.choice([0.0, 0.1, 0.35])),
        "overlap_depth": float(rng.uniform(0.1, 0.7)),
        "coverage": _affordable(coverage, typical_px, side_px),
    }
    return Layout(
        shape=shape,
        arrangement=arrangement,
        supports=_carriers(rng, kind, polarity, typical_px),
        stage=_stage_of_catalyst(rng, polarity, typical_px),
        look=_dots(rng, typical_px),
    )


def _carriers(rng: Rng, kind: str, polarity: str, typical_px: float) -> tuple[Support, ...]:
    """Return the carrier, by chance with a larger, blurred one behind it."""
    deep = float(np.exp(rng.uniform(np.log(0.15), np.log(1.3))))
    deep *= 1.0 if polarity == "bright" else 0.35
    size_px = float(np.exp(rng.uniform(np.log(20.0), np.log(200.0))))
    if kind == "grains":
        size_px = typical_px * float(np.exp(rng.uniform(np.log(3.0), np.log(10.0))))
    front = {
        "kind": kind,
        "depth": deep,
        "size_px": float(rng.uniform(2.2, 5.0)) if kind == "graphite" else size_px,
        "cover": float(rng.uniform(0.3, 0.95)),
        "soft_px": float(np.exp(rng.uniform(np.log(1.0), np.log(max(2.0, 0.2 * size_px))))),
    }
    if rng.random() < 0.6:
        return (Support.build(front),)
    behind = {"kind": "clumps", "depth": 0.7 * deep, "cover": float(rng.uniform(0.3, 0.8)),
              "size_px": float(rng.uniform(80.0, 250.0)),
              "soft_px": float(rng.uniform(4.0, 25.0))}  # fmt: skip
    return Support.build(behind), Support.build(front)


def _stage_of_catalyst(rng: Rng, polarity: str, typical_px: float) -> dict[str, Any]:
    """Return contrast down to where a dot is just seen; in bright field strong speckle."""
    stage: dict[str, Any] = {"stand_out": float(rng.uniform(2.2, 4.8))}
    if polarity == "bright":
        stage |= {"black_level": float(rng.uniform(0.0, 0.08)),
                  "white_level": float(rng.uniform(0.85, 1.0))}  # fmt: skip
    if polarity == "dark" and rng.random() < 0.5:
        stage |= {
            "film_depth": float(rng.uniform(0.02, 0.2)),
            "film_speckle": float(rng.uniform(0.02, 0.12)) * min(1.0, typical_px / 12.0),
            "film_speckle_px": float(rng.uniform(2.5, 5.0)),
        }
    return stage


def _dots(rng: Rng, typical_px: float) -> dict[str, Any]:
    """Return what dots on a carrier look like: of many sizes, faint, at many depths of focus."""
    look: dict[str, Any] = {
        "diameter_spread": float(rng.uniform(0.2, 0.45)),
        "contrast": float(np.exp(rng.uniform(np.log(0.08), np.log(0.7)))),
        "contrast_sd": float(rng.uniform(0.1, 0.5)),
    }
    if rng.random() < 0.65:
        look["soft"] = float(rng.uniform(0.04, 0.2))
    if typical_px > 10.0 and rng.random() < 0.25:
        look |= draw_lattice(rng)
    return look
