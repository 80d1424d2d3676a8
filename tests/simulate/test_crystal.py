"""Single crystals: one triple an outline, outlines about their centroid, masks and pictures."""

from __future__ import annotations

import numpy as np
import pytest

from nanolake.simulate import crystal
from nanolake.simulate.superellipse import canonical, radius


def test_which_triple_owns_an_outline() -> None:
    # |x| + |y| = 1 (p = 1) and max(|x|, |y|) = 1 (p = infinity) are both squares: the second stays.
    assert not crystal.is_owned(1.0, 2, 1.0)
    assert crystal.is_owned(60.0, 2, 1.0)
    # A circle is a circle for every d; canonical() calls it d = 2.
    assert [bool(crystal.is_owned(2.0, d, 1.0)) for d in range(1, 7)] == [
        d == 2 for d in range(1, 7)
    ]
    # d = 1 with L = 1 has two equal sides: a lens that d = 2 draws as well.
    assert not crystal.is_owned(1.5, 1, 1.0)
    assert bool(crystal.is_owned(2.0, 2, 0.5))
    assert bool(crystal.is_owned(3.0, 3, 0.5))


def test_draws_are_canonical_and_repeatable() -> None:
    a = crystal.draw_triples(np.random.default_rng(3), 500)
    b = crystal.draw_triples(np.random.default_rng(3), 500)
    np.testing.assert_array_equal(a.p, b.p)
    assert set(a.d) == {1, 2, 3, 4, 5, 6}
    assert len(a) == 500
    assert a.l_ratio.min() >= 0.1
    assert a.l_ratio.max() <= 1.0
    for value, again in zip((a.p, a.d, a.l_ratio), canonical(a.p, a.d, a.l_ratio), strict=True):
        np.testing.assert_array_equal(value, again)


def test_centred_outline_of_an_egg() -> None:
    # For d = 1 eq. 1's origin lies off the centroid; after centring the first moments vanish.
    r = crystal.centred_profiles(2.0, 1, 0.4)[0]
    theta = np.linspace(0, 2 * np.pi, r.size, endpoint=False)
    assert np.mean(r**2) == pytest.approx(1.0)  # area pi
    assert np.mean(r**3 * np.cos(theta)) == pytest.approx(0.0, abs=2e-3)
    raw = radius(theta, 2.0, 1, 0.4)
    assert abs(np.mean((raw / np.sqrt(np.mean(raw**2))) ** 3 * np.cos(theta))) > 0.1


def test_two_fold_outline_keeps_its_origin() -> None:
    r = crystal.centred_profiles(2.0, 2, 0.5)[0]
    raw = crystal.profiles(2.0, 2, 0.5)[0]
    np.testing.assert_allclose(r / r[0], raw / raw[0])


def test_strip_holds_every_crystal_whole() -> None:
    rng = np.random.default_rng(1)
    triples = crystal.draw_triples(rng, 40)
    strip = crystal.label_strip(rng, triples, across_px=(20, 50))
    np.testing.assert_array_equal(np.unique(strip), np.arange(41))
    assert not strip[:, 0].any()
    assert not strip[:, -1].any()


def test_clean_disk_has_its_area() -> None:
    disk = crystal.Triples(p=np.array([2.0]), d=np.array([2]), l_ratio=np.array([1.0]))
    strip = crystal.label_strip(
        np.random.default_rng(0), disk, across_px=(80, 80.0001),
        roughness=0, rounding_px=0, edge_noise_px=0, clipped_share=0,
    )  # fmt: skip
    assert (strip > 0).sum() == pytest.approx(np.pi * 40**2, rel=0.01)


def test_pictures_as_in_the_paper() -> None:
    rng = np.random.default_rng(2)
    pictures = crystal.images(rng, crystal.draw_triples(rng, 30))
    assert pictures.shape == (30, 44, 44)
    assert pictures.dtype == np.float32
    assert pictures.min() >= 0.0
    assert pictures.max() <= 1.0
    middle = pictures[:, 19:25, 19:25].mean(axis=(1, 2))
    corner = pictures[:, :4, :4].mean(axis=(1, 2))
    assert (middle > corner).any()  # both polarities occur
    assert (middle < corner).any()
