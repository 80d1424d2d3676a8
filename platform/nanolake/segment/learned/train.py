"""From settings to a scored segmenter: what is trained, how it is exported, and its model card.

Nothing here knows Ray or MLflow: `nanolake.pipeline.train` joins these steps with the engine and
the registry.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.errors import ModelError
from nanolake.model_files import Exports, load_weights, write_details
from nanolake.segment.learned.settings import SegmenterTrainSettings

if TYPE_CHECKING:
    from nanolake.segment.learned.data import SegmenterData
    from nanolake.segment.learned.module import SegmenterModule

LIMITS = "limits.md"
"""A section written by hand, beside the weights: what was seen when results were looked at."""


def module_maker(settings: SegmenterTrainSettings) -> Callable[[], SegmenterModule]:
    """Return a picklable function that builds the LightningModule where it is called.

    With ``start_from`` the module starts from these weights. Raises `ModelError`, there, where
    that file does not hold them.
    """
    return partial(_make_module, settings.model_dump())


def data_maker(settings: SegmenterTrainSettings) -> Callable[[], SegmenterData]:
    """Return a picklable function that builds the data module where it is called."""
    return partial(_make_data, settings.model_dump())


def _make_module(values: Mapping[str, Any]) -> SegmenterModule:
    from nanolake.segment.learned.module import SegmenterModule

    settings = SegmenterTrainSettings.build(values)
    module = SegmenterModule(settings)
    if settings.start_from is not None:
        remedy = "give start_from a checkpoint of a network with the same channels"
        load_weights(module, settings.start_from, remedy=remedy)
    return module


def _make_data(values: Mapping[str, Any]) -> SegmenterData:
    from nanolake.segment.learned.data import SegmenterData

    return SegmenterData(SegmenterTrainSettings.build(values))


def export(
    settings: SegmenterTrainSettings,
    checkpoint: Path,
    history: Sequence[Mapping[str, float]],
    *,
    out: Path,
    workers: int,
) -> Exports:
    """Turn a Lightning checkpoint into an ONNX file, score that file, write card and details.

    Files in ``out``: ``NAME.onnx``, ``NAME.md``, ``NAME.json`` and ``NAME.ckpt``, the weights
    alone, for ``start_from``. A file ``limits.md`` found in ``out`` becomes a section of the card.
    ``workers`` is how many trained: the data depend on it.
    """
    from nanolake.segment.learned.evaluate import score_network
    from nanolake.segment.learned.export import export_onnx

    module = _load(settings, checkpoint)
    card = {**described(settings), "workers": workers, "epochs_trained": len(history)}
    weights = export_onnx(
        module.network, out / f"{settings.name}.onnx", name=settings.name, card=card
    )
    metrics = score_network(settings, weights)
    metrics["weights_count"] = float(sum(p.numel() for p in module.network.parameters()))
    details = write_details(weights.with_suffix(".json"), card, metrics, history)
    limits = out / LIMITS
    text = weights.with_suffix(".md")
    by_hand = limits.read_text("utf-8") if limits.exists() else None
    text.write_text(model_card(card, metrics, model_id(weights), by_hand), "utf-8")
    plain = _save_weights(module, weights.with_suffix(".ckpt"))
    return Exports(weights=weights, card=text, details=details, metrics=metrics, more=(plain,))


def described(settings: SegmenterTrainSettings) -> dict[str, Any]:
    """Return the settings as the card keeps them: a start file by name and hash, not by place."""
    values = settings.model_dump(mode="json")
    if settings.start_from is None:
        return {"settings": values}
    values["start_from"] = settings.start_from.name
    return {"settings": values, "start_from_sha256": _sha256(settings.start_from)}


def model_id(weights: Path) -> str:
    """Return the first 16 hex digits of the file's SHA-256."""
    return _sha256(weights)[:16]


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error}; give start_from a file") from error


def _load(settings: SegmenterTrainSettings, checkpoint: Path) -> SegmenterModule:
    from nanolake.segment.learned.module import SegmenterModule

    module = SegmenterModule(settings)
    load_weights(
        module,
        checkpoint,
        remedy="give the run another run_name, or the settings that it was started with",
    )
    module.eval()
    return module


def _save_weights(module: SegmenterModule, path: Path) -> Path:
    import torch

    torch.save({"state_dict": module.state_dict()}, path)
    return path


def model_card(
    card: Mapping[str, Any],
    metrics: Mapping[str, float],
    weights_id: str,
    limits: str | None = None,
) -> str:
    """Return the model card as Markdown: what it is, what it was trained on, how good it is."""
    s = SegmenterTrainSettings.build({**card["settings"], "start_from": None})
    return "\n".join(
        [
            f"# {s.name}",
            "",
            f"Model id `{weights_id}` (first 16 hex digits of the file's SHA-256). "
            f"{metrics['weights_count']:,.0f} weights, float32, ONNX.",
            "",
            "**In**: grey pictures (n, 1, height, width), float32 in 0 … 1, as "
            "`nanolake.segment.grey.stretched` makes them; height and width multiples of 32. "
            "**Out**: for each pixel the probability of particle, the probability of print, and "
            "the distance to the outline of its own particle, 0 … 1 with 1 at the deepest point.",
            "",
            *_training_lines(s, card),
            "",
            *_score_lines(s, metrics),
            "",
            "## Limits",
            "",
            *(_GENERAL_LIMITS if limits is None else [limits.strip()]),
            "",
        ]
    )


_GENERAL_LIMITS = [
    "- The scores are those of the simulator's world. Look at overlays of your own pictures.",
    "- Hidden parts of overlapping particles are not guessed.",
]


def _training_lines(s: SegmenterTrainSettings, card: Mapping[str, Any]) -> list[str]:
    workers, again = card["workers"], f"--workers {card['workers']}"
    if card["settings"] != SegmenterTrainSettings().model_dump(mode="json"):
        again += " --config SETTINGS.yaml"
    scenes = s.crops_per_epoch // s.crops_per_micrograph
    start = "random weights"
    if "start_from_sha256" in card:
        name, digest = card["settings"]["start_from"], card["start_from_sha256"]
        start = f"the weights of {name} (SHA-256 {digest[:16]}…)"
    return [
        f"**Trained** from {start} on simulated micrographs only; no real picture and no human "
        f"label. {card['epochs_trained']} rounds of {s.crops_per_epoch:,} crops of {s.crop_px} x "
        f"{s.crop_px} px, cut from about {scenes:,} micrographs of {s.micrograph_px} x "
        f"{s.micrograph_px} px a round (`nanolake.simulate.draw_settings`), new ones in every "
        f"round; each crop with its own zoom, turn, contrast and sign. Seed {s.seed}, "
        f"{workers} workers.",
        "",
        "Made again, with the settings in the JSON file beside this card, by",
        "",
        f"    python jobs/train_segmenter.py --out OUT {again}",
    ]


_ROWS = (
    ("F1 at IoU 0.5", "f1_50"),
    ("F1 at IoU 0.75", "f1_75"),
    ("F1 at IoU 0.9", "f1_90"),
    ("precision at IoU 0.5", "precision"),
    ("recall at IoU 0.5", "recall"),
    ("mean F1 of a picture, IoU 0.5", "mean_f1"),
    ("median bias of the equivalent diameter", "size_bias"),
    ("error of the count", "count_error"),
)


def _score_lines(s: SegmenterTrainSettings, metrics: Mapping[str, float]) -> list[str]:
    def cell(name: str) -> str:
        value = metrics.get(name, math.nan)
        return f"{value:.3f}" if math.isfinite(value) else "–"

    rows = [f"| {text} | {cell('test_' + n)} | {cell('baseline_' + n)} |" for text, n in _ROWS]
    return [
        f"## Scores on {s.test_micrographs:,} simulated micrographs (own seeds, same simulator)",
        "",
        f"{metrics['test_truth']:,.0f} particles that no border cuts. The baseline is the method "
        "`threshold`.",
        "",
        "| | this model | baseline |",
        "|---|---|---|",
        *rows,
    ]
