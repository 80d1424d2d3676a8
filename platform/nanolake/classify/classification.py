"""A trained classifier of shape groups: its scores, its answers, its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nanolake.classify.nearness import Nearness
from nanolake.classify.packing import pack, unpack
from nanolake.classify.search import Search, Trial
from nanolake.classify.svm import Calibration, Floats, Ints, SupportVectorModel, read, write
from nanolake.errors import ModelError
from nanolake.scaling import raw_matrix

MISSING_VALUE = "missing_value"
"""Why a row has no group: a column learnt from has no value."""
TOO_FAR = "too_far"
"""Why a row has no group: it is unlike every particle that its group was learnt from."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The groups of n particles that the grouping has not seen; unknown where ``reason`` says."""

    shape_group: NDArray[np.int32]
    """(n,) group; 0 where unknown."""
    probability: Floats
    """(n,) that of the group, 0 … 1; NaN where unknown, and where there is one group only."""
    distance_ratio: Floats
    """(n,) distance to the group's known particles over its limit; NaN where a value is missing."""
    reason: NDArray[np.str_]
    """(n,) empty, ``missing_value`` or ``too_far``."""


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
    """On the held-back share of the particles."""
    cv_accuracy_mean: float | None = None
    cv_accuracy_sd: float | None = None
    accuracy_heldout_micrograph: float | None = None
    accuracy_heldout_experiment: float | None = None
    unseen_share_experiment: float | None = None
    """Share of the particles whose group too few of other experiments have for it to be learnt."""
    null_accuracy: float | None = None
    """Accuracy of the same procedure on data without structure of the same covariance."""
    null_cv_accuracy_mean: float | None = None
    majority_accuracy: float | None = None
    """Accuracy of always answering the largest group."""
    too_far_share: float | None = None
    """Share of the held-back particles that would be refused as unlike their group."""
    train_count: int = 0
    test_count: int = 0
    wrong_count: int = 0
    confusion: NDArray[np.int64]
    """(k, k) counts in the test set; row: the group, column: the answer."""
    cost: float | None = None
    gamma: float | None = None
    search: Search | None = None
    """Every pair of cost and gamma tried; None where nothing was learnt."""
    model: SupportVectorModel | None = None
    calibration: Calibration | None = None
    nearness: Nearness | None = None

    @property
    def precision(self) -> tuple[float | None, ...]:
        """(k,) share of the answers for a group that were right; None where it was no answer."""
        return _shares(self.confusion, self.confusion.sum(axis=0))

    @property
    def recall(self) -> tuple[float | None, ...]:
        """(k,) share of a group's test particles that were found."""
        return _shares(self.confusion, self.confusion.sum(axis=1))

    @property
    def can_predict(self) -> bool:
        """Whether there is anything to predict with: a model, or a single known group."""
        return self.nearness is not None

    def predict(self, table: Any) -> Prediction:
        """Return the group of each row of ``table`` (n), or why it is unknown.

        A particle further from its group than ``too_far_share`` of the group's own are has none.
        With a single group there is no choice to make, only near or too far. A particle of a
        group that was left out is too far, or taken for a neighbour. Raises `ModelError` where
        nothing was learnt, `SchemaError` where a column is absent.
        """
        if self.nearness is None:
            raise ModelError(f"this classifier cannot predict: {self.reason}")
        raw = raw_matrix(table, self.columns)
        rows = np.flatnonzero(~np.isnan(raw).any(axis=1))
        groups, reason = np.zeros(len(raw), np.int32), np.full(len(raw), MISSING_VALUE)
        probability, ratio = np.full(len(raw), np.nan), np.full(len(raw), np.nan)
        answer, confidence = self._answer(raw[rows])
        ratio[rows] = self.nearness.ratio(raw[rows], answer)
        near = ratio[rows] <= 1.0
        groups[rows] = np.where(near, answer, 0)
        probability[rows] = np.where(near, confidence, np.nan)
        reason[rows] = np.where(near, "", TOO_FAR)
        return Prediction(
            shape_group=groups, probability=probability, distance_ratio=ratio, reason=reason
        )

    def _answer(self, raw: Floats) -> tuple[Ints, Floats]:
        """Return group (n,) and probability (n,) of complete rows, however far they are."""
        if self.model is None or self.calibration is None:
            return np.full(len(raw), self.labels[0], np.int64), np.full(len(raw), np.nan)
        votes = self.model.votes(raw)
        place = votes.argmax(axis=1)
        chance = self.calibration.probability(votes)[np.arange(len(raw)), place]
        return self.model.classes[place], chance

    def save(self, path: Path | str) -> None:
        """Write scores and model to one ``.npz`` file of plain arrays, without pickle."""
        facts = {name: getattr(self, name) for name in _FACTS}
        facts["trials"] = self.search.as_rows() if self.search else None
        parts = pack(self.model, self.calibration, self.nearness)
        write(Path(path), facts, {"confusion": self.confusion, **parts})

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote; raises `ModelError` where the file is not that."""
        facts, arrays = read(Path(path))
        try:
            for name in ("columns", "labels", "left_out_groups"):
                facts[name] = tuple(facts[name])
            model, calibration, nearness = unpack(arrays)
            trials = facts["trials"]
            return cls(
                confusion=arrays["confusion"],
                search=Search(trials=tuple(Trial(**one) for one in trials)) if trials else None,
                model=model,
                calibration=calibration,
                nearness=nearness,
                **{name: facts[name] for name in _FACTS},
            )
        except (KeyError, TypeError) as error:
            raise ModelError(f"{path} is damaged: {error!r} is missing or wrong") from None


_FACTS = (
    *("columns", "labels", "left_out_groups", "reason", "accuracy", "cv_accuracy_mean"),
    *("cv_accuracy_sd", "accuracy_heldout_micrograph", "accuracy_heldout_experiment"),
    *("unseen_share_experiment", "null_accuracy", "null_cv_accuracy_mean", "majority_accuracy"),
    *("too_far_share", "train_count", "test_count", "wrong_count", "cost", "gamma"),
)


def _shares(confusion: Ints, totals: Ints) -> tuple[float | None, ...]:
    right = np.diag(confusion)
    return tuple(
        float(one) / float(total) if total else None
        for one, total in zip(right, totals, strict=True)
    )
