"""The line to PostgreSQL or to S3 is lost in the middle of a run, for a while or for good."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from nanolake.storage import Lake
from nanolake.testing.proxy import Proxy
from nanolake.testing.services import new_addresses

pytestmark = [
    pytest.mark.slow,
    pytest.mark.dask,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("profile", ["cluster"], indirect=True),
]

AWAY_S = 4.0


@pytest.fixture
def lines(profile: str) -> Iterator[dict[str, Proxy]]:
    """A line each to the services that run."""
    s3, postgres = urlsplit(os.environ["AWS_ENDPOINT_URL"]), urlsplit(
        os.environ["NANOLAKE_TEST_CATALOG"]
    )  # fmt: skip
    with (
        Proxy(s3.hostname or "", s3.port or 0) as to_s3,
        Proxy(postgres.hostname or "", postgres.port or 0) as to_postgres,
    ):
        yield {"S3": to_s3, "PostgreSQL": to_postgres}


@pytest.fixture
def new_lake(
    lines: dict[str, Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Lake]:
    """Return what makes a lake that is reached through the lines."""
    ports = {"postgres_port": lines["PostgreSQL"].port, "s3_port": lines["S3"].port}
    return lambda: Lake.create(tmp_path_factory.mktemp("handle") / "lake", **new_addresses(**ports))


def test_a_line_that_is_lost_for_a_while_costs_time_and_one_that_stays_away_one_error(
    victims: Callable[[], Any], lines: dict[str, Proxy]
) -> None:
    victim = victims()
    run = victim.run()
    for name in ("S3", "PostgreSQL"):
        assert run.steps(victim.random.randint(3, 12))
        lines[name].cut()
        victim.hurt(f"{name} away for {AWAY_S:.0f} s")
        time.sleep(AWAY_S)
        lines[name].mend()
        assert run.steps(victim.random.randint(3, 12))
        lines[name].drop()
        victim.hurt(f"{name} connections dropped")
    assert run.wait() == 0, run.errors
    victim.heal()
    for name in ("S3", "PostgreSQL"):
        victim = victims()
        run = victim.run()
        assert run.steps(victim.random.randint(5, 70))
        lines[name].cut()
        victim.hurt(f"{name} away for good")
        assert run.wait() == 1
        lines[name].mend()
        said = [line for line in run.errors.splitlines() if line.startswith("nanolake: ")]
        assert len(said) == 1, run.errors
        assert "Traceback" not in run.errors
        victim.heal()
