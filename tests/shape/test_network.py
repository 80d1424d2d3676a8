"""The network, its loss, its Lightning module and its ONNX twin, all in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytestmark = pytest.mark.filterwarnings("ignore")

from nanolake.shape import ShapePredictor, ShapeTrainSettings  # noqa: E402
from nanolake.shape.data import SimulatedCrops, simulate_set  # noqa: E402
from nanolake.shape.export import export_onnx  # noqa: E402
from nanolake.shape.module import ShapeModule  # noqa: E402
from nanolake.shape.network import Exported, ShapeNetwork, read_out  # noqa: E402

TINY = {"batch_size": 16, "crops_per_epoch": 16, "validation_crops": 16, "test_crops": 100}


def test_size_and_ranges() -> None:
    network = ShapeNetwork().eval()
    assert sum(weight.numel() for weight in network.parameters()) < 200_000
    _, log_p, log_p_sd, l_ratio, l_sd = read_out(network(torch.rand(3, 1, 64, 64)))
    assert log_p.shape == (3, 6)
    assert (log_p_sd > 0).all()
    assert (l_sd > 0).all()
    assert ((l_ratio > 0) & (l_ratio <= 1.01)).all()  # the predictor ends at 1


def test_loss_falls() -> None:
    torch.manual_seed(0)
    module = ShapeModule(ShapeTrainSettings.build(TINY))
    (batch,) = SimulatedCrops(module.settings, (0,), 1)
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

    from nanolake.shape.data import ShapeData

    made = ShapeTrainSettings.build(TINY)
    trainer = pl.Trainer(fast_dev_run=True, accelerator="cpu", enable_progress_bar=False)
    trainer.fit(ShapeModule(made), datamodule=ShapeData(made))
    assert trainer.global_step == 1
    assert "val_d_accuracy" in trainer.callback_metrics


def test_every_epoch_and_worker_sees_other_crystals() -> None:
    made = ShapeTrainSettings.build(TINY)
    (a,), (b,), (again,) = (SimulatedCrops(made, (1, 0, n), 1) for n in (0, 1, 0))
    assert torch.equal(a[0], again[0])
    assert not torch.equal(a[0], b[0])


def test_onnx_equals_torch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = ShapeNetwork().eval()
    crops = simulate_set((5,), 20, crop_px=64, paper_share=0.5).crops
    path = export_onnx(network, tmp_path / "n.onnx", crop_px=64, name="n", card={"made": "here"})
    predictor = ShapePredictor(path)
    with torch.no_grad():
        probability, log_p, *_ = Exported(network)(torch.from_numpy(crops))
    found = predictor(crops)
    np.testing.assert_allclose(found["d_probability"], probability.numpy(), atol=1e-5)
    best = probability.argmax(1)
    expected = log_p.gather(1, best[:, None]).squeeze(1).exp().numpy()
    np.testing.assert_allclose(found["p"], expected, rtol=1e-4)
    assert (predictor.name, predictor.card) == ("n", {"made": "here"})
    assert str(Path.cwd()).encode() not in path.read_bytes()  # nothing of this machine inside
