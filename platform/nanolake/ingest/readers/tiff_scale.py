"""The pixel size and the microscope's settings in TIFF files, by the software that wrote them.

The plain resolution tags count only where the writing software is known to mean the specimen
(ImageJ with a unit, JEOL); everywhere else they are a printer's constant.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from nanolake.ingest.readers.protocol import check_units, compact, refuse
from nanolake.ingest.settings import IngestSettings
from nanolake.ingest.units import pixel_size
from nanolake.records import PixelSize

_GATAN_UNIT_X, _GATAN_UNIT_Y, _GATAN_SCALE_X, _GATAN_SCALE_Y = 65003, 65004, 65009, 65010
_FEI_XML = 34683
_CM_NM, _INCH_NM = 1e7, 25.4e6

_Found = tuple[float | None, float | None, str | None, str | None, str, dict[str, Any]]
"""y, x, unit of y, unit of x, source, metadata."""


def describe(
    path: Path, tiff: Any, page: Any, settings: IngestSettings
) -> tuple[PixelSize, dict[str, Any]]:
    """Return pixel size and metadata of ``page``; the first software that is recognised speaks.

    Raises `PictureError` (``diffraction``) where the tags say so.
    """
    for read in _SOFTWARE:
        found = read(path, tiff, page)
        if found is not None:
            y, x, unit_y, unit_x, source, metadata = found
            check_units(path, [unit_y, unit_x])
            size = pixel_size(
                y=y, x=x, unit=unit_y, unit_x=unit_x, source=source, settings=settings
            )
            return size, compact(metadata)
    return PixelSize(), {}


def _olympus(path: Path, tiff: Any, page: Any) -> _Found | None:
    tags = page.tags.valueof(33560)
    if not isinstance(tags, dict) or "pixelsizex" not in tags:
        return None
    moment = tags.get("datetime")
    metadata = {
        "instrument": _text(page, "Model"),
        "magnification": tags.get("magnification") or None,
        "acquired_at": moment.isoformat() if moment else None,
        "detector": tags.get("cameraname"),
    }
    y, x = tags.get("pixelsizey"), tags.get("pixelsizex")
    return y, x, "m", "m", "olympus sis tag", metadata


def _fei(path: Path, tiff: Any, page: Any) -> _Found | None:
    tags: dict[str, Any] = {}
    for code in (34680, 34682):
        value = page.tags.valueof(code)
        tags |= value if isinstance(value, dict) else {}
    if not tags:
        return None
    scan, beam, system = (_group(tags, name) for name in ("Scan", "Beam", "System"))
    voltage = _number(beam.get("HV"))
    metadata = {
        "instrument": system.get("SystemType"),
        "voltage_kv": voltage / 1000 if voltage else None,
        "detector": _group(tags, "Detectors").get("Name"),
    }
    y, x = _number(scan.get("PixelHeight")), _number(scan.get("PixelWidth"))
    return y, x, "m", "m", "fei tag Scan.PixelWidth", metadata


def _thermofisher(path: Path, tiff: Any, page: Any) -> _Found | None:
    root = _xml(page.tags.valueof(_FEI_XML))
    size = None if root is None else root.find(".//BinaryResult/PixelSize")
    if root is None or size is None:
        return None
    x, y = size.find("X"), size.find("Y")
    voltage = _number(root.findtext(".//Optics/AccelerationVoltage"))
    metadata = {
        "instrument": root.findtext(".//Instrument/InstrumentModel")
        or root.findtext(".//Instrument/InstrumentClass"),
        "voltage_kv": voltage / 1000 if voltage else None,
        "acquired_at": root.findtext(".//Acquisition/AcquisitionDatetime"),
        "detector": root.findtext(".//BinaryResult/Detector"),
    }
    return (
        _number(None if y is None else y.text),
        _number(None if x is None else x.text),
        None if y is None else y.get("unit"),
        None if x is None else x.get("unit"),
        "thermofisher tag BinaryResult.PixelSize",
        metadata,
    )


def _zeiss(path: Path, tiff: Any, page: Any) -> _Found | None:
    tags = page.tags.valueof(34118)
    if not isinstance(tags, dict):
        return None
    name = next((n for n in ("ap_image_pixel_size", "ap_pixel_size") if _measured(tags, n)), None)
    voltage = _measured(tags, "ap_actualkv")
    value, unit = _measured(tags, name) or (None, None) if name else (None, None)
    magnification = _measured(tags, "ap_mag")
    metadata = {
        "instrument": _measured_text(tags, "dp_sem") or _text(page, "Model"),
        "voltage_kv": voltage[0] if voltage and voltage[1] == "kV" else None,
        "magnification": magnification[0] if magnification and not magnification[1] else None,
        "detector": _measured_text(tags, "dp_detector_channel"),
    }
    return value, value, unit, unit, f"zeiss tag {name or 'CZ_SEM'}", metadata


def _gatan(path: Path, tiff: Any, page: Any) -> _Found | None:
    unit_x = page.tags.valueof(_GATAN_UNIT_X)
    x, y = (_number(page.tags.valueof(code)) for code in (_GATAN_SCALE_X, _GATAN_SCALE_Y))
    if not isinstance(unit_x, str) or x is None:
        return None
    unit_y = page.tags.valueof(_GATAN_UNIT_Y)
    return y, x, unit_y, unit_x, "gatan tag 65009", {"acquired_with": "Gatan DigitalMicrograph"}


def _jeol(path: Path, tiff: Any, page: Any) -> _Found | None:
    if not (_text(page, "Make") or "").startswith("JEOL"):
        return None
    # JEOL's text tag is padded with control bytes between its lines.
    text = re.sub(r"[\x00-\x08\x0b-\x1f]", "", page.description or "")
    root = _xml(text)
    if root is None or root.find(".//ImageFormingSystem") is None:
        return None
    mode = root.findtext(".//ImageFormingSystem/ModeString") or ""
    magnification = _number(root.findtext(".//ImageFormingSystem/SelectorValue"))
    scanned = root.findtext(".//Eos/EosMode") == "modeASID"
    if mode.upper() == "DIFF" and not scanned:
        refuse("diffraction", path, "taken in JEOL's mode DIFF: not a picture of the specimen")
    voltage = _number(root.findtext(".//ElectronGun/AccelerationVoltage"))
    metadata = {
        "instrument": root.findtext(".//Instruments"),
        "voltage_kv": voltage / 1000 if voltage else None,
        "magnification": magnification if "MAG" in mode.upper() else None,
        "imaging_mode": "STEM" if scanned else "TEM",
    }
    # The resolution tags give the camera plane; the magnification leads to the specimen.
    nm_per_unit = {2: _INCH_NM, 3: _CM_NM}.get(int(page.tags.valueof("ResolutionUnit") or 0))
    steps = [_step(page, tag) for tag in ("YResolution", "XResolution")]
    if scanned or mode.upper() != "MAG" or not magnification or not nm_per_unit:
        return None, None, None, None, "jeol", metadata
    y, x = (None if step is None else step * nm_per_unit / magnification for step in steps)
    return y, x, "nm", "nm", "jeol resolution over magnification", metadata


def _ome(path: Path, tiff: Any, page: Any) -> _Found | None:
    root = _xml(tiff.ome_metadata) if tiff.is_ome else None
    pixels = None if root is None else root.find(".//{*}Image/{*}Pixels")
    if pixels is None or pixels.get("PhysicalSizeX") is None:
        return None
    y, x = (_number(pixels.get(f"PhysicalSize{axis}")) for axis in "YX")
    # The OME schema makes µm the unit where none is written.
    unit_y, unit_x = (pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "YX")
    return y, x, unit_y, unit_x, "ome PhysicalSize", {}


def _imagej(path: Path, tiff: Any, page: Any) -> _Found | None:
    tags = tiff.imagej_metadata
    if not isinstance(tags, dict):
        return None
    unit = tags.get("unit")
    if not isinstance(unit, str):
        return None, None, None, None, "none", {}
    y, x = _step(page, "YResolution"), _step(page, "XResolution")
    unit_y = tags.get("yunit", unit)
    return y, x, str(unit_y), unit, "imagej unit and resolution", {}


_SOFTWARE: tuple[Callable[[Path, Any, Any], _Found | None], ...] = (
    _olympus,
    _fei,
    _thermofisher,
    _zeiss,
    _gatan,
    _jeol,
    _ome,
    _imagej,
)


def _step(page: Any, tag: str) -> float | None:
    value = page.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) != 2 or not value[0]:
        return None
    return float(value[1] / value[0])


def _xml(text: Any) -> ET.Element | None:
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    if not isinstance(text, str) or "<" not in text:
        return None
    with suppress(ET.ParseError):
        return ET.fromstring(text[text.index("<") :].strip("\x00 \r\n\t"))
    return None


def _measured(tags: dict[str, Any], name: str | None) -> tuple[float, str] | None:
    """Zeiss keeps (label, value, unit); the unit is missing for plain numbers."""
    entry = tags.get(name or "")
    if not isinstance(entry, tuple) or len(entry) < 2:
        return None
    value = _number(entry[1])
    return None if value is None else (value, str(entry[2]) if len(entry) > 2 else "")


def _measured_text(tags: dict[str, Any], name: str) -> str | None:
    entry = tags.get(name)
    return str(entry[1]) if isinstance(entry, tuple) and len(entry) > 1 else None


def _group(tags: dict[str, Any], name: str) -> dict[str, Any]:
    value = tags.get(name)
    return value if isinstance(value, dict) else {}


def _text(page: Any, tag: str) -> str | None:
    value = page.tags.valueof(tag)
    return value.strip() or None if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
