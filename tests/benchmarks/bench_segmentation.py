"""Score the segmentation methods on hand-labelled TEM panels; write results/segmentation.md.

Run from the repository's root: ``python tests/benchmarks/bench_segmentation.py [--every N]``.
Needs ``../shared/data/emps_tem``, which is for scoring only: no constant was fitted to a picture.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from nanolake.segment import SegmentSettings, segment
from nanolake.segment.score import Score, mean_f1, pool, score
from nanolake.simulate.micrograph import simulate_micrograph
from nanolake.simulate.settings import Family, MicrographSettings

HERE = Path(__file__).resolve()
DATA = HERE.parents[2] / "../shared/data/emps_tem"
RESULTS = HERE.parent / "results" / "segmentation.md"
CASES = (
    ("threshold", False),
    ("threshold", True),
    ("williamson2022", False),
    ("williamson2022", True),
)
HEADER = (
    "| method | picture | F1@0.5 | F1@0.75 | F1@0.9 | precision | recall | F1 by picture "
    "| size bias | count error | polarity right | median s/megapixel |\n" + "|---" * 12 + "|"
)
PIXEL_SIZES_NM = (0.2, 0.3, 0.5, 0.8)
SCENES = {
    "plates": ({"p": 8.0}, {}),
    "plates, blur 2 px": ({"p": 8.0}, {"blur_px": 2.0}),
    "plates, dose 25": ({"p": 8.0}, {"dose": 25.0}),
    "plates, HAADF": ({"p": 8.0}, {"polarity": "bright"}),
    "rods": ({"p": 8.0, "l_ratio": 0.3}, {}),
    "balls": ({"p": 2.0, "profile": "dome"}, {}),
    "bevelled": ({"p": 8.0, "profile": "faceted"}, {}),
}
SIMULATED_TITLE = (
    "\n\n## Median size bias on simulated pictures (truth known)\n\n"
    "A cell: two pictures of 640 px a side, 12 nm particles, blur 0.8 px, dose 150 unless said.\n\n"
)
SIMULATED_HEADER = (
    "| nm a pixel | " + " | ".join(SCENES) + " |\n" + "|---" * (len(SCENES) + 1) + "|"
)


@dataclass(frozen=True)
class Case:
    """One picture, one method."""

    path: Path
    method: str
    inverted: bool


@dataclass(frozen=True)
class Outcome:
    score: Score
    polarity_right: bool
    seconds_per_megapixel: float


def main() -> None:
    """Print the table and write it beside what the overlays show."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--every", type=int, default=1, help="only each N-th picture")
    arguments.add_argument("--workers", type=int, default=2)
    options = arguments.parse_args()
    paths = sorted((DATA / "images").glob("*.png"))[:: options.every]
    if not paths:
        raise SystemExit(f"no pictures under {DATA}: put the scoring set there")
    rows = []
    with ProcessPoolExecutor(options.workers) as workers:
        for method, inverted in CASES:
            cases = [Case(path, method, inverted) for path in paths]
            rows.append(_row(method, inverted, list(workers.map(_run, cases, chunksize=4))))
            print(rows[-1], flush=True)
        simulated = [SIMULATED_HEADER, *workers.map(_simulated_row, PIXEL_SIZES_NM)]
    table = "\n".join([HEADER, *rows]) + SIMULATED_TITLE + "\n".join(simulated)
    print(table)
    if options.every == 1:
        RESULTS.write_text(_page(table, len(paths)), encoding="utf-8")


def _run(case: Case) -> Outcome:
    cv2.setNumThreads(1)
    pixels = cv2.imread(str(case.path), cv2.IMREAD_GRAYSCALE)
    pixels = 255 - pixels if case.inverted else pixels
    truth = cv2.imread(str(DATA / "labels" / case.path.name), cv2.IMREAD_UNCHANGED)
    start = time.perf_counter()
    found = segment(pixels, SegmentSettings(method=case.method))
    seconds = time.perf_counter() - start
    right = found.polarity == ("bright" if case.inverted else "dark")
    return Outcome(score(truth, found.labels), right, seconds / (pixels.size / 1e6))


def _row(method: str, inverted: bool, outcomes: list[Outcome]) -> str:
    scores = [outcome.score for outcome in outcomes]
    total = pool(scores)
    figures = [f"{total.f1(level):.3f}" for level in range(3)]
    figures += [f"{total.precision():.3f}", f"{total.recall():.3f}", f"{mean_f1(scores):.3f}"]
    figures += [f"{total.size_bias:+.1%}", f"{total.count_error:+.1%}"]
    figures.append(f"{sum(o.polarity_right for o in outcomes)} of {len(outcomes)}")
    figures.append(f"{np.median([o.seconds_per_megapixel for o in outcomes]):.2f}")
    return f"| {method} | {'inverted' if inverted else 'as is'} | " + " | ".join(figures) + " |"


def _simulated_row(pixel_size_nm: float) -> str:
    """Median of found over true diameter, minus 1, of each kind of scene at one pixel size."""
    cv2.setNumThreads(1)
    cells = []
    for family, scene in SCENES.values():
        settings = MicrographSettings(
            families=(Family(**family),),
            height_px=640,
            width_px=640,
            pixel_size_nm=pixel_size_nm,
            **scene,
        )
        pictures = [simulate_micrograph(settings, seed) for seed in (1, 2)]
        total = pool(score(p.labels, segment(p.pixels).labels) for p in pictures)
        cells.append(f"{total.size_bias:+.1%}")
    return f"| {pixel_size_nm:g} | " + " | ".join(cells) + " |"


def _page(table: str, pictures: int) -> str:
    notes = (HERE.parent / "segmentation_notes.md").read_text(encoding="utf-8")
    return (
        "# Segmentation on hand-labelled TEM panels\n\n"
        f"{pictures} bright-field panels (EMPS, training split, used for scoring only), "
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({_processor()}), one thread a "
        f"picture, load {os.getloadavg()[0]:.1f} at the end. By `bench_segmentation.py`.\n\n"
        f"{table}\n\n{notes}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
