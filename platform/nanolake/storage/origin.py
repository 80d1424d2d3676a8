"""Where a commit comes from: who made it, in which step of which run, with what code and settings.

The person and the process stand in the snapshot's author, the rest as JSON in its extra
information, where `nanolake history` and `Lake.recover` read it.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nanolake import __version__
from nanolake.storage.ledger import owner_name


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a commit is part of; None where it is not known."""

    step: str | None = None
    """A stage's name, as ``segment``."""
    run_id: str | None = None
    """One call of the pipeline."""
    settings: str | None = None
    """Hash of the settings, or of what else the step was told."""

    def info(
        self,
        *,
        rows: Mapping[str, int] | None = None,
        units: Sequence[str] = (),
        token: str | None = None,
    ) -> str:
        """Return a snapshot's extra information: ``rows`` by table, and the ``units``' keys.

        By its ``token`` a commit is found again whose answer was lost.
        """
        about = {
            "step": self.step,
            "run": self.run_id,
            "settings": self.settings,
            "commit": token or None,
        }
        known = {name: value for name, value in about.items() if value is not None}
        return json.dumps(
            {"nanolake": __version__, **known, "rows": dict(rows or {}), "units": list(units)}
        )


UNSAID = Origin()


def author() -> str:
    """Return who commits: person, host and process."""
    return f"{person()}@{owner_name()}"


def person() -> str:
    """Return the user's name; ``unknown`` for one without, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
