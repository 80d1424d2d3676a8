"""Ingest: good pictures once each, bad ones in ``failure``, corrections as newer rows."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanolake.engines import Engine, Outcome, Task
from nanolake.engines.serial import SerialEngine
from nanolake.errors import SettingsError
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.storage import Lake

Rows = Callable[..., list[dict[str, Any]]]


class Backwards(SerialEngine):
    """Finishes the last item first, as a pool of workers may."""

    name = "backwards"

    def map(
        self, task: Task[Any, Any], items: Iterable[Any]
    ) -> Generator[Outcome[Any, Any], None, None]:
        yield from list(super().map(task, reversed(list(items))))


def _failures(lake: Lake) -> dict[str, str]:
    rows = lake.query("SELECT path, reason FROM failure").to_pylist()
    return {Path(row["path"]).name: row["reason"] for row in rows}


def _sheet(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["lab,experiment,files,pixel_size_nm", *rows]) + "\n")
    return path


def test_the_demo_world_is_read_as_it_was_written(finished: Any) -> None:
    lake, world = finished.lake, finished.world
    rows = lake.query("SELECT raw_sha256, pixel_size_x_nm FROM micrograph_current").to_pylist()
    found = {row["raw_sha256"]: row["pixel_size_x_nm"] for row in rows}
    wanted = {picture.raw_sha256: picture.pixel_size_nm for picture in world.pictures}
    assert found == pytest.approx(wanted, rel=1e-6)
    assert _failures(lake) == {Path(file).name: why for file, why in world.failures.items()}
    paths = lake.query("SELECT path FROM micrograph_location").column("path").to_pylist()
    assert not {Path(path).name for path in paths} & {Path(f).name for f in world.excluded}
    assert len(paths) == len(world.pictures) + len(world.duplicates)


def test_the_same_bytes_twice_are_one_micrograph_with_two_locations(finished: Any) -> None:
    ((copy, first),) = finished.world.duplicates.items()
    rows = finished.lake.query(
        "SELECT micrograph_id, path FROM micrograph_location WHERE micrograph_id IN "
        "(SELECT micrograph_id FROM micrograph_location GROUP BY 1 HAVING count(*) > 1)"
    ).to_pylist()
    assert {Path(row["path"]).name for row in rows} == {Path(copy).name, Path(first).name}
    assert len({row["micrograph_id"] for row in rows}) == 1
    home = finished.lake.query(
        "SELECT path FROM micrograph_home WHERE micrograph_id = ?", [rows[0]["micrograph_id"]]
    ).to_pylist()
    assert Path(home[0]["path"]).name == Path(first).name


def test_a_second_time_does_nothing_and_says_so(lake_copy: Lake, world: Any, rows_of: Rows,
                                                serial: Engine) -> None:  # fmt: skip
    before = {name: rows_of(lake_copy, name) for name in ("micrograph", "lab", "failure")}
    report = ingest(lake_copy, read_source([world.sheet]), engine=serial)
    assert (report.done, report.failed) == (0, 0)
    assert report.failed_before == len(world.failures)
    assert report.line().startswith("ingest: nothing to do: 0 files done, 13 already in the lake")
    assert {name: rows_of(lake_copy, name) for name in before} == before


def test_the_order_in_which_workers_finish_changes_nothing(
    tmp_path: Path, discs: Any, write_tiff: Any, rows_of: Rows, serial: Engine
) -> None:
    # The same bytes in two experiments: the first one in the sheet is the micrograph's home.
    a = write_tiff(tmp_path / "b" / "same.tif", discs(1))
    (tmp_path / "a").mkdir()
    shutil.copy2(a, tmp_path / "a" / "same.tif")
    write_tiff(tmp_path / "a" / "other.tif", discs(2))
    sheet = _sheet(tmp_path / "s.csv", "L,second by name,b/*.tif,", "L,first by name,a/*.tif,")
    lakes = [Lake.create(tmp_path / name) for name in ("forwards", "backwards")]
    for lake, engine in zip(lakes, (serial, Backwards()), strict=True):
        assert ingest(lake, read_source([sheet]), engine=engine).done == 3
        segment_lake(lake, engine=engine)
    for table in ("micrograph", "micrograph_location", "segmentation", "particle"):
        assert rows_of(lakes[0], table) == rows_of(lakes[1], table), table
    for lake in lakes:
        homes = "SELECT DISTINCT experiment FROM morphology ORDER BY 1"
        assert lake.query(homes).column("experiment").to_pylist() == [
            "first by name", "second by name",
        ]  # fmt: skip


def _bad_files(folder: Path, discs: Any, write_tiff: Any) -> dict[str, str]:
    good = write_tiff(folder / "good.tif", discs(0)).read_bytes()
    (folder / "cut.tif").write_bytes(good[: len(good) // 2])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "really_tiff.png").write_bytes(good)
    (folder / "text.tif").write_text("this is no picture\n" * 50)
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (folder / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    holes = discs(0).astype(np.float32)
    holes[3, 4] = np.nan
    write_tiff(folder / "nan.tif", holes)
    write_tiff(folder / "flat.tif", np.full((64, 64), 7, np.uint16))
    write_tiff(folder / "tiny.tif", discs(0)[:8, :8])
    return {
        "cut.tif": "truncated", "empty.tif": "empty", "really_tiff.png": "wrong_extension",
        "text.tif": "unknown_format", "huge.png": "too_large", "nan.tif": "not_finite",
        "flat.tif": "constant", "tiny.tif": "too_small",
    }  # fmt: skip


def test_every_kind_of_bad_file_is_a_failure_with_its_reason(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    wanted = _bad_files(tmp_path / "pictures", discs, write_tiff)
    report = ingest(empty_lake, read_source([tmp_path / "pictures"]), engine=serial)
    assert (report.done, report.failed) == (1, len(wanted))
    assert _failures(empty_lake) == wanted
    rows = empty_lake.query("FROM failure").to_pylist()
    assert {row["stage"] for row in rows} == {"ingest"}
    assert all(row["message"] and row["experiment_id"] for row in rows)
    assert all(str(tmp_path) in row["path"] for row in rows)
    assert len({row["failure_id"] for row in rows}) == len(rows)
    again = ingest(empty_lake, read_source([tmp_path / "pictures"]), engine=serial)
    assert (again.done, again.failed, again.failed_before) == (0, 0, len(wanted))


def test_a_failure_is_tried_again_when_asked_and_when_the_file_was_mended(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    path = write_tiff(tmp_path / "p" / "a.tif", discs(0))
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])

    def read(**more: Any) -> Any:
        return ingest(empty_lake, read_source([tmp_path / "p"]), engine=serial, **more)

    assert read().failed == 1
    assert (read().failed, read().failed_before) == (0, 1)
    assert read(retry_failed=True).failed == 1
    path.write_bytes(whole)
    assert (read().done, read().skipped) == (1, 1)
    assert empty_lake.query("FROM micrograph").num_rows == 1


def test_retrying_takes_what_was_not_the_files_fault(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    path = write_tiff(tmp_path / "p" / "a.tif", discs(0))
    sheet = read_source([tmp_path / "p"])
    hidden = path.rename(tmp_path / "hidden")  # gone between listing and reading
    listed = _Listed(sheet, path, hidden)
    report = ingest(empty_lake, listed.sheet, engine=listed)
    assert [f.reason for f in report.failures] == ["missing_file"]
    assert ingest(empty_lake, sheet, engine=serial).failed_before == 1
    assert ingest(empty_lake, sheet, engine=serial, retry_failed=True).done == 1


class _Listed(SerialEngine):
    """Takes the file away while it is being read, and puts it back."""

    def __init__(self, sheet: Any, path: Path, hidden: Path) -> None:
        self.sheet, self.path, self.hidden = sheet, path, hidden
        hidden.rename(path)

    def map(
        self, task: Task[Any, Any], items: Iterable[Any]
    ) -> Generator[Outcome[Any, Any], None, None]:
        self.path.rename(self.hidden)
        yield from super().map(task, items)
        self.hidden.rename(self.path)


def test_a_file_changed_in_place_is_another_micrograph(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    path = write_tiff(tmp_path / "p" / "a.tif", discs(0))
    ingest(empty_lake, read_source([tmp_path / "p"]), engine=serial)
    write_tiff(path, discs(1))
    os.utime(path, ns=(1, 1))
    assert ingest(empty_lake, read_source([tmp_path / "p"]), engine=serial).done == 1
    assert empty_lake.query("FROM micrograph_current").num_rows == 2


def test_a_corrected_pixel_size_gives_new_nm_and_can_be_taken_back(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    write_tiff(tmp_path / "a.tif", discs(0), nm=0.5)

    def run(size: str) -> tuple[float, float, str]:
        sheet = _sheet(tmp_path / "s.csv", f"L,E,a.tif,{size}")
        ingest(empty_lake, read_source([sheet]), engine=serial)
        segment_lake(empty_lake, engine=serial)
        row = empty_lake.query(
            "SELECT avg(area_nm2) AS nm2, avg(area_px2) AS px, any_value(pixel_size_trust) AS said "
            "FROM morphology"
        ).to_pylist()[0]
        return row["nm2"], row["px"], row["said"]

    first, corrected, back = run(""), run("0.25"), run("")
    assert first[2] == "metadata"
    assert first[0] == pytest.approx(first[1] * 0.5**2)
    assert corrected[2] == "sheet"
    assert corrected[0] == pytest.approx(first[1] * 0.25**2)
    assert back == first
    counts = empty_lake.query(
        "SELECT (SELECT count(DISTINCT pixel_size_x_nm) FROM micrograph) AS sizes, "
        "(SELECT count(DISTINCT segmentation_id) FROM particle) AS measured, "
        "(SELECT count(*) FROM morphology) AS now, (SELECT count(*) FROM particle) AS ever"
    ).to_pylist()[0]
    assert counts == {"sizes": 2, "measured": 2, "now": 16, "ever": 32}
    assert run("") == first
    assert empty_lake.query("FROM micrograph").num_rows == 3  # read, corrected, taken back: once


def test_a_sheet_with_a_missing_file_goes_on(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    write_tiff(tmp_path / "a.tif", discs(0))
    sheet = _sheet(tmp_path / "s.csv", "L,E,a.tif,", "L,E,nowhere_*.tif,")
    report = ingest(empty_lake, read_source([sheet]), engine=serial)
    assert (report.done, report.failed) == (1, 1)
    (failure,) = report.failures
    assert (failure.reason, Path(failure.path).name) == ("missing_file", "nowhere_*.tif")
    assert "row 3" in failure.message
    write_tiff(tmp_path / "nowhere_1.tif", discs(1))
    assert ingest(empty_lake, read_source([sheet]), engine=serial).done == 1


def test_a_bad_file_of_two_experiments_is_two_failures(
    tmp_path: Path, empty_lake: Lake, serial: Engine
) -> None:
    (tmp_path / "bad.tif").write_bytes(b"")
    sheet = _sheet(tmp_path / "s.csv", "L,E,bad.tif,", "L,F,bad.tif,")
    assert ingest(empty_lake, read_source([sheet]), engine=serial).failed == 2
    rows = empty_lake.query("SELECT DISTINCT failure_id, experiment_id FROM failure")
    assert rows.num_rows == 2


def test_a_stack_is_several_micrographs_and_a_bad_frame_costs_itself(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    stack = np.stack([discs(0), np.full((128, 128), 9, np.uint16), discs(2)])
    path = write_tiff(tmp_path / "stack.tif", stack)
    report = ingest(empty_lake, read_source([path]), engine=serial)
    assert (report.done, report.failed, report.rows["micrograph"]) == (1, 0, 2)
    rows = empty_lake.query("SELECT frame, frame_count FROM micrograph ORDER BY frame").to_pylist()
    assert rows == [{"frame": 0, "frame_count": 3}, {"frame": 2, "frame_count": 3}]
    (failure,) = empty_lake.query("FROM failure").to_pylist()
    assert (failure["frame"], failure["reason"]) == (1, "constant")
    assert segment_lake(empty_lake, engine=serial).rows["particle"] == 32


def test_a_stack_of_bad_frames_only_is_a_failed_file(
    tmp_path: Path, empty_lake: Lake, write_tiff: Any, serial: Engine
) -> None:
    path = write_tiff(tmp_path / "stack.tif", np.full((2, 64, 64), 9, np.uint16))
    report = ingest(empty_lake, read_source([path]), engine=serial)
    assert (report.done, report.failed) == (0, 1)


def test_pixels_that_are_not_square_and_pixels_of_unknown_size(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    write_tiff(tmp_path / "p" / "oblong.tif", discs(0), nm=(0.5, 0.25))
    write_tiff(tmp_path / "p" / "bare.tif", discs(1), nm=None)
    ingest(empty_lake, read_source([tmp_path / "p"]), engine=serial)
    segment_lake(empty_lake, engine=serial)
    rows = empty_lake.query(
        "SELECT parse_filename(path) AS file, any_value(pixel_size_trust) AS trust, "
        "avg(num_pixels) AS pixels, avg(area_nm2) AS nm2, count(*) AS n, "
        "count(equivalent_diameter_area_nm) AS with_nm FROM morphology GROUP BY path ORDER BY file"
    ).to_pylist()
    bare, oblong = rows
    assert (bare["trust"], bare["n"], bare["with_nm"], bare["nm2"]) == ("unknown", 16, 0, None)
    assert oblong["trust"] == "metadata"
    assert oblong["nm2"] == pytest.approx(oblong["pixels"] * 0.5 * 0.25, rel=1e-6)
    ensemble = empty_lake.query("FROM ensemble").to_pylist()[0]
    assert (ensemble["particle_count"], ensemble["calibrated_count"]) == (32, 16)


def test_what_cannot_be_a_source_is_refused(tmp_path: Path) -> None:
    sheet = _sheet(tmp_path / "s.csv", "L,E,a.tif,")
    with pytest.raises(SettingsError, match=r"goes with files and folders.*pixel_size_nm"):
        read_source([sheet], pixel_size_nm=0.5)
    with pytest.raises(SettingsError, match="one sheet alone"):
        read_source([sheet, sheet])
    with pytest.raises(SettingsError, match=r"pixel_size_nm=-1.* positive"):
        read_source([tmp_path], pixel_size_nm=-1.0)
