"""Table contracts: ``schemas/tables/*.toml`` is the only place where a column exists.

From those files come the Arrow schema, the SQL DDL, `conform` (which every writer must call) and
the data dictionary in ``schemas/README.md``. A writer cannot drift from the definition: `conform`
refuses unknown columns, missing required values, wrong types and values out of range.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.errors import SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

SQL_TYPES = {
    "string": "VARCHAR",
    "json": "VARCHAR",
    "bool": "BOOLEAN",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "timestamp": "TIMESTAMPTZ",
    "list<float32>": "FLOAT[]",
    "list<string>": "VARCHAR[]",
}
_COLUMN_KEYS = {"type", "unit", "group", "description", "required", "min", "max", "allowed"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of one table, as its TOML line says it."""

    name: str
    type: str
    description: str
    unit: str | None = None
    group: str | None = None
    required: bool = False
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: its key identifies a row, its version grows with every breaking change."""

    name: str
    version: int
    key: tuple[str, ...]
    description: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in the order of the file."""
        return tuple(column.name for column in self.columns)

    def columns_of(self, *groups: str) -> tuple[Column, ...]:
        """Columns that belong to one of the named groups."""
        return tuple(column for column in self.columns if column.group in groups)


def schema_folder() -> Path:
    """Return the folder of table files: inside an installed package, else the checkout's."""
    installed = Path(__file__).parent / "_schemas"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "schemas" / "tables"


@cache
def load_tables(folder: Path | None = None) -> Mapping[str, Table]:
    """Read every table definition, by name; raise `SchemaError` naming file and column."""
    files = sorted((folder or schema_folder()).glob("*.toml"))
    if not files:
        raise SchemaError(
            f"no table definitions in {folder or schema_folder()}: reinstall nanolake"
        )
    return {table.name: table for table in map(_read_table, files)}


def get_table(name: str) -> Table:
    """Return one table; raise `SchemaError` listing the known names."""
    tables = load_tables()
    if name not in tables:
        raise SchemaError(f"there is no table {name!r}; known: {', '.join(tables)}")
    return tables[name]


def _read_table(path: Path) -> Table:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path.name} is no TOML: {error}") from None
    head, columns = content.get("table", {}), content.get("columns", {})
    if missing := [key for key in ("name", "version", "key", "description") if key not in head]:
        raise SchemaError(f"{path.name}: [table] lacks {', '.join(missing)}")
    if head["name"] != path.stem:
        raise SchemaError(f"{path.name} defines table {head['name']!r}: rename one of them")
    table = Table(
        name=head["name"],
        version=int(head["version"]),
        key=tuple(head["key"]),
        description=head["description"],
        columns=tuple(
            column
            for name, spec in columns.items()
            for column in (
                _included(path, name, spec, set(columns))
                if "include" in spec
                else (_read_column(path, name, spec),)
            )
        ),
    )
    if undefined := set(table.key) - set(table.column_names):
        raise SchemaError(f"{path.name}: key columns {sorted(undefined)} are not defined")
    return table


def _included(
    path: Path, name: str, spec: Mapping[str, Any], without: set[str]
) -> Iterator[Column]:
    """Give the columns of another table as a derived one holds them: fractions as float32.

    A line ``name = { include = "particle" }`` stands for all columns of that table but those that
    the including table defines itself.
    """
    source = path.with_name(f"{spec['include']}.toml")
    if set(spec) != {"include"} or not source.is_file():
        raise SchemaError(f"{path.name}, {name}: include = {spec['include']!r} names no table")
    for column in _read_table(source).columns:
        if column.name not in without:
            narrow = column.type == "float64"
            yield replace(column, type="float32") if narrow else column


def _read_column(path: Path, name: str, spec: Mapping[str, Any]) -> Column:
    if unknown := set(spec) - _COLUMN_KEYS:
        raise SchemaError(f"{path.name}, column {name}: unknown keys {sorted(unknown)}")
    if spec.get("type") not in SQL_TYPES:
        raise SchemaError(
            f"{path.name}, column {name}: type {spec.get('type')!r} is not one of {list(SQL_TYPES)}"
        )
    if not spec.get("description"):
        raise SchemaError(f"{path.name}, column {name}: a description is missing")
    allowed = spec.get("allowed")
    values = {key: value for key, value in spec.items() if key != "allowed"}
    return Column(name=name, allowed=tuple(allowed) if allowed else None, **values)


def arrow_type(type_name: str) -> pa.DataType:
    """Return the Arrow type of a column type's name."""
    import pyarrow as pa

    return {
        "string": pa.string(),
        "json": pa.string(),
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "timestamp": pa.timestamp("us", "UTC"),
        "list<float32>": pa.list_(pa.float32()),
        "list<string>": pa.list_(pa.string()),
    }[type_name]


@cache
def arrow_schema(name: str) -> pa.Schema:
    """Return the Arrow schema of a table; a unit stands in its field's metadata."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(
                column.name,
                arrow_type(column.type),
                nullable=not column.required,
                metadata={"unit": column.unit} if column.unit else None,
            )
            for column in get_table(name).columns
        ]
    )


def ddl(name: str) -> str:
    """Return ``CREATE TABLE IF NOT EXISTS`` for one table (DuckLake knows no primary key)."""
    lines = [
        f'    "{c.name}" {SQL_TYPES[c.type]}{" NOT NULL" if c.required else ""}'
        for c in get_table(name).columns
    ]
    return f'CREATE TABLE IF NOT EXISTS "{name}" (\n' + ",\n".join(lines) + "\n)"


def conform(
    name: str, rows: pa.Table | Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> pa.Table:
    """Return ``rows`` as an Arrow table that fits table ``name`` exactly, or raise `SchemaError`.

    ``rows`` is an Arrow table, a mapping of column name to array or to one value for all rows, or
    a list of row mappings. Missing optional columns become NULL; NaN becomes NULL (unknown is
    unknown). Whole numbers and fractions turn into one another where nothing is lost but digits
    of a float; text, numbers, truth values and times never do. Unknown columns, NULL in a required
    column, values that do not fit the type or lie outside the column's range or allowed set are
    refused.
    """
    import pyarrow as pa

    table = get_table(name)
    given = _as_columns(table, rows)
    if unknown := [key for key in given if key not in table.column_names]:
        raise SchemaError(
            f"table {name} has no column {', '.join(unknown)}: add it to schemas/tables/{name}.toml"
        )
    length = _length(name, given)
    arrays = [_conform_column(table, column, given, length) for column in table.columns]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(name))


def empty(name: str) -> pa.Table:
    """Return a table with the right columns and no rows."""
    return arrow_schema(name).empty_table()


def _as_columns(
    table: Table, rows: pa.Table | Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    if isinstance(rows, Mapping):
        return dict(rows)
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        names = list(dict.fromkeys(key for row in rows for key in row)) or list(table.column_names)
        return {key: [row.get(key) for row in rows] for key in names}
    if not hasattr(rows, "column_names"):
        raise SchemaError(
            f"table {table.name}: rows are an Arrow table, a mapping or a list of mappings, "
            f"not {type(rows).__name__}"
        )
    return {key: rows.column(key) for key in rows.column_names}


def _length(name: str, given: Mapping[str, Any]) -> int:
    lengths = {key: len(value) for key, value in given.items() if not _is_scalar(value)}
    if len(set(lengths.values())) > 1:
        raise SchemaError(f"table {name}: columns of unequal length: {lengths}")
    return next(iter(lengths.values()), 1 if given else 0)


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str | bytes) or not hasattr(value, "__len__"):
        return True
    return getattr(value, "ndim", 1) == 0


def _conform_column(table: Table, column: Column, given: Mapping[str, Any], length: int) -> Any:
    import pyarrow as pa

    target = arrow_type(column.type)
    try:
        array = _cast(_as_arrow(given.get(column.name), target, length), target)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as why:
        raise SchemaError(
            f"{table.name}.{column.name} wants {column.type}: {str(why).splitlines()[0]}"
        ) from None
    _check(table, column, array)
    return array


def _as_arrow(value: Any, target: pa.DataType, length: int) -> Any:
    """Return ``value`` as an Arrow array of its own type.

    Values of a list are typed by what they are: asked for an integer, Arrow would cut 1.5 to 1.
    """
    import numpy as np
    import pyarrow as pa

    if isinstance(value, pa.ChunkedArray):
        return value.combine_chunks()
    if isinstance(value, pa.Array):
        return value
    wanted = None if _kind(target) in ("number", "truth value", "time") else target
    if _is_scalar(value):
        value = value.item() if isinstance(value, np.ndarray) else value
        return pa.array([value] * length, wanted, from_pandas=True)
    if isinstance(value, np.ndarray) and value.ndim > 1:
        value = list(value)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return pa.array(value.astype(value.dtype.newbyteorder("="), copy=False), from_pandas=True)
    return pa.array(value, wanted, from_pandas=True)


def _cast(array: Any, target: pa.DataType) -> Any:
    """Cast without losing anything but digits of a float; NaN becomes NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given, wanted = _kind(array.type), _kind(target)
    if given != wanted and array.null_count < len(array):
        raise pa.ArrowInvalid(f"got {array.type}; a {given} is not turned into a {wanted}")
    if given != wanted:
        return pa.nulls(len(array), target)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    result = array.cast(target)
    if pa.types.is_floating(array.type) and pa.types.is_floating(target):
        lost = pc.and_(pc.is_inf(result), pc.is_finite(array))
        if pc.any(lost).as_py():
            raise pa.ArrowInvalid(f"{pc.max(pc.abs(array)).as_py():g} is too large for {target}")
    return result


def _kind(arrow: pa.DataType) -> str:
    """Return the kind of value: values are cast within a kind, never from one to another."""
    import pyarrow.types as types

    if types.is_dictionary(arrow):
        return _kind(arrow.value_type)
    if types.is_integer(arrow) or types.is_floating(arrow):
        return "number"
    if types.is_boolean(arrow):
        return "truth value"
    if types.is_string(arrow) or types.is_large_string(arrow) or types.is_string_view(arrow):
        return "text"
    if types.is_timestamp(arrow) or types.is_date(arrow):
        return "time"
    return "list" if types.is_list(arrow) or types.is_large_list(arrow) else str(arrow)


def _check(table: Table, column: Column, array: Any) -> None:
    import pyarrow.compute as pc

    where = f"{table.name}.{column.name}"
    if column.required and array.null_count:
        raise SchemaError(f"{where} must not be NULL: {array.null_count} of {len(array)} are")
    if column.min is not None and len(array):
        lowest = pc.min(array).as_py()
        if lowest is not None and lowest < column.min:
            raise SchemaError(f"{where} = {lowest} lies below its minimum {column.min}")
    if column.max is not None and len(array):
        highest = pc.max(array).as_py()
        if highest is not None and highest > column.max:
            raise SchemaError(f"{where} = {highest} lies above its maximum {column.max}")
    if column.allowed is not None:
        wrong = set(pc.unique(array).to_pylist()) - {None, *column.allowed}
        if wrong:
            raise SchemaError(f"{where}: {sorted(wrong)} not in {list(column.allowed)}")


def data_dictionary() -> str:
    """Return the data dictionary in Markdown: what ``schemas/README.md`` holds."""
    parts = [
        "# Data dictionary",
        "",
        "Written by `make docs` from `schemas/tables/*.toml`, the only place where a column "
        "exists. Do not edit by hand.",
        "",
        *(f"- [`{t.name}`](#{t.name}): {t.description}" for t in load_tables().values()),
    ]
    for table in load_tables().values():
        parts += ["", f"## {table.name}", "", table.description, ""]
        parts += [f"Key: {', '.join(f'`{k}`' for k in table.key)}. Version {table.version}.", ""]
        parts += ["| column | type | unit | group | description |", "|---|---|---|---|---|"]
        parts += [_dictionary_line(column) for column in table.columns]
    return "\n".join(parts) + "\n"


def _dictionary_line(column: Column) -> str:
    limits = []
    if column.min is not None or column.max is not None:
        low = "" if column.min is None else f"{column.min:g}"
        high = "" if column.max is None else f"{column.max:g}"
        limits.append(f"range {low} … {high}")
    if column.allowed:
        limits.append("one of " + ", ".join(f"`{v}`" for v in column.allowed))
    text = "; ".join([column.description.rstrip("."), *limits]).replace("|", "\\|")
    needed = ", required" if column.required else ""
    cells = [f"`{column.name}`", f"{column.type}{needed}", column.unit or "", column.group or ""]
    return f"| {' | '.join(cells)} | {text} |"


if __name__ == "__main__":
    import sys

    sys.stdout.write(data_dictionary())
