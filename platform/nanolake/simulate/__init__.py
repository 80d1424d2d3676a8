"""Simulated pictures with known truth: outlines, single crystals, whole micrographs, the demo.

Importing this package is light: names are loaded from their modules when they are first used.
What the micrographs model, and what they do not, is said in `nanolake.simulate.micrograph`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanolake.simulate.any_lab import draw_settings, piled
    from nanolake.simulate.experiments import DEMO_EXPERIMENTS, DemoTruth, write_demo
    from nanolake.simulate.micrograph import simulate_micrograph
    from nanolake.simulate.settings import Family, MicrographSettings
    from nanolake.simulate.superellipse import canonical, outline, radius
    from nanolake.simulate.truth import SimulatedMicrograph

__all__ = [
    "DEMO_EXPERIMENTS",
    "DemoTruth",
    "Family",
    "MicrographSettings",
    "SimulatedMicrograph",
    "canonical",
    "draw_settings",
    "outline",
    "piled",
    "radius",
    "simulate_micrograph",
    "write_demo",
]

_MODULES = {
    "DEMO_EXPERIMENTS": "experiments",
    "DemoTruth": "experiments",
    "Family": "settings",
    "MicrographSettings": "settings",
    "SimulatedMicrograph": "truth",
    "canonical": "superellipse",
    "draw_settings": "any_lab",
    "outline": "superellipse",
    "piled": "any_lab",
    "radius": "superellipse",
    "simulate_micrograph": "micrograph",
    "write_demo": "experiments",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
