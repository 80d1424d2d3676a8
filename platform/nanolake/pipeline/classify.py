"""Classify: learn the current groups, and say what the accuracy is worth."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nanolake import __version__
from nanolake.classify import Classification, ClassifySettings, classify
from nanolake.classify.scoring import Labeller
from nanolake.contracts import get_table
from nanolake.errors import LakeError
from nanolake.group import GroupSettings, group
from nanolake.pipeline import classifiers
from nanolake.pipeline.work import StageReport, bring_back, run_once
from nanolake.progress import Progress, silent
from nanolake.scaling import takes_log
from nanolake.storage import Lake, Origin, unit_key

STAGE = "classify"
_SCORES = (
    "accuracy",
    "cv_accuracy_mean",
    "cv_accuracy_sd",
    "accuracy_heldout_micrograph",
    "accuracy_heldout_experiment",
    "unseen_share_experiment",
    "null_accuracy",
    "null_cv_accuracy_mean",
    "majority_accuracy",
    "too_far_share",
)


def classify_lake(
    lake: Lake,
    settings: ClassifySettings | None = None,
    *,
    track: bool = True,
    progress: Progress = silent,
) -> StageReport:
    """Train a classifier on the newest grouping run; keep its scores and its model in the lake.

    ``track`` logs settings, scores, trials and model to the lake's MLflow as well. Raises
    `LakeError` where nothing has been grouped.
    """
    lake.follow()
    grouping = _grouping(lake)
    # A grouping of particles that do not differ has compared nothing: one group, nothing to learn.
    columns = tuple(grouping["columns"]) or ClassifySettings().columns
    chosen = (settings or ClassifySettings()).model_copy(update={"columns": columns})
    key = unit_key(STAGE, grouping["grouping_run_id"], chosen.fingerprint())

    def make() -> tuple[dict[str, Any], str]:
        particles = _particles(lake, chosen)
        trained = _train(particles, chosen, grouping)
        about = {
            "classifier_run_id": key[:16],
            "grouping_run_id": grouping["grouping_run_id"],
            "model_ids": _networks(particles, columns),
            "model_sha256": _keep(lake, key[:16], trained),
            "mlflow_run_id": _log(lake, trained, chosen) if track else None,
            "unit_key": key,
        }
        return {"classifier_run": [_row(trained, chosen) | about]}, _verdict(trained)

    def if_done() -> str:
        origin = Origin(step=STAGE, settings=chosen.fingerprint())
        again = bring_back(lake, "classifier_run", "grouping_run_id", [key], origin)
        return "made the current one again" if again else ""

    return run_once(
        lake,
        stage=STAGE,
        noun="classifiers",
        key=key,
        subject=grouping["grouping_run_id"],
        make=make,
        settings=chosen.fingerprint(),
        if_done=if_done,
        progress=progress,
    )


def _grouping(lake: Lake) -> dict[str, Any]:
    rows = lake.query(
        "SELECT grouping_run_id, columns, settings_json FROM grouping_current"
    ).to_pylist()
    if not rows:
        raise LakeError("there are no groups to learn: run `nanolake group` first")
    row: dict[str, Any] = rows[0]
    return row


def _particles(lake: Lake, settings: ClassifySettings) -> dict[str, Any]:
    """Return what is learnt from, as columns: particles that the grouping itself has assigned.

    Of more than ``max_rows``, as many drawn by lot; the lot is the particle's id and the seed.
    """
    names = dict.fromkeys(
        ("shape_group", "micrograph_id", "experiment_id", "model_id", *settings.columns)
    )
    found = lake.query(
        f"SELECT {', '.join(names)} FROM morphology WHERE shape_group_source = 'grouping' "
        "AND shape_group > 0 ORDER BY md5(particle_id || $seed) LIMIT $rows",
        {"seed": str(settings.seed), "rows": settings.max_rows},
    )
    if found.num_rows == 0:
        raise LakeError("no particle of the current groups is in the lake: run `nanolake group`")
    return {name: found.column(place).to_pandas() for place, name in enumerate(names)}


def _train(
    particles: Mapping[str, Any], settings: ClassifySettings, grouping: Mapping[str, Any]
) -> Classification:
    return classify(
        particles,
        particles["shape_group"].to_numpy(),
        particles["micrograph_id"].to_numpy(),
        particles["experiment_id"].to_numpy(),
        settings,
        label_null=label_as_grouped(grouping["settings_json"], settings.columns),
    )


def label_as_grouped(settings_json: str, columns: tuple[str, ...]) -> Labeller:
    """Return the function that divides other rows of ``columns`` as a grouping run divided its own.

    ``settings_json`` are the run's settings: its scaling, weights, method and starts are taken,
    the number of groups is given. A setting that has come since has its default, one that is gone
    is left out: the groups of an older run can still be learnt.
    """
    stored = json.loads(settings_json)
    known = {name: stored[name] for name in GroupSettings.model_fields if name in stored}
    asked = GroupSettings(**known | {"columns": columns, "engine": "scikit-learn"})

    def label(raw: Any, k: int) -> Any:
        # Nothing is chosen here, so nothing needs to be scored more often than it must be.
        few = {"k": k, "k_min": k, "k_max": k, "null_runs": 2, "bootstrap_runs": 2}
        values = zip(columns, raw.T, strict=True)
        table = {name: np.exp(x) if takes_log(name) else x for name, x in values}
        return group(table, asked.model_copy(update=few)).labels.astype(np.int64)

    return label


def _networks(particles: Mapping[str, Any], columns: tuple[str, ...]) -> list[str] | None:
    """Return the shape networks whose parameters were learnt from; None where none were."""
    measured = {column.name for column in get_table("particle").columns}
    if measured.issuperset(columns):
        return None
    return sorted(particles["model_id"].dropna().unique())


def _verdict(trained: Classification) -> str:
    if trained.accuracy is None:
        return trained.reason
    words = f"accuracy {trained.accuracy:.1%}"
    if trained.null_accuracy is not None:
        words += f"; {trained.null_accuracy:.1%} on data without structure"
    return words


def _keep(lake: Lake, classifier_run_id: str, trained: Classification) -> str | None:
    return classifiers.keep(lake, classifier_run_id, trained) if trained.can_predict else None


def _log(lake: Lake, trained: Classification, settings: ClassifySettings) -> str:
    scores = {name: getattr(trained, name) for name in _SCORES}
    with tempfile.TemporaryDirectory() as folder:
        model, trials = Path(folder) / classifiers.FILE, Path(folder) / "trials.json"
        trained.save(model)
        trials.write_text(json.dumps(_trials(trained), indent=2), encoding="utf-8")
        return lake.registry(classifiers.MLFLOW_EXPERIMENT).log(
            run_name="svm",
            params=settings.model_dump(mode="json"),
            metrics={name: value for name, value in scores.items() if value is not None},
            files=(model, trials),
        )


def _trials(trained: Classification) -> list[dict[str, float]]:
    return trained.search.as_rows() if trained.search else []


def _row(trained: Classification, settings: ClassifySettings) -> dict[str, Any]:
    """Return the row of ``classifier_run`` but for where it belongs and where its model is."""
    counts = ("train_count", "test_count", "wrong_count", "cost", "gamma")
    confusion = {
        "labels": list(trained.labels),
        "counts": trained.confusion.tolist(),
        "precision": list(trained.precision),
        "recall": list(trained.recall),
    }
    return {
        "method": "svm",
        "columns": list(trained.columns),
        "reason": trained.reason,
        **{name: getattr(trained, name) for name in (*_SCORES, *counts)},
        "confusion_json": json.dumps(confusion),
        "trials_json": json.dumps(_trials(trained)),
        "left_out_groups": json.dumps(list(trained.left_out_groups)),
        "settings_json": settings.as_json(),
        "code_version": __version__,
        "created_at": datetime.now(UTC),
    }
