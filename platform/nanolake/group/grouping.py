"""Divide particles into shape groups, or say that there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import SchemaError, SettingsError
from nanolake.group.choice import Choice, KScore, Scan, choose_k
from nanolake.group.methods import METHODS, Fit, Floats, Labels
from nanolake.group.scores import cophenetic
from nanolake.group.settings import SIZE, GroupSettings
from nanolake.scaling import Scaling, fit_scaling, raw_matrix, structureless, takes_log


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Shape groups of n particles, with what speaks for and against them.

    Scores are None where they are not defined: with one group there is no silhouette.
    """

    labels: NDArray[np.int32]
    """(n,) group of each particle, 1 … k by falling size; 0: a value is missing, not assigned."""
    distance_to_centre: Floats
    """(n,) distance to the centre of its group in scaled coordinates; NaN where not assigned."""
    k: int
    """Number of groups; 1 means that no groups were found."""
    method: str
    dataset: str
    reason: str
    """Why this K, in words."""
    columns: tuple[str, ...]
    """Columns compared."""
    left_out: Mapping[str, str]
    """Columns asked for and not compared, with the reason."""
    centers: Mapping[str, Floats]
    """Column -> (k,) mean of the group in the column's own unit (geometric where logged)."""
    scaling: Scaling
    scaled_centers: Floats
    """(k, c) centres in the coordinates of ``scaling``."""
    scores: tuple[KScore, ...]
    """Every K tried, against data without structure."""
    choice: Choice
    cophenetic: float | None
    null_cophenetic: float | None
    stability_ari: float | None
    null_stability_ari: float | None
    sample_count: int
    """Particles on which K was chosen and the scores computed."""

    @property
    def chosen(self) -> KScore | None:
        """The scores at K; None with one group."""
        return next((score for score in self.scores if score.k == self.choice.k > 1), None)

    @property
    def silhouette(self) -> float | None:
        """Mean silhouette at K, on the sample."""
        return self.chosen.silhouette if self.chosen else None

    @property
    def null_silhouette_mean(self) -> float | None:
        """Mean silhouette of structureless data of the same covariance at the same K."""
        return self.chosen.null_silhouette_mean if self.chosen else None

    @property
    def margin(self) -> float | None:
        """Silhouette above the null's mean."""
        return self.chosen.margin if self.chosen else None

    @property
    def calinski_harabasz(self) -> float | None:
        """Calinski-Harabasz index at K, on the sample: the larger the better."""
        return self.chosen.calinski_harabasz if self.chosen else None

    @property
    def davies_bouldin(self) -> float | None:
        """Davies-Bouldin index at K, on the sample: the smaller the better."""
        return self.chosen.davies_bouldin if self.chosen else None

    @property
    def unassigned_count(self) -> int:
        """Particles without a group."""
        return int((self.labels == 0).sum())

    def scores_json(self) -> dict[str, Any]:
        """Return every K tried, both nulls and the reason, as JSON values."""
        tried = [{**asdict(score), "margin": score.margin} for score in self.scores]
        finer = [{**asdict(score), "margin": score.margin} for score in self.choice.finer]
        return {
            "tried": tried,
            "finer": finer,
            "reason": self.reason,
            "left_out": dict(self.left_out),
            "null_cophenetic": self.null_cophenetic,
            "null_stability_ari": self.null_stability_ari,
            "sample_count": self.sample_count,
        }


def group(table: Any, settings: GroupSettings | None = None, *, fit: Fit | None = None) -> Grouping:
    """Divide the rows of ``table`` into shape groups.

    ``table`` maps column names to (n,) arrays (a dict or a pandas frame); see `select_columns`
    for the columns. ``fit`` runs the method elsewhere (``nanolake.engines.dask_kmeans``). The
    result does not depend on the order of the rows, and the same seed gives the same result.
    Raises `SchemaError` where a column is absent or no row is complete, `SettingsError` where
    ``k`` groups cannot be made.
    """
    settings = settings or GroupSettings()
    fit = fit or _own_fit(settings)
    raw, columns, left_out = _compared(table, settings)
    rows = _complete_rows(raw, columns)
    complete = raw[rows]
    scaling = fit_scaling(
        complete,
        columns,
        clip=settings.clip,
        decorrelate=settings.decorrelate,
        weights={SIZE: settings.size_weight},
    )
    points = scaling.apply(complete)
    scan = Scan(_sample(points, settings), settings, fit)
    choice = choose_k(scan)
    centers, assigned = _assign(points, choice.k, fit, scan.seeds)
    labels, distance = np.zeros(len(raw), np.int32), np.full(len(raw), np.nan)
    labels[rows] = assigned + 1
    distance[rows] = np.sqrt(((points - centers[assigned]) ** 2).sum(axis=1))
    return Grouping(
        labels=labels,
        distance_to_centre=distance,
        k=len(centers),
        method=settings.method,
        dataset="columns" if settings.columns else settings.dataset,
        reason=choice.reason,
        columns=scaling.columns,
        left_out={**left_out, **scaling.left_out},
        centers=_own_units(complete, columns, scaling, assigned),
        scaling=scaling,
        scaled_centers=centers,
        scores=choice.scores,
        choice=choice,
        sample_count=len(scan.points),
        **_whole_scores(scan, choice.k),
    )


def _own_fit(settings: GroupSettings) -> Fit:
    if settings.engine != "scikit-learn":
        raise SettingsError(
            f"engine={settings.engine!r} is run from outside: pass "
            "fit=nanolake.engines.dask_kmeans.fit_kmeans"
        )
    return METHODS[settings.method]


def _compared(
    table: Any, settings: GroupSettings
) -> tuple[Floats, tuple[str, ...], dict[str, str]]:
    """Return the raw matrix, its columns, and the size where too few particles have one."""
    columns = settings.compared
    if not columns:
        raise SettingsError("no column is left to compare; name some in columns")
    raw = raw_matrix(table, columns)
    if SIZE not in columns or len(columns) == 1 or len(raw) == 0:
        return raw, columns, {}
    at = columns.index(SIZE)
    missing = float(np.isnan(raw[:, at]).mean())
    if missing <= settings.max_missing_size:
        return raw, columns, {}
    reason = f"unknown for {missing:.0%} of the particles"
    others = tuple(column for column in columns if column != SIZE)
    return np.delete(raw, at, axis=1), others, {SIZE: reason}


def _complete_rows(raw: Floats, columns: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the complete rows' indices in an order that only their values decide."""
    missing = np.isnan(raw)
    rows = np.flatnonzero(~missing.any(axis=1))
    if len(rows) == 0:
        counts = {c: int(m) for c, m in zip(columns, missing.sum(axis=0), strict=True) if m}
        raise SchemaError(
            f"none of {len(raw)} particles has a value in every column compared; missing: "
            f"{counts or 'the table is empty'}. Compute them, or leave columns out"
        )
    return np.asarray(rows[np.lexsort(raw[rows].T[::-1])], np.int64)


def _sample(points: Floats, settings: GroupSettings) -> Floats:
    if len(points) <= settings.sample_size:
        return points
    rng = np.random.default_rng(settings.seed)
    return points[rng.permutation(len(points))[: settings.sample_size]]


def _assign(points: Floats, k: int, fit: Fit, seeds: list[int]) -> tuple[Floats, Labels]:
    """Return centres and labels 0 … k - 1, the largest group first, no group empty."""
    if k == 1:
        return points.mean(axis=0, keepdims=True), np.zeros(len(points), np.int64)
    distinct = len(np.unique(points, axis=0)) if len(points) < 10_000 else len(points)
    if k > distinct:
        raise SettingsError(f"k={k} groups need as many different particles; there are {distinct}")
    centers, found, _ = fit(points, k, seeds)
    count = np.bincount(found, minlength=len(centers))
    order = np.lexsort((*centers.T[::-1], -count))
    order = order[count[order] > 0]
    rank = np.empty(len(centers), np.int64)
    rank[order] = np.arange(len(order))
    return centers[order], rank[found]


def _own_units(
    complete: Floats, columns: tuple[str, ...], scaling: Scaling, assigned: Labels
) -> dict[str, Floats]:
    """Return the mean of each group per column used, out of the logarithm where one was taken."""
    count = np.bincount(assigned)
    centers = {}
    for index in scaling.kept:
        mean = np.bincount(assigned, weights=complete[:, index]) / count
        centers[columns[index]] = np.exp(mean) if takes_log(columns[index]) else mean
    return centers


def _whole_scores(scan: Scan, k: int) -> dict[str, float | None]:
    """Return what is computed once, at the chosen K, for the data and for the null."""
    null = structureless(scan.points, scan.rng)
    return {
        "cophenetic": cophenetic(scan.points),
        "null_cophenetic": cophenetic(null),
        "stability_ari": scan.stability(k) if k > 1 else None,
        "null_stability_ari": scan.stability(k, null) if k > 1 else None,
    }
