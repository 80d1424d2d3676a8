"""Refresh: keep the rows of `morphology`, `ensemble` and their like ready-made.

Answers are right at any moment, refreshed or not (`nanolake.query.derived`): what has changed since
is computed anew. A refresh makes the rows of the experiments that have changed, a block of them a
transaction, and notes at the end up to which snapshot they go. Until then questions look past every
row that a block has replaced, so a refresh may be killed at any moment. Of two at once the later
one goes on and the other stops.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nanolake.pipeline.work import StageReport
from nanolake.progress import Progress, silent
from nanolake.query import derived
from nanolake.storage import Lake

if TYPE_CHECKING:
    import duckdb

STAGE = "refresh"
BLOCK_PARTICLES = 2_000_000
"""Rows of `morphology` made in one transaction; an experiment is never divided."""
MEMORY_LIMIT_BYTES = 4 * 2**30
"""What DuckDB may use for a block before it spills to temporary files."""
OPTIONS = {"parquet_version": "2", "parquet_row_group_size": "122880"}
"""How the derived tables are written: see decisions/0014."""
MORE_OPTIONS = {"outline_index": {"parquet_row_group_size": "30720"}}
"""What is written otherwise: a class of outline is read without its neighbours."""
ORDER = {
    "morphology": "experiment_id, micrograph_id, label",
    "outline_index": "outline_class, experiment_id",
}
"""How the rows of a block are sorted, where not by experiment."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a refresh has to do."""

    snapshot: int
    """The newest snapshot that was looked at: the ready-made rows go up to it afterwards."""
    experiments: tuple[tuple[str, int], ...]
    """Experiments to make anew with their numbers of particles, in the order of the commits.

    A block of them then reads few files of the sources, which lie in that order as well; the ids
    are hashes, and a block in their order would read every file.
    """
    snapshots: Mapping[str, Mapping[str, Sequence[int]]]
    """Where the rows of each lie: `derived.snapshots`."""
    since: int | None
    """The snapshot up to which the ready-made rows go now; None: none of them is to be kept."""


def refreshed(lake: Lake, report: StageReport) -> StageReport:
    """Refresh the lake after a stage; return the stage's report with the time of both."""
    found = refresh(lake)
    if not found.done:
        return report
    words = f"{found.done} experiments refreshed"
    note = f"{report.note}; {words}" if report.note else words
    return replace(report, note=note, wall_s=report.wall_s + found.wall_s)


def refresh(
    lake: Lake,
    *,
    rebuild: bool = False,
    block_particles: int = BLOCK_PARTICLES,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    progress: Progress = silent,
) -> StageReport:
    """Make the ready-made rows of every experiment that has changed; ``rebuild``: of all.

    Returns a report that counts experiments. Nothing is written where nothing has changed.
    """
    started = time.perf_counter()
    lake.follow()
    plan = _plan(lake, rebuild=rebuild)
    rows = 0
    if plan.experiments or plan.since is None:
        rows = _carry_out(lake, plan, block_particles, memory_limit_bytes, progress)
    return StageReport(
        stage=STAGE,
        noun="experiments",
        done=len(plan.experiments),
        rows={"morphology": rows} if rows else {},
        wall_s=time.perf_counter() - started,
    )


def _plan(lake: Lake, *, rebuild: bool) -> Plan:
    """Look, in one snapshot, what has changed since the last refresh."""
    with lake.connect(beside=()) as connection:
        connection.execute("BEGIN")
        snapshot = _one(connection, "FROM lake.current_snapshot()")
        since = None if rebuild else _one(connection, derived.ready_since())
        everyone = "SELECT experiment_id FROM experiment"
        chosen = everyone if since is None else derived.stale_experiments(since)
        found = connection.execute(
            f"""WITH chosen AS MATERIALIZED ({chosen}), held AS (
                SELECT h.experiment_id, sum(s.particle_count)::BIGINT AS particles
                FROM micrograph_home h JOIN segmentation_current s USING (micrograph_id)
                WHERE h.experiment_id IN (FROM chosen) GROUP BY h.experiment_id)
            SELECT experiment_id, coalesce(particles, 0) FROM experiment_current e
            LEFT JOIN held USING (experiment_id)
            WHERE experiment_id IN (FROM chosen)"""
        ).fetchall()
        if found and len(found) == _one(connection, "SELECT count(*) FROM experiment_current"):
            since = None
        snapshots = derived.snapshots(connection, [name for name, _ in found])
        connection.execute("COMMIT")
    found.sort(key=lambda one: (_first_particles(snapshots.get(one[0], {})), one[0]))
    return Plan(
        snapshot=int(snapshot),
        experiments=tuple((str(name), int(count)) for name, count in found),
        snapshots=snapshots,
        since=since,
    )


def _first_particles(of_one: Mapping[str, Sequence[int]]) -> int:
    """Return the snapshot that brought an experiment's first particles; 0 where it has none."""
    return min(of_one.get("particle", ()), default=0)


def _carry_out(
    lake: Lake, plan: Plan, block_particles: int, memory_limit_bytes: int, progress: Progress
) -> int:
    """Write the blocks, a transaction each; the last one also notes what they hold."""
    key = f"refresh-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    blocks = list(_blocks(plan.experiments, block_particles)) or [[]]
    rows = 0
    for number, block in enumerate(blocks):
        message = f"refresh: {len(block)} experiments"
        with _transaction(lake, message, memory_limit_bytes) as connection:
            mine = _begin(connection, plan, key) if number == 0 else _is_mine(connection, key)
            if not mine:  # another refresh has begun, or done, the same
                return rows
            rows += _write_block(connection, block, plan, key)
            if number == len(blocks) - 1:
                _note(connection, plan.snapshot, key)
        progress(STAGE, number + 1, len(blocks))
    return rows


def _blocks(experiments: Sequence[tuple[str, int]], particles: int) -> Iterator[list[str]]:
    """Cut the experiments into blocks of about so many particles.

    >>> list(_blocks([("a", 3), ("b", 3), ("c", 9), ("d", 1)], 6))
    [['a', 'b'], ['c'], ['d']]
    """
    block: list[str] = []
    held = 0
    for name, count in experiments:
        if block and held + count > particles:
            yield block
            block, held = [], 0
        block.append(name)
        held += count
    if block:
        yield block


def _write_block(
    connection: duckdb.DuckDBPyConnection, block: Sequence[str], plan: Plan, key: str
) -> int:
    """Replace the rows of a block of experiments in every derived table; return how many."""
    if not block:
        return 0
    names = ", ".join(map(derived.text, block))  # written out, so that other files are left out
    scope = f"SELECT unnest([{names}]) AS experiment_id"
    ready = {
        "morphology": "SELECT * EXCLUDE (unit_key, created_at) FROM lake.main.morphology_row "
        f"WHERE experiment_id IN ({names})"
    }
    windows = derived.windows(connection, block, plan.snapshots)
    counts = {}
    for name in derived.DERIVED:
        first = name == "morphology"
        if plan.since is not None:  # else `_begin` has taken all rows away
            connection.execute(f"DELETE FROM {name}_row WHERE experiment_id IN ({names})")
        done = connection.execute(
            f"INSERT INTO {name}_row BY NAME "
            f"{derived.narrowed(name, scope, windows=windows, ready={} if first else ready)} "
            f"SELECT *, {derived.text(key)} AS unit_key, now() AS created_at FROM {name} "
            f"ORDER BY {ORDER.get(name, 'experiment_id')}"
        ).fetchone()
        counts[name] = int(done[0]) if done else 0
    return counts["morphology"]


def _begin(connection: duckdb.DuckDBPyConnection, plan: Plan, key: str) -> bool:
    """Take the derived tables over, unless another refresh has ended since the plan was made."""
    if plan.since is None:
        _forget(connection)
        _note(connection, 0, key, definition="unfinished")
        return True
    if _one(connection, derived.ready_since()) != plan.since:
        return False
    _note(connection, plan.since, key)
    return True


def _is_mine(connection: duckdb.DuckDBPyConnection, key: str) -> bool:
    return bool(_one(connection, "SELECT max(unit_key) FROM refresh_state") == key)


def _forget(connection: duckdb.DuckDBPyConnection) -> None:
    """Take all derived rows away: questions compute everything."""
    for name in derived.DERIVED:
        connection.execute(f"DELETE FROM {name}_row")
        for option, value in (OPTIONS | MORE_OPTIONS.get(name, {})).items():
            connection.execute(
                f"CALL lake.set_option('{option}', '{value}', table_name => '{name}_row')"
            )


def _note(
    connection: duckdb.DuckDBPyConnection, snapshot: int, key: str, definition: str | None = None
) -> None:
    """Say that derived rows hold unless a source row newer than ``snapshot`` concerns them."""
    connection.execute("DELETE FROM refresh_state")
    connection.execute(
        "INSERT INTO refresh_state BY NAME SELECT $snapshot AS since_snapshot, "
        "$definition AS definition, $key AS unit_key, now() AS created_at",
        {"snapshot": snapshot, "definition": definition or derived.definition(), "key": key},
    )


@contextmanager
def _transaction(
    lake: Lake, message: str, memory_limit_bytes: int
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give one transaction of `Lake.rewrite` that spills beyond a bound of memory."""
    with lake.rewrite(message) as connection:
        before = _one(connection, "SELECT current_setting('memory_limit')")
        connection.execute(f"SET memory_limit = '{memory_limit_bytes} bytes'")
        yield connection
        connection.execute(f"SET memory_limit = '{before}'")


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """Return the first value of an answer, None where there is no row."""
    row = connection.execute(sql).fetchone()
    return row[0] if row else None
