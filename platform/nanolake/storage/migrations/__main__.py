"""Write ``schemas/versions/N.txt``, the columns of the newest version of the tables."""

from __future__ import annotations

from pathlib import Path

from nanolake.contracts import schema_folder
from nanolake.errors import SchemaError
from nanolake.storage.migrations import column_lines, folder, lost_columns, newest_version


def write(versions: Path) -> None:
    """Write the file anew; raise `SchemaError` where a column needs a step that is not there."""
    path = versions / f"{newest_version()}.txt"
    known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if lost := lost_columns(known):
        raise SchemaError(
            f"{', '.join(lost)} went or changed without a migration: add "
            f"{newest_version() + 1:04d}_WHAT.sql to {folder()}"
        )
    path.write_text("\n".join(column_lines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(schema_folder().parent / "versions")
