"""Measure inference and write ``results/inference.md``.

Particles a second from label images in a lake to rows in the lake, crops included, through the
pool of Ray actors, beside one actor, the serial engine, ONNX Runtime alone and the HTTP service.
Each way is run ``--repeats`` times and its best run counts, because other work may share the
machine; the load stands beside it, and so does the rate per second of processor time, which does
not depend on it. ``python tests/benchmarks/bench_inference.py [--pictures 200]``
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from nanolake.contracts import conform
from nanolake.engines import Engine, open_engine
from nanolake.pipeline.describe import DescribeSettings, describe_lake
from nanolake.shape import ShapePredictor, cut, cut_maps, redraw
from nanolake.simulate import Family, MicrographSettings, simulate_micrograph
from nanolake.storage import Lake, unit_key

RESULTS = Path(__file__).parent / "results" / "inference.md"
SIDE_PX, PARTICLES, SEEDS = 2048, 300, 5
SERVICE_PORT = 8765
FAMILIES = (
    Family(name="cubes", p=8.0, p_sd=0.1, d=2, l_ratio=1.0, l_ratio_sd=0.03, diameter_nm=22.0,
           diameter_sd_nm=3.0),
    Family(name="rods", p=4.0, p_sd=0.1, d=1, l_ratio=0.4, l_ratio_sd=0.05, diameter_nm=25.0,
           diameter_sd_nm=3.0),
    Family(name="triangles", p=2.0, p_sd=0.1, d=3, l_ratio=0.6, l_ratio_sd=0.05, diameter_nm=22.0,
           diameter_sd_nm=3.0),
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Seconds of one run; of a back-fill also without the start of the actors.

    ``steady_s`` and ``cpu_s`` are wall and processor time of all processes that worked on the share
    ``steady`` of the particles, from the first pictures' answers to the last picture's.
    """

    seconds: float
    steady: float = 0.0
    steady_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Measured:
    """Particles a second of the best and the median run, and the machine's load beside it."""

    name: str
    best: float
    median: float
    load: float
    steady: float | None = None
    per_cpu_s: float | None = None


Seen = tuple[NDArray[np.uint16], NDArray[Any]]
"""Label image and picture."""


def main() -> None:
    """Run every measurement and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        images = pictures()
        lake = make_lake(root / "lake", images, given.pictures)
        count = particle_count(lake)
        lines = measure(lake, images[0], count, given.repeats)
    text = report(lines, given.pictures, count, given.repeats)
    RESULTS.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def measure(lake: Lake, seen: Seen, count: int, repeats: int) -> list[Measured]:
    """Return every line of the table."""
    found = [*measure_parts(seen, repeats)]
    found.append(back_fill(lake, "serial", 1, count, repeats, refine=False))
    for workers, refine in ((1, False), (2, False), (2, True)):
        found.append(back_fill(lake, "ray", workers, count, repeats, refine=refine))
    return found + measure_service(cut(seen[0]), repeats)


def pictures() -> list[Seen]:
    """Simulate some micrographs; their true label images and pixels in all eight orientations."""
    settings = MicrographSettings(
        height_px=SIDE_PX, width_px=SIDE_PX, families=FAMILIES, count=PARTICLES
    )
    plain = [simulate_micrograph(settings, seed) for seed in range(SEEDS)]
    turned = [
        [np.rot90(image, turn) for image in (one.labels.astype(np.uint16), one.pixels)]
        for one in plain
        for turn in range(4)
    ]
    flipped = [[image[::-1] for image in one] for one in turned]
    return [
        (np.ascontiguousarray(labels), np.ascontiguousarray(pixels))
        for labels, pixels in turned + flipped
    ]


def make_lake(root: Path, images: list[Seen], pictures: int) -> Lake:
    """Make a lake of segmented micrographs that nothing has described yet."""
    lake = Lake.create(root)
    now = {"created_at": datetime.now(UTC)}
    rows: dict[str, list[Any]] = {"micrograph": [], "segmentation": []}
    for number in range(pictures):
        labels, pixels = images[number % len(images)]
        key = unit_key("bench", number)
        stored = lake.images.write("bench", key[:32], pixels, None)
        written = lake.images.write_labels(stored.path, "bench", labels, None)
        ids = {"micrograph_id": key[:32], "unit_key": key, **now}
        rows["micrograph"].append(micrograph_row(stored, pixels) | ids)
        rows["segmentation"].append(segmentation_row(written, labels, key) | ids)
    lake.commit({name: conform(name, these) for name, these in rows.items()}, message="bench")
    return lake


def micrograph_row(stored: Any, pixels: NDArray[Any]) -> dict[str, Any]:
    """Return what a row must have."""
    return {
        "raw_sha256": stored.sha256,
        "size_bytes": stored.stored_bytes,
        "frame": 0,
        "frame_count": 1,
        "image_path": stored.path,
        "height_px": SIDE_PX,
        "width_px": SIDE_PX,
        "dtype": str(pixels.dtype),
        "pixel_sha256": stored.sha256,
        "pixel_size_source": "none",
        "pixel_size_trust": "unknown",
        "reader": "bench",
        "code_version": "bench",
    }


def segmentation_row(written: Any, labels: NDArray[Any], key: str) -> dict[str, Any]:
    """Return what a row must have."""
    excluded = dict.fromkeys(("border", "small", "large", "print", "outlier"), 0)
    return {
        "segmentation_id": key[:24],
        "segmentation_run_id": "bench",
        "polarity": "dark",
        "particle_count": int(np.count_nonzero(np.bincount(labels.ravel())[1:])),
        **{f"excluded_{why}": number for why, number in excluded.items()},
        "covered_fraction": float(np.mean(labels > 0)),
        "label_path": written.path,
        "label_sha256": written.sha256,
        "wall_s": 0.0,
    }


def particle_count(lake: Lake) -> int:
    """Return the particles that are to be described."""
    rows = lake.query("SELECT sum(particle_count)::BIGINT AS n FROM segmentation").to_pylist()
    return int(rows[0]["n"])


def back_fill(
    lake: Lake, engine: str, workers: int, count: int, repeats: int, *, refine: bool
) -> Measured:
    """Describe a copy of the lake from Zarr to committed rows; the pool is up before."""
    how = f"{engine}, {workers} actor{'s' * (workers > 1)}" if engine == "ray" else "serial engine"
    how += ", with refinement" if refine else ""
    with open_engine(engine, workers=workers) as pool:
        runs = [describe_copy(lake, pool, count, refine=refine) for _ in range(repeats)]
    return line(f"back-fill, {how}", count, runs)


def describe_copy(lake: Lake, pool: Engine, count: int, *, refine: bool) -> Run:
    """Run one back-fill."""
    root = lake.root.with_name("copy")
    shutil.copytree(lake.root, root)
    copy, marks = Lake.open(root), dict[int, tuple[float, float]]()
    warm = 2 * pool.workers  # pictures after which every actor has loaded what it needs

    def look(stage: str, done: int, total: int) -> None:
        if done in (warm, total):
            marks[done] = (time.perf_counter(), cpu_seconds())

    started = time.perf_counter()
    settings = DescribeSettings(refine=refine)
    done = describe_lake(copy, engine=pool, settings=settings, progress=look)
    seconds = time.perf_counter() - started
    assert done.rows["shape_prediction"] == count
    copy.close()
    shutil.rmtree(root)
    (wall, cpu), (wall_end, cpu_end) = marks[warm], marks[done.done]
    return Run(seconds, 1.0 - warm / done.done, wall_end - wall, cpu_end - cpu)


def cpu_seconds() -> float:
    """Processor time of this process and of its actors."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    ours = [family[0], *(one for one in family[1:] if "_Worker" in " ".join(one.cmdline()))]
    return sum(sum(one.cpu_times()[:2]) for one in ours)


def measure_parts(seen: Seen, repeats: int) -> Iterator[Measured]:
    """One process and one thread: each step of one picture alone."""
    labels, pixels = seen
    predictor, crops = ShapePredictor(), cut(labels)
    maps = cut_maps(labels, pixels, crops)
    found = predictor(maps)
    triple = (found["p"], found["d"], found["L_ratio"])
    redraw(crops, *triple)
    steps: dict[str, Callable[[], object]] = {
        "crops alone": lambda: cut(labels),
        "their surroundings alone": lambda: cut_maps(labels, pixels, crops),
        "ONNX Runtime alone": lambda: predictor(maps),
        "re-simulation alone": lambda: redraw(crops, *triple),
    }
    for name, step in steps.items():
        runs = [clock(step) for _ in range(5 * repeats)]
        yield line(f"{name}, one thread", len(crops), runs)


def measure_service(crops: NDArray[np.float32], repeats: int) -> list[Measured]:
    """The HTTP service with two replicas, asked by one client and by four at once."""
    with service():
        found = []
        for clients, size, requests in ((1, 1, 40), (1, 64, 12), (1, 256, 6), (4, 1, 40),
                                        (4, 64, 12), (4, 256, 6)):  # fmt: skip
            body = np.resize(crops, (size, *crops.shape[1:])).astype(np.float32).tobytes()
            runs = [Run(ask(body, size, clients, requests)) for _ in range(repeats + 1)][1:]
            name = f"HTTP, {clients} client{'s' * (clients > 1)}, {size} crops a request"
            found.append(line(name, clients * requests * size, runs))
    return found


@contextmanager
def service() -> Iterator[None]:
    """Run ``nanolake serve`` for the time of the block."""
    command = [Path(sys.executable).with_name("nanolake"), "serve", "--replicas", "2"]
    with subprocess.Popen([*command, "--port", str(SERVICE_PORT)], stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        said = one.stdout.readline()
        assert said.startswith(b"serving"), said
        try:
            yield
        finally:
            one.terminate()
            one.communicate(timeout=60)


def ask(body: bytes, size: int, clients: int, requests: int) -> float:
    """Return the seconds in which all clients have all their answers."""
    threads = [threading.Thread(target=send, args=(body, size, requests)) for _ in range(clients)]
    started = time.perf_counter()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return time.perf_counter() - started


def send(body: bytes, size: int, requests: int) -> None:
    """Ask one question after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", SERVICE_PORT, timeout=120)
    headers = {"X-Shape": f"{size},64,64", "X-Dtype": "float32"}
    for _ in range(requests):
        connection.request("POST", "/crops", body, headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    connection.close()


def clock(step: Callable[[], object]) -> Run:
    """Time one call that works in this process alone."""
    started, cpu = time.perf_counter(), time.process_time()
    step()
    cpu_s = time.process_time() - cpu
    seconds = time.perf_counter() - started
    return Run(seconds, 1.0, seconds, cpu_s)


def line(name: str, count: int, runs: list[Run]) -> Measured:
    """Return a line of the table, and say it at once."""
    steady = [one for one in runs if one.steady]
    made = Measured(
        name,
        count / min(one.seconds for one in runs),
        count / statistics.median(one.seconds for one in runs),
        os.getloadavg()[0],
        max((count * one.steady / one.steady_s for one in steady), default=None),
        max((count * one.steady / one.cpu_s for one in steady), default=None),
    )
    sys.stderr.write(f"{made}\n")
    return made


def report(lines: list[Measured], pictures: int, count: int, repeats: int) -> str:
    """Return the page."""
    head = [
        "# Inference",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores. "
        "Written by `make bench-inference`.",
        "",
        f"{pictures} pictures of {SIDE_PX} x {SIDE_PX} px with {count:,} simulated particles "
        f"in a lake; {repeats} runs each. A back-fill reads pixels and labels from Zarr, cuts "
        "maps, predicts, draws the outlines over the masks and commits the rows; *best* and "
        "*median* have the start of the actors in them, *running* does not. *A core's* is "
        "particles a "
        "second of processor time, the committing process included: times the cores, it is what a "
        "machine without other work gives. The load is that of the whole machine when the line "
        "was done.",
        "",
        "| particles/s | best | median | running, best | a core's | load |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*head, *(table_row(one) for one in lines)]) + "\n"


def table_row(one: Measured) -> str:
    """Return a line of the table in Markdown."""
    steady = f"{one.steady:,.0f}" if one.steady else "–"
    core = f"{one.per_cpu_s:,.0f}" if one.per_cpu_s else "–"
    return (
        f"| {one.name} | {one.best:,.0f} | {one.median:,.0f} | {steady} | {core} | {one.load:.1f} |"
    )


if __name__ == "__main__":
    main()
