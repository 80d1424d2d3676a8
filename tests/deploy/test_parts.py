"""Each part of compose.yaml, started by its own command, does its work for nanolake."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parents[2]
Starter = Callable[..., Any]
Port = Callable[[], int]
RunJob = Callable[..., str]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

# PostgreSQL refuses to run as root; its own user does it there.
AS_POSTGRES = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()


def missing_for_postgres() -> str:
    """Say what this machine lacks to run PostgreSQL, or nothing."""
    absent = [name for name in ("initdb", "postgres", "pg_isready") if not shutil.which(name)]
    if absent:
        return f"no PostgreSQL here: {', '.join(absent)} not on the path"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed: needs the extra `train`"
    return ""


@pytest.fixture
def database() -> Iterator[Path]:
    """A fresh PostgreSQL data folder with the user and password of compose.yaml."""
    if reason := missing_for_postgres():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory() as name:  # its own user cannot enter pytest's folders
        folder = Path(name)
        secret = folder / "secret"
        secret.write_text("trial")
        if AS_POSTGRES:
            shutil.chown(folder, "postgres")
        words = f"initdb --auth=scram-sha-256 --username=mlflow --pwfile={secret} {folder}/data"
        subprocess.run(
            [*AS_POSTGRES, *words.split()], check=True, capture_output=True, timeout=120, cwd="/"
        )
        yield folder


def test_mlflow_keeps_runs_and_models_in_postgres(
    database: Path, start: Starter, port: Port, tmp_path: Path
) -> None:
    place = {"POSTGRES_PORT": port(), "POSTGRES_HOST": "127.0.0.1", "POSTGRES_PASSWORD": "trial"}
    start(
        "postgres",
        prefix=AS_POSTGRES,
        extra=f" -D {database}/data -h 127.0.0.1 -k {database}",  # what the image adds
        **place,
    )
    create = ["createdb", "-h", "127.0.0.1", "-p", str(place["POSTGRES_PORT"]), "-U", "mlflow"]
    subprocess.run(
        [*create, "mlflow"], check=True, timeout=60, env={**os.environ, "PGPASSWORD": "trial"}
    )
    check_mlflow(start, port(), tmp_path, **place)


def test_mlflow_without_postgres(start: Starter, port: Port, tmp_path: Path) -> None:
    """The same server where PostgreSQL is missing: its database an SQLite file."""
    place = {"POSTGRES_PASSWORD": "unused"}
    more = f" --backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    check_mlflow(start, port(), tmp_path, extra=more, **place)


def check_mlflow(start: Starter, number: int, tmp_path: Path, **how: Any) -> None:
    """Start the server; log a run and a model through it and fetch the model back."""
    from nanolake.storage.models import ModelRegistry

    artifacts = tmp_path / "artifacts"
    start("mlflow", BIND="127.0.0.1", MLFLOW_PORT=number, MLFLOW_ARTIFACTS=artifacts, **how)
    registry = ModelRegistry(f"http://127.0.0.1:{number}", experiment="trial")
    weights = tmp_path / "net.onnx"
    weights.write_bytes(b"weights")
    run = registry.log(run_name="r", params={"seed": 1}, metrics={"accuracy": 0.5}, files=[weights])
    made = registry.register("net", weights, run)
    path, fetched = registry.fetch("net", tmp_path / "fetched")
    assert path.read_bytes() == b"weights"
    assert fetched == made
    assert sorted(file.name for file in artifacts.rglob("*.onnx")) == ["net.onnx", "net.onnx"]


@pytest.mark.dask
def test_dask_workers_of_their_own_segment_the_lake(
    start: Starter, port: Port, run_job: RunJob, small_world: Path, tmp_path: Path
) -> None:
    place = {"DASK_PORT": port(), "DASK_HOST": "127.0.0.1", "BIND": "127.0.0.1"}
    start("dask-scheduler", **place)
    start("dask-worker", DASK_MEMORY="2GiB", **place)
    lake, address = tmp_path / "lake", f"tcp://127.0.0.1:{place['DASK_PORT']}"
    assert "12 micrograph rows" in run_job("ingest", lake, small_world, "--dask", address)
    line = run_job("segment", lake, "--dask", address).splitlines()[-1]
    assert line.startswith("segment: 12 micrographs done")
    assert tables(lake, "particle") == serial_particles(run_job, small_world, tmp_path)


@pytest.mark.ray
def test_ray_nodes_take_a_submitted_job_and_describe_the_lake(
    start: Starter, port: Port, run_job: RunJob, small_world: Path, tmp_path: Path
) -> None:
    secret = {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_AUTH_MODE": "token"}
    place = {"RAY_PORT": port(), "RAY_HOST": "127.0.0.1", "BIND": "127.0.0.1", **secret}
    page = port()
    head = start("ray-head", RAY_DASHBOARD_PORT=page, **place)
    start("ray-worker", **place)
    lake = tmp_path / "lake"
    run_job("ingest", lake, small_world, "--engine", "serial")
    words = f"jobs/segment.py {lake} --engine ray --ray auto --workers 2"
    submit(f"http://127.0.0.1:{page}", f"python {ROOT}/{words}", head.environment)
    address = f"127.0.0.1:{place['RAY_PORT']}"
    line = run_job("describe", lake, "--ray", address, **secret).splitlines()[-1]
    assert line.startswith("describe: 12 micrographs done")
    assert len(tables(lake, "shape_prediction")) == len(tables(lake, "particle")) > 0
    without = subprocess.run(
        head.check,
        env={**head.environment, "RAY_AUTH_TOKEN": "0" * 64},
        capture_output=True,
        timeout=60,
    )
    assert without.returncode != 0  # the wrong secret opens nothing


@pytest.mark.ray
def test_the_service_answers(start: Starter, port: Port) -> None:
    number = port()
    part = start("service", BIND="127.0.0.1", SERVE_PORT=number)
    with urlopen(f"http://127.0.0.1:{number}/model", timeout=20) as answer:
        assert json.load(answer)["source"] == "shipped with nanolake"
    part.stop()
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{number}/health", timeout=5)


def submit(address: str, command: str, env: Mapping[str, str]) -> None:
    """Hand a command to the cluster as a user does, and wait for its end."""
    words = ["ray", "job", "submit", "--address", address, "--", *command.split()]
    done = subprocess.run(words, env=dict(env), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "segment: 12 micrographs done" in done.stdout


def serial_particles(run_job: RunJob, sheet: Path, tmp_path: Path) -> list[Any]:
    """Return the particles that the reference engine finds."""
    lake = tmp_path / "serial"
    run_job("ingest", lake, sheet, "--engine", "serial")
    run_job("segment", lake, "--engine", "serial")
    return tables(lake, "particle")


def tables(lake: Path, name: str) -> list[Any]:
    """Return a table's rows without the time of writing, ordered by particle."""
    from nanolake.storage import Lake

    question = f"SELECT * EXCLUDE (created_at) FROM {name} ORDER BY particle_id"
    rows: list[Any] = Lake.open(lake).query(question).to_pylist()
    return [{k: repr(v) for k, v in row.items()} for row in rows]
