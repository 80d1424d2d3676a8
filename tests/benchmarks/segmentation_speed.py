"""One 2048 x 2048 picture from pixels to features on two threads: time, and memory at its peak.

Each method runs in a process of its own: ``python segmentation_speed.py METHOD PICTURE.npy``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

THREADS = 2
SIDE_PX = 2048
REPEATS = 5
TITLE = """## One picture of 2048 x 2048 end to end

Simulated, {count} particles, some of them cut; `segment` and `measure` (all features) one after
the other in one process on {threads} threads, median of {repeats} runs after one that is not
counted. Wall time: other load on the machine counts (load {load:.1f} before). Memory: the
process's peak, and how much of it is above what was held, picture included, before the first run.

"""


def speed(methods: tuple[str, ...], repeats: int) -> str:
    """Return the section on speed."""
    import numpy as np
    from segmentation_cases import table

    from nanolake.simulate.micrograph import simulate_micrograph
    from nanolake.simulate.settings import MicrographSettings

    settings = MicrographSettings(height_px=SIDE_PX, width_px=SIDE_PX)
    picture = simulate_micrograph(settings, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.npy"
        np.save(path, picture.pixels)
        load = os.getloadavg()[0]
        runs = [_in_own_process(method, path, repeats) for method in methods]
    rows = [
        [method, f"{run['segment_s']:.2f}", f"{run['measure_s']:.2f}", f"{run['both_s']:.2f}",
         f"{run['cpu_s']:.2f}", f"{run['count']:.0f}", f"{run['peak_mib']:,.0f}",
         f"{run['added_mib']:,.0f}"]
        for method, run in zip(methods, runs, strict=True)
    ]  # fmt: skip
    header = ["method", "segment s", "measure s", "both s", "CPU s", "particles found",
              "peak MiB", "added MiB"]  # fmt: skip
    title = TITLE.format(count=picture.count, threads=THREADS, repeats=repeats, load=load)
    return title + table(header, rows)


def _in_own_process(method: str, path: Path, repeats: int) -> dict[str, float]:
    command = [sys.executable, __file__, method, str(path), str(repeats)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the run of {method} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_one(method: str, path: Path, repeats: int) -> dict[str, float]:
    """Segment and measure the picture in this process; seconds and MiB."""
    import cv2
    import numpy as np

    from nanolake.features import measure
    from nanolake.segment import SegmentSettings, segment

    cv2.setNumThreads(THREADS)
    pixels, settings = np.load(path), SegmentSettings.build({"method": method})
    small = np.ascontiguousarray(pixels[:256, :256])
    measure(small, segment(small, settings).labels)  # compiles, and loads what is loaded once
    before = _resident_mib()
    times = []
    for _ in range(repeats + 1):
        start, cpu = time.perf_counter(), time.process_time()
        found = segment(pixels, settings)
        middle = time.perf_counter()
        measure(pixels, found.labels, pixel_size_nm=(0.35, 0.35))
        end = time.perf_counter()
        times.append((middle - start, end - middle, end - start, time.process_time() - cpu))
    names = ("segment_s", "measure_s", "both_s", "cpu_s")
    medians = dict(zip(names, np.median(times[1:], axis=0).tolist(), strict=True))
    added = {"peak_mib": _peak_mib(), "added_mib": _peak_mib() - before}
    return {**medians, **added, "count": found.count}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _resident_mib() -> float:
    """Memory that the process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    print(json.dumps(measure_one(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
