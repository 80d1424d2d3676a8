"""Measure single pictures without any lake: the first thing a chemist tries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import NanolakeError, PictureError, SettingsError
from nanolake.features import measure
from nanolake.ingest import IngestSettings, check_pixels, from_sheet, read_pictures
from nanolake.pipeline.work import Progress, silent
from nanolake.records import Picture, PixelSize, Segmentation
from nanolake.report import write_overlay
from nanolake.segment import SegmentSettings, segment
from nanolake.shape import ShapePredictor, predict_particles

SHAPE_COLUMNS = ("p", "d", "L_ratio", "log_p_sd", "L_ratio_sd", "d_confidence", "jaccard")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured in one picture. ``table`` maps column names to (n,) arrays."""

    name: str
    count: int
    excluded: Mapping[str, int]
    pixel_size: PixelSize
    table: Mapping[str, NDArray[Any]]
    overlay: Path


@dataclass(frozen=True, kw_only=True)
class MeasureReport:
    """What `measure_pictures` did: pictures in order, refusals as (path, reason, message)."""

    pictures: tuple[Measured, ...]
    failures: tuple[tuple[str, str, str], ...]
    csv: Path

    @property
    def count(self) -> int:
        """Particles in all pictures."""
        return sum(picture.count for picture in self.pictures)


def measure_pictures(
    paths: Sequence[Path],
    out: Path,
    *,
    labels: Path | None = None,
    pixel_size_nm: float | None = None,
    settings: SegmentSettings | None = None,
    ingest_settings: IngestSettings | None = None,
    weights: Path | None = None,
    progress: Progress = silent,
) -> MeasureReport:
    """Segment and measure pictures; write label images, overlays and one ``particles.csv``.

    For each picture ``NAME_labels.tif`` (uint16 or uint32) and ``NAME_overlay.png``. ``labels``
    is a label image of any tool (0 is background) that is measured instead of segmenting; it goes
    with exactly one picture. ``pixel_size_nm`` wins over the file's own. A picture that cannot be
    used is reported and the others go on.
    """
    if labels is not None and len(paths) != 1:
        raise SettingsError(f"--labels goes with one picture, not with {len(paths)}")
    out.mkdir(parents=True, exist_ok=True)
    predictor = ShapePredictor(weights)
    done: list[Measured] = []
    failures: list[tuple[str, str, str]] = []
    for number, path in enumerate(paths):
        progress("measure", number, len(paths))
        try:
            for picture, name in _pictures(path, ingest_settings, done):
                found = _find(picture, labels, settings)
                done.append(_measure(picture, found, name, out, pixel_size_nm, predictor))
        except NanolakeError as error:
            reason = error.reason if isinstance(error, PictureError) else type(error).__name__
            failures.append((str(path), reason, str(error)))
    progress("measure", len(paths), len(paths))
    csv = out / "particles.csv"
    _write_csv(csv, done)
    return MeasureReport(pictures=tuple(done), failures=tuple(failures), csv=csv)


def _pictures(
    path: Path, settings: IngestSettings | None, done: Sequence[Measured]
) -> Iterator[tuple[Picture, str]]:
    """Yield the pictures of a file, each with a name that no other output has."""
    taken = {measured.name for measured in done}
    for picture in read_pictures(path, settings):
        check_pixels(picture.pixels, settings)
        stem = path.stem if picture.frame_count == 1 else f"{path.stem}_{picture.frame:03d}"
        name = stem if stem not in taken else f"{stem}_{path.suffix.lstrip('.')}"
        number = 2
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name)
        yield picture, name


def _find(picture: Picture, labels: Path | None, settings: SegmentSettings | None) -> Segmentation:
    if labels is None:
        return segment(picture.pixels, settings or SegmentSettings())
    given = _read_labels(labels)
    if given.shape != picture.pixels.shape:
        raise SettingsError(
            f"{labels} has shape {given.shape}, the picture {picture.pixels.shape}: "
            "they must be of one size"
        )
    return Segmentation(labels=given, polarity="unknown", method=f"labels of {labels.name}")


def _read_labels(path: Path) -> NDArray[Any]:
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
    return np.asarray(labels, np.uint16 if labels.max(initial=0) < 2**16 else np.uint32)


def _measure(
    picture: Picture,
    found: Segmentation,
    name: str,
    out: Path,
    pixel_size_nm: float | None,
    predictor: ShapePredictor,
) -> Measured:
    import tifffile

    size = picture.pixel_size
    if pixel_size_nm is not None:
        size = from_sheet(pixel_size_nm, size)
    scale = (size.y_nm, size.x_nm) if size.y_nm and size.x_nm else None
    features = measure(picture.pixels, found.labels, pixel_size_nm=scale)
    aspect = scale[0] / scale[1] if scale else 1.0
    shapes = predict_particles(None, found.labels, predictor, pixel_aspect=aspect)
    tifffile.imwrite(out / f"{name}_labels.tif", found.labels, compression="zlib")
    overlay = write_overlay(
        out / f"{name}_overlay.png", picture.pixels, found.labels, pixel_size_nm=scale
    )
    return Measured(
        name=name,
        count=len(features["label"]),
        excluded=found.excluded,
        pixel_size=size,
        table={**features, **{column: shapes[column] for column in SHAPE_COLUMNS}},
        overlay=overlay,
    )


def _write_csv(path: Path, pictures: Sequence[Measured]) -> None:
    import pandas as pd

    frames = [pd.DataFrame(dict(one.table)).assign(picture=one.name) for one in pictures]
    joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"picture": []})
    names = ["picture", *[column for column in joined.columns if column != "picture"]]
    joined[names].to_csv(path, index=False, float_format="%.6g")
