"""Pixels: micrographs and label images as OME-Zarr 0.5, one shard a picture.

Layout below the store's root::

    <experiment_id>.zarr/<micrograph_id>/0                       pixels
    <experiment_id>.zarr/<micrograph_id>/labels/<run_id>/0       label image of one segmentation run

One task owns one whole micrograph, and one shard is one whole picture, so no two writers ever
touch one file. A picture is written under a temporary name, read back, compared by hash and
renamed; it is never rewritten. Arrays are (y, x), origin top left.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import LakeError

if TYPE_CHECKING:
    import xarray as xr

CHUNK_PX = 512
OME_VERSION = "0.5"


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """Where an array lies and what it must hash to. ``path`` is relative to the store's root."""

    path: str
    sha256: str
    stored_bytes: int


def array_sha256(array: NDArray[Any]) -> str:
    """Return the SHA-256 of dtype, shape and C-ordered bytes of an array."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class ImageStore:
    """Micrographs and their label images under one root folder."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def write(
        self,
        experiment_id: str,
        micrograph_id: str,
        pixels: NDArray[Any],
        pixel_size_nm: tuple[float, float] | None = None,
    ) -> StoredImage:
        """Store a micrograph (y, x); where it already lies, check that it is the same.

        ``pixel_size_nm`` is (y, x) or None where unknown. Raises `LakeError` where another
        picture lies under the same id, or what was written does not read back the same.
        """
        image = f"{experiment_id}.zarr/{micrograph_id}"
        ome = _multiscales(micrograph_id, pixel_size_nm)
        self._require_root(experiment_id)
        return self._write_once(image, pixels, ome)

    def write_labels(
        self,
        image: str,
        run_id: str,
        labels: NDArray[Any],
        pixel_size_nm: tuple[float, float] | None = None,
    ) -> StoredImage:
        """Store the label image (y, x) of one segmentation run beside its micrograph ``image``.

        Raises `LakeError` where there is no such micrograph, or as `write` does.
        """
        if not _is_group(self.root / image):
            raise _missing(self.root / image)
        ome = _multiscales(run_id, pixel_size_nm) | {
            "image-label": {
                "colors": [{"label-value": 0, "rgba": [0, 0, 0, 0]}],
                "source": {"image": "../../"},
            }
        }
        folder = self.root / image / "labels"
        stored = self._write_once(f"{image}/labels/{run_id}", labels, ome)
        _list_labels(folder)
        return stored

    def read(self, path: str) -> NDArray[Any]:
        """Return the whole array (y, x) stored at ``path``; raise `LakeError` where it is not."""
        return _read_array(self.root / path)

    def open(self, path: str) -> xr.DataArray:
        """Return a lazy `xarray.DataArray` with dims ``y``, ``x``; in nm where calibrated.

        Raises `LakeError` where there is no such picture.
        """
        import xarray as xr

        if not _shard(self.root / path).is_file():
            raise _missing(self.root / path)
        data: xr.DataArray = xr.open_zarr(str(self.root / path), consolidated=False, chunks=None)[
            "0"
        ]
        scale = self.scale_nm(path)
        if scale is None:
            uncalibrated: xr.DataArray = data.assign_attrs(units="px")
            return uncalibrated
        coords = {
            axis: (axis, np.arange(data.sizes[axis]) * step, {"units": "nm"})
            for axis, step in zip(("y", "x"), scale, strict=True)
        }
        calibrated: xr.DataArray = data.assign_coords(coords)
        return calibrated

    def scale_nm(self, path: str) -> tuple[float, float] | None:
        """Return the pixel size (y, x) in nm that stands in the picture's own metadata."""
        try:
            text = (self.root / path / "zarr.json").read_text()
        except FileNotFoundError:
            raise _missing(self.root / path) from None
        ome = json.loads(text)["attributes"]["ome"]
        multiscale = ome["multiscales"][0]
        if "unit" not in multiscale["axes"][0]:
            return None
        y, x = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
        return float(y), float(x)

    def _require_root(self, experiment_id: str) -> None:
        folder = self.root / f"{experiment_id}.zarr"
        if not _is_group(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _write_group(folder, None)

    def _write_once(self, path: str, pixels: NDArray[Any], ome: Mapping[str, Any]) -> StoredImage:
        if not pixels.size:
            raise LakeError(f"a picture of shape {pixels.shape} has no pixels: {path}")
        # The bytes of a picture are little-endian whatever the file was; so is its hash.
        pixels = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
        wanted = array_sha256(pixels)
        final = self.root / path
        if not final.exists():
            temporary = final.parent / f".writing-{final.name}-{uuid.uuid4().hex[:8]}"
            try:
                _write_image(temporary, pixels, ome)
                _verify(temporary, wanted)
                temporary.rename(final)
            except OSError:
                if not final.exists():  # else somebody else finished the same picture first
                    raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        _verify(final, wanted)
        _correct_scale(final, ome)
        size = sum(file.stat().st_size for file in (final / "0").rglob("*") if file.is_file())
        return StoredImage(path=path, sha256=wanted, stored_bytes=size)


def _is_group(folder: Path) -> bool:
    """Whether a finished Zarr group lies there; one being written begins with a dot."""
    return not folder.name.startswith(".") and (folder / "zarr.json").is_file()


def _write_group(folder: Path, ome: Mapping[str, Any] | None) -> None:
    """Write a Zarr v3 group's metadata in one atomic step."""
    attributes = {"ome": ome} if ome is not None else {}
    text = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=2)
    temporary = folder / f".zarr.json-{uuid.uuid4().hex[:8]}"
    temporary.write_text(text)
    temporary.replace(folder / "zarr.json")


def _write_image(folder: Path, pixels: NDArray[Any], ome: Mapping[str, Any]) -> None:
    import zarr
    from zarr.codecs import BloscCodec

    folder.mkdir(parents=True)
    _write_group(folder, ome)
    chunks = tuple(min(CHUNK_PX, side) for side in pixels.shape)
    shard = tuple(-(-side // c) * c for side, c in zip(pixels.shape, chunks, strict=True))
    with _fast_codecs():
        array = zarr.create_array(
            str(folder / "0"),
            shape=pixels.shape,
            dtype=pixels.dtype,
            chunks=chunks,
            shards=shard,
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
            dimension_names=["y", "x"],
            zarr_format=3,
            # An all-zero picture has its shard too: a shard that is not there is a lost one.
            # (The compiled pipeline leaves out chunks of the fill value whatever Zarr is told.)
            fill_value=0 if pixels.any() else 1,
        )
        array[...] = pixels


def _shard(folder: Path) -> Path:
    """Return the one file that holds the pixels of the picture in ``folder``."""
    return folder / "0" / "c" / "0" / "0"


def _missing(folder: Path) -> LakeError:
    return LakeError(f"no picture at {folder}: was it moved?")


def _read_array(folder: Path) -> NDArray[Any]:
    """Read a picture; Zarr alone would take a missing shard for zeros."""
    import zarr

    if not _shard(folder).is_file():
        raise _missing(folder)
    try:
        with _fast_codecs():
            return np.asarray(zarr.open_array(str(folder / "0"), mode="r")[...])
    except FileNotFoundError:
        raise _missing(folder) from None
    except (RuntimeError, ValueError, KeyError) as error:  # what the codecs raise on bad bytes
        raise LakeError(f"the picture at {folder} is damaged: {error}") from error


def _list_labels(folder: Path) -> None:
    """Write the list of label images; once more where another run has come meanwhile."""
    listed: list[str] | None = None
    while True:
        runs = sorted(p.name for p in folder.iterdir() if p.name[0] != "." and _is_group(p))
        if runs == listed:
            return
        _write_group(folder, {"version": OME_VERSION, "labels": runs})
        listed = runs


def _correct_scale(folder: Path, ome: Mapping[str, Any]) -> None:
    """Let the metadata of a picture that lay there already follow a corrected pixel size."""
    stored = json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]
    if stored != ome:
        _write_group(folder, ome)


def _verify(folder: Path, wanted: str) -> None:
    found = array_sha256(_read_array(folder))
    if found != wanted:
        raise LakeError(
            f"{folder} holds other pixels than were to be written ({found[:12]} instead of "
            f"{wanted[:12]}): the disk is faulty, or two pictures share one id"
        )


def _multiscales(name: str, pixel_size_nm: tuple[float, float] | None) -> dict[str, Any]:
    unit = {} if pixel_size_nm is None else {"unit": "nanometer"}
    scale = [1.0, 1.0] if pixel_size_nm is None else [float(side) for side in pixel_size_nm]
    return {
        "version": OME_VERSION,
        "multiscales": [
            {
                "name": name,
                "axes": [{"name": axis, "type": "space", **unit} for axis in ("y", "x")],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [{"type": "scale", "scale": scale}],
                    }
                ],
            }
        ],
    }


@contextmanager
def _fast_codecs() -> Iterator[None]:
    """Use the compiled codec pipeline: without it a sharded picture reads three times slower."""
    import zarr
    import zarrs  # noqa: F401  (registers the pipeline)

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield
