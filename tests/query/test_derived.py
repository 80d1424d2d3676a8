"""Ready-made rows: whatever was committed and whenever was refreshed, the views answer the same."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nanolake.contracts import get_table
from nanolake.pipeline import refresh as module
from nanolake.pipeline.refresh import refresh
from nanolake.query import derived
from nanolake.storage import Lake

Row = dict[str, Any]
_FILL = {"string": "x", "json": "{}", "bool": False, "int32": 1, "int64": 1, "float64": 1.0}
METHOD = "jaccard-1"


class World:
    """A small world in which anything may happen to a lake; time goes on with every row."""

    def __init__(self, lake: Lake, seed: int) -> None:
        self.lake, self.random, self.clock = lake, random.Random(seed), 0
        self.pictures: dict[str, list[str]] = {}
        """Micrograph to the experiments that it was given for."""
        self.masks: dict[str, tuple[str, int]] = {}
        """Segmentation to its micrograph and its number of particles."""
        self.groupings: list[str] = []

    def row(self, table: str, **values: Any) -> Row:
        self.clock += 1
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=self.clock)
        columns = get_table(table).columns
        filled = {c.name: _FILL[c.type] for c in columns if c.required and c.type in _FILL}
        return filled | {"unit_key": f"u{self.clock}", "created_at": when} | values

    def commit(self, **tables: list[Row]) -> None:
        self.lake.commit(tables, message="something happened")

    def new_lab_and_sample(self) -> None:
        lab, sample = self.random.choice("LMN"), self.random.choice("st")
        self.commit(
            lab=[self.row("lab", lab_id=lab, lab=f"{lab}{self.clock}")],
            sample=[self.row("sample", sample_id=sample, lab_id=lab, sample=f"s{self.clock}")],
        )

    def said_of_an_experiment(self) -> None:
        """An experiment is new, or renamed, or moves to another lab or sample."""
        name = self.random.choice("abcde")
        told = {"experiment": f"{name}{self.clock}", "route": self.random.choice(["hot", None])}
        sample = self.random.choice(["s", "t", None])
        lab = self.random.choice("LMN")
        self.commit(
            experiment=[
                self.row("experiment", experiment_id=name, lab_id=lab, sample_id=sample, **told)
            ]
        )

    def picture(self) -> None:
        """A picture is new, found again elsewhere, moved, or its pixel size corrected."""
        name = self.random.choice([f"m{n}" for n in range(8)])
        experiment, path = self.random.choice("abcde"), self.random.choice(["1.tif", "2.tif"])
        self.pictures.setdefault(name, []).append(experiment)
        size = self.random.choice([0.5, 1.0, None])
        told = {
            "pixel_size_x_nm": size,
            "pixel_size_y_nm": size,
            "pixel_size_trust": "unknown" if size is None else "sheet",
            "image_path": f"{experiment}.zarr/{name}",
            "dtype": "uint8",
        }
        tables = {"micrograph": [self.row("micrograph", micrograph_id=name, **told)]}
        if self.random.random() < 0.7:
            place = {"micrograph_id": name, "experiment_id": experiment, "path": f"{name}/{path}"}
            tables["micrograph_location"] = [self.row("micrograph_location", **place)]
        self.commit(**tables)

    def segmented(self) -> None:
        """Pictures are segmented, for the first time or again; one may hold no particle."""
        tables: dict[str, list[Row]] = {"segmentation": [], "particle": []}
        names = sorted(self.pictures) or ["m0"]
        for picture in self.random.sample(names, min(2, len(names))):
            mask, count = f"s{self.clock}", self.random.choice([0, 1, 3])
            self.masks[mask] = (picture, count)
            ids = {"segmentation_id": mask, "micrograph_id": picture}
            size = {"pixel_size_x_nm": self.random.choice([0.5, None])}
            tables["segmentation"].append(
                self.row("segmentation", polarity="dark", particle_count=count, **ids, **size)
            )
            for number in range(1, count + 1):
                sizes = {
                    "equivalent_diameter_area_nm": self.random.choice([None, 10 / 3, 20.1]),
                    "equivalent_diameter_area_px": self.random.uniform(1, 100),
                    "aspect_ratio": self.random.random(),
                }
                tables["particle"].append(
                    self.row("particle", particle_id=f"{mask}-{number:05d}", **ids, **sizes)
                )
        self.commit(**tables)

    def mask(self) -> tuple[str, str, list[str]] | None:
        if not self.masks:
            return None
        name = self.random.choice(sorted(self.masks))
        picture, count = self.masks[name]
        return name, picture, [f"{name}-{number:05d}" for number in range(1, count + 1)]

    def described(self) -> None:
        """A segmentation is described by some network, or described again, or only refined."""
        if (found := self.mask()) is None:
            return
        mask, picture, particles = found
        key, model = f"unit{self.clock}", self.random.choice(["old", "new"])
        ids = {"segmentation_id": mask, "model_id": model, "unit_key": key}
        tables: dict[str, list[Row]] = {}
        if self.random.random() < 0.8:
            tables["shape_inference"] = [self.row("shape_inference", **ids)]
            tables["shape_prediction"] = [
                self.row("shape_prediction", particle_id=name, micrograph_id=picture,
                         p=self.random.uniform(1, 9), d=self.random.randint(1, 6), L_ratio=0.5,
                         d_probability=[0.5, 0.5, 0, 0, 0, 0], **ids)
                for name in particles
            ]  # fmt: skip
        if self.random.random() < 0.5:
            tables["shape_refinement"] = [
                self.row("shape_refinement", particle_id=name, micrograph_id=picture, p=2.0,
                         method=METHOD, **ids)
                for name in particles
            ]  # fmt: skip
        self.commit(**tables)

    def grouped(self) -> None:
        """A grouping is made, or only compared, or one is brought forward again."""
        again = self.groupings and self.random.random() < 0.3
        run = self.random.choice(self.groupings) if again else f"g{self.clock}"
        compared = None if self.random.random() < 0.7 else "c"
        about = {"grouping_run_id": run, "comparison_id": compared}
        tables = {
            "grouping_run": [
                self.row("grouping_run", dataset="columns", columns=["p"], scope="{}", **about)
            ]
        }
        if not again:
            self.groupings.append(run)
            older = self.random.random() < 0.3  # does not name the segmentation
            tables["group_assignment"] = [
                self.row("group_assignment", grouping_run_id=run, particle_id=f"{m}-{n:05d}",
                         segmentation_id=None if older else m,
                         shape_group=self.random.randint(0, 3))
                for m, (_, count) in self.masks.items()
                for n in range(1, count + 1)
                if self.random.random() < 0.5
            ]  # fmt: skip
        self.commit(**tables)

    def classified(self) -> None:
        """A classifier puts the particles of a segmentation into the groups of some run."""
        if (found := self.mask()) is None or not self.groupings:
            return
        mask, _, particles = found
        ids = {"classifier_run_id": f"c{self.clock}", "unit_key": f"unit{self.clock}"}
        inference = {"grouping_run_id": self.random.choice(self.groupings[-2:]),
                     "model_id": self.random.choice([None, "new"])}  # fmt: skip
        self.commit(
            group_inference=[self.row("group_inference", segmentation_id=mask, **inference, **ids)],
            group_prediction=[
                self.row(
                    "group_prediction", particle_id=name, shape_group=1, probability=0.1, **ids
                )
                for name in particles
            ],
        )

    def unrelated(self) -> None:
        self.commit(failure=[self.row("failure", failed_at=datetime(2026, 1, 1, tzinfo=UTC))])

    def compacted(self) -> None:
        with self.lake.rewrite("compaction") as connection:
            connection.execute("CALL lake.merge_adjacent_files()")

    def step(self) -> str:
        weights: dict[Callable[[], None], int] = {
            self.new_lab_and_sample: 1,
            self.said_of_an_experiment: 2,
            self.picture: 3,
            self.segmented: 4,
            self.described: 4,
            self.grouped: 2,
            self.classified: 2,
            self.unrelated: 1,
        }
        chosen = self.random.choices(list(weights), list(weights.values()))[0]
        chosen()
        return chosen.__name__


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Lake.create(tmp_path_factory.mktemp("bare") / "lake")
    made.close()
    return made.root


@pytest.fixture
def lake(bare: Path, tmp_path: Path) -> Iterator[Lake]:
    shutil.copytree(bare, tmp_path / "lake")
    opened = Lake.open(tmp_path / "lake")
    yield opened
    opened.close()


def answer(lake: Lake, view: str) -> list[Row]:
    rows: list[Row] = lake.query(f"FROM {view}").to_pylist()
    return sorted(rows, key=lambda row: str({k: v for k, v in row.items() if _whole(v)}))


def _whole(value: Any) -> bool:
    return not isinstance(value, float)


def assert_same(found: list[Row], wanted: list[Row], about: str) -> None:
    """Equal rows, columns in the same order; means may differ in the order of their sums."""
    assert len(found) == len(wanted), about
    for one, other in zip(found, wanted, strict=True):
        assert list(one) == list(other), about
        for name, value in one.items():
            if _whole(value) or _whole(other[name]):
                assert value == other[name], f"{about}: {name}"
            else:
                assert math.isclose(value, other[name], rel_tol=1e-9), f"{about}: {name}"


def assert_true(lake: Lake, about: str) -> None:
    """A session's views hold what the lake's own compute from the sources."""
    for name in derived.DERIVED:
        assert_same(answer(lake, name), answer(lake, f"lake.main.{name}"), f"{about}: {name}")


def test_the_views_answer_the_same_whenever_the_lake_was_refreshed(lake: Lake) -> None:
    walk(World(lake, seed=2), steps=12)


def test_every_kind_of_news_makes_the_right_experiments_stale(lake: Lake) -> None:
    """Experiments a and b have a picture each, m1 and m2, and b a copy of m1 as well."""
    world = World(lake, seed=0)
    ids1 = {"segmentation_id": "s1", "micrograph_id": "m1"}
    world.commit(
        lab=[world.row("lab", lab_id="L", lab="L")],
        sample=[world.row("sample", sample_id="s", lab_id="L", sample="s")],
        experiment=[
            world.row("experiment", experiment_id="a", lab_id="L", sample_id="s", experiment="a"),
            world.row("experiment", experiment_id="b", lab_id="M", experiment="b"),
        ],
        micrograph=[world.row("micrograph", micrograph_id=name, pixel_size_trust="unknown",
                              dtype="uint8") for name in ("m1", "m2")],
        micrograph_location=[
            world.row("micrograph_location", micrograph_id=name, experiment_id=home, path=home)
            for name, home in [("m1", "a"), ("m1", "b"), ("m2", "b")]
        ],
        segmentation=[world.row("segmentation", segmentation_id="s1", micrograph_id="m1",
                                polarity="dark"),
                      world.row("segmentation", segmentation_id="s2", micrograph_id="m2",
                                polarity="dark")],
        group_inference=[world.row("group_inference", segmentation_id="s2", unit_key="gi")],
        grouping_run=[world.row("grouping_run", grouping_run_id="g", dataset="columns",
                                columns=["p"])],
    )  # fmt: skip
    news: list[tuple[str, Row, set[str]]] = [
        ("lab", {"lab_id": "L", "lab": "new"}, {"a"}),
        ("sample", {"sample_id": "s", "lab_id": "L", "sample": "new"}, {"a"}),
        ("experiment", {"experiment_id": "b", "lab_id": "L", "experiment": "new"}, {"b"}),
        ("micrograph", {"micrograph_id": "m2", "pixel_size_trust": "unknown", "dtype": "uint8"},
         {"b"}),
        ("micrograph_location", {"micrograph_id": "m1", "experiment_id": "a", "path": "c"},
         {"a", "b"}),
        ("segmentation", {"segmentation_id": "s3", "micrograph_id": "m2", "polarity": "dark"},
         {"b"}),
        ("particle", {"particle_id": "s2-1", "segmentation_id": "s2", "micrograph_id": "m2"},
         {"b"}),
        ("shape_inference", {"segmentation_id": "s1"}, {"a", "b"}),
        ("shape_prediction", {**ids1, "particle_id": "s1-1"}, {"a", "b"}),
        ("shape_refinement", {**ids1, "particle_id": "s1-1"}, {"a", "b"}),
        ("group_inference", {"segmentation_id": "s2"}, {"b"}),
        ("group_prediction", {"particle_id": "s2-1", "unit_key": "gi"}, {"b"}),
        ("grouping_run", {"grouping_run_id": "h", "dataset": "columns", "columns": ["p"],
                          "comparison_id": "c"}, set()),
        ("group_assignment", {"grouping_run_id": "h", "particle_id": "s2-1"}, set()),
        ("group_assignment", {"grouping_run_id": "g", "particle_id": "s2-1"}, {"a", "b"}),
        ("grouping_run", {"grouping_run_id": "h", "dataset": "columns", "columns": ["p"]},
         {"a", "b"}),
        ("failure", {"failed_at": datetime(2026, 1, 1, tzinfo=UTC)}, set()),
    ]  # fmt: skip
    for table, values, wanted in news:
        (before,) = lake.query("FROM lake.current_snapshot()").to_pylist()
        world.commit(**{table: [world.row(table, **values)]})
        stale = lake.query(derived.stale_experiments(next(iter(before.values())))).to_pylist()
        assert {row["experiment_id"] for row in stale} == wanted, f"{table} {values}"


def test_blocks_name_the_commits_of_their_rows_and_follow_them(lake: Lake) -> None:
    """One file a commit: those of the others need not be opened."""
    world = World(lake, seed=5)
    for start in (world.new_lab_and_sample, world.said_of_an_experiment, world.picture):
        for _ in range(6):
            start()
    for _ in range(8):
        world.segmented()
        world.described()
    wanted: dict[str, dict[str, list[int]]] = {}
    for table in derived.BIG_TABLES:
        rows = lake.query(
            f"SELECT DISTINCT l.experiment_id AS id, t.snapshot_id AS snapshot FROM {table} t "
            "JOIN segmentation s USING (segmentation_id) "
            "JOIN micrograph_location l ON l.micrograph_id = s.micrograph_id ORDER BY ALL"
        ).to_pylist()
        for row in rows:
            wanted.setdefault(row["id"], {}).setdefault(table, []).append(row["snapshot"])
    with lake.connect() as connection:
        found = derived.snapshots(connection, [*wanted, "without rows"])
        assert found == wanted
        one = min(wanted)
        window = derived.windows(connection, [one], found)["particle"]
        named = ", ".join(map(str, wanted[one]["particle"]))
        assert window == f"snapshot_id IN ({named})"
    order = [name for name, _ in module._plan(lake, rebuild=True).experiments]
    first = [min(wanted.get(name, {}).get("particle", [0])) for name in order]
    assert first == sorted(first)
    assert len(set(first)) > 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
def test_long_histories_answer_the_same(lake: Lake, seed: int) -> None:
    walk(World(lake, seed), steps=50)


def walk(world: World, steps: int) -> None:
    """Let something happen ``steps`` times, refreshing now and then."""
    history = []
    for start in (world.new_lab_and_sample, world.said_of_an_experiment, world.picture):
        for _ in range(4):
            start()
    for _ in range(steps):
        history.append(world.step())
        if world.random.random() < 0.3:
            refresh(world.lake, block_particles=world.random.choice([1, 5, 1000]))
            history.append("refresh")
        if world.random.random() < 0.05:
            world.compacted()
            history.append("compacted")
        assert_true(world.lake, " ".join(history[-6:]))
