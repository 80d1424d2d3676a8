"""Units of pixel sizes: what is a length, what is not, and what may be believed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.ingest import IngestSettings, from_sheet, pixel_size, to_nm
from nanolake.ingest.units import UnitKind, unit_kind
from nanolake.records import Trust

LENGTHS = {
    "nm": 1.0,
    " nm ": 1.0,
    "[nm]": 1.0,
    "nanometers": 1.0,
    "um": 1e3,
    "\u00b5m": 1e3,  # micro sign
    "\u03bcm": 1e3,  # Greek letter mu
    "\\u00B5m": 1e3,  # as ImageJ writes it
    "µ": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "Micrometer": 1e3,
    "m": 1e9,
    "cm": 1e7,
    "mm": 1e6,
    "\u00c5": 0.1,  # letter A with ring
    "\u212b": 0.1,  # Angstrom sign
    "A": 0.1,
    "angstroms": 0.1,
    "pm": 1e-3,
    "inch": 25.4e6,
    "inches": 25.4e6,
}
NO_LENGTHS = ["", None, "px", "pixel", "n_m", "[]", "s", "a", "Nm", "nm2", "MM", "counts", "1", "-"]
RECIPROCALS = ["1/nm", "1 / nm", "1/m", "1/µm", "1/A", "nm^-1", "nm-1", "Å⁻¹", "mrad", "rad", "°"]


@pytest.mark.parametrize(("unit", "nm"), LENGTHS.items())
def test_lengths(unit: str, nm: float) -> None:
    assert unit_kind(unit) is UnitKind.LENGTH
    assert to_nm(1.0, unit) == pytest.approx(nm, rel=1e-12)


@pytest.mark.parametrize("unit", NO_LENGTHS)
def test_no_lengths(unit: str | None) -> None:
    assert unit_kind(unit) is UnitKind.OTHER
    assert to_nm(1.0, unit) is None
    read = pixel_size(y=1.0, x=1.0, unit=unit, source="test")
    assert (read.trust, read.known, read.raw_y, read.raw_unit) == (Trust.UNKNOWN, False, 1.0, unit)


@pytest.mark.parametrize("unit", RECIPROCALS)
def test_reciprocals(unit: str) -> None:
    assert unit_kind(unit) is UnitKind.RECIPROCAL
    assert to_nm(1.0, unit) is None


@pytest.mark.parametrize("unit", ["eV", "keV", "ev"])
def test_energies(unit: str) -> None:
    assert unit_kind(unit) is UnitKind.ENERGY


@pytest.mark.parametrize(
    ("y", "x"),
    [
        (0.0, 0.0),
        (-0.5, -0.5),
        (0.5, -0.5),
        (float("nan"), 1.0),
        (float("inf"), 1.0),
        (1e4, 1e4),
        (0.0009, 0.0009),
        (1.0, 10.1),
        (10.1, 1.0),
    ],
)
def test_implausible(y: float, x: float) -> None:
    read = pixel_size(y=y, x=x, unit="nm", source="test")
    assert (read.trust, read.known, read.raw_x) == (Trust.IMPLAUSIBLE, False, x)


def test_each_axis_has_its_own_unit() -> None:
    read = pixel_size(y=5.0, x=1.0, unit="A", unit_x="nm", source="test")
    assert (read.y_nm, read.x_nm, read.raw_unit) == (0.5, 1.0, "A, nm")


def test_one_axis_alone_is_no_pixel_size() -> None:
    read = pixel_size(y=None, x=1.0, unit="nm", source="test")
    assert (read.trust, read.raw_y, read.raw_x) == (Trust.UNKNOWN, None, 1.0)


def test_the_sheet_wins_and_the_file_stays_as_raw() -> None:
    read = pixel_size(y=-1.0, x=-1.0, unit="µm", source="tag")
    used = from_sheet(0.4, read)
    assert (used.y_nm, used.x_nm, used.trust, used.source) == (0.4, 0.4, Trust.SHEET, "sheet")
    assert (used.raw_y, used.raw_unit) == (-1.0, "µm")
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            from_sheet(wrong)


def test_settings_move_the_range() -> None:
    wide = IngestSettings(pixel_size_max_nm=1e5)
    assert pixel_size(y=18.3, x=18.3, unit="µm", source="tag", settings=wide).known
    with pytest.raises(ValueError, match="must be smaller"):
        IngestSettings.build({"pixel_size_min_nm": 5, "pixel_size_max_nm": 5})


@settings(derandomize=True)
@given(st.floats(0.001, 1000), st.sampled_from(["nm", "um", "µm", "Å", "pm", "m"]))
def test_the_unit_does_not_change_the_size(size_nm: float, unit: str) -> None:
    per = to_nm(1.0, unit)
    assert per is not None
    assert to_nm(size_nm / per, unit) == pytest.approx(size_nm, rel=1e-12)


@settings(derandomize=True)
@given(st.text(max_size=12), st.floats(), st.floats())
def test_any_text_ends_in_a_state(unit: str, y: float, x: float) -> None:
    """No text and no number raises, and nm are given only where they are believed."""
    read = pixel_size(y=y, x=x, unit=unit, source="test")
    assert read.known == (read.trust is Trust.METADATA)
    assert read.raw_unit == unit
