"""A disk that fills up in the middle of a run: one error, and the run goes on when there is room.

The lake's folder lies on a small tmpfs, whose writes fail with ENOSPC as any full disk's do: of
Parquet, Zarr and SQLite, whichever comes first.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nanolake.storage import Lake

pytestmark = [
    pytest.mark.slow,
    pytest.mark.dask,
    pytest.mark.timeout(900),
    pytest.mark.parametrize("profile", ["laptop"], indirect=True),
]

SIZE = "64m"
LEFT_BYTES = (0, 60_000, 400_000)
"""Room that is left when the disk begins to be full."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system may not be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def new_lake(disk: Path) -> Callable[[], Lake]:
    return lambda: Lake.create(disk / "lake")


def test_a_full_disk_stops_the_run_with_one_error_and_it_goes_on_when_there_is_room(
    victims: Callable[[], Any], disk: Path
) -> None:
    victim = victims()
    for left in (*LEFT_BYTES, 0):
        run = victim.run()
        assert run.steps(victim.random.randint(2, 12))
        fill(disk / "ballast", left)
        code = run.wait()
        said = [line for line in run.errors.splitlines() if line.startswith("nanolake: ")]
        print(f"{left} bytes left: {code} {said}")
        assert code == 1, run.errors
        assert len(said) == 1, run.errors
        assert "Traceback" not in run.errors
        victim.hurt("disk full")
        (disk / "ballast").unlink()
    victim.heal()


def fill(file: Path, left_bytes: int) -> None:
    """Let a file take all room but so many bytes."""
    with file.open("wb", buffering=0) as ballast:
        free = os.statvfs(file.parent)
        ballast.write(b"\0" * max(0, free.f_bavail * free.f_frsize - left_bytes))
        try:
            while not left_bytes:
                ballast.write(b"\0" * 4096)
        except OSError:
            return
