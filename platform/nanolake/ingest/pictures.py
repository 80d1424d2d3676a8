"""From a file to its pictures: choose the reader by content, translate every failure."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from nanolake.errors import PictureError
from nanolake.ingest.readers import READERS, Reader, RosettaReader
from nanolake.ingest.readers.protocol import refuse
from nanolake.ingest.readers.rosetta import alternative
from nanolake.ingest.settings import IngestSettings
from nanolake.records import Picture

_HEAD_BYTES = 4096
_HDF5_SUFFIXES = frozenset({".hspy", ".de5", ".dens"})
_ROSETTA = RosettaReader()


def read_pictures(
    path: Path, settings: IngestSettings | None = None, *, readers: Sequence[Reader] = READERS
) -> Iterator[Picture]:
    """Yield the pictures in a file, frame 0 … n - 1, decoded as they are asked for.

    The reader is chosen by the file's first bytes; a known content under the ending of another
    known format is refused. Pixel values are not looked at here: call `check_pixels` on each
    picture, so that one bad frame does not cost the others.

    Raises `PictureError` and nothing else; its ``reason`` is a stable word (see the class).
    """
    path = Path(path)
    settings = settings or IngestSettings()
    try:
        reader = _choose(path, settings, readers)
        yield from reader.read(path, settings)
    except PictureError:
        raise
    except (EOFError, struct.error) as error:
        raise PictureError("truncated", f"{path.name}: ends too early ({error})") from error
    except MemoryError as error:
        raise PictureError("too_large", f"{path.name}: not enough memory ({error})") from error
    except Exception as error:
        # The outside edge: decoders raise whatever they like on damaged files.
        message = f"{path.name}: cannot be decoded ({type(error).__name__}: {error})"
        raise PictureError("unreadable", message) from error


def picture_suffixes(readers: Sequence[Reader] = READERS) -> frozenset[str]:
    """Return the lower-case endings of all formats that nanolake knows, with the dot."""
    return frozenset().union(*(reader.suffixes for reader in (*readers, _ROSETTA)))


def _choose(path: Path, settings: IngestSettings, readers: Sequence[Reader]) -> Reader:
    head = _head(path)
    suffix = path.suffix.lower()
    found = next((reader for reader in readers if reader.sniff(head)), None)
    if suffix in _ROSETTA.suffixes and (found is None or suffix in _HDF5_SUFFIXES):
        return _ROSETTA
    if found is None:
        _refuse_unknown(path, head, readers)
    if suffix in picture_suffixes(readers) - found.suffixes:
        right = sorted(found.suffixes)[0]
        refuse(
            "wrong_extension",
            path,
            f"its content is {found.name}, its ending is of another format; rename it to "
            f"{path.stem}{right} if the content is right",
        )
    if settings.prefer_rosettasciio and alternative(suffix):
        return _ROSETTA
    return found


def _head(path: Path) -> bytes:
    if path.is_dir():
        refuse("not_an_image", path, "is a folder")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise PictureError("missing_file", f"{path}: there is no such file") from None
    if not head:
        refuse("empty", path, "the file has no bytes; copy it again")
    return head


def _refuse_unknown(path: Path, head: bytes, readers: Sequence[Reader]) -> NoReturn:
    suffix = path.suffix.lower()
    named = next((reader for reader in readers if suffix in reader.suffixes), None)
    if named is not None and (len(head) < 8 or (named.name == "mrc" and len(head) < 1024)):
        refuse("truncated", path, f"{len(head)} bytes are less than a {named.name} header")
    known = ", ".join(sorted(picture_suffixes(readers)))
    refuse("unknown_format", path, f"its content is of no known picture format ({known})")
