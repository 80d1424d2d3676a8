"""What a command begins with: the lake that is meant, the settings, the question."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanolake.errors import LakeNotFoundError, SettingsError

if TYPE_CHECKING:
    from nanolake.settings import Settings
    from nanolake.storage import Lake


def open_lake(lake: Path | None) -> Lake:
    from nanolake.storage import Lake

    return Lake.open(lake or nearest_lake())


def nearest_lake() -> Path:
    """The lake that is meant when none is named."""
    named = os.environ.get("NANOLAKE_LAKE")
    if named:
        return Path(named)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "lake.json").is_file():
            return folder
    inside = sorted(path.parent for path in here.glob("*/lake.json"))
    if len(inside) == 1:
        return inside[0]
    found = f"; here are several: {', '.join(path.name for path in inside)}" if inside else ""
    raise LakeNotFoundError(f"which lake? Name it with --lake or $NANOLAKE_LAKE{found}")


def read_settings(
    kind: type[Any],
    config: Path | None,
    values: Sequence[str] | None,
    base: Settings | None = None,
) -> Any:
    """Join a base, a YAML file and single values, the later winning."""
    import yaml

    merged: dict[str, Any] = base.model_dump() if base is not None else {}
    if config is not None:
        if not config.is_file():
            raise SettingsError(f"there is no settings file {config}")
        merged |= _yaml(partial(kind.from_yaml, config), config).model_dump(exclude_unset=True)
    for text in values or ():
        name, value = _name_and_value(text)
        merged[name] = _yaml(partial(yaml.safe_load, value), f"--set {text!r}")
    return kind.build(merged)


def _yaml(read: Callable[[], Any], where: Path | str) -> Any:
    """Read YAML that a user wrote; raise `SettingsError` where it is none."""
    import yaml

    try:
        return read()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{where} is no YAML: {' '.join(str(error).split())}") from None


def one_question(
    text: str | None, file: Path | None, named: str | None, values: Sequence[str] | None = None
) -> tuple[str, dict[str, Any]]:
    """Return the question that is meant and the values that fill its parameters."""
    from nanolake.query import ask

    given = [value for value in (text, file, named) if value is not None]
    if len(given) != 1:
        raise SettingsError("give one question: as text, with --file, or with --named")
    if named is not None:
        return ask(named, dict(map(_name_and_value, values or ())))
    if values:
        raise SettingsError("--set fills the parameters of a question that --named names")
    if file is not None:
        if not file.is_file():
            raise SettingsError(f"there is no file {file}")
        return file.read_text(encoding="utf-8"), {}
    return text or "", {}


def _name_and_value(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise SettingsError(f"--set {text!r} must be NAME=VALUE")
    return name.strip(), value
