"""Answers as bytes: JSON for people and programs, Arrow for tables."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.serve.service import Answer

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"


def wants_arrow(accept: str) -> bool:
    """Whether the header Accept names Arrow; anything else gets JSON."""
    return ARROW in accept.lower()


def as_json(answer: Answer) -> bytes:
    """Return one object: what is told of all, ``count``, and a list with one object a row.

    Unknown is null.
    """
    columns = {name: _listed(values) for name, values in answer.columns.items()}
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return _text({**_finite(answer.about), "count": len(rows), answer.rows: rows})


def as_arrow(answer: Answer) -> bytes:
    """Return an Arrow IPC stream of one table; what is told of all is JSON in its metadata.

    The metadata's key is ``nanolake``. Unknown is NaN; ``d_probability`` is a list of six.
    """
    import pyarrow as pa

    columns = {name: _arrow(values) for name, values in answer.columns.items()}
    table = pa.table(columns).replace_schema_metadata({"nanolake": dumped(answer.about)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def dumped(value: Mapping[str, Any]) -> bytes:
    """Return compact JSON as its standard has it: what is not finite is null."""
    return _text(_finite(value))


def _text(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _arrow(values: NDArray[Any]) -> Any:
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _listed(values: NDArray[Any]) -> list[Any]:
    """Return Python numbers; None where unknown."""
    known = np.isfinite(values) if values.dtype.kind == "f" else np.ones(1, bool)
    if not known.all():
        values = values.astype(object)
        values[~known] = None
    found: list[Any] = values.tolist()
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
