"""Runs ingest and segmentation on Dask, shapes serially, and dies at a moment inside a commit.

``python driver.py LAKE FOLDER [MOMENT NTH]``: a line on standard output for each picture done, so
that who watches knows when to kill. At the NTH time that MOMENT comes, the process is gone as if
the machine had lost power (SIGKILL: no ``finally`` runs).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nanolake.engines import open_engine
from nanolake.pipeline import work
from nanolake.pipeline.describe import describe_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.segment import SegmentSettings
from nanolake.storage import Lake, Ledger
from nanolake.storage.connections import Connections

FAST = SegmentSettings.build({"method": "threshold"})
WITHIN_S = 0.02
"""How long after it began a statement may be cut short."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Doomed:
    """A DuckDB connection that dies before, within or after its NTH statement of a kind."""

    def __init__(self, connection: Any, moment: str, nth: list[int]) -> None:
        self._connection, self._nth = connection, nth
        self._when, _, self._word = moment.partition(" ")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *more: Any) -> Any:
        if not sql.startswith(self._word):
            return self._connection.execute(sql, *more)
        self._nth[0] -= 1
        last = self._nth[0] == 0
        if last and self._when == "before":
            die()
        if last and self._when == "within":
            threading.Timer(random.uniform(0.0, WITHIN_S), die).start()
        answer = self._connection.execute(sql, *more)
        if last:
            die()
        return answer


def doom(moment: str, nth: int) -> None:
    """Arrange the death."""
    left = [nth]
    if moment in ("finish", "fail"):
        call: Callable[..., Any] = getattr(Ledger, moment)

        def deadly(ledger: Ledger, units: Any, *more: Any, **named: Any) -> Any:
            left[0] -= bool(units)
            return die() if not left[0] else call(ledger, units, *more, **named)

        setattr(Ledger, moment, deadly)
        return
    opened = Connections.writer

    def doomed(connections: Connections) -> Any:
        return Doomed(opened(connections), moment, left)

    Connections.writer = doomed  # type: ignore[method-assign]


def say(*words: object) -> None:
    print(*words, flush=True)


def main(root: str, folder: str, moment: str | None = None, nth: str = "1") -> None:
    """Run every stage; the same command goes on where an earlier one died."""
    work.COMMIT_UNITS, work.COMMIT_EVERY_S = 4, 0.5
    if moment is not None:
        doom(moment, int(nth))
    lake = Lake.open(root)
    with open_engine("dask", workers=2) as engine:
        say("ready")
        say(ingest(lake, read_source([Path(folder)]), engine=engine, progress=say).line())
        say(segment_lake(lake, FAST, engine=engine, progress=say).line())
    with open_engine("serial") as engine:
        say(describe_lake(lake, engine=engine, progress=say).line())
    say("end")


if __name__ == "__main__":
    from nanolake.errors import NanolakeError

    try:
        main(*sys.argv[1:])
    except NanolakeError as error:  # as the command does
        sys.exit(f"nanolake: {error}")
