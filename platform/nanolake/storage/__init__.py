"""Where things are kept: pixels (Zarr), rows (DuckLake), work units (ledger), models (MLflow)."""

from nanolake.storage.images import ImageStore, StoredImage, array_sha256
from nanolake.storage.ledger import Claim, Ledger, Unit, unit_key
from nanolake.storage.moments import At, read_moment
from nanolake.storage.origin import Origin
from nanolake.storage.tables import Address, Lake

__all__ = [
    "Address",
    "At",
    "Claim",
    "ImageStore",
    "Lake",
    "Ledger",
    "Origin",
    "StoredImage",
    "Unit",
    "array_sha256",
    "read_moment",
    "unit_key",
]
