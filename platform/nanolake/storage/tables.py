"""The lake: DuckLake tables, OME-Zarr pixels and the ledger of work units.

On one computer all of it lies under one folder::

    LAKE/lake.json         what this folder is, and the format's version
    LAKE/catalog.sqlite    DuckLake's catalogue
    LAKE/tables/           rows, as Parquet
    LAKE/pixels/           pictures and label images, as OME-Zarr
    LAKE/ledger.sqlite     work units
    LAKE/models/           MLflow's database and artifacts
    LAKE/reports/          written reports

For many computers ``lake.json`` names a PostgreSQL database, which holds catalogue and ledger, and
a place on S3 (or a mounted folder), which holds ``tables/`` and ``pixels/``. The folder is then
only this computer's handle, and any computer makes one with ``nanolake init``.

Tables are append-only: a correction is a new row, and the ``*_current`` views choose the newest.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake import __version__
from nanolake.contracts import arrow_schema, conform
from nanolake.errors import (
    LakeError,
    LakeNotFoundError,
    NanolakeError,
    QueryError,
    SettingsError,
    StoreError,
)
from nanolake.query import derived
from nanolake.storage import definitions
from nanolake.storage.catalogs import Catalog, open_catalog, quoted
from nanolake.storage.folders import Folder, LocalFolder, S3Folder, disk_is_full, open_folder
from nanolake.storage.guard import require_question
from nanolake.storage.images import ImageStore
from nanolake.storage.ledger import BESIDE, Ledger
from nanolake.storage.moments import At, find_snapshot
from nanolake.storage.origin import Origin, author
from nanolake.storage.reading import STREAM_ROWS, Answer, as_reader, hold_to_memory
from nanolake.storage.seals import DataFile, Seals, listed

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from nanolake.storage.models import ModelRegistry

FORMAT_VERSION = 2
_READABLE_FORMATS = (1, 2)
_FOLDERS = ("tables", "pixels", "models", "reports")
_PARTS = (*_FOLDERS, "catalog", "ledger", ".lock", "lake.json.half", "definitions.sha256")
_RETRY = {
    "ducklake_max_retry_count": 100,
    "ducklake_retry_wait_ms": 5,
    "ducklake_retry_backoff": 1.05,
}
"""DuckLake's own, 100 ms and a factor of 1.5, let one of eight writers wait for 15 s."""
_TRY_AGAIN_S = (0.0, 2.0, 8.0)
"""Waits between the tries of one commit. The first is for writers that were quicker."""
_ASK_AGAIN_S = (1.0, 4.0)
_HTTP_RETRY = {"http_retries": 6, "http_retry_wait_ms": 200, "http_retry_backoff": 2}
_SECRET = "nanolake_data"
_UNSAID = Origin()
_UNSEALED = (OSError, LakeError, sqlite3.Error)
"""What may keep files from being hashed after their rows have landed: the next seal does it."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """What a worker opens the same lake with, also on a computer that has no handle of it."""

    root: str
    catalog: str | None = None
    data: str | None = None

    def open(self) -> Lake:
        """Open the lake."""
        if self.catalog is None or self.data is None:
            return Lake.open(self.root)
        return Lake(Path(self.root), self.catalog, self.data)


class Lake:
    """One lake. Open it with `Lake.open`, make it with `Lake.create`."""

    def __init__(self, root: Path, catalog: str | None = None, data: str | None = None) -> None:
        self.root = root
        self.catalog_url, self.data_url = catalog, data
        self.catalog: Catalog = open_catalog(root, catalog)
        self.data: Folder = LocalFolder(root) if data is None else open_folder(data)
        self.tables: Folder = self.data.below("tables")
        self.images = ImageStore(self.data.below("pixels"))
        self._writer: duckdb.DuckDBPyConnection | None = None
        self._readers: dict[int | None, duckdb.DuckDBPyConnection] = {}
        # Snapshot, experiments that are stale in it, and where their rows lie.
        self._stale: tuple[int, tuple[str, ...] | None, dict[str, str]] = (-1, None, {})

    @classmethod
    def create(
        cls, root: Path | str, *, catalog: str | None = None, data: str | None = None
    ) -> Lake:
        """Make a lake in an empty or new folder, or open the one that is there.

        ``catalog`` is ``postgresql://USER@HOST:PORT/DATABASE?schema=SCHEMA``, ``data`` is
        ``s3://BUCKET/PREFIX`` or a mounted folder: then the folder is a handle of this computer on
        a lake that many share, and of an existing one where catalogue and data hold one. Raises
        `SettingsError` for an address that cannot be meant, `LakeError` for what is not a lake.
        """
        folder = Path(root).expanduser().resolve()
        if data is not None:
            data = open_folder(data if "://" in data else Path(data).expanduser().resolve()).url
        if (folder / "lake.json").exists():
            lake = cls.open(folder)
            if (catalog, data) not in ((None, None), (lake.catalog_url, lake.data_url)):
                raise LakeError(
                    f"{folder} is the handle of another lake ({lake.where}): name a new folder"
                )
            return lake
        # A lake whose making was interrupted has parts but no lake.json yet: it is finished here.
        found = folder.iterdir() if folder.exists() else ()
        if any(path.name.partition(".sqlite")[0] not in _PARTS for path in found):
            raise LakeError(f"{folder} is not empty and not a lake: name a new folder")
        if catalog is not None and data is None:
            raise SettingsError(
                "a catalogue on PostgreSQL is for many computers: say with --data where the data "
                "lie that all of them reach (s3://BUCKET/PREFIX, or a mounted folder)"
            )
        lake = cls(folder, catalog, data)
        lake._make()
        return lake

    def _make(self) -> None:
        for part in _FOLDERS:
            with _disk(self.root):
                (self.root / part).mkdir(parents=True, exist_ok=True)
        self.follow()
        about: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "lake_id": uuid.uuid4().hex,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "nanolake_version": __version__,
        }
        if self.data_url is not None:  # whoever came first has named the lake for all
            self.data.create("lake.json", json.dumps(about, indent=2).encode() + b"\n")
            about = _about(self.data.read("lake.json"), self.data.where("lake.json"))
            about |= {"catalog": self.catalog_url, "data": self.data_url}
        LocalFolder(self.root).write("lake.json", json.dumps(about, indent=2).encode() + b"\n")

    @classmethod
    def open(cls, root: Path | str) -> Lake:
        """Open a lake; raise `LakeNotFoundError` or, for another format, `LakeError`."""
        folder = Path(root).expanduser().resolve()
        try:
            text = (folder / "lake.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise LakeNotFoundError(
                f"there is no lake at {folder}: make one with `nanolake init {root}`"
            ) from None
        about = _about(text, str(folder / "lake.json"))
        return cls(folder, about.get("catalog"), about.get("data"))

    @property
    def where(self) -> str:
        """Where the lake lies, in words for a person; it never holds a password."""
        if self.catalog_url is None and self.data_url is None:
            return str(self.root)
        return f"{self.catalog_url or self.root} and {self.data.where('')}"

    @property
    def address(self) -> Address:
        """What workers are handed to open this lake."""
        return Address(root=str(self.root), catalog=self.catalog_url, data=self.data_url)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of work units."""
        return self.catalog.ledger()

    @cached_property
    def _seals(self) -> Seals:
        return Seals(self.ledger)

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps the lake's models and grouping runs."""
        return self.catalog.tracking_uri

    @property
    def artifacts(self) -> str | None:
        """Where MLflow keeps the files of its runs; None: beside its SQLite file."""
        return None if self.data_url is None else self.data.below("models/mlartifacts").url

    def registry(self, experiment: str) -> ModelRegistry:
        """Open the lake's MLflow at one of its experiments. Takes seconds the first time."""
        from nanolake.storage.models import ModelRegistry

        return ModelRegistry(self.tracking_uri, experiment=experiment, artifacts=self.artifacts)

    @contextmanager
    def connect(self, at: At | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a read-only DuckDB connection: all tables and views, nothing outside the lake.

        ``at`` shows the lake as it was then, with the tables and views that it had; the ledger has
        no history and is always of now. Raises `QueryError` for a moment that is not kept.
        """
        connection = self._open_reader(at).cursor()
        try:
            for name in BESIDE:
                connection.execute(f"CREATE TEMP VIEW {name} AS FROM ledger.{name}")
            connection.execute("USE lake")
            yield connection
        finally:
            connection.close()

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | Sequence[Any] = (),
        *,
        at: At | None = None,
    ) -> pa.Table:
        """Answer one SELECT as an Arrow table; raise `QueryError` for anything else.

        ``parameters`` fill ``?`` or ``$name`` in the text; ``at`` asks the lake as it was then.
        """
        import duckdb

        reached = bool(self._readers)
        for wait_s in (*(_ASK_AGAIN_S if reached else ()), None):
            try:
                with self.connect(at) as connection:
                    require_question(connection, sql)
                    self.take_ready_made(connection, sql)
                    return connection.execute(sql, parameters or None).to_arrow_table()
            except (duckdb.Error, StoreError) as error:
                # DuckDB's internal errors so far were races of its threads: gone the next time.
                passing = isinstance(error, StoreError | duckdb.InternalException)
                if not passing and not _line_is_lost(error):
                    raise QueryError(f"{error}".strip()) from None
                self._close_readers()
                if wait_s is None:
                    raise StoreError(f"{self.where} does not answer: {error}".strip()) from None
            time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def stream(
        self,
        sql: str,
        parameters: Mapping[str, Any] | Sequence[Any] = (),
        *,
        at: At | None = None,
        batch_rows: int = STREAM_ROWS,
    ) -> Iterator[Answer]:
        """Answer one SELECT as batches of rows, none of which is computed before it is asked for.

        As `query`, but the memory it takes does not grow with the answer. The answer ends with the
        ``with`` block. Raises `QueryError`, also from between two batches.
        """
        import duckdb

        with self.connect(at) as connection:
            try:
                require_question(connection, sql)
                self.take_ready_made(connection, sql)
                reader = connection.execute(sql, parameters or None).to_arrow_reader(batch_rows)
            except duckdb.Error as error:
                raise QueryError(f"{error}".strip()) from None
            yield Answer(reader)

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
        self,
        tables: Mapping[str, Any],
        *,
        message: str,
        unit_keys: Sequence[str] = (),
        origin: Origin = _UNSAID,
    ) -> int | None:
        """Append rows to many tables in one transaction; return the snapshot's id.

        ``tables`` maps a table's name to anything `contracts.conform` takes. The units' keys go
        into the commit's extra information, where `recover` finds them after a crash, and so does
        ``origin``. A unit must
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
        # A unit that was claimed before may be landing in another process at this moment, so it
        # waits until it is alone. Otherwise writers may commit beside one another, where they can.
        attempts = self.ledger.attempts(unit_keys) if unit_keys else {}
        again = any(attempt > 1 for attempt in attempts.values())
        self._require_followed()
        token = uuid.uuid4().hex
        for wait_s in (*_TRY_AGAIN_S, None):
            try:
                with self.catalog.lock(shared=not again):
                    snapshot = self._land(ready, message, unit_keys, origin, token, again=again)
                break
            except (duckdb.Error, StoreError) as error:
                self.close()  # whatever state it is in, the next commit begins anew
                text = f"nothing was written to {self.where}: {error}"
                if wait_s is None or disk_is_full(error):
                    raise StoreError(text) from error
                if not _may_pass(error):
                    raise LakeError(text) from error
            again = True  # writers that were quicker are kept out; a commit may have landed
            time.sleep(wait_s)
        if snapshot is not None:
            with suppress(*_UNSEALED):
                self._seals.add(self.tables, self.data_files(snapshot))
        return snapshot

    def _land(
        self,
        ready: Mapping[str, pa.Table],
        message: str,
        unit_keys: Sequence[str],
        origin: Origin,
        token: str,
        *,
        again: bool,
    ) -> int | None:
        """Commit under the lock what is still this process's to commit."""
        if again and (snapshot := self._landed(token)) is not None:
            return snapshot
        keys = self._still_mine(unit_keys)
        if lost := set(unit_keys) - set(keys):
            ready = {name: _without(rows, lost) for name, rows in ready.items()}
            ready = {name: rows for name, rows in ready.items() if rows.num_rows}
        if not ready and not keys:
            return None
        return _append(self._open_writer(), ready, message, keys, origin, token)

    def fill(self, tables: Mapping[str, Iterator[pa.Table]], *, message: str) -> int:
        """Append rows that come in batches to many tables, all in one transaction.

        Each batch must have passed `contracts.conform`. No unit of work is guarded: this is for a
        lake that nobody else writes to yet. Returns the snapshot; raises `LakeError` as `commit`.
        """
        import duckdb

        self._require_followed()
        readers = {name: as_reader(arrow_schema(name), rows) for name, rows in tables.items()}
        with self.catalog.lock():
            try:
                return _append(self._open_writer(), readers, message, ())
            except (duckdb.Error, NanolakeError) as error:
                self.close()
                raise LakeError(f"nothing was written to {self.where}: {error}") from error

    def give_back(self, keys: Iterable[str]) -> None:
        """Let go of units that this process claimed and did not finish.

        A commit may have landed although it seemed to fail (the answer was lost, or Ctrl-C came at
        that moment): its units are done. Where the catalogue cannot be asked, the claims stay, and
        `recover` settles them when this process is gone or its lease has run out.
        """
        mine = set(keys)
        if not mine:
            return
        with suppress(LakeError, QueryError), self.catalog.lock():
            landed = self._committed(mine)
            for key, snapshot in landed.items():
                self.ledger.finish({key: 0.0}, snapshot)
            self.ledger.release(mine - set(landed))

    @contextmanager
    def rewrite(
        self, message: str, origin: Origin = _UNSAID
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give the writing connection in one transaction under the lake's lock, for derived tables.

        Rows that are made from others may be deleted and written again, and views made anew; rows
        of the sources only ever come in through `commit`. All or nothing of it lands; raises
        `LakeError` where the transaction failed.
        """
        import duckdb

        self._require_followed()
        with self.catalog.lock():
            writer = self._open_writer()
            try:
                writer.execute("BEGIN")
                yield writer
                _describe_commit(writer, message, origin.info())
                writer.execute("COMMIT")
            except BaseException as error:
                self.close()  # whatever state it is in, the next transaction begins anew
                if isinstance(error, duckdb.Error):
                    raise LakeError(f"nothing was written to {self.where}: {error}") from error
                raise
        with suppress(*_UNSEALED):
            self.seal()

    def follow(self) -> None:
        """Make tables and views those of this package before asking: the lake may be older."""
        # Loading the extensions takes longer than a commit: others need not wait for it.
        loaded = None if self._writer else self._connection()
        with self.catalog.lock():
            self._open_writer(loaded)
        with suppress(*_UNSEALED):
            self.seal()

    def data_files(self, snapshot: int | None = None) -> list[DataFile]:
        """Return the Parquet files that the catalogue names, or those that a snapshot brought."""
        with self.catalog.session() as session:
            found = listed(session, snapshot or 0)
        return [file for file in found if snapshot is None or file.snapshot_id == snapshot]

    def hashes(self) -> dict[str, Mapping[str, Any]]:
        """Return the rows of ``data_file`` by path, as the ledger's database has them now."""
        return {path: dict(row) for path, row in self._seals.known().items()}

    def seal(self) -> tuple[int, int]:
        """Hash the Parquet files that have no hash yet, and forget those that are gone.

        Returns (hashed, forgotten). A commit seals its own files; this finds what a crash or
        another program left, and what a merge of files has made.
        """
        known = self._seals.known()  # before the catalogue is asked: others commit meanwhile
        files = {file.path: file for file in self.data_files()}
        new = [file for path, file in files.items() if path not in known]
        return self._seals.add(self.tables, new), self._seals.drop(known.keys() - files.keys())

    @contextmanager
    def alone(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give the writing connection while every other writer is kept out: for maintenance.

        Raises `LakeError` for what DuckDB or DuckLake refuses.
        """
        import duckdb

        with self.catalog.lock():
            try:
                yield self._open_writer()
            except duckdb.Error as error:
                self.close()
                raise LakeError(f"{self.where} could not be maintained: {error}") from error

    def recover(self) -> tuple[int, int]:
        """Settle what dead processes left claimed; return (found committed, given back)."""
        if not self.ledger.abandoned():
            return 0, 0
        with self.catalog.lock():  # a slow owner either has committed, or will find its claim gone
            claimed = self.ledger.abandoned()
            committed = self._committed(set(claimed))
            self.ledger.settle(claimed, committed)
        return len(committed), len(claimed) - len(committed)

    def close(self) -> None:
        """Close the connections, if any; the lake may be used again afterwards."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._close_readers()

    def _close_readers(self) -> None:
        for connection in self._readers.values():
            connection.close()
        self._readers = {}

    def _still_mine(self, keys: Sequence[str]) -> list[str]:
        """Return which units this process still holds and nobody has committed."""
        if not keys:
            return []
        attempts = self.ledger.attempts(keys)
        again = {key for key, attempt in attempts.items() if attempt > 1}
        committed = self._committed(again) if again else {}
        return [key for key in keys if key in attempts and key not in committed]

    def _landed(self, token: str) -> int | None:
        """Return the snapshot that a commit of this name has made, if any."""
        rows = self.query(
            "SELECT snapshot_id FROM lake.snapshots() WHERE contains(commit_extra_info, $token)",
            {"token": token},
        ).to_pylist()
        return rows[0]["snapshot_id"] if rows else None

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

    def _open_reader(self, at: At | None = None) -> duckdb.DuckDBPyConnection:
        """Attach lake and ledger once: loading the extensions takes ten times a query's time."""
        number = None if at is None else find_snapshot(self._open_reader(), at)
        if number in self._readers:
            return self._readers[number]
        _ = self.ledger  # it must be there before it is attached
        reader = self._connection()
        moment = {} if number is None else {"SNAPSHOT_VERSION": str(number)}
        self._attach(reader, {"READ_ONLY": "", **moment})
        if number is None:
            self._refuse_newer(reader)
        self._attach_ledger(reader)
        reader.execute("SET GLOBAL TimeZone = 'UTC'")
        reader.execute(f"SET allowed_directories = ['{quoted(self._tables_path)}']")
        listed = ", ".join(f"'{quoted(path)}'" for path in self.catalog.paths)
        reader.execute(f"SET allowed_paths = [{listed}]")
        reader.execute("SET enable_external_access = false")
        reader.execute("SET lock_configuration = true")
        self._readers[number] = reader
        return reader

    def _refuse_newer(self, reader: duckdb.DuckDBPyConnection) -> None:
        try:
            definitions.refuse_newer(reader, self.catalog.metadata)
        except NanolakeError:
            reader.close()
            raise

    def _require_followed(self) -> None:
        """Let the lake follow the package before a first commit: that needs the lock alone."""
        if self._writer is None:
            self.follow()

    def _open_writer(
        self, loaded: duckdb.DuckDBPyConnection | None = None
    ) -> duckdb.DuckDBPyConnection:
        """Attach the lake for writing, under the lock; a lake older than the package follows it."""
        import duckdb

        if self._writer is None:
            writer = loaded or self._connection()
            # Inlined rows would live in the catalogue, out of reach of plain Parquet readers.
            self._attach(writer, {"DATA_INLINING_ROW_LIMIT": "0"})
            writer.execute("USE lake")
            for name, value in _RETRY.items():
                writer.execute(f"SET {name} = {value}")
            try:
                definitions.follow(writer, self.catalog.metadata)
            except duckdb.Error as error:
                raise self._unattached(error) from error
            self._writer = writer
        return self._writer

    @property
    def _tables_path(self) -> str:
        return self.tables.where("").rstrip("/") + "/"

    def _connection(self) -> duckdb.DuckDBPyConnection:
        s3 = self.data if isinstance(self.data, S3Folder) else None
        connection = _connection((*self.catalog.extensions, *(("httpfs",) if s3 else ())))
        if s3:
            # On loading it takes the keys of the environment into settings, which may be asked.
            for name in ("s3_access_key_id", "s3_secret_access_key", "s3_session_token"):
                connection.execute(f"SET GLOBAL {name} = ''")
            for name, value in _HTTP_RETRY.items():
                connection.execute(f"SET {name} = {value}")
            statement = s3.duckdb_secret(_SECRET)
            try:
                connection.execute(statement)
            except Exception:  # its text would hold the secret key
                raise LakeError(
                    f"DuckDB does not take the credentials for {s3.where('')}"
                ) from None
        return connection

    def _attach(self, connection: duckdb.DuckDBPyConnection, options: dict[str, str]) -> None:
        import duckdb

        options = {"DATA_PATH": f"'{quoted(self._tables_path)}'", **options}
        try:
            connection.execute(self.catalog.attach_lake(options))
        except duckdb.Error as error:
            connection.close()
            raise self._unattached(error) from None

    def _attach_ledger(self, connection: duckdb.DuckDBPyConnection) -> None:
        import duckdb

        try:
            connection.execute(self.catalog.attach_ledger())
        except duckdb.Error as error:
            connection.close()
            raise self._unattached(error) from None

    def _unattached(self, error: Exception) -> NanolakeError:
        text = str(error)
        if _line_is_lost(error):
            return StoreError(f"the lake at {self.where} cannot be opened: {text}")
        if "snapshot" in text.lower() and ("version" in text or "timestamp" in text.lower()):
            return QueryError(f"the lake has no such moment: {text}")
        return LakeError(f"the lake at {self.where} cannot be opened: {text}")


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


def _connection(extensions: Sequence[str]) -> duckdb.DuckDBPyConnection:
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
    hold_to_memory(connection)
    for name in extensions:
        connection.execute(f"LOAD '{extension_path(name)}'")
    return connection


def _may_pass(error: Exception) -> bool:
    """Whether what failed may go well once more: another writer was quicker, or a line was lost."""
    import duckdb

    return isinstance(error, StoreError | duckdb.TransactionException | duckdb.IOException)


def _line_is_lost(error: Exception) -> bool:
    """Whether the place could not be reached, or went away in the middle of an answer."""
    import duckdb

    if isinstance(error, duckdb.HTTPException):
        return getattr(error, "status_code", 0) >= 500  # not all of them have one
    text = str(error).lower()
    lost = isinstance(error, duckdb.IOException) and "connect" in text
    return lost or "disk i/o error" in text  # SQLite's, of a full or failing disk


def _about(text: bytes, where: str) -> dict[str, Any]:
    """Read a ``lake.json``; raise `LakeError` where it is damaged or of another format."""
    try:
        about: dict[str, Any] = json.loads(text)
        version = about["format_version"]
    except (ValueError, KeyError, TypeError):
        raise LakeError(f"{where} is damaged: no format_version in it") from None
    if version not in _READABLE_FORMATS:
        raise LakeError(
            f"the lake at {where.removesuffix('/lake.json')} has format {version}, this nanolake "
            f"({__version__}) reads format {FORMAT_VERSION}: install the nanolake that wrote it"
        )
    return about


@contextmanager
def _disk(root: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise LakeError(f"{root} cannot be made: {error.strerror}: name another folder") from None


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
    tables: Mapping[str, pa.Table | pa.RecordBatchReader],
    message: str,
    unit_keys: Sequence[str],
    origin: Origin = _UNSAID,
    token: str = "",
) -> int:
    import duckdb

    counts = {}
    connection.execute("BEGIN")
    try:
        for name, rows in tables.items():
            connection.register("incoming", rows)
            done = connection.execute(f'INSERT INTO "{name}" BY NAME SELECT * FROM incoming')
            counts[name] = int((done.fetchone() or (0,))[0])
            connection.unregister("incoming")
        _describe_commit(
            connection, message, origin.info(rows=counts, units=unit_keys, token=token)
        )
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a COMMIT that failed has rolled back already
            connection.execute("ROLLBACK")
        raise
    # This connection's own: another writer's may be newer by now.
    row = connection.execute("FROM lake.last_committed_snapshot()").fetchone()
    assert row is not None, "a lake that was just committed to has a snapshot"
    return int(row[0])


def _describe_commit(connection: duckdb.DuckDBPyConnection, message: str, info: str) -> None:
    connection.execute(
        "CALL lake.set_commit_message($author, $message, extra_info => $info)",
        {"author": author(), "message": message, "info": info},
    )
