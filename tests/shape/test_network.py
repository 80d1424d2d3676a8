"""The network, its loss, its Lightning module and its ONNX twin, all in this process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytestmark = pytest.mark.filterwarnings("ignore")

from nanolake.errors import ModelError, SettingsError  # noqa: E402
from nanolake.model_files import write_onnx  # noqa: E402
from nanolake.shape import (  # noqa: E402
    ShapePredictor,
    ShapeTrainSettings,
    cut,
    cut_maps,
    predict_particles,
)
from nanolake.shape.data import (  # noqa: E402
    MixedCrops,
    ShapeData,
    _curated,
    _harvested,
)
from nanolake.shape.export import OUTPUTS, export_onnx  # noqa: E402
from nanolake.shape.harvest import Harvest  # noqa: E402
from nanolake.shape.module import ShapeModule  # noqa: E402
from nanolake.shape.network import ANGLES, Exported, ShapeNetwork, Unwrap, read_out  # noqa: E402
from nanolake.simulate.crystal import draw_triples, label_strip  # noqa: E402

TINY = {"batch_size": 16, "crops_per_epoch": 16, "validation_crops": 16, "test_crops": 100}


def test_size_and_ranges() -> None:
    network = ShapeNetwork().eval()
    assert sum(weight.numel() for weight in network.parameters()) < 2_000_000
    _, log_p, log_p_sd, l_ratio, l_sd = read_out(network(torch.rand(3, 3, 64, 64)))
    assert log_p.shape == (3, 6)
    assert (log_p_sd > 0).all()
    assert (l_sd > 0).all()
    assert ((l_ratio > 0) & (l_ratio <= 1.01)).all()  # the predictor ends at 1


def test_loss_falls() -> None:
    torch.manual_seed(0)
    module = ShapeModule(ShapeTrainSettings.build(TINY))
    (batch,) = MixedCrops(module.settings, (0,), 1, harvested=None, curated=None)
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-4)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = module._losses(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])


def test_lightning_runs_without_ray() -> None:
    import pytorch_lightning as pl

    made = ShapeTrainSettings.build(TINY)
    trainer = pl.Trainer(fast_dev_run=True, accelerator="cpu", enable_progress_bar=False)
    trainer.fit(ShapeModule(made), datamodule=ShapeData(made))
    assert trainer.global_step == 1
    assert "val_d_accuracy" in trainer.callback_metrics


def test_every_epoch_and_worker_sees_other_crystals() -> None:
    made = ShapeTrainSettings.build(TINY)
    (a,), (b,), (again,) = (
        MixedCrops(made, (1, 0, n), 1, harvested=None, curated=None) for n in (0, 1, 0)
    )
    assert torch.equal(a[0], again[0])
    assert not torch.equal(a[0], b[0])


def test_onnx_equals_torch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = ShapeNetwork().eval()
    rng = np.random.default_rng(5)
    labels = label_strip(rng, draw_triples(rng, 20), across_px=(30, 100))
    maps = cut_maps(labels, rng.normal(100.0, 5.0, labels.shape) - 50 * (labels > 0), cut(labels))
    path = export_onnx(network, tmp_path / "n.onnx", crop_px=64, name="n", card={"made": "here"})
    predictor = ShapePredictor(path)
    with torch.no_grad():
        probability, log_p, *_ = Exported(network)(torch.from_numpy(maps))
    found = predictor(maps)
    np.testing.assert_allclose(found["d_probability"], probability.numpy(), atol=1e-5)
    best = probability.argmax(1)
    expected = log_p.gather(1, best[:, None]).squeeze(1).exp().numpy()
    np.testing.assert_allclose(found["p"], expected, rtol=1e-4)
    assert (predictor.name, predictor.card) == ("n", {"made": "here"})
    assert str(Path.cwd()).encode() not in path.read_bytes()  # nothing of this machine inside


class MasksAlone(torch.nn.Module):
    """What networks of nanolake 0.3 took: mask crops, and no picture."""

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        share = crops.mean(dim=(1, 2))[:, None].expand(-1, 6)
        return share.softmax(dim=1), share, share, share, share


def test_networks_of_earlier_versions_answer_from_the_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    labels = label_strip(rng, draw_triples(rng, 5), across_px=(30, 100))
    path = write_onnx(
        MasksAlone(), torch.zeros(2, 64, 64), tmp_path / "old.onnx", inputs=["crops"],
        outputs=OUTPUTS, free={"crops": {0: torch.export.Dim("n")}}, properties={"name": "old"},
    )  # fmt: skip
    predictor = ShapePredictor(path)
    assert not predictor.looks_around
    masks = cut(labels)
    wanted = predictor(masks)
    np.testing.assert_allclose(wanted["L_ratio"], masks.mean(axis=(1, 2)), rtol=1e-5)
    pixels = rng.normal(100.0, 5.0, labels.shape)
    for found in (predictor(cut_maps(labels, pixels, masks)),
                  predict_particles(pixels, labels, predictor)):  # fmt: skip
        np.testing.assert_array_equal(found["L_ratio"], wanted["L_ratio"])


def test_unwrapping_a_disk_and_a_wedge() -> None:
    # A disk of 20 px about the middle of 64 px: rings up to 19.5 are full, from 21.5 on empty.
    y, x = np.mgrid[:64, :64] - 31.5
    disk = torch.from_numpy((np.hypot(y, x) < 20.5).astype(np.float32))[None, None]
    around = Unwrap(64)(disk)[0]
    assert around.shape == (32, ANGLES)
    assert (around[:18] > 0.9999).all()
    assert (around[23:] < 1e-4).all()
    # A bar to the right of the middle lies at angle 0; y points down, so one below at 90 degrees.
    right = torch.from_numpy(((x > 10) & (abs(y) < 1)).astype(np.float32))[None, None]
    below = torch.from_numpy(((y > 10) & (abs(x) < 1)).astype(np.float32))[None, None]
    assert Unwrap(64)(right)[0, 20, 0] > 0.99
    assert Unwrap(64)(right)[0, 20, 5:-5].max() == 0.0
    assert Unwrap(64)(below)[0, 20, ANGLES // 4] > 0.99


def test_a_right_angle_changes_nothing() -> None:
    # 45 positions remain of 180 angles: a quarter turn is 11.25 of them, so the answer is not
    # exactly the same, but nothing that was trained knows a direction.
    torch.manual_seed(2)
    network = ShapeNetwork().eval()
    mask = torch.zeros(1, 3, 64, 64)
    mask[0, :, 20:44, 12:52] = 1.0
    with torch.no_grad():
        plain, turned = network(mask), network(mask.rot90(1, (2, 3)))
        half = network(mask.rot90(2, (2, 3)))
    triangle = torch.ones(1, 3, 64, 64).tril()
    with torch.no_grad():
        other = (plain - network(triangle)).abs().max()
    assert (plain - half).abs().max() < 0.1 * other
    assert (plain - turned).abs().max() < 0.1 * other


def _harvest(count: int, d: int) -> Harvest:
    rng = np.random.default_rng(d)
    return Harvest(
        crops=np.full((count, 64, 64), 10 * d, np.uint8),
        around=np.full((count, 2, 64, 64), 10 * d, np.uint8),
        p=rng.uniform(1, 5, count),
        d=np.full(count, d),
        l_ratio=rng.uniform(0.3, 1, count),
        size_px=np.full(count, 20.0),
        iou=np.full(count, 0.9),
        visible=np.ones(count),
        seed=np.zeros(count, np.int64),
    )


def test_batches_hold_the_shares_asked_for(tmp_path: Path) -> None:
    for part in ("train", "validation"):
        _harvest(40, 3).save(tmp_path / part / "a.npz")
    curated = tmp_path / "curated.npz"
    np.savez(curated, crops=np.full((5, 64, 64), 60, np.uint8), p=np.full(5, 2.5),
             d=np.full(5, 6), l_ratio=np.full(5, 0.9))  # fmt: skip
    made = ShapeTrainSettings.build(
        {**TINY, "harvested": tmp_path, "harvested_share": 0.5, "curated": curated,
         "curated_share": 0.25, "blind_share": 0.0}
    )  # fmt: skip
    data = ShapeData(made)
    (batch,) = data.training_set((0, 0, 0), 1)
    maps, log_p, d_index, _ = batch
    crops = maps[:, 0]
    known = crops.flatten(1).std(dim=1) == 0.0  # the made-up pools are plain, drawn ones are not
    assert int(known.sum()) == 12
    assert sorted(d_index[known].tolist()) == [2] * 8 + [5] * 4
    assert torch.allclose(crops[known & (d_index == 5)], torch.tensor(60 / 255))
    assert torch.allclose(log_p[known & (d_index == 5)], torch.tensor(2.5).log())
    (held,) = list(data.validation_set(0, 2))
    assert len(held[0]) == 8  # 16 asked for, half of them this worker's
    assert set(held[2].tolist()) == {2}


def test_sizes_are_taken_evenly(tmp_path: Path) -> None:
    # 90 small crops to 10 large ones: half of what is drawn is large.
    found = Harvest.joined([_harvest(90, 2), _harvest(10, 5)])
    found = replace(found, size_px=np.where(found.d == 5, 100.0, 14.0))
    found.save(tmp_path / "a.npz")
    pool = _harvested(tmp_path)
    _, drawn = pool.draw(np.random.default_rng(0), 2000, blind=0.0)
    assert 0.45 < (drawn.d == 5).mean() < 0.55


def test_shares_above_one_and_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="more than the whole batch"):
        ShapeTrainSettings.build({"harvested_share": 0.8, "curated_share": 0.4})
    with pytest.raises(SettingsError, match=r"holds no \.npz"):
        Harvest.of_folder(tmp_path)
    np.savez(tmp_path / "x.npz", crops=np.zeros((2, 32, 32), np.uint8), p=[1.0, 2.0],
             d=[2, 2], l_ratio=[1.0, 1.0])  # fmt: skip
    with pytest.raises(ModelError, match=r"uint8 \(2, 32, 32\)"):
        _curated(tmp_path / "x.npz", 64)
    with pytest.raises(ModelError, match="no harvested crops"):
        Harvest.load(tmp_path / "x.npz")
