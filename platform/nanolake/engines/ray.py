"""Ray: a small pool of actors that each open the task once and pull items.

Used for back-fill inference: an actor holds the network. Arrays that arrive through Ray are
read-only; a task copies before it writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from nanolake.engines.protocol import ClosingEngine, Fault, Outcome, Task, attempt

_ATTEMPTS = 3
_IN_FLIGHT_PER_ACTOR = 2


def start_ray(address: str | None = None, *, workers: int | None = None) -> bool:
    """Connect to Ray, or start it on this machine; return whether it was started here."""
    import ray

    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    address = address or os.environ.get("RAY_ADDRESS")
    # "local": without it Ray joins whatever other Ray runs on this machine.
    own: dict[str, Any] = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    chosen: dict[str, Any] = {"address": address} if address else own
    ray.init(logging_level="ERROR", log_to_driver=False, **chosen)
    return address is None


class RayEngine(ClosingEngine):
    """A pool of ``workers`` actors on this machine or on the cluster at ``address``."""

    name = "ray"

    def __init__(self, workers: int | None = None, *, address: str | None = None) -> None:
        cores = len(os.sched_getaffinity(0))
        self._started = start_ray(address, workers=workers or cores)
        # More actors than Ray has cores would wait for ever, and their items with them. A Ray that
        # was started here has as many as were asked for.
        self.workers = min(workers or sys.maxsize, _cluster_cores())

    def map(self, task: Task[Any, Any], items: Iterable[Any]) -> Iterator[Outcome[Any, Any]]:
        """Yield outcomes as actors finish; a dead actor is replaced and its items sent again."""
        import ray

        actor_class = ray.remote(num_cpus=1, max_restarts=-1)(_Worker)
        actors = [actor_class.remote(task) for _ in range(self.workers)]
        waiting = iter(items)
        sent: dict[Any, tuple[Any, Any, int]] = {}

        def send(actor: Any, item: Any, tried: int = 0) -> None:
            sent[actor.run.remote(item)] = (actor, item, tried + 1)

        for actor in actors * _IN_FLIGHT_PER_ACTOR:
            for item in islice(waiting, 1):
                send(actor, item)
        try:
            while sent:
                done, _ = ray.wait(list(sent), num_returns=1)
                actor, item, tried = sent.pop(done[0])
                try:
                    yield ray.get(done[0])
                except ray.exceptions.RayError as error:
                    if tried < _ATTEMPTS:
                        send(actor, item, tried)
                        continue
                    yield Outcome(item=item, fault=_lost(error, tried))
                for following in islice(waiting, 1):
                    send(actor, following)
        finally:
            for actor in actors:
                ray.kill(actor)

    def close(self) -> None:
        """Stop Ray where it was started here."""
        import ray

        if self._started:
            ray.shutdown()


def _cluster_cores() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


class _Worker:
    """An actor: the task is opened at its first item and kept."""

    def __init__(self, task: Task[Any, Any]) -> None:
        self._task = task

    def run(self, item: Any) -> Outcome[Any, Any]:
        return attempt(self._task, item)


def _lost(error: Exception, tried: int) -> Fault:
    return Fault(
        reason="worker_lost",
        message=f"{type(error).__name__}: its actor died {tried} times; "
        "too little memory is the usual cause",
    )
