"""Runs ingest, segmentation and shapes serially and kills itself at a named moment.

``python killed.py LAKE FOLDER MOMENT NTH``: at the NTH time that MOMENT comes, the process is gone
as if the machine had lost power (SIGKILL: no ``finally`` runs).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nanolake.engines import open_engine
from nanolake.pipeline import work
from nanolake.pipeline.describe import describe_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.storage import ImageStore, Lake, Ledger, definitions

MOMENTS: dict[str, tuple[Any, str]] = {
    "create": (definitions, "_define"),
    "pixels": (ImageStore, "write"),
    "labels": (ImageStore, "write_labels"),
    "claim": (Ledger, "claim"),
    "commit": (Lake, "commit"),
    "finish": (Ledger, "finish"),
    "fail": (Ledger, "fail"),
}
"""What is called: the kill comes just before the NTH call."""


def deadly(call: Callable[..., Any], nth: int) -> Callable[..., Any]:
    """Return ``call`` with a death in front of its ``nth`` call."""
    count = 0

    def wrapped(*args: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **more)

    return wrapped


def main(root: str, folder: str, moment: str, nth: str) -> None:
    """Run, and die on the way."""
    owner, name = MOMENTS[moment]
    setattr(owner, name, deadly(getattr(owner, name), int(nth)))
    work.COMMIT_UNITS = 2  # many small commits, so that some come before the end and some do not
    lake = Lake.create(root)
    with open_engine("serial") as engine:
        ingest(lake, read_source([Path(folder)]), engine=engine)
        segment_lake(lake, engine=engine)
        describe_lake(lake, engine=engine)


if __name__ == "__main__":
    main(*sys.argv[1:])
