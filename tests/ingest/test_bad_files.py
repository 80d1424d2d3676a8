"""Files cut off, mislabelled, gigantic, empty or senseless: each ends in its own reason."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import mrcfile
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.ingest import IngestSettings, check_pixels, read_pictures
from nanolake.ingest.readers.protocol import KEPT_DTYPES, compact, to_grey, to_kept_dtype

SCENE = np.random.default_rng(3).integers(0, 255, (96, 128), dtype=np.uint8)


def reason_of(path: Path, settings: IngestSettings | None = None) -> str:
    with pytest.raises(PictureError) as caught:
        list(read_pictures(path, settings))
    assert path.name in str(caught.value)
    return caught.value.reason


def write_tiff(path: Path) -> None:
    tifffile.imwrite(path, SCENE)


def write_tiff_lzw(path: Path) -> None:
    tifffile.imwrite(path, SCENE, compression="lzw", rowsperstrip=16)


def write_tiff_stack(path: Path) -> None:
    tifffile.imwrite(path, np.stack([SCENE] * 3), compression="zlib", photometric="minisblack")


def write_png(path: Path) -> None:
    path.write_bytes(imagecodecs.png_encode(SCENE))


def write_jpeg(path: Path) -> None:
    path.write_bytes(imagecodecs.jpeg_encode(SCENE))


def write_mrc(path: Path) -> None:
    with mrcfile.new(path) as mrc:
        mrc.set_data(SCENE.astype(np.int16))


def write_emd(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("data/scene")
        group.attrs["emd_group_type"] = 1
        group["data"] = SCENE
        for number, side in enumerate(SCENE.shape, start=1):
            group[f"dim{number}"] = np.arange(side) * 0.5
            group[f"dim{number}"].attrs["units"] = "nm"


def write_ser(path: Path) -> None:
    """A TIA file of one uint8 image; 2e-10 m a pixel."""
    header = struct.pack("<HHHIIIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1, 30, 0)
    element = struct.pack("<ddiddiHii", 0, 2e-10, 0, 0, 2e-10, 0, 1, *SCENE.shape[::-1])
    path.write_bytes(header + struct.pack("<I", 34) + element + SCENE[::-1].tobytes())


def dm_tag(name: str, kinds: list[int], value: bytes) -> bytes:
    head = struct.pack(">BH", 21, len(name)) + name.encode()
    return head + b"%%%%" + struct.pack(f">I{len(kinds)}I", len(kinds), *kinds) + value


def dm_group(name: str, *tags: bytes) -> bytes:
    head = struct.pack(">BH", 20, len(name)) + name.encode()
    return head + struct.pack(">BBI", 1, 0, len(tags)) + b"".join(tags)


def write_dm3(path: Path) -> None:
    """The least a DM3 file can hold: one uint8 image without a calibration."""
    sides = [dm_tag("", [5], struct.pack("<I", side)) for side in SCENE.shape[::-1]]
    data = dm_group(
        "ImageData",
        dm_tag("Data", [20, 10, SCENE.size], SCENE.tobytes()),
        dm_tag("DataType", [5], struct.pack("<I", 6)),
        dm_group("Dimensions", *sides),
    )
    tree = struct.pack(">BBI", 1, 0, 1) + dm_group("ImageList", dm_group("", data))
    path.write_bytes(struct.pack(">III", 3, len(tree), 1) + tree)


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.tif": write_tiff,
    "lzw.tif": write_tiff_lzw,
    "stack.tif": write_tiff_stack,
    "a.png": write_png,
    "a.jpg": write_jpeg,
    "a.mrc": write_mrc,
    "a.emd": write_emd,
    "a_1.ser": write_ser,
    "a.dm3": write_dm3,
}


@pytest.mark.parametrize("name", WRITERS)
def test_whole(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    pictures = list(read_pictures(tmp_path / name))
    assert len(pictures) == (3 if name.startswith("stack") else 1)
    for picture in pictures:
        if name.endswith("jpg"):
            assert picture.pixels.shape == SCENE.shape
        else:
            np.testing.assert_array_equal(picture.pixels, SCENE)


@pytest.mark.parametrize("kept", [0.01, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", WRITERS)
def test_truncated(name: str, kept: float, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    expected = {"truncated"} | ({"unreadable", "unknown_format"} if kept < 0.1 else set())
    assert reason_of(path) in expected


@pytest.mark.parametrize("name", WRITERS)
def test_empty(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert reason_of(tmp_path / name) == "empty"


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_and_text(name: str, seed: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(seed).bytes(5000)
    (tmp_path / name).write_bytes(noise)
    assert reason_of(tmp_path / name) == "unknown_format"
    (tmp_path / name).write_text("a lab diary, not a picture\n" * 200)
    assert reason_of(tmp_path / name) == "unknown_format"


@pytest.mark.parametrize("name", WRITERS)
def test_noise_behind_a_good_beginning(name: str, tmp_path: Path) -> None:
    """Damage in the middle never escapes as another error, whatever is decoded."""
    path = tmp_path / name
    WRITERS[name](path)
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(40):
        at = int(rng.integers(4, len(whole)))
        damaged = whole.copy()
        damaged[at : at + 8] = rng.bytes(8)
        path.write_bytes(damaged)
        try:
            shapes = [picture.pixels.shape for picture in read_pictures(path)]
        except PictureError:
            continue
        assert all(len(shape) == 2 for shape in shapes)


def test_wrong_extension_names_the_right_one(tmp_path: Path) -> None:
    path = tmp_path / "scan.dm3"
    write_png(path)
    with pytest.raises(PictureError, match=r"rename it to scan\.png") as caught:
        list(read_pictures(path))
    assert caught.value.reason == "wrong_extension"


def test_unknown_ending_is_read_by_content(tmp_path: Path) -> None:
    for name in ("scan", "scan.dat"):
        write_png(tmp_path / name)
        assert next(read_pictures(tmp_path / name)).reader == "png"


def test_folder_and_missing(tmp_path: Path) -> None:
    assert reason_of(tmp_path) == "not_an_image"
    assert reason_of(tmp_path / "gone.tif") == "missing_file"


def ten_gigapixel_tiff(path: Path) -> None:
    entries = [(256, 4, 100_000), (257, 4, 100_000), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 4, 100_000), (279, 4, 10)]
    tags = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, kind, value in entries)
    directory = struct.pack("<H", len(entries)) + tags + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory)


def ten_gigapixel_png(path: Path) -> None:
    body = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82")


def ten_gigapixel_mrc(path: Path) -> None:
    write_mrc(path)
    data = bytearray(path.read_bytes())
    data[:8] = struct.pack("<ii", 100_000, 100_000)
    path.write_bytes(data)


def ten_gigapixel_jpeg(path: Path) -> None:
    write_jpeg(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    path.write_bytes(data)


def ten_gigapixel_dm3(path: Path) -> None:
    write_dm3(path)
    old, new = (struct.pack("<I", side) for side in (SCENE.shape[1], 100_000_000))
    data = path.read_bytes()
    at = data.rindex(old)
    path.write_bytes(data[:at] + new + data[at + 4 :])


def ten_gigapixel_ser(path: Path) -> None:
    write_ser(path)
    data = bytearray(path.read_bytes())
    data[34 + 42 : 34 + 50] = struct.pack("<ii", 100_000, 100_000)
    path.write_bytes(data)


def ten_gigapixel_emd(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("scene")
        group.attrs["emd_group_type"] = 1
        group.create_dataset("data", (100_000, 100_000), "uint8", chunks=(512, 512))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.tif", ten_gigapixel_tiff),
        ("a.png", ten_gigapixel_png),
        ("a.mrc", ten_gigapixel_mrc),
        ("a.jpg", ten_gigapixel_jpeg),
        ("a.dm3", ten_gigapixel_dm3),
        ("a_1.ser", ten_gigapixel_ser),
        ("a.emd", ten_gigapixel_emd),
    ],
)
def test_gigantic_header(name: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / name)
    assert reason_of(tmp_path / name) == "too_large"


def test_a_picture_that_would_need_24_gb_is_refused_by_default() -> None:
    # About 60 bytes a pixel are needed downstream: 10,000 x 10,000 takes 6 GB, 20,000 x 20,000 24.
    huge = np.broadcast_to(np.uint8(0), (20_000, 20_000))
    with pytest.raises(PictureError, match="max_pixels=100000000"):
        check_pixels(huge)
    assert IngestSettings().max_pixels == 10_000 * 10_000


def test_max_pixels_is_a_limit_on_one_picture(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif")
    exact = IngestSettings(max_pixels=SCENE.size)
    assert next(read_pictures(tmp_path / "a.tif", exact)).pixels.size == SCENE.size
    assert reason_of(tmp_path / "a.tif", IngestSettings(max_pixels=SCENE.size - 1)) == "too_large"


def test_a_reader_that_fails_is_unreadable(tmp_path: Path) -> None:
    class Failing:
        name, suffixes = "failing", frozenset({".png"})

        def sniff(self, head: bytes) -> bool:
            return True

        def read(self, path: Path, settings: IngestSettings) -> Any:
            raise RuntimeError("codec exploded")

    write_png(tmp_path / "a.png")
    with pytest.raises(PictureError, match="RuntimeError: codec exploded") as caught:
        list(read_pictures(tmp_path / "a.png", readers=[Failing()]))
    assert caught.value.reason == "unreadable"


def with_nan() -> NDArray[np.float32]:
    pixels = SCENE.astype(np.float32)
    pixels[3, 4] = np.nan
    return pixels


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (with_nan(), "not_finite"),
        (np.where(SCENE[0, 0] == SCENE, np.inf, 1.0).astype(np.float32), "not_finite"),
        (np.full((64, 64), 7, np.uint16), "constant"),
        (SCENE[:31], "too_small"),
        (np.zeros((4, 64, 64), np.uint8), "not_an_image"),
    ],
)
def test_check_pixels(pixels: NDArray[Any], reason: str) -> None:
    with pytest.raises(PictureError) as caught:
        check_pixels(pixels)
    assert caught.value.reason == reason


def test_check_pixels_passes_a_picture() -> None:
    check_pixels(SCENE)
    with pytest.raises(PictureError, match="max_pixels=100"):
        check_pixels(SCENE, IngestSettings(max_pixels=100))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8", "i8", "?"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_kept_dtypes_keep_the_values(dtype: str, order: str) -> None:
    values = np.array([[0, 1], [1, 100]]).astype(np.dtype(order + dtype))
    kept = to_kept_dtype(values)
    assert kept.dtype.name in KEPT_DTYPES
    assert kept.dtype.isnative
    np.testing.assert_array_equal(kept, values)


def test_integers_beyond_32_bits_become_float() -> None:
    assert to_kept_dtype(np.array([[0, 2**40]], np.uint64)).dtype == np.float32


def test_grey_is_rec_601() -> None:
    # pure red, green, blue at 200: 0.299, 0.587, 0.114 of it, rounded
    colours = 200 * np.eye(3, dtype=np.uint16)[None]
    np.testing.assert_array_equal(to_grey(colours), [[60, 117, 23]])
    np.testing.assert_array_equal(to_grey(colours.astype(np.uint8)), [[60, 117, 23]])
    np.testing.assert_array_equal(to_grey(np.dstack([SCENE] * 4)), SCENE)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_every_kind(dtype: str, channels: int, tmp_path: Path) -> None:
    grey = SCENE.astype(dtype) * (257 if dtype == "uint16" else 1)
    pixels = grey if channels == 1 else np.dstack([grey] * channels)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    picture = next(read_pictures(tmp_path / "a.png"))
    np.testing.assert_array_equal(picture.pixels, grey)
    assert picture.pixels.dtype == dtype
    assert not picture.pixel_size.known


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    ("colour", "palette", "low", "high"),
    [(0, [], 0, 255), (3, [10, 10, 10, 200, 200, 200], 10, 200)],
)
def test_png_of_one_bit(
    colour: int, palette: list[int], low: int, high: int, tmp_path: Path
) -> None:
    # 8 x 2 pixels written by hand; a zero byte (no filter) stands before each row.
    rows = bytes([0, 0b10101010, 0, 0b11110000])
    body = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 2, 1, colour, 0, 0, 0))
    body += png_chunk(b"PLTE", bytes(palette)) if palette else b""
    body += png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    bits = np.array([[1, 0, 1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 0, 0, 0, 0]])
    pixels = next(read_pictures(tmp_path / "a.png")).pixels
    np.testing.assert_array_equal(pixels, np.where(bits == 1, high, low))


def test_jpeg_in_colour_with_a_thumbnail_before_the_cut(tmp_path: Path) -> None:
    """An end mark inside a thumbnail does not hide that the picture itself is cut off."""
    picture = imagecodecs.jpeg_encode(np.dstack([SCENE] * 3), level=95)
    thumbnail = imagecodecs.jpeg_encode(np.ascontiguousarray(SCENE[::8, ::8]))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = picture[:2] + segment + picture[2:]
    (tmp_path / "a.jpg").write_bytes(whole)
    assert next(read_pictures(tmp_path / "a.jpg")).pixels.shape == SCENE.shape
    (tmp_path / "a.jpg").write_bytes(whole[: int(len(whole) * 0.8)])
    assert reason_of(tmp_path / "a.jpg") == "truncated"


@pytest.mark.parametrize(("voxel", "nm"), [(2.5, 0.25), (1.0, None), (0.0, None)])
def test_mrc_pixel_size(voxel: float, nm: float | None, tmp_path: Path) -> None:
    """In Å; exactly 1 and 0 are what software writes when it knows nothing."""
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(np.stack([SCENE, SCENE]).astype(np.int16))
        mrc.voxel_size = voxel
    pictures = list(read_pictures(tmp_path / "a.mrc"))
    assert [picture.pixel_size.y_nm for picture in pictures] == [nm, nm]


def test_rare_format_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.blo").write_bytes(b"x" * 100)
    monkeypatch.setattr("nanolake.ingest.readers.rosetta.find_spec", lambda name: None)
    with pytest.raises(PictureError, match=r"nanolake\[formats\]") as caught:
        list(read_pictures(tmp_path / "a.blo"))
    assert caught.value.reason == "missing_extra"


def test_metadata_holds_only_what_is_known() -> None:
    tags = {
        "a": " x\0",
        "b": "",
        "c": None,
        "d": float("nan"),
        "e": {"f": "", "g": 0},
        "h": {"i": ""},
    }
    assert compact(tags) == {"a": "x", "e": {"g": 0}}
