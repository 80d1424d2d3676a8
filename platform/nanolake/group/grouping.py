"""Divide particles into shape groups, or say that there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import SettingsError
from nanolake.group.assign import Assigned, assign
from nanolake.group.choice import Choice, DrawNull, KScore, Scan, choose_k
from nanolake.group.methods import METHODS, Floats, by_nearest_centre
from nanolake.group.null import LEAST_ROWS, Population, counts_things
from nanolake.group.rows import Rows, TableRows, count_missing, draw_sample
from nanolake.group.settings import SIZE, GroupSettings
from nanolake.scaling import Scaling, fit_scaling, structureless, takes_log

Block = Callable[[], Floats]
Refine = Callable[[Sequence[Block], Sequence[int], Floats], Floats]
"""Blocks of points (m, c), read when called, their numbers of rows, and centres (k, c) to start
from -> centres of K-means on all of them."""


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
    sample: Floats
    """(m, c) scaled coordinates of the particles on which K was chosen and scores were computed."""
    sample_labels: NDArray[np.int32]
    """(m,) group of each of them."""

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
    def stability_ari(self) -> float | None:
        """Mean adjusted Rand index between groupings of bootstrap samples at K."""
        return self.chosen.stability_ari if self.chosen else None

    @property
    def null_stability_ari(self) -> float | None:
        """The same on data without structure."""
        return self.chosen.null_stability_ari if self.chosen else None

    @property
    def sample_count(self) -> int:
        """Particles on which K was chosen and the scores computed."""
        return len(self.sample)

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


def group(
    table: Any,
    settings: GroupSettings | None = None,
    *,
    refine: Refine | None = None,
) -> Grouping:
    """Divide the rows of ``table`` into shape groups.

    ``table`` maps column names to (n,) arrays (a dict or a pandas frame), or is a `Rows`, whose
    blocks are read four times and never held together; see `select_columns` for the columns. K is
    chosen on ``sample_size`` particles, and every complete row is assigned to the groups that were
    judged there; ``refine`` (`nanolake.engines.dask_kmeans`) first moves their centres to where
    all rows want them. Up to ``fit_rows`` particles the result does not depend on the order of the
    rows; the same seed gives the same result. Raises `SchemaError` where a column is absent or no
    row is complete, `SettingsError` where ``k`` groups cannot be made.
    """
    settings = settings or GroupSettings()
    _check_engine(settings, refine)
    rows = table if isinstance(table, Rows) else TableRows(table)
    columns, left_out = _compared(rows, settings)
    sample = draw_sample(rows, columns, settings.fit_rows, settings.seed)
    scaling = fit_scaling(
        sample.raw,
        columns,
        clip=settings.clip,
        decorrelate=settings.decorrelate,
        weights={SIZE: settings.size_weight},
    )
    few = _few(sample.raw, settings)
    null = _null(few, columns, scaling, settings)
    scan = Scan(scaling.apply(few), settings, METHODS[settings.method], null)
    choice = choose_k(scan)
    fitted = scan.fitted[choice.k]
    if refine is not None and choice.k > 1:
        readers = [_reader(rows, index, columns, scaling) for index in range(rows.block_count)]
        centers = refine(readers, sample.complete_counts, fitted.centers[choice.k])
        fitted = by_nearest_centre({choice.k: centers}, {})
    found = assign(rows, columns, scaling, fitted, choice.k)
    sample_labels = found.numbers[fitted.assign(scan.points, [choice.k])[choice.k]]
    own, of_one = scan.cophenetic()
    return Grouping(
        labels=found.labels,
        distance_to_centre=found.distance,
        k=len(found.centers),
        method=settings.method,
        dataset="columns" if settings.columns else settings.dataset,
        reason=choice.reason,
        columns=scaling.columns,
        left_out={**left_out, **scaling.left_out},
        centers=_own_units(found, columns, scaling),
        scaling=scaling,
        scaled_centers=found.centers,
        scores=choice.scores,
        choice=choice,
        cophenetic=own,
        null_cophenetic=of_one,
        sample=scan.points,
        sample_labels=sample_labels,
    )


def _check_engine(settings: GroupSettings, refine: Refine | None) -> None:
    if settings.engine != "scikit-learn" and refine is None:
        raise SettingsError(
            f"engine={settings.engine!r} is run from outside: pass "
            "refine=nanolake.engines.dask_kmeans.refine_centers"
        )


def _compared(rows: Rows, settings: GroupSettings) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the columns to compare, without the size where too few particles have one."""
    columns = settings.compared
    if not columns:
        raise SettingsError("no column is left to compare; name some in columns")
    missing, count = count_missing(rows, columns)
    if SIZE not in columns or len(columns) == 1 or count == 0:
        return columns, {}
    share = float(missing[columns.index(SIZE)] / count)
    if share <= settings.max_missing_size:
        return columns, {}
    others = tuple(column for column in columns if column != SIZE)
    return others, {SIZE: f"unknown for {share:.0%} of the particles"}


def _few(raw: Floats, settings: GroupSettings) -> Floats:
    if len(raw) <= settings.sample_size:
        return raw
    rng = np.random.default_rng(settings.seed)
    return raw[rng.permutation(len(raw))[: settings.sample_size]]


def _null(
    raw: Floats, columns: Sequence[str], scaling: Scaling, settings: GroupSettings
) -> DrawNull:
    """Return what draws data without structure: through the same clipping and the same axes."""
    standard = scaling.standard(raw)
    points = scaling.place(standard)
    if settings.null_kind == "normal" or len(points) < LEAST_ROWS:
        return lambda rng: structureless(points, rng)
    counting = [counts_things(columns[int(i)], raw[:, i]) for i in scaling.kept]
    population = Population.fit(standard, counting)
    return lambda rng: scaling.place(population.draw(len(points), rng))


def _reader(rows: Rows, index: int, columns: Sequence[str], scaling: Scaling) -> Block:
    def read() -> Floats:
        raw = rows.block(index, columns)
        return scaling.apply(raw[~np.isnan(raw).any(axis=1)])

    return read


def _own_units(found: Assigned, columns: Sequence[str], scaling: Scaling) -> dict[str, Floats]:
    """Return the mean of each group per column used, out of the logarithm where one was taken."""
    used = [(int(index), columns[int(index)]) for index in scaling.kept]
    mean = found.raw_means
    return {c: np.exp(mean[:, i]) if takes_log(c) else mean[:, i] for i, c in used}
