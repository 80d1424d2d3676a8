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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import LakeError
from nanolake.storage.folders import Folder, LocalFolder, open_folder, room

if TYPE_CHECKING:
    import xarray as xr

CHUNK_PX = 512
OME_VERSION = "0.5"
SHARD = "0/c/0/0"
"""The one file, below a picture's own path, that holds its pixels."""


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
    """Micrographs and their label images under one root: a folder, or ``s3://BUCKET/PREFIX``."""

    def __init__(self, root: Path | str | Folder) -> None:
        self.folder: Folder = open_folder(root) if isinstance(root, str | Path) else root

    @property
    def url(self) -> str:
        """What workers are handed to open the same store."""
        return self.folder.url

    @property
    def root(self) -> Path:
        """The local folder; raises `LakeError` where the pixels lie on S3."""
        if not isinstance(self.folder, LocalFolder):
            raise LakeError(f"the pixels lie at {self.folder.where('')}, not in a local folder")
        return self.folder.root

    def where(self, path: str) -> str:
        """Return how to name a picture to a person."""
        return self.folder.where(path)

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
        ome = multiscales(micrograph_id, pixel_size_nm)
        with room(self.where(image)):
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
        if not self.folder.exists(f"{image}/zarr.json"):
            raise _missing(self.where(image))
        ome = label_multiscales(run_id, pixel_size_nm)
        with room(self.where(image)):
            stored = self._write_once(f"{image}/labels/{run_id}", labels, ome)
            self._list_labels(f"{image}/labels")
        return stored

    def read(self, path: str) -> NDArray[Any]:
        """Return the whole array (y, x) stored at ``path``; raise `LakeError` where it is not."""
        with self.folder.fetched(path) as folder:
            return read_array(folder, self.where(path))

    def open(self, path: str) -> xr.DataArray:
        """Return a lazy `xarray.DataArray` with dims ``y``, ``x``; in nm where calibrated.

        Raises `LakeError` where there is no such picture.
        """
        import xarray as xr

        if not self.folder.exists(f"{path}/{SHARD}"):
            raise _missing(self.where(path))
        store = self.folder.zarr_store(path)
        data: xr.DataArray = xr.open_zarr(store, consolidated=False, chunks=None)["0"]
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
            ome = _ome(self.folder.read(f"{path}/zarr.json"))
        except FileNotFoundError:
            raise _missing(self.where(path)) from None
        multiscale = ome["multiscales"][0]
        if "unit" not in multiscale["axes"][0]:
            return None
        y, x = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
        return float(y), float(x)

    def remove(self, path: str) -> None:
        """Remove a picture with its label images, or one label image and its name in the list."""
        self.folder.remove_below(path)
        labels, is_label, _ = path.rpartition("/labels/")
        if is_label and self.folder.exists(f"{labels}/labels/zarr.json"):
            self._list_labels(f"{labels}/labels")

    def _require_root(self, experiment_id: str) -> None:
        path = f"{experiment_id}.zarr/zarr.json"
        if not self.folder.exists(path):
            self.folder.create(path, group_json(None))

    def _write_once(self, path: str, pixels: NDArray[Any], ome: Mapping[str, Any]) -> StoredImage:
        if not pixels.size:
            raise LakeError(f"a picture of shape {pixels.shape} has no pixels: {path}")
        # The bytes of a picture are little-endian whatever the file was; so is its hash.
        pixels = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
        wanted = array_sha256(pixels)
        if not self.folder.exists(f"{path}/zarr.json"):
            with self.folder.staging(path) as made:
                _write_image(made, pixels, ome)
                _verify(made, self.where(path), wanted)
                self.folder.publish(made, path)
        with self.folder.fetched(path) as stored:
            _verify(stored, self.where(path), wanted)
            size = sum((stored / name).stat().st_size for name in (SHARD, "0/zarr.json"))
            if _ome((stored / "zarr.json").read_bytes()) != ome:  # a corrected pixel size
                self.folder.write(f"{path}/zarr.json", group_json(ome))
        return StoredImage(path=path, sha256=wanted, stored_bytes=size)

    def _list_labels(self, path: str) -> None:
        """Write the list of label images; once more where another run has come meanwhile."""
        listed: list[str] | None = None
        while True:
            names = (name for name in self.folder.children(path) if name[0] != ".")
            runs = [name for name in names if self.folder.exists(f"{path}/{name}/zarr.json")]
            if runs == listed:
                return
            self.folder.write(
                f"{path}/zarr.json", group_json({"version": OME_VERSION, "labels": runs})
            )
            listed = runs


def _ome(group: bytes) -> dict[str, Any]:
    ome: dict[str, Any] = json.loads(group)["attributes"]["ome"]
    return ome


def group_json(ome: Mapping[str, Any] | None) -> bytes:
    """Return a Zarr v3 group's metadata."""
    attributes = {"ome": ome} if ome is not None else {}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return json.dumps(group, indent=2).encode()


def _write_image(folder: Path, pixels: NDArray[Any], ome: Mapping[str, Any]) -> None:
    (folder / "zarr.json").write_bytes(group_json(ome))
    with fast_codecs():
        # An all-zero picture has its shard too: a shard that is not there is a lost one.
        # (The compiled pipeline leaves out chunks of the fill value whatever Zarr is told.)
        fill = 0 if pixels.any() else 1
        array = create_array(str(folder / "0"), pixels.shape, pixels.dtype, fill)
        array[...] = pixels


def create_array(store: Any, shape: tuple[int, ...], dtype: Any, fill: int) -> Any:
    """Make the array of one picture, one shard in inner chunks, in what Zarr takes as a store."""
    import zarr
    from zarr.codecs import BloscCodec

    chunks = tuple(min(CHUNK_PX, side) for side in shape)
    shard = tuple(-(-side // c) * c for side, c in zip(shape, chunks, strict=True))
    return zarr.create_array(
        store,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shard,
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        dimension_names=["y", "x"],
        zarr_format=3,
        fill_value=fill,
    )


def _missing(where: str) -> LakeError:
    return LakeError(f"no picture at {where}: was it moved?")


def read_array(folder: Path, where: str) -> NDArray[Any]:
    """Read a picture; Zarr alone would take a missing shard for zeros."""
    import zarr

    if not (folder / SHARD).is_file():
        raise _missing(where)
    try:
        with fast_codecs():
            return np.asarray(zarr.open_array(str(folder / "0"), mode="r")[...])
    except FileNotFoundError:
        raise _missing(where) from None
    except (RuntimeError, ValueError, KeyError) as error:  # what the codecs raise on bad bytes
        raise LakeError(f"the picture at {where} is damaged: {error}") from error


def _verify(folder: Path, where: str, wanted: str) -> None:
    found = array_sha256(read_array(folder, where))
    if found != wanted:
        raise LakeError(
            f"{where} holds other pixels than were to be written ({found[:12]} instead of "
            f"{wanted[:12]}): the disk is faulty, or two pictures share one id"
        )


def label_multiscales(name: str, pixel_size_nm: tuple[float, float] | None) -> dict[str, Any]:
    """Return the metadata of a label image."""
    return multiscales(name, pixel_size_nm) | {
        "image-label": {
            "colors": [{"label-value": 0, "rgba": [0, 0, 0, 0]}],
            "source": {"image": "../../"},
        }
    }


def multiscales(name: str, pixel_size_nm: tuple[float, float] | None) -> dict[str, Any]:
    """Return the metadata of a picture of one resolution; ``pixel_size_nm`` is (y, x)."""
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
def fast_codecs() -> Iterator[None]:
    """Use the compiled codec pipeline: without it a sharded picture reads three times slower."""
    import zarr
    import zarrs  # noqa: F401  (registers the pipeline)

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield
