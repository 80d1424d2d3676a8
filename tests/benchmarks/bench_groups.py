"""False splits of lakes without groups, power on lakes with three, time, and memory.

``make bench-groups`` writes results/groups.md. Rounds are done one after the other, every case once
a round, until the time is up: the table says how many.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nanolake.group import GroupSettings, group, select_columns
from nanolake.group.methods import METHODS
from nanolake.group.scores import adjusted_rand

NOTES = Path(__file__).parent / "groups_notes.md"
RESULT = Path(__file__).parent / "results" / "groups.md"
ROWS = 300
DATASETS = ("features", "parameters", "both")
SEPARATIONS = (4.0, 6.0, 8.0, 10.0)
"""Distance of three families' centres from one another, in standard deviations."""
QUICK = {"seeds": 2, "bootstrap_runs": 3, "null_runs": 5, "k_max": 6}
"""Less than the defaults, for the sake of time; the rule and its limits are the defaults."""
BIG_ROWS = 1_000_000

Draw = Callable[[np.random.Generator, int], np.ndarray]


def correlated(rng: np.random.Generator, width: int) -> np.ndarray:
    mix = np.eye(width) + 0.6 * rng.normal(size=(width, width))
    return np.asarray(rng.normal(size=(ROWS, width)) @ mix)


def normal(rng: np.random.Generator, width: int) -> np.ndarray:
    return rng.normal(size=(ROWS, width))


def heavy(rng: np.random.Generator, width: int) -> np.ndarray:
    mix = np.eye(width) + 0.6 * rng.normal(size=(width, width))
    return np.asarray(rng.standard_t(3, size=(ROWS, width)) @ mix)


def skewed(rng: np.random.Generator, width: int) -> np.ndarray:
    return np.exp(0.5 * correlated(rng, width))


def bounded(rng: np.random.Generator, width: int) -> np.ndarray:
    return rng.uniform(size=(ROWS, width))


def one_sided(rng: np.random.Generator, width: int) -> np.ndarray:
    return rng.exponential(size=(ROWS, width))


def whole_d(rng: np.random.Generator, width: int) -> np.ndarray:
    """Normal, but one column is 2, or for 15 % of the particles 3, whatever the others say."""
    values = correlated(rng, width)
    values[:, -2 if width != 5 else -1] = np.where(rng.random(ROWS) < 0.15, 3.0, 2.0)
    return values


def bent(rng: np.random.Generator, width: int) -> np.ndarray:
    """One family along a curve: columns that are functions of one another."""
    along = rng.normal(size=ROWS)
    values = 0.3 * rng.normal(size=(ROWS, width))
    values[:, 0] += along
    values[:, 1] += 0.4 * along**2
    values[:, 2] -= 0.8 * along
    return values


ONE_FAMILY: dict[str, Draw] = {
    "normal": normal,
    "correlated": correlated,
    "heavy tails (t, 3 degrees)": heavy,
    "skewed (lognormal)": skewed,
    "bounded (uniform)": bounded,
    "one-sided (exponential)": one_sided,
    "whole-number d, 15 % misread": whole_d,
    "bent (a curve)": bent,
}


def table(values: np.ndarray, dataset: str) -> dict[str, np.ndarray]:
    """Give the data set's own columns these values; what grouping will log is exponential."""
    from nanolake.scaling import takes_log

    columns = select_columns(dataset)
    return {
        name: np.exp(0.2 * column) if takes_log(name) else column
        for name, column in zip(columns, values.T, strict=True)
    }


def three(rng: np.random.Generator, width: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Three families of 50, 30 and 20 %, their centres ``apart`` in a random plane."""
    truth = np.repeat([0, 1, 2], (ROWS // 2, 3 * ROWS // 10, ROWS // 5))
    corners = apart / np.sqrt(2) * np.eye(3)
    axes, _ = np.linalg.qr(rng.normal(size=(width, width)))
    return rng.normal(size=(ROWS, width)) + corners[truth] @ axes[:3], truth


class Tally:
    """Counts by case, over the rounds."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def run(self, seed: int) -> None:
        for method in METHODS:
            for dataset in DATASETS:
                self._one_family(seed, method, dataset)
                self._three(seed, method, dataset)

    def _one_family(self, seed: int, method: str, dataset: str) -> None:
        width = len(select_columns(dataset))
        for name, draw in ONE_FAMILY.items():
            rng = np.random.default_rng([seed, width])
            rows = table(draw(rng, width), dataset)
            for null in ("one_peak", "normal") if method == "kmeans" else ("one_peak",):
                settings = GroupSettings(dataset=dataset, method=method, null_kind=null, **QUICK)
                self.values["split", name, method, dataset, null].append(
                    float(group(rows, settings).k > 1)
                )

    def _three(self, seed: int, method: str, dataset: str) -> None:
        width = len(select_columns(dataset))
        for apart in SEPARATIONS:
            values, truth = three(np.random.default_rng([seed, width, 7]), width, apart)
            settings = GroupSettings(dataset=dataset, method=method, **QUICK)
            started = time.process_time()
            found = group(table(values, dataset), settings)
            self.values["seconds", method].append(time.process_time() - started)
            key = (method, dataset, f"{apart:.0f}")
            self.values["three", *key].append(float(found.k == 3))
            self.values["ari", *key].append(adjusted_rand(truth, found.labels))

    def share(self, *key: str) -> str:
        values = self.values[key]
        return f"{np.mean(values):.2f}" if values else ""


def report(tally: Tally, rounds: int, memory: list[tuple[str, float, float]]) -> str:
    lines = [
        "# Shape groups: false splits, power, memory",
        "",
        f"`make bench-groups`; {rounds} simulated lakes a case, {ROWS} particles each, default "
        f"rule and limits, {', '.join(f'{k}={v}' for k, v in QUICK.items())}.",
        "",
        "## Lakes of one family: share that is split (0 is right)",
        "",
        "The columns `normal null` are K-means against one normal distribution of the same "
        "covariance, the null before decision 0010.",
        "",
    ]
    heads = [f"{m}, {d}" for m in METHODS for d in DATASETS]
    heads += [f"kmeans, {d}, normal null" for d in DATASETS]
    lines += [_row(["family", *heads]), _row(["---"] * (len(heads) + 1))]
    for name in ONE_FAMILY:
        cells = [tally.share("split", name, m, d, "one_peak") for m in METHODS for d in DATASETS]
        cells += [tally.share("split", name, "kmeans", d, "normal") for d in DATASETS]
        lines.append(_row([name, *cells]))
    lines += [
        "",
        "## Three families (50, 30, 20 %): share found as three; adjusted Rand index",
        "",
        _row(["method", "data set", *(f"{s:.0f} sd apart" for s in SEPARATIONS)]),
        _row(["---"] * (len(SEPARATIONS) + 2)),
    ]
    for method in METHODS:
        for dataset in DATASETS:
            keys = [(method, dataset, f"{s:.0f}") for s in SEPARATIONS]
            cells = [f"{tally.share('three', *k)}; {tally.share('ari', *k)}" for k in keys]
            lines.append(_row([method, dataset, *cells]))
    lines += ["", "## Time and memory", ""]
    lines += [_row(["method", "CPU seconds a grouping (300 particles, K to 6)"])]
    lines += [_row(["---", "---"])]
    lines += [_row([m, tally.share("seconds", m)]) for m in METHODS]
    if memory:
        words = "(8 columns of a Parquet file, default settings, K-means), alone in a process:"
        lines += ["", f"One grouping of {BIG_ROWS:,} particles {words}", ""]
        lines += [_row(["engine", "peak memory, MB", "CPU seconds"]), _row(["---"] * 3)]
        lines += [_row([engine, f"{mb:.0f}", f"{s:.0f}"]) for engine, mb, s in memory]
    return "\n".join([*lines, "", NOTES.read_text(encoding="utf-8")])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_big(path: Path) -> None:
    """Write a Parquet file of four families, as the pipeline spools it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    columns = select_columns("both")
    for start in range(0, BIG_ROWS, 100_000):
        family = rng.integers(0, 4, 100_000)
        centres = 6.0 * np.eye(4, len(columns))
        values = rng.normal(size=(100_000, len(columns))) + centres[family]
        part = pa.table({c: v.astype(np.float32) for c, v in table(values, "both").items()})
        if start == 0:
            file = pq.ParquetWriter(path, part.schema)
        file.write_table(part)
    file.close()


def measure(engine: str, path: Path) -> None:
    """Group the big file in this process and print memory and time."""
    import resource

    from nanolake.pipeline.group_rows import ParquetRows

    settings, refine = GroupSettings(engine=engine), None
    if engine == "dask-ml":
        import dask

        from nanolake.engines.dask_kmeans import refine_centers

        dask.config.set(scheduler="threads", num_workers=2)
        refine = refine_centers
    import sklearn.cluster
    import sklearn.metrics  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    found = group(ParquetRows(path), settings, refine=refine)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stderr.write(f"{engine}: K = {found.k}, {before / 1e3:.0f} MB before, after imports\n")
    sys.stdout.write(f"{peak / 1e3} {time.process_time() - started}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--measure", nargs=2, metavar=("ENGINE", "FILE"))
    given = parser.parse_args()
    if given.measure:
        measure(given.measure[0], Path(given.measure[1]))
        return
    memory = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.parquet"
        write_big(path)
        for engine in ("scikit-learn", "dask-ml"):
            words = [sys.executable, "-W", "ignore", __file__, "--measure", engine, str(path)]
            told = subprocess.run(words, check=True, capture_output=True, text=True)
            sys.stderr.write(told.stderr)
            megabytes, seconds = map(float, told.stdout.split())
            memory.append((engine, megabytes, seconds))
    tally, started, rounds = Tally(), time.monotonic(), 0
    while rounds < given.rounds and time.monotonic() - started < 60 * given.minutes:
        tally.run(rounds)
        rounds += 1
        RESULT.write_text(report(tally, rounds, memory), encoding="utf-8")
        sys.stderr.write(f"round {rounds} of {given.rounds}\n")
    sys.stdout.write(f"{RESULT}\n")


if __name__ == "__main__":
    main()
