"""History: what was committed to a lake, by whom, with what code and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nanolake.errors import QueryError
from nanolake.storage import Lake

_SNAPSHOTS = """
SELECT snapshot_id, snapshot_time, author, commit_message, commit_extra_info AS info
FROM lake.snapshots() {where} ORDER BY snapshot_id DESC LIMIT $limit
"""
_OF_TABLE = """
WHERE json_extract(commit_extra_info, '$.rows.' || $table) IS NOT NULL
    OR list_contains(changes['tables_inserted_into'], $number)
"""


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One snapshot of a lake. None where it does not say, as those of nanolake 0.3."""

    snapshot_id: int
    time: datetime
    who: str | None
    """Person, host and process."""
    what: str | None
    step: str | None
    run_id: str | None
    code_version: str | None
    settings: str | None
    """Hash of the settings, or of what else the step was told."""
    rows: Mapping[str, int] | None
    """Rows added, by table."""
    units: int
    """Work units that landed with it."""

    def row(self) -> dict[str, Any]:
        """Return what a table of commits shows."""
        rows = None if self.rows is None else ", ".join(f"{n:,} {t}" for t, n in self.rows.items())
        return {
            "snapshot": self.snapshot_id,
            "time (UTC)": f"{self.time:%Y-%m-%d %H:%M:%S}",
            "who": self.who,
            "what": self.what,
            "run": self.run_id,
            "code": self.code_version,
            "settings": self.settings,
            "rows added": rows,
        }


def history(lake: Lake, *, limit: int = 20, table: str | None = None) -> list[Commit]:
    """Return the newest commits, the newest first; with ``table`` those that added rows to it.

    Expired snapshots are not among them. Raises `QueryError` for a table that is not in the lake.
    """
    values: dict[str, Any] = {"limit": limit}
    if table is not None:
        values |= {"table": table, "number": _number(lake, table)}
    sql = _SNAPSHOTS.format(where="" if table is None else _OF_TABLE)
    return [_commit(row) for row in lake.query(sql, values).to_pylist()]


def _number(lake: Lake, table: str) -> str:
    """Return DuckLake's own number of a table, by which old snapshots name it."""
    rows = lake.query("SELECT table_id, table_name FROM lake.table_info()").to_pylist()
    found = {row["table_name"]: str(row["table_id"]) for row in rows}
    if table not in found:
        raise QueryError(f"the lake has no table {table!r}; it has {', '.join(sorted(found))}")
    return found[table]


def _commit(row: Mapping[str, Any]) -> Commit:
    info = json.loads(row["info"] or "{}")
    return Commit(
        snapshot_id=row["snapshot_id"],
        time=row["snapshot_time"].astimezone(UTC),
        who=row["author"],
        what=row["commit_message"],
        step=info.get("step"),
        run_id=info.get("run"),
        code_version=info.get("nanolake"),
        settings=info.get("settings"),
        rows=info.get("rows"),
        units=len(info.get("units", ())),
    )
