"""How well the groups are classified, beside the paper's figures and beside data without groups.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_classify.py [--demo FOLDER]

FOLDER holds what `nanolake demo --out FOLDER` made; it is made first where it is not there. The
lake is only read: grouping, classifying and predicting run on its particles in memory. Prints a
page and writes it to ``tests/benchmarks/results/classify.md``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import StratifiedKFold

from nanolake.classify import Classification, ClassifySettings, classify
from nanolake.classify.scoring import label_by_kmeans
from nanolake.classify.search import search
from nanolake.classify.svm import train
from nanolake.group import Grouping, GroupSettings, group, select_columns
from nanolake.pipeline.classify import label_as_grouped
from nanolake.pipeline.demo import run_demo
from nanolake.pipeline.segment import particle_ids
from nanolake.scaling import raw_matrix, structureless
from nanolake.segment.score import score
from nanolake.storage import Lake

RESULTS = Path(__file__).parent / "results" / "classify.md"
SEEDS = range(3)


@dataclass(frozen=True)
class Timed:
    """A result and the CPU seconds that it took."""

    value: Any
    cpu_s: float


def timed(function: Callable[[], Any]) -> Timed:
    """Call the function and time the processor, not the clock: other work may be going on."""
    start = time.process_time()
    value = function()
    return Timed(value, time.process_time() - start)


def particles(demo: Path) -> pd.DataFrame:
    """Return the described particles with the simulated family of each; NaN where none matches."""
    import tifffile

    if not (demo / "lake" / "lake.json").exists():
        run_demo(demo, training=False)
    lake = Lake.open(demo / "lake")
    frame = lake.query("FROM morphology WHERE p IS NOT NULL ORDER BY particle_id").to_pandas()
    pictures = lake.query(
        "SELECT m.raw_sha256, s.segmentation_id, s.label_path FROM segmentation_current s "
        "JOIN micrograph_current m USING (micrograph_id)"
    ).to_pylist()
    truth = pd.read_parquet(demo / "data" / "truth" / "truth.parquet")
    families = {}
    for picture in pictures:
        rows = truth[truth["raw_sha256"] == picture["raw_sha256"]]
        name = Path(rows["file"].iloc[0]).stem
        true = tifffile.imread(demo / "data" / "truth" / f"{name}_labels.tif")
        pairs = score(true, lake.images.read(picture["label_path"])).pairs
        of = rows.set_index("label")["family"]
        ids = particle_ids(picture["segmentation_id"], pairs[:, 1])
        families.update(zip(ids, of.loc[pairs[:, 0]], strict=True))
    frame["family"] = frame["particle_id"].map(families)
    return frame


def learnt(
    frame: pd.DataFrame, found: Grouping, columns: tuple[str, ...] | None = None
) -> Classification:
    """Classify the groups of ``found`` from its own columns, or from others."""
    settings = ClassifySettings(columns=columns or found.columns)
    return classify(
        frame,
        found.labels,
        frame["micrograph_id"].to_numpy(),
        frame["experiment_id"].to_numpy(),
        settings,
        label_null=label_as_grouped(GroupSettings().as_json(), settings.columns),
    )


def accuracy_table(frame: pd.DataFrame) -> list[str]:
    """Group and classify in the paper's three ways, and in the way that its 74.7 % may mean."""
    features, both = select_columns("features"), select_columns("both")
    of_both = timed(lambda: group(frame, GroupSettings(dataset="both")))
    of_features = timed(lambda: group(frame, GroupSettings(dataset="features", k=of_both.value.k)))
    cases = [
        ("both", of_both.value, both, "99.5 %"),
        ("features", of_features.value, features, "74.7 %"),
        ("features", of_features.value, both, ""),
        ("both", of_both.value, features, ""),
    ]
    lines = [
        "| groups made from | learnt from | K | 80/20 | 10-fold | micrograph out | experiment out "
        "| unseen there | null 80/20 | null 10-fold | largest group | refused | paper | CPU s |",
        "|---|---|---:" + "|---:" * 11 + "|",
    ]
    for made_from, found, columns, paper in cases:
        used = tuple(c for c in columns if c not in found.left_out)
        run = timed(lambda found=found, used=used: learnt(frame, found, used))
        one: Classification = run.value
        values = (
            one.accuracy, one.cv_accuracy_mean, one.accuracy_heldout_micrograph,
            one.accuracy_heldout_experiment, one.unseen_share_experiment, one.null_accuracy,
            one.null_cv_accuracy_mean, one.majority_accuracy, one.too_far_share,
        )  # fmt: skip
        name = "both" if columns == both else "features"
        shown = " | ".join("–" if v is None else f"{v:.1%}" for v in values)
        lines.append(f"| {made_from} | {name} | {found.k} | {shown} | {paper} | {run.cpu_s:.1f} |")
    return lines


def held_out_pictures(frame: pd.DataFrame) -> list[str]:
    """Group four fifths of the micrographs, predict the rest, compare with the families."""
    rows = []
    for part, (old, new) in enumerate(_parts(frame["micrograph_id"].to_numpy(), 5)):
        before, after = frame.iloc[old].reset_index(drop=True), frame.iloc[new]
        found = group(before, GroupSettings())
        answer = learnt(before, found).predict(after)
        known, near = after["family"].notna().to_numpy(), answer.shape_group > 0
        rows.append(
            {
                "part": part + 1,
                "K": found.k,
                "grouped": len(before),
                "ari_grouped": _ari(before["family"], found.labels),
                "predicted": len(after),
                "ari": _ari(after["family"][known & near], answer.shape_group[known & near]),
                "unknown": float((~near).mean()),
            }
        )
    lines = [
        "| part | K | particles grouped | index of the grouping | particles predicted "
        "| index of the prediction | no known group |",
        "|---:" * 7 + "|",
    ]
    return lines + [
        f"| {one['part']} | {one['K']} | {one['grouped']:,} | {one['ari_grouped']:.3f} "
        f"| {one['predicted']:,} | {one['ari']:.3f} | {one['unknown']:.1%} |"
        for one in rows
    ]


def unknown_kinds(frame: pd.DataFrame) -> list[str]:
    """Leave a whole family out of grouping and training, and count how much of it is refused."""
    known = frame[frame["family"].notna()]
    lines = [
        "| family never seen | its particles | refused | taken for a known group |",
        "|---|---:|---:|---:|",
    ]
    for family in sorted(known["family"].unique()):
        old = known[known["family"] != family].reset_index(drop=True)
        new = known[known["family"] == family]
        answer = learnt(old, group(old, GroupSettings())).predict(new)
        refused = float((answer.shape_group == 0).mean())
        lines.append(f"| {family} | {len(new):,} | {refused:.1%} | {1 - refused:.1%} |")
    return lines


def search_table(frame: pd.DataFrame) -> list[str]:
    """Hold the Bayesian search beside a grid of nine pairs, on the same rows."""
    lines = [
        "| task | grid of 9: test | CPU s | Bayesian, 9 trials: test | CPU s | 16 trials: test "
        "| CPU s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (raw, labels, columns) in search_tasks(frame).items():
        results = np.array([_searches(raw, labels, columns, seed) for seed in SEEDS]).mean(axis=0)
        cells = [
            f"{value:.2%}" if i % 2 == 0 else f"{value:.2f}" for i, value in enumerate(results)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def search_tasks(frame: pd.DataFrame) -> dict[str, tuple[Any, Any, tuple[str, ...]]]:
    """Return easy and hard tables: raw rows, labels and columns."""
    both = select_columns("both")
    found = group(frame, GroupSettings())
    raw = raw_matrix(frame, both)
    rows = np.flatnonzero((found.labels > 0) & ~np.isnan(raw).any(axis=1))
    raw, labels = raw[rows], found.labels[rows].astype(np.int64)
    null = structureless(raw, np.random.default_rng(0))
    of_null = label_by_kmeans(both, 0)(null, 8)
    experiment = np.unique(frame["experiment_id"].to_numpy()[rows], return_inverse=True)[1]
    return {
        "the groups": (raw, labels, both),
        "8 groups of the null": (null, of_null, both),
        "the same from 4 columns": (null[:, 1:5], of_null, both[1:5]),
        "experiment from p, d, L": (raw[:, 5:], experiment.astype(np.int64), both[5:]),
    }


def _searches(raw: Any, labels: Any, columns: tuple[str, ...], seed: int) -> list[float]:
    order = np.random.default_rng(seed).permutation(len(raw))
    few, fit, test = order[:1000], order[:4000], order[4000:]
    large = np.flatnonzero(np.bincount(labels[few]) >= 3)
    few = few[np.isin(labels[few], large)]

    def on_test(cost: float, gamma: float) -> float:
        model = train(raw[fit], labels[fit], columns, cost=cost, gamma=gamma)
        return float((model.predict(raw[test]) == labels[test]).mean())

    grid = timed(lambda: _grid(raw[few], labels[few], columns, seed))
    row = [on_test(*grid.value), grid.cpu_s]
    for trials in (9, 16):
        settings = ClassifySettings(columns=columns, trials=trials, seed=seed)
        found = timed(lambda s=settings: search(raw[few], labels[few], columns, s))
        row += [on_test(found.value.best.cost, found.value.best.gamma), found.cpu_s]
    return row


def _grid(raw: Any, labels: Any, columns: tuple[str, ...], seed: int) -> tuple[float, float]:
    folds = list(StratifiedKFold(3, shuffle=True, random_state=seed).split(raw, labels))
    scores = {}
    for cost in (1.0, 10.0, 100.0):
        for gamma in (0.1, 0.3, 1.0):
            right = [
                train(raw[a], labels[a], columns, cost=cost, gamma=gamma).predict(raw[b])
                == labels[b]
                for a, b in folds
            ]
            scores[cost, gamma] = float(np.concatenate(right).mean())
    return max(scores, key=scores.__getitem__)


def _parts(units: Any, count: int) -> Iterator[tuple[Any, Any]]:
    """Yield (rows of the other micrographs, rows of a fifth of them), every experiment in both."""
    names = np.unique(units)
    order = np.random.default_rng(0).permutation(len(names))
    for part in range(count):
        held = np.isin(units, names[order[part::count]])
        yield np.flatnonzero(~held), np.flatnonzero(held)


def _ari(families: Any, labels: Any) -> float:
    known = pd.Series(families).notna().to_numpy() & (np.asarray(labels) > 0)
    return float(adjusted_rand_score(np.asarray(families)[known], np.asarray(labels)[known]))


def prediction_rate(frame: pd.DataFrame) -> float:
    """Return particles predicted in a CPU second."""
    model = learnt(frame, group(frame, GroupSettings()))
    many = pd.concat([frame] * 10, ignore_index=True)
    return len(many) / timed(lambda: model.predict(many)).cpu_s


ACCURACY = """
The labels are groups made from columns that are learnt from again: a classifier must find borders
that are a function of its own input, and it does so without any groups in the data (null:
structureless rows of equal covariance, divided by the same method into as many, searched and
trained in the same way). Only what lies above the null speaks for the groups. *Unseen there*:
particles whose group fewer than 20 particles of other experiments have (each experiment made one
family, nearly): with their experiment held out they are bound to be wrong, so 100 % minus this is
what *experiment out* can reach. *Refused*: held-back
particles that would be given no group because they are unlike any known. The paper's 74.7 % are for
groups made without p, d and L_ratio.
"""
LATER = """
A fifth of the micrographs is left out of grouping and training, and predicted. Index: adjusted Rand
index of the groups against the simulated families.
"""
FAMILY = """
Left out of grouping and training altogether. Where the grouping puts several families into one
group, one more of their like is rightly or wrongly taken for a member: stars, crosses and triangles
are such.
"""
SEARCH = f"""
Mean over {len(SEEDS)} draws of 1,000 particles to search on and 4,000 to train on; accuracy on the
rest.
"""


def page(frame: pd.DataFrame) -> str:
    """Run everything and return the Markdown page."""
    head = f"""
    {dt.date.today().isoformat()}, {platform.machine()}, one core, CPU time. Written by
    `tests/benchmarks/bench_classify.py`: {len(frame):,} particles of
    {frame["micrograph_id"].nunique()} micrographs of the demo, {frame["experiment_id"].nunique()}
    experiments of simulated families.
    """
    sections = [
        ("Accuracy", accuracy_table, ACCURACY),
        ("Micrographs added later", held_out_pictures, LATER),
        ("A family never seen", unknown_kinds, FAMILY),
        ("Search", search_table, SEARCH),
    ]
    lines = ["# Classifier", "", _flow(head), ""]
    for title, table, words in sections:
        lines += [f"## {title}", "", *table(frame), "", _flow(words), ""]
    return "\n".join([*lines, f"Prediction: {prediction_rate(frame):,.0f} particles a CPU second."])


def _flow(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="default: demo")
    text = page(particles(parser.parse_args().demo))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
