"""Maintain: keep a lake small and quick without losing anything that somebody may still ask for.

In this order: settle what dead processes left; merge small Parquet files; expire old snapshots that
no named selection was made from; remove the files that nothing needs any more, and what writers
that were cut off left behind. Each step may be interrupted; the next call goes on.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import Field

from nanolake.errors import LakeError, SettingsError
from nanolake.pipeline.ingest import STAGE as INGEST
from nanolake.pipeline.segment import STAGE as SEGMENT
from nanolake.pipeline.work import new_run_id
from nanolake.progress import Progress, silent
from nanolake.settings import Settings
from nanolake.storage import Lake, Origin, maintenance
from nanolake.storage.maintenance import Expiry, Files, Stray

STAGE = "maintain"
CLOCKS_S = 300.0
"""How far the clocks of computers and servers may differ: files that are as much older than the
oldest claim are still taken for its owner's."""
STORED_BY = {"picture": INGEST, "labels": SEGMENT}
"""The steps that store pixels."""
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class MaintainSettings(Settings):
    """What may go, and how large files should be."""

    expire_older_than_s: float = Field(default=30 * 86400.0, ge=0)
    """Snapshots that are older expire, unless a named selection was made from them."""
    orphans_older_than_s: float = Field(default=86400.0, ge=0)
    """Files that nothing needs are removed once they are older: somebody may still read them."""
    target_file_mb: float = Field(default=128.0, gt=0)
    """Small Parquet files are merged into files of about this size."""


@dataclass(frozen=True, kw_only=True)
class Maintained:
    """What was done, or with ``dry_run`` would be."""

    dry_run: bool
    recovered: int
    """Units of dead processes that were settled."""
    files_before: Files
    files_after: Files
    """Parquet files that hold the lake's rows now."""
    merged: int
    """Small files merged; with ``dry_run`` how many small ones there are."""
    expired: int
    kept_pinned: int
    """Snapshots old enough that a named selection was made from."""
    kept_claimed: int
    """Snapshots old enough that hold units which are still claimed."""
    replaced: Files
    """Parquet files that no snapshot needed any more."""
    waiting: Files
    """As these, but not old enough: somebody may still read them."""
    orphans: dict[str, Files]
    """What nothing names, by kind: ``rows``, ``picture``, ``labels``, ``leftover``, ``upload``."""
    kept_live: int
    """Pictures and label images without a row that a live writer may be about to name."""
    wall_s: float
    notes: tuple[str, ...] = ()

    @property
    def bytes_freed(self) -> int:
        """Bytes of all that was removed."""
        return self.replaced.size_bytes + sum(one.size_bytes for one in self.orphans.values())

    def line(self) -> str:
        """Return the last line."""
        after = self.files_after.count
        more = f" ({self.merged:,} of them small)" if self.dry_run else f" before, {after:,} after"
        files = f"{self.files_before.count:,} Parquet files{more}"
        gone = sum(one.count for one in self.orphans.values())
        parts = [
            files,
            f"{self.expired:,} snapshots expired",
            f"{self.replaced.count:,} replaced files and {gone:,} orphans removed",
            f"{self.bytes_freed / 1e6:.1f} MB freed",
        ]
        parts += [f"{self.recovered} abandoned units settled"] if self.recovered else []
        kept = [
            f"{count:,} {what}"
            for count, what in (
                (self.kept_pinned, "snapshots that selections were made from"),
                (self.kept_claimed, "snapshots of open work"),
                (self.kept_live, "pictures that a live writer may name"),
                (self.waiting.count, "replaced files that are too young"),
            )
            if count
        ]
        parts += [f"kept: {', '.join(kept)}"] if kept else []
        lead = "maintain (dry run: nothing was changed, this would be)" if self.dry_run else STAGE
        return f"{lead}: {'; '.join(parts)}; {self.wall_s:.1f} s"


@dataclass(kw_only=True)
class _Tally:
    busy: set[str]
    """Steps that somebody is at, for a dry run: a real one asks the ledger again."""
    orphans: dict[str, Files] = field(default_factory=dict)
    kept_live: int = 0

    def add(self, kind: str, files: Files) -> None:
        if files.count:
            self.orphans[kind] = self.orphans.get(kind, Files()) + files

    def look(self, stray: Stray) -> None:
        if STORED_BY.get(stray.kind) in self.busy:
            self.kept_live += 1
        else:
            self.add(stray.kind, Files(count=1, size_bytes=stray.size_bytes))


def maintain_lake(
    lake: Lake,
    settings: MaintainSettings | None = None,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Maintained:
    """Merge small files, expire old snapshots, remove what nothing needs; say what was done.

    Nothing is removed that a snapshot still needs, that is younger than
    ``settings.orphans_older_than_s``, or that was made since the oldest open claim; pictures and
    label images without a row stay as long as anybody ingests or segments. Raises `LakeError` where
    the lake cannot be written to; what was done until then stays done.
    """
    settings, started = settings or MaintainSettings(), time.perf_counter()
    if not dry_run:
        lake.follow()
    recovered = len(lake.ledger.abandoned()) if dry_run else sum(lake.recover())
    now = datetime.fromtimestamp(lake.ledger.now(), UTC)
    old = now - timedelta(seconds=settings.orphans_older_than_s)
    live = _live(lake)
    # What is newer than the oldest open claim may be what its owner has stored.
    since = [datetime.fromtimestamp(when - CLOCKS_S, UTC) for _, when in live]
    unneeded = min([old, *since])
    before = maintenance.live_files(lake)
    merged = _compact(lake, settings, progress, dry_run=dry_run)
    expiry = _expire(lake, now - timedelta(seconds=settings.expire_older_than_s), dry_run=dry_run)
    progress("expire", 1, 1)
    replaced, waiting = maintenance.remove_replaced(lake, old, dry_run=dry_run)
    tally = _Tally(busy={step for step, _ in live} if dry_run else set())
    tally.add("rows", maintenance.remove_lost_rows(lake, unneeded, dry_run=dry_run))
    _remove_pixels(lake, unneeded, tally, progress, dry_run=dry_run)
    notes = () if dry_run else _end_uploads(lake, unneeded, tally)
    return Maintained(
        dry_run=dry_run,
        recovered=recovered,
        files_before=sum(before.values(), Files()),
        files_after=sum(maintenance.live_files(lake).values(), Files()),
        merged=merged,
        expired=len(expiry.snapshots),
        kept_pinned=expiry.pinned,
        kept_claimed=expiry.claimed,
        replaced=replaced,
        waiting=waiting,
        orphans=tally.orphans,
        kept_live=tally.kept_live,
        wall_s=time.perf_counter() - started,
        notes=notes,
    )


def read_age(text: str) -> float:
    """Return the seconds of ``90s``, ``30m``, ``12h`` or ``30d``; raise `SettingsError` for others.

    >>> read_age("1.5h"), read_age("30d")
    (5400.0, 2592000.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if match is None:
        raise SettingsError(f"{text!r} is no age: write a number and s, m, h or d, as 12h or 30d")
    return float(match[1]) * _UNITS_S[match[2]]


def _live(lake: Lake) -> list[tuple[str, float]]:
    """Return step and time (Unix, s) of the claims whose owners are there, as far as is known."""
    gone = lake.ledger.abandoned()
    return [claim for key, claim in lake.ledger.claimed().items() if key not in gone]


def _compact(lake: Lake, settings: MaintainSettings, progress: Progress, *, dry_run: bool) -> int:
    target = int(settings.target_file_mb * 1e6)
    small = maintenance.small_files(lake, target)
    if dry_run:
        return sum(small.values())
    origin = Origin(step=STAGE, run_id=new_run_id(), settings=settings.fingerprint())
    total = 0
    for number, table in enumerate(sorted(small), start=1):
        while (step := maintenance.compact(lake, table, target, origin))[0]:
            total += step[0]
        progress("compact", number, len(small))
    return total


def _expire(lake: Lake, before: datetime, *, dry_run: bool) -> Expiry:
    return maintenance.expirable(lake, before) if dry_run else maintenance.expire(lake, before)


def _remove_pixels(
    lake: Lake, before: datetime, tally: _Tally, progress: Progress, *, dry_run: bool
) -> None:
    experiments = lake.images.folder.children("")
    for number, experiment in enumerate(experiments, start=1):
        found = maintenance.strays(lake, experiment, before)
        if dry_run:
            for stray in found:
                tally.look(stray)
        elif found:
            removed, kept = maintenance.remove_strays(lake, found, STORED_BY)
            tally.kept_live += kept
            for kind, files in removed.items():
                tally.add(kind, files)
        progress("pixels", number, len(experiments))


def _end_uploads(lake: Lake, before: datetime, tally: _Tally) -> tuple[str, ...]:
    """End uploads in parts that were cut off; some credentials may not ask for them."""
    try:
        ended = lake.data.abandon_uploads(before)
    except LakeError as error:
        return (str(error),)
    tally.add("upload", Files(count=ended))
    return ()
