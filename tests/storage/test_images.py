"""Pixels: what was written is what is read, once, in one shard, valid for everybody's reader."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from nanolake.errors import LakeError
from nanolake.storage import ImageStore, array_sha256
from nanolake.storage import images as images_module

DTYPES = ["uint8", "uint16", "uint32", "int16", "int32", "float32"]
SHAPES = [(1, 1), (7, 5), (1, 700), (513, 511), (2048, 2048)]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "pixels")


@pytest.fixture
def any_store(profile: str, store: ImageStore) -> ImageStore:
    """An empty store in a folder, and one on S3."""
    if profile == "laptop":
        return store
    return ImageStore(f"{os.environ['NANOLAKE_TEST_DATA']}/t{uuid.uuid4().hex[:12]}/pixels")


def noise(shape: tuple[int, int], dtype: str = "uint16", seed: int = 0) -> np.ndarray[Any, Any]:
    """Pixels over the whole range of a dtype."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def shards(store: ImageStore, path: str) -> list[Path]:
    """Every file of an array that is not its description."""
    files = (store.root / path / "0").rglob("*")
    return [file for file in files if file.is_file() and file.name != "zarr.json"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back(any_store: ImageStore, dtype: str) -> None:
    pixels = noise((40, 30), dtype)
    stored = any_store.write("e", "m", pixels)
    found = any_store.read(stored.path)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)
    assert stored.sha256 == array_sha256(found)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_comes_back_from_one_shard(store: ImageStore, shape: tuple[int, int]) -> None:
    pixels = noise(shape)
    stored = store.write("e", "m", pixels)
    np.testing.assert_array_equal(store.read(stored.path), pixels)
    assert len(shards(store, stored.path)) == 1
    files = [file for file in (store.root / stored.path / "0").rglob("*") if file.is_file()]
    assert stored.stored_bytes == sum(file.stat().st_size for file in files)
    array = zarr.open_array(str(store.root / stored.path / "0"), mode="r")
    assert array.chunks == tuple(min(512, side) for side in shape)


@pytest.mark.parametrize("value", [0, 1])
def test_a_constant_picture_has_its_shard_too(store: ImageStore, value: int) -> None:
    """Zarr leaves out chunks of the fill value; a label image without particles is all zero."""
    pixels = np.full((600, 520), value, np.uint16)
    stored = store.write("e", "m", pixels)
    assert len(shards(store, stored.path)) == 1
    np.testing.assert_array_equal(store.read(stored.path), pixels)


def test_pixels_of_any_byte_order_and_layout_are_the_same_picture(any_store: ImageStore) -> None:
    pixels = noise((20, 30))
    first = any_store.write("e", "m", pixels)
    for same in (pixels.astype(">u2"), np.asfortranarray(pixels), np.repeat(pixels, 2, 1)[:, ::2]):
        assert any_store.write("e", "m", same) == first
        assert any_store.write("e", "n", same).sha256 == first.sha256


def test_the_hash_tells_dtype_and_shape_apart() -> None:
    pixels = np.zeros((2, 3), np.uint8)
    others = [pixels, pixels.T, pixels.view(np.int8), pixels + np.uint8(1)]
    assert len({array_sha256(other) for other in others}) == len(others)


def test_a_picture_without_pixels_is_refused(any_store: ImageStore) -> None:
    with pytest.raises(LakeError, match=r"shape \(0, 5\) has no pixels"):
        any_store.write("e", "m", np.zeros((0, 5), np.uint8))


def test_an_independent_validator_accepts_pictures_and_labels(store: ImageStore) -> None:
    v05 = pytest.importorskip("ome_zarr_models.v05", reason="needs ome-zarr-models")
    sizes = [(0.5, 0.25), None, (1.0, 1.0)]
    for number, size in enumerate(sizes):
        stored = store.write("e", f"m{number}", noise((30, 40), seed=number), size)
        for run in ("run_a", "run_b"):
            store.write_labels(stored.path, run, np.eye(30, 40, dtype=np.uint16), size)
    root = zarr.open_group(str(store.root / "e.zarr"), mode="r")
    assert sorted(root.group_keys()) == ["m0", "m1", "m2"]
    for number, size in enumerate(sizes):
        group = zarr.open_group(str(store.root / "e.zarr" / f"m{number}"), mode="r")
        image = v05.Image.from_zarr(group)
        axes = image.ome_attributes.multiscales[0].axes
        assert [axis.name for axis in axes] == ["y", "x"]
        assert {axis.unit for axis in axes} == {None if size is None else "nanometer"}
        labels = v05.Labels.from_zarr(group["labels"])
        assert labels.ome_attributes.labels == ["run_a", "run_b"]
        for run in ("run_a", "run_b"):
            v05.ImageLabel.from_zarr(group[f"labels/{run}"])


def test_labels_of_several_runs_lie_side_by_side(any_store: ImageStore) -> None:
    image = any_store.write("e", "m", noise((30, 40)))
    first = any_store.write_labels(image.path, "run_a", np.zeros((30, 40), np.uint16))
    second = any_store.write_labels(image.path, "run_b", np.ones((30, 40), np.uint32))
    assert first.path == "e.zarr/m/labels/run_a"
    assert any_store.read(first.path).max() == 0
    assert any_store.read(second.path).min() == 1
    np.testing.assert_array_equal(any_store.read(image.path), noise((30, 40)))
    with pytest.raises(LakeError, match="holds other pixels"):
        any_store.write_labels(image.path, "run_a", np.ones((30, 40), np.uint16))


def test_labels_need_their_picture(store: ImageStore) -> None:
    with pytest.raises(LakeError, match="no picture at"):
        store.write_labels("e.zarr/none", "run", np.zeros((3, 3), np.uint16))
    assert not (store.root / "e.zarr").exists()


def test_writing_the_same_again_changes_no_file(store: ImageStore) -> None:
    first = store.write("e", "m", noise((40, 30)), (0.5, 0.5))
    stamps = {file: file.stat().st_mtime_ns for file in store.root.rglob("*")}
    assert store.write("e", "m", noise((40, 30)), (0.5, 0.5)) == first
    assert {file: file.stat().st_mtime_ns for file in store.root.rglob("*")} == stamps


def test_other_pixels_under_the_same_id_are_refused(any_store: ImageStore) -> None:
    stored = any_store.write("e", "m", noise((40, 30)))
    with pytest.raises(LakeError, match="holds other pixels than were to be written"):
        any_store.write("e", "m", noise((40, 30), seed=1))
    np.testing.assert_array_equal(any_store.read(stored.path), noise((40, 30)))


def test_a_corrected_pixel_size_reaches_the_metadata(store: ImageStore) -> None:
    stored = store.write("e", "m", noise((4, 3)), (0.5, 0.5))
    before = [file.read_bytes() for file in shards(store, stored.path)]
    store.write("e", "m", noise((4, 3)), (0.25, 0.2))
    assert store.scale_nm(stored.path) == (0.25, 0.2)
    assert [file.read_bytes() for file in shards(store, stored.path)] == before


def die(folder: Path, *_: Any) -> None:
    """Stand in for the check after writing: the process ends with the temporary name in place."""
    os.kill(os.getpid(), signal.SIGKILL)


def write_and_die(root: Path) -> None:
    images_module._verify = die  # type: ignore[assignment]
    ImageStore(root).write("e", "m", noise((40, 30)))


def test_a_writer_killed_half_way_leaves_no_picture(store: ImageStore) -> None:
    writer = multiprocessing.get_context("fork").Process(target=write_and_die, args=(store.root,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    assert [p.name[:9] for p in (store.root / "e.zarr").iterdir() if p.is_dir()] == [".writing-"]
    with pytest.raises(LakeError, match="no picture at"):
        store.read("e.zarr/m")
    stored = store.write("e", "m", noise((40, 30)))
    np.testing.assert_array_equal(store.read(stored.path), noise((40, 30)))


def test_what_a_killed_writer_left_is_no_label_image(store: ImageStore) -> None:
    image = store.write("e", "m", noise((4, 3)))
    left = store.root / image.path / "labels" / ".writing-run_0-0123"
    left.mkdir(parents=True)
    (left / "zarr.json").write_text("{}")
    store.write_labels(image.path, "run_a", np.zeros((4, 3), np.uint16))
    text = (store.root / image.path / "labels" / "zarr.json").read_text()
    assert json.loads(text)["attributes"]["ome"]["labels"] == ["run_a"]


def test_a_write_that_does_not_read_back_the_same_is_refused(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = images_module.read_array
    monkeypatch.setattr(images_module, "read_array", lambda *words: right(*words) ^ 1)
    with pytest.raises(LakeError, match="the disk is faulty, or two pictures share one id"):
        store.write("e", "m", noise((4, 3)))
    assert not [path for path in (store.root / "e.zarr").iterdir() if path.is_dir()]


def test_a_flipped_byte_shows_in_the_hash(store: ImageStore) -> None:
    """Pixels of noise are stored as they are: the flipped byte decodes, to one other pixel."""
    stored = store.write("e", "m", noise((600, 600)))
    (shard,) = shards(store, stored.path)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert array_sha256(store.read(stored.path)) != stored.sha256
    with pytest.raises(LakeError, match="holds other pixels"):
        store.write("e", "m", noise((600, 600)))


def test_a_torn_shard_and_a_lost_one_are_errors_not_zeros(store: ImageStore) -> None:
    """Zarr alone reads zeros where the file of a shard is missing."""
    stored = store.write("e", "m", noise((60, 60)))
    (shard,) = shards(store, stored.path)
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(LakeError, match="is damaged"):
        store.read(stored.path)
    shard.unlink()
    assert zarr.open_array(str(store.root / stored.path / "0"), mode="r")[...].max() == 0
    for look in (store.read, store.open):
        with pytest.raises(LakeError, match="no picture at"):
            look(stored.path)
    with pytest.raises(LakeError, match="no picture at"):
        store.scale_nm("e.zarr/none")


def test_open_gives_coordinates_in_nm_where_the_pixel_size_is_known(any_store: ImageStore) -> None:
    pixels = noise((3, 4))
    known = any_store.open(any_store.write("e", "known", pixels, (0.5, 0.25)).path)
    assert known.dims == ("y", "x")
    assert known.dtype == np.uint16
    # Pixel (0, 0) lies at 0 nm; three rows of 0.5 nm, four columns of 0.25 nm.
    assert known.y.to_numpy().tolist() == [0.0, 0.5, 1.0]
    assert known.x.to_numpy().tolist() == [0.0, 0.25, 0.5, 0.75]
    assert known.y.attrs["units"] == "nm"
    np.testing.assert_array_equal(known.sel(y=0.5).to_numpy(), pixels[1])
    unknown = any_store.open(any_store.write("e", "unknown", pixels).path)
    assert not unknown.coords
    assert unknown.attrs["units"] == "px"


def test_open_is_lazy(store: ImageStore) -> None:
    """No pixel is read before it is asked for: the shard may even be damaged till then."""
    stored = store.write("e", "m", noise((60, 60)), (1.0, 1.0))
    (shard,) = shards(store, stored.path)
    shard.write_bytes(b"no shard")
    opened = store.open(stored.path)[10:20, :5]
    assert opened.shape == (10, 5)
    assert not opened.variable._in_memory
    with pytest.raises(Exception, match=r"."):
        opened.to_numpy()


def write_many(root: Path, run: str, barrier: Any) -> None:
    store, labels = ImageStore(root), np.eye(300, 300, dtype=np.uint16)
    barrier.wait()
    for number in range(10):
        stored = store.write("e", f"m{number}", noise((300, 300), seed=number), (1.0, 1.0))
        store.write_labels(stored.path, run, labels)


def test_processes_that_write_the_same_pictures_at_once_agree(store: ImageStore) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    runs = ["run_a", "run_b", "run_c"]
    writers = [context.Process(target=write_many, args=(store.root, run, barrier)) for run in runs]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    for number in range(10):
        folder = store.root / "e.zarr" / f"m{number}"
        np.testing.assert_array_equal(
            store.read(f"e.zarr/m{number}"), noise((300, 300), seed=number)
        )
        listed = json.loads((folder / "labels" / "zarr.json").read_text())
        assert listed["attributes"]["ome"]["labels"] == runs
    assert not list(store.root.rglob(".writing-*"))
