"""Place in the picture, neighbours and flags. Origin: centre of the top left pixel, y down."""

from __future__ import annotations

import numpy as np

from nanolake.features.registry import Floats, Primitives, Values, feature, length


@feature("place", unit="px")
def centroid_y_px(found: Primitives) -> Floats:
    """Row of the centroid, in rows as they are."""
    return found["centroid_row"]


@feature("place", unit="px")
def centroid_x_px(found: Primitives) -> Floats:
    """Column of the centroid."""
    return found["centroid_column"]


@feature("place", unit="nm")
def centroid_y_nm(found: Primitives) -> Floats:
    """Row of the centroid times the pixel's height."""
    return found["centroid_row"] * found.aspect * found.x_nm


@feature("place", unit="nm")
def centroid_x_nm(found: Primitives) -> Floats:
    """Column of the centroid times the pixel's width."""
    return found["centroid_column"] * found.x_nm


@feature("place", unit="px", dtype="int32")
def bbox_min_y_px(found: Primitives) -> Values:
    """First row."""
    return found["bbox_min_row"]


@feature("place", unit="px", dtype="int32")
def bbox_min_x_px(found: Primitives) -> Values:
    """First column."""
    return found["bbox_min_column"]


@feature("place", unit="px", dtype="int32")
def bbox_max_y_px(found: Primitives) -> Values:
    """One past the last row."""
    return found["bbox_max_row"]


@feature("place", unit="px", dtype="int32")
def bbox_max_x_px(found: Primitives) -> Values:
    """One past the last column."""
    return found["bbox_max_column"]


@length("neighbour")
def nearest_neighbour_distance(found: Primitives) -> Floats:
    """Distance to the nearest other centroid; NaN for a particle alone in its picture."""
    from scipy.spatial import cKDTree

    places = np.stack([found["centroid_row"] * found.aspect, found["centroid_column"]], axis=1)
    if len(places) < 2:
        return np.full(len(places), np.nan)
    distances = np.asarray(cKDTree(places).query(places, k=2)[0])
    return distances[:, 1]


@feature("flag", dtype="bool")
def touches_border(found: Primitives) -> Values:
    """Whether a pixel lies on the edge of the picture: the particle may go on beyond it."""
    height, width = found.shape
    return np.asarray(
        (found["bbox_min_row"] == 0)
        | (found["bbox_min_column"] == 0)
        | (found["bbox_max_row"] == height)
        | (found["bbox_max_column"] == width)
    )


@feature("flag", dtype="bool")
def touches_neighbour(found: Primitives) -> Values:
    """Whether one of a pixel's eight neighbours belongs to another particle."""
    return found["touches_neighbour"]
