"""What may be asked of a lake: one SELECT, nothing that reaches around its read-only connection.

The connection itself is read-only and sees no file but the lake's own. This module closes what
DuckDB's settings leave open: SQLite's scanner opens any file, functions of DuckLake and DuckDB
change or write files, some of them run a text as a statement, and EXPLAIN ANALYZE of a COPY writes
one. So a function in place of a table is let pass only where it is known to be harmless.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanolake.errors import QueryError

if TYPE_CHECKING:
    import duckdb

_TABLE_FUNCTIONS = frozenset(
    [
        "current_snapshot",
        "generate_series",
        "histogram",
        "histogram_values",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "last_committed_snapshot",
        "options",
        "pg_timezone_names",
        "pragma_collations",
        "pragma_database_size",
        "pragma_platform",
        "pragma_show",
        "pragma_storage_info",
        "pragma_table_info",
        "pragma_user_agent",
        "pragma_version",
        "range",
        "repeat",
        "repeat_row",
        "settings",
        "snapshots",
        "summary",
        "table_changes",
        "table_deletions",
        "table_info",
        "table_insertions",
        "test_all_types",
        "unnest",
    ]
)
"""The only functions that may stand for a table, beside ``duckdb_…``, which tell of DuckDB."""

_SECRETS = "duckdb_secrets"
"""Tells of credentials, though not of the secret ones."""

_REFUSED = frozenset(("getenv", "nextval", "write_log"))
"""Functions of values with an effect, or that tell of the computer."""

_TEXT = r'"((?:[^"\\]|\\.)*)"'
_TABLE_FUNCTION = re.compile(rf'"type":"TABLE_FUNCTION",.*?"function_name":{_TEXT}', re.DOTALL)
_FUNCTION = re.compile(rf'"function_name":{_TEXT}')


def require_question(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Let one SELECT pass, or EXPLAIN of one: EXPLAIN ANALYZE runs what it explains."""
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"one statement at a time, please: this text holds {len(statements)}")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        explained = sql.encode()[_explained(_words(sql)) :].decode()  # places count bytes
        sql, kind = explained, connection.extract_statements(explained)[0].type
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(
            f"only questions are answered here (SELECT, FROM, EXPLAIN), not "
            f"{kind.name}: rows enter a lake through the pipeline"
        )
    _refuse_functions(connection, sql)


def _words(sql: str) -> list[tuple[int, str]]:
    """Return place and bare small-letter text of each token that is no string or number."""
    import duckdb

    places = [place for place, _ in duckdb.tokenize(sql)]
    kinds = [kind.name for _, kind in duckdb.tokenize(sql)]
    ends = [*places[1:], None]
    pattern = re.compile(r'"?([A-Za-z_]\w*|.)', re.DOTALL)
    found = []
    for place, kind, end in zip(places, kinds, ends, strict=True):
        match = pattern.match(sql.encode()[place:end].decode(errors="replace"))
        if match and kind not in ("string_const", "numeric_const"):
            found.append((place, match[1].lower()))
    return found


def _explained(words: Sequence[tuple[int, str]]) -> int:
    """Return where the statement behind EXPLAIN, ANALYZE and their options begins."""
    depth = 0
    for place, word in words:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if not depth and word not in ("explain", "analyze", "analyse", "verbose", ")"):
            return place
    return 0


def _refuse_functions(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse any function that stands for a table and is not known to be harmless.

    DuckDB's own parser says what is called: its JSON escapes the quotes within names and texts, so
    nothing that somebody wrote can look like one of its keys.
    """
    # As a literal: a bound parameter makes DuckDB import pandas, a third of a second.
    literal = "'" + sql.replace("'", "''") + "'"
    row = connection.execute(f"SELECT json_serialize_sql({literal})").fetchone()
    parsed = str(row[0]) if row else ""
    if not parsed.startswith('{"error":false'):
        raise QueryError(
            "this question cannot be checked for what it calls: write it as a plain SELECT"
        )
    for name in map(str.lower, _TABLE_FUNCTION.findall(parsed)):
        known = name in _TABLE_FUNCTIONS or name.startswith("duckdb_")
        if not known or name == _SECRETS:
            raise _refused(name)
    for name in map(str.lower, _FUNCTION.findall(parsed)):
        if name in _REFUSED:
            raise _refused(name)


def _refused(name: str) -> QueryError:
    return QueryError(f"{name} is not answered here: ask the tables and views of the lake")
