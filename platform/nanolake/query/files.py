"""The SQL files of views and questions, as text."""

from __future__ import annotations

from pathlib import Path

from nanolake.contracts import get_table

FOLDER = Path(__file__).parent
_NARROW = "/* particle as float32 */"


def view_statements() -> list[str]:
    """Return the CREATE VIEW statements of a lake, in the order in which they must run."""
    files = sorted((FOLDER / "views").glob("*.sql"))
    return [path.read_text(encoding="utf-8").replace(_NARROW, _narrowed()) for path in files]


def _narrowed() -> str:
    """Return the fractions of the table particle as float32, as REPLACE takes them."""
    names = [c.name for c in get_table("particle").columns if c.type == "float64"]
    return ", ".join(f"p.{name}::FLOAT AS {name}" for name in names)
