"""Serial, Dask and Ray behind one protocol, and the Ray Train adapter (`nanolake.engines.train`).

Dask and Ray are separate pools that meet only in storage.
"""

from __future__ import annotations

from nanolake.engines.protocol import STORE_LOST, Engine, Fault, Outcome, Task
from nanolake.errors import SettingsError

__all__ = ["ENGINES", "STORE_LOST", "Engine", "Fault", "Outcome", "Task", "open_engine"]

ENGINES = ("serial", "dask", "ray")


def open_engine(
    name: str = "serial", *, workers: int | None = None, address: str | None = None
) -> Engine:
    """Start an engine by name: ``serial``, ``dask`` or ``ray``.

    ``workers`` counts processes on this machine; ``address`` names a running cluster instead
    (``tcp://…`` for Dask, ``ray://…`` or ``auto`` for Ray). Close it, or use it in a ``with``.
    """
    if name == "serial":
        from nanolake.engines.serial import SerialEngine

        return SerialEngine()
    if name == "dask":
        from nanolake.engines.dask import DaskEngine

        return DaskEngine(workers, address=address)
    if name == "ray":
        from nanolake.engines.ray import RayEngine

        return RayEngine(workers, address=address)
    raise SettingsError(f"there is no engine {name!r}; known: {', '.join(ENGINES)}")
