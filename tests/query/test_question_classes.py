"""Questions answered from classes: the very answer of a plain question over every particle."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from nanolake.contracts import get_table
from nanolake.pipeline.refresh import refresh
from nanolake.query import ask, view_statements
from nanolake.storage import Lake

Row = dict[str, Any]
Query = Callable[[str, Any], pa.Table]
_FILL = {"string": "x", "json": "{}", "bool": False, "int32": 1, "int64": 1, "float64": 1.0}
START = datetime(2026, 1, 1, tzinfo=UTC)

PLAIN = {
    "counts_by_quality": """SELECT lab, pixel_size_trust,
        CASE WHEN jaccard IS NULL THEN 'not described'
             WHEN jaccard >= ($min_jaccard_percent::DOUBLE / 100)::FLOAT THEN 'well fitted'
             ELSE 'badly fitted' END AS outline, count(*) AS particles
        FROM lake.main.morphology GROUP BY ALL ORDER BY ALL""",
    "shapes_by_lab": """SELECT lab, d, count(*) AS particles, avg(L_ratio) AS L_ratio_mean
        FROM lake.main.morphology WHERE d IS NOT NULL GROUP BY lab, d ORDER BY lab, d""",
    "rods_over_40_nm": """SELECT lab, route, count(*) AS rods,
        avg(feret_diameter_max_nm) AS length_mean_nm,
        avg(1 / aspect_ratio) AS length_over_width_mean
        FROM lake.main.morphology WHERE feret_diameter_max_nm >= $min_nm
        AND aspect_ratio < ($max_aspect_percent::DOUBLE / 100)::FLOAT
        GROUP BY lab, route ORDER BY rods DESC, lab, route""",
    "nearest_shapes": """SELECT particle_id, lab, experiment, d, p, L_ratio, jaccard,
        equivalent_diameter_area_nm,
        sqrt((ln(p) - ln($p::FLOAT)) ** 2 + (L_ratio - $L_ratio::FLOAT) ** 2) AS distance
        FROM lake.main.morphology WHERE d = $d AND p > 0 AND L_ratio IS NOT NULL
        ORDER BY distance, particle_id LIMIT $count""",
    "same_product": """WITH batch AS (
            SELECT *, row_number() OVER (ORDER BY lab, experiment, experiment_id) AS place
            FROM lake.main.ensemble)
        SELECT a.experiment AS experiment_a, b.experiment AS experiment_b,
            a.diameter_mean_nm AS mean_a_nm, b.diameter_mean_nm AS mean_b_nm,
            b.diameter_mean_nm - a.diameter_mean_nm AS difference_nm,
            difference_nm
            / nullif(sqrt((a.diameter_sd_nm ** 2 + b.diameter_sd_nm ** 2) / 2), 0) AS cohen_d
        FROM batch a JOIN batch b ON a.place < b.place
        ORDER BY abs(cohen_d), a.place, b.place LIMIT $count""",
}
"""What each question means, over every particle and every pair."""


def beside(value: float) -> list[float]:
    """A value as float32, and the float32 before and after it."""
    middle = np.float32(value)
    return [float(np.nextafter(middle, np.float32(side))) for side in (0, 1e9)] + [float(middle)]


EDGES: dict[str, list[float | None]] = {
    "aspect_ratio": [v for n in range(1, 20) for v in beside(n / 20)] + [1.0, None],
    "jaccard": [v for n in (0.5, 0.89, 0.9, 0.91, 0.95) for v in beside(n)] + [0.0, 1.0, None],
    "feret_diameter_max_nm": [v for n in (0.5, 39, 40, 41, 60) for v in beside(n)] + [None, 4e4],
    "p": [v for n in (-2, -1, 0, 1, 20, 40) for v in beside(np.exp(n / 20))]
    + [0.0, 1e-6, 5e4, 3e38, None],
    "L_ratio": [v for n in (1, 13, 14, 18, 19) for v in beside(n / 20)] + [0.0, 1.0, None],
    "d": [2, 4, 4, 4, None],
    "equivalent_diameter_area_nm": [*beside(10), 11.0, None],
}
"""Values at the borders of classes, beyond them, and none at all."""


def row(table: str, **values: Any) -> Row:
    columns = get_table(table).columns
    filled = {c.name: _FILL[c.type] for c in columns if c.required and c.type in _FILL}
    return filled | {"unit_key": "u", "created_at": START} | values


def experiment(lake: Lake, number: int, particles: Sequence[Row], **about: Any) -> None:
    """Add one experiment with one picture and these particles."""
    home, name, mask = f"e{number:03d}", f"m{number}", f"s{number:03d}"
    ids = {"segmentation_id": mask, "micrograph_id": name}
    of_particle = {c.name for c in get_table("particle").columns}
    named = [{"particle_id": f"{mask}-{n:05d}", **ids} | one for n, one in enumerate(particles)]
    tables = {
        "lab": [row("lab", lab_id=f"l{number % 3}", lab=f"Lab {number % 3}")],
        "experiment": [row("experiment", experiment_id=home, lab_id=f"l{number % 3}",
                           experiment=f"E{number}", **({"route": "hot"} | about))],
        "micrograph": [row("micrograph", micrograph_id=name, dtype="uint8",
                           pixel_size_trust=["unknown", "sheet"][number % 2])],
        "micrograph_location": [row("micrograph_location", experiment_id=home, path=name,
                                    micrograph_id=name)],
        "segmentation": [row("segmentation", polarity="dark", particle_count=len(particles),
                             **ids)],
        "shape_inference": [row("shape_inference", segmentation_id=mask, model_id="m")],
        "particle": [row("particle", **{k: v for k, v in one.items() if k in of_particle})
                     for one in named],
        "shape_prediction": [
            row("shape_prediction", model_id="m", d_probability=[0.5, 0.5, 0, 0, 0, 0], **ids,
                particle_id=one["particle_id"],
                **{k: one[k] for k in ("p", "d", "L_ratio", "jaccard") if k in one})
            for one in named if "p" in one],
    }  # fmt: skip
    lake.commit({k: v for k, v in tables.items() if v}, message=home)


def drawn(seed: int, count: int) -> list[Row]:
    """Particles of values at the borders of classes; one in eight is not described."""
    chance = random.Random(seed)
    rows = [{name: chance.choice(values) for name, values in EDGES.items()} for _ in range(count)]
    outline = ("p", "d", "L_ratio", "jaccard")
    return [
        one if n % 8 else {k: v for k, v in one.items() if k not in outline}
        for n, one in enumerate(rows)
    ]


def table(particles: Sequence[Row]) -> Query:
    """Questions of plain rows of `morphology`, from which the views count; no lake is needed."""
    connection = duckdb.connect()
    connection.execute("ATTACH ':memory:' AS lake; USE lake")
    names = ("particle_id", "lab", "experiment", "route", "experiment_id", "pixel_size_trust")
    columns = dict.fromkeys(names, "VARCHAR") | dict.fromkeys(EDGES, "FLOAT") | {"d": "INTEGER"}
    defined = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    connection.execute(f"CREATE TABLE morphology ({defined})")
    marks = ", ".join("?" * len(columns))
    connection.executemany(
        f"INSERT INTO morphology VALUES ({marks})",
        [[one.get(name) for name in columns] for one in particles],
    )
    for statement in view_statements():
        if any(f"VIEW {name} AS" in statement for name in VIEWS):
            connection.execute(statement)
    return lambda sql, values: connection.execute(sql, values or None).to_arrow_table()


VIEWS = ("length_histogram", "quality_histogram", "outline_histogram", "outline_index")


def named(number: int, particles: Sequence[Row]) -> list[Row]:
    """Particles of one experiment as `morphology` has them."""
    about = {
        "lab": f"Lab {number % 3}",
        "experiment": f"E{number}",
        "route": "hot",
        "experiment_id": f"e{number:03d}",
        "pixel_size_trust": ["unknown", "sheet"][number % 2],
    }
    ids = (f"s{number:03d}-{n:05d}" for n in range(len(particles)))
    return [{"particle_id": name, **about, **one} for name, one in zip(ids, particles, strict=True)]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake.create(tmp_path / "lake")
    yield made
    made.close()


@pytest.fixture(scope="module")
def edges() -> Query:
    """A thousand particles in seven experiments."""
    return table([one for number in range(7) for one in named(number, drawn(number, 150))])


def assert_plain(query: Query, name: str, given: dict[str, str]) -> list[Row]:
    """The question answers what its plain form does; means to their last digits."""
    sql, values = ask(name, given)
    found = query(sql, values).to_pylist()
    wanted = query(PLAIN[name], values).to_pylist()
    columns = list(wanted[0]) if wanted else []
    shown = [{key: one[key] for key in columns} for one in found]
    if name == "nearest_shapes":
        assert shown == wanted
        return found
    assert len(shown) == len(wanted)
    for one, other in zip(shown, wanted, strict=True):
        for key, value in other.items():
            inexact = isinstance(value, float)
            assert one[key] == (pytest.approx(value, rel=1e-12) if inexact else value), key
    return found


@pytest.mark.parametrize("percent", [0, 50, 89, 90, 91, 95, 100, 101])
def test_an_outline_is_well_fitted_from_that_percent_on(edges: Query, percent: int) -> None:
    assert assert_plain(edges, "counts_by_quality", {"min_jaccard_percent": str(percent)})


def test_axes_of_outlines_of_which_not_all_is_known(edges: Query) -> None:
    assert {one["d"] for one in assert_plain(edges, "shapes_by_lab", {})} == {2, 4}


@pytest.mark.parametrize("percent", range(0, 105, 5))
def test_rods_from_a_length_on_and_under_an_aspect_ratio(edges: Query, percent: int) -> None:
    for nm in (0, 39, 40, 41):
        given = {"min_nm": str(nm), "max_aspect_percent": str(percent)}
        assert bool(assert_plain(edges, "rods_over_40_nm", given)) == (percent > 0)


def test_an_aspect_ratio_between_two_classes_is_refused(edges: Query) -> None:
    sql, values = ask("rods_over_40_nm", {"max_aspect_percent": "62"})
    with pytest.raises(duckdb.Error, match="max_aspect_percent = 62 is not a multiple of 5"):
        edges(sql, values)


@pytest.mark.parametrize("p", [1e-7, 0.9, 1.0, float(np.exp(1 / 20)), 7.4, 5e4, 3e38])
@pytest.mark.parametrize("ratio", [0.0, 0.7, 0.92, 1.0])
def test_the_nearest_of_all_and_no_others(edges: Query, p: float, ratio: float) -> None:
    for count in (1, 3, 40, 5000):
        given = {"p": f"{p!r}", "d": "4", "L_ratio": f"{ratio!r}", "count": str(count)}
        assert len(assert_plain(edges, "nearest_shapes", given)) > 0
    assert assert_plain(edges, "nearest_shapes", {"p": f"{p!r}", "d": "3"}) == []


@pytest.mark.parametrize("count", [1, 20, 500])
def test_the_nearest_of_many_in_few_classes(count: int) -> None:
    """More particles than are looked at for a bound, in the order of their distance or against."""
    query = table(named(0, [{}]))
    for turn in (1, -1):
        query(
            f"""INSERT INTO morphology BY NAME SELECT
            'x' || lpad(n::VARCHAR, 6, '0') AS particle_id,
            'l' AS lab, 'e' AS experiment, 'e' || n % 7 AS experiment_id, 4 AS d,
            exp(2 + {turn} * n / 2e6) AS p, 0.9 - {turn} * n / 3e6 AS L_ratio
            FROM range(70000) t(n)""",
            None,
        )
        for p, ratio in (("7.389056", "0.9"), ("7.4", "0.8999"), ("7.2", "0.95"), ("9", "0.5")):
            given = {"p": p, "L_ratio": ratio, "count": str(count)}
            assert len(assert_plain(query, "nearest_shapes", given)) == count
        query("DELETE FROM morphology WHERE lab = 'l'", None)


def test_of_equally_near_ones_the_first_names_are_told() -> None:
    """Twenty experiments hold the same outline: the last places are theirs by name alone."""
    same = {"p": 5.0, "d": 4, "L_ratio": 1.0, "jaccard": 0.9}
    query = table(
        [one for n in reversed(range(20)) for one in named(n, [same, same | {"L_ratio": 0.2}])]
    )
    for count in (1, 7, 20, 21):
        found = assert_plain(query, "nearest_shapes", {"count": str(count), "L_ratio": "0.99"})
        first = [f"s{n:03d}-00000" for n in range(min(count, 20))]
        assert [one["particle_id"] for one in found][:20] == first


def test_classes_are_the_same_in_both_views(edges: Query) -> None:
    """Every particle of the index is counted in the histogram, in its class."""
    counts = [
        edges(f"SELECT experiment_id, outline_class, {count} AS n FROM {view} "
              "WHERE outline_class IS NOT NULL GROUP BY ALL ORDER BY ALL", None).to_pylist()
        for view, count in (("outline_histogram", "sum(particle_count)::BIGINT"),
                            ("outline_index", "count(*)"))
    ]  # fmt: skip
    assert counts[0] == counts[1]
    assert len(counts[0]) > 100


def batches(sizes: Sequence[Sequence[float]]) -> Query:
    """Questions of experiments with particles of these sizes, in no groups."""
    connection = duckdb.connect()
    connection.execute("ATTACH ':memory:' AS lake; USE lake")
    connection.execute("CREATE TABLE size (experiment_id VARCHAR, nm FLOAT)")
    for number, nm in enumerate(sizes):
        for one in nm or [None]:
            connection.execute("INSERT INTO size VALUES (?, ?)", [f"e{number:04d}", one])
    connection.execute(
        """CREATE TABLE ensemble AS SELECT 'lab' AS lab, experiment_id AS experiment, experiment_id,
        count(nm) AS calibrated_count, avg(nm) AS diameter_mean_nm,
        stddev_samp(nm) AS diameter_sd_nm FROM size GROUP BY experiment_id"""
    )
    connection.execute(
        "CREATE TABLE group_summary "
        "(experiment_id VARCHAR, shape_group INTEGER, particle_count BIGINT)"
    )
    return lambda sql, values: connection.execute(sql, values).to_arrow_table()


BATCHES: dict[str, list[list[float]]] = {
    "none": [],
    "one": [[1, 2]],
    "two": [[1, 2], [1.5, 2.5]],
    "two without a size": [[], []],
    "three, one of a single particle": [[1, 2], [5], [1, 3]],
    "all the same": [[1, 2], [1, 2], [1, 2], [1, 2]],
    "without spread": [[2, 2], [3, 3], [2, 2], [1, 9], [2, 2]],
    "only without spread": [[2, 2], [3, 3], [2, 2], [7, 7]],
    "one known at the end": [[], [5], [], [], [1, 2]],
    "unknown ones first": [[5], [], [1, 2], [4, 8], [2, 2], [2, 2]],
    "a wide one among narrow ones": [[10, 10.1], [20, 20.1], [0.1, 90], [30, 30.1], [40, 40.1]],
}


@pytest.mark.parametrize("sizes", BATCHES.values(), ids=BATCHES)
def test_pairs_of_few_and_of_odd_experiments(sizes: list[list[float]]) -> None:
    pairs = len(sizes) * (len(sizes) - 1) // 2
    query = batches(sizes)
    for count in (0, 1, 2, 3, 5, 10, 50):
        found = assert_plain(query, "same_product", {"count": str(count)})
        assert len(found) == min(count, pairs)


@pytest.mark.parametrize("seed", range(8))
def test_the_closest_pairs_of_many(seed: int) -> None:
    """Forty experiments, some without a size, without spread, wide, or equal to another."""
    chance = random.Random(seed)
    sizes: list[list[float]] = []
    for _ in range(40):
        middle, width = chance.uniform(5, 60), chance.choice([0, 0.1, 1, 20])
        nm = [abs(chance.gauss(middle, width)) for _ in range(chance.choice([0, 1, 2, 9, 9, 9]))]
        sizes.append(chance.choice(sizes) if sizes and chance.random() < 0.1 else nm)
    query = batches(sizes)
    for count in (1, 10, 39, 100, 700, 780, 1000):
        assert_plain(query, "same_product", {"count": str(count)})


@pytest.mark.parametrize("state", ["computed", "ready", "stale"])
def test_a_lake_answers_the_same_whatever_is_ready_made(lake: Lake, state: str) -> None:
    """Nothing ready-made, everything, or all but a renamed experiment and a new one."""
    for number in range(4):
        experiment(lake, number, drawn(number, 60))
    if state != "computed":
        refresh(lake)
    if state == "stale":
        renamed = row("experiment", experiment_id="e001", lab_id="l0", experiment="renamed")
        renamed["created_at"] = START + timedelta(days=1)
        lake.commit({"experiment": [renamed]}, message="renamed")
        experiment(lake, 5, drawn(5, 60), route=None)
    for name in PLAIN:
        assert assert_plain(lake.query, name, {})
