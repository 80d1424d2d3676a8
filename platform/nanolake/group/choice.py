"""How many groups: by silhouette, against data without structure.

Rule, in words. K groups are believed if their silhouette stands above that of data with less
structure by ``min_margin`` and by 3 standard deviations of that null. First the null is one
population (`nanolake.group.null`): among the K that stand above it the best silhouette wins, and
if none does the answer is 1. A large gap between some groups hides a small one between others
(the silhouette of "rods against the rest" beats that of "rods, cubes, spheres"), so the null is
then drawn from the groups found, one normal distribution each, and the next K is taken as long as
its silhouette stands above that and bootstraps agree on the groups (``min_stability``), and as
every group that it divides is divided well: what one true division gains would otherwise carry
others with it that cut a single population. Normal, because a part that a method has cut off has no
shape of its own to keep, and because filling the gap inside a group leaves a null that hides two
families lying close: whether there are groups at all has been decided by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nanolake.errors import SettingsError
from nanolake.group.methods import Fit, Floats, Labels, by_nearest_centre
from nanolake.group.scores import calinski_davies, cophenetic, distances, silhouette, stability
from nanolake.group.settings import GroupSettings
from nanolake.scaling import structureless

ROWS_PER_GROUP = 5
"""No K is tried that leaves fewer rows than this to a group on average."""
NULL_SDS = 3.0
LEAST_PART = 0.05
"""A smaller share of a group's points in another group is a few strays, and no division of it."""
LEAST_MARGIN = {"gaussian_mixture": 0.1}
"""A mixture fits the shape of one skewed population better than that of its null, and stood up to
0.064 above it on eight columns; on the demo's six experiments it stands 0.39 to 0.44 above."""

DrawNull = Callable[[np.random.Generator], Floats]
"""Draws as many points (n, c) as the sample has, of one population like the sample's."""


@dataclass(frozen=True, kw_only=True)
class KScore:
    """One K tried: its scores, and the same on data without structure."""

    k: int
    silhouette: float
    null_silhouette_mean: float
    null_silhouette_sd: float
    calinski_harabasz: float | None
    null_calinski_harabasz: float | None
    davies_bouldin: float | None
    null_davies_bouldin: float | None
    stability_ari: float
    null_stability_ari: float
    inertia: float
    """Summed squared distances to the centres of the groups."""

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
    stability_ari: float
    weakest_excess: float | None = None
    """`Scan.weakest_excess`; None also where the other scores decided already."""
    holds: bool = False
    """Whether this division may be taken."""

    @property
    def margin(self) -> float:
        """Silhouette above the null's mean."""
        return self.silhouette - self.null_silhouette_mean


class Scan:
    """One sample (n, c), divided into each K tried, with its null and its bootstraps."""

    def __init__(self, points: Floats, settings: GroupSettings, fit: Fit, draw: DrawNull) -> None:
        self.points, self.settings, self.fit = points, settings, fit
        self.rng = np.random.default_rng(settings.seed)
        self.seeds = [settings.seed + i for i in range(settings.seeds)]
        self.ks = self._tried()
        one = by_nearest_centre(
            {1: points.mean(axis=0, keepdims=True)}, {1: np.zeros(len(points), np.int64)}
        )
        self.fitted = {1: one} | dict.fromkeys(self.ks, fit(points, self.ks, self.seeds))
        self.labels = {k: fitted.labels[k] for k, fitted in self.fitted.items()}
        apart = distances(points)
        self.silhouettes = {k: silhouette(apart, self.labels[k]) for k in self.ks}
        self.structureless = [draw(self.rng) for _ in range(settings.null_runs)]

    def _tried(self) -> list[int]:
        """Return the K worth trying: given, or k_min … k_max as far as the rows go."""
        distinct = len(np.unique(self.points, axis=0))
        if self.settings.k is not None:
            if self.settings.k > distinct:
                raise SettingsError(
                    f"k={self.settings.k} groups need as many different particles; "
                    f"there are {distinct}"
                )
            return [self.settings.k] if self.settings.k > 1 else []
        most = min(self.settings.k_max, len(self.points) // ROWS_PER_GROUP, distinct - 1)
        return list(range(self.settings.k_min, most + 1))

    def scores(self) -> tuple[KScore, ...]:
        """Return the scores of every K tried, and of one population divided in the same way."""
        if not self.ks:
            return ()
        null, labels = self._null_silhouettes(self.structureless, self.ks)
        stable = self._stability(self.points)
        null_stable = self._stability(self.structureless[0])
        scores = []
        for k in self.ks:
            calinski, davies = calinski_davies(self.points, self.labels[k])
            null_calinski, null_davies = calinski_davies(self.structureless[0], labels[k])
            scores.append(
                KScore(
                    k=k,
                    silhouette=self.silhouettes[k],
                    null_silhouette_mean=null[k][0],
                    null_silhouette_sd=null[k][1],
                    calinski_harabasz=calinski,
                    null_calinski_harabasz=null_calinski,
                    davies_bouldin=davies,
                    null_davies_bouldin=null_davies,
                    stability_ari=stable[k],
                    null_stability_ari=null_stable[k],
                    inertia=_inertia(self.points, self.labels[k]),
                )
            )
        return tuple(scores)

    def finer(self, base: KScore, tried: tuple[KScore, ...]) -> list[FinerScore]:
        """Return every larger K against data that has only the groups of ``base``."""
        larger = [score for score in tried if score.k > base.k]
        if not larger:
            return []
        groups, runs = self.labels[base.k], range(self.settings.null_runs)
        draws = [structureless(self.points, self.rng, groups) for _ in runs]
        null, _ = self._null_silhouettes(draws, [score.k for score in larger])
        return [
            FinerScore(
                base_k=base.k,
                k=score.k,
                silhouette=score.silhouette,
                null_silhouette_mean=null[score.k][0],
                null_silhouette_sd=null[score.k][1],
                stability_ari=score.stability_ari,
            )
            for score in larger
        ]

    def weakest_excess(self, base_k: int, k: int) -> float | None:
        """Return how far the worst divided group of ``base_k`` is above what is asked of it.

        Each group that ``k`` groups divide is looked at alone: the silhouette of its parts, less
        that of one normal population of its covariance divided into as many, less the margin that
        the settings and chance ask for. None where no group is divided: what is new then is a small
        group of strays from others, and only the other scores speak for it.
        """
        base, fine = self.labels[base_k], self.labels[k]
        excess = []
        for number in np.unique(base):
            own = base == number
            parts, counts = np.unique(fine[own], return_counts=True)
            parts = parts[counts >= max(ROWS_PER_GROUP, LEAST_PART * own.sum())]
            if len(parts) > 1:
                chosen = own & np.isin(fine, parts)
                excess.append(self._excess(self.points[chosen], fine[chosen], len(parts)))
        return float(np.min(excess)) if excess else None

    def _excess(self, points: Floats, labels: Labels, k: int) -> float:
        draws = [structureless(points, self.rng) for _ in range(self.settings.null_runs)]
        null, _ = self._null_silhouettes(draws, [k])
        mean, sd = null[k]
        return silhouette(distances(points), labels) - mean - asked_margin(sd, self.settings)

    def cophenetic(self) -> tuple[float | None, float | None]:
        """Return the cophenetic correlation of the sample, and that of one population."""
        return cophenetic(self.points), cophenetic(self.structureless[0])

    def _null_silhouettes(
        self, draws: list[Floats], ks: list[int]
    ) -> tuple[dict[int, tuple[float, float]], Mapping[int, Labels]]:
        """Return mean and sd of each K's silhouette over the draws, and the first one's labels."""
        found = [self.fit(drawn, ks, self.seeds).labels for drawn in draws]
        values: dict[int, list[float]] = {k: [] for k in ks}
        for drawn, labels in zip(draws, found, strict=True):
            apart = distances(drawn)
            for k in ks:
                values[k].append(silhouette(apart, labels[k]))
        spread = {k: (float(np.mean(v)), float(np.std(v, ddof=1))) for k, v in values.items()}
        return spread, found[0]

    def _stability(self, points: Floats) -> dict[int, float]:
        runs = self.settings.bootstrap_runs
        return stability(points, self.ks, self.fit, self.seeds, runs, self.rng)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The K chosen, everything tried on the way, and the reason in words."""

    k: int
    scores: tuple[KScore, ...]
    finer: tuple[FinerScore, ...]
    reason: str


def stands_above(score: KScore | FinerScore, settings: GroupSettings) -> bool:
    """Return whether a silhouette is further above its null than chance and the setting allow."""
    return score.margin >= asked_margin(score.null_silhouette_sd, settings)


def asked_margin(null_sd: float, settings: GroupSettings) -> float:
    """Return the margin asked over a null of this sd: the settings' and what chance allows."""
    return max(least_margin(settings), NULL_SDS * null_sd)


def least_margin(settings: GroupSettings) -> float:
    """Return the margin that is asked of the settings' method."""
    return max(settings.min_margin, LEAST_MARGIN.get(settings.method, 0.0))


def choose_k(scan: Scan) -> Choice:
    """Return how many groups the sample has (see the module's rule)."""
    settings, scores = scan.settings, scan.scores()
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
    k, finer = _refine(scan, best, scores)
    if k > best.k:
        reason += f"; refined to {k}: the finer groups stand above data that has only the coarser"
    return Choice(k=k, scores=scores, finer=tuple(finer), reason=reason)


def _refine(scan: Scan, best: KScore, scores: tuple[KScore, ...]) -> tuple[int, list[FinerScore]]:
    """Step to the next K that stands above its coarser null until none does."""
    by_k, tried = {score.k: score for score in scores}, list[FinerScore]()
    while True:
        finer = [_judged(scan, score) for score in scan.finer(best, scores)]
        tried += finer
        passed = [score for score in finer if score.holds]
        if not passed:
            return best.k, tried
        best = by_k[passed[0].k]


def _judged(scan: Scan, score: FinerScore) -> FinerScore:
    """Return the score with its weakest division, and whether it holds."""
    settings = scan.settings
    if score.stability_ari < settings.min_stability or not stands_above(score, settings):
        return score
    weakest = scan.weakest_excess(score.base_k, score.k)
    return replace(score, weakest_excess=weakest, holds=weakest is None or weakest >= 0.0)


def _inertia(points: Floats, labels: Labels) -> float:
    _, code = np.unique(labels, return_inverse=True)
    count = np.bincount(code)
    return float(
        sum(
            (x**2).sum() - (np.bincount(code, weights=x) ** 2 / count).sum()
            for x in (points - points.mean(axis=0)).T
        )
    )


def _no_groups(scores: tuple[KScore, ...], settings: GroupSettings) -> str:
    best = max(scores, key=lambda score: score.margin)
    asked = asked_margin(best.null_silhouette_sd, settings)
    return (
        f"no groups: the silhouette furthest above data without structure, {best.silhouette:.3f} "
        f"at K={best.k}, is {best.margin:.3f} above it; {asked:.3g} is asked"
    )
