"""Trainings from end to end: who becomes champion, curated particles, a repeat, a lost worker."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("mlflow", reason="needs the extra `train`")

from nanolake.engines.train import LightningJob, Trained
from nanolake.errors import LakeError, ModelError, SettingsError
from nanolake.model_files import Exports
from nanolake.pipeline import train
from nanolake.pipeline.again import train_again
from nanolake.pipeline.curated import export_selection, with_selection
from nanolake.pipeline.promotion import list_models, not_worse, split_version
from nanolake.pipeline.select import select_particles
from nanolake.pipeline.train import Place, TrainedModel, train_network
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.storage import Lake, unit_key
from nanolake.storage.models import ModelRegistry

pytestmark = pytest.mark.filterwarnings("ignore")

COMMON = {"name": "tiny", "run_name": "tiny", "epochs": 2}


def harvested(folder: Path, seed: int = 0) -> Path:
    """Write 64 drawn crystals as each part of a harvest."""
    from nanolake.shape import cut
    from nanolake.shape.harvest import Harvest
    from nanolake.simulate.crystal import draw_triples, label_strip

    for number, part in enumerate(("train", "validation", "test")):
        rng = np.random.default_rng((seed, number))
        truth = draw_triples(rng, 64, paper_share=0.5)
        crops = np.rint(255 * cut(label_strip(rng, truth), size=64)).astype(np.uint8)
        rest = {name: np.ones(64) for name in ("size_px", "iou", "visible")}
        made = Harvest(
            crops=crops, around=np.repeat(crops[:, None], 2, axis=1), p=truth.p, d=truth.d,
            l_ratio=truth.l_ratio, seed=np.arange(64), **rest,
        )  # fmt: skip
        made.save(folder / part / "a.npz")
    return folder


def tiny_shape(folder: Path, **changes: Any) -> ShapeTrainSettings:
    """Settings of a shape network that trains in a second."""
    sizes = {"crops_per_epoch": 64, "batch_size": 16, "validation_crops": 32, "test_crops": 100}
    network = {"channels": (4, 4), "hidden": 8, "harvested": harvested(folder)}
    return ShapeTrainSettings.build({**COMMON, **sizes, **network, **changes})


def tiny_segmenter(**changes: Any) -> SegmenterTrainSettings:
    """Settings of a segmenter that trains in a few seconds."""
    sizes = {"crops_per_epoch": 8, "batch_size": 2, "crop_px": 64, "micrograph_px": 128}
    held = {"validation_micrographs": 2, "test_micrographs": 2, "channels": (4, 4, 4, 4, 4)}
    return SegmenterTrainSettings.build({**COMMON, **sizes, **held, **changes})


def train_here(job: LightningJob, *, progress: Any = None) -> Trained:
    """Do what `train_lightning` does in this process, with one worker."""
    import pytorch_lightning as pl
    import torch

    from nanolake.engines.train import QUIET, quiet_lightning

    quiet_lightning()
    torch.manual_seed(job.seed)
    history: list[dict[str, float]] = []

    class Keep(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            history.append({"epoch": trainer.current_epoch, **values})

    trainer = pl.Trainer(
        max_epochs=job.epochs, accelerator="cpu", callbacks=[Keep()],
        reload_dataloaders_every_n_epochs=1, **QUIET,
    )  # fmt: skip
    trainer.fit(job.make_module(), datamodule=job.make_data())
    checkpoint = job.storage / job.name / "checkpoint.ckpt"
    trainer.save_checkpoint(checkpoint)
    return Trained(checkpoint=checkpoint, history=tuple(history))


def place(out: Path, **changes: Any) -> Place:
    return Place(out=out, tracking_uri=f"sqlite:///{out}/mlflow.db", **changes)


def stage_with(scores: dict[str, float], shipped: Path) -> Any:
    """A stage whose networks score what is written in their file."""

    def export(
        settings: Any, checkpoint: Path, history: Any, *, out: Path, workers: int
    ) -> Exports:
        weights = out / "tiny.onnx"
        weights.write_text(json.dumps(scores))
        for path in (out / "tiny.md", out / "tiny.json"):
            path.write_text("{}")
        return Exports(
            weights=weights, card=out / "tiny.md", details=out / "tiny.json", metrics=dict(scores)
        )

    def score(settings: Any, weights: Path) -> dict[str, float]:
        try:
            return dict(json.loads(weights.read_text()))
        except ValueError:
            raise ModelError(f"{weights} is no network") from None

    return SimpleNamespace(
        EXPERIMENT="trial", SUMMARY="a {a:.2f}", SHIPPED=shipped, export=export, score=score,
        GATE={"a": ("the a", 0.01), "b": ("the b", 0.0)}, makers=lambda settings: (None, None),
    )  # fmt: skip


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainedModel]:
    """Train, without any work, a network of given scores."""
    import nanolake.engines.train as engine

    def trained(job: LightningJob, *, progress: Any = None) -> Trained:
        return Trained(checkpoint=tmp_path / "none", history=({"epoch": 0, "loss": 1.0},))

    shipped = tmp_path / "shipped.onnx"
    shipped.write_text('{"a": 0.7, "b": 0.7}')
    settings = ShapeTrainSettings.build({"name": "tiny", "harvested": harvested(tmp_path / "h")})
    monkeypatch.setattr(engine, "train_lightning", trained)

    def run(a: float, b: float, **changes: Any) -> TrainedModel:
        monkeypatch.setattr(train, "_stage", lambda _: stage_with({"a": a, "b": b}, shipped))
        chosen = settings.model_copy(update={"run_name": f"{a}-{b}", **changes})
        return train_network(chosen, place(tmp_path / "out"))

    return run


@pytest.mark.slow
def test_a_new_version_must_not_be_worse(
    scored: Callable[..., TrainedModel], tmp_path: Path
) -> None:
    registry = ModelRegistry(f"sqlite:///{tmp_path}/out/mlflow.db")

    def used() -> int:
        return registry.fetch("tiny", tmp_path / "fetched")[1].version

    first = scored(0.80, 0.80)
    assert (first.champion, first.model_version, used()) == (True, 1, 1)
    within = scored(0.79, 0.80)  # a may fall by 0.01
    assert (within.champion, used()) == (True, 2)
    assert "the a 0.7900 against 0.8000, the b 0.8000 against 0.8000" in within.line()
    worse = scored(0.99, 0.79)  # one better score does not make up for another
    assert (worse.champion, used()) == (False, 2)
    assert "challenger: worse than version 2: the a 0.9900 against 0.7900" in worse.line()
    assert "nanolake models --promote tiny/3" in worse.line()
    unknown = scored(float("nan"), 0.80)
    assert (unknown.champion, used()) == (False, 2)

    listed = {row["model"]: row["used as"] for row in list_models(registry)}
    assert listed == {"tiny/4": "challenger", "tiny/3": None, "tiny/2": "champion", "tiny/1": None}
    registry.promote("tiny", 4)
    assert used() == 4
    assert registry.versions()[0].aliases == ("champion",)
    with pytest.raises(ModelError, match="'tiny' has no version 9; known: 1, 2, 3, 4"):
        registry.promote("tiny", 9)


@pytest.mark.slow
def test_the_shipped_network_is_the_first_champion_of_its_name(
    scored: Callable[..., TrainedModel], tmp_path: Path
) -> None:
    name = ShapeTrainSettings().name
    worse = scored(0.6, 0.9, name=name)
    assert not worse.champion
    assert (
        "worse than the network that comes with nanolake: the a 0.6000 against 0.7" in worse.line()
    )
    with pytest.raises(ModelError, match="'champion'"):
        ModelRegistry(f"sqlite:///{tmp_path}/out/mlflow.db").fetch(name, tmp_path / "fetched")
    (tmp_path / "shipped.onnx").write_text("of another format")
    assert "could not be scored" in scored(0.9, 0.9, name=name).line()


def test_not_worse_by_hand() -> None:
    margins = {"a": 0.01, "b": 0.0}
    held = {"a": 0.5, "b": 0.5}
    assert not_worse({"a": 0.495, "b": 0.5}, held, margins)
    assert not not_worse({"a": 0.48, "b": 0.9}, held, margins)
    assert not not_worse({"a": float("nan"), "b": 0.9}, held, margins)
    assert not_worse({"a": 0.1, "b": 0.5}, {"a": float("nan"), "b": 0.5}, margins)


@pytest.mark.parametrize("text", ["tiny", "tiny/", "tiny/x", "/3"])
def test_a_version_is_named_in_full(text: str) -> None:
    assert split_version("tiny/3") == ("tiny", 3)
    with pytest.raises(SettingsError, match="NAME/VERSION"):
        split_version(text)


ONE = "SELECT particle_id FROM particle ORDER BY particle_id LIMIT 12"


def versions(lake: Lake) -> list[tuple[Any, ...]]:
    rows = lake.query("FROM selection ORDER BY selection, selection_version").to_pylist()
    names = ("selection", "selection_version", "particle_count", "labelled_count")
    return [tuple(row[name] for name in names) for row in rows]


def test_a_lake_that_knows_no_selection_gets_one_and_a_newer_nanolake_adds_none(
    lake_copy: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nanolake.pipeline import select

    lake_copy.connections.writer().execute("DROP TABLE selection; DROP TABLE selection_particle")
    lake_copy.connections.writer().execute("UPDATE schema_version SET fingerprint = 'an older one'")
    lake_copy.close()
    assert select_particles(lake_copy, "some", ONE).done == 1
    later = partial(unit_key, code_version="later")
    monkeypatch.setattr(select, "unit_key", later)
    again = select_particles(lake_copy, "some", ONE)
    assert (again.done, again.skipped) == (0, 1)
    assert lake_copy.query("FROM selection_particle").num_rows == 12


def test_a_selection_is_kept_and_a_change_is_a_new_version(lake_copy: Lake, tmp_path: Path) -> None:
    assert select_particles(lake_copy, "some", ONE).done == 1
    again = select_particles(lake_copy, "some", f"FROM ({ONE}) ORDER BY particle_id DESC")
    assert (again.done, again.skipped) == (0, 1)  # the same particles in another order
    assert "some version 1: 12 particles, unchanged" in again.line()
    select_particles(lake_copy, "some", ONE.replace("12", "11"))
    select_particles(lake_copy, "some", ONE)  # as at first, and yet a change
    ids = [row["particle_id"] for row in lake_copy.query(ONE).to_pylist()]
    labels = tmp_path / "l.csv"
    labels.write_text(f"particle_id,p,d,L_ratio\n{ids[0]},4,3,2.0\n{ids[1]},,,\n")
    select_particles(lake_copy, "some", ONE, labels=labels)
    assert versions(lake_copy) == [
        ("some", 1, 12, 0), ("some", 2, 11, 0), ("some", 3, 12, 0), ("some", 4, 12, 1),
    ]  # fmt: skip
    row = lake_copy.query(
        "FROM selection_particle WHERE selection_version = 4 AND p IS NOT NULL"
    ).to_pylist()[0]
    # L = 2 is the same outline as L = 1/2, turned
    assert (row["particle_id"], row["p"], row["d"], row["L_ratio"]) == (ids[0], 4.0, 3, 0.5)
    first = lake_copy.query("FROM selection ORDER BY selection_version LIMIT 1").to_pylist()[0]
    assert first["sql"] == ONE
    assert first["snapshot_id"] > 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{id},4,7,0.5", "line 2: p=4, d=7"),
        ("{id},-1,2,0.5", "must be positive"),
        ("{id},4,2,", "leave all three empty"),
        ("{id},4,2.5,0.5", "d one of 1 to 6"),
        ("{id},many,2,0.5", "p=many"),
        ("{id},4,2,0.5\n{id},4,2,0.5", "line 3"),
    ],
)
def test_labels_that_cannot_be_used(lake_copy: Lake, tmp_path: Path, line: str, said: str) -> None:
    one = lake_copy.query(ONE).to_pylist()[0]["particle_id"]
    labels = tmp_path / "l.csv"
    labels.write_text("particle_id,p,d,L_ratio\n" + line.format(id=one) + "\n")
    with pytest.raises(SettingsError, match=said):
        select_particles(lake_copy, "x", labels=labels)


def test_selections_that_cannot_be_made(lake_copy: Lake, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no particle_id"):
        select_particles(lake_copy, "x", "SELECT label FROM particle")
    with pytest.raises(LakeError, match="no particles fit"):
        select_particles(lake_copy, "x", "SELECT particle_id FROM particle WHERE label < 0")
    with pytest.raises(LakeError, match="not in the lake, such as nobody"):
        select_particles(lake_copy, "x", "SELECT 'nobody' AS particle_id")
    with pytest.raises(SettingsError, match="'a/b' is no name"):
        select_particles(lake_copy, "a/b", ONE)
    with pytest.raises(SettingsError, match="a file of labels, or both"):
        select_particles(lake_copy, "x")
    (tmp_path / "l.csv").write_text("particle_id,p,d,L_ratio\nnobody,4,2,0.5\n")
    with pytest.raises(SettingsError, match="does not return, such as nobody"):
        select_particles(lake_copy, "x", ONE, labels=tmp_path / "l.csv")
    with pytest.raises(LakeError, match="no selection 'x'"):
        export_selection(lake_copy, "x", tmp_path)


def test_exported_crops_are_what_the_network_is_shown(lake_copy: Lake, tmp_path: Path) -> None:
    from nanolake.shape import ShapePredictor

    everything = "SELECT particle_id FROM morphology"
    labelled = lake_copy.query(ONE).to_pylist()[3]["particle_id"]
    labels = tmp_path / "l.csv"
    labels.write_text(f"particle_id,p,d,L_ratio\n{labelled},5,3,0.25\n")
    select_particles(lake_copy, "all", everything, labels=labels)
    path = export_selection(lake_copy, "all", tmp_path, min_jaccard=0.8)
    content = path.read_bytes()
    assert export_selection(lake_copy, "all", tmp_path, min_jaccard=0.8) == path
    assert path.read_bytes() == content
    with np.load(path) as file:
        made = {name: file[name] for name in file.files}
    rows = lake_copy.query(
        "SELECT m.particle_id, m.L_ratio, m.d, coalesce(r.p, m.p) AS p, "
        "coalesce(r.jaccard, m.jaccard) AS jaccard FROM morphology m "
        "LEFT JOIN shape_refinement r USING (particle_id, model_id) ORDER BY particle_id"
    ).to_pandas()
    rows = rows[(rows["jaccard"] >= 0.8) | (rows["particle_id"] == labelled)]
    assert list(made["particle_id"]) == list(rows["particle_id"])
    assert made["crops"].shape == (len(rows), 64, 64)
    assert made["crops"].dtype == np.uint8
    assert list(made["by_person"]) == list(rows["particle_id"] == labelled)
    (mine,) = np.flatnonzero(made["by_person"])
    assert (made["p"][mine], made["d"][mine], made["l_ratio"][mine]) == (5.0, 3, 0.25)
    others = ~made["by_person"]
    np.testing.assert_allclose(made["p"][others], rows["p"].clip(upper=69.0)[others], rtol=1e-5)
    # The stored prediction is the network's answer to the same maps: 8 bits change it little.
    maps = np.concatenate([made["crops"][:, None], made["around"]], axis=1)
    found = ShapePredictor()(maps.astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(found["L_ratio"], rows["L_ratio"], atol=0.03)
    assert np.mean(found["d"] == rows["d"]) > 0.95
    about = json.loads(str(made["about"]))
    assert (about["selection"], about["version"], about["by_person"]) == ("all", 1, 1)
    assert about["by_network"] == others.sum()
    assert about["left_out"] == lake_copy.query(everything).num_rows - len(rows)


def test_a_refined_prediction_is_learned_from_before_the_raw_one(
    lake_copy: Lake, tmp_path: Path
) -> None:
    row = lake_copy.query(
        "SELECT particle_id, segmentation_id, micrograph_id, segmentation_run_id, model_id, label "
        "FROM shape_prediction ORDER BY particle_id LIMIT 1"
    ).to_pylist()[0]
    shape = {"p": 3.5, "d": 4, "L_ratio": 0.9, "phi_rad": 0.1, "jaccard": 0.99}
    stamp = {"method": "by hand", "unit_key": "u", "created_at": datetime(2100, 1, 1, tzinfo=UTC)}
    lake_copy.commit({"shape_refinement": [{**row, **shape, **stamp}]}, message="refined by hand")
    select_particles(lake_copy, "some", ONE)
    with np.load(export_selection(lake_copy, "some", tmp_path, min_jaccard=0.5)) as file:
        (mine,) = np.flatnonzero(file["particle_id"] == row["particle_id"])
        assert (file["p"][mine], file["d"][mine]) == (3.5, 4)
        assert file["l_ratio"][mine] == pytest.approx(0.9)
        assert json.loads(str(file["about"]))["refined"] >= 1


def test_nothing_good_enough_to_learn_from(lake_copy: Lake, tmp_path: Path) -> None:
    select_particles(lake_copy, "some", ONE)
    with pytest.raises(LakeError, match="none of the 12 particles of selection 'some'"):
        export_selection(lake_copy, "some", tmp_path, min_jaccard=1.01)


@pytest.mark.slow
def test_a_curated_training_is_repeated_from_its_run(
    lake_copy: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nanolake.engines.train as engine

    monkeypatch.setattr(engine, "train_lightning", train_here)
    select_particles(lake_copy, "some", ONE)
    where = place(tmp_path / "out")
    base = tiny_shape(tmp_path / "h")
    settings = with_selection(
        base, lake_copy, "some", share=0.25, out=tmp_path / "crops", min_jaccard=0.5
    )
    made = train_network(settings, where)
    card = (where.out / "tiny.md").read_text()
    assert "25% of every batch" in card
    assert "**Self-training**" in card
    assert "no real picture" not in card
    assert str(tmp_path) not in card + (where.out / "tiny.json").read_text()

    assert settings.curated is not None
    settings.curated.unlink()  # the run itself keeps the crops
    again = train_again(made.mlflow_run_id, where)
    assert again.note == f"the same learning curve as run {made.mlflow_run_id}"
    assert again.metrics == pytest.approx(made.metrics, rel=0, abs=0, nan_ok=True)
    assert again.verdict.startswith("champion")
    other = train_network(settings.model_copy(update={"curated": None, "curated_share": 0.0,
                          "run_name": "plain"}), place(tmp_path / "plain"))  # fmt: skip
    # the crops were learned from
    assert other.metrics["test_log_p_rmse"] != made.metrics["test_log_p_rmse"]

    run = ModelRegistry(where.tracking_uri).files(made.mlflow_run_id, tmp_path / "kept")
    record = json.loads((run / "training" / "tiny.record.json").read_text())
    assert set(record["inputs"]) == {"curated", "harvested"}
    harvested(tmp_path / "h", seed=1)  # other data under the old name
    with pytest.raises(ModelError, match="cannot be repeated"):
        train_again(made.mlflow_run_id, where)
    with pytest.raises(ModelError, match="there is no run 'none'"):
        train_again("none", where)


def dying(make: Callable[[], Any], mark: Path) -> Any:
    """Return a module whose last worker is killed once, half way in the second round."""
    module = make()

    def on_train_batch_start(batch: Any, index: int) -> None:
        here = (module.current_epoch, index, module.global_rank) == (1, 1, 1)
        if here and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    module.on_train_batch_start = on_train_batch_start
    return module


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("network", ["shape", "segmenter"])
def test_a_killed_worker_changes_nothing_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    settings: ShapeTrainSettings | SegmenterTrainSettings = tiny_segmenter()
    if network == "shape":
        settings = tiny_shape(tmp_path / "h")
    stage, mark = train._stage(settings), tmp_path / "killed"
    whole = train_network(settings, place(tmp_path / "whole"))
    makers = stage.makers
    monkeypatch.setattr(
        stage, "makers", lambda s: (partial(dying, makers(s)[0], mark), makers(s)[1])
    )
    torn = train_network(settings, place(tmp_path / "torn"))
    assert mark.exists()
    assert (whole.restarts, torn.restarts) == (0, 1)
    assert "a worker was lost and the training resumed once" in torn.line()
    assert "lost" not in whole.line()
    same_files(tmp_path / "whole", tmp_path / "torn")
    assert torn.metrics == pytest.approx(whole.metrics, rel=1e-3, nan_ok=True)
    in_mlflow = {
        one.run_id: one.metrics["restarts"]
        for one in ModelRegistry(f"sqlite:///{tmp_path}/torn/mlflow.db").versions()
    }
    assert in_mlflow == {torn.mlflow_run_id: 1.0}


def same_files(whole: Path, torn: Path) -> None:
    """Compare learning curves and weights."""
    import torch

    curves = [json.loads((out / "tiny.json").read_text())["history"] for out in (whole, torn)]
    assert len(curves[0]) == 2
    for row, other in zip(*curves, strict=True):
        assert other == pytest.approx(row, rel=1e-4)
    states = [
        torch.load(out / "tiny.ckpt", weights_only=True)["state_dict"] for out in (whole, torn)
    ]
    for name, value in states[0].items():
        np.testing.assert_allclose(states[1][name], value, rtol=1e-3, atol=1e-5, err_msg=name)
