"""Trace: the way back from a row to the raw bytes, and every break in it named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

from nanolake.engines import Engine
from nanolake.errors import LakeError
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.pipeline.trace import WHOLE, trace
from nanolake.segment import SegmentSettings
from nanolake.storage import Lake
from nanolake.testing import services


@pytest.fixture
def measured(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> tuple[Lake, str, dict[str, Path]]:
    """A lake of one picture, one of its particles, and the files that lead back."""
    raw = write_tiff(tmp_path / "raw" / "a.tif", discs(0))
    ingest(empty_lake, read_source([raw]), engine=serial)
    segment_lake(empty_lake, engine=serial)
    row = empty_lake.query(
        "SELECT particle_id, image_path, label_path FROM particle p JOIN segmentation s "
        "USING (segmentation_id) JOIN micrograph m ON m.micrograph_id = p.micrograph_id LIMIT 1"
    ).to_pylist()[0]
    shard = Path("0") / "c" / "0" / "0"
    files = {
        "raw file": raw,
        "pixels": empty_lake.images.root / row["image_path"] / shard,
        "label image": empty_lake.images.root / row["label_path"] / shard,
    }
    return empty_lake, row["particle_id"], files


def _found(lake: Lake, particle: str) -> dict[str, str]:
    return {link.what: link.found for link in trace(lake, particle).links}


def test_every_particle_of_the_demo_leads_back(finished: Any) -> None:
    ids = finished.lake.query("SELECT min(particle_id) AS id FROM particle").to_pylist()
    found = trace(finished.lake, ids[0]["id"])
    assert found.intact
    assert {link.found for link in found.links} == {"intact"}
    assert [link.what for link in found.links] == [
        *("row of the particle", "snapshot", "segmentation model", "shape model", "group"),
        *("settings", "mask", "row of the labels", "label image"),
        *("row of the picture", "pixels", "raw file"),
    ]


def test_the_crop_shows_the_particle(finished: Any, tmp_path: Path) -> None:
    ids = finished.lake.query("SELECT min(particle_id) AS id FROM particle").to_pylist()
    made = trace(finished.lake, ids[0]["id"], tmp_path / "new" / "crop.png")
    crop = cv2.imread(str(made.picture))
    assert crop is not None
    # Some 90 px with its surroundings, enlarged by a whole number until 600 would be passed.
    assert 300 < max(crop.shape[:2]) <= 600


@pytest.mark.parametrize("what", ["raw file", "pixels", "label image"])
def test_a_flipped_byte_is_named(measured: tuple[Lake, str, dict[str, Path]], what: str) -> None:
    lake, particle, files = measured
    whole = bytearray(files[what].read_bytes())
    for place in (len(whole) // 3, len(whole) // 2, len(whole) - 3):  # data, and the shard's index
        torn = whole.copy()
        torn[place] ^= 0xFF
        files[what].write_bytes(torn)
        found = _found(lake, particle)
        assert found.pop(what) not in ("intact", "moved"), place
        if what == "label image":
            del found["mask"]  # is counted in that very image
        assert set(found.values()) == {"intact"}
        assert not trace(lake, particle).intact
    files[what].write_bytes(whole)
    assert trace(lake, particle).intact


def test_a_lost_picture_and_a_moved_raw_file_are_told(
    measured: tuple[Lake, str, dict[str, Path]],
) -> None:
    lake, particle, files = measured
    files["raw file"].rename(files["raw file"].with_name("elsewhere.tif"))
    assert _found(lake, particle)["raw file"] == "moved"
    assert trace(lake, particle).intact
    files["pixels"].unlink()
    assert _found(lake, particle)["pixels"] not in ("intact", "moved")
    assert not trace(lake, particle).intact


def test_an_unknown_particle_is_an_error_that_helps(finished: Any) -> None:
    with pytest.raises(LakeError, match=r"no current particle 'x-1'.*nanolake sql"):
        trace(finished.lake, "x-1")


@pytest.mark.parametrize("table", ["particle", "segmentation", "micrograph"])
def test_a_flipped_byte_in_a_row_s_file_is_named(
    measured: tuple[Lake, str, dict[str, Path]], table: str
) -> None:
    lake, particle, _ = measured
    file = next(file.path for file in lake.data_files() if file.table == table)
    whole = lake.tables.read(file)
    for place in (0.1, 0.5, 1.0):
        torn = bytearray(whole)
        torn[int(place * (len(whole) - 1))] ^= 1
        lake.tables.write(file, bytes(torn))
        lake.close()
        assert _broken(lake, particle) == [lake.tables.where(file)], place
    lake.tables.write(file, whole)
    lake.close()
    assert trace(lake, particle).intact


def test_settings_that_were_changed_are_named(measured: tuple[Lake, str, dict[str, Path]]) -> None:
    lake, particle, _ = measured
    assert _found(lake, particle)["settings"] == "intact"
    lake.connections.writer().execute(
        "UPDATE segmentation_run SET settings_json = replace(settings_json, '\"method\"', '\"m\"')"
    )
    lake.close()
    assert _found(lake, particle)["settings"] == "changed"


def test_a_particle_of_before_is_told_and_followed_as_it_was(
    measured: tuple[Lake, str, dict[str, Path]], serial: Engine
) -> None:
    lake, particle, _ = measured
    before = lake.query("SELECT max(snapshot_id) AS id FROM lake.snapshots()").to_pylist()[0]["id"]
    segment_lake(lake, SegmentSettings(method="threshold"), engine=serial)
    with pytest.raises(LakeError, match=rf"{particle} is not current: .* --at (\d+)` follows") as e:
        trace(lake, particle)
    at = int(str(e.value).partition("--at ")[2].partition("`")[0])
    assert at >= before
    found = trace(lake, particle, at=at)
    assert found.intact
    assert found.particle["method"] == "learned"


def test_a_trace_on_postgresql_and_s3(
    shared_lake: Any, discs: Any, write_tiff: Any, tmp_path: Path, serial: Engine
) -> None:
    if services.environment() is None:
        pytest.skip("no PostgreSQL and S3: `make services`")
    lake = shared_lake()
    ingest(lake, read_source([write_tiff(tmp_path / "raw" / "a.tif", discs(0))]), engine=serial)
    segment_lake(lake, SegmentSettings(method="threshold"), engine=serial)
    particle = lake.query("SELECT min(particle_id) AS id FROM particle").to_pylist()[0]["id"]
    found = trace(lake, particle, tmp_path / "crop.png")
    assert {link.found for link in found.links} == {"intact"}
    assert sum(link.where.startswith("s3://") for link in found.links) == 5
    assert (tmp_path / "crop.png").stat().st_size > 1000
    shard = f"{found.particle['image_path']}/0/c/0/0"
    file = found.links[0].where.removeprefix(lake.tables.where(""))
    for folder, path in ((lake.images.folder, shard), (lake.tables, file)):
        whole = folder.read(path)
        folder.write(path, whole[:-1] + bytes([whole[-1] ^ 1]))
        lake.close()
        assert _broken(lake, particle) == [folder.where(path)]
        folder.write(path, whole)
    lake.close()


def _broken(lake: Lake, particle: str) -> list[str]:
    """The places that a trace names as broken; or what it says where it cannot read the rows."""
    try:
        return [link.where for link in trace(lake, particle).links if link.found not in WHOLE]
    except LakeError as error:
        text = str(error)
    assert "cannot be read: " in text
    return [text.partition("cannot be read: ")[2].partition(" is changed")[0]]
