"""Gatan DigitalMicrograph, DM3 and DM4."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.ingest.readers.gatan_tags import Block, DamagedTagsError, read_tags
from nanolake.ingest.readers.protocol import (
    check_real,
    check_size,
    check_units,
    compact,
    numbered,
    refuse,
    to_grey,
    to_kept_dtype,
)
from nanolake.ingest.settings import IngestSettings
from nanolake.ingest.units import pixel_size
from nanolake.records import Picture

_DTYPES = {
    1: "i2",
    2: "f4",
    3: "c8",
    6: "u1",
    7: "i4",
    9: "i1",
    10: "u2",
    11: "u4",
    12: "f8",
    13: "c16",
    14: "u1",
    39: "i8",
    40: "u8",
}
_RGB = frozenset({8, 23})
_PACKED_COMPLEX = frozenset({5, 27, 28})


class GatanReader:
    """Reads the images of a DM3 or DM4 file; thumbnails and plots beside them are passed over."""

    name = "gatan"
    suffixes = frozenset({".dm3", ".dm4"})

    def sniff(self, head: bytes) -> bool:
        """Version 3 or 4 in big-endian, then a byte-order word of 0 or 1."""
        order = {b"\0\0\0\3": head[8:12], b"\0\0\0\4": head[12:16]}.get(head[:4])
        return order in (b"\0\0\0\0", b"\0\0\0\1")

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield one picture a plane."""
        with path.open("rb") as file:
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            tags = read_tags(buffer)
        except DamagedTagsError as error:
            refuse("truncated", path, f"{error}; copy the file again from the microscope")
        images = _images(path, tags, settings)
        count = sum(_planes(image) for image in images)
        yield from numbered(_pictures(path, buffer, images, settings), count)


def _images(path: Path, tags: dict[str, Any], settings: IngestSettings) -> list[dict[str, Any]]:
    datasets = [item for item in tags.get("ImageList") or [] if isinstance(item, dict)]
    thumbnails = {
        item.get("ImageIndex") for item in tags.get("Thumbnails") or [] if isinstance(item, dict)
    }
    kept, refusals = [], []
    for index, dataset in enumerate(datasets):
        if index in thumbnails and len(datasets) > 1:
            continue
        try:
            _check(path, dataset, settings)
            kept.append(dataset)
        except PictureError as error:
            refusals.append(error)
    if kept:
        return kept
    raise refusals[0] if refusals else PictureError("not_an_image", f"{path.name}: holds no data")


def _check(path: Path, dataset: dict[str, Any], settings: IngestSettings) -> None:
    shape, kind = _shape(dataset), dataset.get("ImageData", {}).get("DataType")
    tags = dataset.get("ImageTags") or {}
    if kind in _PACKED_COMPLEX:
        refuse("complex", path, "packed complex values: a Fourier transform, not a picture")
    if kind not in _DTYPES and kind not in _RGB:
        refuse("not_an_image", path, f"DataType {kind} is no picture")
    check_real(path, np.dtype(_DTYPES.get(kind, "u1")))
    check_units(path, [unit for _, unit in _calibrations(dataset)])
    _check_mode(path, tags)
    if len(shape) < 2:
        refuse("spectrum", path, "one axis: a spectrum or a profile, not a picture")
    if len(shape) > 3:
        refuse("not_an_image", path, f"{len(shape)} axes: a data cube, not a picture")
    check_size(path, shape[-2], shape[-1], settings)


def _check_mode(path: Path, tags: dict[str, Any]) -> None:
    # A scanned image is taken with the projector in diffraction: only the operation mode tells.
    layout = str(_at(tags, "Meta Data", "Format") or "").lower()
    if "spectrum" in layout:
        refuse("spectrum", path, f"its tags call it {layout!r}")
    operation = str(_at(tags, "Microscope Info", "Operation Mode") or "").upper()
    if operation == "DIFFRACTION" or "diffraction" in layout:
        refuse("diffraction", path, "taken in diffraction mode: not a picture of the specimen")


def _pictures(
    path: Path, buffer: Any, images: list[dict[str, Any]], settings: IngestSettings
) -> Iterator[Picture]:
    for image in images:
        (x, unit_x), (y, unit_y) = _calibrations(image)[:2]
        size = pixel_size(
            y=y,
            x=x,
            unit=unit_y,
            unit_x=unit_x,
            source="dm ImageData.Calibrations.Dimension",
            settings=settings,
        )
        metadata = _metadata(image)
        for plane in range(_planes(image)):
            pixels = _plane(path, buffer, image, plane)
            yield Picture(pixels=pixels, pixel_size=size, metadata=metadata, reader="gatan")


def _plane(path: Path, buffer: Any, image: dict[str, Any], plane: int) -> NDArray[Any]:
    data = image["ImageData"]["Data"]
    kind = image["ImageData"]["DataType"]
    height, width = _shape(image)[-2:]
    layout = np.dtype((np.uint8, 4)) if kind in _RGB else np.dtype(_DTYPES[kind])
    if isinstance(data, Block):
        layout = layout.newbyteorder(data.dtype.byteorder) if kind not in _RGB else layout
        start = data.offset + plane * height * width * layout.itemsize
        if start + height * width * layout.itemsize <= data.end:
            pixels = np.frombuffer(buffer, layout, height * width, start)
            pixels = pixels.reshape(height, width, *layout.shape)
            # DM keeps colours as blue, green, red, unused.
            grey = to_grey(pixels[..., 2::-1]) if kind in _RGB else pixels
            return to_kept_dtype(grey.copy())
    return refuse("truncated", path, "the data are fewer than the dimensions ask for")


def _shape(dataset: dict[str, Any]) -> tuple[int, ...]:
    sides = dataset.get("ImageData", {}).get("Dimensions") or []
    shape = tuple(int(side) for side in sides if isinstance(side, int))[::-1]
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _planes(dataset: dict[str, Any]) -> int:
    shape = _shape(dataset)
    return shape[0] if len(shape) == 3 else 1


def _calibrations(dataset: dict[str, Any]) -> list[tuple[float | None, str | None]]:
    axes = _at(dataset, "ImageData", "Calibrations", "Dimension") or []
    found = [(axis.get("Scale"), axis.get("Units")) for axis in axes if isinstance(axis, dict)]
    return [*found, (None, None), (None, None)][: max(2, len(found))]


def _metadata(image: dict[str, Any]) -> dict[str, Any]:
    tags = image.get("ImageTags") or {}
    scope = tags.get("Microscope Info") or {}
    voltage = scope.get("Voltage")
    return compact(
        {
            "instrument": _text(scope.get("Name"))
            or _text(_at(tags, "Session Info", "Microscope")),
            "voltage_kv": voltage / 1000 if isinstance(voltage, float) and voltage > 0 else None,
            "magnification": _positive(scope.get("Indicated Magnification")),
            "acquired_at": _acquired_at(tags.get("DataBar") or {}),
            "detector": _text(_at(tags, "Acquisition", "Device", "Name"))
            or _text(_at(tags, "DataBar", "Device Name")),
            "imaging_mode": _text(scope.get("Illumination Mode")),
            "title": _text(image.get("Name")),
            "microscope_info": {
                name: value for name, value in scope.items() if isinstance(value, str | float | int)
            }
            or None,
        }
    )


def _acquired_at(bar: dict[str, Any]) -> str | None:
    # The date text is in the order of the computer's locale, so only the Windows file time (100 ns
    # since 1601, UTC) can be read without a guess.
    ticks = bar.get("Acquisition Time (OS)")
    if not isinstance(ticks, float | int) or ticks <= 0:
        return None
    with suppress(OverflowError):
        moment = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks / 10)
        return moment.isoformat(timespec="seconds")
    return None


def _at(tree: Any, *names: str) -> Any:
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, float | int) and value > 0 else None
