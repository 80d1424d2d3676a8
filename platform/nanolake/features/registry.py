"""The registry of features: the function's name is the column's name.

A feature is a function of `Primitives` (what the compiled passes over the pixels found) that
returns one value a particle. `feature` registers it under its own name; `length` and `squared`
register one function twice, as ``NAME_px`` and ``NAME_nm`` or ``NAME_px2`` and ``NAME_nm2``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = NDArray[Any]

GROUPS = ("size", "shape", "intensity", "moments", "place", "neighbour", "flag")


@dataclass(frozen=True, kw_only=True)
class Primitives:
    """What was found of every particle, before it is turned into features.

    ``columns`` maps names to (n,) float64. Lengths are in pixels of x. ``shape`` is that of the
    picture, ``pixel_size_nm`` its pixel size (y, x) or None.
    """

    columns: Mapping[str, Floats]
    shape: tuple[int, int]
    pixel_size_nm: tuple[float, float] | None = None

    def __getitem__(self, name: str) -> Floats:
        return self.columns[name]

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width, 1 where unknown."""
        return 1.0 if self.pixel_size_nm is None else aspect_of(self.pixel_size_nm)

    @property
    def x_nm(self) -> float:
        """Nanometres a pixel of x, NaN where unknown: it makes NaN of every column in nm."""
        return np.nan if self.pixel_size_nm is None else self.pixel_size_nm[1]


def aspect_of(pixel_size_nm: tuple[float, float]) -> float:
    """Return height over width of a pixel; sizes equal to rounding count as square."""
    ratio = pixel_size_nm[0] / pixel_size_nm[1]
    return 1.0 if abs(ratio - 1.0) < 1e-9 else ratio


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the table ``particle`` and the function that gives it."""

    name: str
    unit: str | None
    group: str
    dtype: str
    function: Callable[[Primitives], Values]

    def __call__(self, found: Primitives) -> Values:
        """Return (n,) values of the column's type."""
        return self.function(found).astype(self.dtype, copy=False)


class Registry(Mapping[str, Feature]):
    """Features by name, in the order of their definition; a name can be taken once."""

    def __init__(self) -> None:
        self._features: dict[str, Feature] = {}

    def __getitem__(self, name: str) -> Feature:
        return self._features[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)

    def add(self, entry: Feature) -> None:
        """Take a feature up; a name taken twice or an unknown group is a programming error."""
        assert entry.name not in self._features, f"feature {entry.name} is defined twice"
        assert entry.group in GROUPS, f"feature {entry.name}: unknown group {entry.group}"
        self._features[entry.name] = entry


FEATURES = Registry()

Function = Callable[[Primitives], Values]


def feature(
    group: str, *, unit: str | None = None, dtype: str = "float64"
) -> Callable[[Function], Function]:
    """Register a function under its own name."""

    def register(function: Function) -> Function:
        FEATURES.add(
            Feature(name=function.__name__, unit=unit, group=group, dtype=dtype, function=function)
        )
        return function

    return register


def length(group: str) -> Callable[[Function], Function]:
    """Register a function that returns pixels of x as ``NAME_px`` and ``NAME_nm``."""
    return _in_px_and_nm(group, "")


def squared(group: str) -> Callable[[Function], Function]:
    """Register a function that returns square pixels of x as ``NAME_px2`` and ``NAME_nm2``."""
    return _in_px_and_nm(group, "2")


def _in_px_and_nm(group: str, power: str) -> Callable[[Function], Function]:
    exponent = int(power or 1)

    def register(function: Function) -> Function:
        def in_nm(found: Primitives) -> Values:
            return function(found) * found.x_nm**exponent

        for suffix, variant in (("px", function), ("nm", in_nm)):
            FEATURES.add(
                Feature(
                    name=f"{function.__name__}_{suffix}{power}",
                    unit=f"{suffix}^{power}" if power else suffix,
                    group=group,
                    dtype="float64",
                    function=variant,
                )
            )
        return function

    return register


def feature_columns(*kinds: str) -> tuple[str, ...]:
    """Return the names of the features of the given groups, of all where none is given.

    Raises ``ValueError`` for a group that does not exist.

    >>> feature_columns("flag")
    ('touches_border', 'touches_neighbour')
    """
    if unknown := set(kinds) - set(GROUPS):
        raise ValueError(f"no feature group {sorted(unknown)}: choose from {', '.join(GROUPS)}")
    return tuple(name for name, entry in FEATURES.items() if not kinds or entry.group in kinds)
