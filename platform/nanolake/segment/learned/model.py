"""Inference of the learned segmentation: ONNX Runtime only, no torch.

The network's file is a contract with whoever exports it. Input ``grey`` (n, 1, h, w) float32 in
0 … 1, output ``maps`` (n, 4, h, w) float32 in 0 … 1, with n, h and w free; metadata ``name``,
``card`` (JSON text), and the whole numbers ``stride``, ``halo_px`` and ``bytes_per_px``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import ModelError
from nanolake.segment.learned.tiles import map_tiles, padded_px, tile_shape

SHIPPED = Path(
    str(resources.files("nanolake.segment.learned") / "weights" / "nanolake-segment.onnx")
)
"""The weights that come with the package; the model card lies beside them."""
MAPS = ("particle", "print", "distance", "overlap")
"""Probability of particle, probability of print, normalised distance to the particle's outline, and
the number of further particles over the same pixel, over `MOST_FURTHER`."""
MOST_FURTHER = 3
"""More particles over one more are not told apart."""
_NUMBERS = ("stride", "halo_px", "bytes_per_px")
_FIXED_BYTES = 32 * 1024**2
"""What ONNX Runtime takes whatever the picture: measured 8 to 25 MB with small networks."""
_REMEDY = "train one with jobs/train_segmenter.py or leave the path out for the shipped one"
_SLACK = 1e-3


class MapModel:
    """Holds one trained network; `maps` runs it over a picture of any size.

    Deterministic: the same picture, file and machine give the same maps, however the picture is
    tiled. May be shared by threads; cannot be pickled, so tasks carry the path and call
    `load_model`. Raises `ModelError` where the file is missing or is no such network.
    """

    def __init__(
        self, path: Path | str | None = None, *, threads: int = 1, core_px: int = 2048
    ) -> None:
        file = Path(path) if path is not None else SHIPPED
        content = _read(file)
        self.model_id: str = hashlib.sha256(content).hexdigest()[:16]
        self.threads = threads
        self._session = _session(content, file, threads)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.stride, self.halo_px, self.bytes_per_px = _numbers(metadata, file)
        self.name: str = metadata.get("name", file.stem)
        self.card: dict[str, Any] = _card(metadata, file)
        self.core_px = padded_px(core_px, self.stride)

    def maps(self, grey: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the `MAPS` of one picture.

        ``grey`` is (h, w), at least 1 x 1, grey values in 0 … 1, origin top left; it is not
        changed. Returns (4, h, w) float32 in 0 … 1. Raises `ModelError` for other input.
        """
        self._check(grey)
        return map_tiles(
            self._run, grey, core_px=self.core_px, halo_px=self.halo_px, stride=self.stride
        )

    def predicted_bytes(self, height: int, width: int) -> int:
        """Return the memory that `maps` needs at its peak beside the picture, before it runs.

        The padded picture, the result, and the working memory of one tile, whose size stops
        growing at ``core_px + 2 halo_px``. An upper estimate; the loaded network is not in it.
        """
        grid = {"core_px": self.core_px, "halo_px": self.halo_px, "stride": self.stride}
        tile_height, tile_width = tile_shape(height, width, **grid)
        padded = padded_px(height, self.stride) * padded_px(width, self.stride)
        per_px = np.dtype(np.float32).itemsize
        whole = padded * per_px + height * width * len(MAPS) * per_px
        return _FIXED_BYTES + whole + tile_height * tile_width * self.bytes_per_px

    def _run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session.run(
            None, {"grey": np.ascontiguousarray(tiles)}, _run_options(give_back=self.threads == 1)
        )[0]
        return found

    def _check(self, grey: NDArray[np.floating]) -> None:
        if grey.ndim != 2 or not grey.size:
            raise ModelError(f"a picture of shape {grey.shape} cannot be mapped: give (y, x)")
        low, high = float(grey.min()), float(grey.max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise ModelError(
                f"grey values from {low:g} to {high:g} do not fit {self.name}, which takes finite "
                "values in 0 … 1: stretch the picture first"
            )


def load_model(path: Path | str | None = None, *, threads: int = 1) -> MapModel:
    """Return the model of ``path`` (None: the shipped one), loaded once a process.

    A file written anew is loaded anew. Raises `ModelError` as `MapModel` does.
    """
    file = Path(path) if path is not None else SHIPPED
    try:
        state = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    return _loaded(file, threads, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _loaded(file: Path, threads: int, _mtime_ns: int, _size: int) -> MapModel:
    return MapModel(file, threads=threads)


def measured_bytes_per_px(path: Path | str, *, threads: int = 1, side_px: int = 1024) -> int:
    """Run a network once, in a process of its own, and return the memory it took a pixel.

    For whoever exports it: write the number to the file's metadata as ``bytes_per_px`` (before, a
    0 stands there). ``side_px`` is the picture's height and width; 1024, a power of two, is what
    ONNX Runtime's arena fits worst. A smaller picture is run before it, as in a worker: one network
    took 201 bytes a pixel alone and 268 after it. Linux only. Raises `ModelError` where the network
    does not run.
    """
    command = [sys.executable, "-c", _MEASURE, str(path), str(threads), str(side_px)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ModelError(f"cannot measure the memory of {path}: {done.stderr.strip()[-500:]}")
    return -(-int(done.stdout) // side_px**2)


_MEASURE = """
import sys
from pathlib import Path
import numpy as np
from nanolake.segment.learned.model import MapModel

def kilobytes(key):
    return int(Path("/proc/self/status").read_text().split(key)[1].split()[0])

path, threads, side_px = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model, tile = MapModel(path, threads=threads), np.full((1, 1, side_px, side_px), 0.5, np.float32)
model._run(tile[..., : side_px // 4, : side_px // 4])  # what it left behind fits no larger one
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
before = kilobytes("VmRSS:")
model._run(tile)
print((kilobytes("VmHWM:") - before) * 1024)
"""


def _unreadable(file: Path, error: OSError) -> ModelError:
    return ModelError(f"cannot read the segmentation network {file}: {error}; {_REMEDY}")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from error


def _session(content: bytes, file: Path, threads: int) -> Any:
    """Open the network: arena without memory pattern, see `_run_options` for what it keeps.

    Measured on 2048 x 2048 with 0.8 million weights: with the pattern 262 bytes a pixel at the
    peak, without it 154; with no arena 131, but half a second more for fresh pages at each run.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            f"{file} is not an ONNX file that can be run ({error}); {_REMEDY}"
        ) from error
    _check_ports(session, file)
    return session


def _run_options(*, give_back: bool) -> Any:
    """Give memory back after a run, or keep it for the next one.

    Measured as in `_session`: to give it back takes 0.12 s a run, for fresh pages, and 45 bytes a
    pixel are kept after it, not the 154, which grow to 232 after ten pictures of other sizes. A
    worker, with one thread of its own among many, gives it back; a lone process with several
    threads keeps it.
    """
    import onnxruntime as ort

    options = ort.RunOptions()
    if give_back:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _check_ports(session: Any, file: Path) -> None:
    ports = [
        (port.name, port.type, len(port.shape), port.shape[1] if len(port.shape) > 1 else None)
        for port in (*session.get_inputs(), *session.get_outputs())
    ]
    wanted = [("grey", "tensor(float)", 4, 1), ("maps", "tensor(float)", 4, len(MAPS))]
    if ports != wanted:
        raise ModelError(
            f"{file} is an ONNX file, but no segmentation network of this version: its ports are "
            f"{ports} and not {wanted} (name, type, axes, channels); {_REMEDY}, or train the "
            "checkpoint beside it on (start_from)"
        )
    shape = session.get_inputs()[0].shape
    if any(isinstance(shape[axis], int) for axis in (0, 2, 3)):
        raise ModelError(
            f"{file} takes pictures of {shape} only: export it with number, height and width free"
        )


def _numbers(metadata: dict[str, str], file: Path) -> tuple[int, int, int]:
    """Return stride, halo_px and bytes_per_px, each checked."""
    texts = [metadata.get(name, "") for name in _NUMBERS]
    if not all(text.isdecimal() for text in texts):
        named = dict(zip(_NUMBERS, texts, strict=True))
        raise ModelError(f"{file} does not say its whole numbers {named} in metadata; {_REMEDY}")
    stride, halo_px, bytes_per_px = (int(text) for text in texts)
    if stride < 1 or halo_px % stride:
        raise ModelError(
            f"{file} says stride = {stride} and halo_px = {halo_px}: the halo must be a multiple "
            f"of a stride of at least 1; {_REMEDY}"
        )
    return stride, halo_px, bytes_per_px


def _card(metadata: dict[str, str], file: Path) -> dict[str, Any]:
    try:
        card = json.loads(metadata.get("card", "{}"))
    except json.JSONDecodeError as error:
        raise ModelError(f"{file} carries a card that is no JSON ({error}); {_REMEDY}") from error
    return dict(card)
