"""Size: areas and lengths, in pixels of x and in nm (ISO 13322-1, ISO 9276-6, ISO 21363).

Names are scikit-image's. With non-square pixels, y is stretched to pixels of x first.
"""

from __future__ import annotations

import numpy as np

from nanolake.features.moments import covariance_axes
from nanolake.features.registry import Floats, Primitives, Values, feature, length, squared


@feature("size", unit="px", dtype="int64")
def num_pixels(found: Primitives) -> Values:
    """Pixels of the particle, as they are."""
    return found["num_pixels"]


@squared("size")
def area(found: Primitives) -> Floats:
    """Projected area without holes."""
    return found["num_pixels"] * found.aspect


@squared("size")
def area_filled(found: Primitives) -> Floats:
    """Area with the holes filled."""
    return found["filled_pixels"] * found.aspect


@squared("size")
def area_convex(found: Primitives) -> Floats:
    """Area of the pixels in the convex hull."""
    return found["convex_pixels"] * found.aspect


@squared("size")
def area_bbox(found: Primitives) -> Floats:
    """Area of the bounding box."""
    rows = found["bbox_max_row"] - found["bbox_min_row"]
    return rows * (found["bbox_max_column"] - found["bbox_min_column"]) * found.aspect


@length("size")
def equivalent_diameter_area(found: Primitives) -> Floats:
    """Diameter of the circle of the same area (ECD, ISO 9276-6 x_A)."""
    return np.asarray(np.sqrt(4.0 * area(found) / np.pi))


@length("size")
def equivalent_diameter_perimeter(found: Primitives) -> Floats:
    """Diameter of the circle of the same (Crofton) perimeter (ISO 9276-6 x_P)."""
    return perimeter_crofton(found) / np.pi


@length("size")
def feret_diameter_max(found: Primitives) -> Floats:
    """Largest distance between two parallel tangents (ISO 13322-1 x_Fmax)."""
    return found["feret_max"]


@length("size")
def feret_diameter_min(found: Primitives) -> Floats:
    """Smallest distance between two parallel tangents (ISO 13322-1 x_Fmin)."""
    return found["feret_min"]


@length("size")
def feret_diameter_orthogonal(found: Primitives) -> Floats:
    """Feret diameter perpendicular to the smallest one (ISO 9276-6 x_LF)."""
    return found["feret_orthogonal"]


@length("size")
def feret_diameter_mean(found: Primitives) -> Floats:
    """Mean over all directions: perimeter of the hull over pi (Cauchy)."""
    return found["perimeter_convex"] / np.pi


@length("size")
def perimeter(found: Primitives) -> Floats:
    """Length of the line through the centres of the border pixels (scikit-image, MATLAB)."""
    return found["perimeter"]


@length("size")
def perimeter_crofton(found: Primitives) -> Floats:
    """Perimeter from the number of chords in four directions (Crofton's formula)."""
    slanted = found["chords_diagonal"] + found["chords_antidiagonal"]
    along_x, along_y, across = crofton_weights(found.aspect)
    spacing = found.aspect / np.hypot(1.0, found.aspect)
    straight: Floats = along_x * found.aspect * found["chords_x"] + along_y * found["chords_y"]
    total: Floats = straight + across * spacing * slanted
    return total


def crofton_weights(aspect: float) -> Floats:
    """Return the angles that lines along x, along y and along each diagonal stand for.

    Half of each gap between neighbouring directions; pi / 4 each for square pixels, where the
    formula is scikit-image's ``perimeter_crofton`` with four directions.
    """
    slope = np.arctan(aspect)
    return np.array([slope, 0.5 * np.pi - slope, 0.25 * np.pi])


@length("size")
def perimeter_convex(found: Primitives) -> Floats:
    """Perimeter of the convex hull."""
    return found["perimeter_convex"]


@length("size")
def axis_major_length(found: Primitives) -> Floats:
    """Major axis of the ellipse of the same second moments."""
    return 4.0 * np.sqrt(covariance_axes(found)[0])


@length("size")
def axis_minor_length(found: Primitives) -> Floats:
    """Minor axis of the ellipse of the same second moments."""
    return 4.0 * np.sqrt(covariance_axes(found)[1])


@length("size")
def inscribed_circle_diameter(found: Primitives) -> Floats:
    """Diameter of the largest circle inside that is centred on a pixel."""
    return found["inscribed"]


@length("size")
def circumscribed_circle_diameter(found: Primitives) -> Floats:
    """Diameter of the smallest circle round the convex image."""
    return found["circumscribed"]
