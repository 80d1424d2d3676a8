"""The catalogue's server crashes in the middle of a run, and starts again."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanolake.storage import Lake
from nanolake.testing.services import Postgres, new_addresses

pytestmark = [
    pytest.mark.slow,
    pytest.mark.dask,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("profile", ["cluster"], indirect=True),
]

CRASHES = 6


@pytest.fixture
def postgres(profile: str) -> Iterator[Postgres]:
    """A server of this test's own: the others' is left alone."""
    with tempfile.TemporaryDirectory(prefix="nanolake-postgres-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL's own user reads below it
        server = Postgres(Path(folder) / "postgres", os.environ["PGPASSWORD"])
        yield server
        server.crash()


@pytest.fixture
def new_lake(postgres: Postgres, tmp_path: Path) -> Callable[[], Lake]:
    """Return what makes a lake with its catalogue on that server."""
    return lambda: Lake.create(tmp_path / "lake", **new_addresses(postgres_port=postgres.port))


def test_a_database_that_crashes_costs_time_and_no_row(
    victims: Callable[[], Any], postgres: Postgres
) -> None:
    """What it had committed is there, what it had not is committed again."""
    victim = victims()
    run = victim.run()
    for _ in range(CRASHES):
        if not run.steps(victim.random.randint(3, 12)):
            break
        postgres.crash()
        time.sleep(victim.random.uniform(0.0, 2.0))
        postgres.start()
        victim.hurt("PostgreSQL crashed")
    assert run.wait() == 0, run.errors
    victim.heal()
