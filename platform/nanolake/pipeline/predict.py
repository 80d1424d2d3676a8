"""Predict: particles that a grouping has not seen -> its groups, without grouping again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from nanolake.classify import Classification
from nanolake.contracts import conform, get_table
from nanolake.engines import Engine, open_engine
from nanolake.errors import LakeError, SchemaError
from nanolake.pipeline import classifiers
from nanolake.pipeline.scope import experiment_ids
from nanolake.pipeline.work import Job, Made, StageReport, new_run_id, run_jobs
from nanolake.progress import Progress, silent
from nanolake.storage import Address, Lake, unit_key

STAGE = "predict"
OTHER_NETWORK = "other_network"
"""Why a particle has no group: its parameters are not those that the classifier learnt from."""
BLOCK = 64
"""Micrographs whose particles are read in one question."""


@dataclass(frozen=True, kw_only=True)
class PredictItem:
    """One segmented micrograph, and those that are read together with it."""

    segmentation_id: str
    model_id: str | None
    block: tuple[str, ...]
    unit_key: str


@dataclass(frozen=True, kw_only=True)
class PredictTask:
    """Holds one classifier of the lake, once a worker."""

    lake: Address
    classifier_run_id: str

    def open(self) -> Callable[[Job], Made]:
        """Load the classifier and return the function of one segmented micrograph."""
        lake = self.lake.open()
        row = classifiers.find(lake, self.classifier_run_id)
        particles = _Particles(lake, tuple(row["columns"]))
        trained, known = classifiers.load(lake, row), row["model_ids"]
        ids = {name: row[name] for name in ("classifier_run_id", "grouping_run_id")}
        return lambda job: predict_micrograph(job.item, particles.of(job.item), trained, known, ids)


def predict_micrograph(
    item: PredictItem,
    particles: pa.Table,
    trained: Classification,
    known_models: Sequence[str] | None,
    ids: dict[str, str],
) -> Made:
    """Put the ``particles`` of one segmented micrograph into groups and return the rows.

    ``known_models`` are the shape networks that the classifier learnt from; None: from none.
    """
    found = trained.predict(_numbers(particles, trained.columns))
    groups, reasons = found.shape_group.astype(object), found.reason.astype(object)
    if known_models is not None and item.model_id not in known_models:
        groups[:], reasons[:] = 0, OTHER_NETWORK
    unknown = groups == 0
    groups[unknown], reasons[~unknown] = None, None
    probability = [None if u else p for u, p in zip(unknown, found.probability, strict=True)]
    stamps = {"unit_key": item.unit_key, "created_at": datetime.now(UTC)}
    predictions = {
        **stamps,
        "classifier_run_id": ids["classifier_run_id"],
        "particle_id": particles.column("particle_id"),
        "shape_group": groups.tolist(),
        "probability": probability,
        "distance_ratio": found.distance_ratio,
        "reason": reasons.tolist(),
    }
    row = {
        **stamps,
        **ids,
        "segmentation_id": item.segmentation_id,
        "model_id": item.model_id,
        "particle_count": len(unknown),
        "unknown_count": int(unknown.sum()),
    }
    return Made(
        tables={
            "group_inference": conform("group_inference", row),
            "group_prediction": conform("group_prediction", predictions),
        }
    )


def predict_lake(
    lake: Lake,
    run: str = classifiers.CURRENT,
    *,
    experiments: Sequence[str] = (),
    engine: Engine | None = None,
    progress: Progress = silent,
) -> StageReport:
    """Put every current particle that the classifier's grouping has not seen into its groups.

    ``run`` is the id of a ``classifier_run``, the beginning of one, or ``current``. The groups of
    the grouping itself stay as they are; nothing is grouped again, and what was predicted before is
    not predicted again. ``experiments`` limits it to those; empty: all. The work is a few
    microseconds a particle, so ``engine`` None (serial) is right for millions of them. Raises
    `LakeError`, `ModelError` where the classifier cannot be found or used, and `SchemaError` where
    it learnt from a column that is no longer there.
    """
    lake.follow()
    row = classifiers.find(lake, run)
    trained = classifiers.load(lake, row)
    learnt_from = _network_columns(lake, trained.columns)
    jobs, waiting = _jobs(lake, row, experiments, uses_network=bool(learnt_from))
    task = PredictTask(lake=lake.address, classifier_run_id=row["classifier_run_id"])
    with engine or open_engine("serial") as pool:
        report = run_jobs(
            lake,
            pool,
            task,
            jobs,
            stage=STAGE,
            run_id=new_run_id(),
            settings=row["classifier_run_id"],
            current=("group_inference", "segmentation_id"),
            progress=progress,
            shown_rows=("group_prediction",),
        )
    return _with_note(report, lake, row["classifier_run_id"], jobs, waiting)


def _network_columns(lake: Lake, columns: Sequence[str]) -> list[str]:
    """Return which columns a shape network made; raise `SchemaError` where one is not there."""
    there = {name.lower() for name in lake.query("FROM morphology LIMIT 0").column_names}
    if gone := [name for name in columns if name.lower() not in there]:
        raise SchemaError(
            f"the classifier learnt from {', '.join(gone)}, which the view morphology does not "
            "have: group and classify again with this nanolake"
        )
    measured = {column.name.lower() for column in get_table("particle").columns}
    return [name for name in columns if name.lower() not in measured]


def _jobs(
    lake: Lake, row: dict[str, Any], experiments: Sequence[str], *, uses_network: bool
) -> tuple[list[Job], int]:
    """Return a job a micrograph that the grouping has not seen, and how many are not described."""
    found = _unseen(lake, row["grouping_run_id"], experiments)
    ready = [one for one in found if one["model_id"] is not None or not uses_network]
    jobs = []
    for start in range(0, len(ready), BLOCK):
        together = ready[start : start + BLOCK]
        block = tuple(one["segmentation_id"] for one in together)
        for one in together:
            model_id = one["model_id"] if uses_network else None
            words = (row["classifier_run_id"], one["segmentation_id"], model_id or "")
            key = unit_key(STAGE, *words)
            item = PredictItem(
                segmentation_id=one["segmentation_id"], model_id=model_id, block=block, unit_key=key
            )
            names = {name: one[name] for name in ("micrograph_id", "experiment_id")}
            jobs.append(Job(key=key, subject=one["image_path"], item=item, **names))
    return jobs, len(found) - len(ready)


def _unseen(lake: Lake, grouping_run_id: str, experiments: Sequence[str]) -> list[dict[str, Any]]:
    """Return the current segmentations with particles, none of which the grouping has seen."""
    wanted = experiment_ids(lake, experiments)
    rows: list[dict[str, Any]] = lake.query(
        "SELECT s.segmentation_id, s.micrograph_id, m.image_path, h.experiment_id, si.model_id "
        "FROM segmentation_current s JOIN micrograph_current m USING (micrograph_id) "
        "JOIN micrograph_home h USING (micrograph_id) "
        "LEFT JOIN shape_inference_current si USING (segmentation_id) "
        "WHERE s.particle_count > 0 AND (len($wanted) = 0 OR list_contains($wanted, "
        "h.experiment_id)) AND s.segmentation_id NOT IN (SELECT p.segmentation_id FROM particle p "
        "JOIN group_assignment a USING (particle_id) WHERE a.grouping_run_id = $grouping) "
        "ORDER BY h.experiment_id, s.segmentation_id",
        {"wanted": wanted, "grouping": grouping_run_id},
    ).to_pylist()
    return rows


def _with_note(
    report: StageReport, lake: Lake, classifier_run_id: str, jobs: Sequence[Job], waiting: int
) -> StageReport:
    """Return the report with what was found: how many of the particles are of no known group."""
    counts = lake.query(
        "SELECT coalesce(sum(particle_count), 0) AS n, coalesce(sum(unknown_count), 0) AS unknown "
        "FROM (SELECT DISTINCT unit_key, particle_count, unknown_count FROM group_inference "
        "WHERE unit_key IN (SELECT unnest($keys)))",
        {"keys": [job.key for job in jobs]},
    ).to_pylist()[0]
    words = [f"classifier {classifier_run_id}"]
    words += [f"{counts['unknown']:,} of {counts['n']:,} particles are of no known group"]
    words += [f"{waiting} micrographs wait for `nanolake describe`"] if waiting else []
    words += [report.note] if report.note else []
    return replace(report, note="; ".join(words))


class _Particles:
    """Reads the particles of a block of micrographs at a time, only the columns needed."""

    def __init__(self, lake: Lake, columns: tuple[str, ...]) -> None:
        self._lake, self._names = lake, ("particle_id", "segmentation_id", *columns)
        self._block: tuple[str, ...] = ()
        self._rows: pa.Table | None = None

    def of(self, item: PredictItem) -> pa.Table:
        """Return the particles of one segmented micrograph, ordered by id."""
        import pyarrow.compute as pc

        if self._rows is None or self._block != item.block:
            self._rows = self._lake.query(
                f"SELECT {', '.join(self._names)} FROM morphology "
                "WHERE segmentation_id IN (SELECT unnest($block)) ORDER BY particle_id",
                {"block": list(item.block)},
            )
            self._block = item.block
        mine = pc.equal(self._rows.column("segmentation_id"), item.segmentation_id)
        found = self._rows.filter(mine)
        if found.num_rows == 0:
            raise LakeError(f"the particles of {item.segmentation_id} are gone from the lake")
        return found


def _numbers(particles: pa.Table, columns: Sequence[str]) -> dict[str, Any]:
    return {
        name: particles.column(place + 2).cast(pa.float64()).to_numpy()
        for place, name in enumerate(columns)
    }
