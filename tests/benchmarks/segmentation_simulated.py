"""Segmentation against simulated pictures, whose truth is known: agglomeration, and size bias.

Degrees of agglomeration are those of the paper's Fig. S1: the same product lying apart, half
overlapping and almost entirely overlapping. The truth of particles that share pixels is the label
image, which gives each shared pixel to one of them; a particle that is left less than a quarter of
itself is neither rewarded nor punished. What a chemist wants to know is the mean equivalent
diameter of the whole particles. It is compared with that of what is found and does not touch the
border:

- all: everything. With overlap even a perfect label image falls short of the whole.
- alone: what hardly another particle overlaps (`ALONE`), by the segmentation's own `overlap`.
- convex: what is convex (`CONVEX`): this product is, so an outline that is not holds several
  particles, or part of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from segmentation_cases import SCORE_COLUMNS, Choice, percent, score_cells, table, timed

from nanolake.features import measure
from nanolake.records import Segmentation
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
SEEDS = tuple(range(101, 125))
CONVEX = 0.95
"""Least solidity (area over area of the convex hull) of an outline that counts as convex."""
ALONE = 0.2
"""Largest overlap of a particle that lies alone, as in the view ensemble."""
AGGLOMERATION = """## Simulated agglomeration (truth known)

{count} pictures a degree, 640 px, about 90 particles of 30 px each (cubes, plates, balls), every
second one inverted (HAADF). Overlapped: the share of particles that have lost more than a twentieth
of themselves to others in the true label image; particles left less than a quarter are neither
rewarded nor punished. Mean diameters of what is found against the true mean of the whole particles,
and the share of found particles that they are the mean of. **Alone**: `overlap < 0.2`; convex:
`solidity > 0.95`; both: a condition in SQL each. Perfect: what a label image without a fault would
get for all.

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
    """One picture: its score, and equivalent diameters (px) of all particles off its border."""

    score: Score
    all: np.ndarray
    alone: np.ndarray
    convex: np.ndarray
    both: np.ndarray
    true: np.ndarray
    perfect: np.ndarray
    overlapped: float


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
    header = ["method", "degree", "overlapped", *SCORE_COLUMNS, "true mean diameter px", "all",
              "**alone**", "convex", "both", "perfect"]  # fmt: skip
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
    found = timed(picture.pixels, method).found
    diameter, alone, convex = _uncut(picture.pixels, found)
    return Outcome(
        score=score(picture.labels, found.labels, ignored=truth["label"][~usable]),
        all=diameter,
        alone=diameter[alone],
        convex=diameter[convex],
        both=diameter[alone & convex],
        true=truth["diameter_px"][inside],
        perfect=np.sqrt(4 * truth["area_px"][usable] / np.pi),
        overlapped=float((truth["visible_fraction"][inside] < 0.95).mean()),
    )


def _uncut(pixels: np.ndarray, found: Segmentation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diameter (px) of the particles off the border, and which lie alone and are convex.

    None lies alone where the method sees no overlap.
    """
    features = measure(pixels, found.labels)
    uncut = ~features["touches_border"]
    overlap = np.full(found.count, np.inf) if found.overlap is None else found.overlap
    return (
        features["equivalent_diameter_area_px"][uncut],
        overlap[uncut] < ALONE,
        features["solidity"][uncut] > CONVEX,
    )


def _cells(outcomes: list[Outcome]) -> list[str]:
    true, found, alone, convex, both, perfect = (
        np.concatenate([getattr(outcome, name) for outcome in outcomes])
        for name in ("true", "all", "alone", "convex", "both", "perfect")
    )
    overlapped = np.mean([outcome.overlapped for outcome in outcomes])
    cells = [f"{overlapped:.0%}", *score_cells([outcome.score for outcome in outcomes])]
    cells += [f"{true.mean():.1f}", percent(_mean(found) / true.mean() - 1)]
    for chosen, mark in ((alone, "**"), (convex, ""), (both, "")):
        off = percent(_mean(chosen) / true.mean() - 1)
        cells.append(f"{mark}{off}{mark} ({chosen.size / max(found.size, 1):.0%})")
    return [*cells, percent(_mean(perfect) / true.mean() - 1)]


def _mean(diameters: np.ndarray) -> float:
    return float(diameters.mean()) if diameters.size else float("nan")


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
