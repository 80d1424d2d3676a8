"""Measure what users ask of a large lake and write ``results/lake.md``.

Builds lakes of a tenth of the particles and of all of them without pixels (`lake_world`), refreshes
them, asks every question in a process of its own, and asks the same of a plain folder of Parquet
files and of one .duckdb file. Layouts of the ready-made rows are compared on the smaller lake.

``python tests/benchmarks/bench_lake.py [--particles 50000000] [--experiments 5000] [--out FOLDER]``
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from lake_world import Built, build

import nanolake.storage.connections as connections
from nanolake.pipeline import refresh as refreshing
from nanolake.pipeline.refresh import refresh
from nanolake.query import ask, view_statements
from nanolake.storage import Lake

RESULTS = Path(__file__).parent / "results" / "lake.md"
REPEATS = 5
MEMORY = "4GB"
THREADS = 2
FULL = 50_000_000
QUESTIONS: dict[str, dict[str, str]] = {
    "size_distribution_by_route": {},
    "rods_over_40_nm": {},
    "compare_batches": {"first": "Batch 00007", "second": "Batch 00042"},
    "percentiles_by_condition": {"condition": "temperature"},
    "top_outliers": {},
    "nearest_shapes": {"p": "8.5"},
    "group_shares_over_time": {},
    "size_by_condition": {},
    "counts_by_quality": {},
    "size_by_experiment": {},
    "group_shares": {},
    "shapes_by_lab": {},
    "one_experiment": {"experiment": "Batch 00023"},
    "uniform_batches": {},
    "same_product": {},
}
PROBES = {
    "long rods": """SELECT lab, route, count(*) AS rods, avg(feret_diameter_max_nm) AS length_nm
        FROM layout WHERE aspect_ratio < 0.6::FLOAT AND feret_diameter_max_nm > 40::FLOAT
        GROUP BY lab, route""",
    "near outlines": """SELECT particle_id, lab, experiment, p, L_ratio, jaccard FROM layout
        WHERE d = 4 AND experiment_id IN (
            SELECT experiment_id FROM layout WHERE d = 4 AND p > 0 AND L_ratio IS NOT NULL
            ORDER BY (ln(p) - ln(8.5)) ** 2 + (L_ratio - 0.9) ** 2 LIMIT 20)
        ORDER BY (ln(p) - ln(8.5)) ** 2 + (L_ratio - 0.9) ** 2 LIMIT 20""",
    "well fitted": """SELECT lab, pixel_size_trust, jaccard >= 0.9::FLOAT AS fitted, count(*) AS n
        FROM layout GROUP BY ALL""",
    "one experiment": """SELECT path, count(*) AS particles, median(p) AS p_median
        FROM layout WHERE experiment = 'Batch 00023' GROUP BY path""",
}
"""Questions that read the rows themselves, whatever is counted beforehand: they compare layouts."""
ORDER = refreshing.ORDER["morphology"]
LAYOUTS: dict[str, tuple[str, dict[str, str], str | None]] = {
    "as built": (ORDER, {"parquet_version": "2"}, None),
    "Parquet version 1": (ORDER, {"parquet_version": "1"}, None),
    "row groups of 30,720": (
        ORDER, {"parquet_version": "2", "parquet_row_group_size": "30720"}, None),
    "row groups of 983,040": (
        ORDER, {"parquet_version": "2", "parquet_row_group_size": "983040"}, None),
    "lz4 instead of zstd": (
        ORDER, {"parquet_version": "2", "parquet_compression": "lz4"}, None),
    "sorted by d, then experiment": (f"d, {ORDER}", {"parquet_version": "2"}, None),
    "sorted by lab first": (f"lab, {ORDER}", {"parquet_version": "2"}, None),
    "sorted by size within the experiment": (
        "experiment_id, equivalent_diameter_area_nm", {"parquet_version": "2"}, None),
    "partitioned by lab": (ORDER, {"parquet_version": "2"}, "lab"),
    "in no order": ("hash(particle_id)", {"parquet_version": "2"}, None),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How long one question took."""

    cold_s: float
    warm_s: float
    warm_cpu_s: float
    """Over all threads: what the machine's load changes least."""
    peak_bytes: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One lake: how it was made and what it answered."""

    built: Built
    refresh_s: float
    refresh_peak_bytes: int
    source_bytes: int
    row_bytes: int
    answers: dict[str, Answer]


def main() -> None:
    """Run every measurement and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=FULL)
    parser.add_argument("--experiments", type=int, default=5000)
    parser.add_argument("--out", type=Path, help="folder for the lakes; removed at the end")
    given = parser.parse_args()
    with _folder(given.out) as root:
        small, layouts, commit_rows_s = measure_small(root, given.experiments, given.particles)
        large, daily, plain = measure_large(root, given.experiments, given.particles)
        lines = report(small, large, layouts, commit_rows_s, daily, plain)
    RESULTS.write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-lake-", dir=out) as folder:
        yield Path(folder)


def measure_small(
    root: Path, experiments: int, particles: int
) -> tuple[Measured, dict[str, dict[str, float]], float]:
    """A lake of a tenth of the size, its layouts, and rows per second through `Lake.commit`."""
    lake = Lake.create(root / "small")
    measured = measure_lake(lake, max(60, experiments // 10), particles // 10)
    layouts = {name: measure_layout(lake, *layout) for name, layout in LAYOUTS.items()}
    commit_rows_s = measure_commits(lake, root / "commits")
    lake.close()
    shutil.rmtree(lake.root)
    return measured, layouts, commit_rows_s


def measure_large(
    root: Path, experiments: int, particles: int
) -> tuple[Measured, dict[str, float], dict[str, tuple[dict[str, Answer], int]]]:
    """The lake of full size, a day in its life, and the same rows in plain files."""
    lake = Lake.create(root / "large")
    measured = measure_lake(lake, experiments, particles)
    daily = measure_daily(lake)
    for table in ("particle", "shape_prediction", "shape_refinement", "group_assignment"):
        shutil.rmtree(lake.root / "tables" / "main" / table)  # room for the plain files
    folder, file = root / "parquet", root / "one.duckdb"
    write_parquet(lake, folder)
    lake.close()
    shutil.rmtree(lake.root)
    plain = {"parquet": (measure_answers("parquet", folder), _bytes(folder))}
    write_duckdb(folder, file)
    shutil.rmtree(folder)
    plain["duckdb"] = (measure_answers("duckdb", file), file.stat().st_size)
    file.unlink()
    return measured, daily, plain


def measure_lake(lake: Lake, experiments: int, particles: int) -> Measured:
    """Build, refresh and ask."""
    built = build(lake, experiments, particles)
    _say(f"built {built.particles:,} particles in {built.wall_s:.0f} s")
    lake.close()
    made = _in_process("--refresh", str(lake.root))
    _say(f"refreshed: {made}")
    folder = lake.root / "tables" / "main"
    sizes = {path.name: _bytes(path) for path in folder.iterdir()}
    rows = sum(size for name, size in sizes.items() if name.endswith("_row"))
    return Measured(
        built=built,
        refresh_s=made["wall_s"],
        refresh_peak_bytes=made["peak_bytes"],
        source_bytes=sum(sizes.values()) - rows,
        row_bytes=rows,
        answers=measure_answers("lake", lake.root),
    )


def measure_answers(kind: str, path: Path) -> dict[str, Answer]:
    """Ask each question in a fresh process, the page cache dropped where that is allowed."""
    answers = {}
    for name in QUESTIONS:
        drop_caches()
        answers[name] = Answer(**_in_process("--ask", kind, str(path), name))
        _say(f"{kind} {name}: {answers[name]}")
    return answers


def _in_process(*words: str) -> dict[str, Any]:
    """Run this file in a process of its own; return what it prints at the end."""
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def refresh_one(path: str) -> None:
    """Refresh a lake in this process, print seconds and peak memory as JSON."""
    wall_s = clock(lambda: refresh(Lake.open(path)))
    sys.stdout.write(json.dumps({"wall_s": wall_s, "peak_bytes": _peak_bytes()}) + "\n")


def drop_caches() -> bool:
    """Empty the page cache; return whether this machine allows it."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def answer_one(kind: str, path: str, name: str) -> None:
    """Ask one question in this process, print the times as JSON."""
    sql, values = ask(name, QUESTIONS[name])
    started = time.perf_counter()
    run = {"lake": _lake, "parquet": _parquet, "duckdb": _duckdb}[kind](Path(path))
    rows = run(sql, values).num_rows
    cold_s = time.perf_counter() - started
    repeats = REPEATS if cold_s < 10 else 1
    before = time.process_time()
    warm_s = statistics.median(clock(lambda: run(sql, values)) for _ in range(repeats))
    cpu_s = (time.process_time() - before) / repeats
    found = Answer(
        cold_s=cold_s, warm_s=warm_s, warm_cpu_s=cpu_s, peak_bytes=_peak_bytes(), rows=rows
    )
    sys.stdout.write(json.dumps(found.__dict__) + "\n")


def _peak_bytes() -> int:
    """Peak resident size of this process; getrusage would count the one it was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


Run = Callable[[str, dict[str, Any]], Any]


def _bounded(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute(f"SET threads = {THREADS}")
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    return connection


def _lake(path: Path) -> Run:
    """The lake as users ask it, its connection held to two threads and the same memory."""
    make = connections.new_connection
    connections.new_connection = lambda extensions: _bounded(make(extensions))
    return Lake.open(path).query


def _parquet(path: Path) -> Run:
    connection = _bounded(duckdb.connect())
    for table in sorted(path.iterdir()):
        connection.execute(f"CREATE VIEW {table.name} AS FROM read_parquet('{table}/*.parquet')")
    return _plain(connection)


def _duckdb(path: Path) -> Run:
    return _plain(_bounded(duckdb.connect(str(path))))


def _plain(connection: duckdb.DuckDBPyConnection) -> Run:
    """The lake's views over plain rows of `morphology`, which nothing keeps ready-made."""
    for statement in view_statements():
        if "VIEW morphology AS" not in statement:
            connection.execute(statement.replace("CREATE OR REPLACE VIEW", "CREATE TEMP VIEW"))
    return lambda sql, values: connection.execute(sql, values or None).to_arrow_table()


_SMALL = ("lab", "sample", "experiment", "experiment_condition", "micrograph",
          "micrograph_location", "segmentation", "shape_inference", "grouping_run",
          "group_inference", "failure")  # fmt: skip


def write_parquet(lake: Lake, folder: Path) -> None:
    """Write the rows of `morphology` in the lake's order, and the small tables, as plain files."""
    with lake.rewrite("plain files") as connection:
        for table in ("morphology_row", *_SMALL):
            name = table.removesuffix("_row")
            (folder / name).mkdir(parents=True)
            options = "FORMAT parquet, COMPRESSION zstd, FILE_SIZE_BYTES '512MB'"
            connection.execute(f"COPY (FROM {table}) TO '{folder / name}' ({options}, OVERWRITE)")


def write_duckdb(folder: Path, file: Path) -> None:
    """Read the plain files into tables of one .duckdb file."""
    connection = _bounded(duckdb.connect(str(file)))
    for table in sorted(folder.iterdir()):
        connection.execute(f"CREATE TABLE {table.name} AS FROM read_parquet('{table}/*.parquet')")
    connection.close()


def measure_layout(
    lake: Lake, order: str, options: dict[str, str], partition: str | None
) -> dict[str, float]:
    """Write the ready-made rows in another layout; bytes a row, rows per second, warm medians."""
    with lake.rewrite("layout") as connection:
        connection.execute("CREATE TABLE layout AS FROM morphology_row LIMIT 0")
    with lake.rewrite("layout") as connection:
        for name, value in options.items():
            connection.execute(f"CALL lake.set_option('{name}', '{value}', table_name => 'layout')")
        if partition:
            connection.execute(f"ALTER TABLE layout SET PARTITIONED BY ({partition})")
    with lake.rewrite("layout") as connection:
        _bounded(connection)
        seconds = clock(
            lambda: connection.execute(f"INSERT INTO layout FROM morphology_row ORDER BY {order}")
        )
    count = int(lake.query("SELECT count(*) AS n FROM layout").to_pylist()[0]["n"])
    folder = lake.root / "tables" / "main" / "layout"
    found = {"bytes a row": _bytes(folder) / count, "rows/s written": count / seconds}
    for name, sql in PROBES.items():
        lake.query(sql)
        found[name] = statistics.median(
            clock(lambda sql=sql: lake.query(sql)) for _ in range(REPEATS)
        )
    with lake.rewrite("layout") as connection:
        connection.execute("DROP TABLE layout")
    lake.close()
    shutil.rmtree(folder)
    _say(f"{order} {options} {partition}: {found}")
    return found


def measure_commits(lake: Lake, folder: Path) -> float:
    """Rows of `particle` per second through `Lake.commit`, every row conformed."""
    rows = lake.query("FROM particle LIMIT 250000")
    step = rows.num_rows // 5
    other = Lake.create(folder)
    other.commit({"particle": rows.slice(0, step)}, message="the first opens the connection")
    seconds = [
        clock(lambda n=n: other.commit({"particle": rows.slice(n, step)}, message="rows"))
        for n in range(step, 5 * step, step)
    ]
    other.close()
    shutil.rmtree(folder)
    return step / statistics.median(seconds)


def measure_daily(lake: Lake) -> dict[str, float]:
    """A corrected experiment in a large lake: questions before the refresh, the refresh, after."""
    known = lake.query("FROM experiment ORDER BY experiment LIMIT 1").to_pylist()[0]
    news = known | {"route": "corrected", "created_at": datetime.now(UTC)}
    lake.commit({"experiment": [news]}, message="a correction")

    def asked(name: str) -> float:
        sql, values = ask(name, QUESTIONS[name])
        return clock(lambda: lake.query(sql, values))

    found = {"the first question after the correction, `rods_over_40_nm`": asked("rods_over_40_nm")}
    for name in ("rods_over_40_nm", "top_outliers", "nearest_shapes", "size_by_experiment"):
        found[f"`{name}` then, until the refresh"] = asked(name)
    found["refresh of one experiment"] = clock(lambda: refresh(lake))
    found["refresh with nothing to do"] = clock(lambda: refresh(lake))
    found["`rods_over_40_nm` after it, the first"] = asked("rods_over_40_nm")
    lake.close()
    return found


def clock(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _say(line: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")


def report(
    small: Measured,
    large: Measured,
    layouts: dict[str, dict[str, float]],
    commit_rows_s: float,
    daily: dict[str, float],
    plain: dict[str, tuple[dict[str, Answer], int]],
) -> list[str]:
    """The page."""
    count, before = large.built.particles, small.built.particles
    cold = "page cache dropped" if drop_caches() else "page cache as it was"
    return [
        "# Questions of users on a large lake",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f} at the end. Written by `make bench-lake`. DuckDB "
        f"{duckdb.__version__} held to {THREADS} threads and {MEMORY} of memory. Simulated rows, "
        "no pixels.",
        "",
        "## Questions",
        "",
        "Seconds. Cold: a fresh process, opening the lake included, the interpreter's start and "
        f"imports not; {cold}. Warm: median of {REPEATS} more in that process (of one where cold "
        "took more than 10 s). CPU: seconds of all threads, warm, at the larger size (mean of the "
        "same). Memory: the process's peak resident size. Parquet and .duckdb: the "
        "rows of `morphology` with the same columns in the same order, and the same views over "
        "them, computed when asked.",
        "",
        f"| question | warm, {_millions(before)} | warm, {_millions(count)} | growth "
        "| CPU | cold | memory | Parquet warm | .duckdb warm |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(_line(name, small, large, plain) for name in QUESTIONS),
        "",
        _verdict(large),
        "",
        "## Size and speed of writing",
        "",
        f"| | {_millions(before)} | {_millions(count)} |",
        "|---|---:|---:|",
        *_writing(small, large),
        f"| through `Lake.commit`, 50,000 rows of `particle` a time, rows/s | {commit_rows_s:,.0f} "
        "| |",
        "",
        f"Plain Parquet: {plain['parquet'][1] / count:.0f} bytes a particle; one .duckdb file: "
        f"{plain['duckdb'][1] / count:.0f}.",
        "",
        "## One experiment corrected in the large lake",
        "",
        "| | s |",
        "|---|---:|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in daily.items()),
        "",
        f"## Layouts of `morphology_row`, {_millions(before)}, warm medians in s",
        "",
        "| layout | bytes a row | rows/s written | " + " | ".join(PROBES) + " |",
        "|---|" + "---:|" * (len(PROBES) + 2),
        *(_layout_line(name, found) for name, found in layouts.items()),
    ]


def _line(
    name: str, small: Measured, large: Measured, plain: dict[str, tuple[dict[str, Answer], int]]
) -> str:
    before, now = small.answers[name], large.answers[name]
    others = " | ".join(f"{plain[kind][0][name].warm_s:.2f}" for kind in ("parquet", "duckdb"))
    growth, peak = now.warm_s / before.warm_s, f"{now.peak_bytes / 2**20:,.0f} MiB"
    return (
        f"| `{name}` | {before.warm_s:.3f} | {now.warm_s:.3f} | {growth:.1f} "
        f"| {now.warm_cpu_s:.2f} | {now.cold_s:.2f} | {peak} | {others} |"
    )


def _verdict(large: Measured) -> str:
    """Say, from the figures, whether what was asked for holds."""
    slow = [f"`{name}`" for name, one in large.answers.items() if one.warm_s >= 0.5]
    over = [f"`{name}`" for name, one in large.answers.items() if max(one.warm_s, one.cold_s) > 2]
    return (
        f"Warm 0.5 s or more: {', '.join(slow) or 'none'}. "
        f"Over 2 s, cold or warm: {', '.join(over) or 'none'}."
    )


def _writing(small: Measured, large: Measured) -> list[str]:
    rows: list[tuple[str, Callable[[Measured], float]]] = [
        ("particles", lambda one: one.built.particles),
        ("experiments' and particles' source rows/s written, drawing included",
         lambda one: one.built.rows / one.built.wall_s),
        ("rows of `morphology` per second refreshed",
         lambda one: one.built.particles / one.refresh_s),
        ("of that refresh: peak memory of its process, MiB",
         lambda one: one.refresh_peak_bytes / 2**20),
        ("bytes a particle, all source tables",
         lambda one: one.source_bytes / one.built.particles),
        ("bytes a particle, ready-made rows", lambda one: one.row_bytes / one.built.particles),
    ]  # fmt: skip
    return [f"| {name} | {value(small):,.0f} | {value(large):,.0f} |" for name, value in rows]


def _layout_line(name: str, found: dict[str, float]) -> str:
    times = " | ".join(f"{found[probe]:.3f}" for probe in PROBES)
    return f"| {name} | {found['bytes a row']:.0f} | {found['rows/s written']:,.0f} | {times} |"


def _millions(count: int) -> str:
    return f"{count / 1e6:.3g} million"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        answer_one(*sys.argv[2:5])
    elif sys.argv[1:2] == ["--refresh"]:
        refresh_one(sys.argv[2])
    else:
        main()
