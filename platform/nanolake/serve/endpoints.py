"""Requests and limits around the service: what comes in by HTTP, what goes out, and when not.

Written against Starlette's request, which Ray Serve hands over; Ray itself is not needed here.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from nanolake.serve.answers import ARROW, JSON, as_arrow, as_json, dumped, wants_arrow
from nanolake.serve.crops import read_crops
from nanolake.serve.multipart import read_parts
from nanolake.serve.refusals import RefusedError, internal
from nanolake.serve.service import Answer, Columns, MicrographRequest, ShapeService

Together = Callable[[NDArray[np.float32]], Awaitable[tuple[Columns, int]]]
"""Predicts crops, perhaps with those of other requests; the number is how many there were."""
_SPARE_BYTES = 4096
"""Room for the header of a .npy file."""
SMALLEST_NM, LARGEST_NM = 1e-6, 1e6
"""Pixel sizes that are taken: powers of others leave the range of the numbers computed with."""
_log = logging.getLogger("nanolake.serve")


class Endpoints:
    """Answers requests: ``await endpoints(request)`` never raises for what a client sent.

    ``together`` predicts crops; None: each request's alone, in a thread.
    """

    def __init__(self, service: ShapeService, together: Together | None = None) -> None:
        self.service = service
        self._together = together or self._alone
        self._crops = _Desk("crops", service.settings.max_crop_requests)
        self._micrographs = _Desk("micrographs", service.settings.max_micrograph_requests)
        self._routes: Mapping[tuple[str, str], Callable[[Request], Awaitable[Response]]] = {
            ("GET", "/health"): self._health,
            ("GET", "/model"): self._model,
            ("POST", "/crops"): self._post_crops,
            ("POST", "/micrograph"): self._post_micrograph,
        }

    async def __call__(self, request: Request) -> Response:
        """Return the answer, or a refusal as JSON."""
        try:
            return await self._route(request)(request)
        except RefusedError as refused:
            return _refusal(refused)
        except Exception:
            mark = secrets.token_hex(4)
            _log.exception("%s %s: defect %s", request.method, request.url.path, mark)
            return _refusal(internal(mark))

    def _route(self, request: Request) -> Callable[[Request], Awaitable[Response]]:
        path = request.url.path.rstrip("/") or "/"
        methods = [method for method, known in self._routes if known == path]
        if request.method in methods:
            return self._routes[request.method, path]
        if methods:
            told = f"send {' or '.join(methods)}"
            raise RefusedError(405, "unknown_method", f"{path} takes no", request.method, told)
        known = ", ".join(f"{method} {name}" for method, name in self._routes)
        raise RefusedError(404, "unknown_path", "there is no such path", path, f"known: {known}")

    async def _health(self, request: Request) -> Response:
        return _json({"status": "ok", "model_id": self.service.predictor.model_id})

    async def _model(self, request: Request) -> Response:
        return _json(self.service.model())

    async def _post_crops(self, request: Request) -> Response:
        settings, crop_px = self.service.settings, self.service.predictor.crop_px
        with self._crops.seat():
            most = settings.max_crops * crop_px**2 * np.dtype(np.float32).itemsize + _SPARE_BYTES
            body = await _body(request, most, "too_many_crops")
            crops = read_crops(request.headers, body, crop_px=crop_px, max_crops=settings.max_crops)
            columns, requests = await self._together(crops)
            answer = Answer(rows="crops", about=self.service.about_crops(), columns=columns)
            return _answer(request, answer, {"X-Batch-Requests": str(requests)})

    async def _alone(self, crops: NDArray[np.float32]) -> tuple[Columns, int]:
        return await self._crops.work(self.service.predict, crops), 1

    async def _post_micrograph(self, request: Request) -> Response:
        with self._micrographs.seat():
            asked = _micrograph(request, await _body(request, self.service.settings.max_bytes))
            answer = await self._micrographs.work(self.service.micrograph, asked)
            return _answer(request, answer)


class _Desk:
    """One thread that works, and seats for the few that wait; who finds none comes again."""

    def __init__(self, name: str, seats: int) -> None:
        self._name, self._seats, self._taken = name, seats, 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    @contextmanager
    def seat(self) -> Iterator[None]:
        if self._taken >= self._seats:
            what = f"{self._taken} requests for {self._name} are being answered or wait"
            told = "come again after the seconds of Retry-After; more replicas answer more"
            raise RefusedError(503, "busy", what, self._seats, told)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def work(self, function: Callable[[Any], Any], argument: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, argument)


async def _body(request: Request, most: int, code: str = "too_large") -> bytes:
    """Read the body; stop as soon as it is known to be larger than ``most`` bytes."""
    told = f"send at most {most} bytes"
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise RefusedError(413, code, "the body is too large", int(length), told)
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > most:
                raise RefusedError(413, code, "the body is too large", f"over {most}", told)
    except ClientDisconnect:
        told = "send the whole body"
        raise RefusedError(400, "incomplete", "the client went away", size, told) from None
    return b"".join(chunks)


def _micrograph(request: Request, body: bytes) -> MicrographRequest:
    query = request.query_params
    unknown = sorted(set(query) - {"name", "pixel_size_nm", "frame", "features"})
    if unknown:
        told = "known: name, pixel_size_nm, frame, features"
        raise RefusedError(400, "bad_parameter", "unknown parameters", ", ".join(unknown), told)
    content_type = request.headers.get("content-type", "")
    form = {}
    if content_type.lower().startswith("multipart/form-data"):
        form = read_parts(body, content_type)
        if set(form) - {"labels"} != {"picture"}:
            told = "send the file as the field `picture`, a label image as `labels`"
            raise RefusedError(400, "bad_multipart", "the fields are", ", ".join(form), told)
    picture, labels = form.get("picture"), form.get("labels")
    return MicrographRequest(
        picture=body if picture is None else picture.content,
        name=query.get("name") or (picture.filename if picture else "") or "picture",
        labels=None if labels is None else labels.content,
        labels_name=(labels.filename if labels else "") or "labels",
        pixel_size_nm=_positive(query.get("pixel_size_nm")),
        frame=_whole(query.get("frame")),
        features=_yes(query.get("features")),
    )


def _positive(text: str | None) -> float | None:
    try:
        size = None if text is None else float(text)
    except ValueError:
        size = math.nan
    if size is not None and not SMALLEST_NM <= size <= LARGEST_NM:
        told = f"give a number of nm from {SMALLEST_NM:g} to {LARGEST_NM:g}"
        raise RefusedError(400, "bad_parameter", "pixel_size_nm", text, told)
    return size


def _whole(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 6:
        raise RefusedError(400, "bad_parameter", "frame", text, "give a whole number from 0")
    return int(text)


def _yes(text: str | None) -> bool:
    if text not in (None, "true", "false"):
        raise RefusedError(400, "bad_parameter", "features", text, "give true or false")
    return text == "true"


def _answer(request: Request, answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    arrow = wants_arrow(request.headers.get("accept", ""))
    content = as_arrow(answer) if arrow else as_json(answer)
    return Response(content, media_type=ARROW if arrow else JSON, headers=dict(headers or {}))


def _json(value: Mapping[str, Any], status: int = 200, **more: str) -> Response:
    return Response(dumped(value), status_code=status, media_type=JSON, headers=more)


def _refusal(refused: RefusedError) -> Response:
    return _json(refused.as_dict(), refused.status, **refused.headers)
