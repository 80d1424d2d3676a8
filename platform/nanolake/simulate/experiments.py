"""The demonstration world: two labs, six experiments, as a chemist would hand them over.

`write_demo` writes ordinary TIFF files in one folder a lab, a sample sheet, and the truth beside
them. Among the files are the troubles of real folders: one picture cut short, one that is all one
value, one saved twice under two names, one out of focus that the sheet excludes, and one
experiment whose files carry no pixel size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import SettingsError
from nanolake.simulate.demo_files import (
    ParticleRows,
    file_sha256,
    write_labels,
    write_sheet,
    write_tiff,
)
from nanolake.simulate.demo_world import DEMO_EXPERIMENTS, DemoExperiment
from nanolake.simulate.micrograph import simulate_micrograph
from nanolake.simulate.settings import MicrographSettings
from nanolake.simulate.truth import SimulatedMicrograph

__all__ = ["DEMO_EXPERIMENTS", "DemoExperiment", "DemoPicture", "DemoTruth", "write_demo"]

LEAST_PICTURES = 2


@dataclass(frozen=True, kw_only=True)
class DemoPicture:
    """One good picture of the demo. ``file`` is relative to the demo's folder, with slashes."""

    file: str
    labels: str
    experiment: str
    raw_sha256: str
    pixel_size_nm: float
    count: int
    """Particles in the truth, hidden and border ones included."""


@dataclass(frozen=True, kw_only=True)
class DemoTruth:
    """What `write_demo` wrote and what an honest run over it must find."""

    folder: Path
    sheet: Path
    table: Path
    """Parquet, one row a particle."""
    pictures: tuple[DemoPicture, ...]
    failures: Mapping[str, str]
    """File to the reason for which it must be refused, a word of `PictureError`."""
    duplicates: Mapping[str, str]
    """File to the file that has the same bytes."""
    excluded: tuple[str, ...]
    """Files that the sheet's ``except`` column leaves out."""

    @property
    def count(self) -> int:
        """Particles in all good pictures."""
        return sum(picture.count for picture in self.pictures)


def write_demo(
    folder: Path | str,
    *,
    seed: int = 0,
    scale: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> DemoTruth:
    """Write the demo: TIFF files by lab, ``samples.csv``, and ``truth/`` (labels and a table).

    ``scale`` below 1 makes fewer pictures (at least two an experiment) and smaller ones (their
    side goes with its square root, at least 320 px); above 1 only more. Same seed and scale, same
    bytes. ``progress`` is called with (pictures done, pictures in all). Files of the same names
    are written over, others left alone.

    Raises
    ------
    SettingsError
        ``scale`` is not in 0.01 … 10, or ``seed`` is negative.
    """
    if not 0.01 <= scale <= 10.0:
        raise SettingsError(f"scale={scale} is outside 0.01 … 10; 1 makes about 40 pictures")
    if seed < 0:
        raise SettingsError(f"seed={seed} is negative; give a whole number from 0 up")
    writer = _Writer(Path(folder), seed, scale, progress)
    for number, experiment in enumerate(DEMO_EXPERIMENTS):
        writer.write(number, experiment)
    return writer.finish()


def sheet_row(experiment: DemoExperiment, pictures: int) -> dict[str, str]:
    """Return the sample-sheet row of an experiment that has ``pictures`` good pictures.

    An experiment with a duplicate is given as a glob, which finds the copy too; the others as a
    numbered pattern.
    """
    numbered = experiment.fault != "duplicate"
    last = pictures + (experiment.fault is not None)
    name = f"{experiment.stem}_{{n:03d}}.tif" if numbered else f"{experiment.stem}_*.tif"
    row = {
        "lab": experiment.lab,
        "sample": experiment.sample,
        "parent_sample": experiment.parent_sample,
        "experiment": experiment.experiment,
        "route": experiment.route,
        "operator": experiment.operator,
        "instrument": experiment.instrument,
        "files": f"{experiment.lab}/{name}",
        "numbers": f"1-{last}" if numbered else "",
        "except": str(last) if experiment.fault == "excluded" else "",
        "pixel_size_nm": "",
        "condition:temperature [degC]": experiment.conditions.get("temperature", ""),
        "condition:time [min]": experiment.conditions.get("time", ""),
        "condition:precursor": experiment.conditions.get("precursor", ""),
    }
    if experiment.calibration == "none":
        row["pixel_size_nm"] = f"{experiment.settings.pixel_size_nm:g}"
    return row


def scaled(experiment: DemoExperiment, scale: float) -> tuple[MicrographSettings, int]:
    """Return the settings and the number of good pictures of an experiment at a scale."""
    pictures = max(LEAST_PICTURES, round(experiment.pictures * scale))
    side = experiment.settings.height_px
    side = max(320, min(side, round(side * scale**0.5)))
    settings = experiment.settings.model_copy(update={"height_px": side, "width_px": side})
    return settings, pictures


class _Writer:
    """Writes one experiment after another and keeps the book."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        scale: float,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.folder, self.seed, self.scale, self.progress = folder, seed, scale, progress
        self.total = sum(scaled(e, scale)[1] for e in DEMO_EXPERIMENTS)
        self.sheet_rows: list[dict[str, str]] = []
        self.particles = ParticleRows()
        self.pictures: list[DemoPicture] = []
        self.failures: dict[str, str] = {}
        self.duplicates: dict[str, str] = {}
        self.excluded: list[str] = []

    def write(self, number: int, experiment: DemoExperiment) -> None:
        """Write the pictures, the trouble and the sheet row of one experiment."""
        settings, pictures = scaled(experiment, self.scale)
        for index in range(1, pictures + 1):
            picture = simulate_micrograph(settings, self._seed(number, index))
            self._write_good(experiment, index, picture)
            if self.progress is not None:
                self.progress(len(self.pictures), self.total)
        if experiment.fault is not None:
            self._write_fault(experiment, settings, number, pictures + 1)
        self.sheet_rows.append(sheet_row(experiment, pictures))

    def finish(self) -> DemoTruth:
        """Write the sheet and the particle table."""
        sheet, table = self.folder / "samples.csv", self.folder / "truth" / "truth.parquet"
        write_sheet(sheet, self.sheet_rows)
        self.particles.write(table)
        return DemoTruth(
            folder=self.folder,
            sheet=sheet,
            table=table,
            pictures=tuple(self.pictures),
            failures=self.failures,
            duplicates=self.duplicates,
            excluded=tuple(self.excluded),
        )

    def _seed(self, number: int, index: int) -> int:
        return int(np.random.SeedSequence([self.seed, number, index]).generate_state(1)[0])

    def _write_good(
        self, experiment: DemoExperiment, index: int, picture: SimulatedMicrograph
    ) -> None:
        name = f"{experiment.stem}_{index:03d}"
        file, labels = f"{experiment.lab}/{name}.tif", f"truth/{name}_labels.tif"
        size = picture.pixel_size_nm
        write_tiff(self.folder / file, picture.pixels, size, experiment.calibration)
        write_labels(self.folder / labels, picture.labels)
        digest = file_sha256(self.folder / file)
        self.particles.add(file, experiment.experiment, digest, picture)
        self.pictures.append(
            DemoPicture(
                file=file,
                labels=labels,
                experiment=experiment.experiment,
                raw_sha256=digest,
                pixel_size_nm=size,
                count=picture.count,
            )
        )

    def _write_fault(
        self, experiment: DemoExperiment, settings: MicrographSettings, number: int, index: int
    ) -> None:
        first = f"{experiment.lab}/{experiment.stem}_001.tif"
        file = f"{experiment.lab}/{experiment.stem}_{index:03d}.tif"
        path = self.folder / file
        whole = (self.folder / first).read_bytes()
        if experiment.fault == "duplicate":
            file = f"{experiment.lab}/{experiment.stem}_001_copy.tif"
            (self.folder / file).write_bytes(whole)
            self.duplicates[file] = first
        elif experiment.fault == "truncated":
            path.write_bytes(whole[: len(whole) * 2 // 5])
            self.failures[file] = "truncated"
        elif experiment.fault == "constant":
            write_tiff(path, _flat(settings), settings.pixel_size_nm, experiment.calibration)
            self.failures[file] = "constant"
        else:
            blurred = settings.model_copy(update={"blur_px": 9.0})
            pixels = simulate_micrograph(blurred, self._seed(number, index)).pixels
            write_tiff(path, pixels, settings.pixel_size_nm, experiment.calibration)
            self.excluded.append(file)


def _flat(settings: MicrographSettings) -> NDArray[np.uint16]:
    """Return what a camera with its shutter closed saves: one value everywhere."""
    return np.full((settings.height_px, settings.width_px), 100, np.uint16)
