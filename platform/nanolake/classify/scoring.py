"""Accuracy under the different ways of holding rows back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.classify.svm import Floats, Ints, train
from nanolake.scaling import fit_scaling, structureless


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


def search(
    raw: Floats,
    labels: Ints,
    columns: tuple[str, ...],
    grid: Sequence[tuple[float, float]],
    seed: int,
) -> tuple[float, float]:
    """Return the (cost, gamma) of ``grid`` with the best 3-fold accuracy; the first where equal."""
    from sklearn.model_selection import StratifiedKFold

    folds = list(StratifiedKFold(3, shuffle=True, random_state=seed).split(raw, labels))
    scores = []
    for cost, gamma in grid:
        right = [
            train(raw[a], labels[a], columns, cost=cost, gamma=gamma).predict(raw[b]) == labels[b]
            for a, b in folds
        ]
        scores.append(float(np.concatenate(right).mean()))
    return grid[int(np.argmax(scores))]


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


def heldout_accuracy(
    raw: Floats,
    labels: Ints,
    columns: tuple[str, ...],
    best: tuple[float, float],
    units: NDArray[Any],
    folds: int,
) -> float | None:
    """Return the accuracy on rows of ``units`` (micrographs …) that training saw no row of.

    A class that occurs in the held-out units only counts as wrong. None with fewer than two
    units, or where no training part has two classes.
    """
    from sklearn.model_selection import GroupKFold

    count = len(np.unique(units))
    if count < 2:
        return None
    right, learned = [], False
    for a, b in GroupKFold(min(folds, count)).split(raw, labels, units):
        if len(np.unique(labels[a])) < 2:
            right.append(labels[b] == labels[a][0])
            continue
        learned = True
        model = train(raw[a], labels[a], columns, cost=best[0], gamma=best[1])
        right.append(model.predict(raw[b]) == labels[b])
    return float(np.concatenate(right).mean()) if learned else None


def null_accuracy(
    raw: Floats,
    k: int,
    columns: tuple[str, ...],
    grid: Sequence[tuple[float, float]],
    seed: int,
    search_rows: int,
) -> float:
    """Return the accuracy on K-means labels of structureless data of the same covariance.

    Labels of K-means are a function of the coordinates, so a classifier learns them whether or
    not there are groups: an accuracy means something by its distance to this one only.
    """
    from sklearn.cluster import KMeans
    from sklearn.model_selection import train_test_split

    points = fit_scaling(raw, columns).apply(raw)
    drawn = structureless(points, np.random.default_rng(seed))
    labels = KMeans(k, n_init=3, random_state=seed).fit_predict(drawn).astype(np.int64)
    names = tuple(f"axis {i}" for i in range(drawn.shape[1]))
    a, b = train_test_split(np.arange(len(drawn)), test_size=0.2, random_state=seed)
    best = search(drawn[a][:search_rows], labels[a][:search_rows], names, grid, seed)
    model = train(drawn[a], labels[a], names, cost=best[0], gamma=best[1])
    return float((model.predict(drawn[b]) == labels[b]).mean())
