"""What speaks for and against a grouping, in MLflow: scores, tried K, centres and figures."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nanolake.group import PARAMETERS, Grouping, GroupSettings
from nanolake.pipeline.group_rows import ParquetRows
from nanolake.storage import Lake

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nanolake.storage.models import ModelRegistry

MLFLOW_EXPERIMENT = "shape-groups"
FIGURE_DPI = 120


def scores_of(found: Grouping) -> dict[str, float | None]:
    """Return the scores at the chosen K, by their columns in ``grouping_run``."""
    names = (
        "k silhouette null_silhouette_mean margin calinski_harabasz davies_bouldin cophenetic "
        "null_cophenetic stability_ari null_stability_ari unassigned_count sample_count"
    )
    return {name: getattr(found, name) for name in names.split()}


def registry_of(lake: Lake) -> ModelRegistry:
    """Return the MLflow of the lake, at the experiment of the groupings."""
    return lake.registry(MLFLOW_EXPERIMENT)


def log_grouping(
    lake: Lake,
    found: Grouping,
    particles: ParquetRows,
    settings: GroupSettings,
    parent: str | None = None,
) -> str:
    """Log one grouping as a run of its own, below the run ``parent`` where given; return its id."""
    with tempfile.TemporaryDirectory() as folder:
        scores = Path(folder) / "scores.json"
        scores.write_text(json.dumps(found.scores_json(), indent=2, default=float))
        centers = Path(folder) / "centers.json"
        values = {column: mean.tolist() for column, mean in found.centers.items()}
        centers.write_text(json.dumps(values, indent=2))
        tried = [{"epoch": s.k, "silhouette_by_k": s.silhouette, "margin_by_k": s.margin,
                  "stability_by_k": s.stability_ari} for s in found.scores]  # fmt: skip
        return registry_of(lake).log(
            run_name=f"{found.method}-{found.dataset}-k{found.k}",
            params=settings.model_dump(mode="json"),
            metrics={n: float(v) for n, v in scores_of(found).items() if v is not None},
            history=tried,
            files=(scores, centers, *write_figures(found, particles, Path(folder))),
            tags={"mlflow.parentRunId": parent} if parent else None,
        )


def write_figures(found: Grouping, particles: ParquetRows, folder: Path) -> list[Path]:
    """Write the figures of one grouping as PNG: silhouettes, linkage tree, groups.

    Returns the files, none where matplotlib (the extra ``report``) is not installed.
    """
    try:
        from nanolake.report import figures
    except ModuleNotFoundError:
        return []
    tried = found.scores_json()["tried"]
    made = {
        "silhouette": figures.silhouette_figure(tried, found.k),
        "dendrogram": figures.dendrogram_figure(found.sample, found.sample_labels),
        "groups": _scatter(found, particles),
    }
    return [_write(figure, folder / f"{name}.png") for name, figure in made.items()]


def _scatter(found: Grouping, particles: ParquetRows) -> Figure:
    from nanolake.report import figures

    p, d, ratio = (_numbers(particles, name) for name in PARAMETERS)
    return figures.parameter_scatter(p, d, ratio, found.labels)


def _numbers(particles: ParquetRows, name: str) -> NDArray[np.float64]:
    return np.asarray(particles.column(name).to_numpy(), np.float64)


def _write(figure: Figure, path: Path) -> Path:
    from nanolake.report import figures

    path.write_bytes(figures.to_png(figure, FIGURE_DPI))
    return path
