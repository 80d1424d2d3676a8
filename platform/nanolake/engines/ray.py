"""Ray: a small pool of actors that each open the task once and pull items.

Used for back-fill inference: an actor holds the network. Arrays that arrive through Ray are
read-only; a task copies before it writes. An actor that dies is replaced by a new one, counted,
and what it had in hand is done again.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from nanolake.engines.protocol import ClosingEngine, Fault, Outcome, Task, attempt, describe
from nanolake.errors import EngineError

_DEATHS_ALONE = 2
"""An item is given up when so many actors in a row died with it alone in their hands."""
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
    try:
        ray.init(logging_level="ERROR", log_to_driver=False, **chosen)
    except Exception as error:  # Ray raises a bare Exception where it did not start in time
        where = f"reach Ray at {address}" if address else "start Ray on this machine"
        raise EngineError(
            f"cannot {where}: {error}; try again when the machine is less busy, or use the "
            "engine serial"
        ) from error
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
        self.lost_workers = 0

    def map(
        self, task: Task[Any, Any], items: Iterable[Any]
    ) -> Generator[Outcome[Any, Any], None, None]:
        """Yield outcomes as actors finish; a dead actor is replaced and its items sent again."""
        import ray

        waiting = iter(items)
        hands = [_Hand(task) for _ in range(self.workers)]
        try:
            for in_flight in range(1, _IN_FLIGHT_PER_ACTOR + 1):
                for hand in hands:
                    hand.fill(waiting, in_flight)
            while oldest := {hand.sent[0].answer: hand for hand in hands if hand.sent}:
                hand = oldest[ray.wait(list(oldest), num_returns=1)[0][0]]
                outcome = self._next_outcome(hand)
                if outcome is not None:
                    yield outcome
                hand.fill(waiting)
        finally:
            for hand in hands:
                ray.kill(hand.actor)

    def _next_outcome(self, hand: _Hand) -> Outcome[Any, Any] | None:
        """Return the outcome of the oldest item in a hand; None where it has to be done again."""
        import ray

        sent = hand.sent[0]
        try:
            outcome: Outcome[Any, Any] = ray.get(sent.answer)
        except ray.exceptions.RayTaskError as error:  # the actor lives, its answer could not travel
            outcome = Outcome(item=sent.item, fault=describe(error))
        except ray.exceptions.RayError as error:
            self.lost_workers += 1
            return hand.replace_actor(error)
        hand.put_down()
        return outcome

    def close(self) -> None:
        """Stop Ray where it was started here."""
        import ray

        if self._started:
            ray.shutdown()


@dataclass(frozen=True)
class _Sent:
    """An item on its way: ``answer`` is Ray's reference to its outcome."""

    item: Any
    answer: Any


class _Hand:
    """One actor, what it was sent (the oldest first), and what another one died with."""

    def __init__(self, task: Task[Any, Any]) -> None:
        self._task = task
        self.actor = _new_actor(task)
        self.sent: deque[_Sent] = deque()
        self._again: deque[Any] = deque()
        self._deaths_alone = 0

    def fill(self, waiting: Iterator[Any], in_flight: int = _IN_FLIGHT_PER_ACTOR) -> None:
        """Send the actor items until it has ``in_flight``; what is done again is sent alone."""
        while not self._again and len(self.sent) < in_flight:
            for item in islice(waiting, 1):
                self._send(item)
                break
            else:
                return
        if self._again and not self.sent:
            self._send(self._again.popleft())

    def put_down(self) -> None:
        """Forget the oldest item, which is done; no actor has died with the next one yet."""
        self.sent.popleft()
        self._deaths_alone = 0

    def replace_actor(self, error: Exception) -> Outcome[Any, Any] | None:
        """Put a new actor in the place of a dead one; return a fault for an item that kills.

        Which of several items an actor died of is not known, nor whether the answer to the first
        was lost on its way: they are done again one by one, and only an item in whose sole company
        an actor dies is blamed.
        """
        import ray

        ray.kill(self.actor)  # where it only could not be reached, it must not work on
        self.actor = _new_actor(self._task)
        items = [one.item for one in self.sent]
        self.sent.clear()
        self._deaths_alone = self._deaths_alone + 1 if len(items) == 1 else 0
        if self._deaths_alone == _DEATHS_ALONE:
            self._deaths_alone = 0
            return Outcome(item=items[0], fault=_lost(error))
        self._again.extendleft(reversed(items))
        return None

    def _send(self, item: Any) -> None:
        self.sent.append(_Sent(item, self.actor.run.remote(item)))


def _new_actor(task: Task[Any, Any]) -> Any:
    import ray

    return ray.remote(num_cpus=1)(_Worker).remote(task)


def _cluster_cores() -> int:
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


class _Worker:
    """An actor: the task is opened at its first item and kept."""

    def __init__(self, task: Task[Any, Any]) -> None:
        self._task = task

    def run(self, item: Any) -> Outcome[Any, Any]:
        return attempt(self._task, item)


def _lost(error: Exception) -> Fault:
    return Fault(
        reason="worker_lost",
        message=f"{type(error).__name__}: {_DEATHS_ALONE} actors died that had nothing else to do; "
        "too little memory is the usual cause",
    )
