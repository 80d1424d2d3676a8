"""What may be asked of a lake: one SELECT, nothing that reaches around its read-only connection.

The connection itself is read-only and sees no file but the lake's own. This module closes what
DuckDB's settings leave open: SQLite's scanner opens any file, DuckLake's functions change files,
and EXPLAIN ANALYZE of a COPY writes one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanolake.errors import QueryError

if TYPE_CHECKING:
    import duckdb

_REFUSED = ("sqlite_scan", "sqlite_query", "sqlite_attach")
_REFUSED_CALLS = ("query", "query_table")


def require_question(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Let one SELECT pass, or EXPLAIN of one: EXPLAIN ANALYZE runs what it explains."""
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise QueryError(f"one statement at a time, please: this text holds {len(statements)}")
    kind = statements[0].type
    words = _words(sql)
    if kind == duckdb.StatementType.EXPLAIN:
        explained = sql.encode()[_explained(words) :].decode()  # places count bytes
        kind = connection.extract_statements(explained)[0].type
    if kind != duckdb.StatementType.SELECT:
        raise QueryError(
            f"only questions are answered here (SELECT, FROM, EXPLAIN), not "
            f"{kind.name}: rows enter a lake through the pipeline"
        )
    _refuse_functions([word for _, word in words])


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


def _refuse_functions(words: Sequence[str]) -> None:
    """Refuse the functions named above; ``query`` would hide a text from this check."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        called = after == "(" and word in _REFUSED_CALLS
        if called or word in _REFUSED or word.startswith("ducklake_"):
            raise QueryError(f"{word} is not answered here: ask the tables and views of the lake")
