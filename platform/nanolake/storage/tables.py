"""The lake: DuckLake tables, OME-Zarr pixels and the ledger of work units under one folder.

::

    LAKE/lake.json         what this folder is, and the format's version
    LAKE/catalog.sqlite    DuckLake's catalogue
    LAKE/tables/           rows, as Parquet
    LAKE/pixels/           pictures and label images, as OME-Zarr
    LAKE/ledger.sqlite     work units
    LAKE/definitions.sha256  what its tables and views were made from
    LAKE/models/           MLflow's database and artifacts
    LAKE/reports/          written reports

Tables are append-only: a correction is a new row, and the ``*_current`` views choose the newest.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake import __version__
from nanolake.contracts import conform
from nanolake.errors import LakeError, LakeNotFoundError, QueryError
from nanolake.query import derived
from nanolake.storage import definitions
from nanolake.storage.guard import require_question
from nanolake.storage.images import ImageStore
from nanolake.storage.ledger import Ledger, owner_name

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

FORMAT_VERSION = 1
_EXTENSIONS = ("ducklake", "sqlite_scanner")
_LEDGER_TABLE = "work_unit"
_FOLDERS = ("tables", "pixels", "models", "reports")
_PARTS = (
    *_FOLDERS,
    "catalog",
    "ledger",
    ".lock",
    "lake.json.half",
    definitions.FILE,
    f"{definitions.FILE}.half",
)
_LOCK_TIMEOUT_S = 300.0


class Lake:
    """One lake on a local disk. Open it with `Lake.open`, make it with `Lake.create`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = ImageStore(root / "pixels")
        self._writer: duckdb.DuckDBPyConnection | None = None
        self._reader: duckdb.DuckDBPyConnection | None = None
        # Snapshot, experiments that are stale in it, and where their rows lie.
        self._stale: tuple[int, tuple[str, ...] | None, dict[str, str]] = (-1, None, {})

    @classmethod
    def create(cls, root: Path | str) -> Lake:
        """Make a lake in an empty or new folder, or open the one that is there."""
        folder = Path(root).expanduser().resolve()
        if (folder / "lake.json").exists():
            return cls.open(folder)
        # A lake whose making was interrupted has parts but no lake.json yet: it is finished here.
        found = folder.iterdir() if folder.exists() else ()
        if any(path.name.partition(".sqlite")[0] not in _PARTS for path in found):
            raise LakeError(f"{folder} is not empty and not a lake: name a new folder")
        for part in _FOLDERS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        lake = cls(folder)
        lake.follow()
        about = {
            "format_version": FORMAT_VERSION,
            "lake_id": uuid.uuid4().hex,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "nanolake_version": __version__,
        }
        half = folder / "lake.json.half"
        half.write_text(json.dumps(about, indent=2) + "\n")
        half.replace(folder / "lake.json")
        return lake

    @classmethod
    def open(cls, root: Path | str) -> Lake:
        """Open a lake; raise `LakeNotFoundError` or, for another format, `LakeError`."""
        folder = Path(root).expanduser().resolve()
        try:
            about = json.loads((folder / "lake.json").read_text())
            version = about["format_version"]
        except (FileNotFoundError, NotADirectoryError):
            raise LakeNotFoundError(
                f"there is no lake at {folder}: make one with `nanolake init {root}`"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise LakeError(f"{folder / 'lake.json'} is damaged: no format_version in it") from None
        if version != FORMAT_VERSION:
            raise LakeError(
                f"the lake at {folder} has format {version}, this nanolake "
                f"({__version__}) reads format {FORMAT_VERSION}: install the nanolake that wrote it"
            )
        return cls(folder)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of work units."""
        return Ledger(self.root / "ledger.sqlite")

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps the lake's models and grouping runs."""
        return f"sqlite:///{self.root / 'models' / 'mlflow.sqlite'}"

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a read-only DuckDB connection: all tables and views, nothing outside the lake."""
        connection = self._open_reader().cursor()
        try:
            connection.execute(f"CREATE TEMP VIEW {_LEDGER_TABLE} AS FROM ledger.{_LEDGER_TABLE}")
            connection.execute("USE lake")
            yield connection
        finally:
            connection.close()

    def query(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> pa.Table:
        """Answer one SELECT as an Arrow table; raise `QueryError` for anything else.

        ``parameters`` fill ``?`` or ``$name`` in the text.
        """
        import duckdb

        with self.connect() as connection:
            try:
                require_question(connection, sql)
                self.take_ready_made(connection, sql)
                return connection.execute(sql, parameters or None).to_arrow_table()
            except duckdb.Error as error:
                raise QueryError(f"{error}".strip()) from None

    def take_ready_made(self, connection: duckdb.DuckDBPyConnection, sql: str) -> None:
        """Begin a transaction in which ``sql`` finds derived rows ready-made, where they hold.

        ``connection`` is one of `connect`. The views of the lake would give the same rows, later.
        What is stale is looked up once a snapshot.
        """
        connection.execute("BEGIN")  # what is stale and what is answered are of one snapshot
        if not derived.session_views(sql, ()):
            return
        row = connection.execute("FROM lake.current_snapshot()").fetchone()
        snapshot = int(row[0]) if row else -1
        looked_at, stale, window = self._stale
        if looked_at != snapshot:
            stale = _stale_experiments(connection)
            window = derived.windows(connection, [stale])[0] if stale else {}
            self._stale = (snapshot, stale, window)
        for statement in derived.session_views(sql, stale, window) if stale is not None else ():
            connection.execute(statement)

    def commit(
        self, tables: Mapping[str, Any], *, message: str, unit_keys: Sequence[str] = ()
    ) -> int | None:
        """Append rows to many tables in one transaction; return the snapshot's id.

        ``tables`` maps a table's name to anything `contracts.conform` takes. The units' keys go
        into the commit's extra information, where `recover` finds them after a crash. A unit must
        be claimed by this process: rows of one that was lost to another process since, or that
        is in the lake already, are left out, for the other lands them. Nothing is written, and
        None returned, where there are no rows and no units. Raises `LakeError` where the
        transaction failed; nothing of it is in the lake then.
        """
        import duckdb

        ready = {name: conform(name, rows) for name, rows in tables.items()}
        ready = {name: rows for name, rows in ready.items() if rows.num_rows}
        if not ready and not unit_keys:
            return None
        with self._lock():
            keys = self._still_mine(unit_keys)
            if lost := set(unit_keys) - set(keys):
                ready = {name: _without(rows, lost) for name, rows in ready.items()}
                ready = {name: rows for name, rows in ready.items() if rows.num_rows}
            if not ready and not keys:
                return None
            try:
                return _append(self._open_writer(), ready, message, keys)
            except duckdb.Error as error:
                self.close()  # whatever state it is in, the next commit begins anew
                raise LakeError(f"nothing was written to {self.root}: {error}") from error

    @contextmanager
    def rewrite(self, message: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give the writing connection in one transaction under the lake's lock, for derived tables.

        Rows that are made from others may be deleted and written again, and views made anew; rows
        of the sources only ever come in through `commit`. All or nothing of it lands; raises
        `LakeError` where the transaction failed.
        """
        import duckdb

        with self._lock():
            writer = self._open_writer()
            try:
                writer.execute("BEGIN")
                yield writer
                _describe_commit(writer, message, ())
                writer.execute("COMMIT")
            except BaseException as error:
                self.close()  # whatever state it is in, the next transaction begins anew
                if isinstance(error, duckdb.Error):
                    raise LakeError(f"nothing was written to {self.root}: {error}") from error
                raise

    def follow(self) -> None:
        """Make tables and views those of this package before asking: the lake may be older."""
        with self._lock():
            self._open_writer()

    def recover(self) -> tuple[int, int]:
        """Settle what dead processes left claimed; return (found committed, given back)."""
        if not self.ledger.abandoned():
            return 0, 0
        with self._lock():  # a slow owner either has committed, or will find its claim gone
            claimed = self.ledger.abandoned()
            committed = self._committed(set(claimed))
            self.ledger.settle(claimed, committed)
        return len(committed), len(claimed) - len(committed)

    def close(self) -> None:
        """Close the connections, if any; the lake may be used again afterwards."""
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._writer = self._reader = None

    def _still_mine(self, keys: Sequence[str]) -> list[str]:
        """Return which units this process still holds and nobody has committed."""
        if not keys:
            return []
        attempts = self.ledger.attempts(keys)
        again = {key for key, attempt in attempts.items() if attempt > 1}
        committed = self._committed(again) if again else {}
        return [key for key in keys if key in attempts and key not in committed]

    def _quoted(self, part: str) -> str:
        """Return the path of a part of the lake as it stands between quotes in SQL."""
        return str(self.root / part).replace("'", "''")

    def _committed(self, keys: set[str]) -> dict[str, int]:
        rows = self.query(
            "SELECT snapshot_id, commit_extra_info FROM lake.snapshots() "
            "WHERE commit_extra_info IS NOT NULL"
        ).to_pylist()
        found = {}
        for row in rows:
            units = json.loads(row["commit_extra_info"]).get("units", [])
            found.update({key: row["snapshot_id"] for key in units if key in keys})
        return found

    def _open_reader(self) -> duckdb.DuckDBPyConnection:
        """Attach lake and ledger once: loading the extensions takes ten times a query's time."""
        if self._reader is not None:
            return self._reader
        _ = self.ledger  # the file must be there before it is attached
        reader = _connection()
        reader.execute(
            f"ATTACH 'ducklake:sqlite:{self._quoted('catalog.sqlite')}' AS lake "
            f"(READ_ONLY, DATA_PATH '{self._quoted('tables')}', OVERRIDE_DATA_PATH true)"
        )
        reader.execute(
            f"ATTACH '{self._quoted('ledger.sqlite')}' AS ledger (TYPE sqlite, READ_ONLY)"
        )
        reader.execute("SET GLOBAL TimeZone = 'UTC'")
        reader.execute(f"SET allowed_directories = ['{self._quoted('tables')}/']")
        reader.execute(
            f"SET allowed_paths = ['{self._quoted('catalog.sqlite')}', "
            f"'{self._quoted('ledger.sqlite')}']"
        )
        reader.execute("SET enable_external_access = false")
        reader.execute("SET lock_configuration = true")
        self._reader = reader
        return reader

    def _open_writer(self) -> duckdb.DuckDBPyConnection:
        """Attach the lake for writing, under the lock; a lake older than the package follows it."""
        if self._writer is None:
            writer = _connection()
            # Inlined rows would live in the catalogue, out of reach of plain Parquet readers.
            # The catalogue knows the folder it was made in: a lake may have been moved since.
            writer.execute(
                f"ATTACH 'ducklake:sqlite:{self._quoted('catalog.sqlite')}' AS lake (DATA_PATH "
                f"'{self._quoted('tables')}', OVERRIDE_DATA_PATH true, "
                "META_JOURNAL_MODE 'WAL', DATA_INLINING_ROW_LIMIT 0)"
            )
            writer.execute("USE lake")
            definitions.follow(writer, self.root)
            self._writer = writer
        return self._writer

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One writer at a time: SQLite's own locking stalls for seconds under four writers."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(str(self.root / ".lock"), timeout=_LOCK_TIMEOUT_S):
                yield
        except Timeout:
            raise LakeError(
                f"{self.root} has been locked by another writer for {_LOCK_TIMEOUT_S:.0f} s: "
                "is a run stuck? `nanolake status` names the owners of open work"
            ) from None


def extension_path(name: str) -> Path:
    """Return the file of a DuckDB extension inside its installed wheel; no network is used."""
    import importlib.util

    import duckdb

    package = f"duckdb_extension_{name}"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LakeError(
            f"DuckDB's extension {name} is not installed: pip install "
            f"duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
        )
    folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}"
    file = folder / f"{name}.duckdb_extension"
    if not file.is_file():
        raise LakeError(
            f"DuckDB's extension {name} is installed for another version than DuckDB "
            f"{duckdb.__version__}: install the versions that requirements.lock names"
        )
    return file


def _connection() -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    # A bar would mix with our own output. A notebook without ipywidgets has none, and says so.
    with suppress(duckdb.Error):
        connection.execute("SET enable_progress_bar = false")
    for name in _EXTENSIONS:
        connection.execute(f"LOAD '{extension_path(name)}'")
    return connection


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


def _without(rows: pa.Table, unit_keys: set[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    lost = pc.is_in(rows.column("unit_key"), pa.array(sorted(unit_keys), pa.string()))
    return rows.filter(pc.invert(lost))


def _append(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[str, pa.Table],
    message: str,
    unit_keys: Sequence[str],
) -> int:
    import duckdb

    connection.execute("BEGIN")
    try:
        for name, rows in tables.items():
            connection.register("incoming", rows)
            connection.execute(f'INSERT INTO "{name}" BY NAME SELECT * FROM incoming')
            connection.unregister("incoming")
        _describe_commit(connection, message, unit_keys)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a COMMIT that failed has rolled back already
            connection.execute("ROLLBACK")
        raise
    row = connection.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchone()
    return int(row[0]) if row else 0


def _describe_commit(
    connection: duckdb.DuckDBPyConnection, message: str, unit_keys: Sequence[str]
) -> None:
    info = json.dumps({"nanolake": __version__, "units": list(unit_keys)})
    connection.execute(
        "CALL lake.set_commit_message($author, $message, extra_info => $info)",
        {"author": owner_name(), "message": message, "info": info},
    )
