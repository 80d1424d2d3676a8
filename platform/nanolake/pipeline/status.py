"""Status: what a lake holds, what is open, what failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nanolake.contracts import load_tables
from nanolake.storage import Lake
from nanolake.storage.folders import LocalFolder


@dataclass(frozen=True, kw_only=True)
class Status:
    """A lake in numbers."""

    path: str
    tables: dict[str, int]
    """Rows of every table, older versions of a row included."""
    units: list[dict[str, Any]]
    """Work units by step and state."""
    owners: list[dict[str, Any]]
    """Who holds open work."""
    failures: list[dict[str, Any]]
    """Failures that are still open, by stage and reason."""
    bytes_on_disk: dict[str, int]
    snapshots: int


def status(lake: Lake) -> Status:
    """Count a lake's rows, work units, open failures and bytes."""
    counts = " UNION ALL ".join(
        f"SELECT '{name}' AS name, count(*) AS rows FROM \"{name}\"" for name in load_tables()
    )
    return Status(
        path=lake.where,
        tables={row["name"]: row["rows"] for row in lake.query(counts).to_pylist()},
        units=lake.query(
            "SELECT step, state, count(*) AS units, sum(wall_s) AS worker_s FROM work_unit "
            "GROUP BY step, state ORDER BY step, state"
        ).to_pylist(),
        owners=lake.query(
            "SELECT owner, step, count(*) AS units FROM work_unit WHERE state = 'claimed' "
            "GROUP BY owner, step ORDER BY owner"
        ).to_pylist(),
        failures=lake.query(
            "SELECT stage, reason, count(*) AS failures FROM failure_current "
            "GROUP BY stage, reason ORDER BY stage, reason"
        ).to_pylist(),
        bytes_on_disk={part: _bytes(lake, part) for part in _parts(lake)},
        snapshots=lake.query("SELECT count(*) AS n FROM lake.snapshots()").to_pylist()[0]["n"],
    )


def _parts(lake: Lake) -> tuple[str, ...]:
    """Return the folders to add up: on S3 not the pixels, which would be listed one by one."""
    local = isinstance(lake.data, LocalFolder)
    return ("tables", "pixels", "models") if local else ("tables", "models")


def _bytes(lake: Lake, part: str) -> int:
    return sum(entry.size_bytes for entry in lake.data.below(part).walk())
