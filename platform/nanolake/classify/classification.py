"""Train a classifier on shape groups and say what its accuracy is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nanolake.classify.scoring import (
    heldout_accuracy,
    null_accuracy,
    out_of_fold,
    search,
    stratified_subset,
)
from nanolake.classify.svm import (
    Calibration,
    Floats,
    Ints,
    SupportVectorModel,
    calibrate,
    pack,
    read,
    train,
    unpack,
    write,
)
from nanolake.errors import SchemaError
from nanolake.scaling import raw_matrix
from nanolake.settings import Settings


class ClassifySettings(Settings):
    """How the support vector machine is trained and scored."""

    columns: tuple[str, ...] = (
        "equivalent_diameter_area_nm",
        "aspect_ratio",
        "circularity",
        "roundness",
        "solidity",
        "p",
        "d_mean",
        "L_ratio",
    )
    """Columns to learn from; hand on the grouping's own, ``Grouping.columns``."""
    test_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the particles held back for the accuracy and the confusion matrix."""
    folds: int = Field(default=10, ge=3)
    """Parts of the cross-validations."""
    max_train: int = Field(default=4000, ge=100)
    """Particles trained on; more are drawn from at random, by group."""
    search_rows: int = Field(default=1000, ge=100)
    """Particles on which cost and gamma are searched."""
    costs: tuple[float, ...] = Field(default=(1.0, 10.0, 100.0), min_length=1)
    """Penalties C tried."""
    gammas: tuple[float, ...] = Field(default=(0.1, 0.3, 1.0), min_length=1)
    """Kernel widths tried, times the number of coordinates."""
    seed: int = Field(default=0, ge=0)
    """Where every random choice starts."""

    @property
    def least_members(self) -> int:
        """Members below which a group is not learnt: two for each fold."""
        return 2 * self.folds

    @property
    def grid(self) -> list[tuple[float, float]]:
        """Every (cost, gamma) tried."""
        return [(cost, gamma) for cost in self.costs for gamma in self.gammas]


@dataclass(frozen=True, kw_only=True)
class Classification:
    """A classifier of shape groups and its scores: None where a score is not known."""

    columns: tuple[str, ...]
    labels: tuple[int, ...]
    """Groups learnt, rows and columns of ``confusion``."""
    left_out_groups: tuple[int, ...]
    """Groups with too few members to learn."""
    reason: str
    """Why there is no classifier; empty where there is one."""
    accuracy: float | None = None
    cv_accuracy_mean: float | None = None
    cv_accuracy_sd: float | None = None
    accuracy_heldout_micrograph: float | None = None
    accuracy_heldout_experiment: float | None = None
    null_accuracy: float | None = None
    """Accuracy of the same procedure on data without structure of the same covariance."""
    majority_accuracy: float | None = None
    """Accuracy of always answering the largest group."""
    train_count: int = 0
    test_count: int = 0
    wrong_count: int = 0
    confusion: NDArray[np.int64]
    """(k, k) counts in the test set; row: the group, column: the answer."""
    cost: float | None = None
    gamma: float | None = None
    model: SupportVectorModel | None = None
    calibration: Calibration | None = None

    def predict(self, table: Any) -> tuple[NDArray[np.int32], Floats]:
        """Return group (n,) and confidence (n,) 0 … 1 of each row of ``table``.

        Group 0 and NaN where a value is missing. With a single group the answer is that group
        and the confidence NaN: nothing was learnt.
        """
        raw = raw_matrix(table, self.columns)
        rows = np.flatnonzero(~np.isnan(raw).any(axis=1))
        groups, confidence = np.zeros(len(raw), np.int32), np.full(len(raw), np.nan)
        if self.model is None or self.calibration is None:
            groups[rows] = self.labels[0] if len(self.labels) == 1 else 0
            return groups, confidence
        if len(rows):
            votes = self.model.votes(raw[rows])
            answer = votes.argmax(axis=1)
            groups[rows] = self.model.classes[answer]
            confidence[rows] = self.calibration.probability(votes)[np.arange(len(rows)), answer]
        return groups, confidence

    def save(self, path: Path | str) -> None:
        """Write scores and model to one ``.npz`` file of plain arrays, without pickle."""
        facts = {name: getattr(self, name) for name in _FACTS}
        arrays = {"confusion": self.confusion}
        if self.model is not None and self.calibration is not None:
            arrays |= pack(self.model, self.calibration)
        write(Path(path), facts, arrays)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote; raises `ModelError` where the file is not that."""
        facts, arrays = read(Path(path))
        facts.pop("format")
        for name in ("columns", "labels", "left_out_groups"):
            facts[name] = tuple(facts[name])
        confusion = arrays.pop("confusion")
        model, calibration = unpack(arrays) if arrays else (None, None)
        return cls(confusion=confusion, model=model, calibration=calibration, **facts)


_FACTS = (
    *("columns", "labels", "left_out_groups", "reason", "accuracy", "cv_accuracy_mean"),
    *("cv_accuracy_sd", "accuracy_heldout_micrograph", "accuracy_heldout_experiment"),
    *("null_accuracy", "majority_accuracy", "train_count", "test_count", "wrong_count"),
    *("cost", "gamma"),
)


def classify(
    table: Any,
    groups: Any,
    micrograph_ids: Any,
    experiment_ids: Any,
    settings: ClassifySettings | None = None,
) -> Classification:
    """Train a support vector machine to tell ``groups`` (n,) from the columns of ``table``.

    Rows of group 0 or with a missing value take no part. ``micrograph_ids`` and
    ``experiment_ids`` (n,) are only held back by, never learnt from. Raises `SchemaError` where a
    column is absent or the lengths differ.

    The groups come from a grouping that saw all particles: the held-out accuracies say how well
    its borders carry over to other pictures, not that the groups exist (see ``null_accuracy``).
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
    if len(learnt) < 2:
        return _nothing_learnt(settings, labels, left_out)
    rows = np.flatnonzero(complete & np.isin(truth, learnt))
    subset = {name: values[rows] for name, values in units.items()}
    return _train_and_score(raw[rows], truth[rows], subset, left_out, settings)


def _nothing_learnt(
    settings: ClassifySettings, labels: Ints, left_out: tuple[int, ...]
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
    )


def _train_and_score(
    raw: Floats,
    truth: Ints,
    units: dict[str, NDArray[Any]],
    left_out: tuple[int, ...],
    settings: ClassifySettings,
) -> Classification:
    from sklearn.model_selection import StratifiedKFold, train_test_split

    rng, columns = np.random.default_rng(settings.seed), settings.columns
    rest, test = train_test_split(
        np.arange(len(raw)),
        test_size=settings.test_share,
        stratify=truth,
        random_state=settings.seed,
    )
    fit = rest[_subset(truth[rest], settings.max_train, settings, rng)]
    few = fit[_subset(truth[fit], settings.search_rows, settings, rng)]
    best = search(raw[few], truth[few], columns, settings.grid, settings.seed)
    model = train(raw[fit], truth[fit], columns, cost=best[0], gamma=best[1])
    splitter = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    folds = splitter.split(raw[fit], truth[fit])
    votes, accuracies = out_of_fold(raw[fit], truth[fit], columns, best, folds)
    answer = model.predict(raw[test])
    confusion = _confusion(truth[test], answer, model.classes)
    some = _subset(truth, settings.max_train, settings, rng)
    heldout = {
        name: heldout_accuracy(raw[some], truth[some], columns, best, ids[some], settings.folds)
        for name, ids in units.items()
    }
    largest = int(np.bincount(truth[fit]).argmax())
    return Classification(
        columns=columns,
        labels=tuple(int(label) for label in model.classes),
        left_out_groups=left_out,
        reason="",
        accuracy=float((answer == truth[test]).mean()),
        cv_accuracy_mean=float(np.mean(accuracies)),
        cv_accuracy_sd=float(np.std(accuracies, ddof=1)),
        accuracy_heldout_micrograph=heldout["micrograph"],
        accuracy_heldout_experiment=heldout["experiment"],
        null_accuracy=null_accuracy(
            *(raw[some], len(model.classes), columns, settings.grid),
            *(settings.seed, settings.search_rows),
        ),
        majority_accuracy=float((truth[test] == largest).mean()),
        train_count=len(fit),
        test_count=len(test),
        wrong_count=int((answer != truth[test]).sum()),
        confusion=confusion,
        cost=best[0],
        gamma=best[1],
        model=model,
        calibration=calibrate(votes, truth[fit]),
    )


def _subset(truth: Ints, size: int, settings: ClassifySettings, rng: np.random.Generator) -> Ints:
    return stratified_subset(truth, size, settings.least_members, rng)


def _confusion(truth: Ints, answer: Ints, classes: Ints) -> Ints:
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (np.searchsorted(classes, truth), np.searchsorted(classes, answer)), 1)
    return confusion
