"""The settings files name every setting, and only settings that exist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nanolake.pipeline.job_configs import kinds, settings_yaml, write_configs
from nanolake.settings import Settings

JOBS = Path(__file__).resolve().parents[2] / "jobs"
CONFIGS = JOBS / "configs"


def test_every_script_has_one_file_and_every_file_a_script() -> None:
    scripts = {path.stem for path in JOBS.glob("*.py")}
    assert scripts == set(kinds()) == {path.stem for path in CONFIGS.glob("*.yaml")}


def names(values: dict[str, object]) -> Iterator[str]:
    for name, value in values.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in names(value))


@pytest.mark.parametrize("name", sorted(kinds()))
def test_a_file_names_every_setting_at_its_default(name: str) -> None:
    kind: type[Settings] = kinds()[name]
    path = CONFIGS / f"{name}.yaml"
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    defaults = kind().model_dump(mode="json")
    assert list(names(listed)) == list(names(defaults))
    assert kind.from_yaml(path) == kind()


@pytest.mark.parametrize("name", sorted(kinds()))
def test_a_file_says_what_each_setting_means(name: str) -> None:
    written = (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
    remedy = "write it again: python -m nanolake.pipeline.job_configs jobs/configs"
    assert written == settings_yaml(name, kinds()[name]), remedy


def test_every_setting_has_a_meaning() -> None:
    silent = [
        f"{kind.__name__}.{name}"
        for kind in kinds().values()
        for name, field in kind.model_fields.items()
        if not field.description
    ]
    assert silent == []


def test_writing_them_again_changes_nothing(tmp_path: Path) -> None:
    write_configs(tmp_path)
    found = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in CONFIGS.glob("*.yaml")}
    assert found == kept
