"""TIFF, through tifffile: pages, stacks and the pixels; scales are in `tiff_scale`."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.ingest.readers.protocol import (
    check_bytes,
    check_real,
    check_size,
    numbered,
    refuse,
    to_grey,
    to_kept_dtype,
)
from nanolake.ingest.readers.tiff_scale import describe
from nanolake.ingest.settings import IngestSettings
from nanolake.records import Picture

_PALETTE, _MIN_IS_WHITE = 3, 0


def check_header(path: Path, settings: IngestSettings) -> None:
    """Refuse a TIFF file by its header alone (``truncated``, ``too_large``, ``not_an_image``)."""
    with _opened(path) as tiff:
        _check_pages(path, tiff, settings)


class TiffReader:
    """Reads TIFF, BigTIFF, ImageJ and OME-TIFF; every plane is a picture.

    Reduced copies (thumbnails, pyramid levels) are passed over, and so is the colour copy that
    Olympus writes in front of its data.
    """

    name = "tiff"
    suffixes = frozenset({".tif", ".tiff", ".btf", ".tf8"})

    def sniff(self, head: bytes) -> bool:
        """Byte order and the number 42 (TIFF) or 43 (BigTIFF)."""
        return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

    def read(self, path: Path, settings: IngestSettings) -> Iterator[Picture]:
        """Yield one picture a plane."""
        with _opened(path) as tiff:
            _check_pages(path, tiff, settings)
            chosen = _chosen(path, tiff)
            for series in chosen:
                _check_series(path, series, settings)
            count = sum(_plane_count(series) for series in chosen)
            _check_imagej(path, tiff, count)
            yield from numbered(_pictures(path, tiff, chosen, settings), count)


def _opened(path: Path) -> Any:
    import tifffile

    # What it logs of a damaged file we raise, or it does not concern the pixels.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        return tifffile.TiffFile(path)
    except (tifffile.TiffFileError, IndexError, struct.error) as error:
        refuse("truncated", path, f"the TIFF directory is not whole: {error}")


def _check_pages(path: Path, tiff: Any, settings: IngestSettings) -> None:
    # Before tifffile builds its series, which may already read from the pages.
    try:
        first = tiff.pages[0]
    except (IndexError, ValueError) as error:
        refuse("truncated", path, f"the TIFF holds no whole page: {error}")
    check_size(path, first.imagelength, first.imagewidth, settings)
    _check_chain(path, tiff)


def _check_chain(path: Path, tiff: Any) -> None:
    """Refuse a file whose last page names a next one that is not there.

    tifffile takes such a file for a shorter one: a stack would silently lose its end.
    """
    layout, last = tiff.tiff, tiff.pages[len(tiff.pages) - 1]
    tiff.filehandle.seek(last.offset)
    (tags,) = struct.unpack(layout.tagnoformat, tiff.filehandle.read(layout.tagnosize))
    tiff.filehandle.seek(last.offset + layout.tagnosize + tags * layout.tagsize)
    following = tiff.filehandle.read(layout.offsetsize)
    if len(following) < layout.offsetsize:
        refuse("truncated", path, "the TIFF directory is not whole")
    if struct.unpack(layout.offsetformat, following)[0] >= path.stat().st_size:
        refuse("truncated", path, f"pages are missing after the first {len(tiff.pages)}")


def _check_imagej(path: Path, tiff: Any, count: int) -> None:
    # ImageJ may write one page for a whole stack and say in words how many images it holds.
    said = (tiff.imagej_metadata or {}).get("images", 1)
    if isinstance(said, int) and said > count:
        refuse("truncated", path, f"ImageJ says that it holds {said} images, {count} are there")


def _chosen(path: Path, tiff: Any) -> list[Any]:
    every = [series for series in tiff.series if "Y" in series.axes and "X" in series.axes]
    if not every:
        refuse("not_an_image", path, "the TIFF holds no picture")
    full = [series for series in every if not series.keyframe.is_reduced] or every
    return [series for series in full if series.keyframe.is_sis] or full


def _check_series(path: Path, series: Any, settings: IngestSettings) -> None:
    height, width = (series.shape[series.axes.index(axis)] for axis in "YX")
    check_real(path, series.dtype)
    check_size(path, height, width, settings)
    if series.dataoffset is not None:
        check_bytes(path, series.dataoffset + series.nbytes)
    for page in series.pages:
        if page is not None and len(page.dataoffsets):
            ends = zip(page.dataoffsets, page.databytecounts, strict=False)
            check_bytes(path, max(offset + count for offset, count in ends))


def _plane_count(series: Any) -> int:
    return prod(
        side for axis, side in zip(series.axes, series.shape, strict=True) if axis not in "YXS"
    )


def _pictures(
    path: Path, tiff: Any, chosen: list[Any], settings: IngestSettings
) -> Iterator[Picture]:
    for series in chosen:
        size, metadata = describe(path, tiff, series.keyframe, settings)
        for plane in _planes(path, series, settings):
            grey = to_kept_dtype(to_grey(_displayed(plane, series.keyframe)))
            yield Picture(pixels=grey, pixel_size=size, metadata=metadata, reader="tiff")


def _planes(path: Path, series: Any, settings: IngestSettings) -> Iterator[NDArray[Any]]:
    """Yield planes (y, x) or (y, x, channels), page by page wherever the file allows."""
    count = _plane_count(series)
    pages = [page for page in series.pages if page is not None]
    if series.dataoffset is not None and count > 1:
        stack = np.memmap(
            path, series.dtype.newbyteorder(_order(series)), "r", series.dataoffset, series.shape
        )
        yield from (np.array(plane) for plane in _in_order(stack, series.axes))
    elif len(pages) == count:
        axes = series.axes.lstrip("".join(set(series.axes) - set("YXS")))
        for page in pages:
            yield next(_in_order(page.asarray().reshape(_page_shape(series, axes)), axes))
    else:
        values = prod(series.shape)
        if values > settings.max_pixels:
            refuse("too_large", path, f"a stack of {values} values that can only be read whole")
        yield from _in_order(series.asarray(), series.axes)


def _page_shape(series: Any, axes: str) -> tuple[int, ...]:
    return tuple(series.shape[series.axes.index(axis)] for axis in axes)


def _order(series: Any) -> str:
    return str(series.keyframe.parent.byteorder)


def _in_order(stack: NDArray[Any], axes: str) -> Iterator[NDArray[Any]]:
    """Bring Y, X and (where there is one) S to the end and yield what is before them."""
    tail = "YXS" if "S" in axes else "YX"
    front = [n for n, axis in enumerate(axes) if axis not in tail]
    stack = np.transpose(stack, front + [axes.index(axis) for axis in tail])
    yield from stack.reshape(-1, *stack.shape[len(front) :])


def _displayed(plane: NDArray[Any], page: Any) -> NDArray[Any]:
    """Apply what the file says about its values: a palette, or white at zero."""
    if page.photometric == _PALETTE and page.colormap is not None and plane.ndim == 2:
        return np.asarray(np.moveaxis(page.colormap[:, plane], 0, -1) >> 8, dtype=np.uint8)
    if page.photometric == _MIN_IS_WHITE and plane.dtype.kind in "ub":
        return np.asarray(np.invert(plane))
    return plane
