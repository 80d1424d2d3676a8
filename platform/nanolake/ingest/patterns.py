"""File patterns of a sample sheet: globs, and number fields such as ``img_{n:03d}.tif``."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from nanolake.ingest.readers.tia import ser_files

_FIELD = re.compile(r"\{n(?::0?(\d+)d?)?\}")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_MAX_NUMBERS = 100_000


def parse_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a list of numbers and ranges, in order, each once.

    Raises `ValueError` saying what is wrong.

    >>> parse_numbers("1-3, 25, 2")
    (1, 2, 3, 25)
    """
    found: dict[int, None] = {}
    for part in re.split(r"[,;]", str(text).replace("–", "-").replace("—", "-")):
        word = re.sub(r"\s+", "", part)
        if not word:
            continue
        match = _RANGE.fullmatch(word)
        if not match:
            raise ValueError(f"{part.strip()!r} is neither a number nor a range such as 3-9")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {word!r} runs backwards; write {last}-{first}")
        if last - first + len(found) >= _MAX_NUMBERS:
            raise ValueError(f"{word!r} makes more than {_MAX_NUMBERS} numbers")
        found |= dict.fromkeys(range(first, last + 1))
    return tuple(found)


def has_number(pattern: str) -> bool:
    """Whether ``pattern`` holds a number field."""
    return _FIELD.search(pattern) is not None


def match_files(
    folder: Path, pattern: str, numbers: tuple[int, ...] | None, skipped: tuple[int, ...]
) -> tuple[list[Path], list[str]]:
    """Return the files that a pattern names, sorted, and the patterns that name none.

    Parameters
    ----------
    folder : where relative patterns start.
    pattern : a file name, a glob (``*``, ``?``, ``[…]``, ``**``), or either with ``{n}`` or
        ``{n:03d}`` where a number stands.
    numbers : the numbers wanted; None takes every number there is.
    skipped : numbers to leave out.
    """
    if not has_number(pattern):
        files = _glob(folder, pattern)
        return files, [] if files else [pattern]
    if numbers is None:
        return _any_number(folder, pattern, skipped)
    files, missing = [], []
    for number in numbers:
        if number in skipped:
            continue
        name = _FIELD.sub(lambda field, n=number: _formatted(field, n), pattern)  # type: ignore[misc]
        matched = _glob(folder, name)
        files += matched
        missing += [] if matched else [name]
    return files, missing


def with_data_files(files: list[Path]) -> list[Path]:
    """Put the SER files in the place of each EMI that describes them; every file once."""
    found: dict[Path, None] = {}
    for path in files:
        data = ser_files(path) if path.suffix.lower() == ".emi" and path.is_file() else []
        found |= dict.fromkeys(data or [path])
    return list(found)


def _formatted(field: re.Match[str], number: int) -> str:
    return str(number).zfill(int(field[1] or 0))


def _any_number(
    folder: Path, pattern: str, skipped: tuple[int, ...]
) -> tuple[list[Path], list[str]]:
    anything = _glob(folder, _FIELD.sub("*", pattern))
    fields = _FIELD.split(Path(pattern).name)[::2]
    name = re.compile(r"(\d+)".join(_glob_to_regex(part) for part in fields))
    found = []
    for path in anything:
        match = name.fullmatch(path.name)
        if match and not any(int(number) in skipped for number in match.groups()):
            found.append(path)
    return found, [] if found else [pattern]


def _glob_to_regex(part: str) -> str:
    return re.escape(part).replace(r"\*", ".*").replace(r"\?", ".")


def _glob(folder: Path, pattern: str) -> list[Path]:
    exact = folder / pattern
    if exact.is_file():
        return [exact]
    # Path.glob refuses absolute patterns, which a sheet may hold.
    names = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    return sorted(folder / name for name in names if (folder / name).is_file())
