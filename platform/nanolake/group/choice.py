"""How many groups: by silhouette, against data without structure.

Rule, in words. K groups are believed if their silhouette stands above that of data with less
structure by ``min_margin`` and by 3 standard deviations of that null. First the null is one normal
distribution of the same covariance: among the K that stand above it the best silhouette wins, and
if none does the answer is 1. A large gap between some groups hides a small one between others
(the silhouette of "rods against the rest" beats that of "rods, cubes, spheres"), so the null is
then drawn from the groups found, one normal distribution each, and the next K is taken as long as
its silhouette stands above that and bootstraps agree on the groups (``min_stability``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nanolake.group.methods import Fit, Floats, Labels
from nanolake.group.scores import calinski_davies, distances, silhouette, stability
from nanolake.group.settings import GroupSettings
from nanolake.scaling import structureless

ROWS_PER_GROUP = 5
"""No K is tried that leaves fewer rows than this to a group on average."""
NULL_SDS = 3.0


@dataclass(frozen=True, kw_only=True)
class KScore:
    """One K tried: its scores, and the same silhouette on data without structure."""

    k: int
    silhouette: float
    null_silhouette_mean: float
    null_silhouette_sd: float
    calinski_harabasz: float | None
    davies_bouldin: float | None
    inertia: float

    @property
    def margin(self) -> float:
        """Silhouette above the null's mean."""
        return self.silhouette - self.null_silhouette_mean


@dataclass(frozen=True, kw_only=True)
class FinerScore:
    """``k`` groups against data that has only the ``base_k`` groups found before."""

    base_k: int
    k: int
    silhouette: float
    null_silhouette_mean: float
    null_silhouette_sd: float
    stability_ari: float | None = None
    """Computed only where the silhouette stands above the null."""

    @property
    def margin(self) -> float:
        """Silhouette above the null's mean."""
        return self.silhouette - self.null_silhouette_mean


class Scan:
    """Divisions of one sample (n, c) into each K tried, computed once."""

    def __init__(self, points: Floats, settings: GroupSettings, fit: Fit) -> None:
        self.points, self.settings, self.fit = points, settings, fit
        self.rng = np.random.default_rng(settings.seed)
        self.seeds = [settings.seed + i for i in range(settings.seeds)]
        self.labels: dict[int, Labels] = {1: np.zeros(len(points), np.int64)}
        self.silhouettes: dict[int, float] = {}
        self.inertias: dict[int, float] = {}
        apart = distances(points)
        for k in self.tried():
            _, self.labels[k], self.inertias[k] = fit(points, k, self.seeds)
            self.silhouettes[k] = silhouette(apart, self.labels[k])

    def tried(self) -> list[int]:
        """Return the K worth trying: given, or k_min … k_max as far as the rows go."""
        distinct = len(np.unique(self.points, axis=0))
        if self.settings.k is not None:
            return [self.settings.k] if 1 < self.settings.k < distinct else []
        most = min(self.settings.k_max, len(self.points) // ROWS_PER_GROUP, distinct - 1)
        return list(range(self.settings.k_min, most + 1))

    def null(self, base_k: int, ks: list[int]) -> dict[int, tuple[float, float]]:
        """Return mean and sd of each K's silhouette on data with only ``base_k`` groups."""
        values: dict[int, list[float]] = {k: [] for k in ks}
        for _ in range(self.settings.null_runs):
            drawn = structureless(self.points, self.rng, self.labels[base_k])
            apart = distances(drawn)
            for k in ks:
                values[k].append(silhouette(apart, self.fit(drawn, k, self.seeds)[1]))
        return {k: (float(np.mean(v)), float(np.std(v, ddof=1))) for k, v in values.items()}

    def stability(self, k: int, points: Floats | None = None) -> float:
        """Return the adjusted Rand index between bootstraps of the sample, or of ``points``."""
        points = self.points if points is None else points
        runs = self.settings.bootstrap_runs
        return stability(points, k, self.fit, self.seeds, runs, self.rng)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The K chosen, everything tried on the way, and the reason in words."""

    k: int
    scores: tuple[KScore, ...]
    finer: tuple[FinerScore, ...]
    reason: str


def stands_above(score: KScore | FinerScore, settings: GroupSettings) -> bool:
    """Return whether a silhouette is further above its null than chance and the setting allow."""
    return score.margin >= max(settings.min_margin, NULL_SDS * score.null_silhouette_sd)


def choose_k(scan: Scan) -> Choice:
    """Return how many groups the sample has (see the module's rule)."""
    settings, scores = scan.settings, _against_one(scan)
    if settings.k is not None:
        return Choice(k=settings.k, scores=scores, finer=(), reason=f"k={settings.k} was given")
    if not scores:
        reason = f"no groups: {len(scan.points)} complete rows are too few to divide"
        return Choice(k=1, scores=(), finer=(), reason=reason)
    passed = [score for score in scores if stands_above(score, settings)]
    if not passed:
        return Choice(k=1, scores=scores, finer=(), reason=_no_groups(scores, settings))
    best = max(passed, key=lambda score: score.silhouette)
    reason = (
        f"{best.k} groups: silhouette {best.silhouette:.3f}, "
        f"{best.margin:.3f} above data without structure"
    )
    finer: list[FinerScore] = []
    k = _refine(scan, best.k, finer)
    if k > best.k:
        reason += f"; refined to {k}: the finer groups stand above data that has only the coarser"
    return Choice(k=k, scores=scores, finer=tuple(finer), reason=reason)


def _against_one(scan: Scan) -> tuple[KScore, ...]:
    ks = sorted(scan.silhouettes)
    null = scan.null(1, ks) if ks else {}
    return tuple(_score(scan, k, *null[k]) for k in ks)


def _score(scan: Scan, k: int, mean: float, sd: float) -> KScore:
    calinski, davies = calinski_davies(scan.points, scan.labels[k])
    return KScore(
        k=k,
        silhouette=scan.silhouettes[k],
        null_silhouette_mean=mean,
        null_silhouette_sd=sd,
        calinski_harabasz=calinski,
        davies_bouldin=davies,
        inertia=scan.inertias[k],
    )


def _refine(scan: Scan, k: int, finer: list[FinerScore]) -> int:
    """Step to the next K that stands above its coarser null until none does."""
    while True:
        ks = [each for each in sorted(scan.silhouettes) if each > k]
        null = scan.null(k, ks) if ks else {}
        tried = [_finer(scan, k, each, *null[each]) for each in ks]
        finer.extend(tried)
        passed = [score for score in tried if _holds(score, scan.settings)]
        if not passed:
            return k
        k = passed[0].k


def _holds(score: FinerScore, settings: GroupSettings) -> bool:
    stable = score.stability_ari is not None and score.stability_ari >= settings.min_stability
    return stable and stands_above(score, settings)


def _finer(scan: Scan, base_k: int, k: int, mean: float, sd: float) -> FinerScore:
    score = FinerScore(
        base_k=base_k,
        k=k,
        silhouette=scan.silhouettes[k],
        null_silhouette_mean=mean,
        null_silhouette_sd=sd,
    )
    if not stands_above(score, scan.settings):
        return score
    return replace(score, stability_ari=scan.stability(k))


def _no_groups(scores: tuple[KScore, ...], settings: GroupSettings) -> str:
    best = max(scores, key=lambda score: score.margin)
    return (
        f"no groups: the silhouette furthest above data without structure, {best.silhouette:.3f} "
        f"at K={best.k}, is {best.margin:.3f} above it; {settings.min_margin} is asked"
    )
