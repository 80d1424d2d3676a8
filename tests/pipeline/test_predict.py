"""New particles put into the groups of an earlier grouping: once, and unknown where unknown.

The lake is made by hand: two kinds of particle far apart in four columns, a picture after the
other; pictures 0 to 5 are grouped and learnt, the later ones come afterwards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanolake.classify import ClassifySettings
from nanolake.contracts import get_table
from nanolake.engines.serial import SerialEngine
from nanolake.errors import LakeError, ModelError, SchemaError
from nanolake.group import GroupSettings
from nanolake.pipeline import classifiers, predict
from nanolake.pipeline.classify import classify_lake, label_as_grouped
from nanolake.pipeline.group import group_lake
from nanolake.pipeline.predict import predict_lake
from nanolake.storage import Lake

Row = dict[str, Any]
_FILL = {"string": "x", "json": "{}", "bool": False, "int32": 1, "int64": 1, "float64": 1.0}
MEASURED = ("aspect_ratio", "solidity")
GROUPS = GroupSettings(columns=(*MEASURED, "p", "L_ratio"), k=2, null_runs=2, bootstrap_runs=2)
LEARN = ClassifySettings(folds=3, trials=2)
EACH = 40


def row(table: str, hour: float, **values: Any) -> Row:
    """A row that fits: what is required and not given is filled with something harmless."""
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    given = values | {"created_at": when}
    needed = [c for c in get_table(table).columns if c.required and c.name not in given]
    return {c.name: when if c.type == "timestamp" else _FILL[c.type] for c in needed} | given


def kinds(seed: int, count: int = EACH) -> tuple[np.ndarray, np.ndarray]:
    """Return kind (n,) 0 or 1 and its columns (n, 4): ratios, p and L far from the other's."""
    rng = np.random.default_rng(seed)
    kind = (np.arange(count) % 3 == 0).astype(int)  # a third of kind 1: group 2 by size
    centre = np.array([[0.85, 0.88, 8.0, 0.85], [0.4, 0.7, 2.0, 0.3]])[kind]
    return kind, centre * np.exp(rng.normal(0, 0.03, (count, 4)))


def picture(number: int, values: np.ndarray, model: str | None = "net") -> dict[str, list[Row]]:
    """Return the rows of one segmented micrograph of experiment ``e0`` or ``e1``."""
    seg, pic = f"s{number:02}", f"m{number:02}"
    ids = {"segmentation_id": seg, "micrograph_id": pic}
    tables = {
        "micrograph": [row("micrograph", 1, micrograph_id=pic, dtype="uint8", image_path=pic,
                           pixel_size_trust="sheet")],
        "micrograph_location": [row("micrograph_location", 1, micrograph_id=pic, path=pic,
                                    experiment_id=f"e{number % 2}")],
        "segmentation": [row("segmentation", 2, polarity="dark", particle_count=len(values),
                             **ids)],
        "particle": [
            row("particle", 2, particle_id=f"{seg}-{n:03}", label=n + 1, **ids,
                **dict(zip(MEASURED, (float(v) for v in one), strict=False)))
            for n, one in enumerate(values)
        ],
    }  # fmt: skip
    return tables if model is None else tables | described(number, values, model, 3)


def described(number: int, values: np.ndarray, model: str, hour: float) -> dict[str, list[Row]]:
    seg = f"s{number:02}"
    return {
        "shape_inference": [row("shape_inference", hour, segmentation_id=seg, model_id=model)],
        "shape_prediction": [
            row("shape_prediction", hour, particle_id=f"{seg}-{n:03}", segmentation_id=seg,
                model_id=model, d=2, p=float(one[2]), L_ratio=float(min(one[3], 1.0)),
                d_probability=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
            for n, one in enumerate(values)
        ],
    }  # fmt: skip


def add(lake: Lake, *parts: dict[str, list[Row]]) -> None:
    names = {name for part in parts for name in part}
    joined = {name: [one for part in parts for one in part.get(name, [])] for name in names}
    lake.commit(joined, message="by hand")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of six pictures, grouped and learnt."""
    lake = Lake.create(tmp_path_factory.mktemp("learnt") / "lake")
    owners = {
        "lab": [row("lab", 0, lab_id="l", lab="L")],
        "experiment": [
            row("experiment", 0, experiment_id=e, lab_id="l", experiment=e) for e in ("e0", "e1")
        ],
    }
    add(lake, owners, *(picture(number, kinds(number)[1]) for number in range(6)))
    assert group_lake(lake, GROUPS, track=False).done == 1
    assert classify_lake(lake, LEARN, track=False).done == 1
    lake.close()
    return lake.root


@pytest.fixture
def lake(learnt: Path, tmp_path: Path) -> Iterator[Lake]:
    """A copy to be written to."""
    shutil.copytree(learnt, tmp_path / "lake")
    opened = Lake.open(tmp_path / "lake")
    yield opened
    opened.close()


def shown(lake: Lake, number: int) -> list[Row]:
    rows: list[Row] = lake.query(
        "SELECT shape_group, shape_group_source, shape_group_probability, shape_group_reason "
        "FROM morphology WHERE segmentation_id = $seg ORDER BY particle_id",
        {"seg": f"s{number:02}"},
    ).to_pylist()
    return rows


def stored(lake: Lake) -> list[Row]:
    rows: list[Row] = lake.query(
        "SELECT * EXCLUDE created_at FROM group_prediction ORDER BY particle_id, unit_key"
    ).to_pylist()
    return rows


def test_new_particles_get_the_groups_of_the_old(lake: Lake) -> None:
    """The kinds are known: a third is kind 1, the smaller group, so group 2."""
    kind, values = kinds(7)
    add(lake, picture(7, values))
    before = shown(lake, 0)
    assert {one["shape_group"] for one in shown(lake, 7)} == {None}
    report = predict_lake(lake)
    assert report.done == 1
    assert report.rows == {"group_prediction": EACH}
    rows = shown(lake, 7)
    near = [one["shape_group_reason"] is None for one in rows]
    assert sum(near) >= EACH - 3
    assert [one["shape_group"] for one in rows if one["shape_group"]] == [
        int(k) + 1 for k, known in zip(kind, near, strict=True) if known
    ]
    assert {one["shape_group_source"] for one in rows} == {"classifier"}
    assert all(one["shape_group_probability"] > 0.5 for one in rows if one["shape_group"])
    assert shown(lake, 0) == before
    assert {one["shape_group_source"] for one in before} == {"grouping"}
    assert lake.query("FROM grouping_run").num_rows == 1
    runs = lake.query("SELECT DISTINCT grouping_run_id FROM morphology").to_pylist()
    assert len(runs) == 1


def test_twice_is_the_same_as_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is new is done, and reading by twos instead of all at once changes nothing."""
    add(lake, *(picture(number, kinds(number)[1]) for number in (7, 8, 9)))
    assert predict_lake(lake, experiments=["e0"]).done == 1
    once = stored(lake)
    again = predict_lake(lake, experiments=["e0"])
    assert (again.done, again.skipped) == (0, 1)
    assert "nothing to do" in again.line()
    monkeypatch.setattr(predict, "BLOCK", 2)
    later = predict_lake(lake)
    assert (later.done, later.skipped) == (2, 1)
    assert [one for one in stored(lake) if one["particle_id"].startswith("s08")] == once
    assert len(stored(lake)) == 3 * EACH
    seen = lake.query("SELECT segmentation_id, shape_group FROM morphology ORDER BY particle_id")
    assert seen.num_rows == 9 * EACH
    for number in (7, 8, 9):
        found = [
            g["shape_group"] for g in seen.to_pylist() if g["segmentation_id"] == f"s0{number}"
        ]
        assert all(g in (None, k + 1) for g, k in zip(found, kinds(number)[0], strict=True))
        assert found.count(None) < 4
    with pytest.raises(LakeError, match="no experiment 'e9'"):
        predict_lake(lake, experiments=["e9"])


def test_a_run_that_was_broken_off_goes_on_where_it_stopped(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(lake, picture(7, kinds(7)[1]), picture(8, kinds(8)[1]))

    class Breaks(SerialEngine):
        def map(self, task: Any, items: Any) -> Any:
            for place, outcome in enumerate(super().map(task, items)):
                if place == 1:
                    raise KeyboardInterrupt
                yield outcome

    monkeypatch.setattr("nanolake.pipeline.work.COMMIT_UNITS", 1)
    with pytest.raises(KeyboardInterrupt):
        predict_lake(lake, engine=Breaks())
    assert len(stored(lake)) == EACH
    report = predict_lake(lake)
    assert (report.done, report.skipped) == (1, 1)
    assert len(stored(lake)) == len({one["particle_id"] for one in stored(lake)}) == 2 * EACH


def test_what_cannot_be_known_is_not_guessed(lake: Lake) -> None:
    """Particle 0 is unlike any, particle 1 has no p; a null group keeps out of the counts."""
    _, values = kinds(7)
    values[0] = [0.01, 0.2, 100.0, 0.02]
    tables = picture(7, values)
    tables["shape_prediction"][1]["p"] = None
    add(lake, tables)
    report = predict_lake(lake)
    rows = shown(lake, 7)
    assert [one["shape_group"] for one in rows[:2]] == [None, None]
    assert [one["shape_group_reason"] for one in rows[:2]] == ["too_far", "missing_value"]
    assert [one["shape_group_probability"] for one in rows[:2]] == [None, None]
    first, second = stored(lake)[:2]
    assert first["distance_ratio"] > 1
    assert second["distance_ratio"] is None
    unknown = sum(one["shape_group"] is None for one in rows)
    assert f"{unknown} of {EACH} particles are of no known group" in report.note
    assert lake.query("SELECT unknown_count FROM group_inference").to_pylist() == [
        {"unknown_count": unknown}
    ]


def test_a_picture_waits_for_the_network_that_was_learnt_from(lake: Lake) -> None:
    """Not described: nothing to predict. By another network: not what was learnt. Then by it."""
    _, values = kinds(7)
    add(lake, picture(7, values, model=None))
    waits = predict_lake(lake)
    assert waits.done == 0
    assert "1 micrographs wait for `nanolake describe`" in waits.note
    assert stored(lake) == []
    add(lake, described(7, values, "other", 4))
    predict_lake(lake)
    rows = shown(lake, 7)
    assert {one["shape_group_reason"] for one in rows} == {"other_network"}
    assert {one["shape_group"] for one in rows} == {None}
    add(lake, described(7, values, "net", 5))
    assert {one["shape_group_source"] for one in shown(lake, 7)} == {None}
    assert predict_lake(lake).done == 1
    assert sum(one["shape_group"] is None for one in shown(lake, 7)) < 4
    assert lake.query("FROM morphology").num_rows == 7 * EACH


def test_the_classifier_asked_for_last_is_shown(lake: Lake) -> None:
    """Two classifiers of the same groups: each predicts once, the last one asked for counts."""

    def unknown() -> int:
        return sum(one["shape_group"] is None for one in shown(lake, 7))

    add(lake, picture(7, kinds(7)[1]))
    first = classifiers.find(lake, "current")["classifier_run_id"]
    predict_lake(lake, first[:6])
    classify_lake(lake, LEARN.model_copy(update={"seed": 1, "too_far_share": 0.3}), track=False)
    second = classifiers.find(lake, "current")
    assert first != second["classifier_run_id"]
    assert second["train_count"] + second["test_count"] == 6 * EACH  # the predicted are not learnt
    of_first = unknown()
    predict_lake(lake)
    of_second = unknown()
    assert of_second > of_first
    back = predict_lake(lake, first)
    assert (back.done, back.skipped) == (0, 1)
    assert unknown() == of_first
    assert len(stored(lake)) == 2 * EACH
    assert lake.query("FROM morphology").num_rows == 7 * EACH
    again = classify_lake(lake, LEARN, track=False)
    assert (again.done, again.note) == (0, "made the current one again")
    assert classifiers.find(lake, "current")["classifier_run_id"] == first


def test_groups_of_a_new_grouping_are_not_mixed_with_predicted_ones(lake: Lake) -> None:
    add(lake, picture(7, kinds(7)[1]))
    predict_lake(lake)
    group_lake(lake, GROUPS, track=False)
    assert {one["shape_group_source"] for one in shown(lake, 7)} == {"grouping"}
    assert {one["shape_group_probability"] for one in shown(lake, 7)} == {None}
    with pytest.raises(LakeError, match="current groups have no classifier: run"):
        predict_lake(lake)


def test_a_classifier_that_cannot_be_found_or_used_is_said(lake: Lake) -> None:
    row = classifiers.find(lake, "current")
    name, path = (
        row["classifier_run_id"],
        lake.root / classifiers.model_path(row["classifier_run_id"]),
    )
    with pytest.raises(LakeError, match=f"'nothing' is no classifier; known: {name}"):
        predict_lake(lake, "nothing")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ModelError, match="is not the file that classifier"):
        predict_lake(lake)
    path.unlink()
    with pytest.raises(ModelError, match=r"file of classifier .* is missing .*--set seed=1"):
        predict_lake(lake)


def test_a_column_that_is_gone_is_named(lake: Lake) -> None:
    with pytest.raises(SchemaError, match="learnt from sharpness, which the view morphology"):
        predict._network_columns(lake, ("solidity", "sharpness"))
    assert predict._network_columns(lake, ("solidity", "p", "d_mean")) == ["p", "d_mean"]


def test_the_run_tells_what_was_tried_and_how_each_group_did(lake: Lake) -> None:
    row = classifiers.find(lake, "current")
    trials, confusion = json.loads(row["trials_json"]), json.loads(row["confusion_json"])
    assert 1 <= len(trials) <= LEARN.trials
    assert {"cost": row["cost"], "gamma": row["gamma"]}.items() <= max(
        trials, key=lambda trial: trial["accuracy"]
    ).items()
    assert confusion["recall"] == confusion["precision"] == [1.0, 1.0]
    assert confusion["labels"] == [1, 2]
    assert row["model_ids"] == ["net"]
    assert row["accuracy_heldout_experiment"] == 1.0
    assert row["unseen_share_experiment"] == 0.0
    assert 0.5 < row["null_accuracy"] <= 1.0


def test_once_more_is_described_the_same_grouping_is_another(tmp_path: Path) -> None:
    lake, values = Lake.create(tmp_path / "lake"), [kinds(number)[1] for number in range(4)]
    owners = {
        "lab": [row("lab", 0, lab_id="l", lab="L")],
        "experiment": [
            row("experiment", 0, experiment_id=e, lab_id="l", experiment=e) for e in ("e0", "e1")
        ],
    }
    models = ("net", "net", None, None)
    add(lake, owners, *(picture(n, values[n], models[n]) for n in range(4)))
    assert group_lake(lake, GROUPS, track=False).done == 1
    assert group_lake(lake, GROUPS, track=False).done == 0
    assert {one["shape_group"] for one in shown(lake, 3)} == {0}
    add(lake, *(described(n, values[n], "net", 3) for n in (2, 3)))
    assert group_lake(lake, GROUPS, track=False).done == 1
    assert {one["shape_group"] for one in shown(lake, 3)} == {1, 2}


def test_the_null_is_divided_as_the_grouping_divided() -> None:
    """Two heaps, the larger one group 1; p is handed on in logarithms, as it is compared.

    A setting that this nanolake does not know is left out, a missing one has its default.
    """
    rng = np.random.default_rng(0)
    raw = np.concatenate([rng.normal(0, 0.1, (60, 2)), rng.normal(2, 0.1, (40, 2))])
    labels = label_as_grouped('{"seeds": 2, "k_max": 3, "gone": 1}', ("p", "solidity"))(raw, 2)
    assert labels.tolist() == [1] * 60 + [2] * 40


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_lost_file_is_fetched_from_mlflow(lake: Lake) -> None:
    pytest.importorskip("mlflow", reason="needs the extra `train`")
    add(lake, picture(7, kinds(7)[1]))
    classify_lake(lake, LEARN.model_copy(update={"seed": 3}))
    row = classifiers.find(lake, "current")
    (lake.root / classifiers.model_path(row["classifier_run_id"])).unlink()
    assert predict_lake(lake).done == 1
    assert shown(lake, 7)[5]["shape_group_source"] == "classifier"
