"""What the service answers, and what it refuses, over HTTP's own types in this process: no Ray."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
import tifffile
from numpy.typing import NDArray

pytest.importorskip("starlette", reason="needs the extra `serve`")

from starlette.requests import Request
from starlette.responses import Response

from nanolake.features import feature_columns
from nanolake.segment import SegmentSettings, segment
from nanolake.serve import ServeSettings, ShapeService, service
from nanolake.serve.answers import ARROW
from nanolake.serve.endpoints import Endpoints
from nanolake.shape import cut, predict_particles

LIMITS = ServeSettings(max_bytes=100_000, max_pixels=128 * 128, max_crops=20)
SHAPE_COLUMNS = ("p", "d", "L_ratio", "log_p_sd", "L_ratio_sd", "d_confidence", "d_probability",
                 "phi_rad", "jaccard")  # fmt: skip
Ask = Callable[..., Response]


@pytest.fixture(scope="module")
def held() -> ShapeService:
    return ShapeService(LIMITS)


@pytest.fixture(scope="module")
def ask(held: ShapeService) -> Ask:
    endpoints = Endpoints(held)

    def send(method: str, url: str, body: bytes = b"", **headers: str) -> Response:
        return asyncio.run(endpoints(request(method, url, body, **headers)))

    return send


def request(method: str, url: str, body: bytes = b"", **headers: str) -> Request:
    """Build what a server hands to an application (ASGI), the body in two pieces."""
    pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
    said = {"content-length": str(len(body))} | {k.replace("_", "-"): v for k, v in headers.items()}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    scope = {
        "type": "http",
        "method": method,
        "path": urlsplit(url).path,
        "query_string": urlsplit(url).query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in said.items()],
    }
    return Request(scope, receive)


def told(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.body)
    return found


def refused(response: Response) -> tuple[int, str]:
    error = told(response)["error"]
    assert set(error) == {"code", "what", "value", "remedy"}
    assert "Traceback" not in str(error)
    return response.status_code, error["code"]


def npy(values: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def tiff(values: NDArray[Any], **how: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **{"photometric": "minisblack", **how})
    return file.getvalue()


@pytest.fixture(scope="module")
def picture(labels: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Both, dark on a bright film with noise; uint16."""
    noise = np.random.default_rng(0).normal(0.0, 60.0, labels.shape)
    return np.rint(np.where(labels > 0, 800.0, 3000.0) + noise).astype(np.uint16)


def rows(answer: Mapping[str, Any], name: str) -> NDArray[Any]:
    return np.array(
        [row[name] for row in answer["particles" if "particles" in answer else "crops"]]
    )


def test_health_and_model_say_what_answers(ask: Ask, held: ShapeService) -> None:
    assert told(ask("GET", "/health")) == {"status": "ok", "model_id": held.predictor.model_id}
    model = told(ask("GET", "/model"))
    assert (model["model_id"], model["crop_px"]) == (held.predictor.model_id, 64)
    assert model["card"] == held.predictor.card
    assert model["limits"]["max_crops"] == 20
    assert {".tif", ".dm4", ".png"} <= set(model["formats"])


def test_crops_get_the_answer_of_the_predictor(
    ask: Ask, held: ShapeService, labels: NDArray[np.uint8]
) -> None:
    response = ask("POST", "/crops", npy(cut(labels)), content_type="application/x-npy")
    answer, wanted = told(response), predict_particles(None, labels, held.predictor)
    assert (response.status_code, answer["count"]) == (200, 2)
    assert answer["model"]["model_id"] == held.predictor.model_id
    for name in SHAPE_COLUMNS:
        np.testing.assert_array_equal(rows(answer, name).astype(wanted[name].dtype), wanted[name])
    as_bytes = ask(
        "POST", "/crops", npy(cut(labels)), content_type="application/x-npy", accept=ARROW
    )
    table = pa.ipc.open_stream(as_bytes.body).read_all()
    assert table.column_names == list(answer["crops"][0])
    assert json.loads(table.schema.metadata[b"nanolake"])["model"] == answer["model"]
    np.testing.assert_array_equal(table.column("p").to_numpy(), wanted["p"])
    np.testing.assert_array_equal(np.array(table.column("d_probability").to_pylist(), "f4"),
                                  wanted["d_probability"])  # fmt: skip


def test_a_label_image_is_measured_in_px_and_in_nm(
    ask: Ask, held: ShapeService, picture: NDArray[np.uint16], labels: NDArray[np.uint8]
) -> None:
    body, kind = form(picture=tiff(picture), labels=tiff(labels))
    without = told(ask("POST", "/micrograph", body, content_type=kind))
    answer = told(ask("POST", "/micrograph?pixel_size_nm=0.5", body, content_type=kind))
    assert (answer["count"], answer["segmentation"]["particle_count"]) == (2, 2)
    # A square of 15 px is 225 px^2, at 0.5 nm a pixel 56.25 nm^2.
    assert rows(answer, "area_px2")[1] == 225.0
    assert rows(answer, "area_nm2")[1] == pytest.approx(56.25)
    assert answer["pixel_size"] == {"y_nm": 0.5, "x_nm": 0.5, "trust": "sheet", "source": "sheet"}
    assert rows(without, "area_nm2").tolist() == [None, None]
    assert without["pixel_size"]["trust"] == "unknown"
    wanted = predict_particles(picture, labels, held.predictor)
    for name in SHAPE_COLUMNS:
        np.testing.assert_array_equal(rows(answer, name).astype(wanted[name].dtype), wanted[name])
    more = told(ask("POST", "/micrograph?features=true", body, content_type=kind))["particles"][0]
    assert set(more) > set(answer["particles"][0])
    assert set(feature_columns()) <= set(more)


def test_a_picture_is_segmented_as_the_lake_segments_it(
    ask: Ask, picture: NDArray[np.uint16]
) -> None:
    answer = told(ask("POST", "/micrograph?name=two.tif", tiff(picture)))
    found = segment(picture, SegmentSettings())
    told_of = answer["segmentation"]
    assert told_of["particle_count"] == answer["count"] == found.count > 0
    assert told_of["excluded"] == dict(found.excluded)
    assert (told_of["polarity"], answer["picture"]["name"]) == ("dark", "two.tif")
    assert rows(answer, "confidence") == pytest.approx(found.confidence)
    assert rows(answer, "overlap") == pytest.approx(found.overlap)


def form(**files: bytes) -> tuple[bytes, str]:
    body = b"".join(
        f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.tif"'.encode()
        + b"\r\n\r\n" + content + b"\r\n"
        for name, content in files.items()
    )  # fmt: skip
    return body + b"--XX--\r\n", "multipart/form-data; boundary=XX"


NOISE = np.random.default_rng(1).integers(0, 255, (64, 64)).astype(np.uint8)
ONES = np.ones((64, 64), np.uint8)


@pytest.mark.parametrize(
    ("url", "body", "status", "code"),
    [
        ("/micrograph", b"", 422, "empty"),
        ("/micrograph", b"hello, world, I am no picture", 415, "unknown_format"),
        ("/micrograph?name=a.png", tiff(NOISE), 422, "wrong_extension"),
        ("/micrograph", tiff(NOISE)[:2000], 422, "truncated"),
        ("/micrograph", tiff(NOISE[:20]), 422, "too_small"),
        ("/micrograph", tiff(ONES), 422, "constant"),
        ("/micrograph", tiff(np.full((64, 64), np.nan, "f4")), 422, "not_finite"),
        ("/micrograph", tiff(np.zeros((200, 200), "u1"), compression="zlib"), 413, "too_large"),
        ("/micrograph", bytes(100_001), 413, "too_large"),
        ("/micrograph", tiff(np.stack([NOISE] * 3)), 422, "frame"),
        ("/micrograph?frame=3", tiff(np.stack([NOISE] * 3)), 422, "frame"),
        ("/micrograph?frame=-1", tiff(NOISE), 400, "bad_parameter"),
        ("/micrograph?pixel_size_nm=0", tiff(NOISE), 400, "bad_parameter"),
        ("/micrograph?pixel_size_nm=nan", tiff(NOISE), 400, "bad_parameter"),
        ("/micrograph?pixel_size_nm=1e300", tiff(NOISE), 400, "bad_parameter"),
        ("/micrograph?features=maybe", tiff(NOISE), 400, "bad_parameter"),
        ("/micrograph?pixelsize=1", tiff(NOISE), 400, "bad_parameter"),
        ("/crops", bytes(20 * 64 * 64 * 4 + 5000), 413, "too_many_crops"),
        ("/nowhere", b"", 404, "unknown_path"),
        ("/model", b"", 405, "unknown_method"),
    ],
)
def test_bad_input_is_refused_with_a_code(
    ask: Ask, url: str, body: bytes, status: int, code: str
) -> None:
    assert refused(ask("POST", url, body)) == (status, code)


@pytest.mark.parametrize(
    "labels",
    [
        b"no label image",
        tiff(np.zeros((10, 10), "u1")),  # another size
        tiff(NOISE.astype("f4")),
        tiff(np.zeros((64, 64, 3), "u1"), photometric="rgb"),
        tiff(np.pad(np.full((8, 8), 4_000_000_000, "u4"), 28)),  # a table of 4 billion
        b"\x89PNG\r\n\x1a\n",  # ends before it says how large it is
        b"\x89PNG\r\n\x1a\n" + bytes(8) + b"\x00\x0f\xff\xff\x00\x0f\xff\xff",  # a million squared
    ],
)
def test_labels_that_are_none_are_refused(ask: Ask, labels: bytes) -> None:
    body, kind = form(picture=tiff(NOISE), labels=labels)
    assert refused(ask("POST", "/micrograph", body, content_type=kind)) == (422, "bad_labels")


def test_a_name_of_any_length_and_script_is_taken(ask: Ask, labels: NDArray[np.uint8]) -> None:
    picture = np.where(labels > 0, 40, 120).astype(np.uint8)
    body, kind = form(picture=tiff(picture), labels=tiff(labels))
    answer = ask("POST", f"/micrograph?name={'%E7%B2%92' * 200}.tif", body, content_type=kind)
    assert answer.status_code == 200, answer.body


def test_a_form_without_a_picture_is_refused(ask: Ask) -> None:
    body, kind = form(image=tiff(NOISE))
    assert refused(ask("POST", "/micrograph", body, content_type=kind)) == (400, "bad_multipart")


def test_a_frame_of_a_stack_is_answered(ask: Ask, picture: NDArray[np.uint16]) -> None:
    stack = tiff(np.stack([picture[:90, :64], picture[:90, 64:]]))
    answer = told(ask("POST", "/micrograph?frame=1", stack))
    assert answer["picture"]["frame"] == 1
    assert answer["picture"]["frame_count"] == 2


def test_a_picture_that_memory_is_too_small_for_is_refused_before_it_is_segmented(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "available_bytes", lambda: 10_000)
    response = ask("POST", "/micrograph", tiff(NOISE))
    assert refused(response) == (503, "memory")
    assert response.headers["retry-after"] == "2"


def test_whoever_finds_no_seat_is_told_to_come_again(labels: NDArray[np.uint8]) -> None:
    service = ShapeService(LIMITS.model_copy(update={"max_crop_requests": 2}))
    free = asyncio.Event()

    async def slow(crops: NDArray[np.float32]) -> Any:
        await free.wait()
        return service.predict(crops), 1

    async def five_at_once() -> list[Response]:
        endpoints = Endpoints(service, slow)
        asked = [request("POST", "/crops", npy(cut(labels)), content_type="application/npy")
                 for _ in range(5)]  # fmt: skip
        waiting = [asyncio.create_task(endpoints(one)) for one in asked]
        while sum(task.done() for task in waiting) < 3:
            await asyncio.sleep(0.01)
        free.set()
        return list(await asyncio.gather(*waiting))

    answers = asyncio.run(five_at_once())
    assert sorted(one.status_code for one in answers) == [200, 200, 503, 503, 503]
    busy = [one for one in answers if one.status_code == 503]
    assert {refused(one) for one in busy} == {(503, "busy")}
    assert {one.headers["retry-after"] for one in busy} == {"2"}


def test_a_defect_is_told_without_its_trace(
    held: ShapeService, labels: NDArray[np.uint8], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(crops: NDArray[np.float32]) -> Any:
        raise ZeroDivisionError("secret")

    body = npy(cut(labels))
    asked = request("POST", "/crops", body, content_type="application/npy")
    response = asyncio.run(Endpoints(held, broken)(asked))
    assert refused(response) == (500, "internal")
    assert "secret" not in response.body.decode()
    assert told(response)["error"]["value"] in caplog.text
    assert "ZeroDivisionError" in caplog.text
