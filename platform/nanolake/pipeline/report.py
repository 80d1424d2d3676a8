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
from nanolake.pipeline.scope import experiment_ids, experiment_titles
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
    scope = _Scope(lake, experiments, sql)
    particles = scope.query("FROM morphology WHERE {particles} ORDER BY particle_id").to_pandas()
    if sql and particles.empty:
        raise LakeError("no particles fit the question: see what it returns with `nanolake sql`")
    titles = experiment_titles(lake)
    particles["experiment"] = particles["experiment_id"].map(titles)
    data = ReportData(
        title=scope.title,
        query=sql or "",
        particles=particles,
        micrographs=_micrographs(scope, titles),
        excluded=_excluded(scope),
        failures=_failures(scope),
        grouping=_grouping(lake),
        classifier=_classifier(lake),
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


def _excluded(scope: _Scope) -> dict[str, int]:
    row = scope.query(
        "SELECT sum(excluded_border) AS border, sum(excluded_small) AS small, "
        "sum(excluded_large) AS large, sum(excluded_print) AS print, "
        "sum(excluded_outlier) AS outlier FROM segmentation_current WHERE {pictures}"
    ).to_pylist()[0]
    return {reason: int(count) for reason, count in row.items() if count}


def _failures(scope: _Scope) -> Any:
    return scope.query(
        "SELECT path, stage, reason, any_value(message) AS message FROM failure_current "
        "WHERE ({experiments}) OR (micrograph_id IS NOT NULL AND {pictures}) "
        "GROUP BY path, frame, stage, reason ORDER BY path, frame"
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
