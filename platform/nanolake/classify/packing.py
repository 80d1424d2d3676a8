"""The parts of a classifier as plain arrays, for a file without pickle, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.classify.nearness import Nearness
from nanolake.classify.svm import Calibration, SupportVectorModel
from nanolake.scaling import Scaling

Arrays = dict[str, NDArray[Any]]

_SCALING = ("kept", "median", "spread", "mean", "sd", "rotation")
_MODEL = ("classes", "support", "support_counts", "coefficients", "intercepts")
_NEARNESS = ("classes", "counts", "points", "limits")


def pack(
    model: SupportVectorModel | None, calibration: Calibration | None, nearness: Nearness | None
) -> Arrays:
    """Return everything as arrays without Python objects; a part that is None gives none."""
    arrays: Arrays = {}
    if model is not None and calibration is not None:
        arrays |= {f"model_{name}": getattr(model, name) for name in _MODEL}
        arrays |= _scaling_arrays("model", model.scaling)
        arrays |= {"model_gamma": np.array(model.gamma)}
        arrays |= {"model_weights": calibration.weights, "model_offsets": calibration.offsets}
    if nearness is not None:
        arrays |= {f"near_{name}": getattr(nearness, name) for name in _NEARNESS}
        arrays |= _scaling_arrays("near", nearness.scaling)
        arrays |= {"near_neighbours": np.array(nearness.neighbours)}
    return arrays


def unpack(
    arrays: Mapping[str, NDArray[Any]],
) -> tuple[SupportVectorModel | None, Calibration | None, Nearness | None]:
    """Undo `pack`; raises KeyError where an array of a part is missing."""
    model = calibration = nearness = None
    if "model_gamma" in arrays:
        model = SupportVectorModel(
            scaling=_scaling("model", arrays),
            gamma=float(arrays["model_gamma"]),
            **{name: arrays[f"model_{name}"] for name in _MODEL},
        )
        calibration = Calibration(weights=arrays["model_weights"], offsets=arrays["model_offsets"])
    if "near_neighbours" in arrays:
        nearness = Nearness(
            scaling=_scaling("near", arrays),
            neighbours=int(arrays["near_neighbours"]),
            **{name: arrays[f"near_{name}"] for name in _NEARNESS},
        )
    return model, calibration, nearness


def _scaling_arrays(part: str, scaling: Scaling) -> Arrays:
    arrays = {f"{part}_scaling_{name}": getattr(scaling, name) for name in _SCALING}
    arrays[f"{part}_scaling_clip"] = np.array(scaling.clip)
    return {**arrays, f"{part}_scaling_columns": np.array(scaling.columns, dtype=np.str_)}


def _scaling(part: str, arrays: Mapping[str, NDArray[Any]]) -> Scaling:
    return Scaling(
        columns=tuple(str(name) for name in arrays[f"{part}_scaling_columns"]),
        left_out={},
        clip=float(arrays[f"{part}_scaling_clip"]),
        **{name: arrays[f"{part}_scaling_{name}"] for name in _SCALING},
    )
