"""The service's job hands its settings and its lake on; the service itself: tests/serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanolake.errors import LakeNotFoundError
from nanolake.serve import ServeSettings, running
from nanolake.storage import Lake

RunJob = Callable[..., int]


def test_it_serves_the_lake_with_the_settings_of_its_file(
    run_job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[ServeSettings, Any]] = []
    monkeypatch.setattr(running, "run_service", lambda s, *, lake, say: called.append((s, lake)))
    lake = Lake.create(tmp_path / "lake")
    config = tmp_path / "serve.yaml"
    config.write_text("{port: 8099, replicas: 2}", encoding="utf-8")
    assert run_job("serve", lake.root, "--config", config) == 0
    assert run_job("serve", lake.root) == 0
    assert called == [
        (ServeSettings(port=8099, replicas=2), lake.root),
        (ServeSettings(), lake.root),
    ]


def test_without_a_lake_nothing_starts(run_job: RunJob, tmp_path: Path) -> None:
    with pytest.raises(LakeNotFoundError, match="nowhere"):
        run_job("serve", tmp_path / "nowhere")
