"""Measure the whole pipeline on the simulated demo and write ``results/pipeline.md``.

Speed is given as ratios within one run (Dask over serial), answers of the lake as medians, memory
as the peak of one worker. ``python tests/benchmarks/bench_pipeline.py [--scale 1.0]``
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tifffile

from nanolake.engines import open_engine
from nanolake.pipeline.classify import classify_lake
from nanolake.pipeline.describe import describe_lake
from nanolake.pipeline.group import group_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.query import question, questions
from nanolake.simulate.experiments import write_demo
from nanolake.storage import Lake

RESULTS = Path(__file__).parent / "results" / "pipeline.md"
REPEATS = 5


def main() -> None:
    """Run every measurement and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the simulated world")
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        truth = write_demo(root / "data", scale=scale)
        stages = measure_stages(root, truth.sheet)
        lake = Lake.open(root / "dask")
        write_groups(lake)
        answers = measure_answers(lake)
        command = measure_command(lake)
        peak_bytes, big_s = measure_large(root)
        lines = report(lake, stages, answers, command, peak_bytes, big_s)
    RESULTS.write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")


def measure_stages(root: Path, sheet: Path) -> dict[str, dict[str, float]]:
    """Seconds of each mapped stage, serially and on two processes; the pool's start left out."""
    return {name: measure_engine(root, sheet, name, n) for name, n in (("serial", 1), ("dask", 2))}


def measure_engine(root: Path, sheet: Path, name: str, workers: int) -> dict[str, float]:
    """Seconds of each mapped stage on one engine."""
    lake, source = Lake.create(root / name), read_source([sheet])
    with open_engine(name, workers=workers) as engine:
        warm_up(root / f"warm-{name}", sheet, engine)
        return {
            "ingest": clock(lambda: ingest(lake, source, engine=engine)),
            "segment and measure": clock(lambda: segment_lake(lake, engine=engine)),
            "describe": clock(lambda: describe_lake(lake, engine=engine)),
        }


def warm_up(root: Path, sheet: Path, engine: object) -> None:
    """Let every worker load its libraries and compiled functions on a few pictures."""
    lake = Lake.create(root)
    first = sorted(sheet.parent.glob("*/*_00[12].tif"))[:4]
    ingest(lake, read_source(first), engine=engine)  # type: ignore[arg-type]
    segment_lake(lake, engine=engine)  # type: ignore[arg-type]
    describe_lake(lake, engine=engine)  # type: ignore[arg-type]
    shutil.rmtree(root)


def write_groups(lake: Lake) -> None:
    """Group and classify, so that every question has something to answer."""
    group_lake(lake, track=False)
    classify_lake(lake, track=False)


def measure_answers(lake: Lake) -> dict[str, float]:
    """Median seconds of each named question, connecting included."""
    return {
        name: statistics.median(
            clock(lambda name=name: lake.query(question(name))) for _ in range(REPEATS)
        )
        for name in questions()
    }


def measure_command(lake: Lake) -> float:
    """Median seconds of ``nanolake sql`` as a whole process."""
    command = [str(Path(sys.executable).with_name("nanolake")), "sql", "FROM ensemble"]
    options = ["--lake", str(lake.root)]
    return statistics.median(
        clock(lambda: subprocess.run([*command, *options], check=True, capture_output=True))
        for _ in range(REPEATS)
    )


def measure_large(root: Path) -> tuple[int, float]:
    """Peak bytes and seconds of one worker on a 4096 x 4096 picture, in a process of its own."""
    picture = sorted((root / "data").glob("*/cubes_a_001.tif"))[0]
    tile = tifffile.imread(picture)
    times = -(-4096 // tile.shape[0])
    large = root / "large.tif"
    tifffile.imwrite(large, np.tile(tile, (times, times))[:4096, :4096])
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(large), str(root / "large")],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[-1]), time.perf_counter() - started


def one_picture(picture: Path, root: Path) -> None:
    """Ingest, segment and describe one picture in this process; print the peak bytes."""
    lake = Lake.create(root)
    with open_engine("serial") as engine:
        ingest(lake, read_source([picture], pixel_size_nm=0.3), engine=engine)
        segment_lake(lake, engine=engine)
        describe_lake(lake, engine=engine)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(f"{peak}\n")


def clock(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def report(
    lake: Lake,
    stages: dict[str, dict[str, float]],
    answers: dict[str, float],
    command: float,
    peak_bytes: int,
    big_s: float,
) -> list[str]:
    """The page."""
    count = lake.query("SELECT count(*) AS n FROM morphology").to_pylist()[0]["n"]
    pictures = lake.query(
        "SELECT count(*) AS n, sum(height_px * width_px) / 1e6 AS mpx FROM micrograph_current"
    ).to_pylist()[0]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    peak = f"{peak_bytes / 2**20:,.0f} MiB"
    lines = [
        "# The pipeline on the simulated demo",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine} at the end. Written by `make bench-pipeline`.",
        "",
        f"{pictures['n']} micrographs ({pictures['mpx']:.0f} megapixels), {count:,} particles.",
        "",
        "| stage | serial s | Dask, 2 processes s | ratio | particles/s (Dask) |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, serial in stages["serial"].items():
        dask = stages["dask"][name]
        lines.append(
            f"| {name} | {serial:.1f} | {dask:.1f} | {serial / dask:.2f} | {count / dask:,.0f} |"
        )
    lines += ["", "| question | median s, connecting included |", "|---|---:|"]
    lines += [f"| `{name}` | {seconds:.2f} |" for name, seconds in answers.items()]
    lines += [
        f"| `nanolake sql 'FROM ensemble'`, the whole process | {command:.2f} |",
        "",
        f"One 4096 x 4096 picture through ingest, segment and describe: peak {peak} in its "
        f"process, {big_s:.1f} s with the process's start.",
    ]
    return lines


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one_picture(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
