"""The sample sheet: which pictures belong to which experiment of which lab, and how it was made."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nanolake.errors import SheetError
from nanolake.ingest.patterns import has_number, match_files, parse_numbers, with_data_files
from nanolake.ingest.sheet_text import sheet_rows, with_point

UNASSIGNED = "unassigned"
"""The lab of pictures that come without one."""

_EXPERIMENT_COLUMNS = ("sample", "parent_sample", "route", "operator", "instrument", "notes")
_FILE_COLUMNS = ("files", "numbers", "except", "pixel_size_nm")
COLUMNS = ("lab", "experiment", *_EXPERIMENT_COLUMNS, *_FILE_COLUMNS)
_CONDITION = re.compile(r"condition\s*:\s*(?P<name>[^\[\]]+?)\s*(?:\[(?P<unit>[^\[\]]*)\])?", re.I)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One synthesis condition: a number where the cell holds one, else text; unit as written."""

    name: str
    number: float | None = None
    text: str | None = None
    unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A picture file to read, with the sheet's pixel size where it gives one."""

    path: Path
    pixel_size_nm: float | None = None


@dataclass(frozen=True, kw_only=True)
class MissingFile:
    """A file or pattern of the sheet that names nothing on disk: a row in ``failure``."""

    path: str
    message: str
    reason: str = "missing_file"


@dataclass(frozen=True, kw_only=True)
class ExperimentEntry:
    """One experiment with its pictures. Ids depend on the sheet's words alone (see `read_sheet`).

    ``sample``, ``route`` and the rest are None where the sheet does not say.
    """

    lab: str
    experiment: str
    lab_id: str
    experiment_id: str
    sample: str | None = None
    sample_id: str | None = None
    parent_sample: str | None = None
    parent_sample_id: str | None = None
    route: str | None = None
    operator: str | None = None
    instrument: str | None = None
    notes: str | None = None
    conditions: tuple[Condition, ...] = ()
    sources: tuple[SourceFile, ...] = ()
    missing: tuple[MissingFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SampleSheet:
    """What a sample sheet, or a list of plain paths, asks for."""

    experiments: tuple[ExperimentEntry, ...] = field(default=())

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return rows for the tables ``lab``, ``sample``, ``experiment``, ``experiment_condition``.

        Keys are column names; ``unit_key`` and ``created_at`` are the writer's to add. Each lab
        and sample comes once, a sample that is only somebody's parent too.
        """
        return {
            "lab": _once("lab_id", (_lab_row(entry) for entry in self.experiments)),
            "sample": _sample_rows(self.experiments),
            "experiment": [_experiment_row(entry) for entry in self.experiments],
            "experiment_condition": [
                row for entry in self.experiments for row in _condition_rows(entry)
            ],
        }


def read_sheet(path: Path) -> SampleSheet:
    """Read a sample sheet (CSV, XLSX or YAML): one row a set of images.

    Columns (any case): ``files`` and ``experiment`` must be filled; ``lab``, ``sample``,
    ``parent_sample``, ``route``, ``operator``, ``instrument``, ``notes``, ``numbers``,
    ``except``, ``pixel_size_nm`` and any number of ``condition:NAME [UNIT]`` may be. ``files`` is
    relative to the sheet's folder and may hold several patterns joined by ``;``. Rows of the
    same lab and experiment are one experiment; they must agree in what they say of it.

    A pattern that matches nothing is listed in the experiment's ``missing``, not raised.
    A sheet with ``;`` between its columns may have decimal commas in ``pixel_size_nm`` and in
    conditions. Raises `SheetError` naming row and column.
    """
    path = Path(path)
    entries: dict[str, ExperimentEntry] = {}
    for number, cells in sheet_rows(path):
        entry = _Row(path, number, cells).entry()
        known = entries.get(entry.experiment_id)
        entries[entry.experiment_id] = _merged(path, number, known, entry) if known else entry
    experiments = tuple(entries.values())
    _check_parents(path, experiments)
    return SampleSheet(experiments=experiments)


def lab_id(lab: str) -> str:
    """Return a lab's id: its name in small letters, digits and hyphens.

    >>> lab_id("Nano Lab, Zürich")
    'nano-lab-zürich'
    """
    text = unicodedata.normalize("NFKC", lab).casefold()
    return re.sub(r"[\W_]+", "-", text).strip("-") or stable_id("lab", lab)


def stable_id(*words: str) -> str:
    """Return 16 hex digits of SHA-256 of ``words``: the same words, the same id, everywhere."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


class _Row:
    """One row of a sheet while it is being understood."""

    def __init__(self, path: Path, number: int, cells: dict[str, str]) -> None:
        self.path, self.number = path, number
        self.cells: dict[str, str] = {}
        self.conditions: list[Condition] = []
        for name, value in cells.items():
            self._sort_in(name, value)

    def entry(self) -> ExperimentEntry:
        lab, experiment = self.cells.get("lab", UNASSIGNED), self.needed("experiment")
        sample, parent = self.cells.get("sample"), self.cells.get("parent_sample")
        if parent and not sample:
            raise self.wrong("parent_sample", "needs a sample in the same row")
        laboratory = lab_id(lab)
        sources, missing = self.files()
        return ExperimentEntry(
            lab=lab,
            experiment=experiment,
            lab_id=laboratory,
            experiment_id=stable_id("experiment", laboratory, experiment),
            sample_id=stable_id("sample", laboratory, sample) if sample else None,
            parent_sample_id=stable_id("sample", laboratory, parent) if parent else None,
            conditions=tuple(self.conditions),
            sources=sources,
            missing=missing,
            **{name: self.cells.get(name) for name in _EXPERIMENT_COLUMNS},
        )

    def files(self) -> tuple[tuple[SourceFile, ...], tuple[MissingFile, ...]]:
        patterns = [word.strip() for word in self.needed("files").split(";") if word.strip()]
        numbers, skipped = self.numbers("numbers"), self.numbers("except") or ()
        if (numbers or skipped) and not all(has_number(pattern) for pattern in patterns):
            raise self.wrong("files", "numbers and except need a field {n} or {n:03d} in the name")
        size = self.pixel_size()
        found: list[Path] = []
        missing: list[MissingFile] = []
        for pattern in patterns:
            files, unmatched = match_files(self.path.parent, pattern, numbers, skipped)
            found += files
            missing += [self._missing(name) for name in unmatched]
        sources = (SourceFile(path=file, pixel_size_nm=size) for file in with_data_files(found))
        return tuple(_by_file(sources).values()), tuple(missing)

    def numbers(self, column: str) -> tuple[int, ...] | None:
        if column not in self.cells:
            return None
        try:
            return parse_numbers(self.cells[column])
        except ValueError as error:
            raise self.wrong(column, str(error)) from None

    def pixel_size(self) -> float | None:
        text = self.cells.get("pixel_size_nm")
        if text is None:
            return None
        try:
            size = float(text)
        except ValueError:
            pointed = with_point(text)
            hint = f"; write {pointed} with a point" if pointed else ""
            raise self.wrong(
                "pixel_size_nm", f"must be a number of nm such as 0.25{hint}"
            ) from None
        if not (math.isfinite(size) and size > 0):
            raise self.wrong("pixel_size_nm", "must be positive")
        return size

    def needed(self, column: str) -> str:
        if column not in self.cells:
            raise SheetError(f"{self.path}, row {self.number}: column {column!r} must be filled")
        return self.cells[column]

    def wrong(self, column: str, message: str) -> SheetError:
        value = self.cells.get(column)
        return SheetError(f"{self.path}, row {self.number}, column {column}={value!r}: {message}")

    def _sort_in(self, name: str, value: str) -> None:
        known = re.sub(r"[\s-]+", "_", name.strip().casefold())
        condition = _CONDITION.fullmatch(name.strip())
        if condition:
            unit = (condition["unit"] or "").strip() or None
            self._add_condition(condition["name"].strip(), value, unit)
        elif known in COLUMNS:
            self.cells[known] = value
        else:
            raise SheetError(
                f"{self.path}, row {self.number}: column {name!r} is not known; the columns are "
                f"{', '.join(COLUMNS)} and condition:NAME [UNIT]"
            )

    def _add_condition(self, name: str, value: str, unit: str | None) -> None:
        where = f"{self.path}, row {self.number}, column condition:{name}={value!r}"
        if any(known.name == name for known in self.conditions):
            raise SheetError(
                f"{where}: the condition is given twice in this row; keep one column and unit"
            )
        pointed = with_point(value)
        if pointed:
            raise SheetError(
                f"{where}: for a decimal comma write {pointed} with a point, "
                "for a list a space after the comma"
            )
        self.conditions.append(_condition(name, value, unit))

    def _missing(self, pattern: str) -> MissingFile:
        message = f"{self.path.name}, row {self.number}: {pattern!r} matches no file"
        return MissingFile(path=str(self.path.parent / pattern), message=message)


def _condition(name: str, value: str, unit: str | None) -> Condition:
    try:
        number = float(value)
    except ValueError:
        return Condition(name=name, text=value, unit=unit)
    if not math.isfinite(number):
        return Condition(name=name, text=value, unit=unit)
    return Condition(name=name, number=number, unit=unit)


def _merged(
    path: Path, number: int, known: ExperimentEntry, new: ExperimentEntry
) -> ExperimentEntry:
    """Join two rows of one experiment; what one leaves empty the other fills."""
    values: dict[str, Any] = {}
    for name in (*_EXPERIMENT_COLUMNS, "sample_id", "parent_sample_id"):
        first, second = getattr(known, name), getattr(new, name)
        if first is not None and second is not None and first != second:
            raise SheetError(
                f"{path}, row {number}, column {name}={second!r}: an earlier row of experiment "
                f"{known.experiment!r} says {first!r}; give it another experiment name"
            )
        values[name] = first if second is None else second
    conditions = {condition.name: condition for condition in known.conditions}
    for condition in new.conditions:
        if conditions.setdefault(condition.name, condition) != condition:
            raise SheetError(
                f"{path}, row {number}, column condition:{condition.name}: differs from an earlier "
                f"row of experiment {known.experiment!r}"
            )
    sources = _by_file(known.sources)
    for source in new.sources:
        earlier = sources.setdefault(source.path.resolve(), source)
        if earlier.pixel_size_nm != source.pixel_size_nm:
            raise SheetError(
                f"{path}, row {number}, column files: {source.path.name} was listed before with "
                f"pixel_size_nm={earlier.pixel_size_nm}"
            )
    return replace(
        known,
        **values,
        conditions=tuple(conditions.values()),
        sources=tuple(sources.values()),
        missing=known.missing + new.missing,
    )


def _by_file(sources: Iterable[SourceFile]) -> dict[Path, SourceFile]:
    """Key by the file itself: it may be spelled in several ways, through ``..`` or by a link."""
    found: dict[Path, SourceFile] = {}
    for source in sources:
        found.setdefault(source.path.resolve(), source)
    return found


def _check_parents(path: Path, experiments: Iterable[ExperimentEntry]) -> None:
    parents: dict[str, str] = {}
    names: dict[str, str] = {}
    for entry in experiments:
        if entry.sample_id is None or entry.parent_sample_id is None:
            continue
        names |= {entry.sample_id: f"{entry.sample}"}
        if parents.setdefault(entry.sample_id, entry.parent_sample_id) != entry.parent_sample_id:
            raise SheetError(f"{path}: sample {entry.sample!r} has two parent samples")
    for start in parents:
        seen, sample = {start}, parents.get(start)
        while sample is not None:
            if sample in seen:
                raise SheetError(f"{path}: sample {names[start]!r} is its own ancestor")
            seen.add(sample)
            sample = parents.get(sample)


def _once(key: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row[key], row)
    return list(found.values())


def _lab_row(entry: ExperimentEntry) -> dict[str, Any]:
    return {"lab_id": entry.lab_id, "lab": entry.lab}


def _sample_rows(experiments: tuple[ExperimentEntry, ...]) -> list[dict[str, Any]]:
    own = [
        _sample_row(entry, entry.sample_id, entry.sample, entry.parent_sample_id)
        for entry in experiments
        if entry.sample_id
    ]
    # Rows that name a parent first: another experiment of the same sample may leave it out.
    own.sort(key=lambda row: row["parent_sample_id"] is None)
    parents = (
        _sample_row(entry, entry.parent_sample_id, entry.parent_sample, None)
        for entry in experiments
        if entry.parent_sample_id
    )
    return _once("sample_id", [*own, *parents])


def _sample_row(
    entry: ExperimentEntry, sample_id: str | None, sample: str | None, parent: str | None
) -> dict[str, Any]:
    return {
        "sample_id": sample_id,
        "lab_id": entry.lab_id,
        "sample": sample,
        "parent_sample_id": parent,
    }


def _experiment_row(entry: ExperimentEntry) -> dict[str, Any]:
    names = ("experiment_id", "lab_id", "sample_id", "experiment", "route", "operator")
    return {name: getattr(entry, name) for name in (*names, "instrument", "notes")}


def _condition_rows(entry: ExperimentEntry) -> list[dict[str, Any]]:
    return [
        {
            "experiment_id": entry.experiment_id,
            "name": condition.name,
            "value_number": condition.number,
            "value_text": condition.text,
            "unit": condition.unit,
        }
        for condition in entry.conditions
    ]
