"""Harvest: simulate micrographs, segment them as the lake does, cut the crops that networks learn
from.

The seeds of training, validation and test never meet. A folder that holds the harvest is read, not
made again; a harvest that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nanolake.engines import Engine
from nanolake.errors import SettingsError
from nanolake.progress import Progress, silent
from nanolake.segment import SegmentSettings, segment
from nanolake.shape.harvest import Harvest, harvest
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.simulate import simulate_micrograph
from nanolake.simulate.any_shape import draw_shape_settings

FIRST_SEED = {"train": 0, "validation": 20_000_000, "test": 10_000_000}
"""Micrographs of each part are numbered from here."""
MOST = {"train": 45, "validation": 12, "test": 12}
"""Crystals in a micrograph, about: with few, small ones are no more than large ones."""
CHUNK = 50
"""Micrographs to a file."""
CROPS_PER_MICROGRAPH = 5
"""Fewer than the validation and test parts were seen to give: how many pictures they need."""


@dataclass(frozen=True, kw_only=True)
class HarvestItem:
    """Micrographs ``start`` … ``stop`` - 1, the crystals in each, the file of their crops."""

    start: int
    stop: int
    most: int
    path: str


@dataclass(frozen=True, kw_only=True)
class HarvestTask:
    """How micrographs are drawn, segmented and cut."""

    crop_px: int
    paper_share: float
    segmentation: SegmentSettings

    def open(self) -> Callable[[HarvestItem], int]:
        """Return the function of one file; it returns the number of crops in it."""
        return self._make

    def _make(self, item: HarvestItem) -> int:
        parts = []
        for seed in range(item.start, item.stop):
            drawn = draw_shape_settings(seed, paper_share=self.paper_share, most=item.most)
            picture = simulate_micrograph(drawn, seed)
            found = segment(picture.pixels, self.segmentation)
            parts.append(harvest(picture, found.labels, crop_px=self.crop_px))
        joined = Harvest.joined(parts)
        joined.save(Path(item.path))
        return len(joined)


def harvest_for_training(
    folder: Path,
    settings: ShapeTrainSettings,
    *,
    engine: Engine,
    progress: Progress = silent,
) -> Path:
    """Make what is missing of ``folder``'s train, validation and test parts; return ``folder``."""
    counts = {
        "train": settings.micrographs if settings.harvested_share > 0.0 else 0,
        "validation": pictures_for(settings.validation_crops),
        "test": pictures_for(settings.test_crops),
    }
    for part, count in counts.items():
        harvest_part(folder, part, count, settings, engine=engine, progress=progress)
    return folder


def harvest_part(
    folder: Path,
    part: str,
    micrographs: int,
    settings: ShapeTrainSettings,
    *,
    engine: Engine,
    progress: Progress = silent,
) -> None:
    """Make the files of one part that are missing, ``CHUNK`` micrographs each.

    Raises `SettingsError` where a file cannot be made: a training without some of its crops would
    be another training.
    """
    task = HarvestTask(
        crop_px=settings.crop_px,
        paper_share=settings.paper_share,
        segmentation=SegmentSettings(),
    )
    items = [item for item in _items(folder / part, part, micrographs) if not _done(item)]
    for number, outcome in enumerate(engine.map(task, items)):
        progress(f"harvest {part}", number, len(items))
        if outcome.fault is not None:
            raise SettingsError(
                f"harvesting {outcome.item.path} failed: {outcome.fault.message}; start it again, "
                "what is made already is kept"
            )
    progress(f"harvest {part}", len(items), len(items))


def pictures_for(crops: int) -> int:
    """Return how many micrographs a validation or test part of so many crops needs."""
    return -(-crops // CROPS_PER_MICROGRAPH)


def _items(folder: Path, part: str, micrographs: int) -> list[HarvestItem]:
    first = FIRST_SEED[part]
    return [
        HarvestItem(
            start=start,
            stop=min(start + CHUNK, first + micrographs),
            most=MOST[part],
            path=str(folder / f"{start:09d}-{min(start + CHUNK, first + micrographs):09d}.npz"),
        )
        for start in range(first, first + micrographs, CHUNK)
    ]


def _done(item: HarvestItem) -> bool:
    return Path(item.path).exists()
