"""Put every particle into a group, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanolake.group.methods import Fitted, Floats, Labels
from nanolake.group.rows import Rows, blocks
from nanolake.scaling import Scaling

CHUNK_ROWS = 100_000


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """All n rows in their groups, the largest first, no group empty."""

    labels: NDArray[np.int32]
    """(n,) 1 … k; 0: a value is missing."""
    distance: Floats
    """(n,) to the centre of the group, in scaled coordinates; NaN: not assigned."""
    centers: Floats
    """(k, c) in scaled coordinates."""
    raw_means: Floats
    """(k, columns) means of the members, logarithms where they are taken."""
    numbers: NDArray[np.int32]
    """Label of a fitted group -> its number here; the last: 0, for label -1, not assigned."""


def assign(
    rows: Rows, columns: Sequence[str], scaling: Scaling, fitted: Fitted, k: int
) -> Assigned:
    """Return the group of every row that has a value in each of ``columns``."""
    centers = fitted.centers[k]
    sums, labels, distances = np.zeros((len(centers), len(columns))), [], []
    for raw in blocks(rows, columns):
        for start in range(0, len(raw), CHUNK_ROWS) or (0,):
            part = raw[start : start + CHUNK_ROWS]
            found, distance = _assign_block(part, scaling, fitted, k)
            np.add.at(sums, found[found >= 0], part[found >= 0])
            labels.append(found)
            distances.append(distance)
    return _by_size(np.concatenate(labels), np.concatenate(distances), centers, sums)


def _assign_block(
    raw: Floats, scaling: Scaling, fitted: Fitted, k: int
) -> tuple[NDArray[np.int32], Floats]:
    complete = ~np.isnan(raw).any(axis=1)
    found, distance = np.full(len(raw), -1, np.int32), np.full(len(raw), np.nan)
    if complete.any():
        points = scaling.apply(raw[complete])
        groups: Labels = fitted.assign(points, [k])[k]
        found[complete] = groups
        distance[complete] = np.sqrt(((points - fitted.centers[k][groups]) ** 2).sum(axis=1))
    return found, distance


def _by_size(found: NDArray[np.int32], distance: Floats, centers: Floats, sums: Floats) -> Assigned:
    """Number the groups from 1 by falling size; of equal ones the order of their centres holds."""
    count = np.bincount(found[found >= 0], minlength=len(centers))
    order = np.lexsort((*centers.T[::-1], -count))
    order = order[count[order] > 0]
    rank = np.zeros(len(centers) + 1, np.int32)
    rank[order] = np.arange(1, len(order) + 1)
    return Assigned(
        labels=rank[found],
        distance=distance,
        centers=centers[order],
        raw_means=sums[order] / count[order][:, None],
        numbers=rank,
    )
