"""From maps to particles: candidates at each scale, and which scale knows a particle best.

At every scale the watershed of the predicted distance gives candidates. A true particle explains
the prediction: the distance to its own outline, computed from its mask, is the distance that the
network predicted. Fragments of a large particle, heaps of small ones and grains of noise do not
agree with themselves in this way, so the agreement is the candidate's confidence, and where two
scales disagree about a place, the more confident answer is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from nanolake.segment.connected import connected, painted
from nanolake.segment.instances import areas_of, renumbered
from nanolake.segment.learned.depth import deepest, own_depth
from nanolake.segment.learned.model import MOST_FURTHER
from nanolake.segment.split import split_touching

Labels = NDArray[np.int32]
Map = NDArray[np.float32]
Flags = NDArray[np.bool_]

PARTICLE, PRINT, DISTANCE, OVERLAP = 0, 1, 2, 3
_STEPS = 16.0
_LEAST_DEPTH = 1 / 32
"""Distances are ranked in steps of 1/64 of this scale's unit, see `split_touching`."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Constants of the decoding."""

    level: float = 0.35
    """Probability above which a pixel belongs to a particle."""
    height: float = 0.3
    """Least height of a summit of the distance above the saddle to the next."""
    relative: float = 0.3
    """... and at least this share of its own height."""
    misfit: float = 0.35
    """Mean difference between predicted and own distance at which confidence is 0."""
    fine_bonus: float = 0.02
    """Added to the finer scale's confidence where two scales disagree."""
    cover: float = 0.7
    """Part of a coarse candidate that fine ones must cover to be held against it in full."""
    resolved_px: float = 8.0
    """Inscribed radius below which a coarse scale's candidate loses confidence in proportion."""
    least: float = 0.0
    """Confidence below which a coarse scale's candidate is dropped at once: it would not be kept
    in the end, so it may not stand against finer ones that would."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Particles of one picture: ``labels`` (y, x) int32; the others are (n + 1,), by label."""

    labels: Labels
    confidence: Map
    overlap: Map
    """Mean number of further particles over its pixels."""


def candidates(maps: Map, rule: Decoding, *, coarse: bool = False) -> Candidates:
    """Part the particles of one scale's maps (4, y, x) and say how sure each is."""
    depth = _inside(maps[PARTICLE], maps[PRINT], maps[DISTANCE], np.float32(rule.level))
    labels = split_touching(depth, height_px=rule.height * _STEPS, relative=rule.relative)
    depth = own_depth(labels, exact=False)
    radius = deepest(labels, depth)
    confidence, overlap = _judged(labels, depth, radius, maps, rule)
    if coarse:
        confidence *= np.minimum(radius / np.float32(rule.resolved_px), 1)
    found = Candidates(labels=labels, confidence=confidence, overlap=overlap)
    return without(found, confidence < rule.least) if coarse else found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _inside(particle: Map, printed: Map, distance: Map, level: np.float32) -> Any:
    """Return the predicted distance in steps of `split_touching`, 0 outside of particles."""
    depth = np.empty(particle.shape, np.float32)
    for y in range(particle.shape[0]):
        for x in range(particle.shape[1]):
            inside = (particle[y, x] > level) & (particle[y, x] > printed[y, x])
            least = max(distance[y, x], np.float32(_LEAST_DEPTH))
            depth[y, x] = least * np.float32(_STEPS) if inside else np.float32(0)
    return depth


def _judged(labels: Labels, depth: Map, radius: Map, maps: Map, rule: Decoding) -> tuple[Map, Map]:
    """Return each label's confidence and overlap.

    Confidence: geometric mean of the agreement of the distances and the certainty of the pixels.
    """
    count, sure, gap, further = _sums(
        labels.ravel(), maps[PARTICLE].ravel(), maps[DISTANCE].ravel(), depth.ravel(),
        maps[OVERLAP].ravel(), np.maximum(radius, np.float32(1e-6)),
    )  # fmt: skip
    many = np.maximum(count, 1)
    agreement = np.clip(1 - gap / many / rule.misfit, 0, 1)
    certainty = np.clip((sure / many - rule.level) / (1 - rule.level), 0, 1)
    confidence = np.asarray(np.sqrt(agreement * certainty), np.float32)
    return confidence, np.asarray(MOST_FURTHER * further / many, np.float32)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sums(
    labels: Labels, probability: Map, distance: Map, depth: Map, overlap: Map, radius: Map
) -> Any:
    """Pixels, sums of probability, of the distances' difference and of overlap, (4, n + 1)."""
    sums = np.zeros((4, radius.size))
    for index in range(labels.size):
        label = labels[index]
        if label:
            sums[0, label] += 1
            sums[1, label] += probability[index]
            sums[2, label] += abs(distance[index] - depth[index] / radius[label])
            sums[3, label] += overlap[index]
    return sums


def enlarged(found: Candidates, shape: tuple[int, int]) -> Candidates:
    """Put a coarser scale's candidates on a finer grid (y, x), their outlines rounded."""
    if found.labels.shape == shape:
        return found
    size = shape[1], shape[0]
    inside = (found.labels > 0).view(np.uint8) * np.uint8(255)
    inside = cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(grown(found.labels, 1), size, interpolation=cv2.INTER_NEAREST)
    labels[inside < 128] = 0
    return replace(found, labels=labels)


def grown(labels: Labels, by_px: int) -> Labels:
    """Labels grown into the background by some pixels; where two meet the higher one stays."""
    return np.where(labels > 0, labels, highest_near(labels, by_px)).astype(np.int32)


def highest_near(labels: Labels, by_px: int) -> NDArray[np.uint16] | Map:
    """Return the highest label within some pixels up, down and across, in a narrow type."""
    size = 2 * by_px + 1
    narrow = np.uint16 if labels.max(initial=0) <= 65535 else np.float32
    return np.asarray(cv2.dilate(labels.astype(narrow), np.ones((size, size), np.uint8)))


def merged(coarse: Candidates, fine: Candidates, rule: Decoding) -> Candidates:
    """Keep at each place the more confident of two scales' candidates.

    A coarse candidate is held against all fine ones that lie mostly within it, together: their
    confidences weigh by area, and count in full where they cover ``rule.cover`` of it (between
    close-packed particles there are gaps). One that lies mostly within a single fine candidate is
    held against that.
    """
    count_c, count_f = coarse.confidence.size, fine.confidence.size
    c, f, shared = overlaps(coarse.labels, fine.labels)
    area_c, area_f = areas_of(coarse.labels, count_c), areas_of(fine.labels, count_f)
    within_c = shared > 0.5 * area_f[f]
    worth = shared * (fine.confidence[f] + rule.fine_bonus)
    covered = np.bincount(c[within_c], shared[within_c], count_c)
    full = np.maximum(np.maximum(covered, rule.cover * area_c), 1)
    against = np.bincount(c[within_c], worth[within_c], count_c) / full
    keep_c = against < coarse.confidence
    within_f = ~within_c & (shared > 0.5 * area_c[c])
    beaten = within_f & (coarse.confidence[c] <= fine.confidence[f] + rule.fine_bonus)
    keep_c[c[beaten]] = False
    keep_f = np.ones(count_f, bool)
    keep_f[f[(within_c | within_f) & keep_c[c]]] = False
    keep_c[0] = keep_f[0] = False
    return _joined(coarse, keep_c, fine, keep_f)


def _joined(coarse: Candidates, keep_c: Flags, fine: Candidates, keep_f: Flags) -> Candidates:
    """Number the kept ones anew, first the coarse, then the fine, which lie on top."""
    number_c = np.where(keep_c, np.cumsum(keep_c), 0).astype(np.int32)
    number_f = np.where(keep_f, np.cumsum(keep_f) + keep_c.sum(), 0).astype(np.int32)
    zero = np.zeros(1, np.float32)
    return Candidates(
        labels=_overlaid(coarse.labels, number_c, fine.labels, number_f),
        confidence=np.concatenate([zero, coarse.confidence[keep_c], fine.confidence[keep_f]]),
        overlap=np.concatenate([zero, coarse.overlap[keep_c], fine.overlap[keep_f]]),
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _overlaid(below: Labels, number_below: Labels, above: Labels, number_above: Labels) -> Any:
    """Two label images numbered anew, the first where the second has nothing."""
    labels = np.empty(below.shape, np.int32)
    for y in range(below.shape[0]):
        for x in range(below.shape[1]):
            label = number_above[above[y, x]]
            labels[y, x] = label if label else number_below[below[y, x]]
    return labels


def overlaps(
    first: Labels, second: Labels
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of labels that share pixels, and how many: three arrays (m,)."""
    key, count = _runs(first.ravel(), second.ravel(), int(second.max(initial=0)) + 1)
    pair, place = np.unique(key, return_inverse=True)
    total = np.bincount(place, count, pair.size).astype(np.int64)
    a, b = np.divmod(pair, int(second.max(initial=0)) + 1)
    return a, b, total


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _runs(first: Labels, second: Labels, base: int) -> Any:
    """Runs of pixels with the same two labels, neither 0: pair as one number, and length."""
    number, last = 0, np.int64(-1)
    for index in range(first.size):
        pair = np.int64(first[index]) * base + second[index]
        if pair != last and first[index] and second[index]:
            number += 1
        last = pair
    key, count = np.empty(number, np.int64), np.zeros(number, np.int64)
    row, last = -1, np.int64(-1)
    for index in range(first.size):
        pair = np.int64(first[index]) * base + second[index]
        if first[index] and second[index]:
            if pair != last:
                row += 1
                key[row] = pair
            count[row] += 1
        last = pair
    return key, count


def without(found: Candidates, drop: Flags) -> Candidates:
    """Take some candidates out and number the others anew; ``drop`` (n + 1,) by label."""
    keep = ~drop
    keep[0] = False
    number = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    zero = np.zeros(1, np.float32)
    return Candidates(
        labels=renumbered(found.labels, number),
        confidence=np.concatenate([zero, found.confidence[keep]]),
        overlap=np.concatenate([zero, found.overlap[keep]]),
    )


def filled(labels: Labels) -> Labels:
    """Fill what is enclosed by one particle alone: the cores of hollow ones, pinholes."""
    gaps = connected(labels == 0, diagonal=False)
    owner = _owners(labels, gaps.runs, gaps.piece, gaps.boxes)
    whole = labels.copy()
    painted(whole, gaps, owner, owner > 0)
    return whole


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _owners(labels: Labels, runs: Labels, piece: Labels, boxes: Labels) -> Any:
    """The one label around each piece of background; 0 for several, or at the picture's edge."""
    height, width = labels.shape
    owner = np.full(boxes.shape[0], -1, np.int32)
    for number in range(owner.size):
        x, y, w, h = boxes[number]
        if x == 0 or y == 0 or x + w == width or y + h == height:
            owner[number] = 0
    for run in range(piece.size):
        y, start, stop = runs[run]
        if owner[piece[run]] == 0:
            continue
        near = labels[y, start - 1]
        alone = labels[y, stop] == near
        for x in range(start, stop):
            alone &= (labels[y - 1, x] == 0) | (labels[y - 1, x] == near)
            alone &= (labels[y + 1, x] == 0) | (labels[y + 1, x] == near)
        alone &= (owner[piece[run]] == -1) | (owner[piece[run]] == near)
        owner[piece[run]] = near if alone else 0
    return owner
