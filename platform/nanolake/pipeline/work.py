"""The one loop of every mapped stage: claim, map, conform, commit, mark done.

A stage hands over jobs and a task. What is already done is not done again; a result and its work
unit land in one transaction; a bad item becomes a row in ``failure`` and the loop goes on.

Results are committed in the jobs' order, whatever order the workers finish in: of two files with
the same bytes the first one named is the one kept, on every engine and after every crash.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from nanolake.contracts import conform
from nanolake.engines import STORE_LOST, Engine, Fault, Outcome
from nanolake.errors import StoreError
from nanolake.progress import Progress, silent
from nanolake.storage import Lake, Origin, Unit

COMMIT_UNITS = 128
COMMIT_EVERY_S = 5.0
RENEW_EVERY_S = 60.0

Tables = dict[str, pa.Table]


def new_run_id() -> str:
    """Return a name for one call of the pipeline that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One unit of work: ``item`` goes to the worker, ``subject`` and ids to people and tables."""

    key: str
    subject: str
    item: Any
    experiment_id: str | None = None
    micrograph_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something that could not be done, on its way into the ``failure`` table."""

    path: str
    stage: str
    reason: str
    message: str
    unit_key: str
    frame: int | None = None
    experiment_id: str | None = None
    micrograph_id: str | None = None

    def row(self, run_id: str) -> dict[str, Any]:
        """Return the row of ``failure``."""
        now = datetime.now(UTC)
        words = (run_id, self.unit_key, self.path, self.frame, self.stage, self.reason)
        name = hashlib.sha256("\0".join(map(str, words)).encode()).hexdigest()
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        stamps = {"failure_id": name[:32], "run_id": run_id, "failed_at": now, "created_at": now}
        return values | stamps


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a worker made of one item: conformed rows by table, and what it had to leave out."""

    tables: Tables
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What one stage did, for its last line."""

    stage: str
    noun: str = "micrographs"
    done: int = 0
    skipped: int = 0
    failed: int = 0
    failed_before: int = 0
    busy: int = 0
    lost_workers: int = 0
    """Workers that died at work; each was replaced, and what it had in hand was done again."""
    rows: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    wall_s: float = 0.0
    note: str = ""

    def line(self) -> str:
        """Return the stage's last line."""
        parts = [f"{self.done} {self.noun} done"]
        parts += [f"{self.skipped} already in the lake"] if self.skipped else []
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.failed_before} had failed before"] if self.failed_before else []
        parts += [f"{self.busy} in another process's hands"] if self.busy else []
        parts += [f"{count:,} {name} rows" for name, count in self.rows.items()]
        parts += [_lost(self.lost_workers)] if self.lost_workers else []
        nothing = not (self.done or self.failed)
        lead = "nothing to do: " if nothing else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.stage}: {lead}{', '.join(parts)} in {self.wall_s:.1f} s{note}"


def _lost(count: int) -> str:
    """Say how many workers died.

    >>> _lost(1), _lost(3)
    ('1 worker lost and replaced', '3 workers lost and replaced')
    """
    return f"{count} worker{'s' * (count > 1)} lost and replaced"


def run_jobs(
    lake: Lake,
    engine: Engine,
    task: Any,
    jobs: Sequence[Job],
    *,
    stage: str,
    run_id: str,
    settings: str | None = None,
    keep: Callable[[str, pa.Table], pa.Table] | None = None,
    current: tuple[str, str] | None = None,
    progress: Progress = silent,
    retry_failed: bool = False,
    shown_rows: Sequence[str] = (),
    noun: str = "micrographs",
) -> StageReport:
    """Run every job that nobody has done, and return what happened.

    The worker returns `Made`. ``settings`` is the hash that the commits carry. ``keep`` may drop
    rows at commit (a picture that another file has brought meanwhile). ``current`` names the
    table, and the column that its ``_current`` view has one row of, in which units that were done
    earlier become the current ones again. ``shown_rows`` names the tables whose row counts the
    report shows.
    """
    started, lost_before = time.perf_counter(), engine.lost_workers
    lake.recover()
    by_key = {job.key: job for job in jobs}
    units = [Unit(key=key, step=stage, subject=job.subject) for key, job in by_key.items()]
    claim = lake.ledger.claim(units, retry_failed=retry_failed)
    todo = [job for key, job in by_key.items() if key in claim.mine]
    order = [job.key for job in todo]
    origin = Origin(step=stage, run_id=run_id, settings=settings)
    batch = _Committer(lake, stage, run_id, keep, order, origin, retry_failed=retry_failed)
    progress(stage, 0, len(todo))
    try:
        with closing(engine.map(task, todo)) as outcomes:
            for number, outcome in enumerate(outcomes, start=1):
                batch.add(outcome)
                progress(stage, number, len(todo))
        batch.flush()
    finally:
        lake.give_back(batch.open_keys)
    keys = list(by_key)
    again = bring_back(lake, *current, keys, origin) if current and claim.done else 0
    return StageReport(
        stage=stage,
        noun=noun,
        done=batch.done,
        failed=batch.failed,
        skipped=len(claim.done),
        failed_before=len(claim.failed),
        busy=len(claim.busy),
        lost_workers=engine.lost_workers - lost_before,
        rows={name: batch.rows.get(name, 0) for name in shown_rows} if batch.done else {},
        failures=tuple(batch.failures),
        wall_s=time.perf_counter() - started,
        note=f"{again} made current again" if again else "",
    )


def bring_back(
    lake: Lake, table: str, column: str, keys: Sequence[str], origin: Origin | None = None
) -> int:
    """Make rows of the units ``keys`` the newest again where other units have replaced them.

    A way of working that was left and is taken up again has nothing to compute, but its rows must
    be the current ones. Returns the number of rows written; where several of ``keys`` have rows
    for one value of ``column`` and one of them is the newest, that one stays.
    """
    rows = lake.query(
        f'SELECT DISTINCT ON (t.unit_key, t.{column}) t.* FROM "{table}" t '
        f'JOIN (SELECT DISTINCT ON ({column}) {column}, unit_key FROM "{table}" '
        f"ORDER BY {column}, created_at DESC) c ON t.{column} = c.{column} "
        "WHERE t.unit_key IN (SELECT unnest($keys)) "
        "AND c.unit_key NOT IN (SELECT unnest($keys)) ORDER BY t.unit_key, t.created_at DESC",
        {"keys": list(keys)},
    )
    rows = _stamped(rows, datetime.now(UTC))
    message = f"{table}: {rows.num_rows} made current again"
    lake.commit({table: rows}, message=message, origin=origin or Origin())
    return int(rows.num_rows)


def _stamped(rows: pa.Table, when: datetime) -> pa.Table:
    """Return the rows with ``when`` as the time of writing."""
    place = rows.schema.get_field_index("created_at")
    field = rows.schema.field(place)
    return rows.set_column(place, field, pa.repeat(pa.scalar(when, field.type), rows.num_rows))


def run_once(
    lake: Lake,
    *,
    stage: str,
    noun: str,
    key: str,
    subject: str,
    make: Callable[[], tuple[Mapping[str, Any], str]],
    settings: str | None = None,
    if_done: Callable[[], str] = lambda: "",
    progress: Progress = silent,
    shown_rows: Sequence[str] = (),
) -> StageReport:
    """Do one piece of work that is not mapped, unless it was done before.

    ``make`` computes and returns the rows by table and a note for the last line; ``settings`` is
    the hash that the commit carries; ``if_done`` is called where there is nothing to compute, and
    returns the note.
    """
    started = time.perf_counter()
    lake.recover()
    claim = lake.ledger.claim([Unit(key=key, step=stage, subject=subject)])
    if key not in claim.mine:
        return StageReport(
            stage=stage,
            noun=noun,
            skipped=len(claim.done),
            busy=len(claim.busy),
            note=if_done() if claim.done else "",
            wall_s=time.perf_counter() - started,
        )
    progress(stage, 0, 1)
    try:
        made, note = make()
        tables = {name: conform(name, rows) for name, rows in made.items()}
        origin = Origin(step=stage, run_id=new_run_id(), settings=settings)
        message = f"{stage}: {note}"
        snapshot = lake.commit(tables, message=message, unit_keys=[key], origin=origin)
    except BaseException:
        lake.give_back([key])
        raise
    wall_s = time.perf_counter() - started
    lake.ledger.finish({key: wall_s}, snapshot)
    progress(stage, 1, 1)
    rows = {name: tables[name].num_rows for name in shown_rows}
    return StageReport(stage=stage, noun=noun, done=1, rows=rows, note=note, wall_s=wall_s)


class _Committer:
    """Gathers outcomes and commits them many at a time: one writer, few snapshots."""

    def __init__(
        self,
        lake: Lake,
        stage: str,
        run_id: str,
        keep: Callable[[str, pa.Table], pa.Table] | None,
        order: Sequence[str],
        origin: Origin,
        *,
        retry_failed: bool,
    ) -> None:
        self.lake, self.stage, self.run_id, self.origin = lake, stage, run_id, origin
        self.keep = keep or (lambda name, rows: rows)
        self.open_keys = set(order)
        self._retry = retry_failed
        self.done = self.failed = 0
        self.rows: dict[str, int] = {}
        self.failures: list[Failure] = []
        self._order = deque(order)
        self._early: dict[str, Outcome[Job, Made]] = {}
        self._waiting: list[Outcome[Job, Made]] = []
        self._committed_at = self._renewed_at = time.monotonic()

    def add(self, outcome: Outcome[Job, Made]) -> None:
        if outcome.fault is not None and outcome.fault.reason == STORE_LOST:
            raise StoreError(outcome.fault.message)  # no item's failure: the run stops here
        self._early[outcome.item.key] = outcome
        while self._order and self._order[0] in self._early:
            self._waiting.append(self._early.pop(self._order.popleft()))
        now = time.monotonic()
        if now - self._renewed_at > RENEW_EVERY_S:
            self.lake.ledger.renew(self.open_keys)
            self._renewed_at = now
        if len(self._waiting) >= COMMIT_UNITS or now - self._committed_at > COMMIT_EVERY_S:
            self.flush()

    def flush(self) -> None:
        good = [o for o in self._waiting if o.result is not None]
        bad = {o.item.key: o for o in self._waiting if o.fault is not None}
        failures = [f for o in good if o.result for f in o.result.failures]
        failures += [self._failure(o.item, o.fault) for o in bad.values() if o.fault]
        tables = self._tables([o.result for o in good if o.result])
        if rows := [failure.row(self.run_id) for failure in self._unwritten(failures, set(bad))]:
            tables["failure"] = conform("failure", rows)
        keys = {o.item.key: o.wall_s for o in good}
        message = f"{self.stage}: {len(good)} done, {len(bad)} failed"
        snapshot = self.lake.commit(
            tables, message=message, unit_keys=list(keys), origin=self.origin
        )
        self.lake.ledger.finish(keys, snapshot)
        self.lake.ledger.fail({key: _error_text(o.fault) for key, o in bad.items()})
        self._account(len(good), len(bad), failures, tables, keys.keys() | bad.keys())

    def _tables(self, made: Sequence[Made]) -> Tables:
        """Join the rows of many units, each unit written a microsecond after the one before.

        The views choose by time of writing: the clocks of the workers must not decide.
        """
        now, parts = datetime.now(UTC), dict[str, list[pa.Table]]()
        for place, one in enumerate(made):
            for name, rows in one.tables.items():
                when = now + timedelta(microseconds=place)
                parts.setdefault(name, []).append(_stamped(rows, when))
        return {name: self.keep(name, pa.concat_tables(rows)) for name, rows in parts.items()}

    def _unwritten(self, failures: Sequence[Failure], units: set[str]) -> list[Failure]:
        """Leave out failed ``units`` that a run wrote down just before it was killed."""
        if self._retry or not units:
            return list(failures)
        known = self.lake.query(
            "SELECT DISTINCT unit_key FROM failure WHERE unit_key IN (SELECT unnest($keys))",
            {"keys": sorted(units)},
        )
        written = set(known.column("unit_key").to_pylist())
        return [failure for failure in failures if failure.unit_key not in written & units]

    def _account(
        self, good: int, bad: int, failures: list[Failure], tables: Tables, keys: set[str]
    ) -> None:
        self.done += good
        self.failed += bad
        self.failures += failures
        for name, rows in tables.items():
            self.rows[name] = self.rows.get(name, 0) + rows.num_rows
        self.open_keys -= keys
        self._waiting.clear()
        self._committed_at = time.monotonic()

    def _failure(self, job: Job, fault: Fault) -> Failure:
        return Failure(
            path=job.subject,
            stage=self.stage,
            reason=fault.reason,
            message=fault.message,
            unit_key=job.key,
            experiment_id=job.experiment_id,
            micrograph_id=job.micrograph_id,
        )


def _error_text(fault: Fault | None) -> str:
    return "" if fault is None else f"{fault.reason}: {fault.message}\n{fault.trace}".strip()
