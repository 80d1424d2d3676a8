"""The search for cost and gamma: seeded, quiet, in its ranges, and right where it matters."""

import logging

import numpy as np
import pytest
from pydantic import ValidationError

from nanolake.classify import ClassifySettings
from nanolake.classify.search import Search, Trial, search

COLUMNS = ("x", "y")


def chessboard(count=300, seed=0):
    """Points on a 3 x 3 board whose fields alternate: a smooth border cannot tell them."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 3, (count, 2))
    return points, (np.floor(points).sum(axis=1) % 2).astype(np.int64) + 1


def settings(**changes):
    return ClassifySettings(columns=COLUMNS, **{"trials": 12, **changes})


def test_the_same_seed_tries_the_same_pairs_within_the_ranges():
    raw, labels = chessboard()
    asked = settings(cost_range=(0.5, 50.0), gamma_range=(0.02, 2.0))
    first, second = (search(raw, labels, COLUMNS, asked) for _ in range(2))
    assert first == second
    assert len(first.trials) == 12
    assert all(0.5 <= trial.cost <= 50.0 for trial in first.trials)
    assert all(0.02 <= trial.gamma <= 2.0 for trial in first.trials)
    assert len({(trial.cost, trial.gamma) for trial in first.trials}) == 12


def test_a_narrow_border_is_found():
    """On the board wide kernels are near chance: the search has to find a narrow one."""
    raw, labels = chessboard()
    found = search(raw, labels, COLUMNS, settings())
    wide = search(raw, labels, COLUMNS, settings(gamma_range=(0.01, 0.02), cost_range=(0.1, 1.0)))
    assert found.best.accuracy > wide.best.accuracy + 0.15
    assert found.best.accuracy > 0.8


def test_where_no_mistake_is_made_the_search_ends():
    raw = np.repeat([[0.0, 0.0], [9.0, 9.0]], 30, axis=0)
    raw = raw + np.random.default_rng(0).normal(size=raw.shape)
    found = search(raw, np.repeat([1, 2], 30), COLUMNS, settings())
    assert found.best.accuracy == 1.0
    assert len(found.trials) == 1


def test_of_equal_pairs_the_smoothest_is_best():
    trials = [(100.0, 0.1, 0.9), (1.0, 1.0, 0.9), (1.0, 0.1, 0.8), (5.0, 0.2, 0.9)]
    made = Search(trials=tuple(Trial(cost=c, gamma=g, accuracy=a) for c, g, a in trials))
    # 0.9 is reached three times: cost x gamma is 10, 1 and 1; the smaller cost decides
    assert (made.best.cost, made.best.gamma) == (1.0, 1.0)


def test_it_says_nothing_and_leaves_no_file(tmp_path, monkeypatch, capfd, caplog):
    optuna = pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    raw, labels = chessboard(60)
    before = optuna.logging.get_verbosity()
    with caplog.at_level(logging.DEBUG, logger="optuna"):
        search(raw, labels, COLUMNS, settings(trials=2))
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize("wrong", [{"cost_range": (0.0, 1.0)}, {"gamma_range": (2.0, 1.0)}])
def test_a_range_that_is_none_is_refused(wrong):
    with pytest.raises(ValidationError, match="must be two numbers above 0 in rising order"):
        ClassifySettings(**wrong)
