"""The base of every settings class: frozen, strict, documented, hashable into a run's identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nanolake.errors import SettingsError


class Settings(BaseModel):
    """A frozen, keyword-only set of values for one stage.

    Subclasses give each field a docstring; the same class gives the command line's help, the YAML
    file and the hash that identifies a run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def build(cls, values: Mapping[str, Any] | None = None) -> Self:
        """Validate ``values``; raise `SettingsError` naming each wrong setting and its value."""
        try:
            return cls.model_validate(dict(values or {}))
        except ValidationError as error:
            raise SettingsError(_explain(cls, error)) from None

    @classmethod
    def from_yaml(cls, path: Path | str) -> Self:
        """Read a YAML mapping of setting names to values."""
        import yaml

        text = Path(path).read_text(encoding="utf-8")
        try:
            values = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise SettingsError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
        if not isinstance(values, dict):
            raise SettingsError(
                f"{path} must hold a mapping of settings, not {type(values).__name__}"
            )
        return cls.build(values)

    def fingerprint(self) -> str:
        """Return a 16-hex-digit hash of class name and values: equal settings, equal hash."""
        return fingerprint_of(type(self).__name__, self.model_dump(mode="json"))

    def as_json(self) -> str:
        """Return the values as one line of JSON with sorted keys, as stored beside a run."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)


def fingerprint_of(name: str, values: Any) -> str:
    """Return the fingerprint of the settings of class ``name`` from their values as JSON."""
    text = json.dumps({name: values}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _explain(cls: type[Settings], error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            known = ", ".join(cls.model_fields)
            problems.append(f"unknown setting {name!r}; {cls.__name__} knows: {known}")
        else:
            problems.append(f"{name or cls.__name__}={item.get('input')!r}: {item['msg']}")
    return "; ".join(problems)
