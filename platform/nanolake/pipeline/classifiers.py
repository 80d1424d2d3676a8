"""Where a lake keeps its classifiers, and how one is found again by the id of its run.

The file lies in ``models/classifiers/`` of the lake, with a copy in the run in MLflow. The row in
``classifier_run`` holds its SHA-256: whatever is loaded is what was trained.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from nanolake.classify import Classification
from nanolake.errors import LakeError, ModelError
from nanolake.storage import Lake

CURRENT = "current"
"""Stands for the newest classifier of the current groups."""
MLFLOW_EXPERIMENT = "shape-classifier"
FILE = "classifier.npz"
_REMEDY = "train it anew with `nanolake classify --set seed=1` (any seed not used yet)"


def model_path(classifier_run_id: str) -> str:
    """Return where a lake keeps a classifier's file, below where its data lie."""
    return f"models/classifiers/{classifier_run_id}.npz"


def keep(lake: Lake, classifier_run_id: str, trained: Classification) -> str:
    """Write the classifier's file into the lake and return its SHA-256."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / FILE
        trained.save(made)
        lake.data.copy_in(made, model_path(classifier_run_id))
        return _sha256(made)


def find(lake: Lake, run: str) -> dict[str, Any]:
    """Return the row of ``classifier_run`` whose id begins with ``run``, or that of `CURRENT`.

    Raises `LakeError` where there is none, or several.
    """
    if run == CURRENT:
        return _current(lake)
    rows = lake.query(
        "SELECT DISTINCT ON (classifier_run_id) * FROM classifier_run "
        "WHERE starts_with(classifier_run_id, $run) ORDER BY classifier_run_id, created_at DESC",
        {"run": run},
    ).to_pylist()
    if len(rows) != 1:
        ids = [row["classifier_run_id"] for row in rows] or _known(lake)
        what = "is the beginning of several classifiers" if rows else "is no classifier"
        raise LakeError(f"{run!r} {what}; known: {', '.join(ids[:20]) or 'none'}")
    row: dict[str, Any] = rows[0]
    return row


def load(lake: Lake, row: dict[str, Any]) -> Classification:
    """Load the classifier of a row of ``classifier_run``.

    Raises `ModelError` where nothing was learnt, where its file is neither in the lake nor in
    MLflow, and where it is another than the one that was trained.
    """
    name = row["classifier_run_id"]
    if row["model_sha256"] is None:
        why = row["reason"] or "it was trained by an older nanolake; train again"
        raise ModelError(f"classifier {name} cannot predict: {why}")
    where = lake.data.where(model_path(name))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / FILE
        try:
            lake.data.copy_out(model_path(name), copy)
        except FileNotFoundError:
            copy = _from_mlflow(lake, row, Path(folder), where)
        return _checked(copy, row, where)


def _from_mlflow(lake: Lake, row: dict[str, Any], folder: Path, where: str) -> Path:
    missing = f"the file of classifier {row['classifier_run_id']} is missing ({where})"
    if row["mlflow_run_id"] is None:
        raise ModelError(f"{missing}: {_REMEDY}")
    try:
        return lake.registry(MLFLOW_EXPERIMENT).files(row["mlflow_run_id"], folder) / FILE
    except (ModelError, OSError) as error:
        raise ModelError(f"{missing}, and {error}: {_REMEDY}") from error


def _checked(path: Path, row: dict[str, Any], where: str) -> Classification:
    if not path.is_file():
        raise ModelError(f"{where} is missing, and not in MLflow: {_REMEDY}")
    if _sha256(path) != row["model_sha256"]:
        raise ModelError(
            f"{where} is not the file that classifier {row['classifier_run_id']} was stored as: "
            f"remove it, or {_REMEDY}"
        )
    return Classification.load(path)


def _current(lake: Lake) -> dict[str, Any]:
    rows = lake.query(
        "SELECT c.* FROM classifier_run c JOIN grouping_current USING (grouping_run_id) "
        "ORDER BY c.created_at DESC, c.classifier_run_id LIMIT 1"
    ).to_pylist()
    if not rows:
        raise LakeError("the current groups have no classifier: run `nanolake classify` first")
    row: dict[str, Any] = rows[0]
    return row


def _known(lake: Lake) -> list[str]:
    rows = lake.query(
        "SELECT classifier_run_id AS id, max(created_at) AS newest FROM classifier_run "
        "GROUP BY 1 ORDER BY newest DESC"
    ).to_pylist()
    return [row["id"] for row in rows]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
