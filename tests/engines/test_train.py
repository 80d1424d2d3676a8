"""The Ray Train adapter: history, and a worker that dies half way."""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nanolake.engines.train import LightningJob, read_history, train_lightning


def test_history_of_a_resumed_and_torn_run(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert read_history(path) == ()
    rows = [{"epoch": 0, "loss": 3.0}, {"epoch": 1, "loss": 2.0}, {"epoch": 1, "loss": 1.5}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"epoch": 2, "lo')
    assert read_history(path) == ({"epoch": 0, "loss": 3.0}, {"epoch": 1, "loss": 1.5})


def make_module(folder: Path | None) -> Any:
    """Return a one-weight model; with ``folder`` its worker is killed once, in epoch 1."""
    import pytorch_lightning as pl
    import torch

    class Line(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.slope = torch.nn.Parameter(torch.zeros(1))

        def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
            loss = (self.slope * batch - 3.0 * batch).square().mean()
            self.log("loss", loss, on_step=False, on_epoch=True)
            return loss

        def on_train_epoch_start(self) -> None:
            if folder is not None and self.current_epoch == 1 and self.global_rank == 0:
                mark = folder / "killed"
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Line()


def make_data() -> Any:
    import pytorch_lightning as pl
    import torch

    class Numbers(pl.LightningDataModule):
        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(torch.linspace(0.5, 1.5, 16), batch_size=4)

    return Numbers()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    import torch

    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests

    def run(name: str, folder: Path | None) -> tuple[float, list[float]]:
        done = train_lightning(
            LightningJob(
                make_module=partial(make_module, folder),
                make_data=make_data,
                epochs=3,
                name=name,
                storage=tmp_path,
                workers=2,
            )
        )
        state = torch.load(done.checkpoint, weights_only=False)["state_dict"]
        return float(state["slope"]), [row["loss"] for row in done.history]

    whole = run("whole", None)
    torn = run("torn", tmp_path)
    assert (tmp_path / "killed").exists()
    assert torn[0] == pytest.approx(whole[0], rel=1e-6)
    assert torn[1] == pytest.approx(whole[1], rel=1e-6)
    assert len(torn[1]) == 3
