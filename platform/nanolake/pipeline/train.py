"""Train a network: simulate, fit on Ray Train, export, score, register."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from nanolake import __version__
from nanolake.errors import SettingsError
from nanolake.model_files import described, input_files, sha256
from nanolake.pipeline.promotion import judge
from nanolake.progress import Progress, silent
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.storage.models import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from nanolake.engines.train import Trained
    from nanolake.model_files import Exports
    from nanolake.storage import Lake
    from nanolake.storage.models import ModelRegistry

TrainSettings = ShapeTrainSettings | SegmenterTrainSettings
_OF_HARVEST = (
    *("micrographs", "paper_share", "crop_px", "harvested_share"),
    *("validation_crops", "test_crops"),
)
"""Settings that harvested crops depend on."""
RECORD = "training"
"""Folder of a run in MLflow that holds what it takes to repeat it."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What a training leaves: files, scores, and its place in MLflow."""

    weights: Path
    """ONNX file for the stage that uses the network; the model card lies beside it."""
    metrics: Mapping[str, float]
    mlflow_run_id: str
    model_name: str
    model_version: int
    champion: bool
    """Whether inference uses it from now on."""
    summary: str
    """Its main score, in words."""
    verdict: str
    """Why it is champion or challenger, in words, with the scores of both."""
    restarts: int = 0
    """How often a worker was lost and the training resumed."""
    note: str = ""

    def line(self) -> str:
        """Return the training's last line."""
        version = f"{self.model_name}/{self.model_version}"
        parts = [f"{self.model_name} version {self.model_version}: {self.summary}", self.verdict]
        if not self.champion:
            parts.append(f"to use it all the same: nanolake models --promote {version}")
        if self.restarts:
            times = "once" if self.restarts == 1 else f"{self.restarts} times"
            parts.append(f"a worker was lost and the training resumed {times}")
        parts += [self.note] if self.note else []
        return f"train: {'; '.join(parts)}; run {self.mlflow_run_id}; {self.weights}"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a training runs and what it leaves its files in."""

    out: Path
    """Folder of the weights; ``out/runs/<run_name>`` holds the checkpoints."""
    tracking_uri: str
    """MLflow's database or server."""
    artifacts: str | None = None
    """Where MLflow keeps the files; None: beside its SQLite file, or where its server says."""
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
        return cls(out=out, tracking_uri=lake.tracking_uri, artifacts=lake.artifacts, **values)


def train_network(
    settings: TrainSettings,
    place: Place,
    *,
    hand_drawn: Path | None = None,
    progress: Any = None,
    harvest_progress: Progress = silent,
) -> TrainedModel:
    """Train the network that ``settings`` belong to; export, score, log to MLflow, register it.

    ``out/runs/<run_name>`` holds the checkpoints: the same call resumes from the last one, and a
    finished run is only exported and scored again. ``hand_drawn`` is a folder of label images
    (PNG), or one that holds them in ``labels`` and their pictures by the same names in ``images``,
    to score a shape network on, never to train on. ``progress`` is called as (epochs done,
    epochs in all, metrics). Raises `ModelError` where a file that the settings name is missing or
    holds no checkpoint of this network.
    """
    from nanolake.engines.train import train_lightning

    _check(place)
    stage = _stage(settings)
    described(settings)  # a missing file is told before any work starts
    _same_settings(settings, place.out / "runs" / settings.run_name)
    settings = with_harvest(settings, place, harvest_progress)
    makers = stage.makers(settings)
    registry = _registry(place, stage.EXPERIMENT)
    trained = train_lightning(_job(settings, place, makers), progress=progress)
    more = {} if hand_drawn is None else {"hand_drawn": _hand_drawn(hand_drawn)}
    made: Exports = stage.export(
        settings,
        trained.checkpoint,
        trained.history,
        out=place.out,
        workers=place.workers,
        **more,
    )
    verdict = judge(made, settings, stage, registry, place.out / "champion")
    run_id = _log(registry, settings, place, trained, made)
    alias = CHAMPION if verdict.champion else CHALLENGER
    version = registry.register(settings.name, made.weights, run_id, alias=alias)
    return TrainedModel(
        weights=made.weights,
        metrics=made.metrics,
        mlflow_run_id=run_id,
        model_name=version.name,
        model_version=version.version,
        champion=verdict.champion,
        summary=stage.SUMMARY.format(**made.metrics),
        verdict=verdict.words,
        restarts=trained.restarts,
    )


def with_harvest(settings: TrainSettings, place: Place, progress: Progress) -> TrainSettings:
    """Return settings that name a folder of harvested crops, made where there is none yet."""
    if not isinstance(settings, ShapeTrainSettings) or settings.harvested is not None:
        return settings
    from nanolake.engines import open_engine
    from nanolake.pipeline.harvest import harvest_for_training

    told = {**settings.model_dump(include=set(_OF_HARVEST)), "nanolake": __version__}
    text = json.dumps(told, sort_keys=True)
    folder = place.out / "harvest" / hashlib.sha256(text.encode()).hexdigest()[:16]
    cores = None if place.gpu else place.workers * place.threads
    with open_engine("ray", workers=cores) as engine:
        harvest_for_training(folder, settings, engine=engine, progress=progress)
    return settings.model_copy(update={"harvested": folder})


def _log(
    registry: ModelRegistry,
    settings: TrainSettings,
    place: Place,
    trained: Trained,
    made: Exports,
) -> str:
    """Record the run in MLflow, with everything that `train_again` needs; return its id."""
    about = _record(settings, place)
    record = place.out / "runs" / f"{settings.run_name}.record.json"
    record.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    hashes = {f"{name}_sha256": one["sha256"] for name, one in about["inputs"].items()}
    run_id = registry.log(
        run_name=settings.run_name,
        params={
            **settings.model_dump(mode="json"),
            **about["place"],
            **hashes,
            "code_version": about["code_version"],
        },
        metrics={**made.metrics, "restarts": float(trained.restarts)},
        history=trained.history,
        files=(made.card, made.details, *made.more),
    )
    registry.attach(run_id, record, RECORD)
    for name, path in input_files(settings).items():
        if path.is_file():
            registry.attach(run_id, path, f"{RECORD}/{name}")
    return run_id


def _record(settings: TrainSettings, place: Place) -> dict[str, Any]:
    """Return what it takes to repeat a training."""
    words = ("workers", "threads", "gpu", "precision")
    return {
        "network": type(settings).__name__,
        "settings": settings.model_dump(mode="json"),
        "place": {name: getattr(place, name) for name in words},
        "inputs": {
            name: {"file": path.name, "sha256": sha256(path, "it was there when training began")}
            for name, path in input_files(settings).items()
        },
        "code_version": __version__,
    }


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


def _registry(place: Place, experiment: str) -> ModelRegistry:
    from nanolake.storage.models import ModelRegistry

    return ModelRegistry(place.tracking_uri, experiment=experiment, artifacts=place.artifacts)


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


def _hand_drawn(folder: Path) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
    """Yield label images, each with its picture where there is one."""
    import cv2

    within = folder / "labels" if (folder / "labels").is_dir() else folder
    paths = sorted(within.glob("*.png"))
    if not paths:
        raise SettingsError(f"hand_drawn={str(within)!r} holds no PNG label image")
    for path in paths:
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if labels is None or labels.ndim != 2:
            raise SettingsError(f"{path} is not a grey PNG that could be a label image")
        beside = within.parent / "images" / path.name
        pixels = cv2.imread(str(beside), cv2.IMREAD_GRAYSCALE) if within != folder else None
        if pixels is not None and pixels.shape != labels.shape:
            raise SettingsError(f"{beside} is not of the size of {path}")
        yield labels, pixels
