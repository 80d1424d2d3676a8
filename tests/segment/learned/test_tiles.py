"""Tiles: what they cover, what they cost, and that their seams do not show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nanolake.errors import SettingsError
from nanolake.segment.learned.tiles import Run, Span, map_tiles, padded_px, spans, tile_shape

WHOLE = 4000  # a core larger than every picture here: one tile


@pytest.fixture(scope="module")
def network(make_network) -> Run:
    path: Path = make_network(seed=3)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda tiles: session.run(None, {"grey": tiles})[0]


def picture(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng([height, width]).random((height, width), np.float32)


def test_an_axis_cut_by_hand() -> None:
    # 100 pixels, at most 40 + 2 * 8 = 56 a tile: (100 - 16) / 40 = 2.1, so three tiles, of which
    # 100 + 2 * 16 = 132 = 3 * 44 pixels are run, 44 in each; they begin every 44 - 16 = 28.
    assert spans(100, core_px=40, halo_px=8, stride=4) == [
        Span(0, 44, 0, 36),
        Span(28, 72, 36, 64),
        Span(56, 100, 64, 100),
    ]
    assert spans(56, core_px=40, halo_px=8, stride=4) == [Span(0, 56, 0, 56)]


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 400), st.integers(1, 9), st.integers(0, 5), st.sampled_from([1, 4, 32]))
def test_every_pixel_is_kept_once_and_far_from_the_cuts(
    length: int, core: int, halo: int, stride: int
) -> None:
    length, core_px, halo_px = length * stride, core * stride, halo * stride
    tiles = spans(length, core_px=core_px, halo_px=halo_px, stride=stride)
    assert [tile.keep_start for tile in tiles] == [0, *(t.keep_stop for t in tiles[:-1])]
    assert tiles[-1].keep_stop == length
    assert len({tile.stop - tile.start for tile in tiles}) == 1
    for tile in tiles:
        assert 0 <= tile.start < tile.stop <= length
        assert tile.start % stride == tile.stop % stride == 0
        assert tile.stop - tile.start <= core_px + 2 * halo_px
        assert tile.keep_start < tile.keep_stop
        assert tile.start == 0 or tile.keep_start - tile.start >= halo_px
        assert tile.stop == length or tile.stop - tile.keep_stop >= halo_px


@pytest.mark.parametrize("shape", [(96, 96), (97, 130), (33, 211), (200, 1), (7, 5), (1, 1)])
@pytest.mark.parametrize("core_px", [12, 32, 64])
def test_no_seam(network: Run, shape: tuple[int, int], core_px: int) -> None:
    grey = picture(*shape)
    whole = map_tiles(network, grey, core_px=WHOLE, halo_px=12, stride=4)
    tiled = map_tiles(network, grey, core_px=core_px, halo_px=12, stride=4, batch=3)
    assert whole.shape == (4, *shape)
    assert whole.dtype == tiled.dtype == np.float32
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-6)


def test_a_halo_one_stride_too_small_shows(network: Run) -> None:
    # The network reaches 11 pixels (conftest.py): with 8 the zeros around a tile come into view.
    grey = picture(97, 130)
    whole = map_tiles(network, grey, core_px=WHOLE, halo_px=12, stride=4)
    tiled = map_tiles(network, grey, core_px=32, halo_px=8, stride=4)
    assert np.abs(tiled - whole).max() > 1e-5


def test_padding_is_a_reflection_at_the_far_sides_only() -> None:
    seen = []

    def run(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(tiles)
        return tiles

    grey = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], np.float32)
    found = map_tiles(run, grey, core_px=4, halo_px=0, stride=4)
    # 0.1 0.2 0.3 goes on with 0.2, without repeating 0.3; rows 0 1 go on with 0 1.
    wanted = [[0.1, 0.2, 0.3, 0.2], [0.4, 0.5, 0.6, 0.5]] * 2
    np.testing.assert_allclose(seen[0][0, 0], wanted)
    np.testing.assert_array_equal(found[0], grey)


def test_tiles_are_bounded_and_equal_and_come_in_batches() -> None:
    shapes = []

    def run(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        shapes.append(tiles.shape)
        return tiles

    grey = picture(301, 150)
    found = map_tiles(run, grey, core_px=64, halo_px=16, stride=4, batch=4)
    np.testing.assert_array_equal(found[0], grey)  # each tile went where it came from
    assert {shape[1:] for shape in shapes} == {
        (1, *tile_shape(301, 150, core_px=64, halo_px=16, stride=4))
    }
    assert max(max(shape[2:]) for shape in shapes) <= 64 + 2 * 16
    # (304 - 32) / 64 and (152 - 32) / 64, rounded up: 5 x 2 tiles.
    assert [shape[0] for shape in shapes] == [4, 4, 2]


def test_the_picture_is_not_changed(network: Run) -> None:
    grey = picture(40, 40)
    before = grey.copy()
    map_tiles(network, grey, core_px=16, halo_px=12, stride=4)
    np.testing.assert_array_equal(grey, before)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"core_px": 30}, "core_px = 30"),
        ({"core_px": 0}, "core_px = 0"),
        ({"halo_px": 10}, "round it up, to 12"),
        ({"halo_px": -4}, "halo_px = -4"),
        ({"batch": 0}, "batch = 0"),
    ],
)
def test_bad_lengths(network: Run, change: dict[str, int], said: str) -> None:
    lengths = {"core_px": 32, "halo_px": 12, "stride": 4, "batch": 1} | change
    with pytest.raises(SettingsError, match=said):
        map_tiles(network, picture(40, 40), **lengths)


def test_multiples() -> None:
    assert [padded_px(n, 32) for n in (1, 32, 33, 2048)] == [32, 32, 64, 2048]
