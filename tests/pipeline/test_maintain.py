"""Maintain: the lake gets smaller, every answer stays, and nothing of a live writer is touched."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nanolake.contracts import get_table
from nanolake.errors import LakeError, QueryError, SettingsError
from nanolake.pipeline import maintain
from nanolake.pipeline.maintain import MaintainSettings, maintain_lake, read_age
from nanolake.storage import Lake, Unit, array_sha256
from nanolake.storage.folders import LocalFolder

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
AT_ONCE = MaintainSettings(expire_older_than_s=0, orphans_older_than_s=0)
BESIDE = Path(__file__).with_name("beside.py")
TICK_S = 1.1
"""S3 knows the time of a file to a second."""
NewLake = Callable[[], Lake]
QUESTIONS = (
    "SELECT lab_id, lab FROM lab ORDER BY 1",
    "SELECT * FROM micrograph_current ORDER BY micrograph_id",
    "SELECT * FROM segmentation_current ORDER BY segmentation_id",
    "SELECT * FROM morphology ORDER BY particle_id",
    "SELECT count(*) AS n, round(sum(area_px2), 6) AS area FROM particle",
)


def answers(lake: Lake, at: Any = None) -> list[Any]:
    return [lake.query(sql, at=at).to_pylist() for sql in QUESTIONS]


def commit(lake: Lake, name: str, **more: Any) -> int:
    row = {"lab_id": name, "lab": name, "unit_key": more.get("unit", "u"), "created_at": NOW}
    keys = [more["unit"]] if "unit" in more else []
    number = lake.commit({"lab": [row]}, message=name, unit_keys=keys)
    assert number is not None
    return number


def claim(lake: Lake, key: str, step: str = "ingest", owner: str | None = None) -> None:
    lake.ledger.claim([Unit(key=key, step=step, subject=key)], owner=owner)


def select(lake: Lake, snapshot: int, version: int = 1) -> None:
    row = {"selection": "mine", "selection_version": version, "snapshot_id": snapshot}
    counts = {"particle_count": 1, "labelled_count": 0}
    about = {"selected_by": "me", "content_sha256": "0", "code_version": "0"}
    stamp = {"unit_key": "u", "created_at": NOW}
    lake.commit({"selection": [row | counts | about | stamp]}, message="selection")


def snapshots(lake: Lake) -> list[int]:
    rows = lake.query("SELECT snapshot_id FROM lake.snapshots() ORDER BY 1")
    return [int(number) for number in rows.column(0).to_pylist()]


def files(lake: Lake) -> set[str]:
    return {entry.path for part in ("pixels", "tables") for entry in lake.data.walk(part)}


def row_of(table: str, **values: Any) -> dict[str, Any]:
    """A row with something of the right type in every column that must not be NULL."""
    by_type = {"string": "x", "json": "{}", "int32": 1, "int64": 1, "timestamp": NOW, "bool": True}
    return {
        column.name: column.allowed[0] if column.allowed else by_type.get(column.type, 1.0)
        for column in get_table(table).columns
        if column.required
    } | values


@pytest.fixture
def lake(new_lake: NewLake) -> Iterator[Lake]:
    """Three pictures with label images, a commit each; then five labs, each in one of its own."""
    lake = new_lake()
    ids = {"segmentation_run_id": "run"}
    lake.commit({"segmentation_run": [row_of("segmentation_run", **ids)]}, message="run")
    for number in range(3):
        name = f"m{number}"
        pixels = lake.images.write("known", name, picture_of(number))
        labels = lake.images.write_labels(pixels.path, "run", picture_of(number))
        picture = {"micrograph_id": name, "image_path": pixels.path}
        segmentation = ids | {"segmentation_id": f"s{number}", "micrograph_id": name}
        where = {"label_path": labels.path, "label_sha256": labels.sha256}
        particle = {"particle_id": f"p{number}", "area_px2": 0.1 + number}
        tables = {
            "micrograph": [row_of("micrograph", **picture, pixel_sha256=pixels.sha256)],
            "segmentation": [row_of("segmentation", **segmentation, **where)],
            "particle": [row_of("particle", **segmentation, **particle)],
        }
        lake.commit(tables, message=name)
    for name in "abcde":
        commit(lake, name)
    yield lake
    lake.close()


def picture_of(value: int) -> NDArray[np.uint16]:
    return np.full((64, 64), value, np.uint16)


def pictures_are_whole(lake: Lake) -> bool:
    micrographs = lake.query("SELECT image_path AS path, pixel_sha256 AS sha256 FROM micrograph")
    labels = lake.query("SELECT label_path AS path, label_sha256 AS sha256 FROM segmentation")
    rows = micrographs.to_pylist() + labels.to_pylist()
    found = [array_sha256(lake.images.read(row["path"])) == row["sha256"] for row in rows]
    return len(found) >= 6 and all(found)


def test_files_get_fewer_and_every_answer_stays(lake: Lake) -> None:
    pinned = snapshots(lake)[-3]
    was, before = answers(lake, pinned), answers(lake)
    select(lake, pinned)
    other = Lake.open(lake.root)
    assert answers(other, pinned) == was  # it has the old files before it when they are merged
    done = maintain_lake(lake, MaintainSettings())
    assert done.merged >= 5
    assert done.files_after.count < done.files_before.count
    assert (done.expired, done.orphans, done.replaced.count) == (0, {}, 0)
    assert done.waiting.count == done.merged
    assert answers(lake) == answers(other) == before
    assert answers(lake, pinned) == answers(other, pinned) == was
    done = maintain_lake(lake, AT_ONCE)
    assert done.merged == 0
    assert (done.kept_pinned, done.kept_claimed) == (1, 0)
    assert done.replaced.count >= 5
    assert done.bytes_freed >= done.replaced.size_bytes > 0
    assert snapshots(lake) == [pinned, max(snapshots(lake))]
    assert answers(lake) == before
    assert answers(lake, pinned) == was
    assert pictures_are_whole(lake)
    assert len([path for path in files(lake) if path.endswith(".parquet")]) == (
        done.files_after.count
    )
    left, numbers = files(lake), snapshots(lake)
    again = maintain_lake(lake, AT_ONCE)
    assert (again.merged, again.expired, again.bytes_freed) == (0, 0, 0)
    assert (files(lake), snapshots(lake)) == (left, numbers)
    with pytest.raises(QueryError, match="has expired"):
        answers(other, pinned + 1)
    other.close()


def test_a_dry_run_says_it_and_changes_nothing(lake: Lake) -> None:
    stray(lake, "old")
    claim(lake, "k", owner="gone:1")
    forget_lease(lake)
    before, numbers = files(lake), snapshots(lake)
    done = maintain_lake(lake, AT_ONCE, dry_run=True)
    assert (done.recovered, done.expired) == (1, len(numbers) - 1)
    assert done.merged >= 5
    kinds = {"picture": 1, "labels": 1, "rows": 1}
    assert {kind: one.count for kind, one in done.orphans.items()} == kinds
    assert (files(lake), snapshots(lake)) == (before, numbers)
    assert list(lake.ledger.claimed()) == ["k"]
    assert done.line().startswith("maintain (dry run: nothing was changed, this would be): ")
    real = maintain_lake(lake, AT_ONCE)
    assert {kind: one.count for kind, one in real.orphans.items()} == kinds
    assert real.orphans == done.orphans
    # Merging makes snapshots of its own, of which only the last is kept.
    assert real.expired > done.expired


def forget_lease(lake: Lake) -> None:
    with lake.ledger._database.transaction() as session:
        session.execute("UPDATE work_unit SET lease_until_s = 0")


def stray(lake: Lake, name: str) -> dict[str, Any]:
    """Leave what a killed writer leaves: pixels and labels without rows, rows without a commit."""
    pixels = picture_of(len(name))
    picture = lake.images.write("exp", name, pixels)
    known = lake.query("SELECT min(image_path) AS p FROM micrograph").to_pylist()[0]["p"]
    labels = lake.images.write_labels(known, name, pixels)
    parquet = f"main/lab/ducklake-{name}.parquet"
    lake.tables.write(parquet, b"rows")
    return {"picture": picture, "labels": labels, "rows": parquet}


def lies(lake: Lake, found: dict[str, Any]) -> dict[str, bool]:
    """Whether each of what `stray` left is there still."""
    return {
        "picture": lake.images.folder.exists(f"{found['picture'].path}/zarr.json"),
        "labels": lake.images.folder.exists(f"{found['labels'].path}/zarr.json"),
        "rows": lake.tables.exists(found["rows"]),
    }


def listed_labels(lake: Lake, found: dict[str, Any]) -> list[str]:
    import json

    path = found["labels"].path.rpartition("/")[0]
    group = json.loads(lake.images.folder.read(f"{path}/zarr.json"))
    return list(group["attributes"]["ome"]["labels"])


def test_only_old_orphans_go(lake: Lake) -> None:
    old = stray(lake, "old")
    time.sleep(TICK_S)
    between = datetime.now(UTC)
    time.sleep(3 * TICK_S)  # the age is reckoned from when maintain asks for the time
    young = stray(lake, "young")
    before = answers(lake)
    age = (datetime.now(UTC) - between).total_seconds()
    done = maintain_lake(lake, MaintainSettings(orphans_older_than_s=age))
    assert {kind: one.count for kind, one in done.orphans.items()} == {
        "picture": 1,
        "labels": 1,
        "rows": 1,
    }
    assert not any(lies(lake, old).values())
    assert all(lies(lake, young).values())
    assert "old" not in listed_labels(lake, young)
    assert "young" in listed_labels(lake, young)
    assert not any(path.startswith("pixels/exp.zarr/old") for path in files(lake))
    assert answers(lake) == before
    assert pictures_are_whole(lake)


@contextmanager
def beside(*words: object) -> Iterator[subprocess.Popen[str]]:
    """Run another process at the lake; it is gone afterwards."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(BESIDE), *map(str, words)], **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_a_live_writer_stored_or_took_over_stays(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "CLOCKS_S", 1.0)  # what the writer stores may look 1 s older
    old, before = stray(lake, "old"), answers(lake)
    lake.close()
    time.sleep(TICK_S)
    with beside("write", lake.root) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "staged\n"
        time.sleep(TICK_S)
        done = maintain_lake(lake, AT_ONCE)
        assert done.kept_live == 2
        assert "that a live writer may name" in done.line()
        assert {kind: one.count for kind, one in done.orphans.items()} == {"rows": 1}
        assert lies(lake, old) == {"picture": True, "labels": True, "rows": False}
        assert lake.tables.exists("main/lab/ducklake-live.parquet")
        assert answers(lake) == before
        writer.communicate("go\n", timeout=120)
        assert writer.returncode == 0
    assert lake.query("SELECT 1 FROM micrograph").num_rows == 5
    assert pictures_are_whole(lake)
    if isinstance(lake.data, LocalFolder):
        assert (lake.images.root / "exp.zarr" / ".writing-live-1").exists()
    done = maintain_lake(lake, AT_ONCE)
    assert done.kept_live == 0
    assert lies(lake, old) == {"picture": True, "labels": False, "rows": False}
    assert lake.query("SELECT 1 FROM micrograph").num_rows == 5
    assert pictures_are_whole(lake)
    assert not [path for path in files(lake) if "live-1" in path or "ducklake-live" in path]


def test_a_unit_in_an_old_snapshot_is_still_found_committed(lake: Lake) -> None:
    """Its owner lives and has not marked it done: the snapshot that says so is kept."""
    claim(lake, "mine")
    number = commit(lake, "f", unit="mine")
    claim(lake, "dead", owner="gone:1")
    commit(lake, "g")
    commit(lake, "h")
    done = maintain_lake(lake, AT_ONCE)
    assert done.kept_claimed == 1
    assert number in snapshots(lake)
    forget_lease(lake)
    assert lake.recover() == (1, 1)
    states = lake.query("SELECT unit_key, state, snapshot_id FROM work_unit WHERE unit_key < 'n'")
    kept = [row for row in states.to_pylist() if row["unit_key"] == "mine"]
    assert kept == [{"unit_key": "mine", "state": "done", "snapshot_id": number}]
    assert maintain_lake(lake, AT_ONCE).kept_claimed == 0
    assert number not in snapshots(lake)


def test_a_dead_process_is_settled_before_its_snapshot_expires(lake: Lake) -> None:
    claim(lake, "k")
    number = commit(lake, "f", unit="k")
    commit(lake, "g")
    forget_lease(lake)
    assert maintain_lake(lake, AT_ONCE).recovered == 1
    assert number not in snapshots(lake)
    (row,) = lake.query("SELECT state FROM work_unit WHERE unit_key = 'k'").to_pylist()
    assert row == {"state": "done"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "nth"),
    [
        ("maintenance", "compact", 3),
        ("maintenance", "expire", 1),
        ("folder", "remove", 2),
        ("maintenance", "remove_lost_rows", 1),
        ("images", "_list_labels", 1),
    ],
)
def test_killed_in_the_middle_it_is_run_again(lake: Lake, owner: str, name: str, nth: int) -> None:
    found, before = stray(lake, "old"), answers(lake)
    lake.close()
    time.sleep(TICK_S)
    with beside("die", lake.root, owner, name, nth) as worker:
        assert worker.wait(120) == -signal.SIGKILL
    assert answers(lake) == before
    assert pictures_are_whole(lake)
    maintain_lake(lake, AT_ONCE)
    maintain_lake(lake, AT_ONCE)  # what the first has merged is younger than its own beginning
    assert not any(lies(lake, found).values())
    assert len(snapshots(lake)) == 1
    assert answers(lake) == before
    assert pictures_are_whole(lake)
    assert maintain_lake(lake, AT_ONCE).bytes_freed == 0


def test_what_was_cut_off_while_it_was_written(lake: Lake) -> None:
    (half_written if isinstance(lake.data, LocalFolder) else half_uploaded)(lake)


def half_written(lake: Lake) -> None:
    experiment = next(lake.images.root.iterdir())
    (picture,) = list(experiment.glob("*/labels"))[:1]
    (experiment / ".writing-empty").mkdir()
    (experiment / ".writing-full" / "0").mkdir(parents=True)
    (experiment / ".writing-full" / "0" / "zarr.json").write_text("{}")
    (picture / ".writing-labels").mkdir()
    (picture / ".zarr.json-0a1b2c3d").write_text("{}")
    (experiment / "notes.txt").write_text("mine")
    assert "leftover" not in maintain_lake(lake, MaintainSettings()).orphans
    assert (experiment / ".writing-empty").exists()
    done = maintain_lake(lake, AT_ONCE)
    assert done.orphans["leftover"].count == 4
    assert not list(experiment.rglob(".*"))
    assert (experiment / "notes.txt").exists()
    assert pictures_are_whole(lake)


def half_uploaded(lake: Lake) -> None:
    import boto3

    client = boto3.client("s3")
    where = {"Bucket": lake.data.bucket, "Key": f"{lake.data.prefix}/tables/x.parquet"}
    upload = client.create_multipart_upload(**where)["UploadId"]
    client.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")
    # A picture whose upload was cut off: its pixels are there, what describes it is not.
    lake.images.folder.write("exp.zarr/half/0/c/0/0", b"pixels")
    assert maintain_lake(lake, MaintainSettings()).orphans == {}
    time.sleep(TICK_S)
    done = maintain_lake(lake, AT_ONCE)
    assert {kind: one.count for kind, one in done.orphans.items()} == {"picture": 1, "upload": 1}
    assert "Uploads" not in client.list_multipart_uploads(
        Bucket=where["Bucket"], Prefix=where["Key"]
    )
    assert not lake.images.folder.exists("exp.zarr/half/0/c/0/0")


def test_uploads_that_may_not_be_listed_are_said(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise LakeError("unfinished uploads below s3://lake cannot be ended: AccessDenied")

    monkeypatch.setattr(type(lake.data), "abandon_uploads", refuse)
    assert maintain_lake(lake, MaintainSettings()).notes[0].endswith("AccessDenied")


def test_one_experiment_is_listed_at_a_time(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    stray(lake, "old")
    asked = []
    real = type(lake.data).scan

    def scan(folder: Any, path: str = "") -> Any:
        asked.append(path)
        return real(folder, path)

    monkeypatch.setattr(type(lake.data), "scan", scan)
    maintain_lake(lake, MaintainSettings(), dry_run=True)
    assert sorted(asked) == ["", *lake.images.folder.children("")]  # "": the rows' own folder


@pytest.mark.parametrize("text", ["", "1", "d", "-1d", "1 w", "1e9d"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no age: write a number and s, m, h or d"):
        read_age(text)


def test_ages() -> None:
    assert timedelta(seconds=read_age("36h")) == timedelta(days=1.5)
    assert read_age("0s") == 0.0
