"""How many training pictures the shape network needs (the paper's Fig. 3a).

    python tests/benchmarks/bench_learning_curve.py [--harvested FOLDER] [--workers 2]

Trains the shipped network's settings on the first n harvested crops only, for the same number of
steps at every n, and scores each on the test crops. Writes ``results/learning_curve.md`` and the
figure beside it. About 15 minutes on 2 cores when the crops are there, 25 when not.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import tempfile
from pathlib import Path

import numpy as np

from nanolake.engines import open_engine
from nanolake.engines.train import LightningJob, train_lightning
from nanolake.pipeline.harvest import harvest_for_training
from nanolake.report.figures import style
from nanolake.report.shape_figures import learning_curve_figure
from nanolake.shape.evaluate import score
from nanolake.shape.export import export_onnx
from nanolake.shape.harvest import Harvest
from nanolake.shape.module import ShapeModule
from nanolake.shape.predictor import ShapePredictor
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.shape.train import makers

RESULTS = Path(__file__).parent / "results"
COUNTS = (500, 2_000, 8_000, 32_000, 120_000)
EPOCHS, CROPS_PER_EPOCH = 8, 16_384
TEST = 6_000


def main() -> None:
    """Train once a count, print and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--harvested", type=Path, help="folder with train, validation, test")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.harvested or _harvest(Path(scratch) / "harvest")
        rows = [_train(n, folder, Path(scratch), given.workers) for n in COUNTS]
    counts = [row["count"] for row in rows]
    curves = {name: [row[name] for row in rows] for name in rows[0] if name != "count"}
    drawn = style.to_png(learning_curve_figure(counts, curves))
    (RESULTS / "learning_curve.png").write_bytes(drawn)
    text = _table(rows)
    (RESULTS / "learning_curve.md").write_text(text, encoding="utf-8")
    print(text)


def _harvest(folder: Path) -> Path:
    with open_engine("dask") as engine:
        return harvest_for_training(folder, ShapeTrainSettings(), engine=engine)


def _train(count: int, folder: Path, scratch: Path, workers: int) -> dict[str, float]:
    part = scratch / f"first-{count}"
    known = Harvest.of_folder(folder / "train")
    order = np.random.default_rng(0).permutation(len(known))[:count]
    known.take(order).save(part / "train" / "first.npz")
    (part / "validation").symlink_to((folder / "validation").resolve())
    settings = ShapeTrainSettings.build(
        {
            "harvested": part,
            "harvested_share": 1.0,
            "epochs": EPOCHS,
            "crops_per_epoch": CROPS_PER_EPOCH,
            "run_name": f"first-{count}",
        }
    )
    make_module, make_data = makers(settings)
    trained = train_lightning(
        LightningJob(
            make_module=make_module,
            make_data=make_data,
            epochs=settings.epochs,
            name=settings.run_name,
            storage=scratch / "runs",
            workers=workers,
            seed=settings.seed,
        ),
        progress=lambda done, total, _: print(
            f"{count} crops: epoch {done} of {total}", flush=True
        ),
    )
    return {"count": float(order.size), **_score(settings, trained.checkpoint, folder, scratch)}


def _score(
    settings: ShapeTrainSettings, checkpoint: Path, folder: Path, scratch: Path
) -> dict[str, float]:
    from nanolake.model_files import load_weights

    module = ShapeModule(settings)
    load_weights(module, checkpoint, remedy="run the benchmark again")
    path = export_onnx(
        module.eval().network, scratch / "n.onnx", crop_px=settings.crop_px, name="n", card={}
    )
    test = Harvest.of_folder(folder / "test").first(TEST)
    maps = test.maps()
    found = score(ShapePredictor(path)(maps), test.truth, maps[:, 0])
    return {
        "RMSE of ln p (p < 10)": found.log_p_rmse,
        "RMSE of L_ratio": found.L_ratio_rmse,
        "wrong d": 1.0 - found.d_accuracy,
        "1 - mean Jaccard": 1.0 - found.jaccard,
    }


def _table(rows: list[dict[str, float]]) -> str:
    names = [name for name in rows[0] if name != "count"]
    lines = [
        "# Learning curve of the shape network",
        "",
        f"{dt.date.today()}, {platform.machine()}, {os.cpu_count()} cores. "
        "Written by `make bench-learning-curve`.",
        "",
        f"{EPOCHS * CROPS_PER_EPOCH:,} crops shown at every number of different ones, harvested "
        f"only, mirrored and turned; scored on {TEST:,} test crops. Shorter than the shipped "
        "training: the curve says how many are enough, the model card how good it is.",
        "",
        f"| training crops | {' | '.join(names)} |",
        f"|---:{'|---:' * len(names)}|",
        *(
            f"| {row['count']:,.0f} | {' | '.join(f'{row[name]:.3f}' for name in names)} |"
            for row in rows
        ),
        "",
        "![learning curve](learning_curve.png)",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
