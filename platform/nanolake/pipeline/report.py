"""Report: what the lake knows of one experiment, of a question's particles, or of everything."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from nanolake import __version__
from nanolake.errors import LakeError
from nanolake.pipeline.scope import experiment_ids, experiment_titles
from nanolake.report import ReportData, ReportMicrograph, build_report
from nanolake.report.columns import every_quantity
from nanolake.report.data import OpenPictures
from nanolake.storage import Lake

SHOWN_MICROGRAPHS = 6


def report_lake(
    lake: Lake,
    out: Path | None = None,
    *,
    experiments: Sequence[str] = (),
    sql: str | None = None,
    figures: bool = False,
) -> Path:
    """Write one self-contained HTML report and return its path.

    ``experiments`` limits it to named experiments; ``sql`` to the particles whose ``particle_id``
    the question returns; neither: the whole lake. ``out`` defaults to the lake's ``reports/``.
    ``figures`` writes every figure and table as single files beside it.
    """
    started = time.perf_counter()
    scope = _Scope(lake, experiments, sql)
    titles = experiment_titles(lake)
    particles = _particles(scope, titles)
    if sql and particles.empty:
        raise LakeError("no particles fit the question: see what it returns with `nanolake sql`")
    losses = _losses(scope, titles)
    data = ReportData(
        title=scope.title,
        query=sql or "",
        particles=particles,
        micrographs=_micrographs(scope, titles),
        open_pictures=_opener(lake),
        excluded=_excluded(losses),
        losses=losses,
        failures=_failures(scope),
        grouping=_grouping(lake),
        classifier=_classifier(lake),
        cost=_cost(lake),
        provenance=_provenance(lake, started),
    )
    target = out or lake.root / "reports" / f"{_slug(data.title)}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f"{target.stem}_files") if figures else None
    return Path(build_report(data, target, figures_dir=folder))


class _Scope:
    """What a report is about, as conditions on particles, micrographs and experiments."""

    def __init__(self, lake: Lake, experiments: Sequence[str], sql: str | None) -> None:
        if sql and experiments:
            raise LakeError("name experiments or give a question, not both")
        self.lake = lake
        self.title = ", ".join(experiments) or (
            "Particles of a question" if sql else "All experiments"
        )
        self._bound = {"experiments": experiment_ids(lake, experiments)} if experiments else {}
        if sql:
            asked = sql.strip().rstrip(";")  # it may end in a comment: the line break ends that
            inside = f"SELECT asked.particle_id FROM ({asked}\n) AS asked"
            pictures = f"SELECT micrograph_id FROM particle WHERE particle_id IN ({inside})"
            homes = f"SELECT experiment_id FROM micrograph_home WHERE micrograph_id IN ({pictures})"
            self._words = {
                "particles": f"particle_id IN ({inside})",
                "pictures": f"micrograph_id IN ({pictures})",
                "experiments": f"experiment_id IN ({homes})",
            }
        elif experiments:
            inside = "list_contains($experiments, experiment_id)"
            pictures = f"SELECT micrograph_id FROM micrograph_home WHERE {inside}"
            self._words = {
                "particles": inside,
                "pictures": f"micrograph_id IN ({pictures})",
                "experiments": inside,
            }
        else:
            self._words = {"particles": "true", "pictures": "true", "experiments": "true"}

    def query(self, text: str) -> Any:
        """Answer ``text`` with ``{particles}``, ``{pictures}``, ``{experiments}`` filled in."""
        for name, words in self._words.items():
            text = text.replace(f"{{{name}}}", words)
        return self.lake.query(text, self._bound if "$experiments" in text else ())


def _slug(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title.lower()).strip("-")[:80]


NEEDED = (
    *("particle_id", "micrograph_id", "experiment_id", "experiment", "lab", "sample", "label"),
    *("shape_group", "shape_group_source", "shape_group_reason"),
    *("d_mean", "bbox_min_y_px", "bbox_min_x_px", "bbox_max_y_px", "bbox_max_x_px"),
)
"""Columns of ``morphology`` that a report needs beside the features."""
IN_PIXELS = ("equivalent_diameter_area_px", "area_px2")
"""Needed where the lengths are in nm too: of particles without a known pixel size."""


def _particles(scope: _Scope, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return the particles with what the report needs of them: lengths in one unit only."""
    known = scope.query(
        "SELECT count(equivalent_diameter_area_nm) AS nm FROM morphology WHERE {particles}"
    ).to_pylist()[0]["nm"]
    other = ("px", "px²") if known else ("nm", "nm²")
    features = [item.column for item in every_quantity() if item.unit not in other]
    there = set(scope.query("SELECT * FROM morphology LIMIT 0").column_names)
    wanted = dict.fromkeys([*NEEDED, *IN_PIXELS, *features])
    chosen = ", ".join(f'"{name}"' for name in wanted if name in there)
    found: pd.DataFrame = scope.query(
        f"SELECT {chosen} FROM morphology WHERE {{particles}} ORDER BY particle_id"
    ).to_pandas()
    found["experiment"] = found["experiment_id"].map(titles)
    return found.drop(columns="experiment_id")


def _micrographs(scope: _Scope, titles: Mapping[str, str]) -> list[ReportMicrograph]:
    """The micrographs with most particles, all experiments before a second one of any."""
    rows = scope.query(
        f"""
        WITH counted AS (
            SELECT micrograph_id, experiment_id, any_value(path) AS path,
                   any_value(segmentation_id) AS segmentation_id, count(*) AS particle_count,
                   row_number() OVER (PARTITION BY experiment_id ORDER BY count(*) DESC,
                                      micrograph_id) AS rank
            FROM morphology WHERE {{particles}} GROUP BY micrograph_id, experiment_id
        )
        SELECT c.*, m.image_path, m.pixel_size_y_nm, m.pixel_size_x_nm, s.label_path
        FROM counted c JOIN micrograph_current m USING (micrograph_id)
        JOIN segmentation_current s ON s.segmentation_id = c.segmentation_id
        ORDER BY rank, experiment_id LIMIT {SHOWN_MICROGRAPHS}
        """
    ).to_pylist()
    return [_micrograph(scope.lake, row, titles[row["experiment_id"]]) for row in rows]


def _micrograph(lake: Lake, row: Mapping[str, Any], title: str) -> ReportMicrograph:
    y, x = row["pixel_size_y_nm"], row["pixel_size_x_nm"]
    return ReportMicrograph(
        micrograph_id=row["micrograph_id"],
        name=Path(row["path"]).name,
        experiment=title,
        pixels=lake.images.read(row["image_path"]),
        labels=lake.images.read(row["label_path"]),
        pixel_size_nm=(y, x) if y and x else None,
        particle_count=row["particle_count"],
    )


def _opener(lake: Lake) -> OpenPictures:
    """Return a reader of the current pictures and label images, one micrograph at a time."""

    def read(ids: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
        rows = lake.query(
            "SELECT micrograph_id, image_path, label_path FROM segmentation_current "
            "JOIN micrograph_current USING (micrograph_id) "
            "WHERE list_contains($ids, micrograph_id) ORDER BY micrograph_id",
            {"ids": list(ids)},
        ).to_pylist()
        for row in rows:
            pixels, labels = (lake.images.read(row[name]) for name in ("image_path", "label_path"))
            yield row["micrograph_id"], pixels, labels

    return read


REASONS = ("border", "small", "large", "print", "outlier")


def _losses(scope: _Scope, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return what segmentation kept and left out, a row an experiment."""
    sums = ", ".join(f"sum(excluded_{name})::BIGINT AS {name}" for name in REASONS)
    found: pd.DataFrame = scope.query(
        f"SELECT experiment_id, sum(particle_count)::BIGINT AS kept, {sums} "
        "FROM segmentation_current JOIN micrograph_home USING (micrograph_id) "
        "WHERE {pictures} GROUP BY experiment_id ORDER BY experiment_id"
    ).to_pandas()
    found.insert(0, "experiment", found.pop("experiment_id").map(titles))
    return found.sort_values("experiment", ignore_index=True)


def _cost(lake: Lake) -> pd.DataFrame:
    """Return the work of the whole lake by stage, in the order of the pipeline."""
    found: pd.DataFrame = lake.query(
        "SELECT step AS stage, count(*) FILTER (state = 'done') AS units, "
        "count(*) FILTER (state = 'failed') AS failed, sum(wall_s) AS computing_s "
        "FROM work_unit GROUP BY step"
    ).to_pandas()
    order = found["stage"].map({name: i for i, name in enumerate(STAGES)}).fillna(len(STAGES))
    return found.iloc[order.argsort(kind="stable")].reset_index(drop=True)


STAGES = ("ingest", "segment", "describe", "group", "classify")


def _excluded(losses: pd.DataFrame) -> dict[str, int]:
    sums = {name: int(losses[name].sum()) for name in REASONS}
    return {reason: count for reason, count in sums.items() if count}


def _failures(scope: _Scope) -> Any:
    return scope.query(
        "SELECT path, stage, reason, any_value(message) AS message FROM failure_current "
        "WHERE ({experiments}) OR (micrograph_id IS NOT NULL AND {pictures}) "
        "GROUP BY path, frame, stage, reason ORDER BY path, frame"
    ).to_pandas()


def _grouping(lake: Lake) -> dict[str, Any] | None:
    rows = lake.query("FROM grouping_current").to_pylist()
    return rows[0] if rows else None


def _classifier(lake: Lake) -> dict[str, Any] | None:
    rows = lake.query(
        "SELECT c.* FROM classifier_run c JOIN grouping_current USING (grouping_run_id) "
        "ORDER BY c.created_at DESC LIMIT 1"
    ).to_pylist()
    return rows[0] if rows and rows[0]["accuracy"] is not None else None


def _provenance(lake: Lake, started: float) -> dict[str, Any]:
    row = lake.query(
        "SELECT (SELECT max(snapshot_id) FROM lake.snapshots()) AS snapshot, "
        "(SELECT string_agg(DISTINCT segmentation_run_id, ', ') FROM segmentation_current) "
        "AS segmentation_run, "
        "(SELECT string_agg(DISTINCT model_name || ' ' || model_id, ', ') "
        "FROM shape_inference_current) AS shape_model"
    ).to_pylist()[0]
    return {
        "nanolake_version": __version__,
        "lake": lake.root.name,
        **row,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "collecting_s": round(time.perf_counter() - started, 1),
    }
