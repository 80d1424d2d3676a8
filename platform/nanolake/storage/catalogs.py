"""The two places a lake's catalogue, its ledger and its lock can lie in.

``SqliteCatalog``: files of the lake's own folder, for one computer. ``PostgresCatalog``: one schema
of a PostgreSQL database, for many computers. Everything above them is the same SQL.

A password never stands in a lake, an error or a log: PostgreSQL's own library finds it where it
always looks (``PGPASSWORD``, ``~/.pgpass``, ``PGSERVICEFILE``).
"""

from __future__ import annotations

import hashlib
import importlib.util
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from nanolake.errors import LakeError, SettingsError
from nanolake.storage.extensions import new_connection
from nanolake.storage.ledger import Ledger, PostgresDatabase
from nanolake.storage.ledger_rows import ledger_rows

if TYPE_CHECKING:
    import duckdb

LOCK_TIMEOUT_S = 300.0
_POLL_S = 0.01
"""The longer it is, the more often who has just had the file lock gets it again."""
DEFAULT_SCHEMA = "nanolake"
_METADATA = "__ducklake_metadata_lake"  # DuckLake's name for what lies behind `lake`
_QUICK_CHECK = "PRAGMA quick_check"
_STUCK = "is a run stuck? `nanolake status` names the owners of open work"


class Catalog(Protocol):
    """Where the rows' catalogue lies, and how many writers stay out of each other's way."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """DuckDB's extensions that it is reached with, DuckLake's own first."""
        ...

    @property
    def paths(self) -> tuple[str, ...]:
        """Local files that a reader must be let open."""
        ...

    @property
    def metadata(self) -> str:
        """The schema of DuckLake's own tables, where the lake is attached."""
        ...

    def attach_lake(self, options: dict[str, str]) -> str:
        """Return the statement that attaches the catalogue as ``lake``."""
        ...

    def native(self, sql: str) -> str:
        """Return what stands behind FROM for the answer of the catalogue's own database.

        It is of one moment, and quicker than DuckDB's reading of the same tables. In ``sql``
        DuckLake's tables are ``{schema}.ducklake_…``. Types may be lost: all may be texts.
        """
        ...

    def attach_ledger(self) -> Sequence[str]:
        """Return the statements, if any, that a reader needs once before `show_ledger`."""
        ...

    def show_ledger(self, reader: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
        """Let a connection ask tables that lie beside the catalogue (`BESIDE`), by their names."""
        ...

    def ledger(self) -> Ledger:
        """Open the ledger, made where there is none."""
        ...

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps its rows."""
        ...

    def has_models(self) -> bool:
        """Whether MLflow has ever been used: asking MLflow itself takes seconds."""
        ...

    def damage(self) -> list[str]:
        """Return the files of catalogue and ledger that are damaged; a server checks its own."""
        ...

    def lock(self, *, shared: bool = False) -> AbstractContextManager[None]:
        """Keep other writers out; with ``shared``, only those that asked for it alone.

        A process that dies gives its lock back. Raises `LakeError` after `LOCK_TIMEOUT_S`.
        """
        ...


@dataclass(frozen=True)
class SqliteCatalog:
    """``catalog.sqlite``, ``ledger.sqlite`` and ``.lock`` in the lake's folder.

    Each file is opened by one SQLite library alone: the catalogue by DuckDB's, the ledger by
    Python's (`nanolake.storage.ledger_rows` says why).
    """

    root: Path
    extensions = ("ducklake", "sqlite_scanner")
    metadata = _METADATA

    @property
    def paths(self) -> tuple[str, ...]:
        return (str(self.root / "catalog.sqlite"),)

    @property
    def _ledger_path(self) -> Path:
        return self.root / "ledger.sqlite"

    def attach_lake(self, options: dict[str, str]) -> str:
        """The catalogue knows the folder it was made in: a lake may have been moved since."""
        journal = {} if "READ_ONLY" in options else {"META_JOURNAL_MODE": "'WAL'"}
        more = options | {"OVERRIDE_DATA_PATH": "true"} | journal
        return f"ATTACH 'ducklake:sqlite:{quoted(self.paths[0])}' AS lake ({_words(more)})"

    def native(self, sql: str) -> str:
        return f"sqlite_query('{_METADATA}', '{quoted(sql.format(schema='main'))}')"

    def attach_ledger(self) -> Sequence[str]:
        return ()  # DuckDB must not open it: `show_ledger` hands the rows over

    def show_ledger(self, reader: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
        for name in names:
            reader.register(name, ledger_rows(self._ledger_path, name))

    def ledger(self) -> Ledger:
        return Ledger(self._ledger_path)

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root / 'models' / 'mlflow.sqlite'}"

    def has_models(self) -> bool:
        return (self.root / "models" / "mlflow.sqlite").exists()

    def damage(self) -> list[str]:
        catalogs = [path for path in self.paths if not _is_sound_to_duckdb(path)]
        sound = _is_sound_to_python(self._ledger_path)
        return catalogs if sound else [*catalogs, str(self._ledger_path)]

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """One writer at a time, ``shared`` or not: SQLite stalls for seconds under four writers."""
        from filelock import FileLock, Timeout

        path = str(self.root / ".lock")
        lock = FileLock(path, timeout=LOCK_TIMEOUT_S, poll_interval=_POLL_S)
        try:
            lock.acquire()
        except Timeout:
            raise LakeError(
                f"{self.root} has been locked by another writer for {LOCK_TIMEOUT_S:.0f} s: "
                f"{_STUCK}"
            ) from None
        except OSError as error:
            raise LakeError(f"{self.root} cannot be written to: {error.strerror}") from None
        try:
            yield
        finally:
            lock.release()


@dataclass(frozen=True)
class PostgresCatalog:
    """One schema of a database: DuckLake's tables, the ledger, and an advisory lock."""

    conninfo: str
    """What PostgreSQL's library connects with; it holds no password."""
    schema: str
    extensions = ("ducklake", "postgres_scanner")
    paths: tuple[str, ...] = ()

    @property
    def metadata(self) -> str:
        return f"{_METADATA}.{self.schema}"

    @classmethod
    def parse(cls, url: str) -> PostgresCatalog:
        """Read ``postgresql://USER@HOST:PORT/DATABASE?schema=SCHEMA``; raise `SettingsError`."""
        parts = urlsplit(url)
        if parts.password is not None or "password=" in parts.query:
            raise SettingsError(
                "the catalogue's address would be kept in the lake, so it must hold no password: "
                "set PGPASSWORD, or write the password into ~/.pgpass"
            )
        if not parts.hostname or not parts.path.strip("/"):
            raise SettingsError(
                f"{url!r} names no server and database: "
                "write postgresql://USER@HOST:PORT/DATABASE?schema=SCHEMA"
            )
        query = dict(parse_qsl(parts.query))
        schema = query.pop("schema", DEFAULT_SCHEMA)
        if not schema.isidentifier() or not schema.islower():
            raise SettingsError(f"schema {schema!r}: use small letters, digits and _")
        return cls(_conninfo(urlunsplit(parts._replace(query=urlencode(query)))), schema)

    def attach_lake(self, options: dict[str, str]) -> str:
        more = options | {"METADATA_SCHEMA": f"'{self.schema}'"}
        target = quoted(self.conninfo)
        return f"ATTACH 'ducklake:postgres:{target}' AS lake ({_words(more)})"

    def attach_ledger(self) -> Sequence[str]:
        target = quoted(self.conninfo)
        return (f"ATTACH '{target}' AS ledger (TYPE postgres, READ_ONLY, SCHEMA '{self.schema}')",)

    def native(self, sql: str) -> str:
        return f"postgres_query('{_METADATA}', '{quoted(sql.format(schema=self.schema))}')"

    def show_ledger(self, reader: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
        for name in names:
            reader.execute(f"CREATE TEMP VIEW {name} AS FROM ledger.{name}")

    def ledger(self) -> Ledger:
        return Ledger(PostgresDatabase(self.conninfo, self.schema))

    @property
    def tracking_uri(self) -> str:
        """A schema of its own: MLflow's tables have names such as ``experiments``."""
        from psycopg.conninfo import conninfo_to_dict

        given = {name: str(value) for name, value in conninfo_to_dict(self.conninfo).items()}
        user, host, port, name = (given.pop(key, "") for key in ("user", "host", "port", "dbname"))
        query = urlencode(given | {"options": f"-csearch_path={self._models_schema}"})
        who = f"{quote(user)}@" if user else ""
        where = f"{host}:{port}" if port else host
        return f"postgresql+psycopg://{who}{where}/{quote(name)}?{query}"

    def has_models(self) -> bool:
        with PostgresDatabase(self.conninfo, self._models_schema).connect() as connection:
            row = connection.execute("SELECT to_regclass('registered_models') AS name").fetchone()
        return row["name"] is not None

    @property
    def _models_schema(self) -> str:
        return f"{self.schema}_mlflow"

    def damage(self) -> list[str]:
        return []

    @contextmanager
    def lock(self, *, shared: bool = False) -> Iterator[None]:
        """Hold an advisory lock on a connection of its own: it ends with the process."""
        import psycopg

        kind = "_shared" if shared else ""
        database = PostgresDatabase(self.conninfo, self.schema)
        with database.connect(autocommit=True) as connection:
            connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S:.0f}s'")
            try:
                connection.execute(f"SELECT pg_advisory_lock{kind}(%s)", [self._lock_number])
            except psycopg.errors.LockNotAvailable:
                raise LakeError(
                    f"schema {self.schema} has been locked by another writer for "
                    f"{LOCK_TIMEOUT_S:.0f} s: {_STUCK}"
                ) from None
            yield

    @property
    def _lock_number(self) -> int:
        digest = hashlib.sha256(f"nanolake {self.schema}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def open_catalog(root: Path, url: str | None) -> Catalog:
    """Return the catalogue at a PostgreSQL address, or for None the one in the lake's folder."""
    return SqliteCatalog(root) if url is None else PostgresCatalog.parse(url)


def quoted(text: str) -> str:
    """Return a text as it stands between single quotes in SQL."""
    return text.replace("'", "''")


def _is_sound_to_duckdb(path: str) -> bool:
    import duckdb

    with closing(new_connection(("sqlite_scanner",))) as connection:
        try:
            connection.execute(f"ATTACH '{quoted(path)}' AS checked (TYPE sqlite, READ_ONLY)")
            found = connection.execute(f"FROM sqlite_query('checked', '{_QUICK_CHECK}')")
            return found.fetchone() == ("ok",)
        except duckdb.Error:
            return False


def _is_sound_to_python(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute(_QUICK_CHECK).fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


def _words(options: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}".strip() for name, value in options.items())


def _conninfo(url: str) -> str:
    if importlib.util.find_spec("psycopg") is None:
        raise LakeError("a catalogue on PostgreSQL needs psycopg: pip install 'nanolake[cluster]'")
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        values: dict[str, Any] = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise SettingsError(f"{url!r} is no address of PostgreSQL: {error}") from None
    return str(make_conninfo(**values))
