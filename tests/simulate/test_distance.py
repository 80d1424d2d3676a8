"""A distance between outlines: zero for equal shapes, whatever triple stands for them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nanolake.simulate.distance import outline_distance
from nanolake.simulate.superellipse import canonical

P = st.floats(0.6, 30.0)
D = st.integers(1, 6)
L = st.floats(0.2, 1.0)


@given(P, D, L)
@settings(derandomize=True, max_examples=40, deadline=None)
def test_the_inverse_ratio_is_the_same_shape(p: float, d: int, l_ratio: float) -> None:
    assert outline_distance(p, d, l_ratio, p, d, 1.0 / l_ratio)[0] == 0.0


@given(P, D, L)
@settings(derandomize=True, max_examples=40, deadline=None)
def test_the_canonical_triple_is_the_same_shape(p: float, d: int, l_ratio: float) -> None:
    # Where the canonical triple is the circle, the outline may differ from it by 1 % in radius.
    p2, d2, l2 = canonical(p, d, 1.0 / l_ratio)
    assert outline_distance(p, d, l_ratio, p2, d2, l2)[0] < 0.012


def test_known_shapes() -> None:
    # Every d of p = 2, L = 1 is the circle.
    assert (outline_distance(2.0, np.arange(1, 7), 1.0, 2.0, 2, 1.0) == 0.0).all()
    # Squares by two triples: p = 1 is |x| + |y| = 1, large p its turned twin.
    assert outline_distance(1.0, 2, 1.0, 400.0, 2, 1.0)[0] < 0.005
    # A square and the circle of equal area about one centre, side 2: the circle's radius is
    # 2 / sqrt(pi) = 1.128 and sticks out in four caps of (r^2 / 2)(2 a - sin 2a), a = acos(1 / r):
    # 4 * 0.0934 = 0.362 of 4; Jaccard (4 - 0.362) / (4 + 0.362) = 0.834.
    assert abs(outline_distance(2.0, 2, 1.0, 400.0, 2, 1.0)[0] - 0.166) < 0.003


def test_ellipses_by_hand() -> None:
    # Ellipses of area pi with axes a, 1/a meet at 4 points; two alike turned on each other are
    # found alike. Against the circle, axes ratio 4 (a = 2): by symmetry intersection
    # = 4 * (sector of the circle up to t + sector of the ellipse), t = atan(1 / 2):
    t = np.arctan(0.5)
    ellipse = 0.5 * (np.pi / 2 - np.arctan(np.tan(t) * 4))  # sector of x = 2 cos u, y = sin u / 2
    shared = 4 * (0.5 * t + ellipse)
    expected = 1.0 - shared / (2 * np.pi - shared)
    assert abs(outline_distance(2.0, 2, 0.25, 2.0, 2, 1.0)[0] - expected) < 0.01


@given(P, D, L, P, D, L)
@settings(derandomize=True, max_examples=40, deadline=None)
def test_symmetric_and_bounded(
    p: float, d: int, l_ratio: float, p2: float, d2: int, l_ratio2: float
) -> None:
    one = outline_distance(p, d, l_ratio, p2, d2, l_ratio2)[0]
    other = outline_distance(p2, d2, l_ratio2, p, d, l_ratio)[0]
    assert abs(one - other) < 1e-9
    assert 0.0 <= one < 1.0
