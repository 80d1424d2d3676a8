"""Eight processes write to one lake at once: is anything lost or doubled, and how long it takes.

``python tests/benchmarks/bench_writers.py [--processes 8] [--commits 50]`` does so on both profiles
of a lake (PostgreSQL and S3 where `make services` runs) and writes ``results/writers.md``. Each
commit claims its unit, appends to two tables in one transaction and is marked done. Ends with code
1 where a row was lost or doubled, or an error reached a writer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nanolake.storage import Lake, Unit
from nanolake.testing import services

RESULTS = Path(__file__).parent / "results" / "writers.md"
TABLES = {"lab": "lab_id", "sample": "sample_id"}
"""The tables of each commit, and their keys."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What stands in a lake after all writers have ended. Times in s, of `Lake.commit` alone."""

    profile: str
    wanted: int
    lost: int
    doubled: int
    errors: tuple[str, ...]
    snapshots: int
    counts_differ: tuple[str, ...]
    first_s: np.ndarray
    """The first commit of each process, which also opens the lake for writing."""
    commit_s: np.ndarray
    """All others."""
    unit_s: np.ndarray
    wall_s: float

    @property
    def sound(self) -> bool:
        """Whether every row is there once, and every figure of the catalogue says so."""
        whole = not (self.lost or self.doubled or self.errors or self.counts_differ)
        return whole and self.snapshots == self.wanted

    def cells(self) -> str:
        """Return the row of the results' table."""
        p50, p99 = np.quantile(self.commit_s, (0.5, 0.99)) * 1000
        worst, unit = self.commit_s.max() * 1000, np.median(self.unit_s) * 1000
        first = np.median(self.first_s) * 1000
        return (
            f"| {self.profile} | {self.wanted} | {self.lost} | {self.doubled} | "
            f"{len(self.errors)} | {self.snapshots} | {p50:.0f} | {p99:.0f} | {worst:.0f} | "
            f"{first:.0f} | {unit:.0f} | {self.wanted / self.wall_s:.1f} |"
        )


def write(root: Path, number: int, commits: int, barrier: Any, answers: Any) -> None:
    """Be one writer: commit again and again, and tell what it took."""
    lake = Lake.open(root)
    lake.query("SELECT 1")
    barrier.wait()
    for turn in range(commits):
        name, started = f"{number:02d}-{turn:03d}", time.perf_counter()
        try:
            lake.ledger.claim([Unit(key=name, step="ingest", subject=name)])
            before = time.perf_counter()
            snapshot = lake.commit(rows(name), message=name, unit_keys=[name])
            after = time.perf_counter()
            lake.ledger.finish({name: 0.0}, snapshot)
        except Exception as error:
            answers.put((name, None, f"{type(error).__name__}: {error}"))
        else:
            answers.put((name, (after - before, time.perf_counter() - started), None))
    lake.close()


def rows(name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of one commit."""
    stamp = {"unit_key": name, "created_at": datetime.now(UTC)}
    lab = {"lab_id": name, "lab": name, **stamp}
    return {"lab": [lab], "sample": [{"sample_id": name, "lab_id": name, "sample": name, **stamp}]}


def measure(profile: str, root: Path, processes: int, commits: int) -> Found:
    """Let the writers loose on a new lake and look at what they left."""
    Lake.create(root, **addresses(profile)).close()
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes + 1), context.Queue()
    writers = [
        context.Process(target=write, args=(root, number, commits, barrier, answers))
        for number in range(processes)
    ]
    for writer in writers:
        writer.start()
    barrier.wait()
    started = time.perf_counter()
    said = [answers.get(timeout=600) for _ in range(processes * commits)]
    wall_s = time.perf_counter() - started
    for writer in writers:
        writer.join()
    first, later = ([both for name, both, _ in said if both and name.endswith("-000") == first]
                    for first in (True, False))  # fmt: skip
    return Found(
        profile=profile,
        wanted=len(said),
        errors=tuple(f"{name}: {error}" for name, _, error in said if error),
        first_s=np.array([commit for commit, _ in first]),
        commit_s=np.array([commit for commit, _ in later]),
        unit_s=np.array([unit for _, unit in later]),
        wall_s=wall_s,
        **look(Lake.open(root), {name for name, _, _ in said}),
    )


def look(lake: Lake, wanted: set[str]) -> dict[str, Any]:
    """Compare rows, ledger, snapshots and DuckLake's own statistics with what was written."""
    lost = doubled = 0
    differ = []
    catalogue = f"__ducklake_metadata_lake.{getattr(lake.catalog, 'schema', 'main')}"
    writer = lake.connections.writer()
    for table, key in TABLES.items():
        found = [row["key"] for row in lake.query(f"SELECT {key} AS key FROM {table}").to_pylist()]
        lost += len(wanted - set(found))
        doubled += len(found) - len(set(found))
        (counted,) = lake.query(f"SELECT count(*) AS n FROM {table}").to_pylist()
        statistics = writer.execute(
            f"SELECT s.record_count, s.next_row_id FROM {catalogue}.ducklake_table_stats s "
            f"JOIN {catalogue}.ducklake_table t USING (table_id) WHERE t.table_name = ?",
            [table],
        ).fetchone()
        if {counted["n"], *statistics} != {len(found)}:
            differ.append(f"{table}: {len(found)} rows, count(*) {counted}, DuckLake {statistics}")
    done = lake.query("SELECT unit_key, snapshot_id FROM work_unit WHERE state = 'done'")
    lost += len(wanted - set(done.column("unit_key").to_pylist()))
    snapshots = len(set(done.column("snapshot_id").to_pylist()))
    lake.close()
    return {
        "lost": lost,
        "doubled": doubled,
        "snapshots": snapshots,
        "counts_differ": tuple(differ),
    }


def addresses(profile: str) -> dict[str, str]:
    """Return where a new lake of the profile lies; nothing for a folder."""
    return {} if profile == "laptop" else services.new_addresses()


def report(found: list[Found], processes: int) -> list[str]:
    """Return the results' page."""
    load = os.getloadavg()[0]
    return [
        "# Many writers of one lake",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, load "
        f"{load:.1f} at the end. Written by `make bench-writers`.",
        "",
        f"{processes} processes at once, each commit claims a unit, writes two tables in one "
        "transaction and marks the unit done. Times are of `Lake.commit`, in ms, without each "
        "process's first, which also opens the lake (its median stands beside); a whole unit is "
        "claim, commit and done.",
        "",
        "| profile | commits | lost | doubled | errors | snapshots | p50 | p99 | max | "
        "first | unit p50 | commits/s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(one.cells() for one in found),
        "",
        "laptop: SQLite and a folder; cluster: PostgreSQL and S3, all on this machine. Lost and "
        "doubled are counted from the rows and the ledger; `count(*)`, DuckLake's own statistics "
        "of each table and the number of distinct snapshots were the same.",
    ]


def main() -> None:
    """Measure both profiles; write the page where it was asked for as it stands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--commits", type=int, default=50, help="of each process")
    parser.add_argument("--profile", choices=("laptop", "cluster"), help="only this one")
    parser.add_argument("--no-page", action="store_true", help="print, and write nothing")
    given = parser.parse_args()
    os.environ.update(services.environment() or {})
    profiles = ["laptop", *(["cluster"] if "NANOLAKE_TEST_CATALOG" in os.environ else [])]
    with tempfile.TemporaryDirectory() as folder:
        found = [
            measure(profile, Path(folder, profile), given.processes, given.commits)
            for profile in ([given.profile] if given.profile else profiles)
        ]
    lines = report(found, given.processes)
    sys.stdout.write("\n".join(lines) + "\n")
    for one in found:
        for text in (*one.errors[:5], *one.counts_differ):
            sys.stderr.write(f"{one.profile}: {text}\n")
    if not all(one.sound for one in found):
        sys.exit(1)
    if not given.no_page:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
