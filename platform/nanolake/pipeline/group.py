"""Group: the particles of the lake -> shape groups, beside what structureless data would give."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from nanolake import __version__
from nanolake.errors import LakeError
from nanolake.group import Grouping, GroupSettings, group
from nanolake.pipeline.scope import experiment_ids
from nanolake.pipeline.work import StageReport, run_once
from nanolake.progress import Progress, silent
from nanolake.storage import Lake, unit_key

STAGE = "group"
MLFLOW_EXPERIMENT = "shape-groups"


def group_lake(
    lake: Lake,
    settings: GroupSettings | None = None,
    *,
    experiments: Sequence[str] = (),
    track: bool = True,
    progress: Progress = silent,
) -> StageReport:
    """Divide the described particles into groups; the assignment becomes the current one.

    ``experiments`` limits the particles to those of the named experiments; empty: all. ``track``
    logs settings, scores and the table of tried K to the lake's MLflow.
    """
    settings = settings or GroupSettings()
    particles = load_particles(lake, settings.compared, experiments)
    ids = hashlib.sha256("\n".join(particles["particle_id"]).encode()).hexdigest()
    models = ",".join(sorted(particles["model_id"].dropna().unique()))
    key = unit_key(STAGE, ids, models, settings.fingerprint())

    def make() -> tuple[dict[str, Any], str]:
        found = group(particles, settings, fit=_fit(settings))
        run_id = _log(lake, found, settings) if track else None
        rows = _rows(found, particles, settings, key, experiments, run_id)
        return rows, f"K = {found.k}: {found.reason}"

    return run_once(
        lake,
        stage=STAGE,
        noun="groupings",
        key=key,
        subject=f"{len(particles)} particles",
        make=make,
        progress=progress,
        shown_rows=("group_assignment",),
        if_done=lambda: "made the current one again" if _bring_back(lake, key) else "",
    )


def _bring_back(lake: Lake, key: str) -> int:
    """Make an earlier grouping the current one again: asked for anew, it has nothing to compute."""
    rows = lake.query(
        "SELECT g.* FROM grouping_run g, grouping_current c WHERE g.unit_key = $key "
        "AND c.unit_key <> $key ORDER BY g.created_at DESC LIMIT 1",
        {"key": key},
    ).to_pylist()
    now = {"created_at": datetime.now(UTC)}
    lake.commit({"grouping_run": [row | now for row in rows]}, message="group: current again")
    return len(rows)


def load_particles(
    lake: Lake, columns: Sequence[str], experiments: Sequence[str] = ()
) -> pd.DataFrame:
    """Return the current particles with the given columns of ``morphology``, ordered by id.

    Raises `LakeError` where there are none.
    """
    wanted = dict.fromkeys(
        ("particle_id", "micrograph_id", "experiment_id", "experiment", "model_id", *columns)
    )
    where = "WHERE list_contains($experiments, experiment_id)" if experiments else ""
    frame: pd.DataFrame = lake.query(
        f"SELECT {', '.join(wanted)} FROM morphology {where} ORDER BY particle_id",
        {"experiments": experiment_ids(lake, experiments)} if experiments else (),
    ).to_pandas()
    if frame.empty:
        named = f" in {', '.join(experiments)}" if experiments else ""
        raise LakeError(f"no particles{named}: run `nanolake segment` and `describe` first")
    return frame


def _fit(settings: GroupSettings) -> Any:
    if settings.engine == "scikit-learn":
        return None
    from nanolake.engines.dask_kmeans import fit_kmeans

    return fit_kmeans


def _log(lake: Lake, found: Grouping, settings: GroupSettings) -> str:
    from nanolake.storage.models import ModelRegistry

    registry = ModelRegistry(lake.tracking_uri, experiment=MLFLOW_EXPERIMENT)
    with tempfile.TemporaryDirectory() as folder:
        scores = Path(folder) / "scores.json"
        scores.write_text(json.dumps(found.scores_json(), indent=2, default=float))
        centers = Path(folder) / "centers.json"
        centers.write_text(json.dumps(_centers(found), indent=2))
        return registry.log(
            run_name=f"{found.method}-{found.dataset}-k{found.k}",
            params=settings.model_dump(mode="json"),
            metrics={name: float(value) for name, value in _scores(found).items() if value},
            files=(scores, centers),
        )


def _scores(found: Grouping) -> dict[str, float | None]:
    names = (
        "k silhouette null_silhouette_mean margin calinski_harabasz davies_bouldin cophenetic "
        "null_cophenetic stability_ari null_stability_ari unassigned_count sample_count"
    )
    return {name: getattr(found, name) for name in names.split()}


def _centers(found: Grouping) -> dict[str, list[float]]:
    return {column: values.tolist() for column, values in found.centers.items()}


def _rows(
    found: Grouping,
    particles: pd.DataFrame,
    settings: GroupSettings,
    key: str,
    experiments: Sequence[str],
    mlflow_run_id: str | None,
) -> dict[str, Any]:
    ids = {"grouping_run_id": key[:16], "unit_key": key, "created_at": datetime.now(UTC)}
    run = {
        **ids,
        **_scores(found),
        "scope": json.dumps({"experiments": list(experiments) or "all"}),
        "dataset": found.dataset,
        "method": found.method,
        "engine": settings.engine,
        "reason": found.reason,
        "columns": list(found.columns),
        "centers_json": json.dumps(_centers(found)),
        "scores_json": json.dumps(found.scores_json(), default=float),
        "settings_json": settings.as_json(),
        "seed": settings.seed,
        "particle_count": len(particles),
        "mlflow_run_id": mlflow_run_id,
        "code_version": __version__,
    }
    assignments = {
        **ids,
        "particle_id": particles["particle_id"].tolist(),
        "shape_group": found.labels,
        "distance_to_centre": found.distance_to_centre,
    }
    return {"grouping_run": [run], "group_assignment": assignments}
