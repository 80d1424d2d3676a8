"""Groups and classifier in the lake: stored, logged, not done twice, current when asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nanolake.errors import LakeError
from nanolake.group import GroupSettings
from nanolake.pipeline.classify import classify_lake
from nanolake.pipeline.group import group_lake
from nanolake.storage import Lake


def test_the_grouping_is_stored(finished: Any) -> None:
    (run,) = finished.lake.query("FROM grouping_run").to_pylist()
    rows = finished.lake.query("FROM group_assignment").to_pylist()
    particles = finished.lake.query("FROM particle").num_rows
    assert run["particle_count"] == len(rows) == particles
    assert {row["shape_group"] for row in rows} - {0} == set(range(1, run["k"] + 1))
    assert {row["grouping_run_id"] for row in rows} == {run["grouping_run_id"]}
    assert set(json.loads(run["centers_json"])) == set(run["columns"])
    assert f"K = {run['k']}" in finished.reports["group"].line()
    shown = finished.lake.query("SELECT count(shape_group) AS n FROM morphology").to_pylist()
    assert shown == [{"n": particles}]


def test_the_classifier_is_stored(finished: Any) -> None:
    (run,) = finished.lake.query("FROM classifier_run").to_pylist()
    (grouping,) = finished.lake.query("FROM grouping_run").to_pylist()
    assert run["grouping_run_id"] == grouping["grouping_run_id"]
    confusion = json.loads(run["confusion_json"])
    if run["accuracy"] is None:
        assert run["reason"]
        return
    assert sum(map(sum, confusion["counts"])) == run["test_count"]
    right = sum(row[place] for place, row in enumerate(confusion["counts"]))
    assert run["accuracy"] == pytest.approx(right / run["test_count"])
    assert run["test_count"] - right == run["wrong_count"]


def test_a_second_call_does_nothing(
    lake_copy: Lake, quick_group: GroupSettings, quick_classify: Any
) -> None:
    again = group_lake(lake_copy, quick_group, track=False)
    assert (again.done, again.skipped, again.note) == (0, 1, "")
    assert "nothing to do" in again.line()
    again = classify_lake(lake_copy, quick_classify, track=False)
    assert (again.done, again.skipped) == (0, 1)
    assert lake_copy.query("FROM grouping_run").num_rows == 1


def test_a_grouping_asked_for_again_is_the_current_one_again(
    lake_copy: Lake, quick_group: GroupSettings
) -> None:
    def k() -> tuple[int, int]:
        rows = lake_copy.query(
            "SELECT (SELECT k FROM grouping_current) AS k, max(shape_group) AS shown, "
            "count(*) AS particles FROM morphology"
        ).to_pylist()[0]
        assert rows["particles"] == lake_copy.query("FROM particle").num_rows
        return rows["k"], rows["shown"]

    before = k()
    two = quick_group.model_copy(update={"k": 2})
    assert group_lake(lake_copy, two, track=False).done == 1
    assert k() == (2, 2)
    back = group_lake(lake_copy, quick_group, track=False)
    assert (back.done, back.note) == (0, "made the current one again")
    assert k() == before


def test_one_experiment_can_be_grouped_alone(lake_copy: Lake, quick_group: GroupSettings) -> None:
    two = quick_group.model_copy(update={"k": 2})
    report = group_lake(lake_copy, two, experiments=["Pd mixed"], track=False)
    rows = lake_copy.query(
        "SELECT DISTINCT experiment FROM morphology WHERE shape_group IS NOT NULL"
    ).to_pylist()
    assert rows == [{"experiment": "Pd mixed"}]
    inside = lake_copy.query("FROM morphology WHERE experiment = 'Pd mixed'").num_rows
    assert report.rows["group_assignment"] == inside
    with pytest.raises(LakeError, match="no experiment 'nowhere'; known: "):
        group_lake(lake_copy, two, experiments=["nowhere"], track=False)


def test_without_particles_there_is_nothing_to_group_or_learn(empty_lake: Lake) -> None:
    with pytest.raises(LakeError, match="nanolake segment"):
        group_lake(empty_lake, track=False)
    with pytest.raises(LakeError, match="nanolake group"):
        classify_lake(empty_lake, track=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_runs_are_in_mlflow_with_settings_and_scores(
    lake_copy: Lake, quick_group: GroupSettings
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra `train`")
    two = quick_group.model_copy(update={"k": 2})
    group_lake(lake_copy, two)
    classify_lake(lake_copy)
    client = mlflow.MlflowClient(tracking_uri=lake_copy.tracking_uri)
    grouping = lake_copy.query("FROM grouping_current").to_pylist()[0]
    run = client.get_run(grouping["mlflow_run_id"])
    assert run.data.params["k"] == "2"
    assert run.data.metrics["silhouette"] == pytest.approx(grouping["silhouette"])
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    drawn = {"silhouette.png", "dendrogram.png", "groups.png"}
    assert files == {"scores.json", "centers.json"} | drawn
    learnt = lake_copy.query("FROM classifier_run ORDER BY created_at DESC LIMIT 1").to_pylist()[0]
    run = client.get_run(learnt["mlflow_run_id"])
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"classifier.npz", "trials.json"}
    if learnt["accuracy"] is not None:
        assert run.data.metrics["accuracy"] == pytest.approx(learnt["accuracy"])
