"""Named views and questions, each an SQL file in this folder.

``views/NN_name.sql`` are created in every lake, in the order of their numbers;
``questions/name.sql`` are what users ask, answered by ``nanolake sql --named NAME``.
"""

from __future__ import annotations

from pathlib import Path

from nanolake.errors import QueryError

__all__ = ["question", "questions", "view_statements"]

_FOLDER = Path(__file__).parent


def view_statements() -> list[str]:
    """Return the CREATE VIEW statements of a lake, in the order in which they must run."""
    return [path.read_text(encoding="utf-8") for path in sorted((_FOLDER / "views").glob("*.sql"))]


def questions() -> dict[str, str]:
    """Return name and first comment line of every named question."""
    found = {}
    for path in sorted((_FOLDER / "questions").glob("*.sql")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        found[path.stem] = first.removeprefix("--").strip()
    return found


def question(name: str) -> str:
    """Return the SQL text of a named question; raise `QueryError` listing the known names."""
    path = _FOLDER / "questions" / f"{name}.sql"
    if not path.is_file():
        raise QueryError(f"there is no question {name!r}; known: {', '.join(questions())}")
    return path.read_text(encoding="utf-8")
