"""A trained network as one ONNX file that the predictor can run without torch."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanolake.shape.network import ShapeNetwork

OUTPUTS = ("d_probability", "log_p", "log_p_sd", "l_ratio", "l_ratio_sd")


def export_onnx(
    network: ShapeNetwork, path: Path, *, crop_px: int, name: str, card: Mapping[str, Any]
) -> Path:
    """Write ``network`` to ``path`` (float32, batch size free), ``card`` inside as JSON text."""
    import onnx
    import torch

    from nanolake.shape.network import Exported

    exported = Exported(network).eval()
    sample = torch.zeros(2, crop_px, crop_px)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            exported,
            (sample,),
            input_names=["crops"],
            output_names=list(OUTPUTS),
            dynamic_shapes={"crops": {0: torch.export.Dim("n")}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "torch.onnx.export with dynamo=True returns a program"
    model = program.model_proto
    _strip_notes(model)
    onnx.helper.set_model_props(model, {"name": name, "card": json.dumps(dict(card))})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path))
    return path


def _strip_notes(model: Any) -> None:
    """Take out what the exporter notes about the machine it ran on (source lines, paths)."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    del model.graph.metadata_props[:]
