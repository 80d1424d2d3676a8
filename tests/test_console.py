"""What people see: files for answers, and the table of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nanolake.cli.ending import finish_measure
from nanolake.console import write_answer
from nanolake.errors import SettingsError
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
