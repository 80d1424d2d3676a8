"""One pure function, every engine: the protocol that serial, Dask and Ray keep.

A `Task` is configured in its constructor and opened once a worker (it loads a model, opens a
store); what `open` returns is then called once an item. A task that raises gives an `Outcome` with
the error in it: a bad item never stops a run.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from nanolake.errors import NanolakeError, PictureError, StoreError

Item = TypeVar("Item")
Result = TypeVar("Result")
Needs = TypeVar("Needs", contravariant=True)
Gives = TypeVar("Gives", covariant=True)


STORE_LOST = "store_lost"
"""Reason of a fault that is not the item's: the lake's place was out of reach, or full."""


class Task(Protocol[Needs, Gives]):
    """What a worker runs. Must be picklable and hashable: a frozen dataclass."""

    def open(self) -> Callable[[Needs], Gives]:
        """Load what is heavy and return the function of one item. Called once a worker."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why an item failed: a stable ``reason`` for the failure table and a text for people."""

    reason: str
    message: str
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[Item, Result]):
    """The result or the fault of one item, and the worker's time for it in seconds."""

    item: Item
    result: Result | None = None
    fault: Fault | None = None
    wall_s: float = 0.0


class Engine(Protocol):
    """Maps a task over items; outcomes come as they are ready, in any order."""

    name: str
    workers: int

    @property
    def lost_workers(self) -> int:
        """Workers that died at work and were replaced, since the engine was opened."""
        ...

    def map(
        self, task: Task[Any, Any], items: Iterable[Any]
    ) -> Generator[Outcome[Any, Any], None, None]:
        """Yield one `Outcome` an item. Only a few items a worker are in flight at a time.

        Close the generator where it is left before its end: its workers hold their cores until
        then.
        """
        ...

    def close(self) -> None:
        """Stop the workers that this engine started."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ClosingEngine:
    """Gives an engine its ``with`` block."""

    def close(self) -> None:
        """Stop the workers; nothing to stop here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_opened: dict[Any, Callable[[Any], Any]] = {}


def attempt(task: Task[Any, Any], item: Any) -> Outcome[Any, Any]:
    """Run one item in this process, opening the task at its first item; never raises."""
    started = time.perf_counter()
    try:
        if task not in _opened:
            _opened.clear()  # one task at a time: models of a past stage do not stay in memory
            _opened[task] = task.open()
        result = _opened[task](item)
    except Exception as error:
        return Outcome(item=item, fault=describe(error), wall_s=time.perf_counter() - started)
    return Outcome(item=item, result=result, wall_s=time.perf_counter() - started)


def describe(error: BaseException) -> Fault:
    """Return what is to be recorded of an error: our own without a trace, a defect with one."""
    if isinstance(error, PictureError):
        return Fault(reason=error.reason, message=str(error))
    if isinstance(error, StoreError):
        return Fault(reason=STORE_LOST, message=str(error))
    if isinstance(error, NanolakeError):
        return Fault(reason=type(error).__name__, message=str(error))
    if isinstance(error, MemoryError):
        return Fault(reason="out_of_memory", message=str(error) or "not enough memory")
    trace = "".join(traceback.format_exception(error))
    return Fault(reason="error", message=f"{type(error).__name__}: {error}", trace=trace)
