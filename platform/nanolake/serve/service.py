"""What the service does with crops and micrographs once they are read; no HTTP, no Ray."""

from __future__ import annotations

import string
import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake import __version__
from nanolake.contracts import get_table
from nanolake.errors import PictureError, SettingsError
from nanolake.features import found_columns
from nanolake.free_memory import available_bytes
from nanolake.ingest import IngestSettings, check_pixels, picture_suffixes, read_pictures
from nanolake.pipeline.picture import find_particles, measure_particles, read_labels
from nanolake.records import Picture, PixelSize, Segmentation
from nanolake.segment.memory import predicted_bytes
from nanolake.segment.run import weights_id
from nanolake.serve.refusals import RefusedError, of_picture
from nanolake.serve.settings import ServeSettings
from nanolake.shape import ShapePredictor, cut, redraw
from nanolake.shape.crops import labelled

Columns = dict[str, NDArray[Any]]
"""Column name to one value a crop or particle, (n,) or (n, 6) for ``d_probability``."""
_BRIEF = (
    *("label", "num_pixels", "area_px2", "area_nm2"),
    *("equivalent_diameter_area_px", "equivalent_diameter_area_nm"),
    *("feret_diameter_max_px", "feret_diameter_max_nm"),
    *("feret_diameter_min_px", "feret_diameter_min_nm", "centroid_y_px", "centroid_x_px"),
)
"""What is told of a particle beside its shape where not every feature is asked for."""


@dataclass(frozen=True, kw_only=True)
class MicrographRequest:
    """A picture file and what is to be done with it. ``name`` is the client's name of the file."""

    picture: bytes
    name: str = "picture"
    labels: bytes | None = None
    """A label image, TIFF or PNG, to be measured in place of a segmentation."""
    labels_name: str = "labels"
    pixel_size_nm: float | None = None
    frame: int | None = None
    features: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Columns of crops or particles under the name ``rows``, and what is told of all of them."""

    rows: str
    about: Mapping[str, Any]
    columns: Columns


class ShapeService:
    """Holds the networks and answers; what a replica, or a test, calls.

    ``weights`` None means the shipped shape network; ``source`` says in words where they are from.
    Loads and tries both networks in ``__init__``. Raises `ModelError` where one is missing.
    """

    def __init__(
        self, settings: ServeSettings, weights: Path | str | None = None, source: str = "shipped"
    ) -> None:
        self.settings, self.source = settings, source
        self._ingest = IngestSettings(max_pixels=settings.max_pixels)
        self.predictor = ShapePredictor(weights)
        self._segmenter_id = weights_id(settings.segment)
        self.predict(cut(np.pad(np.ones((9, 9), np.uint8), 3), size=self.predictor.crop_px))

    def predict(self, crops: NDArray[np.float32]) -> Columns:
        """Return the columns of `ShapePredictor` and of `redraw` for crops of `nanolake.shape.cut`.

        (n, crop_px, crop_px) float32 in 0 … 1; the same numbers as `predict_particles` gives.
        """
        found = self.predictor(crops)
        return {**found, **redraw(crops, found["p"], found["d"], found["L_ratio"])}

    def about_crops(self) -> dict[str, Any]:
        """Return what goes with the columns of crops."""
        return {"model": self._model_name()}

    def model(self) -> dict[str, Any]:
        """Return what answers, what it was trained on and what it refuses."""
        told = self.settings.model_dump(mode="json", include=_LIMITS)
        return {
            **self._model_name(),
            "source": self.source,
            "card": self.predictor.card,
            "crop_px": self.predictor.crop_px,
            "segmentation": {
                "settings": self.settings.segment.model_dump(mode="json"),
                "model_id": self._segmenter_id,
            },
            "limits": {**told, "min_side_px": self._ingest.min_side_px},
            "formats": sorted(picture_suffixes()),
            "nanolake": __version__,
        }

    def micrograph(self, asked: MicrographRequest) -> Answer:
        """Segment, measure and describe one picture; raises `RefusedError`."""
        if not asked.picture:
            raise RefusedError(
                422, "empty", "the picture is empty", 0, "send a picture file's bytes"
            )
        try:
            with tempfile.TemporaryDirectory(prefix="nanolake-") as folder:
                picture = self._read(asked, Path(folder))
                found = self._find(picture, asked, Path(folder))
        except PictureError as error:
            raise of_picture(error, asked.name) from None
        size, features, shapes = measure_particles(
            picture, found, asked.pixel_size_nm, self.predictor
        )
        kept = features if asked.features else {name: features[name] for name in _BRIEF}
        return Answer(
            rows="particles",
            about=self._about(asked, picture, found, size),
            columns={**_ordered(kept), **found_columns(found), **shapes},
        )

    def _read(self, asked: MicrographRequest, folder: Path) -> Picture:
        path = folder / _plain(asked.name)
        path.write_bytes(asked.picture)
        frame = asked.frame or 0
        picture = next(islice(read_pictures(path, self._ingest), frame, None), None)
        if picture is None:
            told = "frames count from 0"
            raise RefusedError(422, "frame", "the file has no such frame", frame, told)
        if asked.frame is None and picture.frame_count > 1:
            what, told = "the file holds several pictures", "name one: /micrograph?frame=0"
            raise RefusedError(422, "frame", what, picture.frame_count, told)
        check_pixels(picture.pixels, self._ingest)
        return picture

    def _find(self, picture: Picture, asked: MicrographRequest, folder: Path) -> Segmentation:
        if asked.labels is None:
            self._require_memory(picture)
            return find_particles(picture, None, self.settings.segment)
        path = folder / f"labels{_labels_ending(asked.labels)}"
        path.write_bytes(asked.labels)
        told = "send a TIFF or PNG of the picture's size: whole numbers, 0 for background"
        try:
            shape = _header_shape(path)
            if shape != picture.pixels.shape:  # before any value is unpacked
                raise SettingsError(f"{shape} in place of the picture's {picture.pixels.shape}")
            found = find_particles(picture, read_labels(path), labels_name="the request")
            labelled(found.labels)  # numbers far above the pixels would each take memory
            return found
        except (SettingsError, PictureError) as error:
            text = str(error).replace(str(path), "the label image")
            raise RefusedError(422, "bad_labels", text, asked.labels_name, told) from None

    def _require_memory(self, picture: Picture) -> None:
        height, width = picture.pixels.shape
        needed, free = predicted_bytes(height, width, self.settings.segment), available_bytes()
        if free is not None and needed > free:
            told = f"{free / 1e9:.2f} GB are free: try again later, or send a smaller picture"
            what = f"{height} x {width} px take more memory than there is"
            raise RefusedError(503, "memory", what, f"{needed / 1e9:.2f} GB", told)

    def _about(
        self, asked: MicrographRequest, picture: Picture, found: Segmentation, size: PixelSize
    ) -> dict[str, Any]:
        height, width = picture.pixels.shape
        return {
            "model": self._model_name(),
            "picture": {
                "name": asked.name,
                "height_px": height,
                "width_px": width,
                "frame": picture.frame,
                "frame_count": picture.frame_count,
                "reader": picture.reader,
            },
            "pixel_size": {
                "y_nm": size.y_nm,
                "x_nm": size.x_nm,
                "trust": size.trust.value,
                "source": size.source,
            },
            "segmentation": {
                "method": found.method,
                "model_id": None if asked.labels is not None else self._segmenter_id,
                "polarity": found.polarity,
                "particle_count": found.count,
                "excluded": {why: int(number) for why, number in found.excluded.items()},
            },
        }

    def _model_name(self) -> dict[str, str]:
        return {"name": self.predictor.name, "model_id": self.predictor.model_id}


_LIMITS = {"max_bytes", "max_pixels", "max_crops", "max_crop_requests", "max_micrograph_requests"}


def _ordered(features: Mapping[str, NDArray[Any]]) -> Columns:
    """Return columns in the order of the data dictionary, the label first."""
    known: Sequence[str] = ("label", *get_table("particle").column_names)
    return {name: features[name] for name in dict.fromkeys(known) if name in features}


_PNG = b"\x89PNG\r\n\x1a\n"


def _labels_ending(content: bytes) -> str:
    return ".png" if content.startswith(_PNG) else ".tif"


def _header_shape(path: Path) -> tuple[int, ...]:
    """Return what the header says: a few bytes can ask for more memory than there is."""
    import tifffile

    try:
        if path.suffix == ".png":
            width, height = struct.unpack(">II", path.read_bytes()[16:24])
            return height, width
        with tifffile.TiffFile(path) as file:
            return tuple(file.series[0].shape)
    except Exception as error:  # struct's own, and tifffile raises what it likes
        raise PictureError("unreadable", f"no TIFF and no PNG: {error}") from None


_PLAIN_SIGNS = frozenset(string.ascii_letters + string.digits + "._-")


def _plain(name: str) -> str:
    """Return a file name without folders, in characters that mean nothing elsewhere.

    At most 100 of them, ASCII: file systems count bytes.

    >>> _plain("../a b/Pd cubes (1).dm4"), _plain("..")
    ('Pd_cubes__1_.dm4', 'picture')
    """
    last = name.replace("\\", "/").rpartition("/")[2][-100:]
    plain = "".join(sign if sign in _PLAIN_SIGNS else "_" for sign in last)
    return plain if plain.strip(".") else "picture"
