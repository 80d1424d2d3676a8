"""Train a network: simulate, fit on Ray Train, export, score, register."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from nanolake.errors import SettingsError
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.shape.settings import ShapeTrainSettings

if TYPE_CHECKING:
    from nanolake.model_files import Exports
    from nanolake.storage import Lake

TrainSettings = ShapeTrainSettings | SegmenterTrainSettings


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What a training leaves: files, scores, and its place in MLflow."""

    weights: Path
    """ONNX file for the stage that uses the network; the model card lies beside it."""
    metrics: Mapping[str, float]
    mlflow_run_id: str
    model_name: str
    model_version: int
    summary: str
    """Its main score, in words."""

    def line(self) -> str:
        """Return the training's last line."""
        return (
            f"train: {self.model_name} version {self.model_version}: {self.summary}; {self.weights}"
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a training runs and what it leaves its files in."""

    out: Path
    """Folder of the weights; ``out/runs/<run_name>`` holds the checkpoints."""
    tracking_uri: str
    """MLflow's database or server."""
    workers: int = 2
    """Processes."""
    gpu: bool = False
    """One GPU a worker; otherwise ``threads`` CPU cores."""
    threads: int = 1
    """CPU cores a worker computes with."""
    precision: str = "32-true"
    """Lightning's name of the number format; ``bf16-mixed`` is faster on a GPU."""

    @classmethod
    def of_lake(cls, lake: Lake, **values: Any) -> Self:
        """Return the place where a lake keeps its trainings and models."""
        out = lake.root / "models" / "training"
        return cls(out=out, tracking_uri=lake.tracking_uri, **values)


def train_network(
    settings: TrainSettings, place: Place, *, hand_drawn: Path | None = None, progress: Any = None
) -> TrainedModel:
    """Train the network that ``settings`` belong to; export, score, log to MLflow, register it.

    ``out/runs/<run_name>`` holds the checkpoints: the same call resumes from the last one, and a
    finished run is only exported and scored again. ``hand_drawn`` is a folder of label images
    (PNG) to score a shape network on, never to train on. ``progress`` is called as (epochs done,
    epochs in all, metrics). Raises `ModelError` where a file that the settings name is missing or
    holds no checkpoint of this network.
    """
    from nanolake.engines.train import train_lightning

    _check(place)
    stage = _stage(settings)
    makers = stage.makers(settings)
    _same_settings(settings, place.out / "runs" / settings.run_name)
    registry = _registry(place.tracking_uri, stage.EXPERIMENT)
    trained = train_lightning(_job(settings, place, makers), progress=progress)
    more = {} if hand_drawn is None else {"hand_drawn": _label_images(hand_drawn)}
    made: Exports = stage.export(
        settings,
        trained.checkpoint,
        trained.history,
        out=place.out,
        workers=place.workers,
        **more,
    )
    run_id = registry.log(
        run_name=settings.run_name,
        params={**settings.model_dump(mode="json"), "workers": place.workers, "gpu": place.gpu},
        metrics={name: value for name, value in made.metrics.items() if math.isfinite(value)},
        history=trained.history,
        files=(made.card, made.details, *made.more),
    )
    version = registry.register(settings.name, made.weights, run_id)
    return TrainedModel(
        weights=made.weights,
        metrics=made.metrics,
        mlflow_run_id=run_id,
        model_name=version.name,
        model_version=version.version,
        summary=stage.SUMMARY.format(**made.metrics),
    )


def _stage(settings: TrainSettings) -> Any:
    """Return the module that knows the network: ``makers``, ``export``, and what to call it."""
    if isinstance(settings, SegmenterTrainSettings):
        return import_module("nanolake.segment.learned.train")
    return import_module("nanolake.shape.train")


def _check(place: Place) -> None:
    for name in ("workers", "threads"):
        if getattr(place, name) < 1:
            raise SettingsError(f"{name}={getattr(place, name)} must be 1 or more")


def _job(settings: TrainSettings, place: Place, makers: Sequence[Callable[[], Any]]) -> Any:
    from nanolake.engines.train import LightningJob

    return LightningJob(
        make_module=makers[0],
        make_data=makers[1],
        epochs=settings.epochs,
        name=settings.run_name,
        storage=place.out / "runs",
        workers=place.workers,
        gpu=place.gpu,
        threads=place.threads,
        precision=place.precision,
        max_failures=settings.max_failures,
        seed=settings.seed,
    )


def _registry(tracking_uri: str, experiment: str) -> Any:
    from nanolake.storage.models import ModelRegistry

    return ModelRegistry(tracking_uri, experiment=experiment)


def _same_settings(settings: TrainSettings, folder: Path) -> None:
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
