"""Segmentation against simulated pictures, whose truth is known: agglomeration, and size bias.

Degrees of agglomeration are those of the paper's Fig. S1: the same product lying apart, half
overlapping and almost entirely overlapping. The truth of a covered particle is its visible part;
a particle of which less than a quarter is visible is neither rewarded nor punished. Two mean
diameters are compared with that of everything found that does not touch the border:

- visible: mean equivalent diameter of the visible parts. What a perfect label image would give.
- whole: mean equivalent diameter of the same particles' whole outlines. What a chemist wants to
  know; with overlap even a perfect label image falls short of it.

The whole diameter is also compared with what is found convex alone (`CONVEX`): this product is
convex, so an outline that is not holds several particles, or part of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from segmentation_cases import SCORE_COLUMNS, Choice, percent, score_cells, table, timed

from nanolake.features import measure
from nanolake.segment.score import Score, pool, score
from nanolake.simulate.micrograph import simulate_micrograph
from nanolake.simulate.settings import Family, MicrographSettings

PRODUCT = (
    Family(name="cubes", p=8.0),
    Family(name="plates", p=4.0, l_ratio=0.7),
    Family(name="balls", p=2.0, profile="dome"),
)
DEGREES: dict[str, dict[str, Any]] = {
    "separate": {"touching_fraction": 0.0},
    "half overlapping": {
        "touching_fraction": 0.0, "overlap_fraction": 0.6, "overlap_depth": 0.6,
    },
    "almost entirely overlapping": {
        "touching_fraction": 0.0, "overlap_fraction": 0.95, "overlap_depth": 0.95,
    },
}  # fmt: skip
SEEDS = tuple(range(101, 109))
CONVEX = 0.95
"""Least solidity (area over area of the convex hull) of an outline that counts as convex."""
AGGLOMERATION = """## Simulated agglomeration (truth known)

{count} pictures a degree, 640 px, about 90 particles of 30 px each (cubes, plates, balls), every
second one inverted (HAADF). Covered: the share of particles with more than a twentieth hidden
under others. Truth is the visible part; particles of which less than a quarter is visible are
neither rewarded nor punished. Mean diameter: of everything found, against the mean of the visible
parts, and against the mean of the same particles' whole outlines; convex: the found ones of a
solidity over 0.95 against the whole (a condition that SQL can ask for). Perfect: what a
label image without a fault would get against the whole outlines.

"""
PIXEL_SIZES_NM = (0.2, 0.3, 0.5, 0.8)
SCENES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plates": ({"p": 8.0}, {}),
    "plates, blur 2 px": ({"p": 8.0}, {"blur_px": 2.0}),
    "plates, dose 25": ({"p": 8.0}, {"dose": 25.0}),
    "plates, HAADF": ({"p": 8.0}, {"polarity": "bright"}),
    "rods": ({"p": 8.0, "l_ratio": 0.3}, {}),
    "balls": ({"p": 2.0, "profile": "dome"}, {}),
    "bevelled": ({"p": 8.0, "profile": "faceted"}, {}),
}
BIAS = """## Median size bias on simulated pictures (truth known)

A cell: two pictures of 640 px a side, 12 nm particles, blur 0.8 px, dose 150 unless said.

"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One picture: its score, and the equivalent diameters (px) of all whole particles."""

    score: Score
    found: np.ndarray
    convex: np.ndarray
    visible: np.ndarray
    whole: np.ndarray
    covered: float


def agglomeration(choice: Choice) -> str:
    """Return the section on the three degrees."""
    seeds = SEEDS[:: choice.every] if choice.every > 1 else SEEDS
    rows = []
    with choice.pool() as workers:
        for method in choice.methods:
            for degree in DEGREES:
                repeated = ([degree] * len(seeds), [method] * len(seeds))
                outcomes = list(workers.map(_overlapping, seeds, *repeated))
                rows.append([method, degree, *_cells(outcomes)])
                print(" | ".join(rows[-1]), flush=True)
    header = ["method", "degree", "covered", *SCORE_COLUMNS, "mean diameter: visible px",
              "found px", "found / visible", "found / whole", "convex / whole",
              "perfect / whole", "convex, share of found"]  # fmt: skip
    return AGGLOMERATION.format(count=len(seeds)) + table(header, rows)


def _overlapping(seed: int, degree: str, method: str) -> Outcome:
    settings = MicrographSettings(
        families=PRODUCT, height_px=640, width_px=640, pixel_size_nm=0.4, count=90,
        polarity="bright" if seed % 2 else "dark", **DEGREES[degree],
    )  # fmt: skip
    picture = simulate_micrograph(settings, seed)
    truth = picture.particles
    inside = ~truth["touches_border"]
    usable = inside & ~truth["hidden"]
    found = timed(picture.pixels, method).found.labels
    diameters, solidity = _uncut(picture.pixels, found)
    return Outcome(
        score=score(picture.labels, found, ignored=truth["label"][~usable]),
        found=diameters,
        convex=diameters[solidity > CONVEX],
        visible=np.sqrt(4 * truth["area_px"][usable] / np.pi),
        whole=truth["diameter_px"][usable],
        covered=float((truth["visible_fraction"][inside] < 0.95).mean()),
    )


def _uncut(pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equivalent diameter (px) and solidity of the labels that do not touch the border."""
    features = measure(pixels, labels)
    uncut = ~features["touches_border"]
    areas = np.bincount(labels.ravel())[features["label"][uncut]]
    return np.sqrt(4 * areas / np.pi), features["solidity"][uncut]


def _cells(outcomes: list[Outcome]) -> list[str]:
    names = ("found", "convex", "visible", "whole")
    found, convex, visible, whole = (_mean([getattr(o, name) for o in outcomes]) for name in names)
    ratios = (found / visible, found / whole, convex / whole, visible / whole)
    covered = np.mean([outcome.covered for outcome in outcomes])
    share = sum(o.convex.size for o in outcomes) / max(1, sum(o.found.size for o in outcomes))
    return [
        f"{covered:.0%}", *score_cells([outcome.score for outcome in outcomes]),
        f"{visible:.1f}", f"{found:.1f}", *(percent(ratio - 1) for ratio in ratios), f"{share:.0%}",
    ]  # fmt: skip


def _mean(diameters: list[np.ndarray]) -> float:
    values = np.concatenate(diameters)
    return float(values.mean()) if values.size else float("nan")


def size_bias(choice: Choice) -> str:
    """Return the section on the median of found over true diameter by kind of scene."""
    cases = [(method, size) for method in choice.methods for size in PIXEL_SIZES_NM]
    cases = cases[:: choice.every] if choice.every > 1 else cases
    with choice.pool() as workers:
        rows = list(workers.map(_bias_row, cases))
    return BIAS + table(["method", "nm a pixel", *SCENES], rows)


def _bias_row(case: tuple[str, float]) -> list[str]:
    method, pixel_size_nm = case
    return [method, f"{pixel_size_nm:g}"] + [
        percent(_bias(method, pixel_size_nm, family, scene)) for family, scene in SCENES.values()
    ]


def _bias(
    method: str, pixel_size_nm: float, family: dict[str, Any], scene: dict[str, Any]
) -> float:
    settings = MicrographSettings(
        families=(Family(**family),), height_px=640, width_px=640, pixel_size_nm=pixel_size_nm,
        **scene,
    )  # fmt: skip
    pictures = [simulate_micrograph(settings, seed) for seed in (1, 2)]
    return pool(score(p.labels, timed(p.pixels, method).found.labels) for p in pictures).size_bias
