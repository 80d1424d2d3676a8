"""What speaks for and against the shape groups, in words a chemist can act on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from nanolake.report import numbers

MIN_MARGIN = 0.06
"""How far a silhouette must stand above the null where the grouping does not say itself."""

Pair = tuple[str, str, str]


def unpack(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a row of ``grouping_run`` or ``classifier_run`` with its JSON columns unpacked.

    What is NULL or NaN is left out. ``scores_json`` gives ``tried`` and the null's standard
    deviation, ``settings_json`` the margin that was asked, ``confusion_json`` the matrix
    ``confusion`` and its ``classes``.
    """
    if row is None:
        return None
    found = {key: value for key, value in row.items() if not _missing(value)}
    packed = {key: _parsed(found.pop(key)) for key in list(found) if key.endswith("_json")}
    scores, settings = packed.get("scores_json") or {}, packed.get("settings_json") or {}
    if scores.get("tried"):
        found.setdefault("tried", scores["tried"])
    for tried in found.get("tried", []):
        if tried["k"] == found.get("k"):
            found.setdefault("null_silhouette_sd", tried.get("null_silhouette_sd"))
    if settings:
        found.setdefault("settings", settings)
    if "min_margin" in settings:
        found.setdefault("min_margin", settings["min_margin"])
    matrix = packed.get("confusion_json") or {}
    if matrix.get("counts"):
        found.setdefault("confusion", matrix["counts"])
        found.setdefault("classes", matrix.get("labels"))
    return found


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def stands_out(grouping: Mapping[str, Any]) -> bool | None:
    """Return whether the groups stand above data without structure; None where no null was run.

    ``stands_out`` decides where given. Otherwise the silhouette must exceed the null's mean by
    ``min_margin`` (0.06) and by three of the null's standard deviations. One group never does.
    """
    if grouping.get("stands_out") is not None:
        return bool(grouping["stands_out"])
    if (grouping.get("k") or 0) < 2:
        return False
    margin = _margin(grouping)
    if margin is None:
        return None
    needed = max(
        grouping.get("min_margin") or MIN_MARGIN, 3.0 * (grouping.get("null_silhouette_sd") or 0.0)
    )
    return bool(margin >= needed)


def grouping_verdict(grouping: Mapping[str, Any]) -> tuple[str, str]:
    """Return ``good``, ``warn`` or ``unknown``, and the sentence that says why."""
    found = stands_out(grouping)
    if (grouping.get("k") or 0) == 1:
        return "warn", (
            "No groups: no division of these particles stands above one of data without structure."
        )
    if found is None:
        return "unknown", (
            "The grouping was not held against data without structure: whether these groups are "
            "more than slices of one cloud is not known."
        )
    if found:
        return "good", (
            "The groups stand above data without structure: the silhouette is "
            f"{numbers.fixed(_margin(grouping), 2)} above that of random data of the same "
            "covariance."
        )
    return "warn", (
        "These groups do not stand above structureless data: random data of the same covariance "
        "divides about as well. Read them as slices of one continuous population, not as kinds "
        "of particle."
    )


def grouping_pairs(grouping: Mapping[str, Any]) -> list[Pair]:
    """Return rows (measure, these particles, data without structure)."""
    sd = grouping.get("null_silhouette_sd")
    null = _number(_null(grouping))
    spread = f" ± {numbers.fixed(sd, 3)}" if sd is not None and null != numbers.ABSENT else ""
    rows = [
        ("Silhouette", _number(grouping.get("silhouette")), f"{null}{spread}"),
        (
            "Stability (adjusted Rand index between bootstrap runs)",
            _number(grouping.get("stability_ari")),
            _number(grouping.get("null_stability_ari")),
        ),
        (
            "Cophenetic correlation",
            _number(grouping.get("cophenetic")),
            _number(grouping.get("null_cophenetic")),
        ),
        ("Calinski-Harabasz", _number(grouping.get("calinski_harabasz"), 0), numbers.ABSENT),
        ("Davies-Bouldin", _number(grouping.get("davies_bouldin")), numbers.ABSENT),
    ]
    return [row for row in rows if row[1] != numbers.ABSENT]


def classifier_pairs(classifier: Mapping[str, Any]) -> list[Pair]:
    """Return rows (how it was tested, these particles, data without structure)."""
    rows = [
        (
            words,
            numbers.percent(_first(classifier, keys)),
            numbers.percent(_first(classifier, nulls)),
        )
        for words, keys, nulls in ACCURACIES
    ]
    return [row for row in rows if row[1] != numbers.ABSENT]


def classifier_words(classifier: Mapping[str, Any]) -> str:
    """Say what the accuracy is worth beside the null's."""
    own, null = classifier.get("accuracy"), classifier.get("null_accuracy")
    parts = []
    if own is not None and null is not None and own - null < 0.02:
        parts.append(
            "The same classifier does as well on groups cut from data without structure: this "
            "accuracy says that the groups have clear borders, not that they are real."
        )
    elif own is not None and null is not None:
        parts.append(
            f"On groups cut from data without structure the same classifier reaches "
            f"{numbers.percent(null)}; only what lies above that speaks for the groups."
        )
    unseen = classifier.get("unseen_share_experiment")
    if unseen is not None and unseen >= 0.01:
        parts.append(
            f"{numbers.percent(unseen, 0)} of the particles are of a group that no other "
            "experiment has: with their experiment held out they are bound to be wrong."
        )
    return " ".join(parts)


ACCURACIES = (
    ("Held-out particles", ("accuracy",), ("null_accuracy",)),
    (
        "Cross-validation",
        ("cv_accuracy_mean",),
        ("null_cv_accuracy_mean",),
    ),
    (
        "Held-out micrographs",
        ("accuracy_heldout_micrograph",),
        (),
    ),
    (
        "Held-out experiments",
        ("accuracy_heldout_experiment",),
        (),
    ),
)

GROUPING_SHOWN = {
    "k", "silhouette", "null_silhouette_mean", "null_silhouette_sd",
    "stability_ari", "null_stability_ari", "cophenetic", "null_cophenetic", "margin",
    "calinski_harabasz", "davies_bouldin", "stands_out", "min_margin", "tried", "finer",
    "unit_key", "created_at", "settings", "reason",
}  # fmt: skip
CLASSIFIER_SHOWN = {"confusion", "classes", "unit_key", "created_at", "settings"} | {
    key for _, keys, nulls in ACCURACIES for key in keys + nulls
}


def _margin(grouping: Mapping[str, Any]) -> float | None:
    if grouping.get("margin") is not None:
        return float(grouping["margin"])
    own, null = grouping.get("silhouette"), _null(grouping)
    return None if own is None or null is None else float(own) - float(null)


def _null(grouping: Mapping[str, Any]) -> Any:
    return _first(grouping, ("null_silhouette_mean",))


def _first(mapping: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((mapping[key] for key in keys if mapping.get(key) is not None), None)


def _number(value: Any, places: int = 3) -> str:
    return numbers.fixed(value, places)
