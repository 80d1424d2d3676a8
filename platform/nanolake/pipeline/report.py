"""Report: what the lake knows of one experiment, of a question's particles, or of everything."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanolake import __version__
from nanolake.errors import LakeError
from nanolake.report import ReportData, ReportMicrograph, build_report
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
    scope = _scope(experiments, sql)
    particles = lake.query(f"FROM morphology {scope} ORDER BY particle_id", _bound(experiments))
    if particles.num_rows == 0 and (experiments or sql):
        raise LakeError(f"no particles fit {_title(experiments, sql)}: see `nanolake sql`")
    data = ReportData(
        title=_title(experiments, sql),
        query=sql or "",
        particles=particles.to_pandas(),
        micrographs=_micrographs(lake, scope, experiments),
        excluded=_excluded(lake, scope, experiments),
        failures=_failures(lake, scope, experiments),
        grouping=_grouping(lake),
        classifier=_classifier(lake),
        provenance=_provenance(lake, started),
    )
    target = out or lake.root / "reports" / f"{_slug(data.title)}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.with_name(f"{target.stem}_files") if figures else None
    return Path(build_report(data, target, figures_dir=folder))


def _scope(experiments: Sequence[str], sql: str | None) -> str:
    if sql and experiments:
        raise LakeError("name experiments or give a question, not both")
    if sql:
        inner = sql.strip().rstrip(";")
        return f"WHERE particle_id IN (SELECT particle_id FROM ({inner}\n))"  # it may end in --
    return "WHERE list_contains($experiments, experiment)" if experiments else ""


def _bound(experiments: Sequence[str]) -> Any:
    return {"experiments": list(experiments)} if experiments else ()


def _title(experiments: Sequence[str], sql: str | None) -> str:
    if experiments:
        return ", ".join(experiments)
    return "Particles of a question" if sql else "All experiments"


def _slug(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title.lower()).strip("-")[:80]


def _micrographs(lake: Lake, scope: str, experiments: Sequence[str]) -> list[ReportMicrograph]:
    """The micrographs with most particles, at most a few an experiment, all experiments shown."""
    rows = lake.query(
        f"""
        WITH counted AS (
            SELECT micrograph_id, experiment, any_value(path) AS path,
                   any_value(segmentation_id) AS segmentation_id,
                   any_value(pixel_size_nm) AS pixel_size_nm, count(*) AS particle_count,
                   row_number() OVER (PARTITION BY experiment ORDER BY count(*) DESC,
                                      micrograph_id) AS rank
            FROM morphology {scope} GROUP BY micrograph_id, experiment
        )
        SELECT c.*, m.image_path, m.pixel_size_y_nm, m.pixel_size_x_nm, s.label_path
        FROM counted c JOIN micrograph_current m USING (micrograph_id)
        JOIN segmentation_current s ON s.segmentation_id = c.segmentation_id
        ORDER BY rank, experiment LIMIT {SHOWN_MICROGRAPHS}
        """,
        _bound(experiments),
    ).to_pylist()
    return [_micrograph(lake, row) for row in rows]


def _micrograph(lake: Lake, row: Mapping[str, Any]) -> ReportMicrograph:
    y, x = row["pixel_size_y_nm"], row["pixel_size_x_nm"]
    return ReportMicrograph(
        micrograph_id=row["micrograph_id"],
        name=Path(row["path"]).name,
        experiment=row["experiment"],
        pixels=lake.images.read(row["image_path"]),
        labels=lake.images.read(row["label_path"]),
        pixel_size_nm=(y, x) if y and x else None,
        particle_count=row["particle_count"],
    )


def _excluded(lake: Lake, scope: str, experiments: Sequence[str]) -> dict[str, int]:
    where = f"WHERE s.micrograph_id IN (SELECT micrograph_id FROM morphology {scope})"
    row = lake.query(
        "SELECT sum(excluded_border) AS border, sum(excluded_small) AS small, "
        "sum(excluded_large) AS large, sum(excluded_print) AS print, "
        f"sum(excluded_outlier) AS outlier FROM segmentation_current s {where if scope else ''}",
        _bound(experiments),
    ).to_pylist()[0]
    return {reason: int(count) for reason, count in row.items() if count}


def _failures(lake: Lake, scope: str, experiments: Sequence[str]) -> Any:
    """What failed and has not been put right since, by a later attempt or a mended file."""
    homes = f"(SELECT experiment_id FROM morphology {scope})"
    inside = (
        f"AND (f.experiment_id IN {homes} OR f.micrograph_id IN "
        f"(SELECT micrograph_id FROM micrograph_home WHERE experiment_id IN {homes}))"
    )
    return lake.query(
        f"""
        SELECT path, stage, reason, any_value(message) AS message FROM failure f
        LEFT JOIN work_unit w USING (unit_key)
        WHERE (frame IS NOT NULL OR w.state IS DISTINCT FROM 'done') AND NOT EXISTS (
            FROM micrograph_location l WHERE f.stage = 'ingest' AND l.path = f.path
            AND l.experiment_id = f.experiment_id AND l.unit_key <> f.unit_key
            AND l.created_at > f.failed_at)
        {inside if scope else ""}
        GROUP BY path, frame, stage, reason ORDER BY path, frame
        """,
        _bound(experiments),
    ).to_pandas()


def _grouping(lake: Lake) -> dict[str, Any] | None:
    rows = lake.query("FROM grouping_current").to_pylist()
    if not rows:
        return None
    row = rows[0]
    tried = json.loads(row["scores_json"])["tried"]
    chosen: Mapping[str, Any] = next((s for s in tried if s["k"] == row["k"]), {})
    keys = (
        "k method dataset silhouette margin calinski_harabasz davies_bouldin cophenetic "
        "null_cophenetic stability_ari null_stability_ari reason particle_count unassigned_count"
    )
    return {
        **{key: row[key] for key in keys.split()},
        "null_silhouette": row["null_silhouette_mean"],
        "null_silhouette_sd": chosen.get("null_silhouette_sd"),
        "min_margin": json.loads(row["settings_json"])["min_margin"],
        "scope": row["scope"],
    }


def _classifier(lake: Lake) -> dict[str, Any] | None:
    rows = lake.query(
        "SELECT c.* FROM classifier_run c JOIN grouping_current USING (grouping_run_id) "
        "ORDER BY c.created_at DESC LIMIT 1"
    ).to_pylist()
    if not rows or rows[0]["accuracy"] is None:
        return None
    row = rows[0]
    confusion = json.loads(row["confusion_json"])
    return {
        "accuracy": row["accuracy"],
        "null_accuracy": row["null_accuracy"],
        "held_out_micrograph": row["accuracy_heldout_micrograph"],
        "held_out_experiment": row["accuracy_heldout_experiment"],
        "cv_accuracy_mean": row["cv_accuracy_mean"],
        "cv_accuracy_sd": row["cv_accuracy_sd"],
        "majority_accuracy": row["majority_accuracy"],
        "confusion": confusion["counts"],
        "classes": confusion["labels"],
        "test_count": row["test_count"],
        "wrong_count": row["wrong_count"],
    }


def _provenance(lake: Lake, started: float) -> dict[str, Any]:
    row = lake.query(
        "SELECT (SELECT max(snapshot_id) FROM lake.snapshots()) AS snapshot, "
        "(SELECT string_agg(DISTINCT segmentation_run_id, ', ') FROM segmentation_current) "
        "AS segmentation_run, "
        "(SELECT string_agg(DISTINCT model_name || ' ' || model_id, ', ') "
        "FROM shape_inference_current) AS shape_model, "
        "(SELECT sum(wall_s) FROM work_unit) AS computing_s"
    ).to_pylist()[0]
    return {
        "nanolake_version": __version__,
        "lake": lake.root.name,
        **row,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "collecting_s": round(time.perf_counter() - started, 1),
    }
