"""MRC, through mrcfile."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

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
from nanolake.records import Picture, PixelSize

_DTYPES = {0: "i1", 1: "i2", 2: "f4", 3: "c4", 4: "c8", 6: "u2", 12: "f2"}
_HEADER_BYTES = 1024


class MrcReader:
    """Reads every section of an MRC file as a picture, whether stack or volume."""

    name = "mrc"
    suffixes = frozenset({".mrc", ".mrcs", ".map", ".rec", ".st", ".ali"})

    def sniff(self, head: bytes) -> bool:
        """The word MAP at byte 208 (MRC2000 and later)."""
        return head[208:211] == b"MAP"

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield one picture a section; the first row is the file's first row."""
        check_bytes(path, _HEADER_BYTES)
        header, extended = _headers(path)
        width, height, count = (int(header[name]) for name in ("nx", "ny", "nz"))
        dtype = _dtype(path, header)
        if min(width, height, count) < 1:
            refuse("not_an_image", path, f"the header says {width} x {height} x {count} pixels")
        check_size(path, height, width, settings)
        start = _HEADER_BYTES + max(0, int(header["nsymbt"]))
        check_bytes(path, start + width * height * count * dtype.itemsize)
        size, metadata = _pixel_size(header, settings), _metadata(extended)
        sections = np.memmap(path, dtype, "r", start, (count, height, width))
        pictures = (_picture(section, size, metadata) for section in sections)
        yield from numbered(pictures, count)


def _picture(section: NDArray[Any], size: PixelSize, metadata: dict[str, Any]) -> Picture:
    pixels = to_kept_dtype(np.array(section))
    return Picture(pixels=pixels, pixel_size=size, metadata=metadata, reader="mrc")


def _headers(path: Path) -> tuple[Any, Any]:
    """Return the header and the first FEI extended header (or None)."""
    import mrcfile

    with warnings.catch_warnings():
        # Permissive reading warns of each small departure from the standard.
        warnings.simplefilter("ignore")
        with mrcfile.open(path, header_only=True, permissive=True) as mrc:
            if mrc.header is None:
                refuse("unreadable", path, "the header is not understood")
            extended = None
            with suppress(ValueError, AttributeError, IndexError, TypeError):
                extended = mrc.indexed_extended_header[0]
            return mrc.header.copy(), None if extended is None else extended.copy()


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    mode = int(header["mode"])
    if mode not in _DTYPES:
        refuse("unreadable", path, f"mode {mode} is not one of {sorted(_DTYPES)}")
    if mode in (3, 4):
        check_real(path, np.dtype("c8"))
    return np.dtype(_DTYPES[mode]).newbyteorder(header["mode"].dtype.byteorder)


def _pixel_size(header: Any, settings: IngestSettings) -> PixelSize:
    x, y = (_step(header, axis) for axis in "xy")
    if x == y == 1.0:
        # IMOD and others write exactly 1 Å where no pixel size was set: that is not a statement.
        return PixelSize(raw_y=y, raw_x=x, raw_unit="Å", source="mrc default of 1 Å")
    if not x and not y:
        return PixelSize(raw_y=y, raw_x=x, raw_unit="Å", source="none")
    return pixel_size(y=y, x=x, unit="Å", source="mrc cella", settings=settings)


def _step(header: Any, axis: str) -> float | None:
    cells = int(header[f"m{axis}"])
    return float(header["cella"][axis]) / cells if cells > 0 else None


def _metadata(extended: Any) -> dict[str, Any]:
    if extended is None or not extended.dtype.names:
        return {}
    tags = {name: _plain(extended[name]) for name in extended.dtype.names}
    voltage = tags.get("HT")
    detector = tags.get("STEM Detector name") or tags.get("Camera name")
    return compact(
        {
            "instrument": tags.get("Microscope type"),
            "voltage_kv": voltage / 1000 if isinstance(voltage, float) and voltage > 0 else None,
            "magnification": tags.get("Magnification") or None,
            "detector": detector,
            "imaging_mode": tags.get("Illumination mode"),
            "fei_extended_header": {k: v for k, v in tags.items() if v not in ("", None)},
        }
    )


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return plain.decode("latin-1").strip("\0 ") if isinstance(plain, bytes) else plain
