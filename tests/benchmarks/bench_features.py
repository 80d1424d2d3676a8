"""Time every part of `measure` on one core and hold it beside scikit-image in the same run.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_features.py

Prints a table and writes it to ``tests/benchmarks/results/features.md``.
"""

from __future__ import annotations

import datetime as dt
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import regionprops_table

from nanolake.features import FEATURES, boxes, hull, measure, probe, raster, surroundings
from nanolake.features.size import crofton_weights

RESULTS = Path(__file__).parent / "results" / "features.md"
SAME = (
    "area", "area_convex", "area_filled", "area_bbox", "axis_major_length", "axis_minor_length",
    "eccentricity", "orientation", "moments_hu", "euler_number", "perimeter", "perimeter_crofton",
    "feret_diameter_max", "solidity", "extent", "intensity_mean", "intensity_std", "intensity_min",
    "intensity_max", "centroid", "centroid_weighted", "bbox", "equivalent_diameter_area",
)  # fmt: skip


def micrograph(size: int, cells: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``count`` turned superellipses of different size, one a cell of a grid, in noise."""
    rng = np.random.default_rng(0)
    labels, pitch = np.zeros((size, size), np.uint16), size / cells
    y, x = np.mgrid[:size, :size]
    for label, cell in enumerate(rng.permutation(cells * cells)[:count], start=1):
        cy, cx = (np.divmod(cell, cells) + rng.uniform(0.45, 0.55, 2)) * pitch
        half, turn = rng.uniform(0.25, 0.5, 2) * pitch, rng.uniform(0, np.pi)
        rows = slice(max(int(cy - pitch), 0), int(cy + pitch))
        columns = slice(max(int(cx - pitch), 0), int(cx + pitch))
        dy, dx = y[rows, columns] - cy, x[rows, columns] - cx
        u, v = dy * np.cos(turn) + dx * np.sin(turn), dx * np.cos(turn) - dy * np.sin(turn)
        labels[rows, columns][np.abs(u / half[0]) ** 3 + np.abs(v / half[1]) ** 3 < 1] = label
    noise = rng.normal(0, 12, labels.shape)
    return (np.where(labels, 90, 180) + noise).clip(0, 255).astype(np.uint8), labels


def milliseconds(function: Callable[[], Any], repeats: int = 7) -> float:
    """Return the median CPU time of several runs, after one that compiles."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(1e3 * (time.process_time() - start))
    return float(np.median(times))


def peak_mib(function: Callable[[], Any]) -> float:
    """Return how far the resident memory rises during a call (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    status = Path("/proc/self/status")
    before = _status_mib(status.read_text(), "VmRSS")
    function()
    return _status_mib(status.read_text(), "VmHWM") - before


def _status_mib(text: str, key: str) -> float:
    line = next(line for line in text.splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024


def parts(pixels: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Time each compiled pass over all particles."""
    wide, values = labels.astype(np.uint32), pixels.astype(np.float32)
    found, margin = boxes.find_boxes(wide), surroundings.MARGIN_PX
    places = list(zip(found.labels, found.boxes, strict=True))
    states = [raster.cut(wide, label, box, margin) for label, box in places]
    masks = [raster.mask_of(state, margin - 1) for state in states]
    edges = [raster.border(mask) for mask in masks]
    lists = [raster.places_of(edge) for edge in edges]
    corners = [(int(box[0]) - 1, int(box[1]) - 1) for _, box in places]
    weights = crofton_weights(1.0)
    passes: dict[str, Callable[[int], Any]] = {
        "crop": lambda i: raster.mask_of(raster.cut(wide, *places[i], margin), margin - 1),
        "moments": lambda i: raster.sums(masks[i]),
        "intensity": lambda i: raster.light(masks[i], values, *corners[i]),
        "Euler number, Crofton": lambda i: raster.lattice(masks[i]),
        "border, perimeter": lambda i: raster.perimeter(
            raster.border(masks[i]), raster.places_of(edges[i]), 1.0
        ),
        "holes": lambda i: raster.filled_count(masks[i]),
        "inscribed circle": lambda i: raster.inscribed_diameter(
            masks[i], masks[i].shape[0] // 2, masks[i].shape[1] // 2, 1.0
        ),
        "hull, Feret, outer circle": lambda i: hull.measure_hull(masks[i], 1.0, weights),
        "background, edge": lambda i: surroundings.surroundings(
            states[i], lists[i] + margin - 1, values,
            corners[i][0] - margin + 1, corners[i][1] - margin + 1, 1.0,
        ),
    }  # fmt: skip
    return {
        "bounding boxes": milliseconds(lambda: boxes.find_boxes(wide)),
        **{name: milliseconds(lambda f=f: [f(i) for i in range(len(places))])
           for name, f in passes.items()},
        "all compiled passes": milliseconds(
            lambda: probe.probe(pixels, wide, found.labels, found.boxes, 1.0, weights)
        ),
    }  # fmt: skip


def report() -> str:
    """Run everything and return the Markdown page."""
    pixels, labels = micrograph(2048, 17, 265)
    timed = parts(pixels, labels)
    ours = milliseconds(lambda: measure(pixels, labels, pixel_size_nm=(0.2, 0.2)))
    theirs = milliseconds(lambda: regionprops_table(labels, pixels, properties=SAME), repeats=3)
    large, large_labels = micrograph(4096, 34, 1060)
    large_ms = milliseconds(lambda: measure(large, large_labels), repeats=3)
    extra = peak_mib(lambda: measure(large, large_labels))
    lines = [
        "# Features",
        "",
        f"{dt.date.today().isoformat()}, {platform.machine()}, {_processor()}, one core, "
        "CPU time, median of seven runs. Written by `tests/benchmarks/bench_features.py`.",
        "",
        f"2048 x 2048 uint8, {labels.max()} particles, {100 * (labels > 0).mean():.0f} % covered.",
        "",
        "| part | ms |",
        "|---|---:|",
        *(f"| {name} | {value:.1f} |" for name, value in timed.items()),
        f"| **`measure`, {len(FEATURES)} features** | **{ours:.0f}** |",
        f"| scikit-image `regionprops_table`, {len(SAME)} of them | {theirs:.0f} |",
        "",
        f"scikit-image takes {theirs / ours:.1f} times as long. 4096 x 4096 with "
        f"{large_labels.max()} particles: {large_ms:.0f} ms, {extra:.0f} MiB of memory "
        "above what the process held before.",
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


if __name__ == "__main__":
    page = report()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(page, encoding="utf-8")
    print(page)
