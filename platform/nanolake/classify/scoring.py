"""One procedure of searching, training and testing, and the ways of holding rows back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.classify.search import Search, search
from nanolake.classify.settings import ClassifySettings
from nanolake.classify.svm import Floats, Ints, SupportVectorModel, train
from nanolake.scaling import fit_scaling, structureless

Labeller = Callable[[Floats, int], Ints]
"""Divides complete rows (n, c), as `scaling.raw_matrix` gives them, into k groups: labels (n,)."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What one run of the procedure gave; rows count in the table that it was given."""

    model: SupportVectorModel
    search: Search
    fit: Ints
    """Rows trained on."""
    test: Ints
    """Rows held back from everything, the search included."""
    answer: Ints
    """Answers for ``test``."""
    accuracy: float
    fold_accuracies: tuple[float, ...]
    votes: Floats
    """Votes for ``fit`` of models that had not seen the row."""


@dataclass(frozen=True, kw_only=True)
class Heldout:
    """Accuracy on held-out micrographs or experiments.

    ``unseen_share`` is the share of the rows whose group too few rows of other units had to be
    learnt: ``accuracy`` can hardly exceed 1 - ``unseen_share``.
    """

    accuracy: float
    unseen_share: float


def learn(raw: Floats, truth: Ints, columns: tuple[str, ...], settings: ClassifySettings) -> Learnt:
    """Split complete rows ``raw`` (n, c), search, train, test and cross-validate.

    The test rows are held back first. The cross-validation uses the pair that the search chose on
    some of the same rows: two numbers chosen from a thousand rows, as in the paper.
    """
    from sklearn.model_selection import StratifiedKFold, train_test_split

    rng = np.random.default_rng(settings.seed)
    rest, test = train_test_split(
        np.arange(len(raw)),
        test_size=settings.test_share,
        stratify=truth,
        random_state=settings.seed,
    )
    fit = rest[stratified_subset(truth[rest], settings.max_train, settings.least_members, rng)]
    few = fit[stratified_subset(truth[fit], settings.search_rows, settings.least_members, rng)]
    found = search(raw[few], truth[few], columns, settings)
    best = (found.best.cost, found.best.gamma)
    model = train(raw[fit], truth[fit], columns, cost=best[0], gamma=best[1])
    splitter = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    folds = splitter.split(raw[fit], truth[fit])
    votes, accuracies = out_of_fold(raw[fit], truth[fit], columns, best, folds)
    answer = model.predict(raw[test])
    return Learnt(
        model=model,
        search=found,
        fit=fit,
        test=test,
        answer=answer,
        accuracy=float((answer == truth[test]).mean()),
        fold_accuracies=tuple(accuracies),
        votes=votes,
    )


def stratified_subset(labels: Ints, size: int, least: int, rng: np.random.Generator) -> Ints:
    """Return sorted row indices, about ``size`` in all, at least ``least`` of each class."""
    if len(labels) <= size:
        return np.arange(len(labels))
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(len(rows), max(least, round(size * len(rows) / len(labels))))
        chosen.append(rng.permutation(rows)[:count])
    return np.sort(np.concatenate(chosen))


def out_of_fold(
    raw: Floats, labels: Ints, columns: tuple[str, ...], best: tuple[float, float], folds: Any
) -> tuple[Floats, list[float]]:
    """Return votes (n, k) of models that had not seen the row, and each fold's accuracy."""
    classes = np.unique(labels)
    votes, accuracies = np.zeros((len(raw), len(classes))), []
    for a, b in folds:
        model = train(raw[a], labels[a], columns, cost=best[0], gamma=best[1])
        votes[b] = model.votes(raw[b])
        accuracies.append(float((classes[votes[b].argmax(axis=1)] == labels[b]).mean()))
    return votes, accuracies


def heldout(
    raw: Floats,
    labels: Ints,
    columns: tuple[str, ...],
    best: tuple[float, float],
    units: NDArray[Any],
    folds: int,
    least: int = 1,
) -> Heldout | None:
    """Score on rows of ``units`` (n,) (micrographs …) that training saw no row of.

    Each unit is left out alone where there are at most ``folds``, else in ``folds`` parts. A class
    that occurs in the held-out units only counts as wrong; one with fewer than ``least`` rows
    elsewhere counts as unseen. None with fewer than two units, or where no training part has two
    classes.
    """
    from sklearn.model_selection import GroupKFold

    count = len(np.unique(units))
    if count < 2:
        return None
    right, seen, learned = [], [], False
    for a, b in GroupKFold(min(folds, count)).split(raw, labels, units):
        known, counts = np.unique(labels[a], return_counts=True)
        seen.append(np.isin(labels[b], known[counts >= least]))
        if len(known) < 2:
            right.append(labels[b] == known[0])
            continue
        learned = True
        model = train(raw[a], labels[a], columns, cost=best[0], gamma=best[1])
        right.append(model.predict(raw[b]) == labels[b])
    if not learned:
        return None
    return Heldout(
        accuracy=float(np.concatenate(right).mean()),
        unseen_share=float(1.0 - np.concatenate(seen).mean()),
    )


def null_procedure(
    raw: Floats, k: int, columns: tuple[str, ...], settings: ClassifySettings, label: Labeller
) -> Learnt | None:
    """Run the whole procedure on structureless rows of the same covariance, divided by ``label``.

    Labels of a grouping are a function of the coordinates, so a classifier learns them whether or
    not there are groups: an accuracy means something by its distance to this one only. None where
    ``label`` makes fewer than two groups that are large enough.
    """
    rng = np.random.default_rng(settings.seed)
    count = min(len(raw), round(settings.max_train / (1.0 - settings.test_share)))
    drawn = structureless(_clipped(raw, columns), rng)[:count]
    labels = label(drawn, k)
    found, counts = np.unique(labels, return_counts=True)
    large = found[counts >= settings.least_members]
    rows = np.flatnonzero(np.isin(labels, large))
    return learn(drawn[rows], labels[rows], columns, settings) if len(large) > 1 else None


def label_by_kmeans(columns: tuple[str, ...], seed: int) -> Labeller:
    """Return a `Labeller` that scales as the classifier does and runs K-means."""

    def label(raw: Floats, k: int) -> Ints:
        from sklearn.cluster import KMeans

        points = fit_scaling(raw, columns).apply(raw)
        found = KMeans(k, n_init=3, random_state=seed).fit_predict(points)
        return np.asarray(found, np.int64)

    return label


def _clipped(raw: Floats, columns: tuple[str, ...]) -> Floats:
    """Return ``raw`` with outliers moved to where the scaling clips them: they make no variance."""
    scaling, clipped = fit_scaling(raw, columns), raw.copy()
    reach = scaling.clip * scaling.spread
    low, high = scaling.median - reach, scaling.median + reach
    clipped[:, scaling.kept] = np.clip(raw[:, scaling.kept], low, high)
    return clipped
