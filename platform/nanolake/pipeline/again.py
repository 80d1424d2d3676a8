"""A training made again from its MLflow run: the same settings, the same data, as many workers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nanolake import __version__
from nanolake.errors import ModelError
from nanolake.model_files import input_files, sha256
from nanolake.pipeline.train import (
    RECORD,
    Place,
    TrainedModel,
    TrainSettings,
    train_network,
    with_harvest,
)
from nanolake.progress import Progress, silent
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.storage.models import ModelRegistry


def train_again(
    run_id: str, place: Place, *, progress: Any = None, harvest_progress: Progress = silent
) -> TrainedModel:
    """Repeat the training of an MLflow run and compare the learning curves.

    Settings, workers and files are the run's own, taken from MLflow and checked by hash; simulated
    micrographs are made again where they are gone. On the same machine the curve is the same to
    the last digit. The result lies in ``place.out/again/RUN_ID`` and is registered as any other.
    Raises `ModelError` where the run is unknown, is no training, or its data cannot be had again.
    """
    out = place.out / "again" / run_id
    files = ModelRegistry(place.tracking_uri, artifacts=place.artifacts).files(run_id, out / "run")
    record, history = _read(files, run_id)
    place = replace(place, out=out, **record["place"])
    settings = with_harvest(_settings(record, files, run_id), place, harvest_progress)
    _check_inputs(settings, record, run_id)
    made = train_network(settings, place, progress=progress)
    details = json.loads(made.weights.with_suffix(".json").read_text(encoding="utf-8"))
    return replace(made, note=_compared(details["history"], history, run_id, record))


def _read(files: Path, run_id: str) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Return the run's record and its learning curve."""
    records = sorted((files / RECORD).glob("*.record.json"))
    if not records:
        raise ModelError(f"run {run_id!r} keeps no training: name the run of a `nanolake train`")
    record: dict[str, Any] = json.loads(records[0].read_text(encoding="utf-8"))
    details = files / f"{record['settings']['name']}.json"
    return record, json.loads(details.read_text(encoding="utf-8"))["history"]


def _settings(record: Mapping[str, Any], files: Path, run_id: str) -> TrainSettings:
    """Return the run's settings with its files at their new place."""
    kind: type[TrainSettings] = ShapeTrainSettings
    if record["network"] == SegmenterTrainSettings.__name__:
        kind = SegmenterTrainSettings
    values = dict(record["settings"])
    for name, about in record["inputs"].items():
        kept = files / RECORD / name / about["file"]
        there = Path(values[name])
        values[name] = kept if kept.is_file() else there if there.is_dir() else None
    values["run_name"] = f"{values['run_name']}-again-{run_id[:8]}"
    return kind.build(values)


def _check_inputs(settings: TrainSettings, record: Mapping[str, Any], run_id: str) -> None:
    paths = input_files(settings)
    for name, about in record["inputs"].items():
        found = sha256(paths[name], "it is gone") if name in paths else "nothing"
        if found != about["sha256"]:
            raise ModelError(
                f"{name} of run {run_id} was {about['file']} with SHA-256 {about['sha256'][:16]}…, "
                f"now there is {found[:16]}…: nanolake {record['code_version']} made it, this is "
                f"{__version__}; the training cannot be repeated"
            )


def _compared(
    new: Sequence[Mapping[str, float]],
    old: Sequence[Mapping[str, float]],
    run_id: str,
    record: Mapping[str, Any],
) -> str:
    if list(new) == list(old):
        return f"the same learning curve as run {run_id}"
    if len(new) != len(old):
        return f"{len(new)} epochs instead of the {len(old)} of run {run_id}"
    apart = max(
        (abs(a[name] - b[name]) for a, b in zip(new, old, strict=True) for name in a if name in b),
        default=0.0,
    )
    return (
        f"the learning curve differs from that of run {run_id} by up to {apart:.2g} (that was "
        f"nanolake {record['code_version']}; another machine or package rounds differently)"
    )
