"""When a particle is too far from all that is known: by hand, and held against its promise."""

import numpy as np
import pytest

from nanolake.classify import ClassifySettings
from nanolake.classify.nearness import distance_to, fit_nearness
from nanolake.scaling import fit_scaling


def test_the_distance_is_that_of_the_nth_neighbour():
    """Known at 0, 1, 3, 7 on a line; seen from 2: distances 1, 1, 2, 5."""
    known = np.array([[0.0], [1.0], [3.0], [7.0]])
    seen = np.array([[2.0]])
    assert distance_to(known, seen, 1).tolist() == [1.0]
    assert distance_to(known, seen, 3).tolist() == [2.0]
    assert distance_to(known, seen, 9).tolist() == [5.0]  # fewer are known: the last of them
    assert distance_to(known, np.empty((0, 1)), 3).shape == (0,)


def fitted(raw, labels, units, **changes):
    columns = tuple(f"c{i}" for i in range(raw.shape[1]))
    settings = ClassifySettings(columns=columns, **changes)
    return fit_nearness(raw, labels, fit_scaling(raw, columns), units, settings)


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_as_many_of_the_groups_own_are_refused_as_was_asked(share):
    rng = np.random.default_rng(0)
    raw, labels = rng.normal(size=(2000, 3)), np.repeat([1, 2], 1000)
    raw[labels == 2] = 8.0 + 3.0 * raw[labels == 2]
    near = fitted(raw, labels, np.arange(2000) % 20, too_far_share=share)
    fresh, of = rng.normal(size=(4000, 3)), np.repeat([1, 2], 2000)
    fresh[of == 2] = 8.0 + 3.0 * fresh[of == 2]
    far = near.ratio(fresh, of) > 1
    # 2000 draws a group: standard error 0.002 and 0.005; the limit's own from 1000 rows is larger
    for group in (1, 2):
        assert far[of == group].mean() == pytest.approx(share, rel=0.6)


def test_a_tight_group_has_a_tight_limit():
    """The same step of 4 leaves the group of sd 1 and not the one of sd 5."""
    rng = np.random.default_rng(1)
    raw, labels = rng.normal(size=(1000, 2)), np.repeat([1, 2], 500)
    raw[labels == 2] *= 5.0
    near = fitted(raw, labels, np.arange(1000) % 10)
    assert (near.ratio(np.array([[6.0, 0.0], [6.0, 0.0]]), np.array([1, 2])) > 1).tolist() == [
        True,
        False,
    ]


def test_pictures_that_differ_widen_the_limit():
    """Each picture shifts its particles: a new one lies further off than a known one's neighbours.

    With the pictures' names shuffled the limit is that of neighbours in the same picture.
    """
    rng = np.random.default_rng(2)
    units = np.repeat(np.arange(10), 60)
    raw = rng.normal(size=(600, 2)) * 0.2 + rng.normal(size=(10, 2))[units]
    labels = np.ones(600, np.int64)
    by_picture = fitted(raw, labels, units).limits[0]
    mixed = fitted(raw, labels, rng.permutation(units)).limits[0]
    assert by_picture > 1.5 * mixed


def test_equal_particles_know_their_like_only():
    raw = np.concatenate([np.zeros((30, 2)), np.full((30, 2), 9.0)])
    near = fitted(raw, np.repeat([1, 2], 30), np.arange(60) % 2)
    ratio = near.ratio(np.array([[0.0, 0.0], [0.1, 0.0]]), np.array([1, 1]))
    assert ratio[0] == 0.0
    assert ratio[1] > 1.0
