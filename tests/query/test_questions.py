"""Named questions: what they answer, and how their parameters are filled and refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nanolake.errors import QueryError
from nanolake.pipeline.refresh import refresh
from nanolake.query import ask, parameters, question, questions
from nanolake.query.files import FOLDER
from nanolake.storage import Lake

REQUIRED = {
    "compare_batches": {"first": "A", "second": "B"},
    "one_experiment": {"experiment": "A"},
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The world of the large benchmark, small: two experiments of a lab, all of it refreshed."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    from lake_world import build

    made = Lake.create(tmp_path_factory.mktemp("questions") / "lake")
    build(made, experiments=4, particles=8000)
    refresh(made)
    yield made
    made.close()


@pytest.mark.parametrize("name", questions())
def test_every_question_runs_bound_and_with_its_defaults_written_in(lake: Lake, name: str) -> None:
    sql, values = ask(name, REQUIRED.get(name))
    bound = lake.query(sql, values)
    if name not in REQUIRED:
        assert lake.query(question(name)).num_rows == bound.num_rows
    if name not in ("failures", "compare_batches", "one_experiment", "uniform_batches"):
        assert bound.num_rows > 0


@pytest.mark.parametrize("name", questions())
def test_parameters_are_declared_used_and_cast(name: str) -> None:
    """A bound fraction is a DOUBLE: without the cast, row groups could not be left out by it."""
    text = (FOLDER / "questions" / f"{name}.sql").read_text(encoding="utf-8")
    body = re.sub(r"--.*", "", text)
    used = re.findall(r"\$(\w+)(?:::(\w+))?", body)
    declared = parameters(name)
    assert {key for key, _ in used} == set(declared)
    assert all(kind == declared[key].type for key, kind in used)
    assert len(re.findall(r"^-- \$", text, re.MULTILINE)) == len(declared)


def test_a_parameter_is_filled_as_its_type(lake: Lake) -> None:
    sql, values = ask("rods_over_40_nm", {"min_nm": "0", "max_aspect_percent": "95"})
    assert values == {"min_nm": 0, "max_aspect_percent": 95}
    found = lake.query(sql, values).to_pylist()
    wanted = (
        "SELECT count(*) AS n FROM morphology "
        "WHERE feret_diameter_max_nm >= 0 AND aspect_ratio < 0.95::FLOAT"
    )
    assert sum(row["rods"] for row in found) == lake.query(wanted).to_pylist()[0]["n"] > 0
    nearest, values = ask("nearest_shapes", {"p": "1e0"})
    assert values == {"p": 1.0, "d": 4, "L_ratio": 0.9, "count": 20}
    assert lake.query(nearest, values).num_rows == 20
    assert ask("percentiles_by_condition")[1] == {"condition": None}
    assert ask("percentiles_by_condition", {"condition": "it's"})[1] == {"condition": "it's"}


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("rods_over_40_nm", {"min": "4"}, r"no parameter 'min'; known: min_nm = 40: at least"),
        (
            "rods_over_40_nm",
            {"min_nm": "long"},
            r"min_nm = 'long' is not a whole number; known: min_nm",
        ),
        ("top_outliers", {"count": "1.5"}, r"count = '1.5' is not a whole number"),
        ("compare_batches", {"first": "A"}, r"needs second: --set second=…; known: first: name"),
        ("size_by_experiment", {"x": "1"}, r"no parameter 'x'; it has none"),
        ("nonsense", {}, "there is no question 'nonsense'; known: compare_batches"),
    ],
)
def test_what_does_not_fit_is_named(name: str, given: dict[str, str], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        ask(name, given)


def test_approximate_percentiles_lie_within_half_a_percent(lake: Lake) -> None:
    """Beside the exact ones of the same particles."""
    sql, values = ask("percentiles_by_condition", {"condition": "temperature"})
    found = lake.query(sql, values).to_pylist()
    exact = lake.query(
        "SELECT c.value_number AS value, "
        "quantile_disc(equivalent_diameter_area_nm, [0.1, 0.5, 0.9]) AS nm "
        "FROM morphology JOIN experiment_condition_current c USING (experiment_id) "
        "WHERE c.name = 'temperature' GROUP BY value ORDER BY value"
    ).to_pylist()
    assert [row["value"] for row in found] == [row["value"] for row in exact]
    assert len(found) > 1
    for approximate, true in zip(found, exact, strict=True):
        shown = [approximate[f"approximate_d{percent}_nm"] for percent in (10, 50, 90)]
        np.testing.assert_allclose(shown, true["nm"], rtol=0.00502)


def test_the_closest_pairs_have_the_figures_of_batch_compare(lake: Lake) -> None:
    """The question writes them out, so as not to compute them of every pair."""
    found = lake.query(question("same_product")).to_pylist()
    wanted = lake.query(
        f"SELECT {', '.join(found[0])} FROM batch_compare "
        "ORDER BY abs(cohen_d), experiment_a, experiment_b LIMIT 10"
    ).to_pylist()
    assert len(found) == 6
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other)


def test_two_batches_are_compared_in_either_order(lake: Lake) -> None:
    names = {"first": "Batch 00003", "second": "Batch 00001"}
    turned = {"first": "Batch 00001", "second": "Batch 00003"}
    one, other = (lake.query(*ask("compare_batches", given)) for given in (names, turned))
    assert one.num_rows == 1
    assert one.equals(other)
