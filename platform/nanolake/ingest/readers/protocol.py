"""What a reader is, and the few rules that all readers share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.ingest.settings import IngestSettings
from nanolake.ingest.units import UnitKind, unit_kind
from nanolake.records import Picture

KEPT_DTYPES = frozenset({"uint8", "uint16", "uint32", "int16", "int32", "float32"})
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


class Reader(Protocol):
    """One family of file formats."""

    name: str
    suffixes: frozenset[str]
    """Lower-case file name endings that belong to this family, with the dot."""

    def sniff(self, head: bytes) -> bool:
        """Whether a file that begins with ``head`` (up to 4 KiB) is of this family."""

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield the pictures of a file, in its own order.

        Check the header against ``settings.max_pixels`` before loading. Raise `PictureError`
        where the file holds no picture; any other error is the caller's to translate.
        """


def refuse(reason: str, path: Path, message: str) -> NoReturn:
    """Raise `PictureError` with the file's name in front of the message."""
    raise PictureError(reason, f"{path.name}: {message}")


def check_size(path: Path, height: int, width: int, settings: IngestSettings) -> None:
    """Refuse a picture by its header: ``too_large``, or ``not_an_image`` for lines and nothing."""
    if height * width > settings.max_pixels:
        refuse(
            "too_large",
            path,
            f"the header asks for {width} x {height} pixels, more than max_pixels="
            f"{settings.max_pixels}; raise the setting if this is meant",
        )
    if height < 2 or width < 2:
        refuse("not_an_image", path, f"{width} x {height} values are a line, not a picture")


def check_bytes(path: Path, needed: int) -> None:
    """Refuse a file that is shorter than its header says: ``truncated``."""
    size = path.stat().st_size
    if size < needed:
        refuse("truncated", path, f"the header needs {needed} bytes, the file has {size}")


def check_units(path: Path, units: Iterable[str | None]) -> None:
    """Refuse data with an energy axis (``spectrum``) or reciprocal axes (``diffraction``)."""
    named = [unit for unit in units if unit]
    kinds = {unit_kind(unit): unit for unit in named}
    if UnitKind.ENERGY in kinds:
        refuse("spectrum", path, f"an axis is in {kinds[UnitKind.ENERGY]}: spectra, not a picture")
    if UnitKind.RECIPROCAL in kinds:
        unit = kinds[UnitKind.RECIPROCAL]
        refuse("diffraction", path, f"an axis is in {unit}: reciprocal space, not a picture")


def check_real(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse complex values: ``complex``."""
    if dtype.kind == "c":
        refuse("complex", path, "values are complex: a Fourier transform or a wave, not a picture")


def to_grey(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (y, x) from (y, x) or (y, x, channels): Rec. 601 luma, same dtype, alpha ignored.

    Where the channels are equal the first is returned as it is.
    """
    if pixels.ndim == 2:
        return pixels
    if pixels.shape[2] < 3:
        return np.ascontiguousarray(pixels[..., 0])
    red, green, blue = (pixels[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red)
    if pixels.dtype == np.uint8:
        import cv2

        grey: NDArray[Any] = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)
        return grey
    luma: NDArray[Any] = pixels[..., :3] @ _LUMA
    return np.asarray(luma if pixels.dtype.kind == "f" else np.rint(luma), dtype=pixels.dtype)


def to_kept_dtype(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the array in native byte order and a dtype of `KEPT_DTYPES`.

    bool becomes uint8, int8 int16, float16 float32, all without loss; float64 becomes float32
    (values beyond its range become infinite and are refused as not finite); 64-bit integers
    become 32-bit where they fit and float32 where they do not.
    """
    pixels = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    if pixels.dtype.name in KEPT_DTYPES:
        return pixels
    if pixels.dtype.kind in "bif" and pixels.dtype.itemsize < 4:
        return pixels.astype({"b": np.uint8, "i": np.int16, "f": np.float32}[pixels.dtype.kind])
    if pixels.dtype.kind in "iu":
        return _shorter_integers(pixels)
    with np.errstate(over="ignore"):
        return pixels.astype(np.float32)


def _shorter_integers(pixels: NDArray[Any]) -> NDArray[Any]:
    target = np.dtype(np.int32 if pixels.dtype.kind == "i" else np.uint32)
    limits = np.iinfo(target)
    fits = limits.min <= int(pixels.min()) and int(pixels.max()) <= limits.max
    return pixels.astype(target if fits else np.float32)


def numbered(pictures: Iterable[Picture], count: int) -> Iterator[Picture]:
    """Number pictures 0 … count - 1 within their file."""
    from dataclasses import replace

    for frame, picture in enumerate(pictures):
        yield replace(picture, frame=frame, frame_count=count)


def compact(metadata: dict[str, Any]) -> dict[str, Any]:
    """Drop what a file leaves empty or not finite: unknown is absent, and the rest is JSON."""
    found: dict[str, Any] = {}
    for name, value in metadata.items():
        if isinstance(value, dict):
            value = compact(value)
        elif isinstance(value, str):
            value = value.strip("\x00 \t\r\n")
        if value is None or value in ("", {}) or (isinstance(value, float) and not isfinite(value)):
            continue
        found[name] = value
    return found
