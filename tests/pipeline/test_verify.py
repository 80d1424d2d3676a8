"""Verify: a flipped byte anywhere is found and named, and rows that contradict one another too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nanolake.pipeline.verify as module
from nanolake.engines import open_engine
from nanolake.pipeline.findings import Findings, Verified
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.pipeline.verify import verify
from nanolake.progress import silent
from nanolake.segment import SegmentSettings
from nanolake.storage import Lake
from nanolake.storage.folders import Folder

NewLake = Callable[[], Lake]


@pytest.fixture(scope="module")
def kept(
    any_profile: str,
    shared_lake: NewLake,
    discs: Any,
    write_tiff: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Lake, Path]]:
    """A lake of each profile with two segmented pictures, and the folder of the raw files.

    Whoever changes a file puts it back.
    """
    raw = tmp_path_factory.mktemp("raw")
    for number, nm in ((0, 0.5), (1, None)):
        write_tiff(raw / f"{number}.tif", discs(number), nm)
    if any_profile == "cluster":
        lake = shared_lake()
    else:
        lake = Lake.create(tmp_path_factory.mktemp("verified") / "lake")
    with open_engine("serial") as engine:
        ingest(lake, read_source([raw]), engine=engine)
        segment_lake(lake, SegmentSettings(method="threshold"), engine=engine)
    yield lake, raw
    lake.close()


def broken(lake: Lake, **options: Any) -> list[tuple[str, str, str]]:
    """What verify names: kind, the place's end, what was found."""
    found = verify(lake, **options)
    assert found.intact == (not found.broken)
    return [(one.what, one.where, one.found) for one in found.broken]


def broken_pixels(lake: Lake) -> list[tuple[str, str, str]]:
    """What of verify is about pixels: much quicker than all of it."""
    found = Findings(progress=silent, workers=2)
    module._pixels(lake, found, quick=False)
    return [(one.what, one.where, one.found) for one in found.broken]


def counts(found: Verified) -> dict[str, int]:
    return {check.what: check.count for check in found.checks}


def flipped(folder: Folder, path: str, place: float, bit: int = 0xFF) -> bytes:
    """Flip bits of one byte of a file and return what the file was."""
    whole = folder.read(path)
    torn = bytearray(whole)
    torn[int(place * (len(whole) - 1))] ^= bit
    folder.write(path, bytes(torn))
    return whole


def image_of(lake: Lake, column: str = "image_path") -> str:
    table = "micrograph" if column == "image_path" else "segmentation"
    row = lake.query(f"SELECT min({column}) AS path FROM {table}").to_pylist()[0]
    return str(row["path"])


def test_a_whole_lake_is_intact_and_everything_was_looked_at(kept: tuple[Lake, Path]) -> None:
    lake, _ = kept
    said: list[str] = []
    steps: list[tuple[str, int, int]] = []
    found = verify(
        lake, raw=True, progress=lambda *step: steps.append(step), on_forecast=said.append
    )
    assert found.broken == ()
    count = counts(found)
    assert count["Parquet files"] == len(lake.data_files()) > 5
    assert (count["pictures"], count["label images"], count["raw files"]) == (2, 2, 2)
    assert count["Zarr groups"] == 3  # the experiment's, and each picture's list of label images
    assert count["rows"] > 20
    assert "GB of memory" in said[0]
    assert ("pictures", 2, 2) in steps
    assert ("label images", 2, 2) in steps
    assert verify(lake, quick=True).intact


@pytest.mark.parametrize("place", [0.3, 1.0])
def test_a_flipped_byte_in_a_parquet_file_is_named(kept: tuple[Lake, Path], place: float) -> None:
    lake, _ = kept
    file = next(file.path for file in lake.data_files() if file.table == "particle")
    whole = flipped(lake.tables, file, place, bit=1)
    lake.close()
    try:
        named = broken(lake)
    finally:
        lake.tables.write(file, whole)
        lake.close()
    assert named[0][0] == "Parquet file of particle"
    assert named[0][1] == lake.tables.where(file)
    assert "changed" in named[0][2]
    assert verify(lake).intact


@pytest.mark.parametrize("column", ["image_path", "label_path"])
@pytest.mark.parametrize("file", ["0/c/0/0", "zarr.json", "0/zarr.json"])
def test_a_flipped_byte_in_zarr_is_named(kept: tuple[Lake, Path], column: str, file: str) -> None:
    lake, _ = kept
    path = f"{image_of(lake, column)}/{file}"
    folder = lake.images.folder
    for place in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        whole = flipped(folder, path, place, bit=1)
        named = broken_pixels(lake)
        if place == 0.4:
            assert named == broken(lake)
        folder.write(path, whole)
        assert [where for _, where, _ in named] == [folder.where(path)], (place, named)
    assert broken_pixels(lake) == []


@pytest.mark.parametrize("level", ["experiment", "labels"])
def test_a_damaged_group_is_named(kept: tuple[Lake, Path], level: str) -> None:
    lake, _ = kept
    image = image_of(lake)
    group = image.split("/")[0] if level == "experiment" else f"{image}/labels"
    path, folder = f"{group}/zarr.json", lake.images.folder
    for place in (0.0, 0.5, 1.0):
        whole = flipped(folder, path, place, bit=1)
        named = broken_pixels(lake)
        folder.write(path, whole)
        assert [where for _, where, _ in named] == [folder.where(path)]


def test_a_flipped_byte_in_a_raw_file_is_named_and_a_moved_one_is_not_broken(
    kept: tuple[Lake, Path],
) -> None:
    lake, raw = kept
    file = raw / "0.tif"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert broken(lake) == []  # raw files are hashed on demand
    assert broken(lake, raw=True) == [("raw file", str(file), "changed")]
    file.write_bytes(whole)
    file.rename(raw / "elsewhere.tif")
    found = verify(lake, raw=True)
    (raw / "elsewhere.tif").rename(file)
    assert found.intact
    assert "1 moved" in {check.what: check.note for check in found.checks}["raw files"]


def test_missing_files_are_named_quickly(kept: tuple[Lake, Path]) -> None:
    lake, _ = kept
    shard = f"{image_of(lake)}/0/c/0/0"
    file = next(file.path for file in lake.data_files() if file.table == "segmentation")
    for folder, path in ((lake.images.folder, shard), (lake.tables, file)):
        whole = folder.read(path)
        folder.remove(path)
        lake.close()
        named = broken(lake, quick=True)
        assert (folder.where(path), "missing") in [(where, found) for _, where, found in named]
        folder.write(path, whole[:-1])
        if folder is lake.tables:
            assert "bytes instead of" in broken(lake, quick=True)[0][2]
        folder.write(path, whole)
        lake.close()
    assert verify(lake).intact


def test_an_unhashed_file_is_told_and_the_next_seal_hashes_it(kept: tuple[Lake, Path]) -> None:
    lake, _ = kept
    path = lake.data_files()[0].path
    before = lake.hashes()[path]["sha256"]
    lake._seals.drop([path])
    note = {check.what: check.note for check in verify(lake).checks}["Parquet files"]
    assert note.startswith("1 without a hash yet")
    assert lake.seal() == (1, 0)
    assert lake.hashes()[path]["sha256"] == before
    assert lake.seal() == (0, 0)


def test_a_broken_file_is_not_made_right_by_a_seal(kept: tuple[Lake, Path]) -> None:
    """A file that is not of the catalogue's size gets no hash, so it stays broken."""
    lake, _ = kept
    path = lake.data_files()[0].path
    row, whole = lake.hashes()[path], lake.tables.read(path)
    lake._seals.drop([path])
    lake.tables.write(path, whole[:-4])
    assert lake.seal() == (0, 0)
    lake.tables.write(path, whole)
    assert lake.seal() == (1, 0)
    assert lake.hashes()[path]["sha256"] == row["sha256"]


def test_hashes_of_files_that_are_gone_are_forgotten(kept: tuple[Lake, Path]) -> None:
    lake, _ = kept
    with lake.ledger.transaction() as session:
        session.execute(
            "INSERT INTO data_file (path, table_name, kind, sha256, size_bytes, row_count, "
            "snapshot_id, hashed_at_s) VALUES ('gone', 'lab', 'rows', 'x', 1, 1, 1, 1.0)"
        )
    assert lake.seal() == (0, 1)
    assert "gone" not in lake.hashes()


BREAKS = {
    "particle": "INSERT INTO particle BY NAME FROM particle LIMIT 1",
    "segmentation": "DELETE FROM particle WHERE particle_id = "
    "(SELECT max(particle_id) FROM particle)",
    "micrograph_location": "UPDATE micrograph_location SET micrograph_id = 'none' "
    "WHERE micrograph_id = (SELECT min(micrograph_id) FROM micrograph)",
    "experiment": "UPDATE experiment SET lab_id = 'none'",
    "shape_inference": "UPDATE shape_inference SET particle_count = 10000",
    "group_assignment": "UPDATE group_assignment SET segmentation_id = 'none' "
    "WHERE particle_id = (SELECT min(particle_id) FROM group_assignment)",
    "classifier_run": "UPDATE classifier_run SET grouping_run_id = 'none'",
    "shape_prediction": "UPDATE shape_prediction SET particle_id = 'none' WHERE particle_id = "
    "(SELECT max(particle_id) FROM shape_prediction)",
}


def test_rows_that_contradict_one_another_are_named(lake_copy: Lake) -> None:
    lake = lake_copy
    assert verify(lake).intact
    for table, sql in BREAKS.items():
        lake.connections.writer().execute("BEGIN")
        lake.connections.writer().execute(sql)
        lake.connections.writer().execute("COMMIT")
        lake.close()
        found = verify(lake)
        named = {one.where.partition(" ")[0] for one in found.broken if one.what == "rows"}
        assert table in named, (table, found.broken)
    assert {one.what for one in found.broken} == {"rows"}
    lines = [one for one in found.broken if one.where.startswith("shape_inference ")]
    assert len(lines) == module.SHOWN_ROWS
    count = lake.query("FROM shape_inference_current").num_rows
    assert f"instead of 10000 (and {count - module.SHOWN_ROWS} more)" in lines[0].found


def test_a_group_that_is_said_to_lie_elsewhere_is_named(lake_copy: Lake) -> None:
    with lake_copy.alone() as writer:
        writer.execute(BREAKS["group_assignment"])
    found = [one.found for one in verify(lake_copy).broken if one.what == "rows"]
    assert found == ["segmentation_id is not its particle's: none"]


def test_a_lake_of_an_older_version_is_not_broken_for_what_it_lacks(lake_copy: Lake) -> None:
    with lake_copy.alone() as writer:
        writer.execute("ALTER TABLE group_assignment DROP COLUMN segmentation_id")
    lake_copy.close()
    assert verify(lake_copy).intact


def test_work_that_is_done_without_its_rows_is_named(kept: tuple[Lake, Path]) -> None:
    lake, _ = kept
    units = lake.query("FROM work_unit").to_pylist()
    lost = {**units[0], "unit_key": "lost", "step": "segment", "state": "done"}
    lake.ledger.adopt([lost], snapshot_id=9999)
    named = {(where, found) for _, where, found in broken(lake)}
    with lake.ledger.transaction() as session:
        session.execute("DELETE FROM work_unit WHERE unit_key = 'lost'")
    assert named == {
        ("work_unit lost", "done, and its snapshot is newer than the catalogue's newest: 9999"),
        ("work_unit lost", f"done, and no row of segmentation is from it: {lost['subject']}"),
    }


def test_a_classifier_of_other_bytes_is_named(lake_copy: Lake) -> None:
    (file,) = (lake_copy.root / "models" / "classifiers").glob("*.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    ((what, where, found),) = broken(lake_copy)
    assert (what, where) == ("model", file.stem)
    assert "is not the file that classifier" in found
    file.unlink()
    assert "is missing" in broken(lake_copy)[0][2]


@pytest.mark.parametrize("name", ["catalog.sqlite", "ledger.sqlite"])
def test_a_damaged_catalogue_is_named(lake_copy: Lake, name: str) -> None:
    """A page that nobody asks for: SQLite itself tells."""
    file = lake_copy.root / name
    assert lake_copy.catalog.damage() == []
    lake_copy.close()
    content = bytearray(file.read_bytes())
    content[-4096:] = bytes([0x5A]) * 4096
    file.write_bytes(content)
    assert lake_copy.catalog.damage() == [str(file)]
