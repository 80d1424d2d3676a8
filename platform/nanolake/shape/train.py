"""From settings to a scored model: what is trained, how it is exported, and its model card.

Nothing here knows Ray or MLflow: `nanolake.pipeline.train` joins these steps with the engine and
the registry.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import ModelError
from nanolake.model_files import Exports, described, export_model, score_table
from nanolake.shape.predictor import SHIPPED as SHIPPED
from nanolake.shape.predictor import ShapePredictor
from nanolake.shape.settings import ShapeTrainSettings

if TYPE_CHECKING:
    from nanolake.shape.data import ShapeData
    from nanolake.shape.module import ShapeModule
    from nanolake.simulate.crystal import Triples

EXPERIMENT = "shape-network"
"""The trainings' name in MLflow."""
SUMMARY = (
    "mean Jaccard {test_jaccard:.3f} on simulated crystals ({baseline_jaccard:.3f} by always "
    "answering the mean)"
)

GATE = {"test_jaccard": ("mean Jaccard", 0.001), "test_d_accuracy": ("right d", 0.005)}
"""Scores of the champion that a new champion may fall below by so much only."""
_TEST = 3


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
    hand_drawn: Iterable[tuple[NDArray[Any], NDArray[Any] | None]] | None = None,
) -> Exports:
    """Turn a Lightning checkpoint into an ONNX file, score that file, write card and details.

    The files of `export_model` in ``out``. ``hand_drawn`` are label images with their pictures, to
    score (never to train) on, ``workers`` is how many trained: the data depend on it.
    """
    from nanolake.shape.export import export_onnx
    from nanolake.shape.module import ShapeModule

    return export_model(
        ShapeModule(settings),
        checkpoint,
        out / settings.name,
        card={**described(settings), **_curated(settings), "workers": workers},
        history=history,
        write=partial(export_onnx, crop_px=settings.crop_px, name=settings.name),
        score=partial(score, settings, hand_drawn=hand_drawn),
        tell=model_card,
    )


def _curated(settings: ShapeTrainSettings) -> dict[str, Any]:
    """Return what the file of curated particles says of itself (`pipeline.select`)."""
    if settings.curated is None:
        return {}
    try:
        with np.load(settings.curated, allow_pickle=False) as file:
            return {"curated": json.loads(str(file["about"]))}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ModelError(
            f"curated: {settings.curated} does not say where its particles are from: {error}; "
            "export it with `nanolake train --selection`"
        ) from None


def score(
    settings: ShapeTrainSettings,
    weights: Path,
    hand_drawn: Iterable[tuple[NDArray[Any], NDArray[Any] | None]] | None = None,
) -> dict[str, float]:
    """Score an ONNX file on the fixed simulated test set, the baseline beside it.

    Names: `evaluate.Scores`' fields under ``test_``, ``blind_`` (masks alone, without their
    picture) and ``baseline_``, ``test_truth_jaccard``
    (the true outlines' Jaccard with the masks), ``hand_drawn_jaccard`` and ``hand_drawn_count``.
    """
    from nanolake.shape import evaluate as ev

    predict = ShapePredictor(weights)
    maps, truth = held_out(settings)
    crops, guess = maps[:, 0], ev.baseline(truth, len(truth))
    metrics = {
        **ev.score(predict(maps), truth, crops).as_dict("test_"),
        **ev.score(predict(np.ascontiguousarray(crops)), truth, crops).as_dict("blind_"),
        **ev.score(guess, truth, crops).as_dict("baseline_"),
        "test_truth_jaccard": ev.truth_jaccard(truth, crops),
    }
    if hand_drawn is not None:
        found = ev.hand_drawn_jaccard(hand_drawn, predict)
        metrics["hand_drawn_jaccard"] = float(np.mean(found)) if found.size else math.nan
        metrics["hand_drawn_count"] = float(found.size)
    return metrics


def held_out(settings: ShapeTrainSettings) -> tuple[NDArray[np.float32], Triples]:
    """Return the test crops' maps and truth, which do not depend on the training's seed.

    Harvested ones (part ``test`` of the folder) where there are any, else drawn ones.
    """
    from nanolake.shape.data import drawn_crops
    from nanolake.shape.harvest import Harvest

    if settings.harvested is not None:
        found = Harvest.of_folder(settings.harvested / "test").first(settings.test_crops)
        return found.maps(), found.truth
    return drawn_crops(np.random.default_rng((_TEST, 0)), settings.test_crops, settings)


_ROWS = (
    ("RMSE of ln p, p < 10", "log_p_rmse"),
    ("RMSE of p, p < 10", "p_rmse"),
    ("RMSE of L_ratio", "L_ratio_rmse"),
    ("right d, radius varies > 5 %", "d_accuracy"),
    ("mean Jaccard with the true outline", "jaccard"),
    ("mean Jaccard with the mask found", "mask_jaccard"),
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
            f"**In**: maps (n, 3, {settings.crop_px}, {settings.crop_px}) of "
            "`nanolake.shape.cut_maps`: the mask, the picture's grey values between background and "
            "particle, the other particles; or masks alone. **Out**: for each d from 1 to 6 a "
            "probability, ln p and L_ratio with a standard deviation each (Williamson et al. 2022, "
            "eq. 1).",
            "",
            *_training_lines(settings, card),
            "",
            f"## Scores on {settings.test_crops:,} simulated crystals (own seeds, same simulator)",
            "",
            "The baseline answers every crop with the mean ln p, the mean L_ratio and the most "
            "frequent d.",
            "",
            *score_table(_ROWS, metrics),
            "",
            "From the masks alone, without their picture: mean Jaccard with the true outline "
            f"{metrics['blind_jaccard']:.3f}, RMSE of L_ratio {metrics['blind_L_ratio_rmse']:.3f}, "
            f"of ln p {metrics['blind_log_p_rmse']:.3f}, right d "
            f"{metrics['blind_d_accuracy']:.3f}.",
            "",
            f"The true outlines reach a mean Jaccard of {metrics['test_truth_jaccard']:.3f} with "
            "the masks found: compare the second Jaccard with that, not with 1 (an "
            "answer to the worn mask may pass it).",
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


def _training_lines(s: ShapeTrainSettings, card: Mapping[str, Any]) -> list[str]:
    share = s.harvested_share if "harvested_sha256" in card else 0.0
    curated = s.curated_share if "curated" in card else 0.0
    parts = [f"{1.0 - share - curated:.0%} drawn one by one and worn as a segmenter would"]
    if share:
        parts.append(
            f"{share:.0%} cut from {s.micrographs:,} simulated micrographs by the masks that the "
            "lake's segmentation found in them, with their surroundings but for "
            f"{s.blind_share:.0%} of those"
        )
    real = "no real picture and no human label" if not curated else "and, below, real particles"
    lines = [
        f"**Trained** for {card['epochs_trained']} rounds of {s.crops_per_epoch:,} simulated "
        f"crystals: {', '.join(parts)}; {real}. Seed {s.seed}, {card['workers']} workers.",
    ]
    return lines + (_curated_lines(card["curated"], curated) if curated else [])


def _curated_lines(about: Mapping[str, Any], share: float) -> list[str]:
    lines = [
        "",
        f"**Curated particles**: {share:.0%} of every batch are {about['count']:,} real particles "
        f"of the selection {about['selection']!r}, version {about['version']} "
        f"(SHA-256 of ids and labels {about['content_sha256'][:16]}…). "
        f"{about['by_person']:,} carry a person's p, d and L_ratio.",
    ]
    if about["by_network"]:
        models = ", ".join(f"`{model}`" for model in about["models"])
        lines.append(
            f"**Self-training**: the other {about['by_network']:,} carry what a network ({models}) "
            f"had answered ({about['refined']:,} of them refined on the mask), kept where it "
            f"re-draws the mask with a Jaccard of {about['min_jaccard']} or more. No person has "
            "checked these; they repeat that network's mistakes, and no score below can show it."
        )
    return lines


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
