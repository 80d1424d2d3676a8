"""What is wrong with a stored picture: not one byte of it may differ unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nanolake.storage import ImageStore
from nanolake.storage.image_checks import image_problems, missing_files

PIXELS = np.add.outer(np.arange(40), np.arange(30)).astype(np.uint16)


@pytest.mark.parametrize("file", ["0/c/0/0", "0/zarr.json", "zarr.json"])
def test_every_byte_that_is_flipped_is_seen(tmp_path: Path, file: str) -> None:
    """Each byte of the file, in its lowest bit and wholly: some 300 of the shard."""
    store = ImageStore(tmp_path)
    stored = store.write("e", "m", PIXELS, (0.5, 0.5))

    def problems() -> list[str]:
        found = image_problems(
            store,
            stored.path,
            sha256=stored.sha256,
            shape=PIXELS.shape,
            dtypes=["uint16"],
            pixel_sizes_nm=[None, (0.5, 0.5)],
        )
        return [path for path, _ in found]

    assert problems() == []
    path = tmp_path / stored.path / file
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bits in (1, 0xFF):
            torn = bytearray(whole)
            torn[place] ^= bits
            path.write_bytes(torn)
            assert problems() == [f"{stored.path}/{file}"], (place, bits)
    path.write_bytes(whole)
    assert problems() == []


def test_a_description_of_another_size_is_not_believed(tmp_path: Path) -> None:
    """A flipped digit may claim terabytes: nothing is decoded then."""
    store = ImageStore(tmp_path)
    stored = store.write("e", "m", PIXELS)
    path = tmp_path / stored.path / "0" / "zarr.json"
    path.write_text(path.read_text().replace("40", "900000000"))
    ((file, text),) = image_problems(
        store,
        stored.path,
        sha256=stored.sha256,
        shape=PIXELS.shape,
        dtypes=["uint16"],
        pixel_sizes_nm=[None],
    )
    assert file == f"{stored.path}/0/zarr.json"
    assert "shape" in text
    (tmp_path / stored.path / "0" / "c" / "0" / "0").write_bytes(b"")
    assert missing_files(store, stored.path) == [(f"{stored.path}/0/c/0/0", "empty")]
