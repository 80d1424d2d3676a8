"""Contracts: what does not fit a table is refused, and nothing else drifts from the TOML files."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.contracts import (
    SQL_TYPES,
    arrow_schema,
    conform,
    data_dictionary,
    ddl,
    empty,
    get_table,
    load_tables,
    schema_folder,
)
from nanolake.errors import SchemaError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LAB = {"lab_id": "l", "lab": "L", "unit_key": "u", "created_at": NOW}
GROUP = {"grouping_run_id": "g", "particle_id": "a", "unit_key": "u", "created_at": NOW}


def assign(**columns: Any) -> pa.Table:
    """One row of a small table that has an int32 and a float64 column."""
    return conform("group_assignment", {**GROUP, "shape_group": 1, **columns})


def predict(**columns: Any) -> pa.Table:
    """One row of a table that has float32, list<float32> and int64 columns."""
    names = "particle_id segmentation_id micrograph_id segmentation_run_id model_id model_name"
    ids = dict.fromkeys(names.split(), "x") | {"unit_key": "u", "created_at": NOW, "label": 1}
    return conform("shape_prediction", ids | columns)


@pytest.mark.parametrize("name", load_tables())
def test_arrow_and_sql_say_the_same_of_every_column(name: str) -> None:
    """The DDL's types, asked from DuckDB, are those that DuckDB gives the Arrow schema."""
    connection = duckdb.connect()
    connection.execute(ddl(name))
    connection.register("rows", empty(name))
    made = connection.execute(f'DESCRIBE "{name}"').fetchall()
    seen = connection.execute("DESCRIBE SELECT * FROM rows").fetchall()
    assert [row[:2] for row in made] == [row[:2] for row in seen]
    required = {c.name for c in get_table(name).columns if c.required}
    assert {row[0] for row in made if row[2] == "NO"} == required
    assert {field.name for field in arrow_schema(name) if not field.nullable} == required
    connection.close()


NOT_KNOWN_IS_A_CLASS = {
    "outline_histogram_row": {"p_bin", "L_bin"},
    "quality_histogram_row": {"jaccard_percent"},
}
"""Counts by class: NULL is the class of those of which it is not known."""


@pytest.mark.parametrize("name", load_tables())
def test_keys_are_required_and_rows_name_their_unit(name: str) -> None:
    table = get_table(name)
    key = set(table.key) - NOT_KNOWN_IS_A_CLASS.get(name, set())
    # What a lake says of itself comes from no unit of work.
    unit = set() if name in ("schema_version", "data_file") else {"unit_key"}
    assert {c.name for c in table.columns if c.required} >= key | unit
    assert {c.type for c in table.columns} <= set(SQL_TYPES)
    assert "primary key" not in ddl(name).lower()  # DuckLake has none; ids are deterministic


def test_the_dictionary_on_disk_is_the_one_the_tables_give() -> None:
    readme = schema_folder().parent / "README.md"
    if not readme.exists():
        pytest.skip("an installed package carries no schemas/README.md")
    assert readme.read_text(encoding="utf-8") == data_dictionary(), (
        "write it again: python -m nanolake.contracts > schemas/README.md"
    )


def test_units_stand_in_the_arrow_schema() -> None:
    field = arrow_schema("micrograph").field("pixel_size_y_nm")
    assert field.metadata == {b"unit": b"nm"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[table", "t.toml is no TOML"),
        ("[columns]", r"t.toml: \[table\] lacks name, version, key, description"),
        ('[table]\nname="u"\nversion=1\nkey=["a"]\ndescription="d"', "defines table 'u': rename"),
        ('HEAD\nb={type="string",description="d"}', r"t.toml: key columns \['a'\] are not defined"),
        ('HEAD\na={type="text",description="d"}', "column a: type 'text' is not one of"),
        ('HEAD\na={type="string"}', "column a: a description is missing"),
        ('HEAD\na={type="string",description="d",maximum=3}', r"unknown keys \['maximum'\]"),
    ],
)
def test_a_wrong_definition_names_file_and_column(tmp_path: Path, text: str, message: str) -> None:
    head = '[table]\nname="t"\nversion=1\nkey=["a"]\ndescription="d"\n[columns]'
    (tmp_path / "t.toml").write_text(text.replace("HEAD", head))
    with pytest.raises(SchemaError, match=message):
        load_tables(tmp_path)


def test_a_derived_table_includes_the_columns_of_another_as_float32() -> None:
    """All but those that it defines itself, where the line stands, with unit and range."""
    made, source = get_table("morphology_row"), get_table("particle")
    columns = {column.name: column for column in made.columns}
    assert set(columns) > set(source.column_names)
    assert made.column_names[4:7] == source.column_names[:3]
    for column in source.columns:
        wanted = "float32" if column.type == "float64" else column.type
        assert columns[column.name].type == wanted
        assert (columns[column.name].unit, columns[column.name].min) == (column.unit, column.min)
    assert columns["unit_key"].description == "The refresh that wrote the row"


def test_including_what_is_no_table_is_an_error(tmp_path: Path) -> None:
    head = '[table]\nname="t"\nversion=1\nkey=[]\ndescription="d"\n[columns]\n'
    (tmp_path / "t.toml").write_text(head + 'x = { include = "u" }')
    with pytest.raises(SchemaError, match=r"t.toml, x: include = 'u' names no table"):
        load_tables(tmp_path)


def test_a_folder_without_definitions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no table definitions in"):
        load_tables(tmp_path)
    with pytest.raises(SchemaError, match="there is no table 'particles'; known: classifier_run"):
        get_table("particles")


def test_rows_are_taken_as_arrow_as_columns_and_as_a_list() -> None:
    expected = conform("lab", [LAB])
    assert expected.schema.equals(arrow_schema("lab"))
    assert conform("lab", expected).equals(expected)
    assert conform("lab", LAB).equals(expected)
    assert conform("lab", {key: [value] for key, value in LAB.items()}).equals(expected)
    reordered = expected.select(list(reversed(expected.column_names)))
    assert conform("lab", reordered).equals(expected)
    for rows in ("lab", 3, pd.DataFrame([LAB])):
        with pytest.raises(SchemaError, match="rows are an Arrow table, a mapping or a list"):
            conform("lab", rows)  # type: ignore[arg-type]


def test_one_value_is_given_to_all_rows() -> None:
    table = assign(particle_id=np.array(["a", "b", "c"]), shape_group=np.int64(2))
    assert table.column("shape_group").to_pylist() == [2, 2, 2]
    assert table.column("distance_to_centre").to_pylist() == [None] * 3
    assert assign(shape_group=np.array(4)).column("shape_group").to_pylist() == [4]


@pytest.mark.parametrize("rows", [[], {}, {"lab_id": []}, empty("lab")])
def test_no_rows_give_an_empty_table(rows: Any) -> None:
    assert conform("lab", rows).equals(empty("lab"))


def test_rows_of_a_list_may_leave_out_optional_columns() -> None:
    rows = [{**GROUP, "shape_group": 1}, {**GROUP, "shape_group": 1, "distance_to_centre": 2}]
    found = conform("group_assignment", rows).column("distance_to_centre").to_pylist()
    assert found == [None, 2.0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({**LAB, "labs": 1, "town": 2}, "table lab has no column labs, town: add it to schemas"),
        ({**LAB, "lab": None}, "lab.lab must not be NULL: 1 of 1 are"),
        ({"lab_id": "l"}, "lab.lab must not be NULL"),
        ({**LAB, "lab": ["a", "b"], "lab_id": ["c"]}, "columns of unequal length: {'lab_id': 1, '"),
    ],
)
def test_rows_that_do_not_fit_the_table_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        conform("lab", rows)


@pytest.mark.parametrize("value", [1.5, [1.5], np.array([1.5]), pa.array([1.5]), np.float32(1.5)])
def test_a_fraction_is_not_cut_to_an_integer(value: Any) -> None:
    """``pa.array([1.5], pa.int32())`` gives 1: the reason why `conform` types first, casts then."""
    assert pa.array([1.5], pa.int32()).to_pylist() == [1]
    with pytest.raises(SchemaError, match=r"group_assignment\.shape_group wants int32: .*1\.5"):
        assign(shape_group=value)


@pytest.mark.parametrize(
    "value", [2**31, [2**40], [2**70], np.array([2**31]), np.array([2**63], np.uint64), 1e300]
)
def test_a_number_too_large_is_refused(value: Any) -> None:
    with pytest.raises(SchemaError, match="shape_group wants int32"):
        assign(shape_group=value)


@pytest.mark.parametrize("value", [1e300, [1e39], np.array([-1e39])])
def test_a_float_does_not_overflow_to_infinity(value: Any) -> None:
    with pytest.raises(SchemaError, match=r"shape_prediction\.p wants float32: .* is too large"):
        predict(p=value)


@pytest.mark.parametrize("value", ["1", ["1"], np.array(["1"]), pa.array(["1"]), True, [[1]]])
def test_what_is_no_number_is_not_turned_into_one(value: Any) -> None:
    with pytest.raises(SchemaError, match="shape_group wants int32"):
        assign(shape_group=value)
    with pytest.raises(SchemaError, match="distance_to_centre wants float64"):
        assign(distance_to_centre=value)


@pytest.mark.parametrize("value", [1, [1], np.array([1]), pa.array([1]), [NOW], True])
def test_what_is_no_text_is_not_turned_into_it(value: Any) -> None:
    with pytest.raises(SchemaError, match=r"lab\.lab wants string"):
        conform("lab", {**LAB, "lab": value})


@pytest.mark.parametrize("value", ["2026-01-01", 5.0, np.array([5]), pa.array([5])])
def test_what_is_no_time_is_not_turned_into_one(value: Any) -> None:
    with pytest.raises(SchemaError, match=r"lab\.created_at wants timestamp"):
        conform("lab", {**LAB, "created_at": value})


def test_times_are_kept_in_utc_to_the_microsecond() -> None:
    summer = datetime(2026, 7, 1, 12, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    times = [summer, np.datetime64("2026-07-01T10:00:00.000007"), pd.Timestamp(summer)]
    for time in times:
        row = conform("lab", {**LAB, "created_at": [time]}).to_pylist()[0]
        assert row["created_at"] == summer
        assert row["created_at"].utcoffset() == timedelta(0)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<u4", "<f4", ">f4", "<f8", "<f2"])
def test_numbers_of_every_dtype_are_taken(dtype: str) -> None:
    table = assign(
        particle_id=["a", "b"],
        shape_group=np.array([1, 2], dtype),
        distance_to_centre=np.array([3, 4], dtype),
    )
    assert table.column("shape_group").to_pylist() == [1, 2]
    assert table.column("distance_to_centre").to_pylist() == [3.0, 4.0]


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.nan], np.array([np.nan]), pa.array([math.nan]), pd.Series([np.nan]), [None]],
)
def test_nan_becomes_null_and_null_is_refused_where_required(value: Any) -> None:
    assert assign(distance_to_centre=value).column("distance_to_centre").null_count == 1
    assert predict(d=value).column("d").null_count == 1  # an integer column
    with pytest.raises(SchemaError, match="shape_group must not be NULL: 1 of 1"):
        assign(shape_group=value)


def test_probabilities_come_as_a_matrix_or_as_lists() -> None:
    matrix = np.full((2, 6), 0.25)
    for given_as in (matrix, matrix.astype("f4"), matrix.tolist(), [matrix[0].tolist(), None]):
        table = predict(particle_id=["a", "b"], d_probability=given_as)
        assert table.column("d_probability").to_pylist()[0] == [0.25] * 6


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("shape_group", -1, "shape_group = -1 lies below its minimum 0"),
        ("distance_to_centre", [1.0, -0.5], "distance_to_centre = -0.5 lies below its minimum 0"),
    ],
)
def test_values_below_the_range_are_refused(column: str, value: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        assign(**{column: value})


def test_values_above_the_range_are_refused_and_the_border_is_in_it() -> None:
    assert predict(jaccard=1.0, d=6).num_rows == 1
    with pytest.raises(SchemaError, match=r"jaccard = 1\.5 lies above its maximum 1"):
        predict(jaccard=[0.5, 1.5])
    with pytest.raises(SchemaError, match="d_confidence = inf lies above its maximum 1"):
        predict(d_confidence=math.inf)


def test_a_word_that_is_not_allowed_is_named_with_those_that_are() -> None:
    unit = {"step": "ingest", "subject": "s", "state": "lost", "owner": "o", "unit_key": "u"}
    with pytest.raises(SchemaError, match=r"work_unit.state: \['lost'\] not in \['claimed', 'done"):
        conform("work_unit", {**unit, "lease_until_s": 1, "attempt": 1, "updated_at_s": 1})


_VALUES = {
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    "json": st.just("{}"),
    "bool": st.booleans(),
    "int32": st.integers(1, 6),
    "int64": st.integers(1, 2**62),
    "float32": st.floats(0, 1, width=32),
    "float64": st.floats(0, 1),
    "timestamp": st.datetimes(timezones=st.just(UTC)),
    "list<float32>": st.lists(st.floats(0, 1, width=32), max_size=6),
    "list<string>": st.lists(st.text("abc"), max_size=3),
}


@st.composite
def rows_of_a_table(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """Rows that fit one of the tables: within its ranges, NULL where that may be."""
    table = draw(st.sampled_from(list(load_tables().values())))
    columns = {
        c.name: (st.sampled_from(c.allowed) if c.allowed else _VALUES[c.type])
        | (st.nothing() if c.required else st.none())
        for c in table.columns
    }
    return table.name, draw(st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=3))


@settings(derandomize=True, max_examples=50, deadline=None)
@given(rows_of_a_table())
def test_rows_that_fit_come_back_as_they_were(case: tuple[str, list[dict[str, Any]]]) -> None:
    name, rows = case
    table = conform(name, rows)
    assert table.to_pylist() == rows
    assert conform(name, table).equals(table)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    assert conform(name, columns).equals(table)
