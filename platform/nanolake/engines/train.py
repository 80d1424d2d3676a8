"""Ray Train around any Lightning module: the same call takes two CPU workers or N GPUs.

The adapter knows no network and no data: it is handed two picklable functions that build them on
the workers. Every epoch ends with a checkpoint in ``storage/name``; a run started again under the
same name goes on from its last one, a lost worker is replaced up to ``max_failures`` times.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[int, int, Mapping[str, float]], None]
"""Called as (epochs done, epochs in all, metrics of the last one)."""
_HISTORY = "history.jsonl"
_STARTS = "starts.txt"
_CHECKPOINT = "checkpoint.ckpt"


@dataclass(frozen=True, kw_only=True)
class LightningJob:
    """What to train and on what."""

    make_module: Callable[[], Any]
    """Builds the LightningModule on each worker; must pickle."""
    make_data: Callable[[], Any]
    """Builds the LightningDataModule on each worker; must pickle."""
    epochs: int
    name: str
    """Name of the run: its folder in ``storage``."""
    storage: Path
    """Folder that every worker can write to."""
    workers: int = 2
    gpu: bool = False
    """One GPU a worker; otherwise CPU cores only."""
    threads: int = 1
    """CPU cores a worker computes with, where it has no GPU."""
    precision: str = "32-true"
    """Lightning's name of the number format, such as ``bf16-mixed`` on a GPU."""
    max_failures: int = 2
    seed: int = 0
    """Seed of the first weights."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Where the last checkpoint lies, and the metrics of every epoch, in order."""

    checkpoint: Path
    history: tuple[Mapping[str, float], ...]
    restarts: int = 0
    """How often a worker was lost in this run and the training resumed, over all its calls."""


def train_lightning(job: LightningJob, *, progress: Progress | None = None) -> Trained:
    """Run ``job`` on Ray Train and wait for it.

    Starts a local Ray without dashboard where none runs, and ends it afterwards; inside a cluster
    or a `ray job` the running Ray is used. Raises Ray's `TrainingFailedError` with the worker's
    own error in it when more workers are lost than ``max_failures``.
    """
    folder = job.storage.resolve() / job.name
    folder.mkdir(parents=True, exist_ok=True)
    watching = _watch(folder / _HISTORY, job.epochs, progress) if progress else nullcontext()
    with _ray(job.workers * job.threads), watching:
        result = _trainer(job, folder).fit()
    history = read_history(folder / _HISTORY)
    return Trained(
        checkpoint=Path(result.checkpoint.path) / _CHECKPOINT,
        history=history,
        restarts=read_restarts(folder / _STARTS),
    )


def _trainer(job: LightningJob, folder: Path) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = {"GPU": 1.0} if job.gpu else {"CPU": float(job.threads)}
    return TorchTrainer(
        _worker,
        train_loop_config={"job": job, "folder": str(folder), "call": secrets.token_hex(8)},
        scaling_config=ScalingConfig(
            num_workers=job.workers, use_gpu=job.gpu, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=job.name,
            storage_path=str(folder.parent),
            failure_config=FailureConfig(max_failures=job.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )


def _worker(config: Mapping[str, Any]) -> None:
    """Train on one worker; runs in a Ray actor."""
    import pytorch_lightning as pl
    import ray.train
    import torch
    from ray.train.lightning import (
        RayDDPStrategy,
        RayLightningEnvironment,
        RayTrainReportCallback,
        prepare_trainer,
    )

    job: LightningJob = config["job"]
    folder = Path(config["folder"])
    if ray.train.get_context().get_world_rank() == 0:
        with (folder / _STARTS).open("a", encoding="utf-8") as file:
            file.write(config["call"] + "\n")
    quiet_lightning()
    if not job.gpu:
        torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    trainer = prepare_trainer(
        pl.Trainer(
            max_epochs=job.epochs,
            accelerator="gpu" if job.gpu else "cpu",
            devices="auto",
            precision=job.precision,
            strategy=RayDDPStrategy(),
            plugins=[RayLightningEnvironment()],
            callbacks=[_history_callback(folder / _HISTORY), RayTrainReportCallback()],
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            **QUIET,
        )
    )
    module, data = job.make_module(), job.make_data()
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is None:
        trainer.fit(module, datamodule=data)
        return
    with checkpoint.as_directory() as saved:
        path = str(Path(saved) / _CHECKPOINT)
        trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=False)


QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
"""Arguments of a Lightning trainer that writes nothing by itself."""


def quiet_lightning() -> None:
    """Leave Lightning's errors, drop its notices about devices, loaders and tips."""
    import warnings

    warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _history_callback(path: Path) -> Any:
    """Return a callback that appends each epoch's metrics to ``path`` as one line of JSON."""
    import pytorch_lightning as pl

    class History(pl.Callback):  # type: ignore[misc]
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.is_global_zero:
                return
            values = {name: float(value) for name, value in trainer.callback_metrics.items()}
            line = json.dumps({"epoch": trainer.current_epoch, **values})
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    return History()


def read_history(path: Path) -> tuple[Mapping[str, float], ...]:
    """Return the metrics of each epoch in order; of an epoch run twice, the later ones."""
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = (json.loads(line) for line in lines if line.endswith("}"))
    by_epoch = {row["epoch"]: row for row in rows}
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def read_restarts(path: Path) -> int:
    """Return how often training began again within one call: each start wrote its call's name."""
    calls = path.read_text(encoding="utf-8").split() if path.exists() else []
    return len(calls) - len(set(calls))


@contextmanager
def _ray(cores: int) -> Iterator[None]:
    """Use the Ray that runs, or start a local one for the time of the block."""
    # Ray warns on every start that this default will change; the new behaviour is what is wanted.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    # "local": without it Ray joins whatever other Ray runs on this machine.
    own: dict[str, Any] = {"address": "local", "num_cpus": max(cores, os.cpu_count() or 1)}
    ray.init(
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        **({} if "RAY_ADDRESS" in os.environ else own),
    )
    logging.getLogger("ray.train").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _watch(path: Path, epochs: int, progress: Progress) -> Iterator[None]:
    """Call ``progress`` from a thread whenever another epoch stands in the history."""
    ended = threading.Event()

    def look() -> None:
        seen = -1.0
        while True:
            last = ended.wait(0.5)
            rows = read_history(path)
            if rows and rows[-1]["epoch"] > seen:
                seen = rows[-1]["epoch"]
                progress(int(seen) + 1, epochs, rows[-1])
            if last:
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
