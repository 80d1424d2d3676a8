"""What the parts of the segmentation benchmark share: one timed run, and rows of Markdown."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nanolake.records import Segmentation
from nanolake.segment import SegmentSettings, segment
from nanolake.segment.score import Score, mean_f1, pool

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
SCORE_COLUMNS = ("F1@0.5", "F1@0.75", "F1@0.9", "precision", "recall", "F1 by picture",
                 "size bias", "count error")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was asked for on the command line."""

    methods: tuple[str, ...]
    every: int
    workers: int

    def pool(self) -> Executor:
        """Processes of one thread each; not forked, since OpenCV's threads do not survive that."""
        return ProcessPoolExecutor(
            self.workers,
            mp_context=get_context("spawn"),
            initializer=cv2.setNumThreads,
            initargs=(1,),
        )


@dataclass(frozen=True, kw_only=True)
class Run:
    """One picture segmented."""

    found: Segmentation
    cpu_s_per_megapixel: float


def timed(pixels: NDArray[np.generic], method: str) -> Run:
    """Segment a picture; the time is that of the processor, so that other load does not count."""
    start = time.process_time()
    found = segment(pixels, SegmentSettings.build({"method": method}))
    seconds = time.process_time() - start
    return Run(found=found, cpu_s_per_megapixel=seconds / (pixels.size / 1e6))


def score_cells(scores: Sequence[Score]) -> list[str]:
    """Cells of `SCORE_COLUMNS`, all particles of all pictures pooled."""
    total = pool(scores)
    cells = [f"{total.f1(level):.3f}" for level in range(3)]
    cells += [f"{total.precision():.3f}", f"{total.recall():.3f}", f"{mean_f1(scores):.3f}"]
    return [*cells, percent(total.size_bias), percent(total.count_error)]


def percent(share: float) -> str:
    """Return a signed share in percent; ``none`` where it is not known."""
    return f"{share:+.1%}" if np.isfinite(share) else "none"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
