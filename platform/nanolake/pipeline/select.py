"""Select: particles that a person chose, under a name and a version.

What a training may learn from, or whatever else needs the same particles again.

A selection is a question to the lake, a person's file of labels, or both. Rows are only added: a
selection whose particles or labels have changed becomes a new version of its name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nanolake import __version__
from nanolake.errors import LakeError, SettingsError
from nanolake.pipeline.work import StageReport, run_once
from nanolake.simulate.superellipse import canonical
from nanolake.storage import Lake, unit_key
from nanolake.storage.origin import person

if TYPE_CHECKING:
    pass

STAGE = "select"
LABELS = ("p", "d", "L_ratio")
LARGEST_D = 6


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Particles by id, in order, each with a person's (p, d, L_ratio) or None."""

    labels: Mapping[str, tuple[float, int, float] | None]

    @property
    def labelled(self) -> int:
        """Particles that carry a person's labels."""
        return sum(label is not None for label in self.labels.values())

    def sha256(self) -> str:
        """Return the SHA-256 of ids and labels, whatever order they came in."""
        lines = [f"{name}\t{label}\n" for name, label in sorted(self.labels.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def select_particles(
    lake: Lake, name: str, sql: str | None = None, *, labels: Path | None = None
) -> StageReport:
    """Keep the particles that ``sql`` returns, or that ``labels`` names, under ``name``.

    ``sql`` returns a column ``particle_id``. ``labels`` is a CSV file with the columns particle_id,
    p, d, L_ratio: a person's answer for these particles, or none where the three are empty; with
    ``sql`` every one of its particles must be among those that the question returns. Nothing is
    written where the newest version of ``name`` holds the same. Raises `LakeError` where nothing is
    selected or a particle is not in the lake, and `SettingsError` for labels that cannot be used.
    """
    if re.fullmatch(r"\w[\w.-]*", name) is None:
        raise SettingsError(f"{name!r} is no name: use letters, digits, '_', '-' and '.'")
    if sql is None and labels is None:
        raise SettingsError("what is to be selected? Give a question, a file of labels, or both")
    lake.follow()
    snapshot = _snapshot(lake)
    chosen = _chosen(lake, sql, labels)
    newest = newest_version(lake, name)
    content = chosen.sha256()
    unchanged = newest is not None and newest["content_sha256"] == content
    version = 1 if newest is None else newest["selection_version"] + (not unchanged)
    about = {
        "selection": name,
        "selection_version": version,
        "sql": sql,
        "labels_file": None if labels is None else labels.name,
        "snapshot_id": snapshot,
        "selected_by": person(),
        "particle_count": len(chosen.labels),
        "labelled_count": chosen.labelled,
        "content_sha256": content,
        "code_version": __version__,
    }
    key = unit_key(STAGE, name, str(version), content)
    if newest is not None and unchanged:
        key = newest["unit_key"]  # it may have been made by another version of the code
    said = f"{name} version {version}: {len(chosen.labels):,} particles"
    said += f", {chosen.labelled:,} with a person's labels" if chosen.labelled else ""
    return run_once(
        lake,
        stage=STAGE,
        noun="selections",
        key=key,
        subject=name,
        make=lambda: (_rows(about, chosen, key), said),
        settings=content[:16],
        if_done=lambda: f"{said}, unchanged",
    )


def newest_version(lake: Lake, name: str) -> dict[str, Any] | None:
    """Return the row of the newest version of a selection, or None where there is none."""
    rows = lake.query(
        "FROM selection WHERE selection = ? "
        "ORDER BY selection_version DESC, created_at DESC LIMIT 1",
        [name],
    ).to_pylist()
    return rows[0] if rows else None


def _snapshot(lake: Lake) -> int:
    row = lake.query("SELECT max(snapshot_id) AS newest FROM lake.snapshots()").to_pylist()[0]
    return int(row["newest"])


def _chosen(lake: Lake, sql: str | None, labels: Path | None) -> Chosen:
    by_person = {} if labels is None else read_labels(labels)
    ids = list(by_person) if sql is None else _asked(lake, sql)
    if not ids:
        raise LakeError("no particles fit the question: see what it returns with `nanolake sql`")
    if strange := sorted(set(by_person) - set(ids)):
        raise SettingsError(
            f"{labels} labels {len(strange)} particles that the question does not return, such as "
            f"{strange[0]}: widen the question or leave it out"
        )
    known = lake.query(
        "SELECT particle_id FROM particle WHERE particle_id IN (SELECT unnest(?))", [ids]
    )
    if missing := sorted(set(ids) - set(known.column("particle_id").to_pylist())):
        raise LakeError(f"{len(missing)} particles are not in the lake, such as {missing[0]}")
    return Chosen(labels={name: by_person.get(name) for name in sorted(set(ids))})


def _asked(lake: Lake, sql: str) -> list[str]:
    answer = lake.query(sql)
    if "particle_id" not in answer.column_names:
        raise SettingsError(
            f"the question returns {', '.join(answer.column_names)}, and no particle_id: begin it "
            "with SELECT particle_id"
        )
    return [str(one) for one in answer.column("particle_id").to_pylist() if one is not None]


def read_labels(path: Path) -> dict[str, tuple[float, int, float] | None]:
    """Read a person's labels, canonical (`superellipse.canonical`), by particle_id.

    Raises `SettingsError` naming the line where one cannot be used.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype={"particle_id": str})
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as CSV: {error}") from None
    if missing := [name for name in ("particle_id", *LABELS) if name not in table.columns]:
        raise SettingsError(f"{path} has no column {', '.join(missing)}")
    found: dict[str, tuple[float, int, float] | None] = {}
    for line, row in enumerate(table.to_dict("records"), start=2):
        name = row["particle_id"]
        if not isinstance(name, str) or name in found:
            raise SettingsError(
                f"{path}, line {line}: particle_id {name!r} is empty or named twice"
            )
        found[name] = _label(row, f"{path}, line {line}")
    return found


def _label(row: Mapping[Any, Any], where: str) -> tuple[float, int, float] | None:
    import pandas as pd

    values = [row[name] for name in LABELS]
    if all(pd.isna(value) for value in values):
        return None
    try:
        p, d, l_ratio = (float(value) for value in values)
    except (TypeError, ValueError):
        p = d = l_ratio = np.nan
    good = 0.0 < p < np.inf and d in range(1, LARGEST_D + 1) and 0.0 < l_ratio < np.inf
    if not good:
        said = ", ".join(f"{name}={value}" for name, value in zip(LABELS, values, strict=True))
        raise SettingsError(
            f"{where}: {said}: p and L_ratio must be positive numbers and d one of 1 to "
            f"{LARGEST_D}; leave all three empty where you do not know"
        )
    one = canonical(p, int(d), l_ratio)
    return float(one[0]), int(one[1]), float(one[2])


def _rows(about: Mapping[str, Any], chosen: Chosen, key: str) -> dict[str, Any]:
    stamp = {"unit_key": key, "created_at": datetime.now(UTC)}
    same = {name: about[name] for name in ("selection", "selection_version")}
    empty = (None, None, None)
    particles = [
        {
            **same,
            "particle_id": name,
            **dict(zip(LABELS, label or empty, strict=True)),
            **stamp,
        }
        for name, label in chosen.labels.items()
    ]
    return {"selection": [{**about, **stamp}], "selection_particle": particles}
