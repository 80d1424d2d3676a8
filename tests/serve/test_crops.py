"""Crops of a request: what is read, and what each wrong one is told. No HTTP, no Ray."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nanolake.serve.crops import read_crops
from nanolake.serve.multipart import read_parts
from nanolake.serve.refusals import RefusedError

SIDE = 8
RAW = "application/octet-stream"


def read(body: bytes, **headers: str) -> NDArray[np.float32]:
    plain = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_crops(plain, body, crop_px=SIDE, max_crops=3)


def squares(count: int = 2, inside: float = 1.0) -> NDArray[np.float32]:
    """Crops with a square of 4 x 4 pixels in the middle."""
    crops = np.zeros((count, SIDE, SIDE), np.float32)
    crops[:, 2:6, 2:6] = inside
    return crops


def npy(values: NDArray[Any], **how: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **how)
    return file.getvalue()


def npy_of(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    """A header that asks for ``shape``, and 64 bytes."""
    file = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(64)


def test_raw_floats_raw_bytes_and_npy_are_the_same_crops() -> None:
    wanted = squares()
    as_bytes = (wanted * 255).astype(np.uint8)
    shape = f"2,{SIDE},{SIDE}"
    found = [
        read(wanted.tobytes(), content_type=RAW, x_shape=shape, x_dtype="float32"),
        read(as_bytes.tobytes(), x_shape=shape, x_dtype="uint8"),
        *(
            read(npy(values), content_type="application/x-npy; q=1")
            for values in (wanted, as_bytes, wanted > 0.5, wanted.astype(">f8"))
        ),
        read(npy(np.asfortranarray(wanted)), content_type="application/npy"),
    ]
    for crops in found:
        assert crops.dtype == np.float32
        np.testing.assert_array_equal(crops, wanted)


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 422, "empty"),
        (b"x", {"content_type": "text/plain"}, 415, "unknown_type"),
        (b"x", {"x_dtype": "uint8"}, 400, "bad_header"),  # no shape
        (b"x", {"x_shape": "1,-8,8", "x_dtype": "uint8"}, 400, "bad_header"),
        (b"x", {"x_shape": "1,8,8", "x_dtype": "int64"}, 400, "bad_header"),
        (b"x", {"x_shape": "1,8,8", "x_dtype": "uint8"}, 422, "wrong_length"),
        (bytes(49), {"x_shape": "1,7,7", "x_dtype": "uint8"}, 422, "wrong_shape"),
        (bytes(64), {"x_shape": "8,8", "x_dtype": "uint8"}, 422, "wrong_shape"),
        (b"x", {"x_shape": ",".join("1" * 70), "x_dtype": "uint8"}, 422, "wrong_shape"),
        (npy_of((-1, -SIDE, SIDE)), {"content_type": "application/npy"}, 422, "wrong_shape"),
        (npy(np.zeros((0, SIDE, SIDE), "f4")), {"content_type": "application/npy"}, 422, "empty"),
        (bytes(256), {"x_shape": "4,8,8", "x_dtype": "uint8"}, 413, "too_many_crops"),
        (b"not a npy file", {"content_type": "application/x-npy"}, 422, "bad_npy"),
        (npy(squares())[:-5], {"content_type": "application/x-npy"}, 422, "wrong_length"),
        (npy(squares().astype(complex)), {"content_type": "application/npy"}, 422, "wrong_dtype"),
        (npy(np.array([{}, 1])), {"content_type": "application/npy"}, 422, "wrong_dtype"),
        (npy(squares() * np.nan), {"content_type": "application/npy"}, 422, "not_finite"),
        (npy(squares() * 255), {"content_type": "application/npy"}, 422, "out_of_range"),
        (npy(-squares()), {"content_type": "application/npy"}, 422, "out_of_range"),
        # A mask of 0 and 1 sent as bytes: 1 of 255 is next to nothing.
        (npy(squares().astype("u1")), {"content_type": "application/npy"}, 422, "empty_crop"),
    ],
)
def test_what_is_wrong_with_crops_is_said(
    body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        read(body, **headers)
    error = refused.value
    assert (error.status, error.code) == (status, code)
    assert error.what
    assert error.remedy
    assert error.as_dict()["error"]["value"] == error.value


def test_the_crops_at_fault_are_named() -> None:
    crops = np.concatenate([squares(1), squares(2, inside=0.2)])
    with pytest.raises(RefusedError, match="crops 1, 2"):
        read(npy(crops), content_type="application/x-npy")


def test_a_header_that_asks_for_terabytes_costs_nothing() -> None:
    body = npy_of((10**9, SIDE, SIDE), "<f4")
    with pytest.raises(RefusedError, match="256000000000 bytes"):
        read(body, content_type="application/x-npy")


def test_a_refusal_crosses_processes() -> None:
    error = RefusedError(422, "empty", "what", 0, "remedy")
    again = pickle.loads(pickle.dumps(error))
    assert (again.as_dict(), again.status, again.headers) == (error.as_dict(), 422, {})
    assert RefusedError(503, "busy", "", 0, "").headers == {"Retry-After": "2"}


def form(*parts: tuple[str, bytes], boundary: str = "b0") -> bytes:
    """Write a form by hand as RFC 7578 has it."""
    body = b""
    for head, content in parts:
        body += f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n".encode()
        body += b"Content-Type: image/tiff\r\n\r\n" + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def test_the_parts_of_a_form_keep_their_bytes() -> None:
    picture = b"\r\n--b\r\n\x00\xff\r\n\r\n--b1\n"  # all but the boundary
    body = form(('name="picture"; filename="a b.tif"', picture), ('name="labels"', b""))
    parts = read_parts(body, 'multipart/form-data; boundary="b0"')
    assert list(parts) == ["picture", "labels"]
    assert (parts["picture"].filename, parts["picture"].content) == ("a b.tif", picture)
    assert (parts["labels"].filename, parts["labels"].content) == ("", b"")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(('name="picture"', b"x")), "multipart/form-data"),
        (form(('name="picture"', b"x"))[:-6], "multipart/form-data; boundary=b0"),
        (form(('name="picture"', b"x")), "multipart/form-data; boundary=other"),
        (form(('filename="a.tif"', b"x")), "multipart/form-data; boundary=b0"),
        (form(('name="a"', b"x"), ('name="a"', b"y")), "multipart/form-data; boundary=b0"),
        (b"", "multipart/form-data; boundary=b0"),
    ],
)
def test_a_damaged_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read_parts(body, content_type)
    assert (refused.value.status, refused.value.code) == (400, "bad_multipart")
