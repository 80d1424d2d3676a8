"""Every file of the shared format collection: read with its right pixel size, or refused rightly.

The expected values were read from the files' own tags with two independent readers (RosettaSciIO
0.15 and ncempy 1.16) and turned to nm by hand; the tests compare the pixels with theirs as well.
"""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.ingest import IngestSettings, read_pictures

FOLDER = Path(__file__).resolve().parents[2] / "../shared/data/raw_formats"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/data/raw_formats is absent")

# name: (pictures, (height, width), dtype, pixel height nm, pixel width nm, trust)
PICTURES = {
    "128x128_TEM_acquire-sum1_1.ser": (1, (128, 128), "int32", 21.4793, 21.4793, "metadata"),
    "64x64_TEM_images_acquire_1.ser": (1, (64, 64), "float32", 6.281834, 6.281834, "metadata"),
    # cella is -80 Å over 8 columns: -10 Å a pixel.
    "20241021_00405_final.mrc": (1, (4, 8), "float32", None, None, "implausible"),
    # cella 908.661 Å over 16 columns; the FEI header beside it says 5.67913129e-09 m.
    "HAADFscan.mrc": (1, (16, 16), "uint16", 5.679131, 5.679131, "metadata"),
    # 0.001249 µm
    "JEOL HAADF Image.dm4": (1, (112, 112), "float32", 1.249014, 1.249014, "metadata"),
    # 3 nm high, 2 pm wide: an aspect ratio of 1,500, which no detector has.
    "dmTest_3D_int16_64,65,66.dm4": (66, (65, 64), "int16", None, None, "implausible"),
    # 2 Å high, 1 nm wide
    "dmTest_float32_nonSquare_diffPixelSize.dm3": (
        1,
        (64, 128),
        "float32",
        0.2,
        1.0,
        "metadata",
    ),
    "dmTest_float32_nonSquare_diffPixelSize.dm4": (
        1,
        (64, 128),
        "float32",
        0.2,
        1.0,
        "metadata",
    ),
    # the unit is '[]'
    "example_image.emd": (1, (3, 3), "int32", None, None, "unknown"),
    # 8.1728832e-12 m
    "fei_example_tem_stack.emd": (2, (3, 3), "int16", 0.008172883, 0.008172883, "metadata"),
    # an image and a line plot; the thumbnail does not count
    "multi_signal.dm3": (1, (512, 512), "uint16", 0.01775158, 0.01775158, "metadata"),
    # page 1 is a colour copy, page 2 has the tag: 2.39279e-11 m
    "olympus_SIS.tif": (1, (101, 112), "uint16", 0.0239279, 0.0239279, "metadata"),
    # 150 dots an inch are for a printer
    "optical_Zeiss_AxioVision_RGB.tif": (1, (10, 13), "uint8", None, None, "unknown"),
    # scale 1.0 without a unit
    "test-1.dm3": (1, (2, 2), "int16", None, None, "unknown"),
    "test-1.dm4": (1, (2, 2), "int16", None, None, "unknown"),
    "test-10.dm4": (1, (2, 2), "uint16", None, None, "unknown"),
    # int8 in the file
    "test-9.dm4": (1, (2, 2), "int16", None, None, "unknown"),
    # 18 µm a pixel: a scanning picture of a whole sample holder
    "test-MonarcCL_mono-image.dm4": (1, (2, 2), "uint16", None, None, "implausible"),
    # "Imaging Mode" is DIFFRACTION, as in every scanned picture
    "test_STEM_image.dm3": (1, (68, 68), "uint32", 0.248538, 0.248538, "metadata"),
    # 0.16867469 µm, in three programs' ways of writing it
    "test_dm_image_um_unit.dm3": (1, (68, 68), "int32", 168.6747, 168.6747, "metadata"),
    "test_loading_image_saved_with_DM.tif": (1, (68, 68), "int32", 168.6747, 168.6747, "metadata"),
    "test_loading_image_saved_with_imageJ.tif": (
        1,
        (68, 68),
        "float32",
        168.6747,
        168.6747,
        "metadata",
    ),
    "test_loading_image_saved_with_imageJ_no_scale.tif": (
        1,
        (68, 68),
        "float32",
        None,
        None,
        "unknown",
    ),
    "test_loading_image_saved_with_imageJ_stack.tif": (
        2,
        (68, 68),
        "float32",
        168.6747,
        168.6747,
        "metadata",
    ),
    "velox_camera_ceta_imaging.emd": (1, (512, 512), "int16", 3.138837, 3.138837, "metadata"),
    "velox_stem_haadf.emd": (1, (128, 128), "uint16", 87.3708, 87.3708, "metadata"),
}
REFUSED = {
    "08_carbon.dm3": "spectrum",
    "128x128_TEM_acquire-sum1.emi": "sidecar",
    "64x64_TEM_images_acquire.emi": "sidecar",
    "64x64_diffraction_acquire.emi": "sidecar",
    "no_AcquireDate.emi": "sidecar",
    "64x64_diffraction_acquire_1.ser": "diffraction",
    "no_AcquireDate_1.ser": "spectrum",
    "COPYING_rosettasciio.txt": "unknown_format",
    "LICENSE_openncem.txt": "unknown_format",
    "example_axis_len_1.emd": "not_an_image",
    "example_spectrum.emd": "spectrum",
    "fei_example_complex_fft.emd": "complex",
    "test-MonarcCL_spectrum-SI.dm4": "spectrum",
    "test_diffraction_pattern.dm3": "diffraction",
    "test_diffraction_pattern_tags_removed.dm3": "diffraction",
    "test_fft_packed_complex8.dm4": "complex",
}

needs_rosetta = pytest.mark.skipif(find_spec("rsciio") is None, reason="extra 'formats' is absent")
READER = [
    pytest.param(IngestSettings(), id="own"),
    pytest.param(IngestSettings(prefer_rosettasciio=True), id="rosetta", marks=needs_rosetta),
]


def test_the_tables_name_every_file() -> None:
    assert {path.name for path in FOLDER.iterdir()} == PICTURES.keys() | REFUSED.keys()


@pytest.mark.parametrize("settings", READER)
@pytest.mark.parametrize("name", PICTURES)
def test_picture(name: str, settings: IngestSettings) -> None:
    count, shape, dtype, y_nm, x_nm, trust = PICTURES[name]
    pictures = list(read_pictures(FOLDER / name, settings))
    assert [picture.frame for picture in pictures] == list(range(count))
    for picture in pictures:
        assert (picture.pixels.shape, picture.pixels.dtype.name) == (shape, dtype)
        assert picture.frame_count == count
        json.dumps(dict(picture.metadata), allow_nan=False)
        size = picture.pixel_size
        # rel 1e-5: RosettaSciIO rounds the Olympus tag to five digits
        assert size.y_nm == (None if y_nm is None else pytest.approx(y_nm, rel=1e-5))
        assert size.x_nm == (None if x_nm is None else pytest.approx(x_nm, rel=1e-5))
        assert size.trust == trust


@pytest.mark.parametrize("settings", READER)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, settings: IngestSettings) -> None:
    with pytest.raises(PictureError) as caught:
        list(read_pictures(FOLDER / name, settings))
    assert caught.value.reason == REFUSED[name]
    assert name in str(caught.value)


@needs_rosetta
@pytest.mark.parametrize("name", PICTURES)
def test_pixels_equal_rosettasciio(name: str) -> None:
    """Orientation, byte order and plane order are those of an independent reader."""
    own = list(read_pictures(FOLDER / name))
    other = list(read_pictures(FOLDER / name, IngestSettings(prefer_rosettasciio=True)))
    assert [picture.reader for picture in other] == ["rosettasciio"] * len(own)
    for mine, theirs in zip(own, other, strict=True):
        # RosettaSciIO exchanges the axes of what old HyperSpy wrote as EMD; the rows here are the
        # first axis of the array, as the format has it, and the pixel sizes go with their axes.
        values = theirs.pixels.T if name == "example_image.emd" else theirs.pixels
        np.testing.assert_array_equal(mine.pixels, values)


@pytest.mark.parametrize("name", [name for name in PICTURES if name.endswith((".dm3", ".dm4"))])
def test_pixels_equal_ncempy(name: str) -> None:
    dm = pytest.importorskip("ncempy.io.dm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = dm.dmReader(str(FOLDER / name))["data"]
    own = np.stack([picture.pixels for picture in read_pictures(FOLDER / name)])
    np.testing.assert_array_equal(own, theirs.reshape(own.shape))


def test_what_the_file_said_stays() -> None:
    raw = next(read_pictures(FOLDER / "dmTest_float32_nonSquare_diffPixelSize.dm4")).pixel_size
    assert (raw.raw_y, raw.raw_x, raw.raw_unit) == (2.0, 1.0, "A, nm")
    negative = next(read_pictures(FOLDER / "20241021_00405_final.mrc")).pixel_size
    assert (negative.raw_y, negative.raw_unit, negative.known) == (-10.0, "Å", False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "64x64_TEM_images_acquire_1.ser",  # out of the EMI beside it
            {"voltage_kv": 200.0, "magnification": 19500.0, "detector": "WA-Orius"}
            | {"acquired_at": "2016-02-21T17:50:18"},
        ),
        (
            # 132204835614364000 ticks of 100 ns since 1601 = 2019-12-10 20:32:41 UTC, which the
            # file's own text gives as 3:32:41 PM on the US east coast
            "multi_signal.dm3",
            {"voltage_kv": 300.0, "acquired_at": "2019-12-10T20:32:41+00:00"}
            | {"instrument": "FEI Tecnai Remote", "imaging_mode": "STEM NANOPROBE"},
        ),
        (
            # 1596041374 s since 1970
            "velox_stem_haadf.emd",
            {"voltage_kv": 300.0, "detector": "HAADF", "acquired_at": "2020-07-29T16:49:34+00:00"},
        ),
        ("HAADFscan.mrc", {"voltage_kv": 300.0, "instrument": "Spectra", "detector": "HAADF"}),
        ("olympus_SIS.tif", {"magnification": 600000.0, "acquired_at": "2018-11-15T19:42:00"}),
    ],
)
def test_metadata(name: str, expected: dict[str, object]) -> None:
    metadata = next(read_pictures(FOLDER / name)).metadata
    assert {key: metadata.get(key) for key in expected} == expected


def test_a_diffraction_ser_without_its_emi_is_still_known(tmp_path: Path) -> None:
    name = "64x64_diffraction_acquire_1.ser"
    (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    with pytest.raises(PictureError, match="1/m") as caught:
        list(read_pictures(tmp_path / name))
    assert caught.value.reason == "diffraction"


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.97])
def test_cut_off(name: str, kept: float, tmp_path: Path) -> None:
    """A file that lost its end is refused, unless all its pixels are still there."""
    whole = (FOLDER / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(len(whole) * kept)])
    reason, pictures = _outcome(path)
    if reason is None:
        whole_pictures = [picture.pixels for picture in read_pictures(FOLDER / name)]
        np.testing.assert_array_equal(pictures, whole_pictures)
    else:
        assert reason in {"empty", "truncated", "unreadable", "unknown_format"}


def _outcome(path: Path) -> tuple[str | None, list[NDArray[Any]]]:
    try:
        return None, [picture.pixels for picture in read_pictures(path)]
    except PictureError as error:
        return error.reason, []


def test_a_module_of_rosettasciio_is_imported_only_on_demand() -> None:
    rosetta = import_module("nanolake.ingest.readers.rosetta")
    source = Path(str(rosetta.__file__)).read_text(encoding="utf-8")
    assert "import rsciio" not in source
    assert "from rsciio" not in source
