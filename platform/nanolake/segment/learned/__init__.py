"""The learned segmentation: a network trained on simulated micrographs only.

Importing this module loads no heavy library: each name is fetched where it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanolake.segment.learned.model import MapModel, load_model
    from nanolake.segment.learned.tiles import map_tiles

__all__ = ["MapModel", "load_model", "map_tiles"]

_HOME = {"MapModel": "model", "load_model": "model", "map_tiles": "tiles"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOME[name]}")
    return getattr(module, name)
