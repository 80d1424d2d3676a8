"""`measure`: every feature of every particle of one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError
from nanolake.features import intensity, moments, place, shape, size  # noqa: F401  they register
from nanolake.features.registry import FEATURES, Floats, Primitives, aspect_of
from nanolake.features.size import crofton_weights

if TYPE_CHECKING:
    from nanolake.features.boxes import Boxes


def measure(
    pixels: NDArray[Any],
    labels: NDArray[Any],
    *,
    pixel_size_nm: tuple[float, float] | None = None,
) -> dict[str, NDArray[Any]]:
    """Measure every particle of one picture.

    Parameters
    ----------
    pixels
        (y, x) grey values, any integer, boolean or real dtype, all finite.
    labels
        (y, x) integers of the same shape, 0 for background; gaps in the numbers are allowed,
        and so are particles in several pieces (measured as one).
    pixel_size_nm
        Height and width (y, x) of a pixel in nm, None where unknown.

    Returns
    -------
    dict
        ``label`` (n,) int64, ascending, and one (n,) array for each of `FEATURES`, named, typed
        and described in ``schemas/tables/particle.toml``. Unknown is NaN; columns in nm are all
        NaN without a pixel size. Coordinates have their origin in the centre of the top left
        pixel, y down. Lengths in px are pixels of x: where pixels are not square, y is stretched
        by their aspect first, so that ratios are those of the particle, not of the raster.

    Raises
    ------
    ValueError
        Shapes differ, labels are not whole numbers from 0 to 2^32 - 1, a size is not positive.
    PictureError
        The picture holds NaN or infinity (``not_finite``).

    Notes
    -----
    It neither segments nor leaves particles out: border particles are flagged, not dropped.
    """
    _check(pixels, labels, pixel_size_nm)
    found = find_primitives(pixels, labels.astype(np.uint32, copy=False), pixel_size_nm)
    columns = {name: entry(found) for name, entry in FEATURES.items()}
    return {"label": found["label"].astype(np.int64), **columns}


def _check(
    pixels: NDArray[Any], labels: NDArray[Any], pixel_size_nm: tuple[float, float] | None
) -> None:
    if pixels.ndim != 2 or pixels.shape != labels.shape:
        raise ValueError(
            f"pixels {pixels.shape} and labels {labels.shape} must be one (y, x) shape: "
            "give one grey picture and the label image made from it"
        )
    if labels.dtype.kind not in "ui":
        raise ValueError(f"labels are {labels.dtype}: convert them to whole numbers, 0 outside")
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.uint32).max):
        raise ValueError(f"labels lie in {labels.min()} … {labels.max()}: renumber them from 1")
    if pixels.dtype.kind not in "uifb":
        raise ValueError(f"pixels are {pixels.dtype}: give real grey values")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise PictureError("not_finite", "pixels hold NaN or infinity: mask or mend them first")
    if pixel_size_nm is not None and not all(0 < v < np.inf for v in pixel_size_nm):
        raise ValueError(f"pixel_size_nm = {pixel_size_nm}: give (y, x) above 0, or None")


def find_primitives(
    pixels: NDArray[Any],
    labels: NDArray[np.uint32],
    pixel_size_nm: tuple[float, float] | None = None,
) -> Primitives:
    """Run the compiled passes over every particle, one bounding box at a time."""
    from nanolake.features import boxes, probe

    places = boxes.find_boxes(labels)
    aspect = 1.0 if pixel_size_nm is None else aspect_of(pixel_size_nm)
    weights = crofton_weights(aspect)
    columns = probe.probe(pixels, labels, places.labels, places.boxes, aspect, weights)
    return Primitives(
        columns={**columns, **_places(places)},
        shape=(labels.shape[0], labels.shape[1]),
        pixel_size_nm=pixel_size_nm,
    )


def _places(places: Boxes) -> dict[str, Floats]:
    names = ("bbox_min_row", "bbox_min_column", "bbox_max_row", "bbox_max_column")
    corners = dict(zip(names, places.boxes.T.astype(np.float64), strict=True))
    return {"label": places.labels.astype(np.float64), **corners}
