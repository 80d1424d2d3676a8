"""RosettaSciIO behind the same protocol: for the rarer formats, and on wish for the others.

It is GPL-3 and therefore never required: it comes with the extra `formats` (decision 0002).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
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
    to_grey,
    to_kept_dtype,
)
from nanolake.ingest.readers.tiff import TiffReader, check_header
from nanolake.ingest.settings import IngestSettings
from nanolake.ingest.units import pixel_size, to_nm
from nanolake.records import Picture

_OWN = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".ser": "tia",
    ".mrc": "mrc",
    ".tif": "tiff",
    ".tiff": "tiff",
}
_RARE = {
    ".blo": "blockfile",
    ".bcf": "bruker",
    ".dens": "dens",
    ".de5": "de",
    ".hspy": "hspy",
    ".mrcz": "mrcz",
    ".prz": "pantarhei",
    ".rpl": "ripple",
    ".sur": "digitalsurf",
    ".unf": "semper",
    ".pts": "jeol",
}


class RosettaReader:
    """Reads images with RosettaSciIO; signals that are no images are passed over or refused."""

    name = "rosettasciio"
    suffixes = frozenset(_RARE)

    def sniff(self, head: bytes) -> bool:
        """Its formats are chosen by file ending, never by content."""
        return False

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield one picture an image and frame."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            signals = _images(path, _load(path, settings), settings)
            count = sum(_frames(signal) for signal in signals)
            yield from numbered(
                (picture for signal in signals for picture in _pictures(path, signal, settings)),
                count,
            )


def alternative(suffix: str) -> bool:
    """Whether RosettaSciIO can stand in for nanolake's own reader of ``suffix``."""
    return suffix in _OWN


def _load(path: Path, settings: IngestSettings) -> list[dict[str, Any]]:
    suffix = path.suffix.lower()
    if find_spec("rsciio") is None:
        refuse(
            "missing_extra",
            path,
            f"{suffix} files need RosettaSciIO; install it with: pip install 'nanolake[formats]'",
        )
    plugin = import_module(f"rsciio.{(_OWN | _RARE)[suffix]}")
    # Lazily, so that a size can be refused first; only its TIFF reader leaves the file open then.
    is_tiff = suffix in TiffReader.suffixes
    if is_tiff:
        check_header(path, settings)
    signals: list[dict[str, Any]] = plugin.file_reader(str(path), lazy=not is_tiff)
    return signals


def _images(
    path: Path, signals: list[dict[str, Any]], settings: IngestSettings
) -> list[dict[str, Any]]:
    kept, refusals = [], []
    for signal in signals:
        try:
            _check(path, signal, settings)
            kept.append(signal)
        except PictureError as error:
            refusals.append(error)
    if not kept:
        raise refusals[0] if refusals else PictureError("not_an_image", f"{path.name}: no signals")
    # A colour copy beside the data themselves is for display.
    return [signal for signal in kept if not signal["data"].dtype.names] or kept


def _check(path: Path, signal: dict[str, Any], settings: IngestSettings) -> None:
    axes = signal["axes"]
    check_real(path, signal["data"].dtype)
    check_units(path, [_unit(axis) for axis in axes])
    spectral = [axis for axis in axes if axis.get("navigate") is False]
    kind = ((signal.get("metadata") or {}).get("Signal") or {}).get("signal_type")
    if len(axes) == 1 or len(spectral) == 1 or (len(axes) > 2 and kind):
        refuse("spectrum", path, "RosettaSciIO reads spectra from it, not a picture")
    if len(axes) > 3:
        refuse("not_an_image", path, f"{len(axes)} axes: a data cube, not a picture")
    height, width = signal["data"].shape[-2:]
    check_size(path, height, width, settings)
    step, unit = _scale(axes[-1])
    if path.suffix.lower() == ".ser" and (to_nm(step or 0, unit) or 0) > 1e9:
        refuse("diffraction", path, "a pixel of more than a metre can only be in 1/m")


def _pictures(path: Path, signal: dict[str, Any], settings: IngestSettings) -> Iterator[Picture]:
    (y, unit_y), (x, unit_x) = (_scale(axis) for axis in signal["axes"][-2:])
    size = pixel_size(
        y=y, x=x, unit=unit_y, unit_x=unit_x, source="rosettasciio axes", settings=settings
    )
    data, metadata = signal["data"], _metadata(signal.get("metadata") or {})
    for frame in range(_frames(signal)):
        values = np.asarray(data[frame] if data.ndim == 3 else data)
        if values.dtype.names:
            values = np.stack([values[name] for name in values.dtype.names[:3]], axis=-1)
        yield Picture(
            pixels=to_kept_dtype(to_grey(values)),
            pixel_size=size,
            metadata=metadata,
            reader="rosettasciio",
        )


def _frames(signal: dict[str, Any]) -> int:
    return int(signal["data"].shape[0]) if signal["data"].ndim == 3 else 1


def _scale(axis: dict[str, Any]) -> tuple[float | None, str | None]:
    # Without a unit, a scale of 1 is RosettaSciIO's default and not a word of the file's.
    unit = _unit(axis)
    return (None if unit is None else float(axis.get("scale", 1.0))), unit


def _unit(axis: dict[str, Any]) -> str | None:
    unit = axis.get("units")
    return unit if isinstance(unit, str) else None


def _metadata(tree: dict[str, Any]) -> dict[str, Any]:
    general = tree.get("General") or {}
    scope = (tree.get("Acquisition_instrument") or {}).get("TEM") or {}
    day, hour = general.get("date"), general.get("time")
    zone = "+00:00" if general.get("time_zone") == "UTC" else ""
    return compact(
        {
            "instrument": scope.get("microscope"),
            "voltage_kv": scope.get("beam_energy"),
            "magnification": scope.get("magnification"),
            "acquired_at": f"{day}T{hour}{zone}" if day and hour else None,
            "imaging_mode": scope.get("acquisition_mode"),
            "title": general.get("title"),
        }
    )
