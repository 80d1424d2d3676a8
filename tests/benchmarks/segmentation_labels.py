"""How far hand-drawn outlines scatter, told from three sets of outlines of the same particles.

Three measurements of one thing whose errors are independent tell the variance of each (triple
collocation, Stoffelen 1998, doi:10.1029/97JC03180): with d_ij the variance of the difference of i
and j, that of i alone is (d_ij + d_ik - d_jk) / 2. Here they are the hand outlines, those of
`learned` and those of `threshold`, as distances from a common centre in 48 directions; the
variances are those of their Fourier coefficients: the 0th is the radius, the 1st the place, the
others the shape. What the two methods err in together, and how one annotator differs from the
next, counts as the hand's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, map_coordinates
from segmentation_cases import Choice, table
from segmentation_hand import DISPLACED_PX, EMPS, moved, pictures, read_panel

from nanolake.segment import SegmentSettings, segment
from nanolake.segment.score import THRESHOLDS, Score, pool, score

METHODS = ("learned", "threshold")
DIRECTIONS = 48
ANGLES = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
_WEIGHTS = np.array([1.0, *[2.0] * (DIRECTIONS // 2 - 1), 1.0])
"""How often each coefficient of a real profile stands in its sum of squares."""
RADII_PX = tuple(itertools.pairwise((0, 8, 10, 12.5, 15, 20, 25, 35, 60, np.inf)))
_STEP_PX = 0.25
_FARTHEST = 2.0
"""Rays end at so many radii."""
_ROUND = 0.6
"""Particles are left out where a distance is off by more than this part of the mean radius: long
ones, and pairs that are wrong."""
_DRAWS = 20
_LEVEL = 0.9
SECTION = """## How far the hand outlines can be trusted

{count:,} of the {both:,} particles of the panels (pictures moved) that both `learned` and
`threshold` match; long ones are left out. Standard deviations (px) of the error of the radius,
of the place along each axis and of the shape, of hand outlines and of `learned`, told from the
three sets of outlines as if errors were normal and independent (`segmentation_labels.py` says
how; what the two methods err in together counts as the hand's, and a variance that comes out
below 0 is 0). Offset: median of the hand outlines' distance from the centre less the mean of
both methods'.

"""
CEILING = """

What an outline **without any error** would get against hand outlines that are off so: the share
of these pairs with an overlap of at least 0.9, drawn at random. The last line is the same sum
for `learned`; its true share of these pairs is {own:.3f}. F1@0.9: that of `learned` on the moved
pictures ({f1:.3f}, all particles) times the share over that of the last line.

"""
Profiles = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """One panel: the score of `learned`, profiles (n, 3, 48) of hand, `learned` and `threshold`."""

    score: Score
    profiles: Profiles


def hand_outlines(choice: Choice) -> str:
    """Return the section on the hand outlines."""
    with choice.pool() as workers:
        seen = list(workers.map(_seen, pictures(EMPS, "*.png", choice), chunksize=2))
    profiles = np.concatenate([one.profiles for one in seen])
    size = np.sqrt((profiles[:, 0] ** 2).mean(axis=1))
    shaped = np.abs(profiles / size[:, None, None] - 1).max(axis=(1, 2)) < _ROUND
    profiles, size = profiles[shaped], size[shaped]
    parts = [profiles[(size >= low) & (size < high)] for low, high in RADII_PX]
    rows = [_row(*limits, part) for limits, part in zip(RADII_PX, parts, strict=True)]
    header = ["radius px", "particles", "offset", "hand: radius", "place", "shape",
              "learned: radius", "place", "shape"]  # fmt: skip
    own = float((_iou(profiles[:, 0], profiles[:, 1]) >= _LEVEL).mean())
    f1 = pool([one.score for one in seen]).f1(THRESHOLDS.index(_LEVEL))
    text = SECTION.format(count=len(profiles), both=shaped.size) + table(header, rows)
    return text + CEILING.format(f1=f1, own=own) + _ceilings([p for p in parts if len(p)], f1)


def _seen(path: Path) -> Seen:
    pixels, hand = read_panel(path)
    pixels = moved(pixels)
    found = [segment(pixels, SegmentSettings.build({"method": m})).labels for m in METHODS]
    scores = [score(hand, labels) for labels in found]
    learned, threshold = (dict(one.pairs.tolist()) for one in scores)
    images = [hand, *found]
    trios = [(own, learned[own], threshold[own]) for own in learned if own in threshold]
    profiles = [_profiles(images, trio) for trio in trios]
    return Seen(scores[0], np.array(profiles).reshape(-1, 3, DIRECTIONS))


def _profiles(images: list[NDArray[np.integer]], trio: tuple[int, ...]) -> Profiles:
    """Return the outlines' distances (3, 48) from the mean of the three centroids."""
    masks = _cropped([labels == label for labels, label in zip(images, trio, strict=True)])
    y, x = np.mean([center_of_mass(mask) for mask in masks], axis=0)
    farthest = _FARTHEST * np.sqrt(masks[0].sum() / np.pi) + 2
    along = np.arange(_STEP_PX / 2, farthest, _STEP_PX)
    points = [y + np.outer(np.sin(ANGLES), along), x + np.outer(np.cos(ANGLES), along)]
    inside = [
        map_coordinates(mask.astype(np.float32), points, order=1, mode="grid-constant")
        for mask in masks
    ]
    return np.array([line.sum(axis=1) * _STEP_PX for line in inside])


def _cropped(masks: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    whole = np.any(masks, axis=0)
    window = tuple(
        slice(int(places.min()), int(places.max()) + 1)
        for places in (np.flatnonzero(whole.any(axis=axis)) for axis in (1, 0))
    )
    return [mask[window] for mask in masks]


def _row(low: float, high: float, part: Profiles) -> list[str]:
    limits = f"{low:g} to {high:g}" if np.isfinite(high) else f"from {low:g}"
    if not len(part):
        return [limits, "0", *["none"] * 7]
    cells = []
    for power in _variances(part)[:2] * _WEIGHTS:
        cells += [f"{np.sqrt(value):.2f}" for value in (power[0], power[1], power[2:].sum())]
    return [limits, f"{len(part):,}", f"{_offset(part):+.2f}", *cells]


def _offset(part: Profiles) -> float:
    hand, learned, threshold = part.transpose(1, 0, 2)
    return float(np.median(hand - (learned + threshold) / 2))


def _variances(part: Profiles) -> NDArray[np.float64]:
    """Variance (3, 25) of each set's Fourier coefficients; one below 0 is 0."""
    hand, learned, threshold = np.fft.rfft(part, axis=2).transpose(1, 0, 2) / DIRECTIONS
    a, b = _spread(hand - learned), _spread(hand - threshold)
    c = _spread(learned - threshold)
    return np.maximum([(a + b - c) / 2, (a + c - b) / 2, (b + c - a) / 2], 0)


def _spread(values: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Variance of complex columns, from median deviations: a few wrong pairs do not count."""
    return np.asarray(sum(_robust(axis) for axis in (values.real, values.imag)))


def _robust(values: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = np.median(values, axis=0)
    return np.asarray((1.4826 * np.median(np.abs(values - middle), axis=0)) ** 2)


def _ceilings(parts: list[Profiles], f1: float) -> str:
    y, x = DISPLACED_PX
    displaced = y * np.sin(ANGLES) + x * np.cos(ANGLES)
    cases = {
        "exact, pictures moved, grown by the hand's offset": (0.0, 0.0, False),
        "exact, pictures moved": (0.0, 1.0, False),
        "exact, pictures as they are, grown by the hand's offset": (1.0, 0.0, False),
        "**exact, pictures as they are**": (1.0, 1.0, False),
        "learned, pictures moved": (0.0, 1.0, True),
    }
    shares = {
        name: float(np.concatenate([
            _reached(part, shifted * displaced, kept, erring=erring) for part in parts
        ]).mean())
        for name, (shifted, kept, erring) in cases.items()
    }  # fmt: skip
    rows = [
        [name, f"{share:.3f}", f"{f1 * share / shares['learned, pictures moved']:.3f}"]
        for name, share in shares.items()
    ]
    return table(["outline", "share over 0.9", "F1@0.9"], rows)


def _reached(
    part: Profiles, shift: float | Profiles, kept: float, *, erring: bool
) -> NDArray[np.bool_]:
    """Draw hand outlines around those found, and say which overlap by 0.9."""
    rng = np.random.default_rng(1)
    true = np.repeat(part[:, 1], _DRAWS, axis=0)
    of_hand, of_learned = _variances(part)[:2]
    offset = _offset(part) if not erring else float(np.median(part[:, 0] - part[:, 1]))
    hand = true + _noise(of_hand, len(true), rng) + shift + kept * offset
    drawn = true + _noise(of_learned, len(true), rng) if erring else true
    return _iou(np.maximum(hand, 0.1), np.maximum(drawn, 0.1)) >= _LEVEL


def _noise(variance: NDArray[np.float64], count: int, rng: np.random.Generator) -> Profiles:
    parts = rng.normal(size=(2, count, variance.size)) * np.sqrt(variance / _WEIGHTS)
    coefficients = parts[0] + 1j * (_WEIGHTS - 1) * parts[1]
    return np.fft.irfft(coefficients * DIRECTIONS, DIRECTIONS, axis=1)


def _iou(first: Profiles, second: Profiles) -> NDArray[np.float64]:
    smaller, larger = np.minimum(first, second), np.maximum(first, second)
    return np.asarray((smaller**2).sum(axis=1) / (larger**2).sum(axis=1))
