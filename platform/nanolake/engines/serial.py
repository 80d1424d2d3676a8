"""The reference engine: one item after the other, in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from nanolake.engines.protocol import ClosingEngine, Outcome, Task, attempt


class SerialEngine(ClosingEngine):
    """Runs everything here and now; outcomes come in the items' order."""

    name = "serial"
    workers = 1
    lost_workers = 0

    def map(
        self, task: Task[Any, Any], items: Iterable[Any]
    ) -> Generator[Outcome[Any, Any], None, None]:
        """Yield one outcome an item, in order."""
        for item in items:
            yield attempt(task, item)
