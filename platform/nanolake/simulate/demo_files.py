"""Files of the demo: TIFF as ImageJ writes it, label maps, sample sheet, truth table."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nanolake.simulate.truth import SimulatedMicrograph

Calibration = Literal["nm", "um", "none"]
_NM_PER_UNIT = {"nm": 1.0, "um": 1000.0}


def write_tiff(
    path: Path, pixels: NDArray[Any], pixel_size_nm: float, calibration: Calibration
) -> None:
    """Write one grey picture; with ImageJ's calibration (pixels a unit) unless ``none``."""
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    if calibration == "none":
        tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None)
        return
    per_unit = _NM_PER_UNIT[calibration] / pixel_size_nm
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(per_unit, per_unit),
        metadata={"unit": calibration, "axes": "YX"},
    )


def write_labels(path: Path, labels: NDArray[np.uint16]) -> None:
    """Write a label map as a losslessly compressed uint16 TIFF."""
    import tifffile

    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, labels, compression="zlib", photometric="minisblack", metadata=None)


def write_sheet(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write the sample sheet as CSV, the first row's keys as header; paths are relative to it."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def file_sha256(path: Path) -> str:
    """Return the hash of a file's bytes in hex: the identity of a micrograph."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class ParticleRows:
    """Gathers the particle columns of many micrographs and writes them as one Parquet table.

    Columns: ``file``, ``experiment``, ``raw_sha256``, ``pixel_size_nm`` and every column of
    `SimulatedMicrograph.particles`.
    """

    def __init__(self) -> None:
        self._parts: list[dict[str, NDArray[Any]]] = []

    def add(
        self, file: str, experiment: str, raw_sha256: str, picture: SimulatedMicrograph
    ) -> None:
        """Add the particles of one micrograph."""
        head = {"file": file, "experiment": experiment, "raw_sha256": raw_sha256}
        columns: dict[str, NDArray[Any]] = {
            name: np.full(picture.count, value) for name, value in head.items()
        }
        columns["pixel_size_nm"] = np.full(picture.count, picture.pixel_size_nm)
        self._parts.append({**columns, **picture.particles})

    def write(self, path: Path) -> None:
        """Write all rows; there must be at least one micrograph."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = list(self._parts[0])
        joined = {name: np.concatenate([part[name] for part in self._parts]) for name in names}
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({name: pa.array(joined[name]) for name in names}), path)
