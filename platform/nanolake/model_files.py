"""What a training leaves behind: the network as one ONNX file, its card, its details.

Shared by every stage that trains a network; it knows no network. torch and onnx are imported only
where a network is read or written.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanolake.errors import ModelError
from nanolake.settings import Settings


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


def export_model(
    module: Any,
    checkpoint: Path,
    stem: Path,
    *,
    card: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    write: Callable[..., Path],
    score: Callable[[Path], Mapping[str, float]],
    tell: Callable[[Mapping[str, Any], Mapping[str, float], str], str],
) -> Exports:
    """Turn the checkpoint of a module with a ``network`` into the files of a model.

    Files: ``STEM.onnx``, ``STEM.md``, ``STEM.json`` and ``STEM.ckpt``, the weights alone.
    ``write(network, path, card=…)`` writes the ONNX file, ``score(path)`` scores that file, and
    ``tell(card, metrics, model_id)`` returns the model card's text. Raises `ModelError` where the
    checkpoint holds another network.
    """
    remedy = "give the run another run_name, or the settings that it was started with"
    load_weights(module, checkpoint, remedy=remedy)
    module.eval()
    card = {**card, "epochs_trained": len(history)}
    weights = write(module.network, stem.with_name(f"{stem.name}.onnx"), card=card)
    metrics = dict(score(weights))
    metrics["weights_count"] = float(sum(p.numel() for p in module.network.parameters()))
    details = write_details(weights.with_suffix(".json"), card, metrics, history)
    text = weights.with_suffix(".md")
    text.write_text(tell(card, metrics, model_id(weights)), encoding="utf-8")
    plain = _save_weights(module, weights.with_suffix(".ckpt"))
    return Exports(weights=weights, card=text, details=details, metrics=metrics, more=(plain,))


def described(settings: Settings) -> dict[str, Any]:
    """Return ``settings`` as a card keeps them: files by name and hash, folders by hash alone.

    The hash of what setting NAME names stands under ``NAME_sha256``. Raises `ModelError` where
    there is no such file.
    """
    values = settings.model_dump(mode="json")
    said: dict[str, Any] = {"settings": values}
    for name, path in input_files(settings).items():
        said[f"{name}_sha256"] = sha256(path, f"give {name} a file")
        values[name] = None if path.is_dir() else path.name
    return said


def input_files(settings: Settings) -> dict[str, Path]:
    """Return the files and folders that a training reads, by the setting that names them."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {name: value for name, value in values.items() if isinstance(value, Path)}


def model_id(weights: Path) -> str:
    """Return the first 16 hex digits of the file's SHA-256."""
    return sha256(weights, "name the file of a trained network")[:16]


def sha256(path: Path, remedy: str) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of all files of a folder, in hex.

    Raises `ModelError`, ending with ``remedy``, where it cannot be read.
    """
    try:
        if path.is_dir():
            files = sorted(one for one in path.rglob("*") if one.is_file())
            lines = [f"{one.relative_to(path)} {sha256(one, remedy)}\n" for one in files]
            return hashlib.sha256("".join(lines).encode()).hexdigest()
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error}; {remedy}") from error


def score_table(rows: Sequence[tuple[str, str]], metrics: Mapping[str, float]) -> list[str]:
    """Return a Markdown table of ``test_NAME`` beside ``baseline_NAME`` for (words, NAME)."""

    def cell(name: str) -> str:
        value = metrics.get(name, math.nan)
        return f"{value:.3f}" if math.isfinite(value) else "–"

    lines = [f"| {text} | {cell('test_' + n)} | {cell('baseline_' + n)} |" for text, n in rows]
    return ["| | this model | baseline |", "|---|---|---|", *lines]


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


def load_weights(
    module: Any, checkpoint: Path, *, remedy: str, fit: Callable[[Any, Any], None] | None = None
) -> None:
    """Put the weights of a checkpoint file into ``module``; no code in the file is run.

    ``fit`` may change the weights read (first) to suit the module's own (second), by name.

    Raises `ModelError`, ending with ``remedy``, where the file is missing, is no checkpoint, or
    holds another network.
    """
    import torch

    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        if fit is not None:
            fit(state, module.state_dict())
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


def _save_weights(module: Any, path: Path) -> Path:
    import torch

    torch.save({"state_dict": module.state_dict()}, path)
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
