"""From the body of a request to mask crops, or to a refusal that says what is wrong with them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nanolake.serve.refusals import RefusedError

RAW, NPY = "application/octet-stream", ("application/x-npy", "application/npy")
DTYPES: Mapping[str, str] = {"float32": "<f4", "uint8": "|u1"}
"""Name in the header X-Dtype to NumPy's: little endian."""
_HOW = (
    "send crops of nanolake.shape.cut; for particles that are not cut yet, send their label image "
    "to /micrograph"
)
_FULL = 255.0


def read_crops(
    headers: Mapping[str, str], body: bytes, *, crop_px: int, max_crops: int
) -> NDArray[np.float32]:
    """Return the crops of a request, (n, crop_px, crop_px) float32 in 0 … 1, n at least 1.

    ``headers`` in lower case. The body is ``application/x-npy``, or ``application/octet-stream``
    with the headers ``X-Shape: n,y,x`` and ``X-Dtype: float32`` (0 … 1) or ``uint8`` (0 … 255: the
    share of a pixel that the particle covers, 255 for all of it). Raises `RefusedError`.
    """
    if not body:
        raise RefusedError(422, "empty", "the body is empty", 0, _HOW)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in NPY:
        shape, order, flat = _npy(body)
    elif kind in (RAW, ""):
        shape, order, flat = _raw(headers, body)
    else:
        known = f"send {RAW} with X-Shape and X-Dtype, or {NPY[0]}"
        raise RefusedError(415, "unknown_type", "crops cannot be read from this type", kind, known)
    _check_shape(shape, crop_px, max_crops)  # before `reshape`, which takes 64 axes at most
    return _checked(flat.reshape(shape, order=order))


def _npy(body: bytes) -> tuple[tuple[int, ...], Literal["C", "F"], NDArray[Any]]:
    shape, fortran, dtype, start = _npy_header(body)
    if dtype.kind != "f" and dtype not in (np.uint8, np.bool_):
        told = "convert the crops to float32 (0 … 1), bool, or uint8 (0 … 255)"
        raise RefusedError(422, "wrong_dtype", "crops of this type are not taken", str(dtype), told)
    wanted = math.prod(shape) * dtype.itemsize
    if len(body) - start != wanted:
        told = f"its header asks for {wanted} bytes of crops"
        raise RefusedError(
            422, "wrong_length", "the file has another length", len(body) - start, told
        )
    return shape, "F" if fortran else "C", np.frombuffer(body, dtype, offset=start)


def _npy_header(body: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, order, type and where the values begin; no value is read, nothing unpickled."""
    file = io.BytesIO(body)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        shape, fortran, dtype = headers[np.lib.format.read_magic(file)](file)
    except Exception as error:  # NumPy raises what it likes on damaged headers
        told = "save the crops with numpy.save, as float32 or uint8"
        raise RefusedError(422, "bad_npy", "the body is no .npy file", str(error), told) from None
    return shape, fortran, dtype, file.tell()


def _raw(
    headers: Mapping[str, str], body: bytes
) -> tuple[tuple[int, ...], Literal["C", "F"], NDArray[Any]]:
    shape = _shape(headers.get("x-shape"))
    name = headers.get("x-dtype", "")
    if name not in DTYPES:
        told = f"send X-Dtype: {' or '.join(DTYPES)} (little endian)"
        raise RefusedError(
            400, "bad_header", "the header X-Dtype is missing or unknown", name, told
        )
    dtype = np.dtype(DTYPES[name])
    wanted = math.prod(shape) * dtype.itemsize
    if len(body) != wanted:
        told = f"X-Shape and X-Dtype ask for {wanted} bytes"
        raise RefusedError(422, "wrong_length", "the body has another length", len(body), told)
    return shape, "C", np.frombuffer(body, dtype)


def _shape(text: str | None) -> tuple[int, ...]:
    words = (text or "").split(",")
    if not all(word.strip().isdecimal() and len(word) < 10 for word in words):
        told = "send X-Shape: n,y,x, such as 64,64,64"
        raise RefusedError(
            400, "bad_header", "the header X-Shape is missing or no shape", text, told
        )
    return tuple(int(word) for word in words)


def _check_shape(shape: tuple[int, ...], crop_px: int, max_crops: int) -> None:
    if len(shape) != 3 or shape[1:] != (crop_px, crop_px):
        what = f"crops must have the shape (n, {crop_px}, {crop_px})"
        raise RefusedError(422, "wrong_shape", what, str(shape), _HOW)
    if shape[0] <= 0:
        raise RefusedError(422, "empty", "there is no crop", str(shape), _HOW)
    if shape[0] > max_crops:
        told = f"send at most {max_crops} crops a request"
        raise RefusedError(413, "too_many_crops", "too many crops", shape[0], told)


def _checked(crops: NDArray[Any]) -> NDArray[np.float32]:
    scale = np.float32(1.0 / _FULL) if crops.dtype == np.uint8 else np.float32(1.0)
    found = crops.astype(np.float32) * scale
    bad = ~np.isfinite(found).all(axis=(1, 2))
    if bad.any():
        told = "a crop holds the share of each pixel that the particle covers, 0 … 1"
        raise RefusedError(422, "not_finite", "crops hold NaN or infinity", _which(bad), told)
    bad = (found.min(axis=(1, 2)) < 0.0) | (found.max(axis=(1, 2)) > 1.0)
    if bad.any():
        told = "float crops go from 0 to 1; send uint8 where yours go from 0 to 255"
        raise RefusedError(422, "out_of_range", "crops lie outside 0 … 1", _which(bad), told)
    bad = found.max(axis=(1, 2)) < 0.5
    if bad.any():
        told = "a pixel is inside from 0.5 (uint8: 128); multiply a mask of 0 and 1 by 255"
        raise RefusedError(422, "empty_crop", "crops show no particle", _which(bad), told)
    return found


def _which(bad: NDArray[np.bool_]) -> str:
    """Name the first few crops.

    >>> _which(np.array([False, True, True]))
    'crops 1, 2'
    """
    places = np.flatnonzero(bad)
    more = f" and {places.size - 5} more" if places.size > 5 else ""
    return f"crops {', '.join(map(str, places[:5].tolist()))}{more}"
