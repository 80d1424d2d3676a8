"""Train the shape network: simulate, fit on Ray Train, export, score, register."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nanolake.errors import SettingsError
from nanolake.shape.settings import ShapeTrainSettings


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What a training leaves: files, scores, and its place in MLflow."""

    weights: Path
    """ONNX file for `nanolake.shape.ShapePredictor`; the model card lies beside it."""
    metrics: Mapping[str, float]
    mlflow_run_id: str
    model_name: str
    model_version: int

    def line(self) -> str:
        """Return the training's last line."""
        score, guess = self.metrics["test_jaccard"], self.metrics["baseline_jaccard"]
        return (
            f"train: {self.model_name} version {self.model_version}: mean Jaccard {score:.3f} on "
            f"simulated crystals ({guess:.3f} by always answering the mean); {self.weights}"
        )


def train_shape(
    settings: ShapeTrainSettings,
    *,
    out: Path,
    tracking_uri: str,
    workers: int = 2,
    gpu: bool = False,
    hand_drawn: Path | None = None,
    progress: Any = None,
) -> TrainedModel:
    """Train, export to ``out``, score, log to MLflow and register as `champion`.

    ``out/runs/<run_name>`` holds the checkpoints: the same call resumes from the last one, and a
    finished run is only exported again. ``workers`` processes, each with one CPU core, or one GPU
    with ``gpu``. ``hand_drawn`` is a folder of label images (PNG) to score on, never to train on.
    ``progress`` is called as (epochs done, epochs in all, metrics).
    """
    from nanolake.engines.train import LightningJob, train_lightning
    from nanolake.shape.train import data_maker, export, module_maker

    if workers < 1:
        raise SettingsError(f"workers={workers} must be 1 or more")
    registry = _registry(tracking_uri)
    runs = out / "runs"
    _same_settings(settings, runs / settings.run_name)
    job = LightningJob(
        make_module=module_maker(settings),
        make_data=data_maker(settings),
        epochs=settings.epochs,
        name=settings.run_name,
        storage=runs,
        workers=workers,
        gpu=gpu,
        max_failures=settings.max_failures,
        seed=settings.seed,
    )
    trained = train_lightning(job, progress=progress)
    masks = None if hand_drawn is None else _label_images(hand_drawn)
    made = export(settings, trained.checkpoint, trained.history, out=out, hand_drawn=masks)
    run_id = registry.log(
        run_name=settings.run_name,
        params={**settings.model_dump(mode="json"), "workers": workers, "gpu": gpu},
        metrics={name: value for name, value in made.metrics.items() if math.isfinite(value)},
        history=trained.history,
        files=(made.card, made.details),
    )
    version = registry.register(settings.name, made.weights, run_id)
    return TrainedModel(
        weights=made.weights,
        metrics=made.metrics,
        mlflow_run_id=run_id,
        model_name=version.name,
        model_version=version.version,
    )


def _registry(tracking_uri: str) -> Any:
    from nanolake.storage.models import ModelRegistry

    return ModelRegistry(tracking_uri, experiment="shape-network")


def _same_settings(settings: ShapeTrainSettings, folder: Path) -> None:
    """Refuse to resume a run under other settings: its checkpoints would not fit."""
    note = folder.with_name(f"{folder.name}.settings.json")
    if folder.exists() and note.exists() and note.read_text(encoding="utf-8") != settings.as_json():
        raise SettingsError(
            f"run_name={settings.run_name!r}: {folder} holds a run with other settings; choose "
            "another run_name or remove the folder"
        )
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(settings.as_json(), encoding="utf-8")


def _label_images(folder: Path) -> Iterator[NDArray[Any]]:
    import cv2

    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise SettingsError(f"hand_drawn={str(folder)!r} holds no PNG label image")
    for path in paths:
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if labels is None or labels.ndim != 2:
            raise SettingsError(f"{path} is not a grey PNG that could be a label image")
        yield labels
