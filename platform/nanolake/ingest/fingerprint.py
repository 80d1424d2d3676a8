"""Identity by content: the hash of the bytes names a file, and with a frame number a micrograph."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """SHA-256 (64 hex digits) and size of a file's bytes."""

    sha256: str
    size_bytes: int


def fingerprint(path: Path) -> Fingerprint:
    """Hash the file at ``path`` in blocks of 1 MiB; decoding it next finds it in the page cache.

    Raises `PictureError` (``missing_file``, ``unreadable``).
    """
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size_bytes += len(block)
    except FileNotFoundError:
        raise PictureError("missing_file", f"{path}: there is no such file") from None
    except OSError as error:
        raise PictureError("unreadable", f"{path}: {error.strerror or error}") from error
    return Fingerprint(sha256=digest.hexdigest(), size_bytes=size_bytes)


def micrograph_id(raw_sha256: str, frame: int) -> str:
    """Return the identity of one picture: 32 hex digits of SHA-256 of ``raw_sha256:frame``.

    The same bytes under two names are one micrograph; ``frame`` counts from 0.
    """
    return hashlib.sha256(f"{raw_sha256}:{frame}".encode()).hexdigest()[:32]


def pixel_sha256(pixels: NDArray[Any]) -> str:
    """Return the SHA-256 of a picture's dtype, shape and values (row by row, little-endian)."""
    values = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{values.dtype.str}{values.shape}".encode())
    digest.update(values.data)
    return digest.hexdigest()
