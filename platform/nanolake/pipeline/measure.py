"""Measure single pictures without any lake: the first thing a chemist tries."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nanolake.contracts import get_table
from nanolake.errors import NanolakeError, PictureError, SettingsError
from nanolake.features import found_columns
from nanolake.ingest import IngestSettings, check_pixels, plain_paths, read_pictures
from nanolake.pipeline.picture import find_particles, measure_particles, read_labels, scale_of
from nanolake.progress import Progress, silent
from nanolake.records import Picture, PixelSize, Segmentation
from nanolake.report import write_overlay
from nanolake.segment import SegmentSettings
from nanolake.shape import ShapePredictor

MIN_OVERLAY_PX = 600
"""Smaller pictures are enlarged in their overlay, so that one sees something."""
SHAPE_COLUMNS = ("p", "d", "L_ratio", "log_p_sd", "L_ratio_sd", "d_confidence", "jaccard")
LABELS_END, OVERLAY_END, CSV_NAME = "_labels.tif", "_overlay.png", "particles.csv"
Refusal = tuple[str, str, str]
"""Path, reason and message of what could not be used."""


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
    failures: tuple[Refusal, ...]
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

    ``paths`` are picture files, and folders that are searched with their subfolders. For each
    picture ``NAME_labels.tif`` (uint16 or uint32) and ``NAME_overlay.png``. ``labels`` is a label
    image of any tool (0 is background) that is measured instead of segmenting; it goes with
    exactly one picture. ``pixel_size_nm`` wins over the file's own. A picture that cannot be used
    is reported and the others go on. Raises `SettingsError` where ``out`` is no folder and where
    a result would overwrite what was given.
    """
    files, failures = _expanded(paths, out)
    if labels is not None and len(files) != 1:
        raise SettingsError(f"--labels goes with one picture, not with {len(files)}")
    if pixel_size_nm is not None and not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise SettingsError(f"pixel_size_nm={pixel_size_nm} must be a positive number of nm")
    _spare_inputs(files, labels, out)
    _make_folder(out)
    predictor = ShapePredictor(weights)
    done: list[Measured] = []
    for number, path in enumerate(files):
        progress("measure", number, len(files))
        try:
            for picture in read_pictures(path, ingest_settings):
                try:
                    check_pixels(picture.pixels, ingest_settings)
                    found = _find(picture, labels, settings)
                    name = _name(path, picture, {measured.name for measured in done})
                    done.append(_measure(picture, found, name, out, pixel_size_nm, predictor))
                except NanolakeError as error:  # one bad frame does not cost the others
                    failures.append(_refusal(path, error, picture))
        except NanolakeError as error:
            failures.append(_refusal(path, error))
    progress("measure", len(files), len(files))
    csv = out / CSV_NAME
    _write_csv(csv, done)
    return MeasureReport(pictures=tuple(done), failures=tuple(failures), csv=csv)


def _expanded(paths: Sequence[Path], out: Path) -> tuple[list[Path], list[Refusal]]:
    """Put the pictures of each folder in its place; results of an earlier call are none."""
    files: list[Path] = []
    failures: list[Refusal] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        for entry in plain_paths([path]).experiments:
            found = (source.path for source in entry.sources)
            files += [file for file in found if not _is_result(file, out)]
            failures += [(one.path, one.reason, one.message) for one in entry.missing]
    return files, failures


def _is_result(file: Path, out: Path) -> bool:
    named = file.name.endswith((LABELS_END, OVERLAY_END))
    return named and (out / CSV_NAME).is_file() and file.resolve().parent == out.resolve()


def _spare_inputs(files: Sequence[Path], labels: Path | None, out: Path) -> None:
    """Raise `SettingsError` where a file that this call would write is one that it reads."""
    given = {path.resolve() for path in (*files, *([labels] if labels else []))}
    stems = {path.stem for path in files}
    taken = [file for file in (out / CSV_NAME,) if file.resolve() in given]
    for ending in (LABELS_END, OVERLAY_END):
        for file in out.glob(f"*{ending}"):
            base = file.name.removesuffix(ending)
            ours = any(base == stem or base.startswith(f"{stem}_") for stem in stems)
            taken += [file] if ours and file.resolve() in given else []
    if taken:
        raise SettingsError(
            f"the results would overwrite {taken[0]}, which is to be read: choose another --out"
        )


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise SettingsError(f"--out {out} must be a folder, and a file lies there") from None


def _name(path: Path, picture: Picture, taken: Collection[str]) -> str:
    """Return a name for the picture's files that no other picture of this call has."""
    stem = path.stem if picture.frame_count == 1 else f"{path.stem}_{picture.frame:03d}"
    name = stem if stem not in taken else f"{stem}_{path.suffix.lstrip('.')}"
    number = 2
    while name in taken:
        name, number = f"{stem}_{number}", number + 1
    return name


def _refusal(path: Path, error: NanolakeError, picture: Picture | None = None) -> Refusal:
    reason = error.reason if isinstance(error, PictureError) else type(error).__name__
    frame = f"frame {picture.frame}: " if picture and picture.frame_count > 1 else ""
    return str(path), reason, f"{frame}{error}"


def _find(picture: Picture, labels: Path | None, settings: SegmentSettings | None) -> Segmentation:
    if labels is None:
        return find_particles(picture, None, settings)
    return find_particles(picture, read_labels(labels), labels_name=str(labels))


def _measure(
    picture: Picture,
    found: Segmentation,
    name: str,
    out: Path,
    pixel_size_nm: float | None,
    predictor: ShapePredictor,
) -> Measured:
    import tifffile

    size, features, shapes = measure_particles(picture, found, pixel_size_nm, predictor)
    tifffile.imwrite(out / f"{name}{LABELS_END}", found.labels, compression="zlib")
    overlay = write_overlay(
        out / f"{name}{OVERLAY_END}",
        picture.pixels,
        found.labels,
        pixel_size_nm=scale_of(size),
        min_side_px=MIN_OVERLAY_PX,
    )
    return Measured(
        name=name,
        count=len(features["label"]),
        excluded=found.excluded,
        pixel_size=size,
        table={
            **features,
            **{column: shapes[column] for column in SHAPE_COLUMNS},
            **found_columns(found),
        },
        overlay=overlay,
    )


def _write_csv(path: Path, pictures: Sequence[Measured]) -> None:
    import pandas as pd

    frames = [pd.DataFrame(dict(one.table)).assign(picture=one.name) for one in pictures]
    joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"picture": []})
    joined[_reading_order(list(joined.columns))].to_csv(path, index=False, float_format="%.6g")


def _reading_order(columns: Sequence[str]) -> list[str]:
    """Size first, then shape: the rest is for machines."""
    features = get_table("particle").columns_of("size", "shape")
    first = ["picture", "label", *(feature.name for feature in features), *SHAPE_COLUMNS,
             "confidence", "overlap"]  # fmt: skip
    known = [column for column in first if column in columns]
    return known + [column for column in columns if column not in known]
