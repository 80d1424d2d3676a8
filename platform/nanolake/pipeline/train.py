"""Train a network: simulate, fit on Ray Train, export, score, register."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nanolake.errors import SettingsError
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.shape.settings import ShapeTrainSettings

if TYPE_CHECKING:
    from nanolake.engines.train import Trained
    from nanolake.model_files import Exports

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


def train_network(settings: TrainSettings, place: Place, *, progress: Any = None) -> TrainedModel:
    """Train the network that ``settings`` belong to: `train_shape` or `train_segmenter`."""
    if isinstance(settings, SegmenterTrainSettings):
        return train_segmenter(settings, place, progress=progress)
    return train_shape(
        settings,
        out=place.out,
        tracking_uri=place.tracking_uri,
        workers=place.workers,
        gpu=place.gpu,
        progress=progress,
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
    """Train the shape network, export to ``out``, score, log to MLflow, register as `champion`.

    ``out/runs/<run_name>`` holds the checkpoints: the same call resumes from the last one, and a
    finished run is only exported again. ``workers`` processes, each with one CPU core, or one GPU
    with ``gpu``. ``hand_drawn`` is a folder of label images (PNG) to score on, never to train on.
    ``progress`` is called as (epochs done, epochs in all, metrics).
    """
    from nanolake.shape.train import data_maker, export, module_maker

    def finish(trained: Trained) -> Exports:
        masks = None if hand_drawn is None else _label_images(hand_drawn)
        return export(settings, trained.checkpoint, trained.history, out=out, hand_drawn=masks)

    return _train(
        settings,
        Place(out=out, tracking_uri=tracking_uri, workers=workers, gpu=gpu),
        makers=(module_maker(settings), data_maker(settings)),
        finish=finish,
        experiment="shape-network",
        summary="mean Jaccard {test_jaccard:.3f} on simulated crystals ({baseline_jaccard:.3f} by "
        "always answering the mean)",
        progress=progress,
    )


def train_segmenter(
    settings: SegmenterTrainSettings, place: Place, *, progress: Any = None
) -> TrainedModel:
    """Train the segmenter, export to ``place.out``, score, log to MLflow, register as `champion`.

    As `train_shape`: the same call resumes from the last checkpoint, and a finished run is only
    exported and scored again. Raises `ModelError` where ``start_from`` is no checkpoint of this
    network.
    """
    from nanolake.segment.learned.train import data_maker, described, export, module_maker

    described(settings)  # a missing start file is told before any worker starts

    def finish(trained: Trained) -> Exports:
        return export(
            settings, trained.checkpoint, trained.history, out=place.out, workers=place.workers
        )

    return _train(
        settings,
        place,
        makers=(module_maker(settings), data_maker(settings)),
        finish=finish,
        experiment="segmenter",
        summary="F1 {test_f1_50:.3f} at IoU 0.5, {test_f1_75:.3f} at 0.75 on simulated micrographs "
        "({baseline_f1_50:.3f} and {baseline_f1_75:.3f} by `threshold`)",
        progress=progress,
    )


def _train(
    settings: TrainSettings,
    place: Place,
    *,
    makers: tuple[Callable[[], Any], Callable[[], Any]],
    finish: Callable[[Trained], Exports],
    experiment: str,
    summary: str,
    progress: Any,
) -> TrainedModel:
    """Fit, ``finish`` the checkpoint into files, log and register them."""
    from nanolake.engines.train import train_lightning

    _check(place)
    _same_settings(settings, place.out / "runs" / settings.run_name)
    registry = _registry(place.tracking_uri, experiment)
    trained = train_lightning(_job(settings, place, makers), progress=progress)
    made = finish(trained)
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
        summary=summary.format(**made.metrics),
    )


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
