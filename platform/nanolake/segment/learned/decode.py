"""From maps to particles: candidates at each scale, and which scale knows a particle best.

At every scale the watershed of the predicted distance gives candidates. A true particle explains
the prediction: the distance to its own outline, computed from its mask, is the distance the
network predicted. Fragments of a large particle, heaps of small ones and grains of noise do not
agree with themselves in this way, so the agreement is the candidate's confidence, and where two
scales disagree about a place, the more confident answer is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.learned.depth import own_depth, share_of_deepest
from nanolake.segment.split import split_touching

Labels = NDArray[np.int32]
Map = NDArray[np.float32]

PARTICLE, PRINT, DISTANCE = 0, 1, 2
_STEPS = 16.0


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """Constants of the decoding, chosen once and shipped with the code."""

    level: float = 0.5
    """Probability above which a pixel belongs to a particle."""
    height: float = 0.12
    """Least height of a summit of the distance above the saddle to the next."""
    relative: float = 0.15
    """... and at least this share of its own height."""
    misfit: float = 0.35
    """Mean difference between predicted and own distance at which confidence is 0."""
    least_confidence: float = 0.25
    """Candidates of less are dropped."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Labels (y, x) int32, 0 or 1 … n, on the full grid; by label (n + 1,): the confidence."""

    labels: Labels
    confidence: Map


def candidates(maps: Map, settings: DecodeSettings) -> Candidates:
    """Part the particles of one scale's maps (3, y, x) and say how sure each is."""
    inside = (maps[PARTICLE] > settings.level) & (maps[PARTICLE] > maps[PRINT])
    depth = np.where(inside, np.maximum(maps[DISTANCE], 1.5 / (64 * _STEPS)), 0)
    labels = split_touching(
        np.asarray(depth * _STEPS, np.float32),
        height_px=settings.height * _STEPS,
        relative=settings.relative,
    )
    return Candidates(labels=labels, confidence=_confidence(labels, maps, settings.misfit))


def _confidence(labels: Labels, maps: Map, misfit: float) -> Map:
    own = share_of_deepest(labels, own_depth(labels))
    sums = _sums(labels.ravel(), maps[PARTICLE].ravel(), (maps[DISTANCE] - own).ravel())
    many = np.maximum(sums[0], 1)
    agreement = np.clip(1 - sums[2] / many / misfit, 0, 1)
    # the mean probability over a particle is 0.5 where nothing is known
    sure = np.clip(2 * sums[1] / many - 1, 0, 1)
    confidence = np.sqrt(agreement * sure)
    confidence[0] = 0
    return np.asarray(confidence, np.float32)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sums(labels: Labels, probability: Map, gap: Map) -> Any:
    """Pixels, sum of probability and of |gap| of each label, (3, n + 1)."""
    sums = np.zeros((3, labels.max() + 1))
    for index in range(labels.size):
        label = labels[index]
        if label:
            sums[0, label] += 1
            sums[1, label] += probability[index]
            sums[2, label] += abs(gap[index])
    return sums


def enlarged(found: Candidates, maps: Map, shape: tuple[int, int], level: float) -> Candidates:
    """Put a coarser scale's candidates on the full grid (y, x), outlines at the map's level."""
    if found.labels.shape == shape:
        return found
    size = shape[1], shape[0]
    probability = cv2.resize(maps[PARTICLE], size, interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(_grown(found.labels), size, interpolation=cv2.INTER_NEAREST)
    labels[probability <= level] = 0
    return Candidates(labels=labels, confidence=found.confidence)


def _grown(labels: Labels) -> Labels:
    """Labels one pixel larger where there is background."""
    near = cv2.dilate(labels.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
    return np.where(labels > 0, labels, near)


def merged(coarse: Candidates, fine: Candidates, *, bonus: float = 0.0) -> Candidates:
    """Keep at each place the more confident of two scales' candidates.

    A coarse candidate is held against all fine ones that lie mostly within it, together: their
    confidences weigh by area, and what they leave uncovered counts as 0. ``bonus`` is added to
    the fine side.
    """
    count_c, count_f = len(coarse.confidence), len(fine.confidence)
    area_c = np.bincount(coarse.labels.ravel(), minlength=count_c).astype(float)
    area_f = np.bincount(fine.labels.ravel(), minlength=count_f).astype(float)
    pair, shared = np.unique(
        coarse.labels.ravel().astype(np.int64) * count_f + fine.labels.ravel(), return_counts=True
    )
    c, f = np.divmod(pair, count_f)
    real = (c > 0) & (f > 0)
    c, f, shared = c[real], f[real], shared[real]
    inner = shared > 0.5 * area_f[f]
    value = np.bincount(
        c[inner], (shared * (fine.confidence[f] + bonus))[inner], minlength=count_c
    ) / np.maximum(area_c, 1)
    covered = np.bincount(c[inner], shared[inner], minlength=count_c) / np.maximum(area_c, 1)
    # a coarse one that swallows only a part of a fine one competes with that one, too
    fine_wins = value >= coarse.confidence
    del covered
    keep_c = ~fine_wins
    keep_c[0] = False
    # fine ones that lost: mostly within a kept coarse one
    lost = np.zeros(count_f, bool)
    lost[f[inner & keep_c[c]]] = True
    # a kept coarse one that lies mostly within one fine candidate: the better of the two
    within = (shared > 0.5 * area_c[c]) & ~inner & keep_c[c]
    better = coarse.confidence[c] > fine.confidence[f]
    keep_c[c[within & ~better]] = False
    lost[f[within & better]] = True
    lost[0] = True
    labels = np.where(keep_c[coarse.labels], coarse.labels, 0)
    fine_labels = np.where(lost[fine.labels], 0, fine.labels)
    labels = np.where(fine_labels > 0, fine_labels + (count_c - 1), labels).astype(np.int32)
    return _compact(labels, np.concatenate([coarse.confidence, fine.confidence[1:]]))


def _compact(labels: Labels, confidence: Map) -> Candidates:
    present = np.bincount(labels.ravel(), minlength=confidence.size) > 0
    present[0] = True
    number = np.cumsum(present) - 1
    return Candidates(
        labels=number[labels].astype(np.int32), confidence=confidence[present].astype(np.float32)
    )
