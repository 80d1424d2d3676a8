"""What is wrong with a stored picture: its pixels, and every word of what describes them.

Decoding alone does not read all of it: a flipped byte in the scale, or in the name of a dimension,
leaves the pixels as they were. So the descriptions are compared with what is written today for a
picture of this shape, type and scale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nanolake.errors import LakeError
from nanolake.storage.folders import Folder
from nanolake.storage.images import (
    OME_VERSION,
    SHARD,
    ImageStore,
    array_sha256,
    create_array,
    group_json,
    label_multiscales,
    multiscales,
    read_array,
)

Problem = tuple[str, str]
"""The file, relative to the store's root, and what is wrong with it."""
_FILES = ("zarr.json", "0/zarr.json", SHARD)


def image_problems(
    store: ImageStore,
    path: str,
    *,
    sha256: str,
    shape: tuple[int, int],
    dtypes: Iterable[str],
    pixel_sizes_nm: Iterable[tuple[float, float] | None],
) -> list[Problem]:
    """Read a picture or label image back and return what is wrong with it, file by file.

    ``dtypes`` are the types that it may have, ``pixel_sizes_nm`` the sizes of a pixel, each (y, x)
    or None for unknown, one of which its metadata give.
    Pixels are not decoded where their description is wrong: it says how much memory they take.
    """
    folders, _, name = path.rpartition("/")
    about = label_multiscales if folders.endswith("/labels") else multiscales
    with store.folder.fetched(path) as folder:
        missing = [file for file in _FILES if not (folder / file).is_file()]
        if missing:
            return [(f"{path}/{file}", "missing") for file in missing]
        problems = []
        groups = [_parsed(group_json(about(name, size))) for size in pixel_sizes_nm]
        if text := _unlike(folder / "zarr.json", groups):
            problems.append((f"{path}/zarr.json", text))
        wanted = [_array_json(shape, dtype, fill) for dtype in dtypes for fill in (0, 1)]
        if text := _unlike(folder / "0/zarr.json", wanted):
            return [*problems, (f"{path}/0/zarr.json", text)]
        try:
            pixels = read_array(folder, path)
        except LakeError as error:
            return [*problems, (f"{path}/{SHARD}", f"cannot be decoded ({error.__cause__})")]
        if array_sha256(pixels) != sha256:
            return [*problems, (f"{path}/{SHARD}", "its pixels are not those that were stored")]
        fill = _parsed((folder / "0/zarr.json").read_bytes())["fill_value"]
        if fill != (0 if pixels.any() else 1):
            problems.append((f"{path}/0/zarr.json", "damaged: other fill_value than was written"))
        return problems


def missing_files(store: ImageStore, path: str) -> list[Problem]:
    """Return what of a picture is not there or empty; nothing is read."""
    problems = []
    for file in _FILES:
        try:
            if not store.folder.size_bytes(f"{path}/{file}"):
                problems.append((f"{path}/{file}", "empty"))
        except FileNotFoundError:
            problems.append((f"{path}/{file}", "missing"))
    return problems


def root_problems(folder: Folder, path: str) -> list[Problem]:
    """Return what is wrong with the group that holds an experiment's pictures."""
    file = f"{path}/zarr.json"
    return _group_problems(folder, file, lambda found: found == _parsed(group_json(None)))


def label_list_problems(folder: Folder, path: str, runs: Iterable[str]) -> list[Problem]:
    """Return what is wrong with a picture's list of label images, which holds all of ``runs``.

    It may hold more: label images whose rows never landed, or that a lake has left behind.
    """
    wanted = set(runs)

    def fits(found: Any) -> bool:
        listed = found["attributes"]["ome"]["labels"]
        whole = _parsed(group_json({"version": OME_VERSION, "labels": listed}))
        return bool(wanted <= set(listed)) and found == whole

    return _group_problems(folder, f"{path}/labels/zarr.json", fits)


def _group_problems(folder: Folder, file: str, fits: Any) -> list[Problem]:
    try:
        whole = fits(_parsed(folder.read(file)))
    except FileNotFoundError:
        return [(file, "missing")]
    except (ValueError, KeyError, TypeError):
        return [(file, "damaged: no description of a group")]
    return [] if whole else [(file, "damaged: it says something else than was written")]


def _unlike(file: Path, wanted: list[dict[str, Any]]) -> str:
    """Say in what a description differs from all that it may be; nothing where it does not."""
    try:
        found = _parsed(file.read_bytes())
    except ValueError:
        return "damaged: no JSON"
    if not isinstance(found, dict):
        return "damaged: no description"
    differing = [_differing(found, one) for one in wanted]
    least = min(differing, key=len)
    return f"damaged: other {', '.join(least)} than the lake's rows say" if least else ""


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the keys that differ; empty values say nothing, and not every Zarr writes them."""
    keys = [*wanted, *(key for key in found if key not in wanted)]
    empty: tuple[Any, ...] = ({}, [], None)
    return [
        str(key)
        for key in keys
        if found.get(key) != wanted.get(key)
        and not (found.get(key) in empty and wanted.get(key) in empty and key in wanted)
    ]


def _array_json(shape: tuple[int, int], dtype: str, fill: int) -> dict[str, Any]:
    from zarr.storage import MemoryStore

    store = MemoryStore()
    array = create_array(store, shape, dtype, fill)
    found: dict[str, Any] = _parsed(json.dumps(array.metadata.to_dict(), default=_plain).encode())
    return found


def _plain(value: Any) -> Any:
    return value.to_json() if hasattr(value, "to_json") else str(value)


def _parsed(text: bytes) -> Any:
    return json.loads(text)
