"""An exported lake: a plain folder that anybody can read, and how it is checked.

``MANIFEST.sha256`` names every file with its SHA-256, as ``sha256sum -c`` takes it; its last line
is ``MANIFEST.json``, which holds the counts and the hash of all lines before.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanolake import __version__
from nanolake.errors import LakeError
from nanolake.pipeline.findings import Broken, Findings, Verified, default_workers
from nanolake.progress import Progress, silent

FORMAT = 1
MANIFEST, LIST = "MANIFEST.json", "MANIFEST.sha256"
Line = tuple[str, str]
"""SHA-256 and path of a file, the path relative to the folder and with ``/``."""
_REMEDY = "take this file from another copy of the folder, or export the lake anew"

README = """\
A lake of nanolake, exported as plain files. No nanolake is needed to read them.

tables/NAME/*.parquet   every row of every table, older versions of a row included (zstd Parquet).
                        What a column means stands in DATA_DICTIONARY.md. The newest row of a key
                        is the one that holds: see column created_at.
pixels/*.zarr           micrographs and label images, as OME-Zarr 0.5. micrograph.image_path and
                        segmentation.label_path lead there; labels count from 1, 0 is background.
ledger/*.parquet        units of work that are settled: with them an imported lake computes nothing
                        again.
models/                 classifiers and, where the lake had it on its own disk, MLflow's database.
raw/                    raw files by their SHA-256 (micrograph.raw_sha256); only where asked for.
lake.json               which lake this is a copy of.
MANIFEST.json           counts.
MANIFEST.sha256         the SHA-256 of every file:   sha256sum -c MANIFEST.sha256

With DuckDB:   SELECT * FROM 'tables/particle/*.parquet' LIMIT 5
With Python:   pandas.read_parquet("tables/particle"); zarr.open("pixels/....zarr/.../0")
With nanolake: nanolake verify FOLDER; nanolake import-lake FOLDER NEW_LAKE
"""


def is_exported(folder: Path) -> bool:
    """Whether a folder is an exported lake, whole or not."""
    return (folder / MANIFEST).is_file() or (folder / LIST).is_file()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the counts; raise `LakeError` where they are missing, damaged or of a newer format."""
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        version = int(found["format"])
    except FileNotFoundError:
        raise LakeError(
            f"{folder} is no exported lake: it has no {MANIFEST} "
            "(`nanolake export-lake` writes one)"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise LakeError(f"{folder / MANIFEST} is damaged: take another copy of it") from None
    if version > FORMAT:
        raise LakeError(
            f"{folder} has format {version}, written by nanolake {found.get('nanolake_version')}; "
            f"this nanolake ({__version__}) reads format {FORMAT}: install the newer one"
        )
    return found


def write_manifest(folder: Path, lines: Path, counts: dict[str, Any]) -> None:
    """Close a folder: ``lines`` is the list so far, which becomes the folder's own."""
    text = {"format": FORMAT, "nanolake_version": __version__} | counts
    text["list_sha256"] = file_sha256(lines)
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    with lines.open("a", encoding="utf-8") as file:
        file.write(line(file_sha256(manifest), MANIFEST))
    lines.replace(folder / LIST)


def line(sha256: str, path: str) -> str:
    """Return a line of the list."""
    return f"{sha256}  {path}\n"


def read_list(folder: Path) -> Iterator[Line]:
    """Give the files of the list but its last line, which is `MANIFEST`'s own."""
    with (folder / LIST).open(encoding="utf-8", errors="replace") as file:
        before = next(file, "")
        for text in file:
            sha256, _, path = before.rstrip("\n").partition("  ")
            yield sha256, path
            before = text


def verify_folder(
    folder: Path,
    *,
    quick: bool = False,
    workers: int | None = None,
    progress: Progress = silent,
) -> Verified:
    """Hash every file of an exported lake; ``quick`` only looks whether it is there.

    Raises `LakeError` for what is no exported lake, or of a newer format.
    """
    started = time.perf_counter()
    counts = read_manifest(folder)
    workers = workers or default_workers()
    found = Findings(progress=progress, workers=workers)
    found.add("manifest", 1, _manifest_broken(folder, counts))
    if (folder / LIST).is_file():
        found.each(
            "files",
            read_list(folder),
            int(counts["files"]),
            lambda one: _file_broken(folder, *one, quick=quick),
        )
    return Verified(
        where=str(folder),
        checks=tuple(found.checks),
        broken=tuple(found.broken),
        wall_s=time.perf_counter() - started,
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest_broken(folder: Path, counts: dict[str, Any]) -> list[Broken]:
    path = folder / LIST
    if not path.is_file():
        return [Broken(what="manifest", where=str(path), found="missing", remedy=_REMEDY)]
    *lines, last = path.read_bytes().splitlines(keepends=True) or [b""]
    found = {}
    if hashlib.sha256(b"".join(lines)).hexdigest() != counts["list_sha256"]:
        found[path] = "changed"
    sha256, _, name = last.decode(errors="replace").rstrip("\n").partition("  ")
    if name != MANIFEST:
        found[path] = "changed in its last line"
    elif sha256 != file_sha256(folder / MANIFEST):
        found[folder / MANIFEST] = f"changed, or else the last line of {path} is"
    return [
        Broken(what="manifest", where=str(where), found=text, remedy=_REMEDY)
        for where, text in found.items()
    ]


def _file_broken(folder: Path, sha256: str, path: str, *, quick: bool) -> list[Broken]:
    file = folder / path
    if not file.is_file():
        text = "missing"
    elif not quick and file_sha256(file) != sha256:
        text = "changed"
    else:
        return []
    return [Broken(what="file", where=str(file), found=text, remedy=_REMEDY)]
