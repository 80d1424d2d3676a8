"""EMD in HDF5: Velox (ThermoFisher) and NCEM (Berkeley)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nanolake.errors import PictureError
from nanolake.ingest.readers.protocol import (
    check_real,
    check_size,
    check_units,
    compact,
    numbered,
    refuse,
    to_kept_dtype,
)
from nanolake.ingest.settings import IngestSettings
from nanolake.ingest.units import pixel_size
from nanolake.records import Picture, PixelSize


class EmdReader:
    """Reads every image of a file; images come before frames in the numbering."""

    name = "emd"
    suffixes = frozenset({".emd"})

    def sniff(self, head: bytes) -> bool:
        """Any HDF5 file; `read` refuses those that are no EMD."""
        return head.startswith(b"\x89HDF\r\n\x1a\n")

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield one picture an image and frame."""
        import h5py

        try:
            file = h5py.File(path, "r")
        except OSError as error:
            cut = "truncated" in str(error) or "eof" in str(error)
            refuse("truncated" if cut else "unreadable", path, f"HDF5 cannot open it: {error}")
        with file:
            images = _velox_images(path, file, settings) or _ncem_images(path, file, settings)
            count = sum(image.frames for image in images)
            yield from numbered((p for image in images for p in image.pictures()), count)


class _Velox:
    """One group below ``/Data/Image``: ``Data`` is (y, x, frame)."""

    def __init__(self, path: Path, group: Any, settings: IngestSettings) -> None:
        self.path, self.data, self.settings = path, group["Data"], settings
        self.tags = _velox_tags(group)
        self.frames = int(self.data.shape[2]) if self.data.ndim == 3 else 1

    def check(self) -> None:
        if self.data.dtype.names or self.data.dtype.kind == "c":
            refuse("complex", self.path, "complex values: a Fourier transform, not a picture")
        result = _section(self.tags, "BinaryResult")
        check_units(self.path, [result.get("PixelUnitY"), result.get("PixelUnitX")])
        if self.data.ndim != 3:
            refuse("not_an_image", self.path, f"an image of {self.data.ndim} axes")
        height, width, _ = self.data.shape
        check_size(self.path, height, width, self.settings)

    def pictures(self) -> Iterator[Picture]:
        for frame in range(self.frames):
            yield Picture(
                pixels=to_kept_dtype(self.data[:, :, frame]),
                pixel_size=self.pixel_size(),
                metadata=_velox_metadata(self.tags),
                reader="emd",
            )

    def pixel_size(self) -> PixelSize:
        result = _section(self.tags, "BinaryResult")
        size = _section(result, "PixelSize")
        return pixel_size(
            y=_number(size.get("height")),
            x=_number(size.get("width")),
            unit=result.get("PixelUnitY"),
            unit_x=result.get("PixelUnitX"),
            source="velox BinaryResult.PixelSize",
            settings=self.settings,
        )


class _Ncem:
    """A group with ``emd_group_type`` 1: ``data`` is (…, y, x), ``dim1`` … its axes."""

    def __init__(self, path: Path, group: Any, settings: IngestSettings) -> None:
        self.path, self.group, self.settings = path, group, settings
        self.data = group["data"]
        self.frames = int(self.data.shape[0]) if self.data.ndim == 3 else 1

    def check(self) -> None:
        axes = self.data.ndim
        check_real(self.path, self.data.dtype)
        check_units(self.path, [self.axis(number)[1] for number in range(1, axes + 1)])
        if axes == 1 or _text(self.group.attrs.get("record_by")) == "spectrum":
            refuse("spectrum", self.path, "recorded as spectra, not as a picture")
        if axes not in (2, 3) or self.data.dtype.kind not in "biuf":
            refuse("not_an_image", self.path, f"{axes} axes of {self.data.dtype}: not a picture")
        height, width = self.data.shape[-2:]
        check_size(self.path, height, width, self.settings)

    def pictures(self) -> Iterator[Picture]:
        axes = self.data.ndim
        (y, unit_y), (x, unit_x) = self.axis(axes - 1), self.axis(axes)
        size = pixel_size(
            y=y, x=x, unit=unit_y, unit_x=unit_x, source="emd dim", settings=self.settings
        )
        for frame in range(self.frames):
            values = self.data[frame] if axes == 3 else self.data[()]
            yield Picture(
                pixels=to_kept_dtype(values),
                pixel_size=size,
                metadata=self.metadata(),
                reader="emd",
            )

    def axis(self, number: int) -> tuple[float | None, str | None]:
        """Step and unit of axis ``number`` (from 1); no step where fewer than two places stand."""
        dim = self.group.get(f"dim{number}")
        if dim is None:
            return None, None
        unit = _text(dim.attrs.get("units"))
        if dim.ndim != 1 or dim.shape[0] < 2 or dim.dtype.kind not in "iuf":
            return None, unit
        return float(dim[1]) - float(dim[0]), unit

    def metadata(self) -> dict[str, Any]:
        scope = self.group.file.get("microscope")
        attributes = dict(scope.attrs) if scope is not None else {}
        voltage = _number(_text(attributes.get("voltage")))
        unit = (_text(attributes.get("voltage_units")) or "").strip("[]").lower()
        scale = {"v": 0.001, "kv": 1.0}.get(unit)
        return compact(
            {
                "instrument": _text(attributes.get("name")),
                "voltage_kv": voltage * scale if voltage and scale else None,
                "title": self.group.name.rsplit("/", 1)[-1],
            }
        )


def _velox_images(path: Path, file: Any, settings: IngestSettings) -> list[Any]:
    data = file.get("Data")
    if data is None or not hasattr(data, "keys"):
        return []
    groups = data.get("Image") or {}
    images = [_Velox(path, groups[name], settings) for name in groups if "Data" in groups[name]]
    if not images and any(name.startswith("Spectrum") for name in data):
        refuse("spectrum", path, "holds spectra and no image")
    return _accepted(images)


def _ncem_images(path: Path, file: Any, settings: IngestSettings) -> list[Any]:
    found: list[Any] = []

    def visit(_: str, item: Any) -> None:
        if "emd_group_type" in item.attrs and "data" in getattr(item, "keys", tuple)():
            found.append(item)

    file.visititems(visit)
    if not found:
        refuse("unknown_format", path, "an HDF5 file, but neither of Velox nor of NCEM")
    return _accepted([_Ncem(path, group, settings) for group in found])


def _accepted(images: list[Any]) -> list[Any]:
    """Return what is a picture; raise the first refusal if nothing is."""
    kept, refusals = [], []
    for image in images:
        try:
            image.check()
            kept.append(image)
        except PictureError as error:
            refusals.append(error)
    if refusals and not kept:
        raise refusals[0]
    return kept


def _velox_tags(group: Any) -> dict[str, Any]:
    if "Metadata" not in group or group["Metadata"].ndim != 2 or not group["Metadata"].shape[1]:
        return {}
    text = group["Metadata"][:, 0].tobytes().split(b"\0", 1)[0]
    tags = json.loads(text) if text.strip() else {}
    return tags if isinstance(tags, dict) else {}


def _velox_metadata(tags: dict[str, Any]) -> dict[str, Any]:
    optics, scope = _section(tags, "Optics"), _section(tags, "Instrument")
    voltage = _number(optics.get("AccelerationVoltage"))
    return compact(
        {
            "instrument": scope.get("InstrumentModel") or scope.get("InstrumentClass"),
            "voltage_kv": voltage / 1000 if voltage else None,
            "magnification": _number(optics.get("NominalMagnification")),
            "acquired_at": _velox_time(_section(tags, "Acquisition")),
            "detector": _section(tags, "BinaryResult").get("Detector"),
            "imaging_mode": _named(optics.get("TemOperatingSubMode")),
            "optics": {k: v for k, v in optics.items() if isinstance(v, str)} or None,
        }
    )


def _velox_time(acquisition: dict[str, Any]) -> str | None:
    seconds = _number(_section(acquisition, "AcquisitionStartDatetime").get("DateTime"))
    if not seconds or not 0 < seconds < 2**33:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _named(value: Any) -> str | None:
    return value if isinstance(value, str) and value != "None" else None


def _section(tags: dict[str, Any], name: str) -> dict[str, Any]:
    value = tags.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes | np.bytes_):
        return bytes(value).decode("utf-8", errors="replace")
    return None if value is None else str(value)
