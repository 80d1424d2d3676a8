"""Lakes that are hurt on purpose: how a run is started and killed, and what must be left of it.

A fault counts as survived where the resumed run ends with the tables of an undisturbed one, byte
for byte. The last line of the session says how many did.
"""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
import tifffile

from nanolake.contracts import get_table, load_tables
from nanolake.pipeline.export import NOT_EXPORTED
from nanolake.simulate import MicrographSettings, simulate_micrograph
from nanolake.storage import Lake
from nanolake.testing.rows import CHANGING

DRIVER = Path(__file__).with_name("driver.py")
GOOD, SIDE_PX = 60, 192
OF_THE_FILES = NOT_EXPORTED - {"work_unit"}
"""Tables that a lake makes for itself: of its Parquet files, and of what is kept ready-made."""
WAIT_S = 240.0


@dataclass
class Book:
    """What was done to lakes, and what they survived."""

    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    profiles: set[str] = field(default_factory=set)


BOOK = pytest.StashKey[Book]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BOOK] = Book()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    book = config.stash[BOOK]
    if not book.injected:
        return
    say = terminalreporter.write_line
    for kind in sorted(book.injected):
        say(f"  {kind}: {book.injected[kind]} injected, {book.survived[kind]} survived")
    say(f"compared byte for byte, but for the columns {', '.join(sorted(CHANGING))}")
    profiles = " and ".join(sorted(book.profiles, reverse=True))
    say(
        f"faults: {book.injected.total()} injected, {book.survived.total()} survived; tables equal "
        f"to an undisturbed run's on {profiles}"
        if book.injected == book.survived
        else f"faults: {book.injected.total()} injected, only {book.survived.total()} survived"
    )


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty simulated micrographs, a copy of one, and three files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    sides = {"height_px": SIDE_PX, "width_px": SIDE_PX}
    settings = MicrographSettings.build(sides)
    for number in range(GOOD):
        pixels = simulate_micrograph(settings, number).pixels
        tifffile.imwrite(folder / f"{number:02d}.tif", pixels)
    whole = (folder / "20.tif").read_bytes()
    (folder / "20_copy.tif").write_bytes(whole)
    (folder / "11_empty.tif").write_bytes(b"")
    (folder / "33_cut.tif").write_bytes(whole[:900])
    (folder / "47_flat.tif").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="session")
def undisturbed(
    pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], list[str]]:
    """Return the tables of a run that nothing happened to, and the files that it left."""
    lake = Lake.create(tmp_path_factory.mktemp("undisturbed") / "lake")
    lake.close()
    run = Run(lake.root, pictures)
    assert run.wait() == 0, run.errors
    found = table_bytes(lake), orphans(lake)
    assert lake.query("FROM micrograph").num_rows == GOOD
    assert lake.query("FROM failure").num_rows == 3
    assert lake.query("FROM particle").num_rows > GOOD
    lake.close()
    return found


class Run:
    """The driver at work on a lake, in a process group of its own."""

    def __init__(self, root: Path, pictures: Path, *moment: object, **variables: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(root), str(pictures), *map(str, moment)],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        )
        assert self._process.stdout is not None
        self._lines = self._process.stdout

    def steps(self, count: int) -> bool:
        """Wait until so many more pictures are done; return whether the run still goes on."""
        while count:
            line = self._lines.readline()
            if not line or line == "end\n":
                return False
            count -= line.split()[-1].isdigit() and line.split()[1] != "0"
        return True

    def workers(self) -> list[psutil.Process]:
        """Return the Dask workers of this run."""
        family = psutil.Process(self._process.pid).children(recursive=True)
        return [one for one in family if "spawn_main" in " ".join(one.cmdline())]

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def wait(self) -> int:
        """Read on until the run has ended; return its exit code."""
        with self._lines, self._errors:
            self.said = self._lines.read()
            code = self._process.wait(WAIT_S)
            self._errors.seek(0)
            self.errors = self._errors.read()
        return code


def table_bytes(lake: Lake) -> dict[str, bytes]:
    """Return each table in the order of its key, as the bytes of an Arrow stream."""
    found = {}
    for name, table in load_tables().items():
        if name in OF_THE_FILES:
            continue
        columns = [column for column in table.column_names if column not in CHANGING]
        key = [column for column in table.key if column in columns]
        order = ", ".join(f'"{column}"' for column in [*key, *columns])
        listed = ", ".join(f'"{column}"' for column in columns)
        rows = lake.query(f'SELECT {listed} FROM "{name}" ORDER BY {order}')
        # Made anew: how rows came in pieces and what lies below a NULL are nobody's values.
        rows = pa.Table.from_pylist(rows.to_pylist(), schema=rows.schema)
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        found[name] = sink.getvalue()
    return found


def differences(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """Return, for each table whose bytes differ, the first row that does."""
    said = []
    for name in wanted:
        if found[name] != wanted[name]:
            mine, theirs = (pa.ipc.open_stream(one[name]).read_all() for one in (found, wanted))
            pairs = zip(mine.to_pylist(), theirs.to_pylist(), strict=False)
            unlike = [
                {key: (a[key], b[key]) for key in a if a[key] != b[key]} for a, b in pairs if a != b
            ]
            said.append(f"{name}: {mine.num_rows} rows for {theirs.num_rows}, {unlike[:1]}")
    return said


def doubled(lake: Lake) -> list[str]:
    """Return the tables in which a key stands twice, or that miscount themselves."""
    found = []
    for name in load_tables():
        key = ", ".join(f'"{column}"' for column in get_table(name).key)
        (row,) = lake.query(
            f'SELECT count(*) AS n, (SELECT count(*) FROM (SELECT DISTINCT {key} FROM "{name}")) '
            f'AS keys FROM "{name}"'
        ).to_pylist()
        listed = lake.query(f'SELECT {key} FROM "{name}"').num_rows
        if not row["n"] == row["keys"] == listed:
            found.append(f"{name}: {row['n']} counted, {listed} rows, {row['keys']} keys")
    return found


def orphans(lake: Lake) -> list[str]:
    """Return the files of a lake that neither a snapshot nor a row names."""
    writer = lake.connections.writer()
    catalogue = f"__ducklake_metadata_lake.{getattr(lake.catalog, 'schema', 'main')}"
    rows = writer.execute(
        f"SELECT path FROM {catalogue}.ducklake_data_file UNION ALL "
        f"SELECT path FROM {catalogue}.ducklake_files_scheduled_for_deletion"
    ).fetchall()
    named = {Path(str(row[0])).name for row in rows}
    lost = [entry.path for entry in lake.tables.walk() if Path(entry.path).name not in named]
    pictures = lake.query("SELECT DISTINCT image_path AS p FROM micrograph")
    labels = lake.query("SELECT DISTINCT label_path AS p FROM segmentation")
    known = set()
    for path in pictures.column("p").to_pylist():
        known |= {f"{path.partition('/')[0]}/zarr.json", f"{path}/labels/zarr.json"}
    for path in (*pictures.column("p").to_pylist(), *labels.column("p").to_pylist()):
        known |= {f"{path}/{file}" for file in ("zarr.json", "0/zarr.json", "0/c/0/0")}
    pixels = lake.images.folder
    return sorted([*lost, *(entry.path for entry in pixels.walk() if entry.path not in known)])


def maintained(lake: Lake) -> None:
    """Let `nanolake maintain` remove what no row names."""
    from nanolake.pipeline.maintain import MaintainSettings, maintain_lake

    maintain_lake(lake, MaintainSettings(orphans_older_than_s=0.0))


@dataclass
class Victim:
    """A lake that faults are done to."""

    lake: Lake
    pictures: Path
    wanted: dict[str, bytes]
    book: Book
    profile: str
    random: random.Random
    pending: Counter[str] = field(default_factory=Counter)

    def run(self, *moment: object, **variables: str) -> Run:
        return Run(self.lake.root, self.pictures, *moment, **variables)

    def hurt(self, kind: str) -> None:
        self.pending[kind] += 1
        self.book.injected[kind] += 1
        self.book.profiles.add(self.profile)

    def heal(self) -> None:
        """Run on to the end, and require that nothing is left of what was done to the lake."""
        for _ in range(2):  # the second has nothing to do
            run = self.run()
            assert run.wait() == 0, run.errors
        self.require_whole()

    def require_whole(self) -> None:
        found = table_bytes(self.lake)
        assert differences(found, self.wanted) == []
        assert doubled(self.lake) == []
        for row in self.lake.query("SELECT image_path, pixel_sha256 FROM micrograph").to_pylist():
            assert _sha256(self.lake, row["image_path"]) == row["pixel_sha256"]
        for row in self.lake.query("SELECT label_path, label_sha256 FROM segmentation").to_pylist():
            assert _sha256(self.lake, row["label_path"]) == row["label_sha256"]
        found_orphans = orphans(self.lake)
        maintained(self.lake)
        assert orphans(self.lake) == []
        assert differences(table_bytes(self.lake), self.wanted) == []
        print(
            f"{self.profile}: {self.pending.total()} faults survived; {len(found_orphans)} files "
            f"that no row names were removed by maintain"
        )
        self.book.survived.update(self.pending)
        self.pending.clear()


def _sha256(lake: Lake, path: str) -> str:
    from nanolake.storage import array_sha256

    return array_sha256(lake.images.read(path))


@pytest.fixture
def victims(
    profile: str,
    new_lake: Callable[[], Lake],
    pictures: Path,
    undisturbed: tuple[dict[str, bytes], Sequence[str]],
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[], Victim]]:
    """Return what makes a new lake of the profile to be hurt. The moments are drawn with a seed."""
    made: list[Victim] = []
    source = random.Random(f"{profile} {request.node.name}")

    def make() -> Victim:
        book = request.config.stash[BOOK]
        victim = Victim(new_lake(), pictures, undisturbed[0], book, profile, source)
        made.append(victim)
        return victim

    yield make
    for victim in made:
        victim.lake.close()
