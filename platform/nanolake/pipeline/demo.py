"""The demonstration: two simulated labs through every stage, held against the known truth."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nanolake.errors import LakeError
from nanolake.pipeline.ingest import read_source
from nanolake.pipeline.run import EngineChoice, RunReport, run_all
from nanolake.pipeline.segment import particle_ids
from nanolake.progress import Progress, silent
from nanolake.query import question
from nanolake.segment.score import Score, pool, score
from nanolake.simulate.experiments import DemoTruth, write_demo
from nanolake.storage import Lake

QUESTIONS = ("size_by_experiment", "group_shares", "same_product")
"""What the demo asks its lake, by name of the question in ``query/questions/``."""


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """What the demo has to show: titled tables and a last line."""

    tables: tuple[tuple[str, list[dict[str, Any]]], ...]
    last_line: str
    lake: Path


def run_demo(
    out: Path,
    *,
    sheet: Path | None = None,
    scale: float = 1.0,
    workers: int | None = None,
    training: bool = True,
    engines: EngineChoice | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = print,
) -> DemoReport:
    """Run everything over simulated labs, or over ``sheet``.

    With simulated labs every figure stands beside the truth; the lake is ``out/lake``, new each
    time (one that the demo did not make is refused). With ``sheet`` it is ``out/own-lake``, which
    is kept: only what is not done yet is done.
    """
    started = time.perf_counter()
    lake = _simulated_lake(out / "lake") if sheet is None else Lake.create(out / "own-lake")
    truth = None
    if sheet is None:
        truth = write_demo(
            out / "data", scale=scale, progress=lambda done, n: progress("simulate", done, n)
        )
        sheet = truth.sheet
        say(
            f"simulate: {len(truth.pictures)} micrographs of 2 labs and 6 experiments with "
            f"{truth.count:,} particles, in {time.perf_counter() - started:.1f} s ({truth.folder})"
        )
    result = run_all(
        lake,
        read_source([sheet]),
        engines=engines or EngineChoice(workers=workers),
        progress=progress,
        on_stage=lambda report: say(report.line()),
        before_describe=lambda: _train(lake, workers or 2, progress, say) if training else None,
    )
    tables = [("what failed", _failures(result))]
    if truth is not None:
        tables += _against_truth(lake, truth)
    tables += [(f"SQL: {name}", _ask(lake, name)) for name in QUESTIONS]
    return DemoReport(
        tables=tuple(tables),
        lake=lake.root,
        last_line=f"demo: {result.micrographs} micrographs, {result.particles:,} particles in "
        f"{time.perf_counter() - started:.0f} s; ask more with `nanolake sql --lake {lake.root} "
        f"'FROM ensemble'`; report: {result.report}",
    )


def _simulated_lake(root: Path) -> Lake:
    """Make a new lake, in place of an earlier demo's only: a marker tells that it is one."""
    marker = root.parent / ".simulated"
    if root.exists():
        if not marker.exists():
            raise LakeError(f"{root} was not made by the demo: choose another --out")
        shutil.rmtree(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    return Lake.create(root)


def _train(lake: Lake, workers: int, progress: Progress, say: Callable[[str], None]) -> None:
    from nanolake.pipeline.train import Place, train_network
    from nanolake.shape import ShapeTrainSettings

    made = train_network(
        ShapeTrainSettings.short(),
        Place.of_lake(lake, workers=workers),
        progress=lambda done, total, _: progress("train", done, total),
    )
    say(made.line())


def _failures(result: RunReport) -> list[dict[str, Any]]:
    return [
        {"stage": f.stage, "reason": f.reason, "file": Path(f.path).name, "message": f.message}
        for f in result.failures
    ]


def _ask(lake: Lake, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.query(question(name)).to_pylist()
    return rows


def _against_truth(lake: Lake, truth: DemoTruth) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return tables of counts, sizes, groups and refusals beside the truth."""
    pairs, scores = _matched(lake, truth)
    particles = pd.read_parquet(truth.table)
    found = lake.query(
        "SELECT particle_id, equivalent_diameter_area_nm AS found_nm, shape_group, p, d, L_ratio, "
        "jaccard FROM morphology"
    ).to_pandas()
    joined = pairs.merge(found, on="particle_id").merge(particles, on=["raw_sha256", "label"])
    everything = [*_by_experiment(joined, scores), _total(joined, scores)]
    return [
        ("particles and sizes against the truth", everything),
        ("shape groups against the simulated families", _groups(joined)),
        ("the demo's own bad files", _refusals(lake, truth.failures)),
    ]


def _matched(lake: Lake, truth: DemoTruth) -> tuple[pd.DataFrame, dict[str, list[Score]]]:
    """Match the lake's label images with the true ones, picture by picture."""
    import tifffile

    rows = lake.query(
        "SELECT m.raw_sha256, s.segmentation_id, s.label_path FROM segmentation_current s "
        "JOIN micrograph_current m USING (micrograph_id)"
    ).to_pylist()
    pictures = {picture.raw_sha256: picture for picture in truth.pictures}
    pairs: list[pd.DataFrame] = []
    scores: dict[str, list[Score]] = {}
    for row in rows:
        picture = pictures[row["raw_sha256"]]
        true = tifffile.imread(truth.folder / picture.labels)
        found = lake.images.read(row["label_path"])
        scored = score(true, found)
        scores.setdefault(picture.experiment, []).append(scored)
        ids = particle_ids(row["segmentation_id"], scored.pairs[:, 1])
        matched = {"label": scored.pairs[:, 0], "particle_id": ids}
        pairs.append(pd.DataFrame({"raw_sha256": row["raw_sha256"], **matched}))
    return pd.concat(pairs, ignore_index=True), scores


def _by_experiment(
    joined: pd.DataFrame, scores: Mapping[str, Sequence[Score]]
) -> list[dict[str, Any]]:
    return [
        _row(name, joined[joined["experiment"] == name], pool(scores[name]))
        for name in sorted(scores)
    ]


def _total(joined: pd.DataFrame, scores: Mapping[str, Sequence[Score]]) -> dict[str, Any]:
    return _row("all", joined, pool([one for several in scores.values() for one in several]))


def _row(name: str, joined: pd.DataFrame, total: Score) -> dict[str, Any]:
    error = joined["found_nm"] - joined["diameter_nm"]
    return {
        "experiment": name,
        "true": total.truth,
        "found": total.found,
        "right": total.matched[0],
        "precision": total.precision(),
        "recall": total.recall(),
        "true mean nm": float(joined["diameter_nm"].mean()),
        "found mean nm": float(joined["found_nm"].mean()),
        "median error nm": float(error.median()),
        "median |error| nm": float(error.abs().median()),
        "Jaccard of p, d, L": float(joined["jaccard"].mean()),
    }


def _groups(joined: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a group: how many of each family; purity and adjusted Rand index over all."""
    from sklearn.metrics import adjusted_rand_score

    assigned = joined[joined["shape_group"].fillna(0) > 0]
    if assigned.empty:
        return []
    table = pd.crosstab(assigned["shape_group"].astype(int), assigned["family"])
    rows: list[dict[str, Any]] = [
        {"group": str(group), **{str(k): int(v) for k, v in row.items()},
         "purity": float(row.max() / row.sum())}
        for group, row in table.iterrows()
    ]  # fmt: skip
    purity = float(table.max(axis=1).sum() / np.sum(table.to_numpy()))
    rand = float(adjusted_rand_score(assigned["family"], assigned["shape_group"]))
    sums = {str(k): int(v) for k, v in table.sum().items()}
    return [*rows, {"group": f"all (adjusted Rand index {rand:.3f})", **sums, "purity": purity}]


def _refusals(lake: Lake, refused: Mapping[str, str]) -> list[dict[str, Any]]:
    recorded = {
        Path(row["path"]).name: row["reason"]
        for row in lake.query("SELECT path, reason FROM failure").to_pylist()
    }
    return [
        {"file": file, "must be": reason, "recorded as": recorded.get(Path(file).name, "nothing")}
        for file, reason in refused.items()
    ]
