"""Shape parameters of single particles: crops, the network, its predictor and re-simulation.

Importing this module loads no heavy library: each name is fetched where it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanolake.shape.crops import CROP_PX, cut
    from nanolake.shape.predictor import ShapePredictor, predict_particles
    from nanolake.shape.refine import refine_outlines, refine_particles
    from nanolake.shape.resimulate import redraw
    from nanolake.shape.settings import ShapeTrainSettings
    from nanolake.shape.surroundings import cut_maps

__all__ = [
    "CROP_PX",
    "ShapePredictor",
    "ShapeTrainSettings",
    "cut",
    "cut_maps",
    "predict_particles",
    "redraw",
    "refine_outlines",
    "refine_particles",
]

_HOME = {
    "CROP_PX": "crops",
    "ShapePredictor": "predictor",
    "ShapeTrainSettings": "settings",
    "cut": "crops",
    "cut_maps": "surroundings",
    "predict_particles": "predictor",
    "redraw": "resimulate",
    "refine_outlines": "refine",
    "refine_particles": "refine",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOME[name]}")
    return getattr(module, name)
