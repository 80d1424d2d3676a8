"""From settings to a scored model: what is trained, how it is exported, and its model card.

Nothing here knows Ray or MLflow: `nanolake.pipeline.train` joins these steps with the engine and
the registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanolake.model_files import Exports, described, export_model, score_table
from nanolake.shape.settings import ShapeTrainSettings

if TYPE_CHECKING:
    from nanolake.shape.data import ShapeData
    from nanolake.shape.module import ShapeModule

EXPERIMENT = "shape-network"
"""The trainings' name in MLflow."""
SUMMARY = (
    "mean Jaccard {test_jaccard:.3f} on simulated crystals ({baseline_jaccard:.3f} by always "
    "answering the mean)"
)


def makers(
    settings: ShapeTrainSettings,
) -> tuple[Callable[[], ShapeModule], Callable[[], ShapeData]]:
    """Return two picklable functions that build module and data where they are called."""
    from nanolake.shape.data import ShapeData
    from nanolake.shape.module import ShapeModule

    return partial(ShapeModule, settings), partial(ShapeData, settings)


def export(
    settings: ShapeTrainSettings,
    checkpoint: Path,
    history: Sequence[Mapping[str, float]],
    *,
    out: Path,
    workers: int,
    hand_drawn: Iterable[NDArray[Any]] | None = None,
) -> Exports:
    """Turn a Lightning checkpoint into an ONNX file, score that file, write card and details.

    The files of `export_model` in ``out``. ``hand_drawn`` are label images to score (never to
    train) on, ``workers`` is how many trained: the data depend on it.
    """
    from nanolake.shape.export import export_onnx
    from nanolake.shape.module import ShapeModule
    from nanolake.shape.predictor import ShapePredictor

    return export_model(
        ShapeModule(settings),
        checkpoint,
        out / settings.name,
        card={**described(settings), "workers": workers},
        history=history,
        write=partial(export_onnx, crop_px=settings.crop_px, name=settings.name),
        score=lambda weights: evaluate(settings, ShapePredictor(weights), hand_drawn),
        tell=model_card,
    )


def evaluate(
    settings: ShapeTrainSettings,
    predictor: Any,
    hand_drawn: Iterable[NDArray[Any]] | None = None,
) -> dict[str, float]:
    """Score a predictor on the fixed simulated test set, the baseline beside it.

    Names: `evaluate.Scores`' fields under ``test_`` and ``baseline_``, ``test_truth_jaccard``
    (the true outlines' Jaccard: the ceiling), ``hand_drawn_jaccard`` and ``hand_drawn_count``.
    """
    from nanolake.shape import evaluate as ev
    from nanolake.shape.data import fixed_test_set

    drawn = fixed_test_set(settings)
    guess = ev.baseline(drawn.truth, len(drawn.truth))
    metrics = {
        **ev.score(predictor(drawn.crops), drawn.truth, drawn.crops).as_dict("test_"),
        **ev.score(guess, drawn.truth, drawn.crops).as_dict("baseline_"),
        "test_truth_jaccard": ev.truth_jaccard(drawn.truth, drawn.crops),
    }
    if hand_drawn is not None:
        found = ev.hand_drawn_jaccard(hand_drawn, predictor)
        metrics["hand_drawn_jaccard"] = float(np.mean(found)) if found.size else math.nan
        metrics["hand_drawn_count"] = float(found.size)
    return metrics


_ROWS = (
    ("RMSE of ln p, p < 10", "log_p_rmse"),
    ("RMSE of p, p < 10", "p_rmse"),
    ("RMSE of L_ratio", "L_ratio_rmse"),
    ("right d, radius varies > 5 %", "d_accuracy"),
    ("mean Jaccard, re-simulated", "jaccard"),
    ("ln p inside the 90 % interval", "log_p_coverage_90"),
    ("L_ratio inside the 90 % interval", "L_ratio_coverage_90"),
)


def model_card(card: Mapping[str, Any], metrics: Mapping[str, float], model_id: str) -> str:
    """Return the model card as Markdown: what it is, what it was trained on, how good it is."""
    settings = ShapeTrainSettings.build(card["settings"])
    return "\n".join(
        [
            f"# {settings.name}",
            "",
            f"Model id `{model_id}` (first 16 hex digits of the file's SHA-256). "
            f"{metrics['weights_count']:,.0f} weights, float32, ONNX.",
            "",
            f"**In**: mask crops (n, {settings.crop_px}, {settings.crop_px}) of "
            "`nanolake.shape.cut`. **Out**: for each d from 1 to 6 a probability, ln p and L_ratio "
            "with a standard deviation each (Williamson et al. 2022, eq. 1).",
            "",
            f"**Trained** on simulated crystals only, {settings.epochs} rounds of "
            f"{settings.crops_per_epoch:,}, none twice; no picture and no human label. p from 0.5 "
            "to 69, d from 1 to 6, L_ratio from 0.1 to 1 (1 exactly in one crystal of seven), "
            "maximum diameter 12 to 150 px, with uneven edges, rounded corners, noisy thresholds "
            "and neighbours in front.",
            "",
            f"## Scores on {settings.test_crops:,} simulated crystals (own seed, same simulator)",
            "",
            "The baseline answers every crop with the mean ln p, the mean L_ratio and the most "
            "frequent d.",
            "",
            *score_table(_ROWS, metrics),
            "",
            f"The true outlines reach a mean Jaccard of {metrics['test_truth_jaccard']:.3f} with "
            "the worn masks: compare with that, not with 1 (an answer to the worn mask may pass "
            "it).",
            *_hand_drawn_lines(metrics),
            "",
            "## Limits",
            "",
            "- One triple stands for all that draw the same outline "
            "(`nanolake.simulate.crystal`): a crystal simulated with another triple of that "
            "outline is answered with the first.",
            "- Above p = 20 or so the answer says 'square corners', not a number; see its sd.",
            "- A mask that merges two particles, or lacks a part, gets an answer all the same: "
            "look at the Jaccard.",
            "- The standard deviations hold for the simulator's wear, given that d is right.",
            "",
        ]
    )


def _hand_drawn_lines(metrics: Mapping[str, float]) -> list[str]:
    from nanolake.shape.evaluate import FAMILY_LIMIT_JACCARD

    if "hand_drawn_jaccard" not in metrics:
        return []
    return [
        "",
        f"On {metrics['hand_drawn_count']:,.0f} hand-drawn particles of 30 px and more across "
        "(EMPS, TEM; scoring only) the re-simulated prediction has a mean Jaccard of "
        f"{metrics['hand_drawn_jaccard']:.3f}; the best possible fit of the family reaches "
        f"{FAMILY_LIMIT_JACCARD} on a sample of them.",
    ]
