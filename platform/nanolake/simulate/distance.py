"""How far two outlines are apart as shapes, whatever their parameters say."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from nanolake.simulate.crystal import centred_profiles

Floats = NDArray[np.float64]
POINTS = 360
"""Directions compared: a multiple of 2 d for d = 1 … 6, so that equal outlines meet exactly."""
ROUNDING = 1e-8
"""Distances below this are rounding: powers and sums of the same numbers by another way."""


def outline_distance(
    p: ArrayLike,
    d: ArrayLike,
    l_ratio: ArrayLike,
    p2: ArrayLike,
    d2: ArrayLike,
    l_ratio2: ArrayLike,
) -> Floats:
    """Return the Jaccard distance, (n,) in [0, 1), between outlines of eq. 1; arguments broadcast.

    Both outlines enclose the same area about the same centroid; the second is turned in steps of
    1 degree until the shared area is largest: ``1 - intersection / union`` there. Zero exactly
    where two triples draw the same outline (L and 1 / L; every d of a circle), symmetric, and the
    same whichever triple stands for an outline, which differences of p, d and L are not. Outlines
    of eq. 1 have mirror axes, so mirror images need not be tried.

    >>> outline_distance(4.0, 3, 0.5, 4.0, 3, 2.0).tolist()
    [0.0]
    >>> outline_distance(2.0, 2, 1.0, 2.0, 5, 1.0).tolist()
    [0.0]
    """
    given = (np.atleast_1d(np.asarray(v)) for v in (p, d, l_ratio, p2, d2, l_ratio2))
    values = np.broadcast_arrays(*given)
    first = centred_profiles(values[0], values[1], values[2], points=POINTS)
    second = centred_profiles(values[3], values[4], values[5], points=POINTS)
    apart = 1.0 - _largest_overlap(first**2, second**2)
    return np.where(apart < ROUNDING, 0.0, apart)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _largest_overlap(first: Floats, second: Floats) -> Floats:
    """Return the largest intersection / union over all turns of ``second`` (squared radii)."""
    count, points = first.shape
    out = np.zeros(count)
    twice = np.empty(2 * points)
    for i in range(count):
        twice[:points] = second[i]
        twice[points:] = second[i]
        total = first[i].sum() + second[i].sum()
        for turn in range(points):
            shared = 0.0
            for k in range(points):
                shared += min(first[i, k], twice[k + turn])
            out[i] = max(out[i], shared / (total - shared))
    return out
