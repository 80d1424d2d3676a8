"""Answers in batches: what they hold, what they cost, and what DuckDB may take."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nanolake.errors import QueryError, SettingsError
from nanolake.storage import Lake
from nanolake.storage.reading import memory_limit_bytes

MANY = (
    "SELECT i, i * 0.5 AS a, i * 0.25 AS b, i + 1 AS c, i + 2 AS d, i + 3 AS e, "
    "hash(i)::VARCHAR AS s FROM range({}) r(i)"
)


def test_a_stream_gives_what_a_question_gives(new_lake: Callable[[], Lake]) -> None:
    lake = new_lake()
    with lake.stream(MANY.format(10_000), batch_rows=2048) as answer:
        assert answer.schema.names == ["i", "a", "b", "c", "d", "e", "s"]
        batches = list(answer)
    assert len(batches) > 2
    whole = lake.query(MANY.format(10_000))
    assert [row for batch in batches for row in batch.to_pylist()] == whole.to_pylist()
    with lake.stream("SELECT ? AS n, $$x$$ AS s", [7]) as answer:
        assert [batch.to_pylist() for batch in answer] == [[{"n": 7, "s": "x"}]]
    with lake.stream("FROM lab") as answer:
        assert list(answer) == []
    lake.close()


def test_a_stream_refuses_and_fails_as_a_question_does(new_lake: Callable[[], Lake]) -> None:
    lake = new_lake()
    for sql in ("DELETE FROM lab", "FROM read_csv('/etc/passwd')", "FROM no_table"):
        with pytest.raises(QueryError), lake.stream(sql):
            pass
    # Where another thread of DuckDB is told first, that it was interrupted is what arrives.
    late = "SELECT CASE WHEN i = 300000 THEN error('too late') ELSE i END FROM range(400000) r(i)"
    with pytest.raises(QueryError, match=r"too late|Interrupted"), lake.stream(late) as answer:
        list(answer)
    lake.close()


def test_the_memory_limit_is_a_setting(
    monkeypatch: pytest.MonkeyPatch, new_lake: Callable[[], Lake]
) -> None:
    for text, size in (("4GB", 4 * 10**9), ("500 mb", 5 * 10**8), ("1.5G", 15 * 10**8)):
        monkeypatch.setenv("NANOLAKE_MEMORY", text)
        assert memory_limit_bytes() == size
    for text in ("much", "0GB", "-1GB", "60%"):
        monkeypatch.setenv("NANOLAKE_MEMORY", text)
        with pytest.raises(SettingsError, match=r"NANOLAKE_MEMORY='.*' is no size: write 4GB"):
            memory_limit_bytes()
    monkeypatch.setattr("nanolake.storage.reading.available_bytes", lambda: 10**9)
    monkeypatch.delenv("NANOLAKE_MEMORY")
    assert memory_limit_bytes() == 6 * 10**8
    monkeypatch.setenv("NANOLAKE_MEMORY", "300MB")
    lake = new_lake()
    (row,) = lake.query("SELECT current_setting('memory_limit') AS limit").to_pylist()
    assert row["limit"] == "286.1 MiB"
    lake.close()


def test_what_does_not_fit_is_spilled_outside_the_lake(
    monkeypatch: pytest.MonkeyPatch, new_lake: Callable[[], Lake], tmp_path: Path
) -> None:
    """Sorting 3 million rows takes more than 200 MB; the reader may open no file of its own."""
    monkeypatch.setenv("NANOLAKE_MEMORY", "200MB")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spill"))
    (tmp_path / "spill").mkdir()
    lake = new_lake()
    lake.query("FROM lab")
    before, last, spilled = sorted(lake.root.rglob("*")), "", 0
    with lake.stream(f"SELECT * FROM ({MANY.format(3_000_000)}) ORDER BY s") as answer:
        for batch in answer:
            files = (tmp_path / "spill").rglob("*.tmp")
            spilled = max(spilled, sum(file.stat().st_size for file in files))
            texts = batch.column("s")
            assert last <= texts[0].as_py()
            last = texts[-1].as_py()
    assert spilled > 50_000_000
    assert sorted(lake.root.rglob("*")) == before
    lake.close()
    assert list((tmp_path / "spill").iterdir()) == []


ASK = """
import sys
from nanolake.cli import app
try:
    app(sys.argv[1:])
except SystemExit:
    pass
# Not resource.getrusage: that begins with the peak of the process that started this one.
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) * 1024, file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_five_million_rows_take_no_more_memory_than_fifty_thousand(
    tmp_path: Path, form: str
) -> None:
    """The whole answer would be 330 MB as Arrow, and several GB as Python's numbers for JSON."""
    Lake.create(tmp_path / "lake").close()
    peaks = {}
    for count in (50_000, 1_000_000 if form == "json" else 5_000_000):
        out = tmp_path / f"{count}.{form}"
        command = [sys.executable, "-c", ASK, "sql", MANY.format(count), "--format", form]
        done = subprocess.run(
            [*command, "--out", str(out), "--lake", str(tmp_path / "lake")],
            env={**os.environ, "NANOLAKE_MEMORY": "300MB"},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[count] = int(done.stderr.split()[-1])
    few, many = peaks.values()
    sys.stderr.write(f"{form}: {few / 1e6:.0f} MB, {many / 1e6:.0f} MB\n")
    assert many - few < 100_000_000
    if form == "parquet":
        assert pq.ParquetFile(out).metadata.num_rows == 5_000_000
