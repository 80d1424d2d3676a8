"""How much memory this process and its children can still get, asked of the operating system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the free memory of this machine, or of the control group where that is less.

    Counts what the kernel would free at once (file caches). Control groups, of either version,
    are how containers and batch systems hold a job to its share; those around it count too.
    None where the system does not say: Linux alone does. ``root`` is where its files lie.
    """
    known = [number for number in (_machine_bytes(root), *_group_bytes(root)) if number is not None]
    return max(0, min(known)) if known else None


def _machine_bytes(root: Path) -> int | None:
    kilobytes = _named(root / "proc/meminfo", "MemAvailable:")
    return None if kilobytes is None else kilobytes * 1024


def _group_bytes(root: Path) -> Iterator[int | None]:
    """What each control group around this process leaves it; None for one without a limit."""
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            yield from _left(root / "sys/fs/cgroup", place, _V2)
        elif "memory" in controllers.split(","):
            yield from _left(root / "sys/fs/cgroup/memory", place, _V1)


def _left(mount: Path, place: str, names: tuple[str, str, str]) -> Iterator[int | None]:
    """In a container the group's own path may be missing: its files lie at the mount then."""
    limit_name, used_name, cache_name = names
    group = PurePosixPath(place.lstrip("/"))
    for folder in (mount / group, *(mount / parent for parent in group.parents)):
        limit, used = _number(folder / limit_name), _number(folder / used_name)
        if limit is None or used is None:
            yield None
        else:
            yield limit - used + (_named(folder / "memory.stat", cache_name) or 0)


def _named(path: Path, name: str) -> int | None:
    """Return the number behind ``name`` in a file of names and numbers."""
    for line in (_text(path) or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name:
            return int(words[1])
    return None


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is none, or the word ``max``."""
    text = (_text(path) or "").strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
