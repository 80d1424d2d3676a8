"""Methods and data sets side by side: each run is kept, and the current grouping is the user's."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nanolake.errors import QueryError, SettingsError
from nanolake.group import FEATURES, GroupSettings, group
from nanolake.pipeline.group import group_lake, load_particles
from nanolake.pipeline.group_compare import compare_groups
from nanolake.pipeline.group_rows import ParquetRows, spooled
from nanolake.storage import Lake

METHODS = ("kmeans", "gaussian_mixture", "linkage")
DATASETS = ("features", "parameters", "both")


def current(lake: Lake) -> dict[str, Any]:
    (row,) = lake.query(
        "SELECT grouping_run_id, method, dataset, (SELECT count(shape_group) FROM morphology) AS n "
        "FROM grouping_current"
    ).to_pylist()
    return dict(row)


def test_every_method_on_every_data_set_and_the_current_grouping_stays(
    lake_copy: Lake, quick_group: GroupSettings
) -> None:
    before = current(lake_copy)
    two = quick_group.model_copy(update={"k": 2})
    found = compare_groups(lake_copy, two, track=False)
    assert [(row["method"], row["dataset"]) for row in found.rows] == list(
        product(METHODS, DATASETS)
    )
    assert current(lake_copy) == before
    assert not any(row["current"] for row in found.rows)
    assert all(-1 <= row["ari_to_current"] <= 1 for row in found.rows)
    assert (found.report.done, found.report.skipped) == (9, 0)
    particles = lake_copy.query("FROM particle").num_rows
    counted = lake_copy.query(
        "SELECT grouping_run_id, count(*) AS n FROM group_assignment GROUP BY ALL"
    ).to_pylist()
    assert len(counted) == 1 + 9
    assert {row["n"] for row in counted} == {particles}

    again = compare_groups(lake_copy, two, track=False)
    assert (again.report.done, again.report.skipped) == (0, 9)
    assert again.rows == found.rows

    # One of them is chosen: nothing is computed, and it is the current one from now on.
    chosen = two.model_copy(update={"method": "linkage", "dataset": "features"})
    report = group_lake(lake_copy, chosen, track=False)
    assert (report.done, report.note) == (0, "made the current one again")
    assert (current(lake_copy)["method"], current(lake_copy)["dataset"]) == ("linkage", "features")
    (row,) = (row for row in compare_groups(lake_copy, two, track=False).rows if row["current"])
    assert (row["method"], row["dataset"]) == ("linkage", "features")
    assert row["ari_to_current"] == 1.0


def test_without_a_grouping_the_one_of_the_settings_becomes_current(
    lake_copy: Lake, quick_group: GroupSettings
) -> None:
    lake_copy.connections.writer().execute("DELETE FROM grouping_run")
    settings = quick_group.model_copy(update={"k": 3, "dataset": "features"})
    found = compare_groups(lake_copy, settings, track=False)
    assert (current(lake_copy)["method"], current(lake_copy)["dataset"]) == ("kmeans", "features")
    assert [row["current"] for row in found.rows] == [True] + [False] * 8
    assert (found.report.done, found.report.skipped) == (8, 1)


def test_named_columns_cannot_be_compared_over_data_sets(lake_copy: Lake) -> None:
    with pytest.raises(SettingsError, match="data sets' own columns"):
        compare_groups(lake_copy, GroupSettings(columns=("solidity",)), track=False)


def test_a_column_that_morphology_does_not_have_is_named(lake_copy: Lake) -> None:
    with pytest.raises(QueryError, match="redness"):
        group_lake(lake_copy, GroupSettings(columns=("solidity", "redness")), track=False)


def test_spooled_rows_are_the_rows_of_morphology(finished: Any) -> None:
    frame = load_particles(finished.lake, FEATURES)
    with spooled(finished.lake, (*FEATURES, "p"), ["Pd mixed"]) as some:
        assert some.row_count == (frame["experiment"] == "Pd mixed").sum()
    with spooled(finished.lake, (*FEATURES, "p")) as rows:
        assert rows.column("particle_id").to_pylist() == frame["particle_id"].tolist()
        block = rows.block(0, ("solidity", "equivalent_diameter_area_nm"))
        np.testing.assert_allclose(block[:, 0], frame["solidity"], rtol=1e-6)
        # lengths are logged; where the pixel size is unknown there is no value
        expected = np.log(frame["equivalent_diameter_area_nm"].to_numpy(float))
        np.testing.assert_allclose(block[:, 1], expected, rtol=1e-5)
        path = rows.path
    assert not path.exists()


def blobs(path: Path) -> pa.Table:
    """900 particles of three round families, a tenth of the values missing, in four row groups."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    values = rng.normal(size=(900, 2)) + 10 * np.array([[0, 0], [1, 0], [0, 1]])[truth]
    values[rng.random(900) < 0.1, 0] = np.nan
    table = pa.table({"x": values[:, 0].astype(np.float32), "y": values[:, 1].astype(np.float32)})
    pq.write_table(table, path, row_group_size=250)
    return table


def test_blocks_of_a_file_give_the_groups_of_the_table(tmp_path: Path) -> None:
    table = blobs(tmp_path / "particles.parquet")
    settings = GroupSettings(columns=("x", "y"), k_max=4, null_runs=2, seeds=2)
    rows = ParquetRows(tmp_path / "particles.parquet")
    assert rows.block_count == 4
    of_blocks = group(rows, settings)
    of_table = group({name: table.column(name).to_numpy() for name in ("x", "y")}, settings)
    assert of_blocks.k == 3
    np.testing.assert_array_equal(of_blocks.labels, of_table.labels)
    np.testing.assert_array_equal(of_blocks.labels == 0, np.isnan(table.column("x").to_numpy()))
    for name in ("x", "y"):
        np.testing.assert_allclose(of_blocks.centers[name], of_table.centers[name])


@pytest.mark.dask
@pytest.mark.filterwarnings("ignore")
def test_dask_moves_the_centres_over_every_block(tmp_path: Path) -> None:
    import dask

    from nanolake.engines.dask_kmeans import refine_centers

    blobs(tmp_path / "particles.parquet")
    settings = GroupSettings(columns=("x", "y"), k=3, null_runs=2, seeds=2, sample_size=100)
    rows = ParquetRows(tmp_path / "particles.parquet")
    with dask.config.set(scheduler="synchronous"):
        moved = group(
            rows, settings.model_copy(update={"engine": "dask-ml"}), refine=refine_centers
        )
    known = moved.labels > 0
    points = moved.scaling.apply(np.concatenate([rows.block(i, ("x", "y")) for i in range(4)]))
    # K-means is at rest: every centre is the mean of the particles nearest to it
    for number in (1, 2, 3):
        mean = points[known & (moved.labels == number)].mean(axis=0)
        np.testing.assert_allclose(moved.scaled_centers[number - 1], mean, atol=0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_runs_lie_below_one_parent_with_figures(
    lake_copy: Lake, quick_group: GroupSettings
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra `train`")
    found = compare_groups(lake_copy, quick_group.model_copy(update={"k": 2}))
    client = mlflow.MlflowClient(tracking_uri=lake_copy.tracking_uri)
    runs = [client.get_run(row["mlflow_run_id"]) for row in found.rows]
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in runs}
    assert [file.path for file in client.list_artifacts(parent)] == ["comparison.csv"]
    for run in runs:
        files = {file.path: file.file_size for file in client.list_artifacts(run.info.run_id)}
        assert {"silhouette.png", "dendrogram.png", "groups.png", "scores.json"} <= set(files)
        assert files["dendrogram.png"] > 5000
