"""``lake.json``: what says that a folder is a lake, of which format, and where its parts lie."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nanolake import __version__
from nanolake.errors import LakeError
from nanolake.storage.folders import Folder, LocalFolder

FILE = "lake.json"
FORMAT_VERSION = 2
FOLDERS = ("tables", "pixels", "models", "reports")
_READABLE_FORMATS = (1, 2)
_PARTS = (*FOLDERS, "catalog", "ledger", ".lock", "lake.json.half", "definitions.sha256")


def require_room(root: Path) -> None:
    """Raise `LakeError` where a folder holds something else than parts of an unfinished lake."""
    found = root.iterdir() if root.exists() else ()
    if any(path.name.partition(".sqlite")[0] not in _PARTS for path in found):
        raise LakeError(f"{root} is not empty and not a lake: name a new folder")


def make_folders(root: Path) -> None:
    """Make a lake's folders; raise `LakeError` where that is not allowed."""
    try:
        for part in FOLDERS:
            (root / part).mkdir(parents=True, exist_ok=True)
    except PermissionError as error:
        raise LakeError(f"{root} cannot be made: {error.strerror}: name another folder") from None


def write(root: Path, catalog: str | None, data: Folder, data_url: str | None) -> None:
    """Write ``lake.json``: the last step of making a lake.

    Of a lake that many share one lies with the data; whoever came first has named it for all.
    """
    about: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "lake_id": uuid.uuid4().hex,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "nanolake_version": __version__,
    }
    if data_url is not None:
        data.create(FILE, _text(about))
        about = read(data.read(FILE), data.where(FILE)) | {"catalog": catalog, "data": data_url}
    LocalFolder(root).write(FILE, _text(about))


def read(text: bytes, where: str) -> dict[str, Any]:
    """Read a ``lake.json``; raise `LakeError` where it is damaged or of another format."""
    try:
        about: dict[str, Any] = json.loads(text)
        version = about["format_version"]
    except (ValueError, KeyError, TypeError):
        raise LakeError(f"{where} is damaged: no format_version in it") from None
    if version not in _READABLE_FORMATS:
        raise LakeError(
            f"the lake at {where.removesuffix('/' + FILE)} has format {version}, this nanolake "
            f"({__version__}) reads format {FORMAT_VERSION}: install the nanolake that wrote it"
        )
    return about


def _text(about: dict[str, Any]) -> bytes:
    return json.dumps(about, indent=2).encode() + b"\n"
