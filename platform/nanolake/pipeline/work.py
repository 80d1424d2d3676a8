"""The one loop of every mapped stage: claim, map, conform, commit, mark done.

A stage hands over jobs and a task. What is already done is not done again; a result and its work
unit land in one transaction; a bad item becomes a row in ``failure`` and the loop goes on.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from nanolake.contracts import conform
from nanolake.engines import Engine, Fault, Outcome
from nanolake.storage import Lake, Unit

COMMIT_UNITS = 128
COMMIT_EVERY_S = 5.0
RENEW_EVERY_S = 60.0

Tables = dict[str, pa.Table]
Progress = Callable[[str, int, int], None]
"""Called as (stage, units finished, units in all)."""


def silent(stage: str, done: int, total: int) -> None:
    """The progress of whoever wants none."""


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
        words = (run_id, self.path, self.frame, self.stage, self.reason)
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
        nothing = not (self.done or self.failed)
        lead = "nothing to do: " if nothing else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.stage}: {lead}{', '.join(parts)} in {self.wall_s:.1f} s{note}"


def run_jobs(
    lake: Lake,
    engine: Engine,
    task: Any,
    jobs: Sequence[Job],
    *,
    stage: str,
    run_id: str,
    keep: Callable[[str, pa.Table], pa.Table] | None = None,
    progress: Progress = silent,
    retry_failed: bool = False,
    shown_rows: Sequence[str] = (),
    noun: str = "micrographs",
) -> StageReport:
    """Run every job that nobody has done, and return what happened.

    The worker returns `Made`. ``keep`` may drop rows at commit (a picture that another file has
    brought meanwhile). ``shown_rows`` names the tables whose row counts the report shows.
    """
    started = time.perf_counter()
    lake.recover()
    by_key = {job.key: job for job in jobs}
    units = [Unit(key=key, step=stage, subject=job.subject) for key, job in by_key.items()]
    claim = lake.ledger.claim(units, retry_failed=retry_failed)
    todo = [job for key, job in by_key.items() if key in claim.mine]
    batch = _Committer(lake, stage, run_id, keep, {job.key for job in todo})
    progress(stage, 0, len(todo))
    try:
        for number, outcome in enumerate(engine.map(task, todo), start=1):
            batch.add(outcome)
            progress(stage, number, len(todo))
        batch.flush()
    finally:
        lake.ledger.release(batch.open_keys)
    return StageReport(
        stage=stage,
        noun=noun,
        done=batch.done,
        failed=batch.failed,
        skipped=len(claim.done),
        failed_before=len(claim.failed),
        busy=len(claim.busy),
        rows={name: batch.rows.get(name, 0) for name in shown_rows} if batch.done else {},
        failures=tuple(batch.failures),
        wall_s=time.perf_counter() - started,
    )


class _Committer:
    """Gathers outcomes and commits them many at a time: one writer, few snapshots."""

    def __init__(
        self,
        lake: Lake,
        stage: str,
        run_id: str,
        keep: Callable[[str, pa.Table], pa.Table] | None,
        open_keys: set[str],
    ) -> None:
        self.lake, self.stage, self.run_id = lake, stage, run_id
        self.keep = keep or (lambda name, rows: rows)
        self.open_keys = open_keys
        self.done = self.failed = 0
        self.rows: dict[str, int] = {}
        self.failures: list[Failure] = []
        self._waiting: list[Outcome[Job, Made]] = []
        self._committed_at = self._renewed_at = time.monotonic()

    def add(self, outcome: Outcome[Job, Made]) -> None:
        self._waiting.append(outcome)
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
        if failures:
            rows = [failure.row(self.run_id) for failure in failures]
            tables["failure"] = conform("failure", rows)
        keys = {o.item.key: o.wall_s for o in good}
        message = f"{self.stage}: {len(good)} done, {len(bad)} failed ({self.run_id})"
        snapshot = self.lake.commit(tables, message=message, unit_keys=list(keys))
        self.lake.ledger.finish(keys, snapshot)
        self.lake.ledger.fail({key: _error_text(o.fault) for key, o in bad.items()})
        self._account(len(good), len(bad), failures, tables, keys.keys() | bad.keys())

    def _tables(self, made: Sequence[Made]) -> Tables:
        names = dict.fromkeys(name for one in made for name in one.tables)
        joined = {n: pa.concat_tables([m.tables[n] for m in made if n in m.tables]) for n in names}
        return {name: self.keep(name, rows) for name, rows in joined.items()}

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
