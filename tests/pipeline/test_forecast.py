"""Memory said before a segmentation: the lake's largest picture, and what the machine can give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nanolake import cli
from nanolake.engines import Engine
from nanolake.free_memory import available_bytes
from nanolake.pipeline import forecast as forecasts
from nanolake.pipeline.forecast import PROCESS_BYTES, Forecast
from nanolake.pipeline.ingest import ingest, read_source
from nanolake.pipeline.segment import segment_lake
from nanolake.segment import SegmentSettings
from nanolake.segment.memory import predicted_bytes
from nanolake.storage import Lake

GB = 10**9
FOUR = Forecast(
    stage="segment",
    what="largest picture 2048 x 4096 px",
    count=9,
    worker_bytes=3 * GB,
    workers=4,
    available_bytes=12 * GB,
)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_what_people_read() -> None:
    assert FOUR.line() == (
        "segment: up to 3.0 GB of memory a worker (largest picture 2048 x 4096 px), "
        "12 GB for 4 workers; 12 GB available"
    )
    assert replace(FOUR, workers=1, available_bytes=None).line().endswith("3.0 GB for 1 worker")


def test_the_remedy_is_the_number_of_workers_that_fits() -> None:
    """4 x 3 GB are 12 GB: they fit into 12, in a byte less only 3 of them do."""
    assert FOUR.warning() is None
    assert replace(FOUR, available_bytes=None).warning() is None
    assert "run with --workers 3" in str(replace(FOUR, available_bytes=12 * GB - 1).warning())
    assert "not even one fits" in str(replace(FOUR, available_bytes=3 * GB - 1).warning())


def test_the_largest_picture_that_is_still_to_be_done(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    said: list[Forecast] = []

    def run(settings: SegmentSettings, **more: Any) -> None:
        segment_lake(empty_lake, settings, engine=serial, on_forecast=said.append, **more)

    first, other = SegmentSettings(), SegmentSettings(method="williamson2022")
    ingest(empty_lake, read_source([write_tiff(tmp_path / "a.tif", discs(0))]), engine=serial)
    run(first)
    for name, pixels in {"b": discs(1)[:96], "c": discs(2)[:, :80]}.items():
        path = write_tiff(tmp_path / f"{name}.tif", pixels)
        ingest(empty_lake, read_source([path]), engine=serial)
    run(first)
    run(first)  # nothing is to be done, nothing said
    run(other)
    found = [(f.count, f.what, f.workers) for f in said]
    sizes = [(128, 128), (96, 128), (128, 128)]
    wanted = [f"largest picture {height} x {width} px" for height, width in sizes]
    assert found == list(zip((1, 2, 3), wanted, (1, 1, 1), strict=True))
    for one, size, settings in zip(said, sizes, (first, first, other), strict=True):
        assert one.worker_bytes == PROCESS_BYTES + predicted_bytes(*size, settings)


def test_describing_and_grouping_say_theirs_too(finished: Any, serial: Engine) -> None:
    from nanolake.pipeline.describe import describe_lake

    lake, said = finished.lake, list[Forecast]()
    describe_lake(lake, engine=serial, on_forecast=said.append)
    assert said == []  # all is done
    rows = lake.query(
        "SELECT s.segmentation_id, s.particle_count, m.height_px * m.width_px AS area "
        "FROM segmentation_current s JOIN micrograph_current m USING (micrograph_id) "
        "ORDER BY area * 15 + particle_count * 35000 DESC"
    ).to_pylist()
    units = {f"k{n}": row["segmentation_id"] for n, row in enumerate(rows)}
    found = forecasts.describe_forecast(lake, units, workers=3)
    assert found is not None
    assert found.what.endswith(f" px with {rows[0]['particle_count']:,} particles")
    assert (found.count, found.workers) == (len(rows), 3)
    taken = rows[0]["area"] * 15 + rows[0]["particle_count"] * 35_000
    assert found.worker_bytes == forecasts._DESCRIBE_BYTES + taken
    assert (
        "5,000 particles, 2,000 of them in the sample"
        in forecasts.group_forecast(5_000, 2_000).line()
    )


def test_what_failed_counts_only_where_it_is_tried_again(
    tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine
) -> None:
    ingest(empty_lake, read_source([write_tiff(tmp_path / "a.tif", discs(0))]), engine=serial)
    (row,) = empty_lake.query("SELECT image_path FROM micrograph").to_pylist()
    (empty_lake.images.root / row["image_path"] / "0" / "c" / "0" / "0").write_bytes(b"torn")
    said: list[Forecast] = []
    for retry in (False, False, True):
        report = segment_lake(
            empty_lake, engine=serial, on_forecast=said.append, retry_failed=retry
        )
        assert report.done == 0
    assert [one.count for one in said] == [1, 1]


def test_free_memory_of_the_machine(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
    write(tmp_path, {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    5000 kB\n"})
    assert available_bytes(tmp_path) == 5000 * 1024
    write(tmp_path, {"proc/self/cgroup": "4:cpu:/\n0::/job/step\n"})
    assert available_bytes(tmp_path) == 5000 * 1024


@pytest.mark.parametrize(
    ("line", "folder", "limit", "used", "cache"),
    [
        ("0::/job/step", "", "memory.max", "memory.current", "inactive_file"),
        ("4:memory:/job/step", "memory/", "memory.limit_in_bytes", "memory.usage_in_bytes",
         "total_inactive_file"),
    ],
)  # fmt: skip
def test_free_memory_of_the_control_groups(
    tmp_path: Path, line: str, folder: str, limit: str, used: str, cache: str
) -> None:
    """The step has no limit, the job around it 1000 of which 700 are used, 200 of them cache."""
    write(tmp_path, {"proc/meminfo": "MemAvailable: 5000 kB\n", "proc/self/cgroup": line})
    step, job = (f"sys/fs/cgroup/{folder}{name}" for name in ("job/step", "job"))
    unlimited = "max" if limit == "memory.max" else str(2**63 - 4096)
    write(tmp_path, {f"{step}/{limit}": unlimited, f"{step}/{used}": "600"})
    assert available_bytes(tmp_path) == 5000 * 1024
    write(tmp_path, {f"{job}/{limit}": "1000\n", f"{job}/{used}": "700\n"})
    write(tmp_path, {f"{job}/memory.stat": f"anon 500\n{cache} 200\n"})
    assert available_bytes(tmp_path) == 1000 - 700 + 200
    write(tmp_path, {f"{job}/{used}": "1900\n"})  # above its limit for a moment
    assert available_bytes(tmp_path) == 0


@pytest.fixture
def waiting(tmp_path: Path, empty_lake: Lake, discs: Any, write_tiff: Any, serial: Engine) -> Path:
    """A lake of one picture that is still to be segmented."""
    ingest(empty_lake, read_source([write_tiff(tmp_path / "a.tif", discs(0))]), engine=serial)
    return empty_lake.root


def command(*words: object) -> Any:
    result = CliRunner().invoke(cli.app, ["segment", *map(str, words), "--engine", "serial"])
    if result.exception is not None:
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_the_command_says_it_on_standard_error(waiting: Path) -> None:
    result = command("--lake", waiting, "--json")
    assert "largest picture 128 x 128 px" in result.stderr
    assert "of memory" not in result.stdout
    assert "of memory" not in command("--lake", waiting).stderr  # nothing to do, nothing said


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_the_command_warns_and_goes_on(
    waiting: Path, monkeypatch: pytest.MonkeyPatch, quiet: tuple[str, ...]
) -> None:
    monkeypatch.setattr(forecasts, "available_bytes", lambda: 5_000_000)
    result = command("--lake", waiting, "--set", "method=threshold", *quiet)
    lines = result.stderr.splitlines()
    assert len(lines) == (1 if quiet else 2)
    assert "1 worker may need 309 MB at once and 5.0 MB are available" in lines[-1]
    assert "1 micrographs done" in result.stdout


def test_no_warning_for_workers_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    from nanolake.cli.memory import forecaster

    scarce = replace(FOUR, available_bytes=GB)
    forecaster("dask", "tcp://10.0.0.1:8786", quiet=False)(scarce)
    assert capsys.readouterr().err.endswith("12 GB for 4 workers\n")
    forecaster("dask", None, quiet=True)(scarce)
    assert capsys.readouterr().err.startswith("warning: ")
