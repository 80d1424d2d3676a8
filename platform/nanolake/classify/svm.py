"""A trained support vector machine as plain arrays: predicts with NumPy, saved without pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import ModelError
from nanolake.scaling import Scaling, fit_scaling

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FORMAT = 2
CHUNK = 2_000
"""Rows predicted at a time: the kernel takes rows x support vectors x 8 bytes."""


@dataclass(frozen=True, kw_only=True)
class SupportVectorModel:
    """Multiclass SVM with a radial kernel, one against one, and its scaling.

    ``coefficients`` (k - 1, s), ``support`` (s, c) and ``intercepts`` (k (k - 1) / 2) are
    libsvm's: classes in the order of ``classes`` (k), support vectors sorted by class,
    ``support_counts`` (k) of each.
    """

    scaling: Scaling
    classes: Ints
    support: Floats
    support_counts: Ints
    coefficients: Floats
    intercepts: Floats
    gamma: float

    def votes(self, raw: Floats) -> Floats:
        """Return one score a class (n, k): pairs won, ties broken by the pairs' summed distance."""
        parts = [self._votes(raw[i : i + CHUNK]) for i in range(0, len(raw), CHUNK)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)))

    def predict(self, raw: Floats) -> Ints:
        """Return the class of each complete row of ``raw`` (n, c)."""
        return np.asarray(self.classes[self.votes(raw).argmax(axis=1)], np.int64)

    def _votes(self, raw: Floats) -> Floats:
        points = self.scaling.apply(raw)
        square = (points**2).sum(axis=1)[:, None] + (self.support**2).sum(axis=1)[None]
        square -= 2.0 * points @ self.support.T
        kernel = np.exp(-self.gamma * np.maximum(square, 0.0))
        won = np.zeros((len(raw), len(self.classes)))
        summed = np.zeros_like(won)
        ends = np.concatenate([[0], np.cumsum(self.support_counts)])
        pairs = [(i, j) for i in range(len(self.classes)) for j in range(i + 1, len(self.classes))]
        for pair, (i, j) in enumerate(pairs):
            of_i, of_j = slice(ends[i], ends[i + 1]), slice(ends[j], ends[j + 1])
            value = kernel[:, of_i] @ self.coefficients[j - 1, of_i] + self.intercepts[pair]
            value = value + kernel[:, of_j] @ self.coefficients[i, of_j]
            won[:, i] += value > 0
            won[:, j] += value <= 0
            summed[:, i] += value
            summed[:, j] -= value
        return won + summed / (3.0 * (np.abs(summed) + 1.0))


def train(
    raw: Floats, labels: Ints, columns: tuple[str, ...], *, cost: float, gamma: float
) -> SupportVectorModel:
    """Fit scaling and SVM to complete rows ``raw`` (n, c). ``gamma`` counts per coordinate."""
    from sklearn.svm import SVC

    scaling = fit_scaling(raw, columns)
    points = scaling.apply(raw)
    per_axis = gamma / max(points.shape[1], 1)
    fitted = SVC(C=cost, gamma=per_axis, kernel="rbf", cache_size=200).fit(points, labels)
    sign = -1.0 if len(fitted.classes_) == 2 else 1.0  # scikit-learn turns the sign for two classes
    return SupportVectorModel(
        scaling=scaling,
        classes=fitted.classes_.astype(np.int64),
        support=fitted.support_vectors_,
        support_counts=fitted.n_support_.astype(np.int64),
        coefficients=sign * fitted.dual_coef_,
        intercepts=sign * fitted.intercept_,
        gamma=per_axis,
    )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Votes -> probability of each class: multinomial logistic regression on held-out votes."""

    weights: Floats
    """(k, k)"""
    offsets: Floats
    """(k,)"""

    def probability(self, votes: Floats) -> Floats:
        """Return (n, k) probabilities; each row sums to 1."""
        logits = votes @ self.weights.T + self.offsets
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def calibrate(votes: Floats, labels: Ints) -> Calibration:
    """Fit a `Calibration` to votes (n, k) of rows that the voting model had not seen."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=1000).fit(votes, labels)
    weights, offsets = fitted.coef_, fitted.intercept_
    if len(weights) == 1:  # two classes: scikit-learn keeps the second's only
        weights = np.concatenate([np.zeros_like(weights), weights])
        offsets = np.concatenate([[0.0], offsets])
    return Calibration(weights=weights, offsets=offsets)


def write(path: Path, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write one ``.npz`` file: ``facts`` as JSON text beside ``arrays``."""
    text = json.dumps({"format": FORMAT, **facts})
    with path.open("wb") as file:
        np.savez_compressed(file, facts=np.array(text), **arrays)  # type: ignore[arg-type,unused-ignore]


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write` wrote; raises `ModelError` where it is not that."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(str(arrays.pop("facts")))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ModelError(f"{path} is no classifier written by nanolake: {error}") from None
    if facts.get("format") != FORMAT:
        raise ModelError(
            f"{path} has format {facts.get('format')}; this nanolake reads {FORMAT}: train the "
            "classifier again with `nanolake classify`"
        )
    return facts, arrays
