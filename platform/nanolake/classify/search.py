"""Bayesian search for the penalty and the kernel width of the support vector machine."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nanolake.classify.settings import ClassifySettings
from nanolake.classify.svm import Floats, Ints, train

SEARCH_FOLDS = 3
STARTS = ((10.0, 0.3), (1.0, 1.0), (100.0, 0.1))
"""Pairs of cost and gamma tried first: a smooth, a finer and a coarser border."""
WARM_UP = 4
"""Trials before the sampler starts to learn from them; the starts count."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One pair tried, and its accuracy over the folds of the search."""

    cost: float
    gamma: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Search:
    """What was tried, in the order of trying."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The most accurate pair; of several the one with the smoothest border."""
        return min(self.trials, key=lambda one: (-one.accuracy, one.cost * one.gamma, one.cost))

    def as_rows(self) -> list[dict[str, float]]:
        """Return one mapping a trial."""
        return [asdict(trial) for trial in self.trials]


def search(
    raw: Floats, labels: Ints, columns: tuple[str, ...], settings: ClassifySettings
) -> Search:
    """Try ``settings.trials`` pairs on complete rows ``raw`` (n, c) and ``labels`` (n,).

    A tree-structured Parzen estimator proposes each pair from those before it (Optuna; Bergstra
    et al., NIPS 2011), in memory, seeded: the same rows give the same trials. The accuracy is
    that of a 3-fold cross-validation.
    """
    import optuna

    folds = _folds(raw, labels, settings.seed)
    found: list[Trial] = []

    def try_one(asked: Any) -> float:
        cost = asked.suggest_float("cost", *settings.cost_range, log=True)
        gamma = asked.suggest_float("gamma", *settings.gamma_range, log=True)
        score = _accuracy(raw, labels, columns, cost, gamma, folds)
        found.append(Trial(cost=cost, gamma=gamma, accuracy=score))
        return score

    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sampler = optuna.samplers.TPESampler(
            seed=settings.seed, multivariate=True, n_startup_trials=WARM_UP
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for start in STARTS:
            study.enqueue_trial(_within(start, settings))
        study.optimize(try_one, n_trials=settings.trials, callbacks=[_stop_at_perfect])
    finally:
        optuna.logging.set_verbosity(loud)
    return Search(trials=tuple(found))


def _folds(raw: Floats, labels: Ints, seed: int) -> list[tuple[Ints, Ints]]:
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(SEARCH_FOLDS, shuffle=True, random_state=seed).split(raw, labels))


def _accuracy(
    raw: Floats,
    labels: Ints,
    columns: tuple[str, ...],
    cost: float,
    gamma: float,
    folds: list[tuple[Ints, Ints]],
) -> float:
    right = [
        train(raw[a], labels[a], columns, cost=cost, gamma=gamma).predict(raw[b]) == labels[b]
        for a, b in folds
    ]
    return float(np.concatenate(right).mean())


def _within(start: tuple[float, float], settings: ClassifySettings) -> dict[str, float]:
    """Return a pair as Optuna takes it, moved into the ranges."""
    ranges = {"cost": settings.cost_range, "gamma": settings.gamma_range}
    return {
        name: min(max(value, low), high)
        for (name, (low, high)), value in zip(ranges.items(), start, strict=True)
    }


def _stop_at_perfect(study: Any, trial: Any) -> None:
    if math.isclose(trial.value, 1.0):
        study.stop()
