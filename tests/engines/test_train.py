"""The Ray Train adapter's notes; a worker that dies: tests/pipeline/test_training_runs.py."""

from __future__ import annotations

import json
from pathlib import Path

from nanolake.engines.train import read_history, read_restarts


def test_history_of_a_resumed_and_torn_run(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert read_history(path) == ()
    rows = [{"epoch": 0, "loss": 3.0}, {"epoch": 1, "loss": 2.0}, {"epoch": 1, "loss": 1.5}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"epoch": 2, "lo')
    assert read_history(path) == ({"epoch": 0, "loss": 3.0}, {"epoch": 1, "loss": 1.5})


def test_restarts_are_counted_within_a_call(tmp_path: Path) -> None:
    # Call a began three times, so two workers were lost; b is a later call of the same run.
    starts = tmp_path / "starts.txt"
    assert read_restarts(starts) == 0
    starts.write_text("a\na\na\nb\n")
    assert read_restarts(starts) == 2
