"""Classify: learn the current groups, and say what the accuracy is worth."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanolake import __version__
from nanolake.classify import Classification, ClassifySettings, classify
from nanolake.errors import LakeError
from nanolake.pipeline.group import load_particles
from nanolake.pipeline.work import StageReport, run_once
from nanolake.progress import Progress, silent
from nanolake.storage import Lake, unit_key

STAGE = "classify"
MLFLOW_EXPERIMENT = "shape-classifier"
_SCORES = (
    "accuracy",
    "cv_accuracy_mean",
    "cv_accuracy_sd",
    "accuracy_heldout_micrograph",
    "accuracy_heldout_experiment",
    "null_accuracy",
    "majority_accuracy",
)


def classify_lake(
    lake: Lake,
    settings: ClassifySettings | None = None,
    *,
    track: bool = True,
    progress: Progress = silent,
) -> StageReport:
    """Train a classifier on the newest grouping run and store its scores; the model in MLflow.

    Raises `LakeError` where nothing has been grouped.
    """
    grouping_run_id, columns = _grouping(lake)
    # A grouping of particles that do not differ has compared nothing: one group, nothing to learn.
    columns = columns or ClassifySettings().columns
    chosen = (settings or ClassifySettings()).model_copy(update={"columns": columns})
    key = unit_key(STAGE, grouping_run_id, chosen.fingerprint())

    def make() -> tuple[dict[str, Any], str]:
        trained = _train(lake, chosen)
        run_id = _log(lake, trained, chosen) if track else None
        row = _row(trained, chosen, grouping_run_id, key, run_id)
        return {"classifier_run": [row]}, _verdict(trained)

    return run_once(
        lake,
        stage=STAGE,
        noun="classifiers",
        key=key,
        subject=grouping_run_id,
        make=make,
        progress=progress,
    )


def _train(lake: Lake, settings: ClassifySettings) -> Classification:
    particles = load_particles(lake, (*settings.columns, "shape_group"))
    particles = particles[particles["shape_group"].notna()]
    return classify(
        particles,
        particles["shape_group"].to_numpy(int),
        particles["micrograph_id"].to_numpy(),
        particles["experiment_id"].to_numpy(),
        settings,
    )


def _grouping(lake: Lake) -> tuple[str, tuple[str, ...]]:
    rows = lake.query("SELECT grouping_run_id, columns FROM grouping_current").to_pylist()
    if not rows:
        raise LakeError("there are no groups to learn: run `nanolake group` first")
    return rows[0]["grouping_run_id"], tuple(rows[0]["columns"])


def _verdict(trained: Classification) -> str:
    if trained.accuracy is None:
        return trained.reason
    words = f"accuracy {trained.accuracy:.1%}"
    if trained.null_accuracy is not None:
        words += f"; {trained.null_accuracy:.1%} on data without structure"
    return words


def _log(lake: Lake, trained: Classification, settings: ClassifySettings) -> str:
    from nanolake.storage.models import ModelRegistry

    scores = {name: getattr(trained, name) for name in _SCORES}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "classifier.npz"
        trained.save(model)
        return ModelRegistry(lake.tracking_uri, experiment=MLFLOW_EXPERIMENT).log(
            run_name="svm",
            params=settings.model_dump(mode="json"),
            metrics={name: value for name, value in scores.items() if value is not None},
            files=(model,),
        )


def _row(
    trained: Classification,
    settings: ClassifySettings,
    grouping_run_id: str,
    key: str,
    mlflow_run_id: str | None,
) -> dict[str, Any]:
    counts = ("train_count", "test_count", "wrong_count", "cost", "gamma")
    confusion = {"labels": list(trained.labels), "counts": trained.confusion.tolist()}
    return {
        "classifier_run_id": key[:16],
        "grouping_run_id": grouping_run_id,
        "method": "svm",
        "columns": list(trained.columns),
        "reason": trained.reason,
        **{name: getattr(trained, name) for name in (*_SCORES, *counts)},
        "confusion_json": json.dumps(confusion),
        "left_out_groups": json.dumps(list(trained.left_out_groups)),
        "settings_json": settings.as_json(),
        "mlflow_run_id": mlflow_run_id,
        "code_version": __version__,
        "unit_key": key,
        "created_at": datetime.now(UTC),
    }
