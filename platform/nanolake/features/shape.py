"""Shape: ratios without unit and angles (ISO 9276-6, ISO 21363, MATLAB, scikit-image).

Ratios are at most 1 for a perfect shape and fall from there, save for what a raster adds.
"""

from __future__ import annotations

import numpy as np

from nanolake.features import size
from nanolake.features.moments import covariance, covariance_axes
from nanolake.features.ratios import ratio
from nanolake.features.registry import Floats, Primitives, Values, feature


@feature("shape")
def aspect_ratio(found: Primitives) -> Floats:
    """Minor over major axis of the ellipse; NaN for one pixel."""
    return ratio(size.axis_minor_length(found), size.axis_major_length(found))


@feature("shape")
def aspect_ratio_feret(found: Primitives) -> Floats:
    """Smallest over largest Feret diameter (ISO 9276-6, ISO 21363)."""
    return ratio(found["feret_min"], found["feret_max"])


@feature("shape")
def eccentricity(found: Primitives) -> Floats:
    """Eccentricity of the ellipse: 0 for a circle, 1 for a line; 0 for one pixel."""
    larger, smaller = covariance_axes(found)
    return np.asarray(np.sqrt(1.0 - np.nan_to_num(ratio(smaller, larger), nan=1.0)))


@feature("shape")
def circularity(found: Primitives) -> Floats:
    """4 pi A / P^2 with the Crofton perimeter."""
    return ratio(4.0 * np.pi * size.area(found), size.perimeter_crofton(found) ** 2)


@feature("shape")
def roundness(found: Primitives) -> Floats:
    """4 A / (pi Fmax^2)."""
    return ratio(4.0 * size.area(found), np.pi * found["feret_max"] ** 2)


@feature("shape")
def compactness(found: Primitives) -> Floats:
    """ECD / Fmax: the square root of roundness."""
    return ratio(size.equivalent_diameter_area(found), found["feret_max"])


@feature("shape")
def convexity(found: Primitives) -> Floats:
    """P_hull / P, both from the chords of the same four directions."""
    return ratio(found["crofton_convex"], size.perimeter_crofton(found))


@feature("shape")
def solidity(found: Primitives) -> Floats:
    """A / A_hull."""
    return ratio(found["num_pixels"], found["convex_pixels"])


@feature("shape")
def extent(found: Primitives) -> Floats:
    """A / A_bounding box."""
    return ratio(size.area(found), size.area_bbox(found))


@feature("shape")
def irregularity(found: Primitives) -> Floats:
    """Largest inscribed over smallest circumscribed circle (ISO 9276-6)."""
    return ratio(size.inscribed_circle_diameter(found), found["circumscribed"])


@feature("shape", dtype="int32")
def euler_number(found: Primitives) -> Values:
    """Objects less holes, joined through corners."""
    return found["euler_number"]


@feature("shape", unit="rad")
def orientation_rad(found: Primitives) -> Floats:
    """Angle from the y axis to the major axis; NaN where both axes are equal."""
    yy, xy, xx = covariance(found)
    angle = 0.5 * np.arctan2(2.0 * xy, yy - xx)
    even = np.hypot(2.0 * xy, yy - xx) <= 1e-9 * (yy + xx)
    return np.where(even, np.nan, angle)


@feature("shape", unit="rad")
def feret_diameter_max_angle_rad(found: Primitives) -> Floats:
    """Angle from the y axis to the direction of the largest Feret diameter."""
    return found["feret_max_angle"]


@feature("shape", unit="rad")
def feret_diameter_min_angle_rad(found: Primitives) -> Floats:
    """Angle from the y axis to the direction of the smallest Feret diameter."""
    return found["feret_min_angle"]
