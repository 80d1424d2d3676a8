"""What people see: files for answers, and the table of what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nanolake.cli.ending import finish_measure
from nanolake.console import write_answer
from nanolake.errors import QueryError, SettingsError
from nanolake.pipeline.measure import Measured, MeasureReport
from nanolake.records import PixelSize, Trust

ANSWER = pa.table({"a": [1, 2]})


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "table"])
def test_an_answer_makes_its_folder(tmp_path: Path, form: str) -> None:
    out = tmp_path / "no" / "where" / f"x.{form}"
    write_answer(ANSWER, form, out)
    assert out.stat().st_size > 0


def test_an_answer_needs_a_file_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="is a file, not a folder"):
        write_answer(ANSWER, "csv", tmp_path / "file" / "x.csv")
    with pytest.raises(SettingsError, match="is a folder: name a file in it"):
        write_answer(ANSWER, "csv", tmp_path)


def _measured(name: str, size: PixelSize) -> Measured:
    columns = {f"equivalent_diameter_area_{unit}": np.array([1.0, 2.0]) for unit in ("px", "nm")}
    return Measured(
        name=name, count=2, excluded={}, pixel_size=size, table=columns, overlay=Path(name)
    )


def _shown(capsys: Any, *pictures: Measured) -> list[str]:
    report = MeasureReport(pictures=pictures, failures=(), csv=Path("particles.csv"))
    finish_measure(report, as_json=False, strict=False)
    return str(capsys.readouterr().out).splitlines()


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (PixelSize(y_nm=0.5, x_nm=0.5, source="dm", trust=Trust.METADATA), "dm"),
        (PixelSize(y_nm=0.5, x_nm=0.5, source="sheet", trust=Trust.SHEET), "sheet"),
        (
            PixelSize(raw_y=5.0, raw_x=5.0, raw_unit="m", source="dm", trust=Trust.IMPLAUSIBLE),
            "implausible (dm: 5 m)",
        ),
        (PixelSize(raw_y=2.0, raw_x=2.0, raw_unit="px", source="dm"), "unknown (dm: 2 px)"),
        (PixelSize(), "unknown"),
    ],
)
def test_a_pixel_size_that_was_not_used_does_not_look_like_one(
    capsys: pytest.CaptureFixture[str], size: PixelSize, shown: str
) -> None:
    head, _, row, _ = _shown(capsys, _measured("a", size))
    start = head.index("pixel size from")
    assert row[start : head.index("left out")].strip() == shown


def test_a_long_stack_is_cut_and_points_to_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    stack = [_measured(f"s_{frame:03d}", PixelSize()) for frame in range(40)]
    lines = _shown(capsys, *stack[:30])
    assert len(lines) == 2 + 30 + 1  # heading, its line, the frames, the last line
    lines = _shown(capsys, *stack)
    assert len(lines) == 2 + 30 + 2
    assert lines[-2] == "… 10 more pictures: all their particles are in particles.csv"
    assert lines[-1].startswith("80 particles in 40 pictures")


def test_what_arrives_in_batches_is_written_as_if_it_came_at_once(tmp_path: Path) -> None:
    times = pa.array([0, 1, None], pa.timestamp("us", "UTC"))
    rows = {"n": [1, None, 3], "x": [0.5, None, 2.0], "t": times, "s": ["a\nb", 'c,"', None]}
    whole = pa.table(rows)
    parts = pa.Table.from_batches([b for i in range(3) for b in whole.slice(i, 1).to_batches()])
    for form in ("csv", "json", "parquet", "table"):
        write_answer(whole, form, tmp_path / "whole")
        write_answer(parts, form, tmp_path / "parts")
        if form == "parquet":
            assert pq.read_table(tmp_path / "parts").equals(whole)
        else:
            assert (tmp_path / "parts").read_text() == (tmp_path / "whole").read_text()
    write_answer(whole.slice(0, 0), "json", tmp_path / "empty")
    assert json.loads((tmp_path / "empty").read_text()) == []
    write_answer(whole.slice(0, 0), "csv", tmp_path / "empty")
    assert (tmp_path / "empty").read_text() == "n,x,t,s\n"


def test_an_answer_that_fails_half_way_leaves_no_file(tmp_path: Path) -> None:
    class Failing:
        schema = ANSWER.schema

        def __iter__(self) -> Iterator[pa.RecordBatch]:
            yield from ANSWER.to_batches()
            raise QueryError("the second batch")

    (tmp_path / "x.csv").write_text("of before")
    for form in ("csv", "json", "parquet"):
        with pytest.raises(QueryError, match="the second batch"):
            write_answer(Failing(), form, tmp_path / "x.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
    assert (tmp_path / "x.csv").read_text() == "of before"
