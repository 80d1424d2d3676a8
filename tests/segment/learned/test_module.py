"""The Lightning module in this process: its loss, and a short training that helps."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytestmark = pytest.mark.filterwarnings("ignore")

from nanolake.segment.learned.data import SegmenterData  # noqa: E402
from nanolake.segment.learned.module import SegmenterModule  # noqa: E402
from nanolake.segment.learned.settings import SegmenterTrainSettings  # noqa: E402

TINY = SegmenterTrainSettings.short(
    channels=(8, 8, 8, 8, 8),
    crop_px=64,
    micrograph_px=128,
    batch_size=4,
    crops_per_epoch=96,
    validation_micrographs=4,
    learning_rate=1e-2,
    epochs=2,
)


def losses_of(logits: list[float], maps: list[float]) -> dict[str, float]:
    """Losses where the network answers every pixel with ``logits`` and the truth is ``maps``."""

    class Always(torch.nn.Module):
        def forward(self, grey: Any) -> Any:
            return torch.tensor(logits)[None, :, None, None].expand(len(grey), 4, *grey.shape[2:])

    module = SegmenterModule(TINY)
    module.network = Always()
    truth = torch.tensor(maps)[None, :, None, None].expand(2, 5, 8, 8)
    found = module._losses([torch.zeros(2, 1, 8, 8), truth])
    return {name: float(value) for name, value in found.items()}


def test_losses_by_hand() -> None:
    # Logit 0 is probability 1/2: cross-entropy ln 2, here with weight 3. The distance 1/2 is right.
    found = losses_of([0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.5, 1.0, 3.0])
    assert found["particle_loss"] == pytest.approx(3 * math.log(2))
    assert found["print_loss"] == pytest.approx(math.log(2))
    assert found["distance_loss"] == pytest.approx(0.0, abs=1e-6)
    assert found["overlap_loss"] == pytest.approx(3 * math.log(2))
    weights = 3 + TINY.print_weight + 3 * TINY.overlap_weight
    assert found["loss"] == pytest.approx(weights * math.log(2))
    # a distance that is 0.5 off: beyond beta = 0.1 the loss is |gap| - beta / 2 = 0.45
    assert losses_of([0, 0, 0, 0.0], [0, 0, 1.0, 0, 2.0])["distance_loss"] == pytest.approx(0.9)


def test_iou_by_hand() -> None:
    assert losses_of([5, 0, 0, 0.0], [1, 0, 0, 0, 1.0])["iou"] == 1
    assert losses_of([-5, 0, 0, 0.0], [1, 0, 0, 0, 1.0])["iou"] == 0


def trainer_of(**changes: Any) -> Any:
    import pytorch_lightning as pl

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **changes)


def test_a_few_steps_improve_the_loss_on_scenes_never_trained_on() -> None:
    torch.manual_seed(0)
    module, data = SegmenterModule(TINY), SegmenterData(TINY)
    trainer = trainer_of(max_epochs=TINY.epochs, reload_dataloaders_every_n_epochs=1)
    (before,) = trainer.validate(module, datamodule=data, verbose=False)
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == 2 * 96 // 4
    (after,) = trainer.validate(module, datamodule=data, verbose=False)
    assert after["val_loss"] < 0.8 * before["val_loss"]
    assert after["val_particle_loss"] < before["val_particle_loss"]
