"""Views and questions on a lake made by hand, so that every number can be worked out on paper."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nanolake.contracts import get_table
from nanolake.errors import QueryError
from nanolake.query import question, questions, view_statements
from nanolake.storage import Lake

Row = dict[str, Any]
Fill = Callable[[dict[str, list[dict[str, Any]]]], Lake]
_FILL = {"string": "x", "json": "{}", "bool": False, "int32": 1, "int64": 1, "float64": 1.0}


def at(hour: int) -> Row:
    return {"created_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)}


def row(table: str, **values: Any) -> Row:
    """A row that fits: what is required and not given is filled with something harmless."""
    columns = get_table(table).columns
    fill = {c.name: _FILL[c.type] for c in columns if c.required and c.name not in values}
    return fill | values


def micrograph(name: str, size_nm: float | None, hour: int) -> Row:
    sizes = {"pixel_size_y_nm": size_nm, "pixel_size_x_nm": size_nm}
    trust = "unknown" if size_nm is None else "sheet"
    ids = {"micrograph_id": name, "dtype": "uint8", "pixel_size_trust": trust}
    return row("micrograph", **ids, **sizes, **at(hour))


def located(name: str, experiment: str, path: str, hour: int) -> Row:
    ids = {"micrograph_id": name, "experiment_id": experiment, "path": path}
    return row("micrograph_location", **ids, modified_at=at(0)["created_at"], **at(hour))


def particle(name: str, micrograph_id: str, nm: float | None, px: float, **other: Any) -> Row:
    return row(
        "particle",
        particle_id=name,
        segmentation_id=name.partition("-")[0],
        micrograph_id=micrograph_id,
        equivalent_diameter_area_nm=nm,
        equivalent_diameter_area_px=px,
        **other,
        **at(9),
    )


def predicted(name: str, model: str, p: float, d: int, ratio: float, jaccard: float) -> Row:
    ids = {"particle_id": name, "segmentation_id": name.partition("-")[0], "model_id": model}
    chances = [1.0 if number == d else 0.0 for number in range(1, 7)]
    shape = {"p": p, "d": d, "L_ratio": ratio, "jaccard": jaccard, "d_probability": chances}
    return row("shape_prediction", **ids, **shape, **at(9))


def assigned(run: str, groups: dict[str, int]) -> list[Row]:
    return [
        row("group_assignment", grouping_run_id=run, particle_id=name, shape_group=group, **at(9))
        for name, group in groups.items()
    ]


# Lab North: experiment A has picture m1, B has m2. Lab South: experiment C has m3, uncalibrated.
# The bytes of m1 were found in A first and in B later; its pixel size was 1.0 and then 0.5 nm.
# m1 was segmented twice (s0, then s1) and described by two models (old, then new); m2 by old only.
TABLES: dict[str, list[Row]] = {
    "lab": [
        row("lab", lab_id="n", lab="Nroth", **at(0)),
        row("lab", lab_id="n", lab="North", **at(1)),
        row("lab", lab_id="s", lab="South", **at(0)),
    ],
    "sample": [row("sample", sample_id="sa", lab_id="n", sample="Batch", **at(0))],
    "experiment": [
        row("experiment", experiment_id="a", lab_id="n", experiment="A", route="cold", **at(0)),
        row("experiment", experiment_id="a", lab_id="n", experiment="A", route="hot",
            sample_id="sa", **at(1)),
        row("experiment", experiment_id="b", lab_id="n", experiment="B", **at(0)),
        row("experiment", experiment_id="c", lab_id="s", experiment="C", **at(0)),
    ],
    "experiment_condition": [
        row("experiment_condition", experiment_id="a", name="temperature", value_number=150.0,
            unit="degC", **at(0)),
        row("experiment_condition", experiment_id="a", name="temperature", value_number=180.0,
            unit="degC", **at(1)),
        row("experiment_condition", experiment_id="b", name="ligand", value_text="oleate", **at(0)),
    ],
    "micrograph": [
        micrograph("m1", 0.5, 2), micrograph("m1", 1.0, 1),
        micrograph("m2", 0.5, 1), micrograph("m3", None, 1),
    ],
    "micrograph_location": [
        located("m1", "b", "b/copy.tif", 2), located("m1", "a", "a/first.tif", 1),
        located("m2", "b", "b/2.tif", 1), located("m3", "c", "c/3.tif", 1),
    ],
    "segmentation": [
        row("segmentation", segmentation_id=name, micrograph_id=picture, polarity="dark",
            pixel_size_y_nm=size_nm, pixel_size_x_nm=size_nm, **at(hour))
        for name, picture, size_nm, hour in [("s1", "m1", 0.5, 4), ("s0", "m1", 1.0, 3),
                                             ("s2", "m2", 0.5, 3), ("s3", "m3", None, 3)]
    ],
    "particle": [
        particle("s0-1", "m1", 999.0, 999.0),
        particle("s1-1", "m1", 10.0, 20.0, aspect_ratio=0.5, feret_diameter_max_nm=50.0),
        particle("s1-2", "m1", 12.0, 24.0, aspect_ratio=0.4, feret_diameter_max_nm=30.0),
        particle("s1-3", "m1", 14.0, 28.0, aspect_ratio=0.9, feret_diameter_max_nm=60.0),
        particle("s2-1", "m2", 20.0, 40.0), particle("s2-2", "m2", 22.0, 44.0),
        particle("s3-1", "m3", None, 30.0), particle("s3-2", "m3", None, 50.0),
    ],
    "shape_inference": [
        row("shape_inference", segmentation_id=name, model_id=model, **at(hour))
        for name, model, hour in [("s1", "new", 6), ("s1", "old", 5), ("s2", "old", 5)]
    ],
    "shape_prediction": [
        predicted("s1-1", "old", 9.0, 2, 0.1, 0.1), predicted("s1-2", "old", 9.0, 2, 0.1, 0.1),
        predicted("s1-1", "new", 2.0, 4, 0.75, 0.875),
        predicted("s1-2", "new", 4.0, 4, 0.25, 0.625),
        predicted("s2-1", "old", 3.0, 2, 0.5, 0.5), predicted("s2-2", "old", 3.0, 2, 0.5, 0.5),
    ],
    "grouping_run": [
        row("grouping_run", grouping_run_id=name, dataset="columns", columns=["p"], **at(hour))
        for name, hour in [("g1", 8), ("g0", 7)]
    ],
    "group_assignment": [
        *assigned("g0", {"s1-1": 3, "s1-2": 3, "s1-3": 3, "s2-1": 3, "s2-2": 3}),
        *assigned("g1", {"s1-1": 1, "s1-2": 1, "s1-3": 2, "s2-1": 2, "s2-2": 0}),
    ],
    "failure": [row("failure", failed_at=at(1)["created_at"], reason="empty", **at(1))],
}  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    made = Lake.create(tmp_path_factory.mktemp("views") / "lake")
    made.commit(TABLES, message="by hand")
    yield made
    made.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake without rows; `filled` works on a copy, which is quicker than making one."""
    made = Lake.create(tmp_path_factory.mktemp("bare") / "lake")
    made.close()
    return made.root


@pytest.fixture
def filled(bare: Path, tmp_path: Path) -> Iterator[Fill]:
    """Return a function that puts rows into a lake of the test's own."""
    shutil.copytree(bare, tmp_path / "lake")
    lake = Lake.open(tmp_path / "lake")

    def fill(tables: dict[str, list[Row]]) -> Lake:
        lake.commit(tables, message="by hand")
        return lake

    yield fill
    lake.close()


def rows(lake: Lake, sql: str) -> list[Row]:
    found: list[Row] = lake.query(sql).to_pylist()
    return found


def near(found: Row, wanted: Row) -> None:
    """Compare the wanted columns, numbers up to rounding."""
    assert {key: found[key] for key in wanted} == {
        key: pytest.approx(value) if isinstance(value, float) else value
        for key, value in wanted.items()
    }


def test_the_newest_row_is_the_current_one(lake: Lake) -> None:
    assert rows(lake, "SELECT lab FROM lab_current ORDER BY lab") == [
        {"lab": "North"},
        {"lab": "South"},
    ]
    assert rows(lake, "SELECT route FROM experiment_current WHERE experiment_id = 'a'") == [
        {"route": "hot"}
    ]
    conditions = "SELECT experiment_id AS e, value_number AS v FROM experiment_condition_current"
    assert rows(lake, f"{conditions} ORDER BY e") == [{"e": "a", "v": 180.0}, {"e": "b", "v": None}]
    assert rows(lake, "SELECT sample FROM sample_current") == [{"sample": "Batch"}]
    assert rows(
        lake, "SELECT micrograph_id AS m, pixel_size_x_nm AS nm FROM micrograph_current ORDER BY m"
    ) == [{"m": "m1", "nm": 0.5}, {"m": "m2", "nm": 0.5}, {"m": "m3", "nm": None}]
    assert rows(lake, "SELECT segmentation_id AS s FROM segmentation_current ORDER BY s") == [
        {"s": "s1"},
        {"s": "s2"},
        {"s": "s3"},
    ]
    assert rows(lake, "SELECT model_id AS m FROM shape_inference_current ORDER BY m") == [
        {"m": "new"},
        {"m": "old"},
    ]
    assert rows(lake, "SELECT grouping_run_id AS g FROM grouping_current") == [{"g": "g1"}]


def said(experiment: str, trust: str, size_nm: float | None, hour: int) -> Row:
    """What an experiment says of the picture m."""
    other = {"image_path": f"{experiment}.zarr/m", "pixel_size_trust": trust}
    return micrograph("m", size_nm, hour) | other


@pytest.mark.parametrize(
    ("news", "wanted"),
    [
        ([said("b", "unknown", None, 2)], 0.5),  # another lab's copy takes nothing away
        ([said("b", "metadata", 0.7, 2)], 0.5),  # nor does the file's own size
        ([said("b", "sheet", 0.6, 2)], 0.6),  # two sheets: the newer one
        ([said("a", "sheet", 0.6, 2)], 0.6),  # a correction
        ([said("a", "metadata", 0.7, 2)], 0.7),  # the sheet's size was taken back
        ([said("a", "unknown", None, 3), said("b", "metadata", 0.7, 2)], 0.7),
    ],
)
def test_a_size_from_a_sheet_holds_until_its_experiment_says_otherwise(
    filled: Fill, news: list[Row], wanted: float
) -> None:
    lake = filled({"micrograph": [said("a", "sheet", 0.5, 1), *news]})
    assert rows(lake, "SELECT pixel_size_x_nm AS nm FROM micrograph_current") == [{"nm": wanted}]


def test_a_renamed_experiment_keeps_its_pictures(filled: Fill) -> None:
    """a/1.tif was given for the experiment "tpyo" first; b/1.tif holds the same bytes."""
    places = [
        located("m", "tpyo", "a/1.tif", 1),
        located("m", "b", "b/1.tif", 2),
        located("m", "typo", "a/1.tif", 3),
    ]
    lake = filled({"micrograph_location": places})
    homes = rows(lake, "SELECT experiment_id AS e, path FROM micrograph_home")
    assert homes == [{"e": "typo", "path": "a/1.tif"}]


def failed(name: str, hour: int, **other: Any) -> Row:
    when = at(hour)["created_at"]
    values = {"stage": "ingest", "experiment_id": "e", "failed_at": when, "created_at": when}
    return row("failure", **(values | {"path": name, "unit_key": "failed"} | other))


def test_failure_current_leaves_out_what_was_put_right(filled: Fill) -> None:
    lake = filled(
        {
            "failure": [
                failed("twice.tif", 1), failed("twice.tif", 2),
                failed("mended.tif", 1), failed("damaged_again.tif", 9),
                failed("other_experiment.tif", 1, experiment_id="f"),
                failed("s/x*.tif", 1, reason="missing_file"),
                failed("s/y*.tif", 1, reason="missing_file"),
                failed("stack.tif", 1, frame=2), failed("mended_stack.tif", 1, frame=2),
                failed("p1", 3, stage="segment", micrograph_id="m1"),
                failed("p2", 3, stage="segment", micrograph_id="m2"),
                failed("l1", 5, stage="describe", micrograph_id="m1"),
                failed("l2", 5, stage="describe", micrograph_id="m2"),
            ],
            "micrograph_location": [
                located(name, "e", name, 4)
                for name in ("mended.tif", "damaged_again.tif", "other_experiment.tif")
            ] + [
                located("x", "e", "/data/s/x1.tif", 4),
                located("z", "e", "stack.tif", 4) | {"unit_key": "failed"},  # its good frames
                located("z", "e", "mended_stack.tif", 4) | {"unit_key": "later"},
            ],
            "segmentation": [
                row("segmentation", segmentation_id=name, micrograph_id=picture, polarity="dark",
                    **at(hour))
                for name, picture, hour in [("s1", "m1", 4), ("s2", "m2", 2)]
            ],
            "shape_inference": [row("shape_inference", segmentation_id="s1", **at(6))],
        }
    )  # fmt: skip
    found = rows(lake, "SELECT path, hour(failed_at) AS hour FROM failure_current ORDER BY path")
    assert [(one["path"], one["hour"]) for one in found] == [
        ("damaged_again.tif", 9),
        ("l2", 5),
        ("other_experiment.tif", 1),
        ("p2", 3),
        ("s/y*.tif", 1),
        ("stack.tif", 1),
        ("twice.tif", 2),
    ]
    assert len(rows(lake, question("failures"))) == len(found)


def test_a_picture_found_twice_is_at_home_where_it_was_found_first(lake: Lake) -> None:
    homes = rows(lake, "SELECT micrograph_id, experiment_id, path FROM micrograph_home ORDER BY 1")
    assert [tuple(home.values()) for home in homes] == [
        ("m1", "a", "a/first.tif"),
        ("m2", "b", "b/2.tif"),
        ("m3", "c", "c/3.tif"),
    ]


def test_morphology_has_each_current_particle_once(lake: Lake) -> None:
    """Seven of the eight: s0 was segmented again. The old model's and grouping's values are out."""
    found = rows(lake, "SELECT particle_id, d, p, model_id, shape_group FROM morphology ORDER BY 1")
    assert [tuple(one.values()) for one in found] == [
        ("s1-1", 4, 2.0, "new", 1),
        ("s1-2", 4, 4.0, "new", 1),
        ("s1-3", None, None, None, 2),  # the new model said nothing of it
        ("s2-1", 2, 3.0, "old", 2),
        ("s2-2", 2, 3.0, "old", 0),  # in the run, but without a group
        ("s3-1", None, None, None, None),
        ("s3-2", None, None, None, None),
    ]


def test_a_row_of_morphology_says_where_it_comes_from(lake: Lake) -> None:
    first, *_, last = rows(lake, "FROM morphology ORDER BY particle_id")
    near(
        first,
        {
            "lab": "North",
            "experiment": "A",
            "sample": "Batch",
            "route": "hot",
            "path": "a/first.tif",
            "pixel_size_nm": 0.5,
            "pixel_size_trust": "sheet",
            "equivalent_diameter_area_nm": 10.0,
            "d_mean": 4.0,  # all of the probability on d = 4
            "grouping_run_id": "g1",
        },
    )
    near(
        last,
        {
            "lab": "South",
            "sample": None,
            "pixel_size_nm": None,
            "pixel_size_trust": "unknown",
            "equivalent_diameter_area_nm": None,
            "equivalent_diameter_area_px": 50.0,
        },
    )


def test_ensemble_by_hand(lake: Lake) -> None:
    a, b, c = rows(lake, "FROM ensemble ORDER BY lab, experiment")
    near(
        a,  # 10, 12, 14 nm
        {
            "sample": "Batch",
            "micrograph_count": 1,
            "particle_count": 3,
            "calibrated_count": 3,
            "diameter_mean_nm": 12.0,
            "diameter_sd_nm": 2.0,  # sqrt((4 + 0 + 4) / 2)
            "sigma_over_d": 2 / 12,
            "diameter_d10_nm": 10.4,  # a tenth of the way from the first to the third: 10 + 0.2 * 2
            "diameter_d50_nm": 12.0,
            "diameter_d90_nm": 13.6,
            "diameter_mean_px": 24.0,
            "feret_diameter_max_mean_nm": 140 / 3,
            "aspect_ratio_mean": 0.6,
            "p_median": 3.0,  # between 2 and 4; the third particle has no p
            "d_mode": 4,
            "L_ratio_mean": 0.5,
            "jaccard_mean": 0.75,
            "largest_group": 1,
        },
    )
    near(
        b,  # 20, 22 nm
        {
            "micrograph_count": 1,  # m2; m1 is at home in A
            "particle_count": 2,
            "diameter_mean_nm": 21.0,
            "diameter_sd_nm": math.sqrt(2),  # sqrt((1 + 1) / 1)
            "diameter_d10_nm": 20.2,
            "largest_group": 2,  # group 0 is no group
        },
    )
    near(
        c,
        {
            "particle_count": 2,
            "calibrated_count": 0,
            "diameter_mean_nm": None,
            "sigma_over_d": None,
            "diameter_mean_px": 40.0,
            "d_mode": None,
            "largest_group": None,
        },
    )


def test_particles_that_lie_alone_have_a_mean_of_their_own(filled: Fill) -> None:
    sizes = [(10.0, 0.0), (12.0, 0.1), (30.0, 0.2), (40.0, 1.2), (None, 0.0)]
    lake = filled(
        {
            **{name: TABLES[name] for name in ("lab", "experiment", "micrograph")},
            "micrograph_location": TABLES["micrograph_location"],
            "segmentation": TABLES["segmentation"],
            "particle": [
                particle(f"s1-{number}", "m1", nm, 20.0, overlap=overlap)
                for number, (nm, overlap) in enumerate(sizes)
            ],
        }
    )
    (one,) = rows(lake, "FROM ensemble WHERE particle_count > 0")
    near(one, {"alone_count": 2, "diameter_alone_mean_nm": 11.0, "diameter_mean_nm": 23.0})


def test_experiments_and_pictures_without_particles_are_in_the_ensemble(filled: Fill) -> None:
    """Experiment a has a full and an empty picture, b an empty one, c none that was segmented."""
    lake = filled(
        {
            "lab": TABLES["lab"],
            "experiment": [row("experiment", experiment_id=name, lab_id="n", experiment=name,
                               **at(0)) for name in "abc"],
            "micrograph": [micrograph(name, 0.5, 1) for name in ("m1", "m2", "m3", "m4")],
            "micrograph_location": [
                located(name, home, f"{name}.tif", 1)
                for name, home in [("m1", "a"), ("m2", "a"), ("m3", "b"), ("m4", "c")]
            ],
            "segmentation": [
                row("segmentation", segmentation_id=f"s{name[1]}", micrograph_id=name,
                    polarity="dark", particle_count=count, **at(2))
                for name, count in [("m1", 2), ("m2", 0), ("m3", 0)]
            ],
            "particle": [particle("s1-1", "m1", 10.0, 20.0), particle("s1-2", "m1", 14.0, 28.0)],
        }
    )  # fmt: skip
    alone = "SELECT DISTINCT alone_count, diameter_alone_mean_nm FROM ensemble"
    assert [tuple(one.values()) for one in rows(lake, alone)] == [(None, None)]
    counts = "micrograph_count AS m, empty_micrograph_count AS empty, particle_count AS p"
    found = rows(lake, f"SELECT {counts}, diameter_mean_nm AS nm FROM ensemble ORDER BY experiment")
    assert [tuple(one.values()) for one in found] == [(2, 1, 2, 12.0), (1, 1, 0, None),
                                                      (0, 0, 0, None)]  # fmt: skip
    pairs = rows(lake, "SELECT count_a, count_b, difference_nm, cohen_d, welch_t, group_overlap "
                       "FROM batch_compare ORDER BY experiment_a, experiment_b")  # fmt: skip
    unknown = (None, None, None, None)
    assert [tuple(one.values()) for one in pairs] == [(2, 0, *unknown), (2, 0, *unknown),
                                                      (0, 0, *unknown)]  # fmt: skip


def test_batch_compare_by_hand(lake: Lake) -> None:
    pairs = rows(lake, "FROM batch_compare ORDER BY experiment_a, experiment_b")
    assert [(p["experiment_a"], p["experiment_b"]) for p in pairs] == [
        ("A", "B"),
        ("A", "C"),
        ("B", "C"),
    ]
    error = math.sqrt(2**2 / 3 + 2 / 2)  # variances 4 and 2 over the counts 3 and 2
    near(
        pairs[0],
        {
            "count_a": 3,
            "count_b": 2,
            "mean_a_nm": 12.0,
            "mean_b_nm": 21.0,
            "difference_nm": 9.0,
            "difference_low_nm": 9 - 1.96 * error,
            "difference_high_nm": 9 + 1.96 * error,
            "welch_t": 9 / error,
            "cohen_d": 9 / math.sqrt(3),  # pooled variance (4 + 2) / 2
            # A: 2/3 in group 1, 1/3 in group 2. B: the one assigned is in group 2. min(1/3, 1).
            "group_overlap": 1 / 3,
        },
    )
    for pair in pairs[1:]:  # C has no nm and no groups: unknown, not 0
        near(pair, {"difference_nm": None, "cohen_d": None, "group_overlap": None})


def test_questions_by_hand(lake: Lake) -> None:
    sizes = rows(lake, question("size_by_experiment"))
    assert [one["diameter_mean_nm"] for one in sizes] == [12.0, 21.0, None]
    (rods,) = rows(lake, question("rods_over_40_nm"))  # s1-1 only: s1-2 is short, s1-3 is round
    near(rods, {"lab": "North", "route": "hot", "rods": 1, "length_mean_nm": 50.0})
    (condition,) = rows(lake, question("size_by_condition"))
    near(condition, {"condition": "temperature", "value": 180.0, "diameter_mean_nm": 12.0})
    shares = rows(lake, question("group_shares"))
    found = {(one["experiment"], one["shape_group"]): one["share"] for one in shares}
    assert found == {
        ("A", 1): pytest.approx(2 / 3),
        ("A", 2): pytest.approx(1 / 3),
        ("B", 0): 0.5,
        ("B", 2): 0.5,
    }
    assert rows(lake, question("same_product"))[0]["experiment_b"] == "B"
    assert rows(lake, question("failures"))[0]["reason"] == "empty"


@pytest.mark.parametrize("name", questions())
def test_every_question_says_what_it_answers_and_runs(lake: Lake, name: str) -> None:
    text = question(name)
    assert re.match(r"-- [A-Z].{10,}\n", text)
    assert questions()[name] == text.splitlines()[0][3:]
    assert lake.query(text).num_columns > 1


def test_an_unknown_question_lists_the_known_ones() -> None:
    with pytest.raises(QueryError, match="no question 'size'; known: compare_batches, counts_by_"):
        question("size")


def test_views_are_made_in_the_order_of_their_numbers(lake: Lake) -> None:
    """A view may only name those before it; each file says what it is and makes one view."""
    texts = view_statements()
    heads = [re.findall(r"^CREATE OR REPLACE VIEW (\w+) AS", text, re.MULTILINE) for text in texts]
    assert all(len(head) == 1 for head in heads)
    assert all(text.startswith("-- ") for text in texts)
    names = [head[0] for head in heads]
    assert len(set(names)) == len(names)
    for number, text in enumerate(texts):
        later = set(names[number + 1 :])
        code = re.sub(r"--.*", "", text)
        assert not later & set(re.findall(r"\w+", code)), names[number]
    assert {one["name"] for one in rows(lake, "SHOW TABLES")} >= set(names)
