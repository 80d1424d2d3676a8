"""Pixel sizes: from any unit met in the wild to nm, with a trust state. Nothing is guessed."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import replace
from enum import StrEnum

from nanolake.ingest.settings import IngestSettings
from nanolake.records import PixelSize, Trust

_SYMBOLS = {
    "m": 1e9,
    "cm": 1e7,
    "mm": 1e6,
    "um": 1e3,
    "\u03bcm": 1e3,
    "\u03bc": 1e3,
    "nm": 1.0,
    "Å": 0.1,
    "A": 0.1,
    "Ang": 0.1,
    "pm": 1e-3,
    "fm": 1e-6,
    "in": 25.4e6,
}
_WORDS = {
    "meter": 1e9,
    "metre": 1e9,
    "centimeter": 1e7,
    "centimetre": 1e7,
    "millimeter": 1e6,
    "millimetre": 1e6,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "micron": 1e3,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "angstrom": 0.1,
    "ångström": 0.1,
    "ångstrom": 0.1,
    "picometer": 1e-3,
    "picometre": 1e-3,
    "inch": 25.4e6,
}
_RECIPROCAL = re.compile(r"^1\s*/\s*(?P<over>.+)$|^(?P<power>.+?)\s*\^?\s*\(?[-−]\s*1\)?$")
_ANGLES = frozenset({"rad", "mrad", "µrad", "\u03bcrad", "urad", "deg", "degree", "degrees", "°"})
_ENERGIES = frozenset({"ev", "kev", "mev", "electron volt"})


class UnitKind(StrEnum):
    """What a unit measures, as far as it decides whether data are a picture."""

    LENGTH = "length"
    RECIPROCAL = "reciprocal"
    """1/length or a scattering angle: a diffraction pattern or a Fourier transform."""
    ENERGY = "energy"
    """An axis of a spectrum."""
    OTHER = "other"
    """Empty, pixels, seconds, or not understood: no scale can be had from it."""


def unit_kind(unit: str | None) -> UnitKind:
    """Return what ``unit`` measures.

    >>> [str(unit_kind(unit)) for unit in ("µm", "1/nm", "eV", "px")]
    ['length', 'reciprocal', 'energy', 'other']
    """
    text = _normalised(unit)
    if text.lower() in _ANGLES:
        return UnitKind.RECIPROCAL
    if text.lower() in _ENERGIES:
        return UnitKind.ENERGY
    match = _RECIPROCAL.match(text)
    if match and _nm_per(match["over"] or match["power"]) is not None:
        return UnitKind.RECIPROCAL
    return UnitKind.OTHER if _nm_per(text) is None else UnitKind.LENGTH


def to_nm(value: float, unit: str | None) -> float | None:
    """Return ``value`` in nm, or None where ``unit`` is no length.

    >>> to_nm(0.5, "Å"), to_nm(2, "n_m")
    (0.05, None)
    """
    factor = _nm_per(_normalised(unit))
    return None if factor is None else value * factor


def pixel_size(
    *,
    y: float | None,
    x: float | None,
    unit: str | None,
    unit_x: str | None = None,
    source: str,
    settings: IngestSettings | None = None,
) -> PixelSize:
    """Return a `PixelSize` from what a file says.

    Parameters
    ----------
    y, x : height and width of one pixel in ``unit``, None where the file is silent.
    unit : unit verbatim, of both axes or, where ``unit_x`` is given, of y alone.
    source : where the numbers stand in the file.
    settings : the plausible range.

    The trust state is ``metadata`` when both sizes are lengths inside the plausible range,
    ``implausible`` when they are lengths (or zero, or negative) outside it, and ``unknown`` when
    the unit is no length. Only ``metadata`` fills the nm fields; the raw numbers always stay.
    """
    settings = settings or IngestSettings()
    units = (unit, unit if unit_x is None else unit_x)
    if y is None or x is None:
        return PixelSize(raw_y=y, raw_x=x, raw_unit=_joined(units), source=source)
    y_nm, x_nm = to_nm(y, units[0]), to_nm(x, units[1])
    raw = PixelSize(raw_y=y, raw_x=x, raw_unit=_joined(units), source=source)
    if y_nm is None or x_nm is None:
        return raw
    if not is_plausible(y_nm, x_nm, settings):
        return replace(raw, trust=Trust.IMPLAUSIBLE)
    return replace(raw, y_nm=y_nm, x_nm=x_nm, trust=Trust.METADATA)


def is_plausible(y_nm: float, x_nm: float, settings: IngestSettings) -> bool:
    """Whether an electron micrograph can have pixels of ``y_nm`` by ``x_nm``."""
    low, high = settings.pixel_size_min_nm, settings.pixel_size_max_nm
    if not (math.isfinite(y_nm) and math.isfinite(x_nm)):
        return False
    if not (low <= y_nm <= high and low <= x_nm <= high):
        return False
    return max(y_nm, x_nm) <= settings.pixel_aspect_max * min(y_nm, x_nm)


def from_sheet(size_nm: float, read: PixelSize | None = None) -> PixelSize:
    """Return the user's own pixel size (square pixels, nm); what the file said stays as raw."""
    if not (math.isfinite(size_nm) and size_nm > 0):
        raise ValueError(f"pixel_size_nm={size_nm!r} must be a positive number of nm")
    return replace(
        read or PixelSize(), y_nm=size_nm, x_nm=size_nm, source="sheet", trust=Trust.SHEET
    )


def _normalised(unit: str | None) -> str:
    # ImageJ writes the micro sign as the six characters \u00B5; NFKC joins both micro signs to the
    # Greek letter, and the Angstrom sign to the letter Å.
    text = (unit or "").replace("\\u00B5", "µ").replace("\\u00b5", "µ").strip().strip("\x00")
    text = unicodedata.normalize("NFKC", text)
    return text[1:-1].strip() if text.startswith("[") and text.endswith("]") else text


def _nm_per(text: str) -> float | None:
    text = text.strip()
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    word = text.lower()
    return _WORDS.get(word, _WORDS.get(word.removesuffix("es" if word == "inches" else "s")))


def _joined(units: tuple[str | None, str | None]) -> str | None:
    if units[0] == units[1]:
        return units[0]
    return f"{units[0]}, {units[1]}"
