"""Convex polyhedra as seen along the beam: the shapes of crystals, turned at random in space.

A convex body is the part of space where every ``normal . x <= offset`` holds. Along the beam (z)
its thickness at (y, x) is the height of its lowest upper face less that of its highest lower face,
so faces and their edges show in the picture as they do in a microscope.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Single = NDArray[np.float32]

SHARDS = 256
"""Different shards; each is turned at random in space, so no two look alike."""
SHARD_PLANES = 14
"""Random cuts that make a shard: enough to close it, few enough to leave flat sides."""
FLAT = 1e-6
"""A face whose normal has a smaller z part stands along the beam and bounds no height."""


@dataclass(frozen=True)
class Solid:
    """A convex body about the origin: faces (k, 3) (z, y, x) with ``normals . x <= offsets``."""

    normals: Floats
    offsets: Floats
    vertices: Floats


def turned_solid(name: str, rng: np.random.Generator) -> Solid:
    """Return the named body of `settings.Solid` (any of `SHARDS` shards), turned at random."""
    body = _shard(int(rng.integers(SHARDS))) if name == "shard" else _regular(name)
    turn = _rotation(rng)
    return Solid(body.normals @ turn.T, body.offsets, body.vertices @ turn.T)


def silhouette(body: Solid, theta: Floats) -> Floats:
    """Return R(theta), the radius of the projection about the body's origin, in body units."""
    import cv2

    hull = cv2.convexHull(body.vertices[:, 1:].astype(np.float32)).reshape(-1, 2).astype(float)
    side = np.roll(hull, -1, axis=0) - hull
    normal = np.stack([side[:, 1], -side[:, 0]], axis=1)
    offset = np.sum(normal * hull, axis=1)
    normal, offset = normal * np.sign(offset)[:, None], np.abs(offset)
    facing = normal @ np.stack([np.sin(theta), np.cos(theta)])
    return np.asarray(1.0 / np.max(facing / offset[:, None], axis=0), float)


def thickness(body: Solid, y: Single, x: Single) -> Single:
    """Return the length of the beam's path through the body at (y, x), 0 outside; body units."""
    shape = np.broadcast_shapes(y.shape, x.shape)
    top, bottom = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)
    for (z, normal_y, normal_x), offset in zip(body.normals, body.offsets, strict=True):
        if abs(z) < FLAT:
            continue
        height = (
            np.float32(offset / z) - np.float32(normal_y / z) * y - np.float32(normal_x / z) * x
        )
        if z > 0.0:
            np.minimum(top, height, out=top)
        else:
            np.maximum(bottom, height, out=bottom)
    return np.asarray(np.maximum(top - bottom, 0.0), np.float32)


@cache
def _regular(name: str) -> Solid:
    return _hull(np.array(_VERTICES[name](), float))


def _hull(vertices: Floats) -> Solid:
    """Return the convex hull of the points with each flat face once, moved to its centroid."""
    from scipy.spatial import ConvexHull

    vertices = vertices - vertices.mean(axis=0)
    faces = np.unique(ConvexHull(vertices).equations.round(6), axis=0)
    return Solid(faces[:, :3], -faces[:, 3], vertices)


@cache
def _shard(number: int) -> Solid:
    """Cut space by random planes at uneven distances, stretched: a broken or irregular crystal."""
    from scipy.spatial import HalfspaceIntersection

    rng = np.random.default_rng([SHARD_PLANES, number])
    normals = rng.standard_normal((SHARD_PLANES, 3))
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    normals = np.concatenate([normals, np.eye(3), -np.eye(3)])
    offsets = np.concatenate([rng.uniform(0.6, 1.3, SHARD_PLANES), np.full(6, 1.4)])
    half_spaces = np.column_stack([normals, -offsets])
    corners = HalfspaceIntersection(half_spaces, np.zeros(3)).intersections
    return _hull(np.unique(corners.round(9), axis=0) * rng.uniform(0.65, 1.35, 3))


def _rotation(rng: np.random.Generator) -> Floats:
    """Return a rotation matrix drawn evenly over all turns (from a random unit quaternion)."""
    w, x, y, z = _unit(rng.standard_normal(4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), float)


def _signed(*values: float) -> list[tuple[float, ...]]:
    signs = product((-1.0, 1.0), repeat=len(values))
    return [tuple(s * v for s, v in zip(sign, values, strict=True)) for sign in signs]


def _permuted(*values: float) -> list[tuple[float, ...]]:
    return sorted({point for order in permutations(values) for point in _signed(*order)})


def _icosahedron() -> list[tuple[float, ...]]:
    golden = (1.0 + 5.0**0.5) / 2.0
    points = _signed(0.0, 1.0, golden)
    return sorted({turn for p in points for turn in (p, (p[1], p[2], p[0]), (p[2], p[0], p[1]))})


def _decahedron() -> list[tuple[float, ...]]:
    """A pentagonal bipyramid of five tetrahedra about an axis: apex height to radius 0.62."""
    angle = 2.0 * np.pi * np.arange(5) / 5.0
    ring = [(0.0, float(np.sin(a)), float(np.cos(a))) for a in angle]
    return [*ring, (0.62, 0.0, 0.0), (-0.62, 0.0, 0.0)]


_VERTICES = {
    "cube": lambda: _signed(1.0, 1.0, 1.0),
    "tetrahedron": lambda: [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)],
    "octahedron": lambda: _permuted(0.0, 0.0, 1.0),
    "truncated_octahedron": lambda: _permuted(0.0, 1.0, 2.0),
    "cuboctahedron": lambda: _permuted(0.0, 1.0, 1.0),
    "icosahedron": _icosahedron,
    "decahedron": _decahedron,
}
