"""What a training leaves behind: the network as one ONNX file, its card, its details.

Shared by every stage that trains a network; it knows no network. torch and onnx are imported only
where a network is read or written.
"""

from __future__ import annotations

import json
import logging
import math
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanolake.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Exports:
    """The files of one trained model and its scores."""

    weights: Path
    """The ONNX file."""
    card: Path
    """The model card, Markdown."""
    details: Path
    """Settings, scores and learning curve, JSON."""
    metrics: Mapping[str, float]
    more: tuple[Path, ...] = ()
    """Other files that belong to the model."""


def write_onnx(
    network: Any,
    sample: Any,
    path: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, Any]],
    properties: Mapping[str, str],
    translations: Mapping[Any, Any] | None = None,
) -> Path:
    """Write a torch module as one ONNX file; the same weights give the same bytes.

    ``sample`` is one input tensor, ``free`` names the axes of each input that may change
    (`torch.export.Dim`), ``properties`` become the file's metadata, ``translations`` say how an
    operator of torch is written. Nothing of the machine that writes gets into the file.
    """
    import onnx
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (sample,),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=free,
            custom_translation_table=dict(translations or {}),
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "torch.onnx.export with dynamo=True returns a program"
    model = program.model_proto
    _strip_notes(model)
    onnx.helper.set_model_props(model, dict(properties))
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, str(path))
    return path


def load_weights(module: Any, checkpoint: Path, *, remedy: str) -> None:
    """Put the weights of a checkpoint file into ``module``; no code in the file is run.

    Raises `ModelError`, ending with ``remedy``, where the file is missing, is no checkpoint, or
    holds another network.
    """
    import torch

    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        module.load_state_dict(state)
    except (OSError, EOFError, LookupError, RuntimeError, TypeError, pickle.PickleError) as error:
        raise ModelError(
            f"{checkpoint} does not hold a network of these settings: {error}; {remedy}"
        ) from error


def write_details(
    path: Path,
    card: Mapping[str, Any],
    metrics: Mapping[str, float],
    history: Sequence[Mapping[str, float]],
) -> Path:
    """Write settings, scores and learning curve as JSON, which knows no NaN."""
    known = {name: value for name, value in metrics.items() if math.isfinite(value)}
    content = {**card, "metrics": known, "history": list(history)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
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
