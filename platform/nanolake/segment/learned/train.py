"""From settings to a scored segmenter: what is trained, how it is exported, and its model card.

Nothing here knows Ray or MLflow: `nanolake.pipeline.train` joins these steps with the engine and
the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.model_files import Exports, described, export_model, load_weights, score_table
from nanolake.segment.learned.evaluate import score_network
from nanolake.segment.learned.model import MOST_FURTHER
from nanolake.segment.learned.model import SHIPPED as SHIPPED
from nanolake.segment.learned.settings import SegmenterTrainSettings

if TYPE_CHECKING:
    from nanolake.segment.learned.data import SegmenterData
    from nanolake.segment.learned.module import SegmenterModule

EXPERIMENT = "segmenter"
"""The trainings' name in MLflow."""
SUMMARY = (
    "F1 {test_f1_50:.3f} at IoU 0.5, {test_f1_75:.3f} at 0.75 on simulated micrographs "
    "({baseline_f1_50:.3f} and {baseline_f1_75:.3f} by `threshold`)"
)
GATE = {"test_f1_50": ("F1 at IoU 0.5", 0.005), "test_f1_75": ("F1 at IoU 0.75", 0.005)}
"""Scores of the champion that a new champion may fall below by so much only."""
LIMITS = "limits.md"
"""A section written by hand, beside the weights: what was seen when results were looked at."""


def makers(
    settings: SegmenterTrainSettings,
) -> tuple[Callable[[], SegmenterModule], Callable[[], SegmenterData]]:
    """Return two picklable functions that build module and data where they are called.

    With ``start_from`` the module starts from these weights; maps that they do not give yet start
    from random ones. Raises `ModelError` where that file is missing, and there, where it does not
    hold them.
    """
    from nanolake.segment.learned.data import SegmenterData

    described(settings)  # a missing start file is told before any worker starts
    if settings.start_from is not None:  # workers have folders of their own
        settings = settings.model_copy(update={"start_from": settings.start_from.resolve()})
    return partial(_begun, settings), partial(SegmenterData, settings)


def _begun(settings: SegmenterTrainSettings) -> SegmenterModule:
    from nanolake.segment.learned.module import SegmenterModule, with_further_maps

    module = SegmenterModule(settings)
    if settings.start_from is not None:
        remedy = "give start_from a checkpoint of a network with the same channels"
        load_weights(module, settings.start_from, remedy=remedy, fit=with_further_maps)
    return module


def export(
    settings: SegmenterTrainSettings,
    checkpoint: Path,
    history: Sequence[Mapping[str, float]],
    *,
    out: Path,
    workers: int,
) -> Exports:
    """Turn a Lightning checkpoint into an ONNX file, score that file, write card and details.

    The files of `export_model` in ``out``. A file ``limits.md`` found there becomes a section of
    the card. ``workers`` is how many trained: the data depend on it.
    """
    from nanolake.segment.learned.export import export_onnx
    from nanolake.segment.learned.module import SegmenterModule

    limits = out / LIMITS
    by_hand = limits.read_text("utf-8") if limits.exists() else None
    return export_model(
        SegmenterModule(settings),
        checkpoint,
        out / settings.name,
        card={**described(settings), "workers": workers},
        history=history,
        write=partial(export_onnx, name=settings.name),
        score=partial(score, settings),
        tell=partial(model_card, limits=by_hand),
    )


def score(settings: SegmenterTrainSettings, weights: Path) -> dict[str, float]:
    """Score an ONNX file on the fixed test scenes: the numbers of `score_network`."""
    return score_network(settings, weights)


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
            "**Out**: for each pixel the probability of particle, the probability of print, "
            "the distance to the outline of its own particle, 0 … 1 with 1 at the deepest point, "
            f"and the number of further particles over the pixel, over {MOST_FURTHER}.",
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
    kinds = f", {s.many_shapes_share:.0%} of them of many shapes" if s.many_shapes_share else ""
    kinds += f", {s.piled_share:.0%} with particles in piles" if s.piled_share else ""
    start = "random weights"
    if "start_from_sha256" in card:
        name, digest = card["settings"]["start_from"], card["start_from_sha256"]
        start = f"the weights of {name} (SHA-256 {digest[:16]}…)"
    return [
        f"**Trained** from {start} on simulated micrographs only; no real picture and no human "
        f"label. {card['epochs_trained']} rounds of {s.crops_per_epoch:,} crops of {s.crop_px} x "
        f"{s.crop_px} px, cut from about {scenes:,} micrographs of {s.micrograph_px} x "
        f"{s.micrograph_px} px a round (`nanolake.simulate.draw_settings`){kinds}, new ones in "
        f"every round; each crop with its own zoom, turn, contrast and sign. Seed {s.seed}, "
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
    return [
        f"## Scores on {s.test_micrographs:,} simulated micrographs (own seeds, same simulator)",
        "",
        f"{metrics['test_truth']:,.0f} particles that no border cuts. The baseline is the method "
        "`threshold`.",
        "",
        *score_table(_ROWS, metrics),
    ]
