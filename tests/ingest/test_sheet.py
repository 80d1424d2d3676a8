"""Sample sheets: three formats, one meaning; patterns, numbers, merging, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.contracts import get_table
from nanolake.errors import SheetError
from nanolake.ingest import plain_paths, read_sheet
from nanolake.ingest.patterns import parse_numbers

HEADER = ["Lab", "Sample", "Parent sample", "Experiment", "Route", "Files", "Numbers", "Except"]
HEADER += ["pixel_size_nm", "condition:temperature [degC]", "Condition: ligand"]
ROWS = [
    ["Lab A", "S1", "", "E1", "hot injection", "img_{n:03d}.tif", "1-4", "3", 0.5, 180, "OA"],
    ["Lab A", "S1", "", "E1", "", "extra/*.tif", "", "", "", "", ""],
    ["Lab B", "S2", "S1", "E2", "LARP", "b_{n}.png", "1-2, 9", "", "", 25.5, ""],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "extra").mkdir()
    names = [f"img_{n:03d}.tif" for n in range(1, 6)] + ["extra/x.tif", "b_1.png", "b_2.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def write_csv(folder: Path, rows: list[list[object]], delimiter: str = ",") -> Path:
    quoted = [[json.dumps(str(cell)) for cell in row] for row in rows]
    path = folder / "sheet.csv"
    path.write_text("\n".join(delimiter.join(row) for row in quoted), encoding="utf-8-sig")
    return path


def write_xlsx(folder: Path) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in [HEADER, *ROWS]:
        book.active.append([None if cell == "" else cell for cell in row])
    book.save(folder / "sheet.xlsx")
    return folder / "sheet.xlsx"


def write_yaml(folder: Path) -> Path:
    path = folder / "sheet.yaml"
    path.write_text(
        """
- {lab: Lab A, sample: S1, experiment: E1, route: hot injection, files: "img_{n:03d}.tif",
   numbers: 1-4, except: 3, pixel_size_nm: 0.5,
   conditions: {"temperature [degC]": 180, ligand: OA}}
- {lab: Lab A, sample: S1, experiment: E1, files: ["extra/*.tif"]}
- {lab: Lab B, sample: S2, parent_sample: S1, experiment: E2, route: LARP, files: "b_{n}.png",
   numbers: [1-2, 9], "condition:temperature [degC]": 25.5}
""",
        encoding="utf-8",
    )
    return path


def one_row(folder: Path, **cells: object) -> Path:
    cells = {"experiment": "E", "files": "*.tif"} | cells
    return write_csv(folder, [list(cells), list(cells.values())])


def test_three_formats_say_the_same(folder: Path) -> None:
    sheets = [
        read_sheet(write_csv(folder, [HEADER, *ROWS])),
        read_sheet(write_csv(folder, [HEADER, *ROWS], delimiter=";")),
        read_sheet(write_xlsx(folder)),
        read_sheet(write_yaml(folder)),
    ]
    rows = [sheet.rows() for sheet in sheets]
    files = [[entry.sources for entry in sheet.experiments] for sheet in sheets]
    assert all(other == rows[0] for other in rows)
    assert all(other == files[0] for other in files)


def test_what_the_sheet_says(folder: Path) -> None:
    first, second = read_sheet(write_csv(folder, [HEADER, *ROWS])).experiments
    named = [(source.path.name, source.pixel_size_nm) for source in first.sources]
    assert named == [
        ("img_001.tif", 0.5),
        ("img_002.tif", 0.5),
        ("img_004.tif", 0.5),
        ("x.tif", None),
    ]
    assert [condition.number for condition in first.conditions] == [180.0, None]
    assert [condition.text for condition in first.conditions] == [None, "OA"]
    assert [condition.unit for condition in first.conditions] == ["degC", None]
    assert (first.lab_id, first.route, first.parent_sample) == ("lab-a", "hot injection", None)
    assert [source.path.name for source in second.sources] == ["b_1.png", "b_2.png"]
    (missing,) = second.missing
    assert missing.reason == "missing_file"
    assert missing.path.endswith("b_9.png")
    assert "row 4" in missing.message


def test_ids_come_from_the_words_alone(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    here = read_sheet(write_csv(folder, [HEADER, *ROWS])).experiments
    there = read_sheet(write_csv(elsewhere, [HEADER, *reversed(ROWS)])).experiments
    assert {entry.experiment_id for entry in here} == {entry.experiment_id for entry in there}
    assert len({entry.experiment_id for entry in here}) == 2
    assert all(len(entry.experiment_id) == 16 for entry in here)
    # a sample's id holds its lab: S1 of lab B is another S1
    assert here[1].parent_sample_id != here[0].sample_id


def test_rows_fit_their_tables(folder: Path) -> None:
    tables = read_sheet(write_csv(folder, [HEADER, *ROWS])).rows()
    for name, rows in tables.items():
        columns = {column.name for column in get_table(name).columns}
        assert rows
        for row in rows:
            assert row.keys() == columns - {"unit_key", "created_at"}
    assert [row["lab_id"] for row in tables["lab"]] == ["lab-a", "lab-b"]
    # S1 of lab A, S2 of lab B, and the parent S1 of lab B, which has no pictures
    assert sorted(row["sample"] for row in tables["sample"]) == ["S1", "S1", "S2"]
    assert len(tables["experiment_condition"]) == 3


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"tempreature": 3}, "row 2: column 'tempreature' is not known; the columns are lab,"),
        ({"experiment": ""}, "row 2: column 'experiment' must be filled"),
        ({"files": ""}, "row 2: column 'files' must be filled"),
        ({"pixel_size_nm": "0,5"}, "row 2, column pixel_size_nm='0,5': must be a number"),
        ({"pixel_size_nm": "0,25"}, "such as 0.25; write 0.25 with a point"),
        ({"condition:T [C]": "80,5"}, "condition:T='80,5': for a decimal comma write 80.5 with"),
        (
            {"condition:T [K]": 300, "condition:T [C]": 27},
            "row 2, column condition:T='27': the condition is given twice in this row",
        ),
        ({"pixel_size_nm": -1}, "row 2, column pixel_size_nm='-1': must be positive"),
        ({"files": "a_{n}.tif", "numbers": "1-x"}, "row 2, column numbers='1-x': '1-x' is neither"),
        ({"files": "a_{n}.tif", "except": "9-2"}, "column except='9-2': the range '9-2' runs back"),
        ({"numbers": "1-3"}, "row 2, column files='.*': numbers and except need a field"),
        ({"parent_sample": "S"}, "row 2, column parent_sample='S': needs a sample"),
        ({"sample": "S", "parent_sample": "S"}, "sample 'S' is its own ancestor"),
    ],
)
def test_mistakes_name_row_and_column(
    cells: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SheetError, match=message):
        read_sheet(one_row(tmp_path, **cells))


def test_rows_that_contradict(tmp_path: Path) -> None:
    header = ["experiment", "files", "sample", "condition:t [s]"]
    rows: list[list[object]] = [header, ["E", "*.tif", "S1", 1], ["E", "*.png", "S2", 1]]
    with pytest.raises(SheetError, match=r"row 3, column sample='S2': an earlier row .* says 'S1'"):
        read_sheet(write_csv(tmp_path, rows))
    rows[2] = ["E", "*.png", "S1", 2]
    with pytest.raises(SheetError, match="row 3, column condition:t: differs"):
        read_sheet(write_csv(tmp_path, rows))


def test_one_file_spelled_in_two_ways_is_one_file(folder: Path) -> None:
    header = ["experiment", "files", "pixel_size_nm"]
    roundabout = f"../{folder.name}/img_001.tif"
    once = write_csv(folder, [header, ["E", f"img_001.tif;{roundabout}", 0.5]])
    assert len(read_sheet(once).experiments[0].sources) == 1
    around = write_csv(folder, [header, ["E", f"img_001.tif;img_002.tif;{roundabout}", 0.5]])
    sources = read_sheet(around).experiments[0].sources
    assert [source.path.name for source in sources] == ["img_001.tif", "img_002.tif"]
    rows: list[list[object]] = [header, ["E", "img_001.tif", 0.5], ["E", roundabout, 0.5]]
    (entry,) = read_sheet(write_csv(folder, rows)).experiments
    assert [source.path for source in entry.sources] == [folder / "img_001.tif"]
    rows[2][2] = 0.25
    with pytest.raises(SheetError, match=r"row 3, .*img_001.tif was listed .* pixel_size_nm=0.5"):
        read_sheet(write_csv(folder, rows))


def test_decimal_commas_between_semicolons(folder: Path) -> None:
    header = ["experiment", "files", "Pixel size nm", "condition:T [C]", "condition:x", "notes"]
    row = ["E", "img_001.tif", "0,25", "-78,5", "OA, OAm", "1,5"]
    (entry,) = read_sheet(write_csv(folder, [header, row], delimiter=";")).experiments
    assert entry.sources[0].pixel_size_nm == 0.25
    assert [condition.number for condition in entry.conditions] == [-78.5, None]
    assert (entry.conditions[1].text, entry.notes) == ("OA, OAm", "1,5")


def test_parents_in_a_ring(tmp_path: Path) -> None:
    rows: list[list[object]] = [["experiment", "files", "sample", "parent_sample"]]
    rows += [["E1", "*.tif", "A", "B"], ["E2", "*.tif", "B", "A"]]
    with pytest.raises(SheetError, match="its own ancestor"):
        read_sheet(write_csv(tmp_path, rows))


def test_sheets_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SheetError, match="there is no sample sheet"):
        read_sheet(tmp_path / "gone.csv")
    for name, content, message in [
        ("a.txt", b"x", "ends in .csv"),
        ("a.csv", b"experiment,files\n", "has no rows"),
        ("b.csv", "experiment,files\nZ\xfcrich,*.tif\n".encode("latin-1"), "not UTF-8"),
        ("c.csv", b"experiment,files\nE,*.tif,more\n", "has no name in the first row"),
        ("a.xlsx", b"no zip", "cannot be opened as XLSX"),
        ("a.yaml", b"- [", "not readable as YAML"),
        ("b.yaml", b"lab: x", "must be a list of rows"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SheetError, match=message):
            read_sheet(tmp_path / name)


def test_a_number_field_alone_takes_every_number(folder: Path) -> None:
    sheet = read_sheet(one_row(folder, files="img_{n}.tif", **{"except": "2"}))
    names = [source.path.name for source in sheet.experiments[0].sources]
    assert names == ["img_001.tif", "img_003.tif", "img_004.tif", "img_005.tif"]


def test_a_name_with_brackets_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "scan[1].tif").touch()
    sheet = read_sheet(one_row(tmp_path, files="scan[1].tif"))
    assert [source.path.name for source in sheet.experiments[0].sources] == ["scan[1].tif"]


def test_an_emi_stands_for_its_data(tmp_path: Path) -> None:
    for name in ("a.emi", "a_1.ser", "a_2.ser", "ab_1.ser", "alone.emi"):
        (tmp_path / name).touch()
    sheet = read_sheet(one_row(tmp_path, files="*.emi; a_*.ser"))
    names = [source.path.name for source in sheet.experiments[0].sources]
    assert names == ["a_1.ser", "a_2.ser", "alone.emi"]


def test_plain_paths(folder: Path) -> None:
    (folder / "notes.txt").touch()
    (folder / ".hidden.tif").touch()
    top, extra, gone = plain_paths([folder, folder / "lost" / "x.tif"]).experiments
    assert (top.experiment, top.lab, top.sample_id) == (folder.name, "unassigned", None)
    assert len(top.sources) == 7
    assert (extra.experiment, len(extra.sources)) == ("extra", 1)
    assert (gone.sources, gone.missing[0].reason) == ((), "missing_file")
    rows = plain_paths([folder]).rows()
    assert [row["lab"] for row in rows["lab"]] == ["unassigned"]
    assert rows["sample"] == []


def test_a_folder_without_pictures_names_the_endings(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    (entry,) = plain_paths([tmp_path]).experiments
    assert entry.sources == ()
    assert "holds no picture" in entry.missing[0].message
    assert {".dm4", ".tif"} < set(entry.missing[0].message.split())


def test_plain_folders_of_one_name_stay_apart(tmp_path: Path) -> None:
    for place in ("a/images", "b/images"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "x.tif").touch()
    first, second = plain_paths([tmp_path / "a/images", tmp_path / "b/images"]).experiments
    assert first.experiment == second.experiment == "images"
    assert first.experiment_id != second.experiment_id


def test_a_plain_file_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    (tmp_path / "odd.xyz").touch()
    (entry,) = plain_paths([tmp_path / "odd.xyz"], pixel_size_nm=0.3).experiments
    assert [(s.path.name, s.pixel_size_nm) for s in entry.sources] == [("odd.xyz", 0.3)]


@settings(derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20)), min_size=1, max_size=6))
def test_number_ranges(ranges: list[tuple[int, int]]) -> None:
    text = ", ".join(f"{a}-{a + n}" if n else f"{a}" for a, n in ranges)
    numbers = parse_numbers(text)
    assert set(numbers) == {k for a, n in ranges for k in range(a, a + n + 1)}
    assert len(set(numbers)) == len(numbers)


@settings(derandomize=True)
@given(st.text(alphabet="0123456789-–,; x.", max_size=15))
def test_number_ranges_never_fail_otherwise(text: str) -> None:
    try:
        numbers = parse_numbers(text)
    except ValueError:
        return
    assert all(number >= 0 for number in numbers)


def test_a_range_of_a_billion_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 100000 numbers"):
        parse_numbers("1-1000000000")
