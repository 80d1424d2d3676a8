"""A sample sheet's rows as text, from CSV, XLSX or YAML."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanolake.errors import SheetError

Row = tuple[int, dict[str, str]]
"""Row number as a spreadsheet shows it, and the cells that are not empty by column name."""

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_MAY_HAVE_COMMA = re.compile(r"\s*(pixel[\s_-]size[\s_-]nm\s*$|condition\s*:)", re.I)


def with_point(text: str) -> str | None:
    """Return a number that is written with a decimal comma with a point, None for all else.

    >>> with_point("0,25"), with_point("OA, OAm"), with_point("1.5")
    ('0.25', None, None)
    """
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text.strip()) else None


def sheet_rows(path: Path) -> list[Row]:
    """Return the rows of a sheet. Raises `SheetError`."""
    path = Path(path)
    if not path.is_file():
        raise SheetError(f"there is no sample sheet {path}")
    readers = {
        ".csv": _csv_rows,
        ".tsv": _csv_rows,
        ".xlsx": _xlsx_rows,
        ".yaml": _yaml_rows,
        ".yml": _yaml_rows,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise SheetError(f"{path}: a sample sheet ends in {', '.join(readers)}")
    rows = [(number, row) for number, row in read(path) if row]
    if not rows:
        raise SheetError(f"{path}: the sheet has no rows")
    return rows


def _csv_rows(path: Path) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SheetError(
            f"{path}: not UTF-8 text; in the spreadsheet choose 'Save as CSV UTF-8'"
        ) from None
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        names = next(reader, [])
        for cells in reader:
            row = _named(path, reader.line_num, names, cells)
            yield reader.line_num, _with_points(row) if delimiter == ";" else row
    except csv.Error as error:
        raise SheetError(f"{path}, row {reader.line_num}: {error}") from None


def _with_points(row: dict[str, str]) -> dict[str, str]:
    """Spreadsheets that write decimal commas part columns by semicolons: there, read them."""
    return {
        name: (with_point(cell) or cell) if _MAY_HAVE_COMMA.match(name) else cell
        for name, cell in row.items()
    }


def _xlsx_rows(path: Path) -> Iterator[Row]:
    import warnings
    from zipfile import BadZipFile

    import openpyxl

    try:
        with warnings.catch_warnings():
            # It warns of spreadsheet decoration that it cannot keep; only cells matter here.
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            table = list(book.worksheets[0].iter_rows(values_only=True)) if book.worksheets else []
            book.close()
    except (BadZipFile, KeyError, ValueError, OSError) as error:
        raise SheetError(f"{path}: cannot be opened as XLSX ({error})") from None
    names = [_cell(value) for value in table[0]] if table else []
    for number, cells in enumerate(table[1:], start=2):
        yield number, _named(path, number, names, [_cell(value) for value in cells])


def _yaml_rows(path: Path) -> Iterator[Row]:
    import yaml

    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SheetError(f"{path}: not readable as YAML: {error}") from None
    if isinstance(entries, Mapping):
        entries = entries.get("rows")
    if not isinstance(entries, list):
        raise SheetError(f"{path}: must be a list of rows, or a mapping with the list 'rows'")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, Mapping):
            raise SheetError(f"{path}, row {number}: must be a mapping of column names to values")
        yield number, _flat(path, number, entry)


def _flat(path: Path, number: int, entry: Mapping[Any, Any]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, value in entry.items():
        if str(name).strip().lower() == "conditions":
            if not isinstance(value, Mapping):
                raise SheetError(f"{path}, row {number}: 'conditions' must be a mapping")
            cells |= {f"condition:{key}": _cell(item) for key, item in value.items()}
        elif isinstance(value, list):
            separator = ";" if str(name).strip().lower() == "files" else ","
            cells[str(name)] = separator.join(_cell(item) for item in value)
        else:
            cells[str(name)] = _cell(value)
    return _named(path, number, list(cells), list(cells.values()))


def _named(path: Path, number: int, names: list[str], cells: list[str]) -> dict[str, str]:
    row: dict[str, str] = {}
    for place, cell in enumerate(cells):
        name = names[place].strip() if place < len(names) else ""
        if not cell.strip():
            continue
        if not name:
            raise SheetError(
                f"{path}, row {number}: {cell!r} stands in column {place + 1}, which "
                "has no name in the first row"
            )
        if name in row:
            raise SheetError(f"{path}: two columns are named {name!r}")
        row[name] = cell.strip()
    return row


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
