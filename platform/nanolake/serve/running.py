"""Starting the service, and stopping it without leaving anything behind."""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nanolake.errors import SettingsError
from nanolake.serve.settings import ServeSettings

_NAME = "nanolake"
_LOOK_EVERY_S = 0.2
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
) -> None:
    """Start the service, say where it listens, and stop it again.

    Runs on a Ray of its own, or on the cluster at ``ray``, where it listens on the head node. Ends
    with SIGINT (Ctrl-C) or SIGTERM: requests in progress are answered first. Call it from the main
    thread. Raises `SettingsError` where the port is taken, `EngineError` where Ray does not start.
    """
    weights, source = choose_weights(lake, settings.weights)
    if ray is None:
        _require_free_port(settings)
    with _StopSignals() as signals, _serving(settings, weights, source, ray, signals):
        address = f"http://{settings.host}:{settings.port}"
        open_to_all = settings.host not in _LOOPBACK
        say(
            f"serving {source} at {address}, {settings.replicas} replica"
            f"{'s' * (settings.replicas > 1)}; no password: "
            + ("whoever reaches this port is answered" if open_to_all else "this machine only")
            + "; Ctrl-C ends it"
        )
        signals.wait()
    say("service stopped")


@contextmanager
def _serving(
    settings: ServeSettings,
    weights: Path | None,
    source: str,
    address: str | None,
    signals: _StopSignals,
) -> Iterator[None]:
    import os

    import ray

    from nanolake.engines.ray import start_ray

    cores = max(settings.replicas, len(os.sched_getaffinity(0)))
    started = start_ray(address, workers=cores)
    signals.listen()  # Ray has put its own handlers in their place
    try:
        _start(settings, weights, source)
        try:
            yield
        finally:
            _stop()
    finally:
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
    serve.run(app, name=_NAME, route_prefix="/", logging_config=quiet)


def _stop() -> None:
    """Let requests in progress end, and take the application away; a cluster's Serve stays."""
    from ray import serve

    serve.delete(_NAME)


class _StopSignals:
    """Notes SIGINT and SIGTERM for `wait`: raised amid Ray's compiled code they would do harm."""

    _NAMES = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> _StopSignals:
        self._came = False
        self._before = {name: signal.getsignal(name) for name in self._NAMES}
        self.listen()
        return self

    def listen(self) -> None:
        """Handle the signals, whoever handled them until now."""
        for name in self._NAMES:
            signal.signal(name, self._note)

    def wait(self) -> None:
        """Return when a signal has come; one that came while the service started counts."""
        while not self._came:
            time.sleep(_LOOK_EVERY_S)

    def _note(self, number: int, frame: Any) -> None:
        self._came = True

    def __exit__(self, *raised: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)


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
