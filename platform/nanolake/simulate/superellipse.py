"""The outline family of the paper (Williamson et al. 2022, eq. 1) and its canonical parameters.

Angles are in radians, counter-clockwise in the usual (x right, y up) frame; in image coordinates
(y down) that is clockwise as seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def radius(
    theta: ArrayLike, p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike, phi: ArrayLike = 0.0
) -> Floats:
    """Return R(theta) of eq. 1, dimensionless; all arguments broadcast.

    ``R = [ (L |cos(d/2 (theta + phi))|)^p + |sin(d/2 (theta + phi))|^p ]^(-1/p)``

    Computed with the larger term taken out, so that large ``p`` does not overflow.

    >>> radius([0.0, np.pi / 2], p=2, d=2, l_ratio=0.5).round(6).tolist()   # an ellipse, 2 : 1
    [2.0, 1.0]
    """
    half = 0.5 * np.asarray(d, float) * (np.asarray(theta, float) + np.asarray(phi, float))
    a = np.asarray(l_ratio, float) * np.abs(np.cos(half))
    b = np.abs(np.sin(half))
    larger, smaller = np.maximum(a, b), np.minimum(a, b)
    exponent = np.asarray(p, float)
    total = 1.0 + np.power(smaller / larger, exponent)
    return np.asarray(np.power(total, -1.0 / exponent) / larger)


def outline(
    p: float, d: int, l_ratio: float, phi: float = 0.0, *, area: float = np.pi, points: int = 360
) -> Floats:
    """Return a closed outline (points, 2) of (y, x) about the origin, scaled to enclose ``area``.

    The first point is not repeated at the end. ``area`` is in whatever unit squared the caller
    wants its coordinates in.
    """
    theta = np.linspace(0.0, 2.0 * np.pi, points, endpoint=False)
    r = radius(theta, p, d, l_ratio, phi)
    polygon_area = 0.5 * np.sin(theta[1]) * np.sum(r * np.roll(r, -1))
    r = r * np.sqrt(area / polygon_area)
    return np.stack([r * np.sin(theta), r * np.cos(theta)], axis=1)


def canonical(
    p: ArrayLike, d: ArrayLike, l_ratio: ArrayLike, *, circle_tolerance: float = 0.01
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Return the one triple (p, d, L) that stands for each outline.

    Rule: L and 1/L are the same outline turned by pi/d and scaled, so L is taken in (0, 1]. Where
    the radius varies by less than ``circle_tolerance`` (max/min - 1) the outline is a circle
    whatever d says, and the triple is (2, 2, 1).

    >>> [float(v.item()) for v in canonical(2.0, 5, 1.0)]
    [2.0, 2.0, 1.0]
    >>> [float(v.item()) for v in canonical(4.0, 3, 2.0)]
    [4.0, 3.0, 0.5]
    """
    p, d, l_ratio = np.broadcast_arrays(
        np.asarray(p, float), np.asarray(d), np.asarray(l_ratio, float)
    )
    folded = np.minimum(l_ratio, 1.0 / l_ratio)
    theta = np.linspace(0.0, 2.0 * np.pi, 240, endpoint=False)
    r = radius(theta, p[..., None], d[..., None], folded[..., None])
    is_circle = r.max(axis=-1) / r.min(axis=-1) - 1.0 < circle_tolerance
    return (
        np.where(is_circle, 2.0, p),
        np.where(is_circle, 2, d).astype(np.int64),
        np.where(is_circle, 1.0, folded),
    )
