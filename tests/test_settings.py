"""Settings: what is wrong is named, equal settings have equal fingerprints."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from nanolake.errors import PictureError, SettingsError
from nanolake.records import PixelSize, Segmentation
from nanolake.settings import Settings


class Sieve(Settings):
    """Settings of a sieve."""

    mesh_nm: float = 5.0
    """Width of a mesh."""
    shakes: int = 3
    """How often it is shaken."""


class Filter(Settings):
    """The same fields under another name."""

    mesh_nm: float = 5.0
    shakes: int = 3


def test_every_wrong_setting_is_named_with_its_value() -> None:
    with pytest.raises(SettingsError) as caught:
        Sieve.build({"mesh_nm": "wide", "shake": 2})
    message = str(caught.value)
    assert "mesh_nm='wide'" in message
    assert "unknown setting 'shake'; Sieve knows: mesh_nm, shakes" in message
    assert isinstance(caught.value, ValueError)


def test_settings_are_frozen_and_documented() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sieve().shakes = 4  # type: ignore[misc]
    assert Sieve.model_fields["mesh_nm"].description == "Width of a mesh."


def test_a_fingerprint_follows_class_and_values_only() -> None:
    assert Sieve.build({"shakes": 3}).fingerprint() == Sieve().fingerprint()
    assert len(Sieve().fingerprint()) == 16
    prints = {Sieve().fingerprint(), Filter().fingerprint(), Sieve(shakes=4).fingerprint()}
    assert len(prints) == 3
    assert Sieve().as_json() == '{"mesh_nm": 5.0, "shakes": 3}'


def test_yaml_is_read_and_its_errors_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sieve.yaml"
    file.write_text("shakes: 7\n")
    assert Sieve.from_yaml(file) == Sieve(shakes=7)
    file.write_text("")
    assert Sieve.from_yaml(file) == Sieve()
    file.write_text("- 7\n")
    with pytest.raises(SettingsError, match=r"sieve\.yaml must hold a mapping of settings, not li"):
        Sieve.from_yaml(file)
    file.write_text("shakes: [7\n")
    with pytest.raises(SettingsError, match=r"sieve\.yaml is no YAML: .*line 2"):
        Sieve.from_yaml(file)


def test_a_pixel_size_is_known_only_on_both_axes() -> None:
    assert PixelSize(y_nm=1.0, x_nm=2.0).known
    assert not PixelSize(y_nm=1.0).known
    assert not PixelSize().known


def test_a_segmentation_counts_its_labels() -> None:
    import numpy as np

    empty = np.zeros((3, 3), np.uint16)
    assert Segmentation(labels=empty, polarity="dark", method="m").count == 0
    assert Segmentation(labels=empty + np.uint16(4), polarity="dark", method="m").count == 4


def test_a_picture_error_keeps_its_reason_across_processes() -> None:
    import pickle

    again = pickle.loads(pickle.dumps(PictureError("empty", "a.tif holds nothing")))
    assert (again.reason, str(again)) == ("empty", "a.tif holds nothing")
