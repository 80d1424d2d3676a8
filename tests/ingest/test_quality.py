"""Quality figures on pictures whose figures are known, identity, and the tables' columns."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from nanolake.contracts import get_table
from nanolake.errors import PictureError
from nanolake.ingest import fingerprint, micrograph_id, pixel_sha256, quality
from nanolake.ingest.readers.protocol import KEPT_DTYPES
from nanolake.records import Trust

RNG = np.random.default_rng(11)


def blobs(side: int = 256) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    y, x = np.mgrid[:side, :side]
    return (1000 + 500 * (np.sin(x / 6) * np.sin(y / 6) > 0)).astype(np.float32)


def test_the_columns_are_the_schema() -> None:
    table = get_table("micrograph")
    assert list(quality(blobs())) == [column.name for column in table.columns_of("quality")]
    allowed = {column.name: column.allowed for column in table.columns}
    assert set(allowed["pixel_size_trust"] or ()) == {str(trust) for trust in Trust}
    assert set(allowed["dtype"] or ()) == KEPT_DTYPES


@pytest.mark.parametrize("sigma", [5.0, 20.0])
def test_noise_is_measured_through_structure(sigma: float) -> None:
    noisy = blobs() + RNG.normal(0, sigma, (256, 256)).astype(np.float32)
    figures = quality(noisy)
    assert figures["noise_sd"] * figures["dynamic_range"] == pytest.approx(sigma, rel=0.08)


def test_a_plane_has_its_height() -> None:
    # 0 … 1 from left to right over 512 columns: the plane rises by its whole range
    plane = np.tile(np.linspace(0, 1, 512, dtype=np.float32), (256, 1))
    assert quality(plane)["illumination_gradient"] == pytest.approx(1.0, abs=0.01)
    assert quality(blobs())["illumination_gradient"] < 0.1


def test_clipping_piles_up() -> None:
    # A quarter of a 12-bit picture at its top, one pixel in a hundred at its bottom.
    pixels = RNG.integers(100, 4000, (100, 100)).astype(np.uint16)
    pixels[:25] = 4095
    pixels[99] = 0
    figures = quality(pixels)
    assert figures["saturated_high_fraction"] == 0.25
    assert figures["saturated_low_fraction"] == 0.01


def test_blur_lowers_the_focus_score() -> None:
    import cv2

    sharp = blobs()
    assert (
        quality(cv2.GaussianBlur(sharp, (0, 0), 3))["focus_score"]
        < quality(sharp)["focus_score"] / 5
    )


def test_figures_do_not_depend_on_gain() -> None:
    picture = blobs() + RNG.normal(0, 10, (256, 256)).astype(np.float32)
    once, twice = quality(picture), quality(2 * picture)
    for name in ("noise_sd", "focus_score", "illumination_gradient"):
        assert twice[name] == pytest.approx(once[name], rel=1e-4)
    assert twice["intensity_mean"] == pytest.approx(2 * once["intensity_mean"], rel=1e-6)


def test_a_picture_with_one_odd_pixel_has_finite_figures() -> None:
    pixels = np.zeros((600, 700), np.uint8)
    pixels[1, 1] = 255
    assert all(np.isfinite(value) for value in quality(pixels).values())


def test_fingerprint(tmp_path: Path) -> None:
    data = RNG.bytes((1 << 20) + 17)  # more than one block
    (tmp_path / "a").write_bytes(data)
    found = fingerprint(tmp_path / "a")
    assert (found.sha256, found.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    with pytest.raises(PictureError, match="no such file") as caught:
        fingerprint(tmp_path / "gone")
    assert caught.value.reason == "missing_file"


def test_micrograph_id() -> None:
    # printf 'ab:3' | sha256sum
    assert micrograph_id("ab", 3) == hashlib.sha256(b"ab:3").hexdigest()[:32]
    assert micrograph_id("ab", 3) != micrograph_id("ab", 4)


def test_pixel_hash_sees_values_shape_and_type_but_not_byte_order() -> None:
    values = np.arange(6, dtype="<u2").reshape(2, 3)
    assert pixel_sha256(values) == pixel_sha256(values.astype(">u2"))
    assert pixel_sha256(values) == pixel_sha256(np.asfortranarray(values))
    others = [values.reshape(3, 2), values.astype("<i2"), values + np.uint16(1)]
    assert len({pixel_sha256(other) for other in [values, *others]}) == 4


@pytest.mark.parametrize(
    "name",
    [
        "lab",
        "sample",
        "experiment",
        "experiment_condition",
        "micrograph",
        "micrograph_location",
        "failure",
    ],
)
def test_tables_carry_their_work_unit(name: str) -> None:
    table = get_table(name)
    columns = {column.name: column for column in table.columns}
    assert columns["unit_key"].required
    assert columns["created_at"].type == "timestamp"
    assert all(columns[key].required for key in table.key)
