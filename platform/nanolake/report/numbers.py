"""How numbers are written: as many digits as their uncertainty allows, the same in a column."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

ABSENT = "–"


def decimals(half_width: float | None) -> int:
    """Return the decimals of a value known to ± ``half_width``: one digit of it, two after a 1.

    >>> decimals(0.13), decimals(0.4), decimals(3.0), decimals(12.0)
    (2, 1, 0, 0)
    """
    if half_width is None or not math.isfinite(half_width) or half_width <= 0:
        return 2
    power = math.floor(math.log10(half_width))
    leading = math.floor(half_width / 10.0**power * (1 + 1e-12))
    return min(max(-power + (leading == 1), 0), 4)


def column_decimals(half_widths: Iterable[float | None]) -> int:
    """Return one number of decimals for a column: that of its median uncertainty."""
    known = sorted(w for w in half_widths if w is not None and math.isfinite(w) and w > 0)
    return decimals(known[len(known) // 2]) if known else 2


def fixed(value: Any, places: int) -> str:
    """Write a number with ``places`` decimals; a dash where there is none.

    >>> fixed(1234.5678, 1), fixed(None, 2), fixed(-0.001, 2)
    ('1,234.6', '–', '0.00')
    """
    if value is None or not math.isfinite(float(value)):
        return ABSENT
    text = f"{float(value):,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def plus_minus(value: float | None, low: float | None, high: float | None) -> str:
    """Write a value with half its interval.

    >>> plus_minus(12.43, 12.32, 12.54)
    '12.43 ± 0.11'
    """
    if value is None or low is None or high is None:
        return ABSENT
    half = 0.5 * (high - low)
    places = decimals(half)
    return f"{fixed(value, places)} ± {fixed(half, places)}"


def percent(share: float | None, places: int = 1) -> str:
    """Write a share of 1 as per cent."""
    return ABSENT if share is None else f"{fixed(100.0 * share, places)} %"


def duration(seconds: float) -> str:
    """Write a time.

    >>> duration(305.2), duration(12.34), duration(7260)
    ('5 min 5 s', '12.3 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(n: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun.

    >>> counted(1, "particle"), counted(1200, "particle"), counted(0, "group")
    ('1 particle', '1,200 particles', 'no groups')
    """
    noun = one if n == 1 else (many or f"{one}s")
    return f"{n:,} {noun}" if n else f"no {many or one + 's'}"


def plain_value(value: Any) -> str:
    """Write whatever stands in a mapping handed over: text as it is, numbers to four digits."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if hasattr(value, "dtype") and getattr(value, "shape", None) == ():
        return plain_value(value.item())
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else ABSENT
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(plain_value(item) for item in value)
    return str(value)
