"""Pixel sizes in TIFF, by the software that wrote them, on files written here tag by tag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from nanolake.errors import PictureError
from nanolake.ingest import read_pictures
from nanolake.records import Picture, Trust

SCENE = np.random.default_rng(5).integers(0, 60000, (40, 50), dtype=np.uint16)


def read(path: Path) -> Picture:
    return next(read_pictures(path))


def written(path: Path, tags: list[tuple[Any, ...]], **options: Any) -> Picture:
    extra = [(code, kind, count, value, True) for code, kind, count, value in tags]
    tifffile.imwrite(path, SCENE, extratags=extra, metadata=None, **options)
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels, SCENE)
    return picture


def text_tag(code: int, text: str) -> tuple[Any, ...]:
    return (code, 2, 0, text)


def test_resolution_alone_is_no_scale(tmp_path: Path) -> None:
    picture = written(tmp_path / "a.tif", [], resolution=(300, 300), resolutionunit="INCH")
    assert picture.pixel_size.trust is Trust.UNKNOWN
    assert picture.pixel_size.raw_x is None


@pytest.mark.parametrize(("unit", "nm"), [("nm", 0.25), ("um", 250.0), ("\\u00B5m", 250.0)])
def test_imagej(unit: str, nm: float, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SCENE, imagej=True, resolution=(4, 2), metadata={"unit": unit})
    size = read(path).pixel_size
    # 4 pixels a unit along x, 2 along y
    assert (size.x_nm, size.y_nm) == pytest.approx((nm, 2 * nm))
    assert size.source.startswith("imagej")


def test_ome(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "YX", "PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "nm"}
    metadata |= {"PhysicalSizeY": 0.4, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(path, SCENE, ome=True, metadata=metadata)
    size = read(path).pixel_size
    assert (size.x_nm, size.y_nm, size.raw_unit) == (0.3, 0.4, "nm")


FEI = """[Beam]
HV=30000
[Scan]
PixelWidth=6.5e-10
PixelHeight=6.5e-10
[System]
SystemType=Helios NanoLab
"""


@pytest.mark.parametrize("code", [34680, 34682])
def test_fei(code: int, tmp_path: Path) -> None:
    picture = written(tmp_path / "a.tif", [text_tag(code, FEI)])
    assert picture.pixel_size.x_nm == pytest.approx(0.65)
    assert picture.metadata["voltage_kv"] == 30.0
    assert picture.metadata["instrument"] == "Helios NanoLab"


THERMO = """<?xml version="1.0"?><Metadata><Optics><AccelerationVoltage>200000
</AccelerationVoltage></Optics><BinaryResult><Detector>HAADF</Detector><PixelSize>
<X unit="{unit}">1.2e-10</X><Y unit="{unit}">1.1e-10</Y></PixelSize></BinaryResult></Metadata>"""


def test_thermofisher(tmp_path: Path) -> None:
    picture = written(tmp_path / "a.tif", [text_tag(34683, THERMO.format(unit="m"))])
    assert picture.pixel_size.x_nm == pytest.approx(0.12)
    assert picture.pixel_size.y_nm == pytest.approx(0.11)
    assert (picture.metadata["voltage_kv"], picture.metadata["detector"]) == (200.0, "HAADF")


def test_thermofisher_reciprocal(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="1/m") as caught:
        written(tmp_path / "a.tif", [text_tag(34683, THERMO.format(unit="1/m"))])
    assert caught.value.reason == "diffraction"


def test_zeiss(tmp_path: Path) -> None:
    lines = ["AP_IMAGE_PIXEL_SIZE", "Image Pixel Size = 2.5 nm", "AP_ACTUALKV", "EHT = 120.00 kV"]
    tags = [text_tag(34118, "\r\n".join(["", *lines, ""]))]
    picture = written(tmp_path / "a.tif", tags)
    assert picture.pixel_size.x_nm == pytest.approx(2.5)
    assert picture.metadata["voltage_kv"] == 120.0


def gatan_text(code: int, text: str) -> tuple[Any, ...]:
    return text_tag(code, text)


@pytest.mark.parametrize(("unit", "reason"), [("nm", None), ("1/nm", "diffraction")])
def test_gatan(unit: str, reason: str | None, tmp_path: Path) -> None:
    tags = [gatan_text(65003, unit), gatan_text(65004, unit)]
    tags += [(65009, 12, 1, 0.5), (65010, 12, 1, 0.6)]
    if reason is None:
        size = written(tmp_path / "a.tif", tags).pixel_size
        assert (size.x_nm, size.y_nm) == (0.5, 0.6)
    else:
        with pytest.raises(PictureError) as caught:
            written(tmp_path / "a.tif", tags)
        assert caught.value.reason == reason


JEOL = """<?xml version="1.0"?><TemReporter><Eos><EosMode>eosTEM</EosMode></Eos><ElectronGun>
<AccelerationVoltage>120000</AccelerationVoltage></ElectronGun><ImageFormingSystem>
<ModeString>{mode}</ModeString><SelectorValue>50000</SelectorValue></ImageFormingSystem>
</TemReporter>"""


def test_jeol(tmp_path: Path) -> None:
    # 500 pixels a cm at the camera: 20 µm a pixel there, at 50,000 times 0.4 nm on the specimen
    picture = written(
        tmp_path / "a.tif",
        [text_tag(271, "JEOL Ltd.")],
        description=JEOL.format(mode="MAG"),
        resolution=(500, 500),
        resolutionunit="CENTIMETER",
    )
    assert picture.pixel_size.x_nm == pytest.approx(0.4)
    assert (picture.metadata["voltage_kv"], picture.metadata["magnification"]) == (120.0, 50000.0)


def test_jeol_diffraction(tmp_path: Path) -> None:
    with pytest.raises(PictureError) as caught:
        written(
            tmp_path / "a.tif",
            [text_tag(271, "JEOL Ltd.")],
            description=JEOL.format(mode="DIFF"),
        )
    assert caught.value.reason == "diffraction"


def test_damaged_vendor_text_is_unknown(tmp_path: Path) -> None:
    picture = written(tmp_path / "a.tif", [text_tag(34683, "<Metadata><BinaryResult>")])
    assert picture.pixel_size.trust is Trust.UNKNOWN


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_stack_and_colour(options: dict[str, Any], tmp_path: Path) -> None:
    stack = np.stack([SCENE, SCENE // 2, SCENE // 3])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack", **options)
    pictures = list(read_pictures(tmp_path / "stack.tif"))
    np.testing.assert_array_equal([picture.pixels for picture in pictures], stack)
    assert [(p.frame, p.frame_count) for p in pictures] == [(0, 3), (1, 3), (2, 3)]
    colour = np.dstack([SCENE] * 3)
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb", **options)
    np.testing.assert_array_equal(read(tmp_path / "rgb.tif").pixels, SCENE)
    planar = np.moveaxis(colour, -1, 0)
    tifffile.imwrite(
        tmp_path / "planar.tif", planar, photometric="rgb", planarconfig="separate", **options
    )
    np.testing.assert_array_equal(read(tmp_path / "planar.tif").pixels, SCENE)


def test_pyramid_levels_are_passed_over(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(SCENE)
        tiff.write(SCENE[::2, ::2], subfiletype=1)
    (picture,) = read_pictures(tmp_path / "a.tif")
    assert picture.pixels.shape == SCENE.shape


def test_white_at_zero_and_palette(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "white.tif", SCENE, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "white.tif").pixels, 65535 - SCENE)
    colours = np.arange(256, dtype=np.uint16)[::-1] * 257
    indices = (SCENE % 256).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "palette.tif", indices, photometric="palette", colormap=np.stack([colours] * 3)
    )
    np.testing.assert_array_equal(read(tmp_path / "palette.tif").pixels, 255 - indices)


def test_big_endian_and_complex(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "big.tif", SCENE, byteorder=">")
    np.testing.assert_array_equal(read(tmp_path / "big.tif").pixels, SCENE)
    tifffile.imwrite(tmp_path / "complex.tif", SCENE.astype(np.complex64))
    with pytest.raises(PictureError) as caught:
        read(tmp_path / "complex.tif")
    assert caught.value.reason == "complex"


def test_a_stack_that_lost_its_last_page_is_no_shorter_stack(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path, np.stack([SCENE] * 3), photometric="minisblack", metadata=None, compression="zlib"
    )
    with tifffile.TiffFile(path) as tiff:
        end = tiff.pages[2].offset
    whole = path.read_bytes()
    path.write_bytes(whole[:end])
    with pytest.raises(PictureError, match="pages are missing") as caught:
        list(read_pictures(path))
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_an_imagej_stack_that_lost_its_end(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([SCENE] * 4), imagej=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(PictureError) as caught:
        list(read_pictures(path))
    assert caught.value.reason == "truncated"
