"""DuckDB's connections to a lake: with which extensions, credentials and limits they are opened.

Loading the extensions takes ten times a question's time, so a lake keeps its connections: one that
writes, and one that reads for each moment that was asked.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nanolake.errors import LakeError, NanolakeError, QueryError, StoreError
from nanolake.storage import definitions
from nanolake.storage.catalogs import Catalog, quoted
from nanolake.storage.extensions import new_connection
from nanolake.storage.folders import Folder, S3Folder
from nanolake.storage.ledger import Ledger
from nanolake.storage.moments import At, find_snapshot

if TYPE_CHECKING:
    import duckdb

_RETRY = {
    "ducklake_max_retry_count": 100,
    "ducklake_retry_wait_ms": 5,
    "ducklake_retry_backoff": 1.05,
}
"""DuckLake's own, 100 ms and a factor of 1.5, let one of eight writers wait for 15 s."""
_HTTP_RETRY = {"http_retries": 6, "http_retry_wait_ms": 200, "http_retry_backoff": 2}
_SECRET = "nanolake_data"


class Connections:
    """The connections of one lake; they are opened when they are first asked for."""

    def __init__(
        self, catalog: Catalog, data: Folder, ledger: Callable[[], Ledger], where: str
    ) -> None:
        self._catalog = catalog
        self._data = data
        self._tables_path = data.below("tables").where("").rstrip("/") + "/"
        self._ledger = ledger
        self._where = where
        self._writer: duckdb.DuckDBPyConnection | None = None
        self._readers: dict[int | None, duckdb.DuckDBPyConnection] = {}
        self._lent: set[int] = set()
        """Cursors given out: each keeps its reader's files open, also past `close`."""
        if catalog.paths:
            _IN_FOLDERS.add(self)

    @property
    def has_readers(self) -> bool:
        """Whether a reader is open: the places it reads from have been reached."""
        return bool(self._readers)

    @property
    def is_open(self) -> bool:
        """Whether any file of the catalogue may be open."""
        return bool(self._writer or self._readers or self._lent)

    @property
    def has_writer(self) -> bool:
        """Whether the writer is open: the lake follows this package."""
        return self._writer is not None

    def reader(self, at: At | None = None) -> duckdb.DuckDBPyConnection:
        """Return a connection that sees the lake, of now or ``at`` a moment, and nothing else.

        Raises `QueryError` for a moment that is not kept, `LakeError` for a lake that cannot be
        opened or is newer than this package, `StoreError` where it cannot be reached.
        """
        self._refuse_after_fork()
        number = None if at is None else find_snapshot(self.reader(), at)
        if number in self._readers:
            return self._readers[number]
        self._ledger()  # it must be there before it is attached
        reader = self.load()
        moment = {} if number is None else {"SNAPSHOT_VERSION": str(number)}
        self._attach(reader, self._catalog.attach_lake(self._options("READ_ONLY", **moment)))
        if number is None:
            with self._closed_on_error(reader):
                definitions.refuse_newer(reader, self._catalog.metadata)
        for statement in self._catalog.attach_ledger():
            self._attach(reader, statement)
        reader.execute("SET GLOBAL TimeZone = 'UTC'")
        reader.execute(f"SET allowed_directories = ['{quoted(self._tables_path)}']")
        listed = ", ".join(f"'{quoted(path)}'" for path in self._catalog.paths)
        reader.execute(f"SET allowed_paths = [{listed}]")
        reader.execute("SET enable_external_access = false")
        reader.execute("SET lock_configuration = true")
        self._readers[number] = reader
        return reader

    @contextmanager
    def cursor(self, at: At | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a cursor of `reader`; raise as it does."""
        cursor = self.reader(at).cursor()
        self._lent.add(id(cursor))
        try:
            yield cursor
        finally:
            self._lent.discard(id(cursor))
            cursor.close()

    def writer(self) -> duckdb.DuckDBPyConnection:
        """Return the connection that writes; a lake older than this package follows it.

        The caller holds the lake's lock, and where there is no writer yet holds it alone. Raises
        `LakeError` where the lake cannot be opened or does not fit this package, `StoreError` where
        it cannot be reached.
        """
        self._refuse_after_fork()
        if self._writer is None:
            writer = self.load()
            self._attach_for_writing(writer)
            with self._closed_on_error(writer):
                definitions.follow(writer, self._catalog.metadata)
            self._writer = writer
        return self._writer

    def adopt(self, loaded: duckdb.DuckDBPyConnection) -> bool:
        """Make a connection of `load` the one that writes, if the lake follows this package.

        Returns whether it does; else the connection is closed. Nothing in the lake is changed, so
        the lake's lock may be shared. Raises as `writer`.
        """
        self._attach_for_writing(loaded, CREATE_IF_NOT_EXISTS="false")
        with self._closed_on_error(loaded):
            followed = definitions.is_followed(loaded, self._catalog.metadata)
        if followed:
            self._writer = loaded
        else:
            loaded.close()
        return followed

    def load(self) -> duckdb.DuckDBPyConnection:
        """Return a new connection with extensions and credentials, to nothing yet."""
        self._refuse_after_fork()
        s3 = self._data if isinstance(self._data, S3Folder) else None
        connection = new_connection((*self._catalog.extensions, *(("httpfs",) if s3 else ())))
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

    def close(self) -> None:
        """Close all of them; they may be asked for again."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self.close_readers()

    def close_readers(self) -> None:
        """Close those that read."""
        for connection in self._readers.values():
            connection.close()
        self._readers = {}

    def _refuse_after_fork(self) -> None:
        """Refuse the child of a fork whose parent had a lake of a folder open.

        Of DuckDB's SQLite library the child has the notes of the parent's locks, and not the locks:
        it would use a catalogue without any, and another process could take the journal from under
        it (decision 19).
        """
        if self._catalog.paths and _forked_from_an_open_lake:
            raise LakeError(
                f"{self._where}: this process was forked from one that had a lake open: start "
                "processes with multiprocessing's 'spawn', or close the lake before"
            )

    def _options(self, *words: str, **values: str) -> dict[str, str]:
        path = {"DATA_PATH": f"'{quoted(self._tables_path)}'"}
        return path | dict.fromkeys(words, "") | values

    def _attach_for_writing(self, writer: duckdb.DuckDBPyConnection, **more: str) -> None:
        # Inlined rows would live in the catalogue, out of reach of plain Parquet readers.
        options = self._options(DATA_INLINING_ROW_LIMIT="0", **more)
        self._attach(writer, self._catalog.attach_lake(options))
        writer.execute("USE lake")
        for name, value in _RETRY.items():
            writer.execute(f"SET {name} = {value}")

    def _attach(self, connection: duckdb.DuckDBPyConnection, statement: str) -> None:
        with self._closed_on_error(connection):
            connection.execute(statement)

    @contextmanager
    def _closed_on_error(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            connection.close()
            raise self._unattached(error) from None
        except NanolakeError:
            connection.close()
            raise

    def _unattached(self, error: Exception) -> NanolakeError:
        text = f"the lake at {self._where} cannot be opened: {error}"
        if line_is_lost(error):
            return StoreError(text)
        said = str(error)
        if "snapshot" in said.lower() and ("version" in said or "timestamp" in said.lower()):
            return QueryError(f"the lake has no such moment: {error}")
        return LakeError(text)


_IN_FOLDERS: weakref.WeakSet[Connections] = weakref.WeakSet()
_forked_from_an_open_lake = False


def _note_fork() -> None:
    global _forked_from_an_open_lake
    _forked_from_an_open_lake = any(one.is_open for one in _IN_FOLDERS)


os.register_at_fork(after_in_child=_note_fork)


def line_is_lost(error: Exception) -> bool:
    """Whether the place could not be reached, or went away in the middle of an answer."""
    import duckdb

    if isinstance(error, duckdb.HTTPException):
        return getattr(error, "status_code", 0) >= 500  # not all of them have one
    text = str(error).lower()
    lost = isinstance(error, duckdb.IOException) and "connect" in text
    return lost or "disk i/o error" in text  # SQLite's, of a full or failing disk
