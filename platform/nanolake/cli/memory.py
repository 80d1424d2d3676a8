"""How commands say what memory a segmentation will need."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanolake.pipeline.forecast import Forecast


def forecaster(engine: str, address: str | None, *, quiet: bool) -> Callable[[Forecast], None]:
    """Return what prints a forecast to standard error: a line, and a warning where it must be.

    Of workers on a cluster this machine's memory says nothing: no warning. ``quiet`` leaves the
    warning alone.
    """

    def say(forecast: Forecast) -> None:
        from dataclasses import replace

        from nanolake.console import warn

        if _elsewhere(engine, address):
            forecast = replace(forecast, available_bytes=None)
        if not quiet:
            warn(forecast.line())
        if (warning := forecast.warning()) is not None:
            warn(warning)

    return say


def _elsewhere(engine: str, address: str | None) -> bool:
    """Whether a running cluster was asked for; `RayEngine` joins the one that Ray's variable names.

    The serial engine heeds no address.
    """
    if engine == "serial":
        return False
    return address is not None or (engine == "ray" and bool(os.environ.get("RAY_ADDRESS")))
