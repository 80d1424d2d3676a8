"""The same cases over serial, Dask and Ray: an engine must not change a result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanolake.engines import Engine, open_engine
from nanolake.engines.ray import RayEngine
from nanolake.errors import SettingsError
from nanolake.testing.tasks import CountOpens, DieAlways, DieOnce, Divide

ENGINES = [
    "serial",
    pytest.param("dask", marks=pytest.mark.dask),
    pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow]),
]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with open_engine(request.param, workers=2) as opened:
        yield opened


def test_results_and_faults_are_the_same_on_every_engine(engine: Engine) -> None:
    outcomes = {outcome.item: outcome for outcome in engine.map(Divide(), [0, 1, 2, 3, 4])}
    assert sorted(outcomes) == [0, 1, 2, 3, 4]
    assert [outcomes[i].result for i in (1, 2, 4)] == [12.0, 6.0, 3.0]
    assert outcomes[3].fault is not None
    assert outcomes[3].fault.reason == "constant"
    assert outcomes[3].fault.trace == ""  # our own refusals need no trace
    assert outcomes[0].fault is not None
    assert outcomes[0].fault.reason == "error"
    assert "ZeroDivisionError" in outcomes[0].fault.message


def test_no_items_give_no_outcomes(engine: Engine) -> None:
    assert list(engine.map(Divide(), [])) == []


def test_a_task_is_opened_once_a_worker(engine: Engine, tmp_path: Path) -> None:
    assert len(list(engine.map(CountOpens(tmp_path), range(20)))) == 20
    processes = [name.name.split("-")[0] for name in tmp_path.iterdir()]
    assert 1 <= len(processes) <= engine.workers
    assert len(set(processes)) == len(processes)


def test_a_killed_worker_loses_nothing(engine: Engine, tmp_path: Path) -> None:
    task = DieOnce(tmp_path / "died", os.getpid())
    before = engine.lost_workers
    outcomes = list(engine.map(task, range(6)))
    assert sorted(outcome.result for outcome in outcomes) == [0, 10, 20, 30, 40, 50]
    assert (tmp_path / "died").exists() == (engine.name != "serial")
    assert engine.lost_workers - before == (engine.name != "serial")


@pytest.mark.slow
@pytest.mark.ray
def test_an_item_that_kills_every_actor_fails_alone(tmp_path: Path) -> None:
    # One actor dies with item 1 and another item in hand, two with item 1 alone; that other item
    # is blamed for nothing.
    with open_engine("ray", workers=1) as engine:
        outcomes = {o.item: o for o in engine.map(DieAlways(os.getpid()), range(4))}
        assert engine.lost_workers == 3
    assert [outcomes[item].result for item in (0, 2, 3)] == [0, 20, 30]
    assert outcomes[1].fault is not None
    assert outcomes[1].fault.reason == "worker_lost"
    assert "2 actors died" in outcomes[1].fault.message


def test_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="serial, dask, ray"):
        open_engine("spark")


@pytest.mark.ray
@pytest.mark.parametrize(("asked", "given"), [(8, 2), (1, 1), (None, 2)])
def test_ray_has_no_more_actors_than_the_cluster_has_cores(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, given: int
) -> None:
    # Each actor takes a core: those beyond would wait for ever, and the items sent to them.
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    assert RayEngine(asked, address="cluster:6379").workers == given


@pytest.mark.ray
def test_an_item_is_not_blamed_for_the_death_of_an_actor_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two lone items, one lost actor each: both are done again. Two in a row give an item up."""
    import ray

    from nanolake.engines import ray as ray_engine

    class Actor:
        class run:  # noqa: N801 - as Ray's actors name their methods
            @staticmethod
            def remote(item: str) -> str:
                return f"answer to {item}"

    monkeypatch.setattr(ray_engine, "_new_actor", lambda task: Actor())
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    hand = ray_engine._Hand(Divide())
    waiting, lost = iter(["a"]), RuntimeError("lost")
    hand.fill(waiting)
    assert hand.replace_actor(lost) is None
    hand.fill(waiting)
    hand.put_down()  # the second actor did it
    waiting = iter(["b"])
    hand.fill(waiting)
    assert hand.replace_actor(lost) is None
    hand.fill(waiting)
    outcome = hand.replace_actor(lost)
    assert outcome is not None
    assert outcome.item == "b"
    assert outcome.fault is not None
