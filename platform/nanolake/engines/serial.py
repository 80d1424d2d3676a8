"""The reference engine: one item after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nanolake.engines.protocol import ClosingEngine, Outcome, Task, attempt


class SerialEngine(ClosingEngine):
    """Runs everything here and now; outcomes come in the items' order."""

    name = "serial"
    workers = 1

    def map(self, task: Task[Any, Any], items: Iterable[Any]) -> Iterator[Outcome[Any, Any]]:
        """Yield one outcome an item, in order."""
        for item in items:
            yield attempt(task, item)
