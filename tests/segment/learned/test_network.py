"""The network: its size, what it looks at, and its twin in ONNX."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytestmark = pytest.mark.filterwarnings("ignore")

from nanolake.segment.learned.export import bytes_per_px, export_onnx, folded  # noqa: E402
from nanolake.segment.learned.model import MapModel, measured_bytes_per_px  # noqa: E402
from nanolake.segment.learned.network import (  # noqa: E402
    HALO_PX,
    MAPS,
    STRIDE,
    Exported,
    SegmenterNetwork,
)


@pytest.fixture(scope="module")
def network() -> SegmenterNetwork:
    """Random weights whose normalisations have seen pictures, so that folding them matters."""
    torch.manual_seed(3)
    made = SegmenterNetwork()
    with torch.no_grad():
        for _ in range(3):
            made(torch.rand(2, 1, 2 * STRIDE, 2 * STRIDE))
    return made.eval()


@pytest.fixture(scope="module")
def file(network: SegmenterNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "n.onnx"
    return export_onnx(network, path, name="n", card={"made": "here"})


def test_small_and_in_range(network: SegmenterNetwork) -> None:
    assert sum(weight.numel() for weight in network.parameters()) < 1_000_000
    with torch.no_grad():
        maps = Exported(network)(torch.rand(2, 1, STRIDE, 3 * STRIDE))
    assert maps.shape == (2, len(MAPS), STRIDE, 3 * STRIDE)
    assert ((maps > 0) & (maps < 1)).all()


def test_a_pixel_changes_nothing_beyond_the_halo(network: SegmenterNetwork) -> None:
    middle = 12 * STRIDE
    grey = torch.full((1, 1, STRIDE, 24 * STRIDE), 0.5)
    grey += 0.1 * torch.rand(grey.shape, generator=torch.Generator().manual_seed(0))
    other = grey.clone()
    other[..., middle] += 5.0
    with torch.no_grad():
        change = (network(grey) - network(other)).abs().amax((0, 1, 2))
    reached = torch.nonzero(change > 1e-7).ravel()
    far = int((reached - middle).abs().max())
    # more than two of the coarsest cells: the test would notice a network that looks nowhere
    assert 2 * STRIDE < far < HALO_PX


def test_folding_the_normalisations_changes_nothing(network: SegmenterNetwork) -> None:
    made = folded(network)
    kinds = {type(module).__name__ for module in made.modules()}
    assert "BatchNorm2d" not in kinds
    assert "BatchNorm2d" in {type(module).__name__ for module in network.modules()}
    grey = torch.rand(1, 1, 2 * STRIDE, STRIDE)
    with torch.no_grad():
        np.testing.assert_allclose(made(grey), network(grey), atol=1e-5)


def test_onnx_equals_torch(network: SegmenterNetwork, file: Path) -> None:
    import onnxruntime as ort

    session = ort.InferenceSession(file)
    rng = np.random.default_rng(0)
    for shape in ((1, 1, STRIDE, STRIDE), (3, 1, 5 * STRIDE, 2 * STRIDE)):
        grey = rng.random(shape, np.float32)
        with torch.no_grad():
            expected = Exported(network)(torch.from_numpy(grey)).numpy()
        np.testing.assert_allclose(session.run(None, {"grey": grey})[0], expected, atol=1e-5)


def test_the_graph_is_plain_convolutions(file: Path) -> None:
    import onnx

    kinds = Counter(node.op_type for node in onnx.load(file).graph.node)
    assert kinds["SpaceToDepth"] == kinds["ConvTranspose"] == 1
    known = {"Sub", "SpaceToDepth", "Conv", "Relu", "MaxPool", "Add", "Resize", "ConvTranspose"}
    assert set(kinds) == known | {"Sigmoid"}  # no normalisation, no arithmetic with shapes


def test_the_file_fits_inference_and_says_what_it_is(network: SegmenterNetwork, file: Path) -> None:
    model = MapModel(file)
    assert (model.name, model.card) == ("n", {"made": "here"})
    assert (model.stride, model.halo_px) == (STRIDE, HALO_PX)
    assert file.stat().st_size < 8e6
    assert str(Path.cwd()).encode() not in file.read_bytes()  # nothing of this machine inside
    measured = measured_bytes_per_px(file, side_px=512)
    assert 0.5 * bytes_per_px(network) < measured <= model.bytes_per_px == bytes_per_px(network)


def test_segmenting_needs_no_torch(file: Path) -> None:
    code = (
        "import json, sys, numpy as np\n"
        "from nanolake.segment import SegmentSettings, segment\n"
        "from nanolake.segment.learned.learned import segment_with\n"
        "from nanolake.segment.learned.model import MapModel\n"
        "grey = np.random.default_rng(0).random((64, 96), np.float32)\n"
        "segment(grey)\n"
        "segment_with(MapModel(sys.argv[1]), grey, SegmentSettings())\n"
        "heavy = {'torch', 'pytorch_lightning', 'ray', 'mlflow', 'onnx', 'dask'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    command = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
