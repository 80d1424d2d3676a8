"""A run over sixty micrographs is killed at random moments, each time resumed, and loses nothing.

Run by `make test-faults`. Killed are the driver, which is the only committer, anywhere and inside
its commits, and Dask workers at their work, whose driver goes on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.dask, pytest.mark.timeout(1200)]

IN_COMMIT = (
    "within INSERT",  # Parquet is being written
    "before COMMIT",  # Parquet is there, the catalogue does not know it
    "within COMMIT",
    "after COMMIT",  # the lake has the rows, the ledger does not know it
    "finish",
    "fail",  # the row in `failure` is there, the ledger does not know it
)
ANYWHERE = 14
WORKERS = 5
FEW, MORE, MOST_WAIT_S = 4, 7, 0.6


def test_a_run_that_is_killed_again_and_again_ends_as_if_nothing_had_happened(
    victims: Callable[[], Any],
) -> None:
    victim = victims()
    draw = victim.random
    lives = [*IN_COMMIT, *["anywhere"] * (ANYWHERE - WORKERS), *["worker"] * WORKERS]
    draw.shuffle(lives)
    while lives:
        if not live_and_die(victim, lives[-1]):  # it came to its end first
            victim.heal()
            victim = victims()
            continue
        lives.pop()
    victim.heal()


def live_and_die(victim: Any, how: str) -> bool:
    """Go on with the run until it is killed; False where it has ended before."""
    draw = victim.random
    if how in IN_COMMIT:
        run = victim.run(how, 1 if how == "fail" else draw.randint(1, 2))
        code = run.wait()
        assert code in (0, -9), run.errors
        if code:
            victim.hurt(f"driver killed, {how}")
        return bool(code)
    run = victim.run()
    if not run.steps(draw.randint(1, FEW)):
        assert run.wait() == 0, run.errors
        return False
    if how == "worker" and (workers := run.workers()):
        draw.choice(workers).kill()
        victim.hurt("Dask worker killed")
        if not run.steps(draw.randint(1, FEW)):
            assert run.wait() == 0, run.errors
            return True
    elif how == "worker":  # there are none any more: shapes are read serially
        assert run.wait() == 0, run.errors
        return False
    if not run.steps(draw.randint(0, MORE)):
        assert run.wait() == 0, run.errors
        return False
    time.sleep(draw.uniform(0.0, MOST_WAIT_S))
    run.kill()
    victim.hurt("driver killed anywhere")
    return True
