"""Describe: label images -> p, d, L_ratio and the re-simulated overlap of every particle."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nanolake.contracts import conform
from nanolake.engines import Engine
from nanolake.errors import ModelError
from nanolake.pipeline.segment import particle_ids
from nanolake.pipeline.work import Job, Made, StageReport, new_run_id, run_jobs
from nanolake.progress import Progress, silent
from nanolake.shape import ShapePredictor, predict_particles
from nanolake.storage import ImageStore, Lake, unit_key

STAGE = "describe"


@dataclass(frozen=True, kw_only=True)
class DescribeItem:
    """One segmented micrograph. ``pixel_aspect`` is pixel height over pixel width."""

    segmentation_id: str
    segmentation_run_id: str
    micrograph_id: str
    label_path: str
    pixel_aspect: float
    unit_key: str


@dataclass(frozen=True, kw_only=True)
class DescribeTask:
    """Holds the shape network at ``weights`` (None: the shipped one), once a worker."""

    pixels_root: str
    weights: str | None = None

    def open(self) -> Callable[[Job], Made]:
        """Load the network and return the function of one segmented micrograph."""
        predictor = ShapePredictor(self.weights)
        store = ImageStore(self.pixels_root)
        return lambda job: describe_micrograph(job.item, store, predictor)


def describe_micrograph(item: DescribeItem, store: ImageStore, predictor: ShapePredictor) -> Made:
    """Predict every particle of one label image and return the rows."""
    started = time.perf_counter()
    labels = store.read(item.label_path)
    shapes = predict_particles(None, labels, predictor, pixel_aspect=item.pixel_aspect)
    ids = {
        "segmentation_id": item.segmentation_id,
        "model_id": predictor.model_id,
        "model_name": predictor.name,
        "unit_key": item.unit_key,
        "created_at": datetime.now(UTC),
    }
    predictions = {
        **shapes,
        **ids,
        "micrograph_id": item.micrograph_id,
        "segmentation_run_id": item.segmentation_run_id,
        "particle_id": particle_ids(item.segmentation_id, shapes["label"]),
    }
    row = {
        **ids,
        "particle_count": len(shapes["label"]),
        "wall_s": time.perf_counter() - started,
    }
    return Made(
        tables={
            "shape_inference": conform("shape_inference", row),
            "shape_prediction": conform("shape_prediction", predictions),
        }
    )


def describe_lake(
    lake: Lake,
    weights: Path | None = None,
    *,
    engine: Engine,
    run_id: str | None = None,
    progress: Progress = silent,
    retry_failed: bool = False,
) -> StageReport:
    """Describe every current particle that this model has not described yet.

    ``weights`` None means the lake's champion, or the shipped network where there is none.
    """
    chosen = weights or champion(lake)
    model_id = ShapePredictor(chosen).model_id
    return run_jobs(
        lake,
        engine,
        DescribeTask(pixels_root=str(lake.images.root), weights=str(chosen) if chosen else None),
        _jobs(lake, model_id),
        stage=STAGE,
        run_id=run_id or new_run_id(),
        current=("shape_inference", "segmentation_id"),
        progress=progress,
        retry_failed=retry_failed,
        shown_rows=("shape_prediction",),
    )


def champion(lake: Lake) -> Path | None:
    """Return the weights of the lake's champion, or None where none was ever registered."""
    if not (lake.root / "models" / "mlflow.sqlite").exists():
        return None
    from nanolake.shape.settings import ShapeTrainSettings
    from nanolake.storage.models import ModelRegistry

    registry = ModelRegistry(lake.tracking_uri, experiment="shape-network")
    try:
        path, _ = registry.fetch(ShapeTrainSettings().name, lake.root / "models" / "champion")
    except ModelError:
        return None
    return path


def _jobs(lake: Lake, model_id: str) -> list[Job]:
    rows = lake.query(
        "SELECT s.segmentation_id, s.segmentation_run_id, s.micrograph_id, s.label_path, "
        "coalesce(m.pixel_size_y_nm / m.pixel_size_x_nm, 1.0) AS pixel_aspect "
        "FROM segmentation_current s JOIN micrograph_current m USING (micrograph_id) "
        "ORDER BY s.segmentation_id"
    ).to_pylist()
    jobs = []
    for row in rows:
        key = unit_key(STAGE, row["segmentation_id"], model_id)
        jobs.append(
            Job(
                key=key,
                subject=row["label_path"],
                item=DescribeItem(unit_key=key, **row),
                micrograph_id=row["micrograph_id"],
            )
        )
    return jobs
