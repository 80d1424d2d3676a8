"""The network's file around ONNX Runtime: its contract, its cache, its memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from nanolake.errors import ModelError
from nanolake.segment.learned import MapModel, load_model
from nanolake.segment.learned.model import SHIPPED, measured_bytes_per_px


@pytest.fixture(scope="module")
def small(make_network) -> Path:
    return make_network()


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng([height, width]).random((height, width), np.float32)


def test_what_the_file_says_is_what_the_model_knows(small: Path) -> None:
    model = MapModel(small)
    assert (model.stride, model.halo_px, model.bytes_per_px) == (4, 12, 200)
    assert (model.name, model.card) == ("small", {"seed": 0})
    digest = subprocess.run(["sha256sum", small], capture_output=True, text=True, check=True)
    assert model.model_id == digest.stdout[:16]


@pytest.mark.parametrize("shape", [(1, 1), (5, 64), (63, 2), (90, 131)])
def test_maps_of_any_size_do_not_depend_on_the_tiles(small: Path, shape: tuple[int, int]) -> None:
    grey = picture(*shape)
    whole, tiled = MapModel(small).maps(grey), MapModel(small, core_px=30).maps(grey)
    assert whole.shape == (4, *shape)
    assert whole.dtype == np.float32
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert whole.std() > 0 or grey.size == 1
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


def test_threads_and_number_types_change_nothing(small: Path) -> None:
    grey = picture(70, 50)
    first = MapModel(small).maps(grey)
    np.testing.assert_allclose(MapModel(small, threads=2).maps(grey), first, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(MapModel(small).maps(grey.astype(np.float64)), first)
    np.testing.assert_array_equal(MapModel(small).maps(np.asfortranarray(grey)), first)


def test_a_strided_view_is_a_picture_too(small: Path) -> None:
    grey = picture(80, 80)
    view = MapModel(small).maps(grey[::2, ::-1])
    np.testing.assert_array_equal(view, MapModel(small).maps(grey[::2, ::-1].copy()))


def test_loaded_once_a_process(make_network) -> None:
    path = make_network(seed=1)
    model = load_model(path)
    assert load_model(str(path)) is model
    assert load_model(path, threads=2) is not model
    path.write_bytes(make_network(seed=2).read_bytes())
    os.utime(path, (0, 0))  # a clock coarser than this test
    assert load_model(path).model_id != model.model_id


@pytest.mark.parametrize(
    ("grey", "said"),
    [
        (np.zeros((2, 8, 8), np.float32), r"shape \(2, 8, 8\)"),
        (np.zeros((0, 8), np.float32), r"shape \(0, 8\)"),
        (np.full((8, 8), 255.0, np.float32), "from 255 to 255"),
        (np.full((8, 8), np.nan, np.float32), "from nan to nan"),
    ],
)
def test_bad_pictures(small: Path, grey: np.ndarray, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        MapModel(small).maps(grey)


def test_missing_torn_and_foreign_files(small: Path, tmp_path: Path) -> None:
    for opened in (MapModel, load_model):
        with pytest.raises(ModelError, match=r"cannot read .*none\.onnx"):
            opened(tmp_path / "none.onnx")
    (tmp_path / "torn.onnx").write_bytes(small.read_bytes()[:500])
    with pytest.raises(ModelError, match="not an ONNX file"):
        MapModel(tmp_path / "torn.onnx")
    from nanolake.shape.predictor import SHIPPED as SHAPE_NETWORK

    with pytest.raises(ModelError, match="no segmentation network"):
        MapModel(SHAPE_NETWORK)


def test_a_file_for_one_size_only(small: Path, tmp_path: Path) -> None:
    model = onnx.load(str(small))
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 64
    onnx.save_model(model, str(tmp_path / "fixed.onnx"))
    with pytest.raises(ModelError, match="height and width free"):
        MapModel(tmp_path / "fixed.onnx")


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"stride": ""}, "does not say"),
        ({"bytes_per_px": "many"}, "'bytes_per_px': 'many'"),
        ({"stride": "0"}, "stride = 0"),
        ({"halo_px": "13"}, "halo_px = 13"),
        ({"card": "{"}, "card"),
    ],
)
def test_bad_metadata(make_network, metadata: dict[str, str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        MapModel(make_network(**metadata))


def test_memory_is_measured_and_predicted(make_network) -> None:
    # One map of 32 float32 channels in full resolution is 128 bytes a pixel; of such maps, the
    # input and the output of the last convolution, one to three are there at once.
    said = measured_bytes_per_px(make_network(channels=32, bytes_per_px="0"))
    assert 128 <= said < 3 * 128
    path = make_network(channels=32, bytes_per_px=str(said))
    measure = (
        "import sys; from pathlib import Path; import numpy as np;"
        "from nanolake.segment.learned import MapModel;"
        "model = MapModel(sys.argv[1], core_px=512); grey = np.full((900, 1500), .5, np.float32);"
        "model.maps(grey[:64, :64]); Path('/proc/self/clear_refs').write_text('5');"
        "of = lambda key: int(Path('/proc/self/status').read_text().split(key)[1].split()[0]);"
        "before = of('VmRSS:'); model.maps(grey); peak = (of('VmHWM:') - before) * 1024;"
        "print(peak, model.predicted_bytes(900, 1500))"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, path], capture_output=True, text=True, check=True
    )
    peak, predicted = map(int, done.stdout.split())
    assert predicted / 2 < peak < predicted


def test_memory_of_a_file_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot measure .*none\.onnx"):
        measured_bytes_per_px(tmp_path / "none.onnx")


def test_memory_of_a_tile_stops_growing(small: Path) -> None:
    model = MapModel(small, core_px=512)
    a_px = model.predicted_bytes(20_000, 20_000) / 20_000**2
    assert a_px < 5 * 4 + 0.5  # padded picture and four maps; a tile no longer counts
    assert model.predicted_bytes(512, 512) > 512**2 * 200


def test_inference_needs_no_torch(small: Path) -> None:
    code = (
        "import sys; from nanolake.segment import learned;"
        "light = {'numpy', 'onnxruntime'} & set(sys.modules);"
        "learned.load_model(sys.argv[1]);"
        "print(sorted(light | ({'torch', 'ray', 'dask', 'mlflow'} & set(sys.modules))))"
    )
    command = [sys.executable, "-c", code, small]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not SHIPPED.is_file(), reason="no weights are shipped yet")
def test_the_shipped_halo_is_large_enough() -> None:
    model = MapModel()
    grey = picture(8 * model.stride, 2 * model.halo_px + 5 * model.stride + 7)
    tiled = MapModel(core_px=model.stride).maps(grey)
    np.testing.assert_allclose(tiled, model.maps(grey), rtol=0, atol=1e-5)
