"""Moments: what follows from the second and third central moments of the mask.

Names, signs and the missing 1/12 of a pixel's own extent are scikit-image's. Rows are stretched
by the pixels' aspect: mu_pq becomes aspect^(p + 1) mu_pq.
"""

from __future__ import annotations

import numpy as np

from nanolake.features.ratios import ratio
from nanolake.features.registry import FEATURES, Feature, Floats, Primitives


def covariance(found: Primitives) -> tuple[Floats, Floats, Floats]:
    """Return variance along y, covariance, variance along x, in square pixels of x."""
    count, s = found["num_pixels"], found.aspect
    return s * s * found["mu20"] / count, s * found["mu11"] / count, found["mu02"] / count


def covariance_axes(found: Primitives) -> tuple[Floats, Floats]:
    """Return the larger and the smaller variance along the principal axes."""
    yy, xy, xx = covariance(found)
    larger = 0.5 * (yy + xx) + np.hypot(0.5 * (yy - xx), xy)
    # the product of both is the determinant: no difference of two near numbers
    smaller = np.nan_to_num(ratio(yy * xx - xy * xy, larger), nan=0.0)
    return larger, np.clip(smaller, 0.0, larger)


def normalised(found: Primitives, p: int, q: int) -> Floats:
    """Return nu_pq = mu_pq / mu_00^(1 + (p + q) / 2), without dimension."""
    scale = found.aspect ** (p + 1)
    area = found["num_pixels"] * found.aspect
    return np.asarray(scale * found[f"mu{p}{q}"] / area ** (1.0 + 0.5 * (p + q)))


def hu_moments(found: Primitives) -> tuple[Floats, ...]:
    """Return Hu's seven invariants (Hu 1962), which no shift, turn or scale changes.

    The seventh changes its sign with a mirror image.
    """
    n20, n11, n02 = (normalised(found, *pq) for pq in ((2, 0), (1, 1), (0, 2)))
    n30, n21, n12, n03 = (normalised(found, *pq) for pq in ((3, 0), (2, 1), (1, 2), (0, 3)))
    a, b, c, d = n30 + n12, n21 + n03, n30 - 3.0 * n12, 3.0 * n21 - n03
    a_like, b_like = a * (a * a - 3.0 * b * b), b * (3.0 * a * a - b * b)
    difference = n20 - n02
    return (
        n20 + n02,
        difference**2 + 4.0 * n11**2,
        c**2 + d**2,
        a**2 + b**2,
        c * a_like + d * b_like,
        difference * (a * a - b * b) + 4.0 * n11 * a * b,
        d * a_like - c * b_like,
    )


def _register_hu(number: int) -> None:
    def hu_moment(found: Primitives) -> Floats:
        return hu_moments(found)[number - 1]

    FEATURES.add(
        Feature(
            name=f"hu_moment_{number}",
            unit=None,
            group="moments",
            dtype="float64",
            function=hu_moment,
        )
    )


for _number in range(1, 8):
    _register_hu(_number)
