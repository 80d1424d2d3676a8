"""Which experiments are meant, and what to call them where two share a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nanolake.errors import LakeError
from nanolake.storage import Lake

_KNOWN = (
    "SELECT e.experiment_id, e.experiment, l.lab FROM experiment_current e "
    "JOIN lab_current l USING (lab_id) ORDER BY l.lab, e.experiment, e.experiment_id"
)


def experiment_ids(lake: Lake, names: Sequence[str]) -> list[str]:
    """Return the ids of the named experiments.

    A name is an experiment's name, ``LAB/NAME``, or its id. Raises `LakeError` where there is no
    such experiment, and where several labs (or folders) have one of that name.
    """
    known = lake.query(_KNOWN).to_pylist()
    found = []
    for name in names:
        fitting = [
            row
            for row in known
            if name
            in (row["experiment_id"], row["experiment"], f"{row['lab']}/{row['experiment']}")
        ]
        if not fitting:
            listed = ", ".join(sorted({row["experiment"] for row in known})[:20]) or "none"
            raise LakeError(f"there is no experiment {name!r}; known: {listed}")
        if len(fitting) > 1:
            listed = ", ".join(
                f"{row['lab']}/{row['experiment']} (id {row['experiment_id']})" for row in fitting
            )
            raise LakeError(f"experiment {name!r} is one of several, name it in full: {listed}")
        found.append(fitting[0]["experiment_id"])
    return found


def experiment_titles(lake: Lake) -> dict[str, str]:
    """Return id to a title that no other experiment has: name, with lab or id where needed."""
    rows = lake.query(_KNOWN).to_pylist()
    names = Counter(row["experiment"] for row in rows)
    in_lab = Counter((row["lab"], row["experiment"]) for row in rows)
    titles = {}
    for row in rows:
        title = row["experiment"]
        if names[title] > 1:
            title = f"{row['lab']} · {title}"
        if in_lab[row["lab"], row["experiment"]] > 1:
            title = f"{title} ({row['experiment_id'][:6]})"
        titles[row["experiment_id"]] = title
    return titles
