"""How particles lie and how many there are, drawn at random for `any_lab`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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
CATALYST_SHARE = {"bright": 0.5, "dark": 0.12}
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
    coverage = _affordable(
        float(np.exp(rng.uniform(np.log(0.01), np.log(0.15)))), typical_px, side_px
    )
    carrier = Support.build(
        {
            "kind": str(rng.choice(["clumps", "granular", "sheets"], p=[0.6, 0.25, 0.15])),
            "depth": float(rng.uniform(0.2, 1.0) * (1.0 if polarity == "bright" else 0.4)),
            "size_px": float(np.exp(rng.uniform(np.log(20.0), np.log(200.0)))),
            "cover": float(rng.uniform(0.3, 0.9)),
            "soft_px": float(rng.uniform(1.0, 4.0)),
        }
    )
    shape = str(rng.choice(["sphere", "pebble", "polyhedron", "hexagon"], p=[0.5, 0.2, 0.2, 0.1]))
    arrangement = {
        "on_support": True,
        "touching_fraction": float(rng.uniform(0.0, 0.3)),
        "overlap_fraction": float(rng.uniform(0.0, 0.1)),
        "coverage": coverage,
    }
    return Layout(shape=shape, arrangement=arrangement, supports=(carrier,))
