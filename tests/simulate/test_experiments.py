"""The demo's files: calibrated TIFF, a sheet that matches them, truth beside, and the troubles."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile

from nanolake.errors import SettingsError
from nanolake.simulate import DEMO_EXPERIMENTS, DemoTruth, write_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoTruth:
    return write_demo(tmp_path_factory.mktemp("demo"), seed=4, scale=0.1)


def rows(demo: DemoTruth) -> list[dict[str, str]]:
    with demo.sheet.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_world_is_as_promised() -> None:
    assert {e.lab for e in DEMO_EXPERIMENTS} == {"lab_north", "lab_south"}
    assert len({e.experiment for e in DEMO_EXPERIMENTS}) == len(DEMO_EXPERIMENTS) == 6
    assert sum(e.pictures for e in DEMO_EXPERIMENTS) == 40
    assert {e.settings.height_px for e in DEMO_EXPERIMENTS} == {1024, 2048}
    assert {e.fault for e in DEMO_EXPERIMENTS} - {None} == {
        "truncated", "constant", "duplicate", "excluded"
    }  # fmt: skip


def test_every_file_is_on_disk_and_accounted_for(demo: DemoTruth) -> None:
    found = {p.relative_to(demo.folder).as_posix() for p in demo.folder.glob("lab_*/*.tif")}
    good = {picture.file for picture in demo.pictures}
    assert found == good | set(demo.failures) | set(demo.duplicates) | set(demo.excluded)
    assert len(good) == 12  # two an experiment at this scale


def test_calibration_in_the_files(demo: DemoTruth) -> None:
    nm_per_unit = {"nm": 1.0, "um": 1000.0}
    experiments = {e.experiment: e for e in DEMO_EXPERIMENTS}
    for picture in demo.pictures:
        calibration = experiments[picture.experiment].calibration
        with tifffile.TiffFile(demo.folder / picture.file) as file:
            if calibration == "none":
                assert not file.is_imagej
                assert file.pages[0].tags["ResolutionUnit"].value == 1  # no unit
                continue
            pixels, unit = file.pages[0].tags["XResolution"].value
            assert file.imagej_metadata["unit"] == calibration
        size = nm_per_unit[calibration] * unit / pixels
        assert size == pytest.approx(picture.pixel_size_nm, rel=1e-6)


def test_truth_table_is_that_of_the_label_maps(demo: DemoTruth) -> None:
    table = pq.read_table(demo.table).to_pandas()
    assert len(table) == demo.count > 100
    assert set(table["file"]) == {picture.file for picture in demo.pictures}
    for picture in demo.pictures:
        labels = tifffile.imread(demo.folder / picture.labels)
        own = table[table["file"] == picture.file]
        counted = np.bincount(labels.ravel(), minlength=len(own) + 1)[1:]
        np.testing.assert_array_equal(own["area_px"], counted)
        raw = (demo.folder / picture.file).read_bytes()
        assert set(own["raw_sha256"]) == {picture.raw_sha256} == {hashlib.sha256(raw).hexdigest()}


def test_sheet_names_each_file_once(demo: DemoTruth) -> None:
    named: list[str] = []
    for row in rows(demo):
        if row["numbers"]:
            first, last = map(int, row["numbers"].split("-"))
            left_out = {int(n) for n in row["except"].split(",") if n}
            numbers = [n for n in range(first, last + 1) if n not in left_out]
            named += [row["files"].replace("{n:03d}", f"{n:03d}") for n in numbers]
        else:
            paths = demo.folder.glob(row["files"])
            named += [path.relative_to(demo.folder).as_posix() for path in paths]
    good = [picture.file for picture in demo.pictures]
    assert sorted(named) == sorted([*good, *demo.failures, *demo.duplicates])


def test_sheet_gives_the_pixel_size_only_where_the_file_has_none(demo: DemoTruth) -> None:
    given = {row["experiment"]: row["pixel_size_nm"] for row in rows(demo)}
    for experiment in DEMO_EXPERIMENTS:
        asked = f"{experiment.settings.pixel_size_nm:g}" if experiment.calibration == "none" else ""
        assert given[experiment.experiment] == asked
    assert rows(demo)[0]["condition:temperature [degC]"] == "180"


def test_the_troubles_are_real(demo: DemoTruth) -> None:
    reasons = {reason: demo.folder / file for file, reason in demo.failures.items()}
    assert set(reasons) == {"truncated", "constant"}
    assert np.ptp(tifffile.imread(reasons["constant"])) == 0
    with tifffile.TiffFile(reasons["truncated"]) as file:
        page = file.pages[0]
        assert page.dataoffsets[-1] + page.databytecounts[-1] > reasons["truncated"].stat().st_size
    for copy, original in demo.duplicates.items():
        assert (demo.folder / copy).read_bytes() == (demo.folder / original).read_bytes()


def test_same_seed_same_files(demo: DemoTruth, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    again = write_demo(tmp_path, seed=4, scale=0.1, progress=lambda *done: calls.append(done))
    hashes = [picture.raw_sha256 for picture in demo.pictures]
    assert [picture.raw_sha256 for picture in again.pictures] == hashes
    assert len(set(hashes)) == 12
    assert again.sheet.read_bytes() == demo.sheet.read_bytes()
    assert calls == [(n, 12) for n in range(1, 13)]


@pytest.mark.slow
def test_batches_differ_by_what_was_asked(tmp_path: Path) -> None:
    # Means 12.0 and 12.4 nm, sd 1.1 nm, about 900 cubes each: standard error of either 0.04 nm.
    demo = write_demo(tmp_path, scale=1.0)
    table = pq.read_table(demo.table).to_pandas()
    means = table.groupby("experiment")["diameter_nm"].mean()
    assert means["CsPbBr3 batch 1"] == pytest.approx(12.0, abs=0.15)
    assert means["CsPbBr3 batch 2"] == pytest.approx(12.4, abs=0.15)
    assert len(demo.pictures) == 40
    assert 5000 < demo.count < 8000


@pytest.mark.parametrize(("values", "words"), [({"scale": 0.0}, "scale=0.0"), ({"seed": -2}, "-2")])
def test_bad_arguments(values: dict[str, float], words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=words):
        write_demo(tmp_path, **values)
    assert not list(tmp_path.iterdir())
