"""DuckDB with the extensions of the installed wheels: no network, signatures on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nanolake.errors import LakeError
from nanolake.storage.reading import hold_to_memory

if TYPE_CHECKING:
    import duckdb


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


def new_connection(extensions: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """Return a connection in memory with extensions, which come from their wheels alone."""
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
