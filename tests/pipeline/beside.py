"""Another process at a lake: a writer that waits before it commits, or a maintenance that dies.

``python beside.py write LAKE`` claims, stores a picture, takes over what an earlier run left and
says ``staged``; once it is sent a line it commits. ``python beside.py die LAKE OWNER NAME NTH``
maintains and is gone at the NTH call of a function, as if the machine had lost power.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from nanolake.pipeline.maintain import MaintainSettings, maintain_lake
from nanolake.storage import ImageStore, Lake, Unit, maintenance
from nanolake.storage.folders import LocalFolder, S3Folder

OWNERS = {"maintenance": maintenance, "images": ImageStore}


def write(lake: Lake) -> None:
    for step in ("ingest", "segment"):
        lake.ledger.claim([Unit(key=f"live-{step}", step=step, subject=step)])
    new = lake.images.write("exp", "live", np.full((64, 64), 9, np.uint16))
    taken = lake.images.write("exp", "old", np.full((64, 64), 3, np.uint16))
    if isinstance(lake.data, LocalFolder):
        half = lake.images.root / "exp.zarr" / ".writing-live-1"
        half.mkdir()
        (half / "zarr.json").write_text("{}")
    lake.tables.write("main/lab/ducklake-live.parquet", b"being written")
    print("staged", flush=True)
    sys.stdin.readline()
    row = lake.query("FROM micrograph LIMIT 1").to_pylist()[0]
    rows = [
        row
        | {"micrograph_id": one.path, "image_path": one.path, "pixel_sha256": one.sha256}
        | {"unit_key": "live-ingest"}
        for one in (new, taken)
    ]
    number = lake.commit({"micrograph": rows}, message="live", unit_keys=["live-ingest"])
    lake.ledger.finish({"live-ingest": 1.0}, number)
    lake.ledger.release(["live-segment"])
    lake.close()


def die(lake: Lake, owner: str, name: str, nth: int) -> None:
    folder = LocalFolder if isinstance(lake.data, LocalFolder) else S3Folder
    place: Any = OWNERS.get(owner, folder)
    call, count = getattr(place, name), 0

    def deadly(*words: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*words, **more)

    setattr(place, name, deadly)
    maintain_lake(lake, MaintainSettings(expire_older_than_s=0, orphans_older_than_s=0))


if __name__ == "__main__":
    what, root, *more = sys.argv[1:]
    if what == "write":
        write(Lake.open(Path(root)))
    else:
        die(Lake.open(Path(root)), more[0], more[1], int(more[2]))
