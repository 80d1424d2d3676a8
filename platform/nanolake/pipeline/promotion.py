"""Which version of a model inference uses: a new one must not be worse than the one in use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.errors import ModelError, SettingsError

if TYPE_CHECKING:
    from nanolake.model_files import Exports
    from nanolake.storage.models import ModelRegistry

_SHOWN = ("test_jaccard", "test_d_accuracy", "test_f1_50", "test_f1_75")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a new version."""

    champion: bool
    words: str
    """Why, with the scores of both."""


def judge(
    made: Exports, settings: Any, stage: Any, registry: ModelRegistry, folder: Path
) -> Verdict:
    """Compare a new model with the champion, both scored on the test set of ``settings``.

    The champion is the registered one or, where none is, the network that comes with the package,
    if ``settings`` bear its name. ``stage`` is the module that knows the network: ``score``,
    ``SHIPPED`` and ``GATE``, which maps a score that must not fall to (its words, by how much it
    may fall all the same: less than the test set can tell). The champion is copied to ``folder``.
    """
    from nanolake.model_files import model_id

    found = _champion(settings, stage, registry, folder)
    if found is None:
        return Verdict(champion=True, words="champion: the first of its name")
    weights, who = found
    try:
        if model_id(weights) == model_id(made.weights):
            return Verdict(champion=True, words=f"champion: the same weights as {who}")
        held = stage.score(settings, weights)
    except ModelError as error:
        return Verdict(champion=False, words=f"challenger: {who} could not be scored ({error})")
    words = ", ".join(
        f"{text} {made.metrics[name]:.4f} against {held[name]:.4f}"
        for name, (text, _) in stage.GATE.items()
    )
    if not_worse(made.metrics, held, {name: by for name, (_, by) in stage.GATE.items()}):
        return Verdict(champion=True, words=f"champion: not worse than {who}: {words}")
    return Verdict(champion=False, words=f"challenger: worse than {who}: {words}")


def not_worse(
    new: Mapping[str, float], held: Mapping[str, float], margins: Mapping[str, float]
) -> bool:
    """Return whether no score is lower than the one held by more than its margin.

    A score that is not known (NaN) is worse than any that is.
    """
    return all(new[n] >= held[n] - margin or held[n] != held[n] for n, margin in margins.items())


def split_version(text: str) -> tuple[str, int]:
    """Return name and number of ``NAME/VERSION``; raise `SettingsError` where it is not that."""
    found = re.fullmatch(r"(.+)/(\d+)", text)
    if found is None:
        raise SettingsError(f"{text!r} is no version of a model: write NAME/VERSION, such as net/3")
    return found[1], int(found[2])


def _champion(
    settings: Any, stage: Any, registry: ModelRegistry, folder: Path
) -> tuple[Path, str] | None:
    try:
        path, version = registry.fetch(settings.name, folder)
    except ModelError:
        shipped: Path = stage.SHIPPED
        usual = settings.name == type(settings)().name
        return (shipped, "the network that comes with nanolake") if usual else None
    return path, f"version {version.version}"


def list_models(registry: ModelRegistry) -> list[dict[str, Any]]:
    """Return one row a registered version: what it is used as, its scores, its run."""
    return [
        {
            "model": f"{one.name}/{one.version}",
            "used as": ", ".join(one.aliases) or None,
            "scores": ", ".join(
                f"{name.removeprefix('test_')} {one.metrics[name]:.4f}"
                for name in _SHOWN
                if name in one.metrics
            ),
            "registered": f"{one.created_at:%Y-%m-%d %H:%M}",
            "run": one.run_id,
        }
        for one in registry.versions()
    ]
