"""The questions that come with nanolake, and their parameters.

A question is an SQL file. Its first line says what it answers; each further line of the head names
a parameter, its SQL type, its default and what it means; one without a default must be given::

    -- Rods of 40 nm and longer, by lab
    -- $min_nm INTEGER = 40: at least this long, in nm
    -- $lab VARCHAR = NULL: name of one lab; NULL: all of them
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nanolake.errors import QueryError
from nanolake.query.files import FOLDER

__all__ = ["Parameter", "ask", "parameters", "question", "questions"]

_HEAD = re.compile(r"^-- \$(\w+) (FLOAT|INTEGER|VARCHAR)(?: = ([^:]+))?: (.+)$", re.MULTILINE)
_PYTHON = {"FLOAT": float, "INTEGER": int, "VARCHAR": str}
_WORDS = {"FLOAT": "a number", "INTEGER": "a whole number", "VARCHAR": "a text"}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a question, as its line says it."""

    name: str
    type: str
    default: str | None
    """As written; None: it must be given."""
    about: str

    def value(self, text: str) -> Any:
        """Return ``text`` as a value of the parameter's type; NULL is None."""
        if text.strip().upper() == "NULL":
            return None
        return _PYTHON[self.type](text)

    def literal(self) -> str:
        """Return the default as it stands in SQL; NULL where there is none."""
        if self.default is None or self.value(self.default) is None:
            return "NULL"
        quoted = self.default.replace("'", "''")
        return f"'{quoted}'" if self.type == "VARCHAR" else self.default

    def line(self) -> str:
        """Return how it is written and what it means."""
        default = "" if self.default is None else f" = {self.default}"
        return f"{self.name}{default}: {self.about}"


def questions() -> dict[str, str]:
    """Return name and first comment line of every named question."""
    found = {}
    for path in sorted((FOLDER / "questions").glob("*.sql")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        found[path.stem] = first.removeprefix("--").strip()
    return found


def parameters(name: str) -> dict[str, Parameter]:
    """Return the parameters of a named question, by name."""
    found = (
        Parameter(name=m[1], type=m[2], default=m[3], about=m[4])
        for m in _HEAD.finditer(_text(name))
    )
    return {parameter.name: parameter for parameter in found}


def question(name: str) -> str:
    """Return the SQL of a named question with its defaults written in; what has none is NULL.

    Raises `QueryError` listing the known names.
    """
    text = _text(name)
    for parameter in parameters(name).values():
        text = text.replace(f"${parameter.name}::", f"{parameter.literal()}::")
    return text


def ask(name: str, given: Mapping[str, str] | None = None) -> tuple[str, dict[str, Any]]:
    """Return the SQL of a named question and the values that fill its parameters.

    ``given`` holds them as a user writes them. Raises `QueryError` naming the parameter, its value
    and the known ones where one is unknown, missing or of another type.
    """
    known, given = parameters(name), given or {}
    if unknown := [key for key in given if key not in known]:
        raise QueryError(f"question {name} has no parameter {unknown[0]!r}; {_known(known)}")
    written = {key: given.get(key, parameter.default) for key, parameter in known.items()}
    if missing := [key for key, text in written.items() if text is None]:
        raise QueryError(
            f"question {name} needs {missing[0]}: --set {missing[0]}=…; {_known(known)}"
        )
    return _text(name), {key: _value(name, known, key, str(text)) for key, text in written.items()}


def _value(name: str, known: Mapping[str, Parameter], key: str, text: str) -> Any:
    try:
        return known[key].value(text)
    except ValueError:
        wanted = _WORDS[known[key].type]
        raise QueryError(
            f"question {name}: {key} = {text!r} is not {wanted}; {_known(known)}"
        ) from None


def _known(known: Mapping[str, Parameter]) -> str:
    if not known:
        return "it has none"
    return "known: " + "; ".join(parameter.line() for parameter in known.values())


def _text(name: str) -> str:
    path = FOLDER / "questions" / f"{name}.sql"
    if not path.is_file():
        raise QueryError(f"there is no question {name!r}; known: {', '.join(questions())}")
    return path.read_text(encoding="utf-8")
