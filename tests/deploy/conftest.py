"""Starts a part of ``deploy/compose.yaml`` by the very words that stand there, on this machine.

A command is interpolated as compose does it (``${NAME:-default}``, ``${NAME:?message}``), so that
a test only chooses ports and folders. A part is up when the file's own health check says so.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy/compose.yaml"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
Starter = Callable[..., "Part"]


def interpolate(text: str, values: Mapping[str, object]) -> str:
    """Fill in variables as compose does; a required one that is not given is a KeyError."""

    def fill(found: re.Match[str]) -> str:
        name, sign, default = found.groups()
        if name not in values and sign != "-":
            raise KeyError(f"{name}: {default}")
        return str(values.get(name, default))

    return VARIABLE.sub(fill, text)


def services() -> dict[str, Any]:
    """Return the services of compose.yaml."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return found


@dataclass
class Part:
    """A running part: its process and log file, and how to ask whether it is well."""

    process: subprocess.Popen[bytes]
    log: Path
    check: Sequence[str]
    environment: Mapping[str, str]
    prefix: Sequence[str] = field(default=())

    def wait_until_healthy(self, seconds: float = 120) -> None:
        """Ask the part's own health check until it is well."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            asked = subprocess.run(
                [*self.prefix, *self.check], env=self.environment, capture_output=True, timeout=60
            )
            if asked.returncode == 0:
                return
            time.sleep(0.5)
        raise AssertionError(f"not healthy; its log ends:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Stop the process and everything that it started."""
        try:
            family = [*psutil.Process(self.process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        for child in psutil.wait_procs(family, timeout=5)[1]:
            child.kill()
        psutil.wait_procs(family, timeout=5)


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment with the tests' own Python first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Start a service by name with the given variables; all are stopped when the test ends."""
    started: list[Part] = []

    def run(name: str, prefix: Sequence[str] = (), extra: str = "", **values: object) -> Part:
        service = services()[name]
        settings = {
            key: interpolate(str(value), values)
            for key, value in service.get("environment", {}).items()
            if name != "postgres"
        }
        log = tmp_path / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*prefix, *shlex.split(interpolate(service["command"], values) + extra)],
                env=environment(**settings),
                cwd=tmp_path,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        check = service.get("healthcheck", {}).get("test", "true")
        part = Part(
            process=process,
            log=log,
            check=shlex.split(interpolate(check, values)),
            environment=environment(**settings),
            prefix=prefix,
        )
        started.append(part)
        part.wait_until_healthy()
        return part

    yield run
    for part in reversed(started):
        part.stop()


@pytest.fixture
def port() -> Callable[[], int]:
    """Give a port of 127.0.0.1 that is free now."""

    def find() -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return int(listener.getsockname()[1])

    return find


@pytest.fixture
def small_world(world: Any) -> Path:
    """A sample sheet of twelve small simulated pictures."""
    return Path(world.sheet)


@pytest.fixture
def run_job() -> Callable[..., str]:
    """Run a job script in a process of its own and return what it printed."""

    def run(name: str, *words: object, **more: str) -> str:
        command = [sys.executable, str(ROOT / "jobs" / f"{name}.py"), *map(str, words)]
        done = subprocess.run(
            command, env=environment(**more), capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run
