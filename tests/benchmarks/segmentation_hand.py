"""Segmentation against what people drew: outlines of TEM panels, boxes of supported catalysts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass
from segmentation_cases import SCORE_COLUMNS, SHARED, Choice, score_cells, table, timed

from nanolake.segment.score import Counts, Score, score
from nanolake.segment.score_boxes import pool_boxes, score_boxes, yolo_boxes

EMPS = SHARED / "emps_tem"
CATALYSTS = SHARED / "catalyst_stem"
PANELS = """## Hand-drawn outlines: TEM panels (EMPS)

{count} bright-field panels of the training split, used for scoring only. Inverted: the same with
black and white exchanged. Shift: median of found minus true centroid, y and x, of the pairs that
match at 0.5. The label images of this set lie {y:.2f} px above and {x:.2f} px to the right of what
every method finds in the pictures, alike in all of them and at every size; on simulated pictures
`learned` is off by 0.02 px at most. Moved: the pictures moved by as much (cubic interpolation)
before they are segmented, so that pictures and label images agree; nothing else is changed.

"""
DISPLACED_PX = (-0.16, 0.42)
"""How far (y, x) the label images of the panels are displaced against their pictures."""
KINDS = ("as is", "inverted", "moved")
SUPPORTED = """## Hand-drawn boxes: supported catalysts (STEM and TEM)

{count} pictures, boxes only: a match is two bounding boxes that overlap by half (0.5) or by 0.3.
Boxes at the border are left out.

"""


@dataclass(frozen=True)
class Panel:
    """One panel, one method."""

    path: Path
    method: str
    kind: str


@dataclass(frozen=True)
class Outcome:
    score: Score
    shift: NDArray[np.float64]
    polarity_right: bool
    cpu_s_per_megapixel: float


def panels(choice: Choice) -> str:
    """Return the section on EMPS: every method, as is, inverted and moved."""
    paths = pictures(EMPS, "*.png", choice)
    rows = []
    with choice.pool() as workers:
        for method in choice.methods:
            for kind in KINDS:
                cases = [Panel(path, method, kind) for path in paths]
                outcomes = list(workers.map(_panel, cases, chunksize=2))
                rows.append([method, kind, *_panel_cells(outcomes)])
                print(" | ".join(rows[-1]), flush=True)
    header = ["method", "picture", *SCORE_COLUMNS, "shift px", "polarity right",
              "CPU s/megapixel"]  # fmt: skip
    y, x = DISPLACED_PX
    return PANELS.format(count=len(paths), y=-y, x=x) + table(header, rows)


def _panel(case: Panel) -> Outcome:
    pixels, truth = read_panel(case.path)
    if case.kind == "inverted":
        pixels = 255 - pixels
    elif case.kind == "moved":
        pixels = moved(pixels)
    run = timed(pixels, case.method)
    right = run.found.polarity == ("bright" if case.kind == "inverted" else "dark")
    got = score(truth, run.found.labels)
    shift = _shift(truth, run.found.labels, got.pairs)
    return Outcome(got, shift, right, run.cpu_s_per_megapixel)


def read_panel(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return a panel's picture and its label image."""
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    labels = cv2.imread(str(EMPS / "labels" / path.name), cv2.IMREAD_UNCHANGED)
    return np.asarray(pixels, np.uint8), labels.astype(np.int32)


def moved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move a picture's content to where its label image lies."""
    y, x = DISPLACED_PX
    by = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    size = pixels.shape[1], pixels.shape[0]
    moved = cv2.warpAffine(pixels, by, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _shift(
    truth: NDArray[np.integer], found: NDArray[np.integer], pairs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Found minus true centroid (y, x) of the matched pairs, (m, 2), px."""
    if not len(pairs):
        return np.empty((0, 2))
    true, got = (
        np.array(center_of_mass(labels > 0, labels, pairs[:, side]))
        for side, labels in enumerate((truth, found))
    )
    return got - true


def _panel_cells(outcomes: list[Outcome]) -> list[str]:
    right = sum(outcome.polarity_right for outcome in outcomes)
    seconds = np.median([outcome.cpu_s_per_megapixel for outcome in outcomes])
    cells = score_cells([outcome.score for outcome in outcomes])
    y, x = np.median(np.concatenate([outcome.shift for outcome in outcomes]), axis=0)
    return [*cells, f"{y:+.2f}, {x:+.2f}", f"{right} of {len(outcomes)}", f"{seconds:.2f}"]


def catalysts(choice: Choice) -> str:
    """Return the section on boxes: pooled by method, then picture by picture."""
    paths = pictures(CATALYSTS, "*.jpg", choice)
    with choice.pool() as workers:
        counts = {
            method: list(workers.map(_boxes, paths, [method] * len(paths), chunksize=1))
            for method in choice.methods
        }
    pooled = [[method, *_box_cells(pool_boxes(items))] for method, items in counts.items()]
    header = ["method", "boxes", "found", "recall@0.5", "precision@0.5", "F1@0.5",
              "recall@0.3", "precision@0.3"]  # fmt: skip
    text = SUPPORTED.format(count=len(paths)) + table(header, pooled)
    return text + "\n\nRecall / precision at 0.5 by picture:\n\n" + _by_picture(paths, counts)


def _boxes(path: Path, method: str) -> Counts:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    rows = np.loadtxt(CATALYSTS / "labels" / f"{path.stem}.txt", ndmin=2)
    return score_boxes(yolo_boxes(rows, pixels.shape), timed(pixels, method).found.labels)


def _box_cells(total: Counts) -> list[str]:
    figures = [total.recall(0), total.precision(0), total.f1(0), total.recall(1)]
    figures.append(total.precision(1))
    return [f"{total.truth:,}", f"{total.found:,}", *(f"{value:.3f}" for value in figures)]


def _by_picture(paths: list[Path], counts: dict[str, list[Counts]]) -> str:
    rows = [
        [path.stem, str(next(iter(counts.values()))[place].truth)]
        + [f"{items[place].recall():.2f} / {items[place].precision():.2f}"
           for items in counts.values()]
        for place, path in enumerate(paths)
    ]  # fmt: skip
    return table(["picture", "boxes", *counts], rows)


def pictures(folder: Path, pattern: str, choice: Choice) -> list[Path]:
    paths = sorted((folder / "images").glob(pattern))[:: choice.every]
    if not paths:
        raise SystemExit(f"no pictures {pattern} under {folder}/images: put the scoring set there")
    return paths
