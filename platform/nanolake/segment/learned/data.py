"""Training data: crops of micrographs simulated on the fly, worn in many ways, never a real one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from nanolake.errors import SettingsError
from nanolake.segment.grey import stretched
from nanolake.segment.learned.settings import SegmenterTrainSettings
from nanolake.segment.learned.targets import loss_weights, training_maps
from nanolake.simulate import draw_settings, piled, simulate_micrograph
from nanolake.simulate.any_shape import draw_shape_settings
from nanolake.training import RoundsData

_TRAIN, _VALIDATION, _TEST = 0, 1, 2
_NEAR, _FAR = (0.5, 1.5), (0.25, 1.0)
_FAR_SHARE = 0.35
"""Share of the batches that see whole micrographs from afar, as the coarse scales do."""
_FIRST = 8


@dataclass(frozen=True)
class Scene:
    """One simulated micrograph: grey (y, x) float32 in 0 … 1, maps (y, x, 5) uint8, labels."""

    grey: NDArray[np.float32]
    maps: NDArray[np.uint8]
    labels: NDArray[np.uint16]


def scene(
    seed: tuple[int, ...],
    side_px: int,
    *,
    piled_share: float = 0.0,
    many_shapes_share: float = 0.0,
) -> Scene:
    """Simulate one micrograph of any lab; fixed by ``seed``.

    The shares are the chances that its particles lie in piles, and that they are of many shapes.
    """
    number = int(np.random.SeedSequence(seed).generate_state(1, np.uint32)[0])
    in_piles, many_shapes = np.random.default_rng(number).random(2) < (
        piled_share,
        many_shapes_share,
    )
    draw = draw_shape_settings if many_shapes else draw_settings
    settings = draw(number, side_px=side_px)
    if in_piles:
        settings = piled(settings, number)
    made = simulate_micrograph(settings, number)
    maps = training_maps(made.labels, made.printed, made.layers)
    return Scene(stretched(made.pixels), maps, made.labels)


def fixed_scenes(count: int, side_px: int, *, purpose: int = _TEST) -> Iterator[Scene]:
    """Yield the scenes of the fixed test (or validation) set."""
    return (scene((purpose, index), side_px) for index in range(count))


def worn_crop(
    made: Scene, crop_px: int, zooms: tuple[float, float], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut a crop at a random place, zoom (within ``zooms``), turn and contrast.

    Returns grey (crop_px, crop_px) float32 in 0 … 1 and the maps (5, crop_px, crop_px) float32:
    particle, print, distance and overlap in 0 … 1 and the weight.
    """
    least = max(zooms[0], crop_px / min(made.grey.shape))
    zoom = float(np.exp(rng.uniform(np.log(least), np.log(max(least, zooms[1])))))
    side = min(round(crop_px / zoom), *made.grey.shape)
    y, x = (int(rng.integers(0, length - side + 1)) for length in made.grey.shape)
    box = slice(y, y + side), slice(x, x + side)
    kind = cv2.INTER_AREA if side > crop_px else cv2.INTER_LINEAR
    grey = cv2.resize(made.grey[box], (crop_px, crop_px), interpolation=kind)
    smooth = cv2.resize(made.maps[box][..., :-1], (crop_px, crop_px), interpolation=kind)
    radius = cv2.resize(
        made.maps[box][..., -1], (crop_px, crop_px), interpolation=cv2.INTER_NEAREST
    )
    maps = np.dstack([smooth, radius])
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    grey, maps = (np.rot90(a[:, ::-1] if flip else a, turns) for a in (grey, maps))
    scaled = _as_float(maps, crop_px / side)
    return _contrast(grey, rng), scaled


def _as_float(maps: NDArray[np.uint8], zoom: float) -> NDArray[np.float32]:
    """Return particle, print, distance and overlap in 0 … 1 and the weights, (5, y, x)."""
    scaled = np.ascontiguousarray(maps.transpose(2, 0, 1), np.float32)
    scaled[:-1] /= 255.0
    scaled[-1] = loss_weights(maps[..., -1], zoom)
    return scaled


def _contrast(grey: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Invert half of the pictures, bend and shift the grey values of some, add noise and blur."""
    grey = 1.0 - grey if rng.random() < 0.5 else grey
    if rng.random() < 0.3:
        grey = np.clip(grey, 0.0, 1.0) ** np.float32(np.exp(rng.normal(0.0, 0.35)))
    if rng.random() < 0.5:
        middle = rng.uniform(0.2, 0.8)
        grey = (grey - middle) * rng.uniform(0.45, 1.15) + middle + rng.normal(0.0, 0.05)
    if rng.random() < 0.15:
        grey = cv2.GaussianBlur(np.ascontiguousarray(grey), (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.25:
        grey = grey + rng.uniform(0.0, 0.08) * rng.standard_normal(grey.shape, np.float32)
    return np.asarray(np.clip(grey, 0.0, 1.0), np.float32)


def _scenes(settings: SegmenterTrainSettings, seed: tuple[int, ...]) -> Iterator[Scene]:
    """Yield scenes without end; a draw that the simulator refuses is drawn again."""
    shares = {
        "piled_share": settings.piled_share,
        "many_shapes_share": settings.many_shapes_share,
    }
    for index in itertools.count():
        with suppress(SettingsError):
            yield scene((*seed, index), settings.micrograph_px, **shares)


class SimulatedCrops(IterableDataset[list[Tensor]]):
    """Batches of worn crops from a pool of scenes that is renewed little by little."""

    def __init__(
        self, settings: SegmenterTrainSettings, seed: tuple[int, ...], batches: int
    ) -> None:
        self.settings, self.seed, self.batches = settings, seed, batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Tensor]]:
        cv2.setNumThreads(1)
        s, rng = self.settings, np.random.default_rng(self.seed)
        fresh = _scenes(s, self.seed)
        pool = list(itertools.islice(fresh, min(_FIRST, s.pool)))
        for _ in range(self.batches):
            far = rng.random() < _FAR_SHARE
            for _ in range(rng.poisson(s.batch_size / s.crops_per_micrograph)):
                if len(pool) == s.pool:
                    pool.pop(int(rng.integers(s.pool)))
                pool.append(next(fresh))
            yield _tensors(self._crops(pool, far, rng))

    def _crops(
        self, pool: list[Scene], far: bool, rng: np.random.Generator
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Cut one batch: from afar four times as many crops of half the side."""
        s = self.settings
        side, count, zooms = (s.crop_px, s.batch_size, _NEAR)
        if far:
            side, count, zooms = side // 2, 4 * count, _FAR
        chosen = rng.integers(0, len(pool), count)
        return [worn_crop(pool[index], side, zooms, rng) for index in chosen]


class FixedScenes(IterableDataset[list[Tensor]]):
    """The middles of fixed scenes, one a batch, unworn."""

    def __init__(self, settings: SegmenterTrainSettings, indices: range) -> None:
        self.settings, self.indices = settings, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[list[Tensor]]:
        side = self.settings.micrograph_px
        for index in self.indices:
            made = scene((_VALIDATION, index), side)
            yield _tensors([(made.grey, _as_float(made.maps, 1.0))])


class SegmenterData(RoundsData):
    """Feeds every worker its own micrographs, others in every round, the same after a resume."""

    settings: SegmenterTrainSettings

    def training_set(self, seed: tuple[int, int, int], batches: int) -> SimulatedCrops:
        """Return one worker's batches of one round."""
        return SimulatedCrops(self.settings, (_TRAIN, *seed), batches)

    def validation_set(self, worker: int, workers: int) -> FixedScenes:
        """Return one worker's share of the fixed validation scenes."""
        each = max(1, self.settings.validation_micrographs // workers)
        return FixedScenes(self.settings, range(worker * each, (worker + 1) * each))


def _tensors(crops: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> list[Tensor]:
    grey = np.stack([np.ascontiguousarray(g)[None] for g, _ in crops])
    return [torch.from_numpy(grey), torch.from_numpy(np.stack([m for _, m in crops]))]
