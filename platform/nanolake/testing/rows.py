"""Comparing the rows of two lakes that were made in the same way."""

from __future__ import annotations

CHANGING = frozenset({
    *("created_at", "run_id", "failed_at", "failure_id", "host", "modified_at", "wall_s"),
    *("owner", "lease_until_s", "attempt", "snapshot_id", "updated_at_s", "error"),
})  # fmt: skip
"""Columns that say when, where and in which run a row was made: all others are compared."""
