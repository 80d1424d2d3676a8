"""A trained network as one ONNX file that the predictor can run without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.model_files import write_onnx
from nanolake.shape.surroundings import MAPS

if TYPE_CHECKING:
    from nanolake.shape.network import ShapeNetwork

OUTPUTS = ("d_probability", "log_p", "log_p_sd", "l_ratio", "l_ratio_sd")


def export_onnx(
    network: ShapeNetwork, path: Path, *, crop_px: int, name: str, card: Mapping[str, Any]
) -> Path:
    """Write ``network`` to ``path`` (float32, batch size free), ``card`` inside as JSON text."""
    import torch

    from nanolake.shape.network import Exported

    return write_onnx(
        Exported(network).eval(),
        torch.zeros(2, MAPS, crop_px, crop_px),
        path,
        inputs=["maps"],
        outputs=OUTPUTS,
        free={"maps": {0: torch.export.Dim("n")}},
        properties={"name": name, "card": json.dumps(dict(card))},
    )
