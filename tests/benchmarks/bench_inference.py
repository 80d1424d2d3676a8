"""Measure inference and write ``results/inference.md``.

Particles a second from label images in a lake to rows in the lake, crops included, through the
pool of Ray actors, beside one actor, the serial engine, ONNX Runtime alone and the HTTP service.
Each way is run ``--repeats`` times and its best run counts, because other work may share the
machine; the load stands beside it. ``python tests/benchmarks/bench_inference.py [--pictures 200]``
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
from numpy.typing import NDArray

from nanolake.contracts import conform
from nanolake.engines import Engine, open_engine
from nanolake.pipeline.describe import DescribeSettings, describe_lake
from nanolake.shape import ShapePredictor, cut, redraw
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
class Measured:
    """Particles a second of the best and the median run, and the machine's load beside it."""

    name: str
    best: float
    median: float
    load: float


def main() -> None:
    """Run every measurement and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        images = label_images()
        lake = make_lake(root / "lake", images, given.pictures)
        count = particle_count(lake)
        lines = measure(lake, images[0], count, given.repeats)
    text = report(lines, given.pictures, count, given.repeats)
    RESULTS.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def measure(lake: Lake, labels: NDArray[Any], count: int, repeats: int) -> list[Measured]:
    """Return every line of the table."""
    found = [*measure_parts(labels, repeats)]
    found.append(back_fill(lake, "serial", 1, count, repeats, refine=False))
    for workers, refine in ((1, False), (2, False), (2, True)):
        found.append(back_fill(lake, "ray", workers, count, repeats, refine=refine))
    return found + measure_service(cut(labels), repeats)


def label_images() -> list[NDArray[np.uint16]]:
    """Simulate some micrographs; their true label images in all eight orientations."""
    settings = MicrographSettings(
        height_px=SIDE_PX, width_px=SIDE_PX, families=FAMILIES, count=PARTICLES
    )
    plain = [simulate_micrograph(settings, seed).labels.astype(np.uint16) for seed in range(SEEDS)]
    turned = [np.rot90(labels, turn) for labels in plain for turn in range(4)]
    return [np.ascontiguousarray(way) for one in turned for way in (one, one[::-1])]


def make_lake(root: Path, images: list[NDArray[np.uint16]], pictures: int) -> Lake:
    """Make a lake of segmented micrographs that nothing has described yet."""
    lake = Lake.create(root)
    now = {"created_at": datetime.now(UTC)}
    rows: dict[str, list[Any]] = {"micrograph": [], "segmentation": []}
    blank = np.arange(SIDE_PX * 16, dtype=np.uint16).reshape(-1, SIDE_PX)
    for number in range(pictures):
        labels = images[number % len(images)]
        key = unit_key("bench", number)
        stored = lake.images.write("bench", key[:32], blank, None)
        written = lake.images.write_labels(stored.path, "bench", labels, None)
        ids = {"micrograph_id": key[:32], "unit_key": key, **now}
        rows["micrograph"].append(micrograph_row(stored) | ids)
        rows["segmentation"].append(segmentation_row(written, labels, key) | ids)
    lake.commit({name: conform(name, these) for name, these in rows.items()}, message="bench")
    return lake


def micrograph_row(stored: Any) -> dict[str, Any]:
    """Return what a row must have."""
    return {
        "raw_sha256": stored.sha256,
        "size_bytes": stored.stored_bytes,
        "frame": 0,
        "frame_count": 1,
        "image_path": stored.path,
        "height_px": SIDE_PX,
        "width_px": SIDE_PX,
        "dtype": "uint16",
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
    """Describe a copy of the lake from label images to committed rows; the pool is up before."""
    how = f"{engine}, {workers} actor{'s' * (workers > 1)}" if engine == "ray" else "serial engine"
    how += ", with refinement" if refine else ""
    with open_engine(engine, workers=workers) as pool:
        seconds = [describe_copy(lake, pool, count, refine=refine) for _ in range(repeats)]
    return line(f"back-fill, {how}", count, seconds)


def describe_copy(lake: Lake, pool: Engine, count: int, *, refine: bool) -> float:
    """Return the seconds of one back-fill."""
    root = lake.root.with_name("copy")
    shutil.copytree(lake.root, root)
    copy = Lake.open(root)
    started = time.perf_counter()
    done = describe_lake(copy, engine=pool, settings=DescribeSettings(refine=refine))
    seconds = time.perf_counter() - started
    assert done.rows["shape_prediction"] == count
    copy.close()
    shutil.rmtree(root)
    return seconds


def measure_parts(labels: NDArray[Any], repeats: int) -> Iterator[Measured]:
    """One process and one thread: each step of one label image alone."""
    predictor, crops = ShapePredictor(), cut(labels)
    found = predictor(crops)
    triple = (found["p"], found["d"], found["L_ratio"])
    redraw(crops, *triple)
    steps: dict[str, Callable[[], object]] = {
        "crops alone": lambda: cut(labels),
        "ONNX Runtime alone": lambda: predictor(crops),
        "re-simulation alone": lambda: redraw(crops, *triple),
    }
    for name, step in steps.items():
        seconds = [clock(step) for _ in range(5 * repeats)]
        yield line(f"{name}, one thread", len(crops), seconds)


def measure_service(crops: NDArray[np.float32], repeats: int) -> list[Measured]:
    """The HTTP service with two replicas, asked by one client and by four at once."""
    with service():
        found = []
        for clients, size, requests in ((1, 1, 40), (1, 64, 12), (1, 256, 6), (4, 1, 40),
                                        (4, 64, 12), (4, 256, 6)):  # fmt: skip
            body = np.resize(crops, (size, *crops.shape[1:])).astype(np.float32).tobytes()
            seconds = [ask(body, size, clients, requests) for _ in range(repeats + 1)][1:]
            name = f"HTTP, {clients} client{'s' * (clients > 1)}, {size} crops a request"
            found.append(line(name, clients * requests * size, seconds))
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


def clock(step: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def line(name: str, count: int, seconds: list[float]) -> Measured:
    """Return a line of the table, and say it at once."""
    made = Measured(name, count / min(seconds), count / statistics.median(seconds),
                    os.getloadavg()[0])  # fmt: skip
    sys.stderr.write(f"{made.name}: {made.best:,.0f}/s best, load {made.load:.1f}\n")
    return made


def report(lines: list[Measured], pictures: int, count: int, repeats: int) -> str:
    """Return the page."""
    pool = next(one for one in lines if one.name == "back-fill, ray, 2 actors")
    head = [
        "# Inference",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores. "
        "Written by `make bench-inference`.",
        "",
        f"{pictures} label images of {SIDE_PX} x {SIDE_PX} px with {count:,} simulated particles "
        f"in a lake; best and median of {repeats} runs. A back-fill reads the labels from Zarr, "
        "cuts crops, predicts, draws the outlines over the masks and commits the rows; the pool is "
        "started before. The load is that of the whole machine when the line was done.",
        "",
        "| what | particles/s, best | median | best over 2 actors' | load |",
        "|---|---:|---:|---:|---:|",
    ]
    body = [
        f"| {one.name} | {one.best:,.0f} | {one.median:,.0f} | {one.best / pool.best:.2f} "
        f"| {one.load:.1f} |"
        for one in lines
    ]
    return "\n".join([*head, *body]) + "\n"


if __name__ == "__main__":
    main()
