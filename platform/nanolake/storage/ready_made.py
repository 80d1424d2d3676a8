"""Ready-made rows of the derived views, taken where they hold (see `query.derived`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanolake.query import derived

if TYPE_CHECKING:
    import duckdb


class ReadyMade:
    """What is stale in a lake, looked up once a snapshot."""

    def __init__(self) -> None:
        self._snapshot = -1
        self._stale: tuple[str, ...] | None = None
        self._window: dict[str, str] = {}
        """Where the rows of the stale experiments lie."""

    def take(self, connection: duckdb.DuckDBPyConnection, sql: str) -> None:
        """Let ``sql`` find derived rows ready-made, where they hold.

        ``connection`` is one of `Lake.connect`, in a transaction: what is stale and what is
        answered must be of one snapshot.
        """
        if not derived.session_views(sql, ()):
            return
        row = connection.execute("FROM lake.current_snapshot()").fetchone()
        snapshot = int(row[0]) if row else -1
        if self._snapshot != snapshot:
            stale = _stale_experiments(connection)
            found = derived.snapshots(connection, stale or ())
            self._window = derived.windows(connection, stale, found) if stale else {}
            self._snapshot, self._stale = snapshot, stale
        if self._stale is not None:
            for statement in derived.session_views(sql, self._stale, self._window):
                connection.execute(statement)


def _stale_experiments(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...] | None:
    """Return the experiments whose derived rows no longer hold; None where none are to be used.

    That is where there are none, or where most are stale: computing everything is quicker then.
    """
    found = connection.execute(derived.ready_since()).fetchone()
    if found is None or found[0] is None:
        return None
    stale = connection.execute(derived.stale_experiments(int(found[0]))).fetchall()
    ready = connection.execute("SELECT count(*) FROM ensemble_row").fetchone()
    return tuple(row[0] for row in stale) if ready and 2 * len(stale) <= ready[0] else None
