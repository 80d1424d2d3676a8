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

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nanolake.contracts import arrow_schema, conform
from nanolake.errors import (
    LakeError,
    LakeNotFoundError,
    NanolakeError,
    QueryError,
    SettingsError,
    StoreError,
)
from nanolake.storage import commits, handle
from nanolake.storage.catalogs import Catalog, open_catalog
from nanolake.storage.connections import Connections, line_is_lost
from nanolake.storage.folders import Folder, LocalFolder, disk_is_full, open_folder
from nanolake.storage.guard import require_question
from nanolake.storage.images import ImageStore
from nanolake.storage.ledger import BESIDE, Ledger
from nanolake.storage.moments import At
from nanolake.storage.origin import UNSAID, Origin
from nanolake.storage.reading import STREAM_ROWS, Answer, as_reader
from nanolake.storage.ready_made import ReadyMade
from nanolake.storage.seals import DataFile, Seals, listed

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from nanolake.storage.models import ModelRegistry

Answered = TypeVar("Answered")
_TRY_AGAIN_S = (0.0, 2.0, 8.0)
"""Waits between the tries of one commit. The first is for writers that were quicker."""
_ASK_AGAIN_S = (1.0, 4.0)
_UNSEALED = (OSError, LakeError, QueryError, sqlite3.Error)
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
        self.connections = Connections(
            self.catalog, self.data, lambda: self.ledger, where=self.where
        )
        self._ready_made = ReadyMade()

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
        if (folder / handle.FILE).exists():
            lake = cls.open(folder)
            if (catalog, data) not in ((None, None), (lake.catalog_url, lake.data_url)):
                raise LakeError(
                    f"{folder} is the handle of another lake ({lake.where}): name a new folder"
                )
            return lake
        # A lake whose making was interrupted has parts but no lake.json yet: it is finished here.
        handle.require_room(folder)
        if catalog is not None and data is None:
            raise SettingsError(
                "a catalogue on PostgreSQL is for many computers: say with --data where the data "
                "lie that all of them reach (s3://BUCKET/PREFIX, or a mounted folder)"
            )
        lake = cls(folder, catalog, data)
        lake._make()
        return lake

    def _make(self) -> None:
        handle.make_folders(self.root)
        with self.catalog.lock():
            self.connections.writer()
        self.follow()
        handle.write(self.root, self.catalog_url, self.data, self.data_url)

    @classmethod
    def open(cls, root: Path | str) -> Lake:
        """Open a lake; raise `LakeNotFoundError` or, for another format, `LakeError`."""
        folder = Path(root).expanduser().resolve()
        try:
            text = (folder / handle.FILE).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise LakeNotFoundError(
                f"there is no lake at {folder}: make one with `nanolake init {root}`"
            ) from None
        about = handle.read(text, str(folder / handle.FILE))
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
    def connect(
        self, at: At | None = None, *, beside: Sequence[str] = BESIDE
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a read-only DuckDB connection: all tables and views, nothing outside the lake.

        ``at`` shows the lake as it was then, with the tables and views that it had; the ledger has
        no history: its tables, as far as ``beside`` names them, are those of now (in a folder: of
        this moment). Raises `QueryError` for a moment that is not kept.
        """
        with self.connections.cursor(at) as connection:
            self.catalog.show_ledger(connection, beside)
            connection.execute("USE lake")
            yield connection

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

        def ask(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            require_question(connection, sql)
            self.take_ready_made(connection, sql)
            return connection.execute(sql, parameters or None).to_arrow_table()

        return self._answer(ask, at, beside=_beside(sql))

    def _answer(
        self,
        ask: Callable[[duckdb.DuckDBPyConnection], Answered],
        at: At | None = None,
        *,
        beside: Sequence[str] = (),
    ) -> Answered:
        """Ask a connection, again where it was lost; raise `QueryError` or `StoreError`."""
        import duckdb

        reached = self.connections.has_readers
        for wait_s in (*(_ASK_AGAIN_S if reached else ()), None):
            try:
                with self.connect(at, beside=beside) as connection:
                    return ask(connection)
            except (duckdb.Error, StoreError) as error:
                # DuckDB's internal errors so far were races of its threads: gone the next time.
                passing = isinstance(error, StoreError | duckdb.InternalException)
                if not passing and not line_is_lost(error):
                    raise QueryError(f"{error}".strip()) from None
                self.connections.close_readers()
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

        with self.connect(at, beside=_beside(sql)) as connection:
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
        self._ready_made.take(connection, sql)

    def commit(
        self,
        tables: Mapping[str, Any],
        *,
        message: str,
        unit_keys: Sequence[str] = (),
        origin: Origin = UNSAID,
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
        self._require_writer()
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
                if not commits.may_pass(error):
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
        if again and (snapshot := commits.find_token(self.query, token)) is not None:
            return snapshot
        keys = self._still_mine(unit_keys)
        if lost := set(unit_keys) - set(keys):
            ready = commits.without(ready, lost)
        if not ready and not keys:
            return None
        writer = self.connections.writer()
        return commits.append(writer, ready, message, unit_keys=keys, origin=origin, token=token)

    def fill(self, tables: Mapping[str, Iterator[pa.Table]], *, message: str) -> int:
        """Append rows that come in batches to many tables, all in one transaction.

        Each batch must have passed `contracts.conform`. No unit of work is guarded: this is for a
        lake that nobody else writes to yet. Returns the snapshot; raises `LakeError` as `commit`.
        """
        import duckdb

        self._require_writer()
        readers = {name: as_reader(arrow_schema(name), rows) for name, rows in tables.items()}
        with self.catalog.lock():
            try:
                return commits.append(self.connections.writer(), readers, message)
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
            landed = commits.find_units(self.query, mine)
            for key, snapshot in landed.items():
                self.ledger.finish({key: 0.0}, snapshot)
            self.ledger.release(mine - set(landed))

    @contextmanager
    def rewrite(self, message: str, origin: Origin = UNSAID) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give the writing connection in one transaction under the lake's lock, for derived tables.

        Rows that are made from others may be deleted and written again, and views made anew; rows
        of the sources only ever come in through `commit`. All or nothing of it lands; raises
        `LakeError` where the transaction failed.
        """
        import duckdb

        self._require_writer()
        with self.catalog.lock():
            writer = self.connections.writer()
            try:
                writer.execute("BEGIN")
                yield writer
                commits.describe(writer, message, origin.info())
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
        if not self.connections.has_writer and not self._adopt():
            with self.catalog.lock():
                self.connections.writer()
        with suppress(*_UNSEALED):
            self.seal()

    def _adopt(self) -> bool:
        """Open the writer beside other writers, if the lake follows this package already."""
        loaded = self.connections.load()  # takes longer than a commit: others need not wait for it
        with self.catalog.lock(shared=True):
            return self.connections.adopt(loaded)

    def data_files(self, snapshot: int | None = None) -> list[DataFile]:
        """Return the Parquet files that the catalogue names, or those that a snapshot brought."""
        found = self._answer(lambda connection: listed(connection, self.catalog, snapshot or 0))
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
                yield self.connections.writer()
            except duckdb.Error as error:
                self.close()
                raise LakeError(f"{self.where} could not be maintained: {error}") from error

    def recover(self) -> tuple[int, int]:
        """Settle what dead processes left claimed; return (found committed, given back)."""
        if not self.ledger.abandoned():
            return 0, 0
        with self.catalog.lock():  # a slow owner either has committed, or will find its claim gone
            claimed = self.ledger.abandoned()
            committed = commits.find_units(self.query, set(claimed))
            self.ledger.settle(claimed, committed)
        return len(committed), len(claimed) - len(committed)

    def close(self) -> None:
        """Close the connections, if any; the lake may be used again afterwards."""
        self.connections.close()

    def _still_mine(self, keys: Sequence[str]) -> list[str]:
        """Return which units this process still holds and nobody has committed."""
        if not keys:
            return []
        attempts = self.ledger.attempts(keys)
        again = {key for key, attempt in attempts.items() if attempt > 1}
        committed = commits.find_units(self.query, again) if again else {}
        return [key for key in keys if key in attempts and key not in committed]

    def _require_writer(self) -> None:
        if not self.connections.has_writer:
            self.follow()


_LISTINGS = ("show", "describe", "information_schema", "duckdb_", "sqlite_master", "pg_")
"""Words of questions that ask which tables there are."""


def _beside(sql: str) -> Sequence[str]:
    """Return the tables beside the catalogue that a text may ask: reading them takes time."""
    text = sql.lower()
    if any(word in text for word in _LISTINGS):
        return BESIDE
    return [name for name in BESIDE if name in text]
