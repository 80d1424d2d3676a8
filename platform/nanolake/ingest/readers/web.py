"""PNG and JPEG: pictures without a scale; their "resolution" is a printer's, no specimen's."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.ingest.readers.protocol import check_size, refuse, to_grey, to_kept_dtype
from nanolake.ingest.settings import IngestSettings
from nanolake.records import Picture

_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})


class PngReader:
    """Reads PNG of 1 to 16 bits, grey, palette and colour."""

    name = "png"
    suffixes = frozenset({".png"})

    def sniff(self, head: bytes) -> bool:
        """The PNG signature."""
        return head.startswith(_PNG_MARK)

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield the picture."""
        import imagecodecs

        data = path.read_bytes()
        if len(data) < 33 or data[12:16] != b"IHDR":
            refuse("truncated", path, "ends inside its header")
        width, height = struct.unpack(">II", data[16:24])
        check_size(path, height, width, settings)
        if b"IEND" not in data[-64:] and b"IEND" not in data:
            refuse("truncated", path, "its end mark is missing; copy the file again")
        yield _picture(imagecodecs.png_decode(data), "png")


class JpegReader:
    """Reads JPEG."""

    name = "jpeg"
    suffixes = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})

    def sniff(self, head: bytes) -> bool:
        """Start of image, then another marker."""
        return head.startswith(b"\xff\xd8\xff")

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield the picture; a scan without its end mark is refused, not padded with grey."""
        import imagecodecs

        data = path.read_bytes()
        height, width, scan = _jpeg_header(path, data)
        check_size(path, height, width, settings)
        if data.rfind(b"\xff\xd9") < scan:
            refuse("truncated", path, "its end mark is missing; copy the file again")
        yield _picture(imagecodecs.jpeg_decode(data), "jpeg")


def _picture(pixels: NDArray[Any], reader: str) -> Picture:
    return Picture(pixels=to_kept_dtype(to_grey(np.asarray(pixels))), reader=reader)


def _jpeg_header(path: Path, data: bytes) -> tuple[int, int, int]:
    """Return height, width and the byte where the first scan begins, walking the segments."""
    at, size = 2, None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE_MARKERS:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_HEADERS and at + 9 <= len(data):
            size = struct.unpack(">HH", data[at + 5 : at + 9])
        if marker == 0xDA and size is not None:
            return int(size[0]), int(size[1]), at
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return refuse("truncated", path, "ends before its first scan; copy the file again")
