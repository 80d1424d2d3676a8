"""One tiny demo world and one finished lake, built once and serially; tests that write copy it."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nanolake import cli
from nanolake.classify import ClassifySettings
from nanolake.contracts import get_table
from nanolake.engines import open_engine
from nanolake.group import GroupSettings
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.work import StageReport
from nanolake.simulate.experiments import DemoTruth, write_demo
from nanolake.storage import Lake
from nanolake.testing import services
from nanolake.testing.rows import CHANGING

Run = Callable[..., tuple[int, str, str]]
QUICK_GROUP = GroupSettings(k_max=4, null_runs=2, bootstrap_runs=2, seeds=1)
QUICK_CLASSIFY = ClassifySettings()
SERVICES = services.environment()
os.environ.update(SERVICES or {})
PROFILES = ["laptop", "cluster"]


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    """Each test that takes this runs twice: in a folder, and on PostgreSQL and S3.

    ``parametrize("profile", [...], indirect=True)`` chooses one of them.
    """
    return _running(request.param)


@pytest.fixture(scope="module", params=PROFILES)
def any_profile(request: pytest.FixtureRequest) -> str:
    """As `profile`, for what a whole module shares."""
    return _running(request.param)


def _running(name: str) -> str:
    if name == "cluster" and SERVICES is None:
        pytest.skip("no PostgreSQL and S3: `make services`")
    return name


@pytest.fixture(scope="session")
def shared_lake(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Lake]:
    """Return what makes a new, empty lake on PostgreSQL and S3."""

    def make() -> Lake:
        return Lake.create(tmp_path_factory.mktemp("handle") / "lake", **services.new_addresses())

    return make


@pytest.fixture
def new_lake(profile: str, shared_lake: Callable[[], Lake], tmp_path: Path) -> Callable[[], Lake]:
    """Return what makes a new, empty lake of the profile."""
    if profile == "cluster":
        return shared_lake
    return lambda: Lake.create(tmp_path / f"lake-{uuid.uuid4().hex[:6]}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command as a shell would; return exit code, output, error output."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nanolake", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


@dataclass(frozen=True)
class Finished:
    """A lake that has been through every mapped stage, grouping and classifier, and the truth."""

    lake: Lake
    world: DemoTruth
    reports: dict[str, StageReport]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    """Twelve pictures of 320 px in six experiments, with the demo's troubles among them."""
    return write_demo(tmp_path_factory.mktemp("world"), scale=0.01)


@pytest.fixture(scope="session")
def finished(world: DemoTruth, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Read only: whoever writes takes `lake_copy`."""
    from nanolake.pipeline.classify import classify_lake
    from nanolake.pipeline.describe import describe_lake
    from nanolake.pipeline.group import group_lake
    from nanolake.pipeline.segment import segment_lake

    lake = Lake.create(tmp_path_factory.mktemp("finished") / "lake")
    with open_engine("serial") as engine:
        reports = {
            "ingest": ingest(lake, read_source([world.sheet]), engine=engine),
            "segment": segment_lake(lake, engine=engine),
            "describe": describe_lake(lake, engine=engine),
            "group": group_lake(lake, QUICK_GROUP, track=False),
            "classify": classify_lake(lake, QUICK_CLASSIFY, track=False),
        }
    lake.close()
    return Finished(lake, world, reports)


@pytest.fixture
def lake_copy(finished: Finished, tmp_path: Path) -> Lake:
    """A copy of the finished lake in another folder, to be written to."""
    shutil.copytree(finished.lake.root, tmp_path / "lake")
    return Lake.open(tmp_path / "lake")


@pytest.fixture(scope="session")
def rows_of() -> Callable[..., list[dict[str, Any]]]:
    """Return a table's rows in the order of its key, without what changes from run to run."""

    def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
        found = [
            {name: value for name, value in row.items() if name not in CHANGING}
            for row in lake.query(f'FROM "{table}"').to_pylist()
        ]
        key = [name for name in get_table(table).key if name not in CHANGING]
        return sorted(found, key=lambda row: ([str(row[k]) for k in key], str(row)))

    return rows


@pytest.fixture(scope="session")
def quick_group() -> GroupSettings:
    """Grouping settings that take a second."""
    return QUICK_GROUP


@pytest.fixture(scope="session")
def quick_classify() -> ClassifySettings:
    """Settings of the finished lake's classifier."""
    return QUICK_CLASSIFY
