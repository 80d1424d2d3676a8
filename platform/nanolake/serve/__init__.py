"""The service: p, d and L_ratio over HTTP, for single crops and for whole micrographs.

`ShapeService` answers in this process and knows neither HTTP nor Ray; `endpoints` puts requests and
limits around it; `application` puts replicas of both on Ray Serve, which batches crops over
requests; `running` starts and stops that. There is no authentication: the service listens on
127.0.0.1 unless told otherwise.

Importing this module loads no heavy library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nanolake.serve.settings import ServeSettings

if TYPE_CHECKING:
    from nanolake.serve.running import run_service
    from nanolake.serve.service import ShapeService

__all__ = ["ServeSettings", "ShapeService", "run_service"]

_HOME = {"ShapeService": "service", "run_service": "running"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
