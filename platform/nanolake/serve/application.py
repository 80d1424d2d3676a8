"""Replicas of the service on Ray Serve, which routes requests and batches crops over them.

``nanolake.serve.application:build`` is what a Serve config file names as its import path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from nanolake.serve.endpoints import Endpoints
from nanolake.serve.refusals import RETRY_AFTER_S
from nanolake.serve.service import Columns, ShapeService
from nanolake.serve.settings import ServeSettings

BATCH_REQUESTS = 16
"""Requests for crops that are predicted together at most."""
_ROOM = 8
"""Requests beyond a replica's own limits that reach it all the same: for health, and refusals."""


class Replica:
    """One process that answers: the networks are loaded in ``__init__``."""

    def __init__(self, settings: ServeSettings, weights: str | None, source: str) -> None:
        import cv2

        cv2.setNumThreads(1)  # one replica, one core
        self._service = ShapeService(settings, weights, source)
        self._together.set_batch_wait_timeout_s(settings.batch_wait_s)
        self._endpoints = Endpoints(self._service, self._together)

    async def __call__(self, request: Request) -> Response:
        """Answer one HTTP request."""
        return await self._endpoints(request)

    @serve.batch(max_batch_size=BATCH_REQUESTS, batch_wait_timeout_s=0.005)
    async def _together(self, crops: list[NDArray[np.float32]]) -> list[tuple[Columns, int]]:
        """Predict the crops of several requests at once and deal the columns out again."""
        found = await asyncio.to_thread(self._service.predict, np.concatenate(crops))
        ends = np.cumsum([len(one) for one in crops])[:-1]
        split = {name: np.split(values, ends) for name, values in found.items()}
        return [
            ({name: parts[place] for name, parts in split.items()}, len(crops))
            for place in range(len(crops))
        ]


def application(settings: ServeSettings, weights: Path | None, source: str) -> Any:
    """Return the Serve application of these settings and weights (None: the shipped ones)."""
    held = settings.max_crop_requests + settings.max_micrograph_requests
    deployment = serve.deployment(
        Replica,
        name="nanolake",
        num_replicas=settings.replicas,
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=held + max(_ROOM, held),
        max_queued_requests=held * settings.replicas,
        backpressure_config={"status_code": 503, "retry_after_s": RETRY_AFTER_S},
        graceful_shutdown_timeout_s=10,
    )
    return deployment.bind(settings, str(weights) if weights else None, source)


def build(values: Mapping[str, Any]) -> Any:
    """Return the Serve application for the ``args`` of a config file.

    They are those of `ServeSettings`, and ``lake``, the folder of a lake whose champion is used.
    """
    from nanolake.serve.running import choose_weights

    given = dict(values)
    lake = given.pop("lake", None)
    settings = ServeSettings.build(given)
    weights, source = choose_weights(Path(lake) if lake else None, settings.weights)
    return application(settings, weights, source)
