"""How well a network's file segments the fixed simulated test scenes, beside `threshold`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.segment.score import Score, mean_f1, pool, score
from nanolake.segment.settings import SegmentSettings

if TYPE_CHECKING:
    from nanolake.segment.learned.data import Scene

Labeller = Callable[[NDArray[np.float32]], NDArray[np.integer[Any]]]
"""Grey values (y, x) in 0 … 1 to a label image."""


def score_network(settings: SegmenterTrainSettings, weights: Path) -> dict[str, float]:
    """Score an ONNX file and `threshold` on the test scenes of ``settings``.

    Returns the numbers of `numbers` under ``test_`` and ``baseline_``. Border particles are
    neither rewarded nor punished (`nanolake.segment.score`).
    """
    from nanolake.segment.learned.data import fixed_scenes

    scenes = list(fixed_scenes(settings.test_micrographs, settings.micrograph_px))
    return {
        **numbers(score_scenes(scenes, _network(weights)), "test_"),
        **numbers(score_scenes(scenes, _threshold()), "baseline_"),
    }


def score_scenes(scenes: Iterable[Scene], find: Labeller) -> list[Score]:
    """Score ``find`` on each scene."""
    return [score(made.labels, find(made.grey)) for made in scenes]


def numbers(scores: Sequence[Score], prefix: str = "") -> dict[str, float]:
    """Sum up scores: F1 at three overlaps, precision, recall, bias of the diameter, counts.

    All particles are pooled; ``mean_f1`` alone is the mean over pictures. NaN where nothing was
    there to be scored.
    """
    together = pool(scores)
    values = {
        "truth": float(together.truth),
        "found": float(together.found),
        "f1_50": together.f1(0),
        "f1_75": together.f1(1),
        "f1_90": together.f1(2),
        "precision": together.precision(),
        "recall": together.recall(),
        "mean_f1": mean_f1(scores),
        "size_bias": together.size_bias,
        "count_error": together.count_error,
    }
    return {prefix + name: value for name, value in values.items()}


def _network(weights: Path) -> Labeller:
    from nanolake.segment.learned.learned import segment_with
    from nanolake.segment.learned.model import MapModel

    model = MapModel(weights)
    return lambda grey: segment_with(model, grey, SegmentSettings()).labels


def _threshold() -> Labeller:
    from nanolake.segment.run import segment

    settings = SegmentSettings(method="threshold")
    return lambda grey: segment(grey, settings).labels
