"""The tag tree of Gatan DM3 and DM4 files.

Written here, and not taken from ncempy, because a lake is fed strangers' files: every count and
offset is checked against the file before it is believed, the data stay on disk until they are
asked for, and data types that ncempy refuses (packed complex) still show what they are.

A file is a header and one tree. Tag heads and type descriptions are big-endian; values are in the
byte order that the header names. DM4 differs from DM3 by 8-byte counts and a length before each
tag. Sequences (unnamed tags) become lists, groups dictionaries, arrays a `Block`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIMPLE = {
    2: "i2",
    3: "i4",
    4: "u2",
    5: "u4",
    6: "f4",
    7: "f8",
    8: "u1",
    9: "i1",
    10: "u1",
    11: "i8",
    12: "u8",
}
_STRUCT, _STRING, _ARRAY = 15, 18, 20
_MAX_DEPTH = 64
_MAX_TEXT = 65_536


class DamagedTagsError(ValueError):
    """The tree does not hold together: cut off, or not a Gatan file."""


@dataclass(frozen=True)
class Block:
    """An array left on disk: ``count`` values of ``dtype`` from byte ``offset``."""

    offset: int
    dtype: np.dtype[Any]
    count: int

    @property
    def end(self) -> int:
        """First byte after the array."""
        return self.offset + self.count * self.dtype.itemsize


def read_tags(buffer: Any) -> dict[str, Any]:
    """Return the tag tree of a DM3 or DM4 file held in ``buffer`` (bytes or mmap).

    Raises `DamagedTagsError` when a tag reaches outside the file.
    """
    return _Walk(buffer).tree()


class _Walk:
    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer
        self.at = 0
        version = self.take(">I")
        if version not in (3, 4):
            raise DamagedTagsError(f"version {version} of the format is neither 3 nor 4")
        self.word = ">I" if version == 3 else ">Q"
        self.lengths = version == 4
        self.take(self.word)
        self.order = "<" if self.take(">I") == 1 else ">"

    def tree(self) -> dict[str, Any]:
        group = self.group(0)
        return group if isinstance(group, dict) else {}

    def take(self, layout: str) -> int:
        size = struct.calcsize(layout)
        if self.at + size > len(self.buffer):
            raise DamagedTagsError(f"the tags end beyond the file, at byte {self.at}")
        value = struct.unpack_from(layout, self.buffer, self.at)[0]
        self.at += size
        return int(value)

    def skip(self, count: int) -> int:
        start = self.at
        if count < 0 or start + count > len(self.buffer):
            raise DamagedTagsError(f"{count} bytes at byte {start} lie beyond the file")
        self.at += count
        return start

    def group(self, depth: int) -> dict[str, Any] | list[Any]:
        if depth > _MAX_DEPTH:
            raise DamagedTagsError(f"groups are nested deeper than {_MAX_DEPTH}")
        self.skip(2)
        entries = [self.entry(depth) for _ in range(self.take(self.word))]
        if entries and all(name == "" for name, _ in entries):
            return [value for _, value in entries]
        return dict(entries)

    def entry(self, depth: int) -> tuple[str, Any]:
        kind = self.take(">B")
        name_length = self.take(">H")
        start = self.skip(name_length)
        name = bytes(self.buffer[start : start + name_length]).decode("latin-1")
        if self.lengths:
            self.take(">Q")
        if kind == 20:
            return name, self.group(depth + 1)
        if kind == 21:
            return name, self.value(name)
        raise DamagedTagsError(f"tag {name!r} at byte {self.at} is of the unknown kind {kind}")

    def value(self, name: str) -> Any:
        if self.buffer[self.skip(4) : self.at] != b"%%%%":
            raise DamagedTagsError(f"tag {name!r} at byte {self.at} lacks its %%%% mark")
        count = self.take(self.word)
        if count > 4096:
            raise DamagedTagsError(f"tag {name!r} has {count} type words")
        kinds = [self.take(self.word) for _ in range(count)]
        if not kinds:
            raise DamagedTagsError(f"tag {name!r} has no type")
        if kinds[0] == _STRING:
            return self.text(self.take(">I"))
        if kinds[0] != _ARRAY:
            return self.simple(self.layout(kinds))
        return self.array(name, self.layout(kinds[1:-1]), kinds[-1])

    def layout(self, kinds: list[int]) -> np.dtype[Any]:
        try:
            if kinds[0] == _STRUCT:
                codes = kinds[4 : 4 + 2 * kinds[2] : 2]
                fields = [(f"f{n}", self.order + _SIMPLE[code]) for n, code in enumerate(codes)]
                return np.dtype(fields)
            return np.dtype(self.order + _SIMPLE[kinds[0]])
        except (KeyError, IndexError):
            raise DamagedTagsError(f"type description {kinds[:8]} is not understood") from None

    def simple(self, layout: np.dtype[Any]) -> Any:
        start = self.skip(layout.itemsize)
        values: NDArray[Any] = np.frombuffer(self.buffer, layout, 1, start)
        return values[0].item()

    def array(self, name: str, layout: np.dtype[Any], count: int) -> Any:
        start = self.skip(count * layout.itemsize)
        is_text = layout == np.dtype(self.order + "u2") and name != "Data" and count <= _MAX_TEXT
        if not is_text:
            return Block(start, layout, count)
        codec = "utf-16-le" if self.order == "<" else "utf-16-be"
        return bytes(self.buffer[start : self.at]).decode(codec, errors="replace")

    def text(self, count: int) -> str:
        start = self.skip(count)
        return bytes(self.buffer[start : self.at]).decode("utf-8", errors="replace")
