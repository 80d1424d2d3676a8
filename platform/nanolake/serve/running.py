"""Starting the service, and stopping it without leaving anything behind."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nanolake.errors import SettingsError
from nanolake.serve.settings import ServeSettings

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def choose_weights(lake: Path | None, weights: Path | None) -> tuple[Path | None, str]:
    """Return the shape network's file (None: the shipped one), and in words where it is from.

    ``weights`` wins over the champion of the lake at ``lake``. Raises `LakeNotFoundError`, and
    `ModelError` for a file that is no shape network.
    """
    from nanolake.pipeline.describe import champion
    from nanolake.shape import ShapePredictor
    from nanolake.storage import Lake

    chosen, source = weights, f"file {weights}"
    if weights is None:
        chosen = champion(Lake.open(lake)) if lake is not None else None
        source = f"champion of {lake}" if chosen else "shipped with nanolake"
    ShapePredictor(chosen)
    return chosen, source


def run_service(
    settings: ServeSettings,
    *,
    lake: Path | None = None,
    ray: str | None = None,
    say: Callable[[str], None],
    until: Callable[[], None] | None = None,
) -> None:
    """Start the service, say where it listens, and stop it again.

    Runs on a Ray of its own, or on the cluster at ``ray``, where it listens on the head node. Ends
    when ``until`` returns; None: with SIGINT (Ctrl-C) or SIGTERM. Requests in progress are answered
    first. Raises `SettingsError` where the port is taken.
    """
    weights, source = choose_weights(lake, settings.weights)
    if ray is None:
        _require_free_port(settings)
    with _stop_signals() as stopped, _serving(settings, weights, source, ray):
        address = f"http://{settings.host}:{settings.port}"
        open_to_all = settings.host not in _LOOPBACK
        say(
            f"serving {source} at {address}, {settings.replicas} replica"
            f"{'s' * (settings.replicas > 1)}; no password: "
            + ("whoever reaches this port is answered" if open_to_all else "this machine only")
            + "; Ctrl-C ends it"
        )
        (until or stopped.wait)()
    say("service stopped")


@contextmanager
def _serving(
    settings: ServeSettings, weights: Path | None, source: str, address: str | None
) -> Iterator[None]:
    import os

    import ray

    from nanolake.engines.ray import start_ray

    cores = max(settings.replicas, len(os.sched_getaffinity(0)))
    started = start_ray(address, workers=cores)
    try:
        _start(settings, weights, source)
        yield
    finally:
        _stop()
        if started:
            ray.shutdown()


def _start(settings: ServeSettings, weights: Path | None, source: str) -> None:
    from ray import serve

    from nanolake.serve.application import application

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # its notices in this process
    quiet = {"enable_access_log": False, "log_level": "ERROR"}
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": settings.host, "port": settings.port, "request_timeout_s": 600},
        logging_config=quiet,
    )
    app = application(settings, weights, source)
    serve.run(app, name="nanolake", route_prefix="/", logging_config=quiet)


def _stop() -> None:
    from ray import serve

    serve.shutdown()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Set the event at SIGINT and SIGTERM, from the very start: a half-started Ray is ended too."""
    stopped = threading.Event()
    names = (signal.SIGINT, signal.SIGTERM)
    before = {name: signal.signal(name, _raiser(stopped)) for name in names}
    try:
        yield stopped
    except _Stopped:
        pass
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


class _Stopped(BaseException):
    """A signal asked for the end."""


def _raiser(stopped: threading.Event) -> Callable[[int, Any], None]:
    def stop(number: int, frame: Any) -> None:
        if not stopped.is_set():  # a second Ctrl-C does not interrupt the stopping
            stopped.set()
            raise _Stopped

    return stop


def _require_free_port(settings: ServeSettings) -> None:
    """Raise before Ray is started, whose own message comes late and is long."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}; "
                "choose another --host or --port"
            ) from None
