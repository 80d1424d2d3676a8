"""Train a classifier on shape groups and say what its accuracy is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.classify.classification import Classification
from nanolake.classify.nearness import Nearness, fit_nearness
from nanolake.classify.scoring import (
    Heldout,
    Labeller,
    Learnt,
    heldout,
    label_by_kmeans,
    learn,
    null_procedure,
    stratified_subset,
)
from nanolake.classify.settings import ClassifySettings
from nanolake.classify.svm import Floats, Ints, calibrate
from nanolake.errors import SchemaError
from nanolake.scaling import fit_scaling, raw_matrix


def classify(
    table: Any,
    groups: Any,
    micrograph_ids: Any,
    experiment_ids: Any,
    settings: ClassifySettings | None = None,
    *,
    label_null: Labeller | None = None,
) -> Classification:
    """Train a support vector machine to tell ``groups`` (n,) from the columns of ``table``.

    Rows of group 0 or with a missing value take no part. ``micrograph_ids`` and
    ``experiment_ids`` (n,) are only held back by, never learnt from. ``label_null`` divides
    structureless rows as the grouping divided these; by default K-means does. Raises `SchemaError`
    where a column is absent or the lengths differ.

    The groups come from a grouping that saw all particles and the same columns: the labels are a
    function of what is learnt from. Every accuracy therefore says how well the grouping's borders
    can be drawn again, the held-out ones how well they carry over to other pictures; none says
    that the groups exist (see ``null_accuracy``).
    """
    settings = settings or ClassifySettings()
    raw = raw_matrix(table, settings.columns)
    truth = np.asarray(groups, np.int64)
    units = {"micrograph": np.asarray(micrograph_ids), "experiment": np.asarray(experiment_ids)}
    for name, values in {"groups": truth, **units}.items():
        if values.shape != (len(raw),):
            raise SchemaError(f"{name} has shape {values.shape}; the table has {len(raw)} rows")
    complete = (truth > 0) & ~np.isnan(raw).any(axis=1)
    labels, counts = np.unique(truth[complete], return_counts=True)
    learnt = labels[counts >= settings.least_members]
    left_out = tuple(int(label) for label in np.setdiff1d(labels, learnt))
    rows = np.flatnonzero(complete & np.isin(truth, learnt))
    rows_of = _Rows(raw[rows], truth[rows], **{name: ids[rows] for name, ids in units.items()})
    if len(learnt) < 2:
        return _nothing_learnt(rows_of, settings, labels, left_out)
    label_null = label_null or label_by_kmeans(settings.columns, settings.seed)
    return _train_and_score(rows_of, left_out, settings, label_null)


@dataclass(frozen=True)
class _Rows:
    """Complete rows (n, c) of groups that are learnt, their groups and where they are from."""

    raw: Floats
    truth: Ints
    micrograph: NDArray[Any]
    experiment: NDArray[Any]


def _nothing_learnt(
    rows: _Rows, settings: ClassifySettings, labels: Ints, left_out: tuple[int, ...]
) -> Classification:
    reason = (
        f"{len(labels)} group(s), of which {len(labels) - len(left_out)} with at least "
        f"{settings.least_members} members; two are needed"
    )
    only = tuple(int(label) for label in labels) if len(labels) == 1 else ()
    return Classification(
        columns=settings.columns,
        labels=only,
        left_out_groups=left_out,
        reason=reason,
        confusion=np.zeros((len(only), len(only)), np.int64),
        nearness=_of_one_group(rows, settings) if only and not left_out else None,
    )


def _of_one_group(rows: _Rows, settings: ClassifySettings) -> Nearness:
    rng = np.random.default_rng(settings.seed)
    some = stratified_subset(rows.truth, settings.max_train, settings.least_members, rng)
    scaling = fit_scaling(rows.raw[some], settings.columns)
    return fit_nearness(rows.raw[some], rows.truth[some], scaling, rows.micrograph[some], settings)


def _train_and_score(
    rows: _Rows, left_out: tuple[int, ...], settings: ClassifySettings, label_null: Labeller
) -> Classification:
    columns = settings.columns
    found = learn(rows.raw, rows.truth, columns, settings)
    fit, test, model = found.fit, found.test, found.model
    nearness = fit_nearness(
        rows.raw[fit], rows.truth[fit], model.scaling, rows.micrograph[fit], settings
    )
    micrograph, experiment = _held_back(rows, found, settings)
    null = null_procedure(rows.raw, len(model.classes), columns, settings, label_null)
    largest = int(np.bincount(rows.truth[fit]).argmax())
    best = found.search.best
    return Classification(
        columns=columns,
        labels=tuple(int(label) for label in model.classes),
        left_out_groups=left_out,
        reason="",
        accuracy=found.accuracy,
        cv_accuracy_mean=float(np.mean(found.fold_accuracies)),
        cv_accuracy_sd=float(np.std(found.fold_accuracies, ddof=1)),
        accuracy_heldout_micrograph=micrograph.accuracy if micrograph else None,
        accuracy_heldout_experiment=experiment.accuracy if experiment else None,
        unseen_share_experiment=experiment.unseen_share if experiment else None,
        null_accuracy=null.accuracy if null else None,
        null_cv_accuracy_mean=float(np.mean(null.fold_accuracies)) if null else None,
        majority_accuracy=float((rows.truth[test] == largest).mean()),
        too_far_share=float((nearness.ratio(rows.raw[test], found.answer) > 1.0).mean()),
        train_count=len(fit),
        test_count=len(test),
        wrong_count=int((found.answer != rows.truth[test]).sum()),
        confusion=_confusion(rows.truth[test], found.answer, model.classes),
        cost=best.cost,
        gamma=best.gamma,
        search=found.search,
        model=model,
        calibration=calibrate(found.votes, rows.truth[fit]),
        nearness=nearness,
    )


def _held_back(
    rows: _Rows, found: Learnt, settings: ClassifySettings
) -> tuple[Heldout | None, Heldout | None]:
    """Score on held-out micrographs and on held-out experiments."""
    rng, best = np.random.default_rng(settings.seed), found.search.best
    some = stratified_subset(rows.truth, settings.max_train, settings.least_members, rng)

    def score(units: NDArray[Any]) -> Heldout | None:
        return heldout(
            *(rows.raw[some], rows.truth[some], settings.columns, (best.cost, best.gamma)),
            *(units[some], settings.folds, settings.least_members),
        )

    return score(rows.micrograph), score(rows.experiment)


def _confusion(truth: Ints, answer: Ints, classes: Ints) -> Ints:
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (np.searchsorted(classes, truth), np.searchsorted(classes, answer)), 1)
    return confusion
