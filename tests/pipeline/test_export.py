"""Backup and move: a plain folder with a manifest, and the same lake again from it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from nanolake.contracts import load_tables
from nanolake.engines import open_engine
from nanolake.errors import LakeError
from nanolake.pipeline.export import NOT_EXPORTED, export_lake
from nanolake.pipeline.exported import read_list, verify_folder
from nanolake.pipeline.import_lake import import_lake
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.pipeline.verify import verify
from nanolake.segment import SegmentSettings
from nanolake.storage import Lake

NewLake = Callable[[], Lake]
SETTINGS = SegmentSettings(method="threshold")


@pytest.fixture(scope="module")
def kept(
    any_profile: str,
    shared_lake: NewLake,
    discs: Any,
    write_tiff: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Lake, Path]]:
    """A lake of each profile with two segmented pictures, a bad file, and the raw folder."""
    raw = tmp_path_factory.mktemp("raw")
    for number, nm in ((0, 0.5), (1, None)):
        write_tiff(raw / f"{number}.tif", discs(number), nm)
    (raw / "bad.tif").write_bytes(b"no picture")
    if any_profile == "cluster":
        lake = shared_lake()
    else:
        lake = Lake.create(tmp_path_factory.mktemp("exported") / "lake")
    with open_engine("serial") as engine:
        ingest(lake, read_source([raw]), engine=engine)
        segment_lake(lake, SETTINGS, engine=engine)
    lake.data.write("models/classifiers/c.npz", b"a classifier")
    yield lake, raw
    lake.close()


@pytest.fixture(scope="module")
def folder(kept: tuple[Lake, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported lake; whoever changes it copies it."""
    made = export_lake(kept[0], tmp_path_factory.mktemp("out") / "backup", raw=True)
    return Path(made.folder)


def contents(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, all columns, in the order of the key and of all else."""
    found = {}
    for name in set(load_tables()) - NOT_EXPORTED:
        rows = lake.query(f'FROM "{name}"').to_pylist()
        found[name] = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True, default=str))
    units = lake.query("FROM work_unit ORDER BY unit_key").to_pylist()
    found["work_unit"] = [{**row, "snapshot_id": None} for row in units]
    return found


def pixels(lake: Lake) -> dict[str, bytes]:
    return {entry.path: lake.images.folder.read(entry.path) for entry in lake.images.folder.walk()}


def test_moving_to_the_other_profile_and_back_changes_nothing(
    kept: tuple[Lake, Path],
    folder: Path,
    any_profile: str,
    addresses: Callable[[], dict[str, str]],
    tmp_path: Path,
) -> None:
    lake, _ = kept
    there, back = (addresses(), {}) if any_profile == "laptop" else ({}, addresses())
    import_lake(folder, tmp_path / "there", **there)
    other = Lake.open(tmp_path / "there")
    assert other.tables.url != lake.tables.url
    assert contents(other) == contents(lake)
    assert pixels(other) == pixels(lake)
    assert verify(other).intact
    export_lake(other, tmp_path / "again")
    other.close()
    import_lake(tmp_path / "again", tmp_path / "back", **back)
    home = Lake.open(tmp_path / "back")
    assert contents(home) == contents(lake)
    assert pixels(home) == pixels(lake)
    for moved in (other, home):
        assert moved.data.read("models/classifiers/c.npz") == b"a classifier"
    home.close()


def test_nothing_is_computed_again_in_an_imported_lake(
    kept: tuple[Lake, Path], folder: Path, tmp_path: Path
) -> None:
    _, raw = kept
    import_lake(folder, tmp_path / "lake")
    lake = Lake.open(tmp_path / "lake")
    before = contents(lake)
    with open_engine("serial") as engine:
        read = ingest(lake, read_source([raw]), engine=engine)
        found = segment_lake(lake, SETTINGS, engine=engine)
    assert (read.done, read.skipped, read.failed, read.failed_before) == (0, 2, 0, 1)
    assert (found.done, found.skipped) == (0, 2)
    assert contents(lake) == before
    lake.close()


def test_the_folder_is_read_without_nanolake(kept: tuple[Lake, Path], folder: Path) -> None:
    lake, raw = kept
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "MANIFEST.sha256"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    for name, count in manifest["rows"].items():
        assert pq.read_table(folder / "tables" / name).num_rows == count
        assert lake.query(f'SELECT count(*) AS n FROM "{name}"').to_pylist() == [{"n": count}]
    assert manifest["rows"]["particle"] > 10
    part = pq.ParquetFile(folder / "tables" / "particle" / "part-00000.parquet")
    assert part.metadata.row_group(0).column(0).compression == "ZSTD"
    row = lake.query("SELECT image_path FROM micrograph LIMIT 1").to_pylist()[0]
    array = zarr.open_array(str(folder / "pixels" / row["image_path"] / "0"), mode="r")
    np.testing.assert_array_equal(array[...], lake.images.read(row["image_path"]))
    kept_raw = {path.read_bytes() for path in (folder / "raw").rglob("*.tif")}
    assert kept_raw == {(raw / f"{number}.tif").read_bytes() for number in (0, 1)}
    listed = {path for _, path in read_list(folder)} | {"MANIFEST.json", "MANIFEST.sha256"}
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert listed == files
    assert manifest["files"] == len(files) - 2


def test_a_flipped_byte_of_any_file_is_named_and_not_imported(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert verify_folder(copy).intact
    names = ["README.txt", "MANIFEST.json", "MANIFEST.sha256", "lake.json"]
    names += [
        next(p for _, p in read_list(folder) if p.startswith(f"{part}/"))
        for part in ("tables", "pixels", "ledger", "models", "raw")
    ]
    for name in names:
        file = copy / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        if name != "MANIFEST.json":  # its last brace: no JSON any more
            found = verify_folder(copy)
            assert str(file) in [one.where for one in found.broken], name
        with pytest.raises(LakeError, match=name):
            import_lake(copy, tmp_path / "lake")
        assert not (tmp_path / "lake").exists()
        file.write_bytes(whole)
    next(copy.rglob("*.parquet")).unlink()
    assert [one.found for one in verify_folder(copy, quick=True).broken] == ["missing"]


def test_what_is_not_to_be_imported_is_refused(
    kept: tuple[Lake, Path], folder: Path, tmp_path: Path
) -> None:
    lake, raw = kept
    with pytest.raises(LakeError, match="holds rows already"):
        import_lake(folder, lake.root)
    with pytest.raises(LakeError, match=r"is no exported lake: it has no MANIFEST.json"):
        import_lake(raw, tmp_path / "lake")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    manifest = json.loads((copy / "MANIFEST.json").read_text())
    (copy / "MANIFEST.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(LakeError, match=r"has format 99, written by nanolake .*install the newer"):
        import_lake(copy, tmp_path / "lake")
    with pytest.raises(LakeError, match="is there already"):
        export_lake(lake, folder)


def test_an_import_that_was_interrupted_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nanolake.storage.ledger import Ledger

    def fail(*_: Any) -> int:
        raise KeyboardInterrupt

    for method in ("fill", "adopt"):
        owner: Any = Lake if method == "fill" else Ledger
        with monkeypatch.context() as patched:
            patched.setattr(owner, method, fail if method == "adopt" else lambda *a, **k: fail())
            with pytest.raises(KeyboardInterrupt):
                import_lake(folder, tmp_path / "lake")
    made = import_lake(folder, tmp_path / "lake")
    assert made.units == 5
    lake = Lake.open(tmp_path / "lake")
    found = verify(lake)
    assert found.broken == ()
    count = lake.query("SELECT count(*) AS n, count(DISTINCT particle_id) AS d FROM particle")
    assert count.to_pylist()[0]["n"] == count.to_pylist()[0]["d"] == made.rows["particle"]
    lake.close()


def test_a_broken_lake_is_not_exported_as_if_it_were_right(
    kept: tuple[Lake, Path], tmp_path: Path
) -> None:
    lake, _ = kept
    row = lake.query("SELECT min(label_path) AS path FROM segmentation").to_pylist()[0]
    data_file = lake.data_files()[-1].path
    for store, path in ((lake.images.folder, f"{row['path']}/0/c/0/0"), (lake.tables, data_file)):
        whole = store.read(path)
        store.write(path, whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(LakeError, match="nanolake verify"):
            export_lake(lake, tmp_path / "out")
        store.write(path, whole)
    assert list(tmp_path.iterdir()) == []


def test_an_older_moment_is_exported_and_a_full_disk_is_told_before(
    kept: tuple[Lake, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, _ = kept
    first = min(file.snapshot_id for file in lake.data_files() if file.table == "segmentation")
    made = export_lake(lake, tmp_path / "old", at=first - 1)
    assert made.rows["segmentation"] == 0
    assert made.rows["micrograph"] == made.pictures == 2
    assert not list((tmp_path / "old").rglob("labels"))
    assert verify_folder(tmp_path / "old").intact
    small = export_lake(lake, tmp_path / "small", pixels=False)
    assert small.pictures == 0
    assert not (tmp_path / "small" / "pixels").exists()
    full = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    said: list[str] = []
    with pytest.raises(LakeError, match=r"MB free, and some .* are to be written"):
        export_lake(lake, tmp_path / "full", on_forecast=said.append)
    assert "to write (tables" in said[0]
    with pytest.raises(LakeError, match=r"MB free, and .* are to be written"):
        import_lake(tmp_path / "old", tmp_path / "lake")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "small"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_models_in_mlflow_follow_the_lake(tmp_path: Path) -> None:
    """MLflow keeps the full address of each file: the old place may be gone."""
    pytest.importorskip("mlflow", reason="needs the extra `train`")
    from nanolake.storage.models import ModelRegistry

    lake = Lake.create(tmp_path / "lake")
    (tmp_path / "weights.onnx").write_bytes(b"weights")
    registry = ModelRegistry(lake.tracking_uri)
    run = registry.log(run_name="r", params={}, metrics={}, files=[tmp_path / "weights.onnx"])
    registry.register("shape", tmp_path / "weights.onnx", run)
    export_lake(lake, tmp_path / "out")
    lake.close()
    shutil.rmtree(lake.root)
    import_lake(tmp_path / "out", tmp_path / "elsewhere")
    moved = ModelRegistry(Lake.open(tmp_path / "elsewhere").tracking_uri)
    file, found = moved.fetch("shape", tmp_path / "fetched")
    assert file.read_bytes() == b"weights"
    assert found.run_id == run
    assert (moved.files(run, tmp_path / "files") / "weights.onnx").read_bytes() == b"weights"
