"""SER, the data files of FEI's TIA (ES Vision), with the EMI beside them.

``NAME.emi`` describes, ``NAME_1.ser`` … hold the data: a picture is read from its SER file, which
is what the lake fingerprints, and takes the microscope's settings from the EMI where that lies
beside it. An EMI given alone is refused as ``sidecar``. SER gives lengths in metres without
naming them, and writes reciprocal metres in the same place: the EMI's imaging mode tells them
apart, and without it a "pixel" of more than a metre does.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from nanolake.ingest.readers.protocol import (
    check_bytes,
    check_real,
    check_size,
    compact,
    numbered,
    refuse,
    to_kept_dtype,
)
from nanolake.ingest.settings import IngestSettings
from nanolake.ingest.units import pixel_size
from nanolake.records import Picture

_DTYPES = dict(enumerate(("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8", "c8", "c16"), start=1))
_SPECTRA, _IMAGES = 0x4120, 0x4122
_ELEMENT = struct.Struct("<ddiddiHii")
_MAX_EMI_BYTES = 256 << 20


@dataclass(frozen=True)
class _Element:
    offset: int
    step_x_m: float
    step_y_m: float
    dtype: np.dtype[Any]
    height: int
    width: int

    @property
    def end(self) -> int:
        return self.offset + self.height * self.width * self.dtype.itemsize


class SerReader:
    """Reads the images of a SER file."""

    name = "tia"
    suffixes = frozenset({".ser"})

    def sniff(self, head: bytes) -> bool:
        """Little-endian mark and the series id 0x0197."""
        return head.startswith(b"II\x97\x01")

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield one picture an element of the series."""
        elements = _elements(path)
        for element in elements:
            check_real(path, element.dtype)
            check_size(path, element.height, element.width, settings)
            check_bytes(path, element.end)
        tags = _emi_tags(path)
        _check_mode(path, elements[0], tags)
        yield from numbered(_pictures(path, elements, tags, settings), len(elements))


class EmiReader:
    """Refuses the sidecar on its own."""

    name = "emi"
    suffixes = frozenset({".emi"})

    def sniff(self, head: bytes) -> bool:
        """The mark of TIA's own container."""
        return head.startswith(b"JK\x00\x02")

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Raise `PictureError` (``sidecar``)."""
        beside = ", ".join(other.name for other in ser_files(path))
        remedy = f"its data are in {beside}" if beside else f"put {path.stem}_1.ser beside it"
        return refuse("sidecar", path, f"holds no pixels of its own: {remedy}")


def ser_files(emi: Path) -> list[Path]:
    """Return the SER files that belong to an EMI, in the order of their numbers."""
    pattern = re.compile(re.escape(emi.stem) + r"_(\d+)\.ser", re.IGNORECASE)
    numbered_files = [
        (int(match[1]), other)
        for other in emi.parent.iterdir()
        if (match := pattern.fullmatch(other.name))
    ]
    return [other for _, other in sorted(numbered_files)]


def _elements(path: Path) -> list[_Element]:
    with path.open("rb") as file:
        version, kind = struct.unpack("<HI", _take(path, file, 4, 6))
        word = "I" if version <= 0x0210 else "Q"
        total, valid, table = struct.unpack("<II" + word, _take(path, file, 14, 8 + _size(word)))
        if kind == _SPECTRA:
            refuse("spectrum", path, "holds spectra, not a picture")
        if kind != _IMAGES:
            refuse("not_an_image", path, f"data type {kind:#x} is neither image nor spectrum")
        if not 0 < valid <= total:
            refuse("not_an_image", path, f"{valid} of {total} elements hold data")
        check_bytes(path, table + valid * _size(word))
        offsets = struct.unpack(f"<{valid}{word}", _take(path, file, table, valid * _size(word)))
        return [_element(path, file, offset) for offset in offsets]


def _element(path: Path, file: Any, offset: int) -> _Element:
    values = _ELEMENT.unpack(_take(path, file, offset, _ELEMENT.size))
    _, step_x, _, _, step_y, _, code, width, height = values
    if code not in _DTYPES or width < 0 or height < 0:
        refuse("unreadable", path, f"an element of type {code} and {width} x {height} pixels")
    dtype = np.dtype("<" + _DTYPES[code])
    return _Element(offset + _ELEMENT.size, step_x, step_y, dtype, height, width)


def _take(path: Path, file: Any, offset: int, count: int) -> bytes:
    file.seek(offset)
    data: bytes = file.read(count)
    if len(data) < count:
        refuse("truncated", path, f"ends at byte {offset + len(data)}, inside its own header")
    return data


def _size(word: str) -> int:
    return struct.calcsize("<" + word)


def _check_mode(path: Path, element: _Element, tags: dict[str, Any]) -> None:
    mode = str(tags.get("Mode", ""))
    scanned = "STEM" in mode.upper()
    if "diffraction" in mode.lower() and not scanned:
        refuse("diffraction", path, f"taken in the mode {mode.strip()!r}")
    if max(abs(element.step_x_m), abs(element.step_y_m)) > 1:
        step = element.step_x_m
        refuse("diffraction", path, f"a pixel of {step:g} m can only be in 1/m: reciprocal space")


def _pictures(
    path: Path, elements: list[_Element], tags: dict[str, Any], settings: IngestSettings
) -> Iterator[Picture]:
    metadata = _metadata(tags)
    for element in elements:
        size = pixel_size(
            y=element.step_y_m, x=element.step_x_m, unit="m", source="ser", settings=settings
        )
        yield Picture(
            pixels=_pixels(path, element), pixel_size=size, metadata=metadata, reader="tia"
        )


def _pixels(path: Path, element: _Element) -> NDArray[Any]:
    # TIA counts rows from the bottom; the first row of a picture is its top.
    count = element.height * element.width
    values = np.fromfile(path, element.dtype, count, offset=element.offset)
    return to_kept_dtype(values.reshape(element.height, element.width)[::-1])


def _emi_tags(path: Path) -> dict[str, Any]:
    """Return the settings in the EMI beside a SER file; nothing where there is none."""
    emi = path.with_name(re.sub(r"_\d+$", "", path.stem) + ".emi")
    if not emi.is_file() or emi.stat().st_size > _MAX_EMI_BYTES:
        return {}
    match = re.search(rb"<ObjectInfo>.*?</ObjectInfo>", emi.read_bytes(), re.DOTALL)
    if not match:
        return {}
    try:
        root = ET.fromstring(match[0].decode("utf-8", errors="replace"))
    except ET.ParseError:
        return {}
    tags: dict[str, Any] = {
        f"{data.findtext('Label')}": data.findtext("Value") for data in root.iter("Data")
    }
    direct = ("AcquireDate", "Manufacturer", "AcquireInfo/CameraNamePath")
    return tags | {name.rsplit("/", 1)[-1]: root.findtext(name) for name in direct}


def _metadata(tags: dict[str, Any]) -> dict[str, Any]:
    settings = {name: value.strip() for name, value in tags.items() if (value or "").strip()}
    return compact(
        {
            "instrument": tags.get("Microscope"),
            "voltage_kv": _number(tags.get("High tension")),
            "magnification": _number(tags.get("Magnification")),
            "acquired_at": _iso(tags.get("AcquireDate")),
            "detector": tags.get("CameraNamePath"),
            "imaging_mode": tags.get("Mode"),
            "emi": settings or None,
        }
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value > 0 else None


def _iso(text: str | None) -> str | None:
    """The microscope's local time: TIA names no time zone."""
    try:
        return datetime.strptime(text or "", "%a %b %d %H:%M:%S %Y").isoformat()
    except ValueError:
        return None
