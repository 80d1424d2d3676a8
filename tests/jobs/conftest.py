"""The job scripts as modules."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

JOBS = Path(__file__).resolve().parents[2] / "jobs"


@pytest.fixture(scope="session")
def run_job() -> Callable[..., int]:
    """Run a job script's ``main`` in this process: name, then the words of its command line."""

    def run(name: str, *words: object) -> int:
        spec = importlib.util.spec_from_file_location(f"job_{name}", JOBS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        return int(script.main([str(word) for word in words]))

    return run
