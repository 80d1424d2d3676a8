"""One picture from pixels to particles and their columns, without any lake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import PictureError, SettingsError
from nanolake.features import measure
from nanolake.ingest import from_sheet
from nanolake.records import Picture, PixelSize, Segmentation
from nanolake.segment import SegmentSettings, segment
from nanolake.shape import ShapePredictor, predict_particles


def find_particles(
    picture: Picture,
    labels: NDArray[Any] | None = None,
    settings: SegmentSettings | None = None,
    *,
    labels_name: str = "the label image",
) -> Segmentation:
    """Segment a picture, or take ``labels`` of `read_labels`, by any tool, as its particles.

    Raises `SettingsError` where picture and labels differ in size, `PictureError` as `segment`.
    """
    if labels is None:
        return segment(picture.pixels, settings or SegmentSettings())
    if labels.shape != picture.pixels.shape:
        raise SettingsError(
            f"{labels_name} has shape {labels.shape}, the picture {picture.pixels.shape}: "
            "they must be of one size"
        )
    return Segmentation(labels=labels, polarity="unknown", method=f"labels of {labels_name}")


def measure_particles(
    picture: Picture,
    found: Segmentation,
    pixel_size_nm: float | None,
    predictor: ShapePredictor,
) -> tuple[PixelSize, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the pixel size that holds, every feature, and the shape network's answer.

    ``pixel_size_nm`` (None: unknown) wins over the picture's own. The columns are those of
    `nanolake.features.measure` and of `nanolake.shape.predict_particles`, (n,) each.
    """
    size = picture.pixel_size
    if pixel_size_nm is not None:
        size = from_sheet(pixel_size_nm, size)
    scale = scale_of(size)
    features = measure(picture.pixels, found.labels, pixel_size_nm=scale)
    aspect = scale[0] / scale[1] if scale else 1.0
    shapes = predict_particles(picture.pixels, found.labels, predictor, pixel_aspect=aspect)
    return size, features, shapes


def scale_of(size: PixelSize) -> tuple[float, float] | None:
    """Return height and width of a pixel in nm, None where they may not be used."""
    return (size.y_nm, size.x_nm) if size.y_nm and size.x_nm else None


def read_labels(path: Path) -> NDArray[Any]:
    """Read a label image, TIFF by its ending or else PNG: (y, x), uint16 or uint32.

    Raises `PictureError` (``unreadable``), and `SettingsError` where it is none: not one plane of
    whole numbers, or a mask that has all its particles under one number.
    """
    import cv2
    import tifffile

    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            labels = tifffile.imread(path)
        else:
            labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except Exception as error:
        raise PictureError(
            "unreadable", f"{path} cannot be read as a label image: {error}"
        ) from None
    if labels is None or labels.ndim != 2 or labels.dtype.kind not in "ui":
        kind = "nothing" if labels is None else f"{labels.dtype} of shape {labels.shape}"
        raise SettingsError(
            f"{path} holds {kind}; a label image is one plane of whole numbers, 0 for background"
        )
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high >= 2**32:
        raise SettingsError(
            f"{path} holds values from {low} to {high}; a label image has 0 for background and "
            "1 … 2^32 - 1 for particles"
        )
    _refuse_mask(path, labels, high)
    return np.asarray(labels, np.uint16 if high < 2**16 else np.uint32)


def _refuse_mask(path: Path, labels: NDArray[Any], high: int) -> None:
    """A mask has all its particles under one number, the highest its type can hold."""
    import cv2

    if high not in (255, np.iinfo(labels.dtype).max) or np.any((labels != 0) & (labels != high)):
        return
    parts = cv2.connectedComponents((labels != 0).astype(np.uint8), connectivity=8)[0] - 1
    if parts > 1:
        raise SettingsError(
            f"{path} looks like a mask, not like a label image: its {parts} separate parts all "
            f"have the value {high}; number the particles first, for example with "
            "skimage.measure.label"
        )
