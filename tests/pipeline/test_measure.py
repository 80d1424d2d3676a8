"""Measure without a lake: label images, overlays, one table, and what could not be used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile

from nanolake.errors import SettingsError
from nanolake.features import FEATURES, measure
from nanolake.pipeline.measure import SHAPE_COLUMNS, measure_pictures
from nanolake.segment import segment


def test_files_and_columns_of_one_picture(tmp_path: Path, discs: Any, write_tiff: Any) -> None:
    pixels = np.tile(discs(0), (5, 4))
    path = write_tiff(tmp_path / "a.tif", pixels, nm=0.5)
    report = measure_pictures([path], tmp_path / "new" / "out")
    assert (report.count, report.failures) == (5 * 4 * 16, ())
    labels = tifffile.imread(tmp_path / "new" / "out" / "a_labels.tif")
    np.testing.assert_array_equal(labels, segment(pixels).labels)
    assert labels.dtype in (np.uint16, np.uint32)
    overlay = cv2.imread(str(tmp_path / "new" / "out" / "a_overlay.png"))
    assert overlay is not None
    assert overlay.shape == (640, 512, 3)
    table = pd.read_csv(report.csv)
    assert list(table.columns[:2]) == ["picture", "label"]
    assert set(table.columns[2:]) == {*FEATURES, *SHAPE_COLUMNS, "confidence", "overlap"}
    assert table["confidence"].between(0, 1).all()
    assert table["overlap"].between(0, 0.2).all(), "the discs lie apart"
    wanted = measure(pixels, labels, pixel_size_nm=(0.5, 0.5))
    for name in ("num_pixels", "area_nm2", "solidity", "centroid_x_px"):
        np.testing.assert_allclose(table[name], wanted[name], rtol=1e-5)


def test_a_given_pixel_size_wins_and_without_one_nm_is_empty(
    tmp_path: Path, discs: Any, write_tiff: Any
) -> None:
    paths = [write_tiff(tmp_path / "a.tif", discs(0), nm=0.5)]
    paths += [write_tiff(tmp_path / "b.tif", discs(0), nm=None)]
    table = pd.read_csv(measure_pictures(paths, tmp_path / "file").csv).groupby("picture")
    assert table["area_nm2"].count().to_dict() == {"a": 16, "b": 0}
    given = pd.read_csv(measure_pictures(paths, tmp_path / "given", pixel_size_nm=0.2).csv)
    np.testing.assert_allclose(given["area_nm2"], given["num_pixels"] * 0.04, rtol=1e-5)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(SettingsError, match="positive number of nm"):
            measure_pictures(paths, tmp_path / "x", pixel_size_nm=wrong)


def test_labels_of_another_tool_are_measured_as_they_are(
    tmp_path: Path, discs: Any, write_tiff: Any
) -> None:
    path = write_tiff(tmp_path / "a.tif", discs(0))
    labels = np.zeros((128, 128), np.int64)  # numbers with gaps and a type that no lake writes
    labels[10:20, 10:30] = 7
    labels[50:60, 50:60] = 70_000
    tifffile.imwrite(tmp_path / "masks.tif", labels.astype(np.int32))
    report = measure_pictures([path], tmp_path / "out", labels=tmp_path / "masks.tif")
    table = pd.read_csv(report.csv)
    assert table["label"].tolist() == [7, 70_000]
    assert table["num_pixels"].tolist() == [200, 100]
    assert table[list(SHAPE_COLUMNS)].notna().all(axis=None)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "a_labels.tif"), labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((128, 128), -1, np.int16), "holds values from -1"),
        (np.zeros((128, 128), np.float32), "float32"),
        (np.zeros((64, 64), np.uint8), r"shape \(64, 64\)"),
        (np.zeros((3, 128, 128), np.uint8), "one plane"),
    ],
)
def test_what_is_no_label_image_is_refused(
    tmp_path: Path, discs: Any, write_tiff: Any, labels: Any, message: str
) -> None:
    tifffile.imwrite(tmp_path / "masks.tif", labels, photometric="minisblack")
    path = write_tiff(tmp_path / "a.tif", discs(0))
    report = measure_pictures([path], tmp_path / "out", labels=tmp_path / "masks.tif")
    assert report.pictures == ()
    with pytest.raises(SettingsError, match=message):
        raise SettingsError(report.failures[0][2])


def test_labels_go_with_one_picture(tmp_path: Path, discs: Any, write_tiff: Any) -> None:
    path = write_tiff(tmp_path / "a.tif", discs(0))
    with pytest.raises(SettingsError, match="not with 2"):
        measure_pictures([path, path], tmp_path / "out", labels=path)
    report = measure_pictures([path], tmp_path / "out", labels=tmp_path / "none.tif")
    assert report.failures[0][1] == "unreadable"
    assert "none.tif" in report.failures[0][2]


def test_a_stack_loses_only_its_bad_frame_and_names_do_not_collide(
    tmp_path: Path, discs: Any, write_tiff: Any
) -> None:
    stack = np.stack([discs(0), np.full((128, 128), 9, np.uint16), discs(2)])
    paths = [write_tiff(tmp_path / "s.tif", stack)]
    paths += [write_tiff(tmp_path / name / "a.tif", discs(3)) for name in ("one", "two", "three")]
    shutil.copy(paths[-1], tmp_path / "a.tiff")
    (tmp_path / "bad.tif").write_bytes(b"II*\0")
    report = measure_pictures([*paths, tmp_path / "bad.tif", tmp_path / "a.tiff"], tmp_path / "out")
    names = [picture.name for picture in report.pictures]
    assert names[:2] == ["s_000", "s_002"]
    assert len(names) == len(set(names)) == 6
    assert len(list((tmp_path / "out").glob("*_labels.tif"))) == 6
    assert pd.read_csv(report.csv)["picture"].nunique() == 6
    (frame, bad) = report.failures
    assert frame[1:] == ("constant", "frame 1: all 16384 values are 9")
    assert (Path(bad[0]).name, bad[1]) == ("bad.tif", "truncated")


def test_nothing_usable_still_leaves_a_table(tmp_path: Path) -> None:
    report = measure_pictures([tmp_path / "nowhere.tif"], tmp_path / "out")
    assert [reason for _, reason, _ in report.failures] == ["missing_file"]
    assert report.csv.read_text().startswith("picture")


def test_results_never_overwrite_what_was_given(
    tmp_path: Path, discs: Any, write_tiff: Any
) -> None:
    path = write_tiff(tmp_path / "a.tif", discs(0))
    own = tmp_path / "a_labels.tif"
    tifffile.imwrite(own, segment(discs(0)).labels)
    before = own.read_bytes()
    with pytest.raises(SettingsError, match=r"would overwrite .*a_labels.tif.*another --out"):
        measure_pictures([path], tmp_path, labels=own)
    link = tmp_path / "out" / "a_labels.tif"
    link.parent.mkdir()
    link.symlink_to(own)
    with pytest.raises(SettingsError, match="would overwrite"):
        measure_pictures([path], tmp_path / "out", labels=own)
    with pytest.raises(SettingsError, match="would overwrite"):
        measure_pictures([path, own], tmp_path)
    assert own.read_bytes() == before
    assert not (tmp_path / "particles.csv").exists()
    assert measure_pictures([path], tmp_path / "new", labels=own).count == 16


def test_a_folder_gives_its_pictures_in_order_and_not_its_results(
    tmp_path: Path, discs: Any, write_tiff: Any
) -> None:
    for number, name in enumerate(("b", "a", "sub/c")):
        write_tiff(tmp_path / "in" / f"{name}.tif", discs(number))
    (tmp_path / "in" / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    last = write_tiff(tmp_path / "z.tif", discs(4))
    for out in (tmp_path / "in", tmp_path / "in" / "out"):
        for _ in range(2):  # the second call must not measure the results of the first
            report = measure_pictures([tmp_path / "in", tmp_path / "empty", last], out)
            assert [picture.name for picture in report.pictures] == ["a", "b", "c", "z"]
            ((path, reason, message),) = report.failures
            assert (path, reason) == (str(tmp_path / "empty"), "missing_file")
            assert ".dm4" in message
        for result in out.glob("*_*.*"):
            result.unlink()


@pytest.mark.parametrize("out", ["file.txt", "file.txt/deeper"])
def test_results_need_a_folder(tmp_path: Path, discs: Any, write_tiff: Any, out: str) -> None:
    (tmp_path / "file.txt").touch()
    path = write_tiff(tmp_path / "a.tif", discs(0))
    with pytest.raises(SettingsError, match=r"--out .*file.txt.* must be a folder"):
        measure_pictures([path], tmp_path / out)


def _two_squares(first: int, second: int, dtype: Any) -> Any:
    labels = np.zeros((128, 128), dtype)
    labels[10:20, 10:30], labels[50:60, 50:60] = first, second
    return labels


@pytest.mark.parametrize(
    ("labels", "parts"),
    [
        (_two_squares(255, 255, np.uint8), 2),
        (_two_squares(255, 255, np.uint16), 2),
        (_two_squares(65535, 65535, np.uint16), 2),
        (_two_squares(1, 1, np.uint8), None),  # may be one particle in two pieces
        (_two_squares(254, 255, np.uint8), None),  # numbered
        (_two_squares(255, 0, np.uint8), None),  # a mask of one particle is its label image
    ],
)
def test_a_mask_is_no_label_image(
    tmp_path: Path, discs: Any, write_tiff: Any, labels: Any, parts: int | None
) -> None:
    tifffile.imwrite(tmp_path / "masks.tif", labels)
    path = write_tiff(tmp_path / "a.tif", discs(0))
    report = measure_pictures([path], tmp_path / "out", labels=tmp_path / "masks.tif")
    if parts is None:
        assert report.failures == ()
        assert report.count == len(np.unique(labels)) - 1
        return
    assert report.pictures == ()
    assert f"looks like a mask, not like a label image: its {parts}" in report.failures[0][2]
