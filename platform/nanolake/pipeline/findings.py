"""What checking has found, by kind, and the loop of every check: in threads, a few at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from nanolake.errors import NanolakeError
from nanolake.progress import Progress

WORKERS_MOST = 8


def default_workers() -> int:
    """Return how many threads: one a core that this process may use."""
    return min(WORKERS_MOST, len(os.sched_getaffinity(0)))


@dataclass(frozen=True, kw_only=True)
class Broken:
    """One thing that is not as it was stored: what, where, and what to do."""

    what: str
    where: str
    found: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """How many things of one kind were looked at, and what is to be said of them."""

    what: str
    count: int
    broken: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What `verify` has found."""

    where: str
    checks: tuple[Checked, ...]
    broken: tuple[Broken, ...]
    wall_s: float

    @property
    def intact(self) -> bool:
        """Whether nothing is broken; a raw file that was moved is not broken."""
        return not self.broken

    def line(self) -> str:
        """Return the last line."""
        count = sum(check.count for check in self.checks)
        end = "intact" if self.intact else f"{len(self.broken):,} broken"
        return f"verify: {count:,} checks, {end} in {self.wall_s:.1f} s ({self.where})"


@dataclass(kw_only=True)
class Findings:
    """What has been found so far, by kind."""

    progress: Progress
    workers: int
    checks: list[Checked] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)

    def each(
        self, what: str, items: Iterable[Any], count: int, check: Callable[[Any], list[Broken]]
    ) -> None:
        """Check items in threads, a few at a time: hashing and decoding leave Python's lock."""
        found: list[Broken] = []
        done = 0
        self.progress(what, 0, count)
        try:
            for broken in windowed(check, items, self.workers):
                found += broken
                done += 1
                self.progress(what, done, max(count, done))
        except NanolakeError as error:  # the rows that name the items lie in a broken file
            found.append(
                Broken(
                    what=what,
                    where="the rows that name them",
                    found=f"cannot be read: {error}",
                    remedy="mend what is broken in the tables first, then verify again",
                )
            )
        self.add(what, done, found)

    def add(self, what: str, count: int, broken: list[Broken], note: str = "") -> None:
        self.checks.append(Checked(what=what, count=count, broken=len(broken), note=note))
        self.broken += broken


def windowed(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    """Map in threads and in order, with two items a thread under way at most."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
