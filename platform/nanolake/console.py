"""What people see: progress while it runs, tables, and a last line. Quiet when not a terminal."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from nanolake.errors import SettingsError
from nanolake.progress import Progress, silent

if TYPE_CHECKING:
    import pyarrow as pa

_GAP = "  "
_FEW_COLUMNS = 6
FORMATS = ("table", "csv", "json", "parquet")


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Progress]:
    """Give a progress function: a bar a stage with rate and time left, on a terminal's stderr."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bars,
    )

    columns = (
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:

        def show(stage: str, done: int, total: int) -> None:
            if total == 0:
                return
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, rate="")
            speed = bars.tasks[tasks[stage]].speed
            bars.update(
                tasks[stage], completed=done, total=total, rate=f"{speed:.1f}/s" if speed else ""
            )

        yield show


def say(text: str = "") -> None:
    """Print one line to standard output."""
    sys.stdout.write(f"{text}\n")


def warn(text: str) -> None:
    """Print one line to standard error."""
    sys.stderr.write(f"{text}\n")


def say_json(value: Any) -> None:
    """Print a value as JSON, for machines."""
    say(_dumped(value))


def _dumped(value: Any) -> str:
    """Return JSON as its standard has it: what is not finite is null."""
    return json.dumps(_finite(value), indent=2, default=_plain, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def say_table(rows: Sequence[Mapping[str, Any]], *, title: str = "", limit: int = 200) -> None:
    """Print rows as a table; a long one is cut after ``limit`` rows and says so.

    A table wider than the terminal is turned: its columns become lines. In a pipe or a file it is
    as wide as it needs to be.
    """
    if not rows:
        say(f"{title}: none" if title else "no rows")
        return
    if title:
        say(f"\n{title}")
    names = list(rows[0])
    cells = [[cell(row[name]) for name in names] for row in rows[:limit]]
    numeric = [all(_is_number(row[name]) for row in rows[:limit]) for name in names]
    width = _terminal_width()
    if width is None or _needed([names, *cells]) <= width or len(names) <= _FEW_COLUMNS:
        _print([names, *cells], numeric, width)
    else:
        _print_turned(names, cells, width)
    if len(rows) > limit:
        say(f"… {len(rows) - limit:,} more rows: use --format csv or parquet for all")


def cell(value: Any) -> str:
    """Return a value as it stands in a table: four significant digits, a dash for unknown.

    >>> cell(12.34567), cell(None), cell(1200000), cell(0.000123456)
    ('12.35', '–', '1,200,000', '0.0001235')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return str(value)


def say_failures(failures: Iterable[Any]) -> None:
    """Print the table of what failed, if anything did."""
    rows = [
        {"stage": f.stage, "reason": f.reason, "path": f.path, "message": f.message}
        for f in failures
    ]
    if rows:
        say_table(rows, title=f"{len(rows)} failure{'s' * (len(rows) != 1)}")


class Batches(Protocol):
    """An answer that arrives in batches of rows."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        ...

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...


def write_answer(answer: pa.Table | Batches, form: str = "table", out: Path | None = None) -> None:
    """Write ``answer`` to ``out``, making its folder, or to standard output where that is None.

    Batches are written as they come and not kept; a file gets its name when it is whole. Raises
    `SettingsError` for an unknown form and for Parquet without a file.
    """
    if form not in FORMATS:
        raise SettingsError(f"--format {form!r} is not one of {', '.join(FORMATS)}")
    if form == "parquet" and out is None:
        raise SettingsError("--format parquet needs a file: add --out answer.parquet")
    batches = iter(answer.to_batches() if hasattr(answer, "to_batches") else answer)
    if out is None and form == "table":
        _table(batches)
    elif out is None:
        _write_text(sys.stdout, form, answer.schema, batches)
    else:
        _make_room(out)
        half = out.with_name(f".{out.name}.half")
        try:
            _write_file(half, form, answer.schema, batches)
            half.replace(out)
        finally:
            half.unlink(missing_ok=True)


def _write_file(path: Path, form: str, schema: pa.Schema, batches: Iterator[Any]) -> None:
    if form != "parquet":
        with path.open("w", encoding="utf-8") as file:
            _write_text(file, form, schema, batches)
        return
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_text(file: TextIO, form: str, schema: pa.Schema, batches: Iterator[Any]) -> None:
    if form == "json":
        _write_json(file, batches)
        return
    schema.empty_table().to_pandas().to_csv(file, index=False)
    for batch in batches:
        frame = batch.to_pandas(integer_object_nulls=True)
        # Pandas would write the times of one batch to the second and those of the next beyond.
        for name in frame.select_dtypes(["datetime", "datetimetz"]).columns:
            frame[name] = frame[name].map(str, na_action="ignore")
        frame.to_csv(file, index=False, header=False)


def _write_json(file: TextIO, batches: Iterator[Any]) -> None:
    """Write a list, each row as it stands in a list that is written all at once."""
    between = "[\n"
    for batch in batches:
        for row in batch.to_pylist():
            file.write(between + textwrap.indent(_dumped(row), "  "))
            between = ",\n"
    file.write("[]\n" if between == "[\n" else "\n]\n")


def _make_room(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SettingsError(f"--out {out}: {out.parent} is a file, not a folder") from None
    if out.is_dir():
        raise SettingsError(f"--out {out} is a folder: name a file in it")


def _table(batches: Iterator[Any]) -> None:
    limit, rows, count = 200, list[dict[str, Any]](), 0
    for batch in batches:
        rows += batch.slice(0, limit - len(rows)).to_pylist()
        count += batch.num_rows
    say_table(rows, limit=limit)
    if count > limit:
        say(f"… {count - limit:,} more rows: use --format csv, json or parquet for all")


def _is_number(value: Any) -> bool:
    return value is None or (
        isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    )


def _terminal_width() -> int | None:
    """Columns of the terminal; None where the output goes into a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _needed(lines: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) + len(_GAP) for column in zip(*lines, strict=True))


def _print_turned(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> None:
    """Print columns as lines, as many rows side by side as the terminal holds."""
    first = max(map(len, names)) + len(_GAP)
    each = max(len(text) for row in cells for text in row) + len(_GAP)
    count = max(1, (width - first) // each)
    for start in range(0, len(cells), count):
        part = cells[start : start + count]
        if start:
            say()
        lines = [[name, *(row[i] for row in part)] for i, name in enumerate(names)]
        _print(lines, [False] * len(lines[0]), width, head=False)


def _print(
    lines: Sequence[Sequence[str]], right: Sequence[bool], width: int | None, *, head: bool = True
) -> None:
    """Print aligned lines, the first underlined; the widest columns give way to the terminal."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - (width or sys.maxsize)
    for _ in range(over):
        widths[widths.index(max(widths))] -= 1
    for number, line in enumerate(lines):
        _print_line(line, widths, right)
        if head and number == 0:
            say("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)))


def _print_line(line: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> None:
    """Print one line; a text that is too long goes on below, in its own column."""
    rests = [textwrap.wrap(text, size) or [""] for text, size in zip(line, widths, strict=True)]
    for depth in range(max(map(len, rests))):
        parts = [rest[depth] if depth < len(rest) else "" for rest in rests]
        padded = [
            part.rjust(size) if is_right else part.ljust(size)
            for part, size, is_right in zip(parts, widths, right, strict=True)
        ]
        say(_GAP.join(padded).rstrip())


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)
