"""SQL of the derived tables: ready-made rows of a view, and what of them is no longer true.

The lake's views compute everything from the source tables when they are asked, and are always
right. `nanolake refresh` keeps the rows of a view ``X`` of `DERIVED` in the table ``X_row``; a
session (`Lake.query`) then asks a temporary view ``X`` instead: the rows of ``X_row`` of every
experiment in which nothing has changed since, and ``X`` computed for the others only. What has
changed is read off the sources themselves: each row of a DuckLake table knows the snapshot that
brought it (``snapshot_id``), and files of older snapshots are left out while the question is
planned, so that looking costs the same for a thousand particles and for fifty million.

``X`` of some experiments is the very text of the views, run over source tables that are narrowed to
these experiments: common table expressions take the names of the tables.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from nanolake.contracts import ddl
from nanolake.query.files import view_statements

__all__ = [
    "BIG_TABLES",
    "DERIVED",
    "definition",
    "narrowed",
    "ready_since",
    "session_views",
    "snapshots",
    "stale_experiments",
    "text",
    "values",
    "windows",
]

DERIVED = (
    "morphology",
    "ensemble",
    "group_summary",
    "size_histogram",
    "length_histogram",
    "quality_histogram",
    "outline_histogram",
    "outline_index",
)
"""The views that are kept ready-made, each in a table ``…_row``; a later one may use an earlier."""

BIG_TABLES = ("particle", "shape_prediction", "shape_refinement")
"""Sources with a row a particle that name its segmentation: see ``windows`` of `narrowed`."""

_BY_MICROGRAPH = ("segmentation", "micrograph", "micrograph_location")
_BY_SEGMENTATION = ("shape_inference", "group_inference", *BIG_TABLES)
_VIEW = re.compile(r"^CREATE OR REPLACE VIEW (\w+) AS\n(.*);\s*\Z", re.MULTILINE | re.DOTALL)


def stale_experiments(since: int) -> str:
    """Return a SELECT of the ids of experiments that a row newer than snapshot ``since`` concerns.

    A picture concerns every experiment that it was ever given for; another current grouping
    concerns all experiments. Rows of the sources are never changed or removed, only added.
    """
    new = f"snapshot_id > {since}"
    pictures = "\nUNION ".join(
        [
            *(f"SELECT micrograph_id FROM lake.main.{name} WHERE {new}" for name in _BY_MICROGRAPH),
            *(
                "SELECT s.micrograph_id FROM lake.main.segmentation s WHERE s.segmentation_id IN "
                f"(SELECT segmentation_id FROM lake.main.{name} WHERE {new})"
                for name in _BY_SEGMENTATION
            ),
            "SELECT s.micrograph_id FROM lake.main.segmentation s WHERE s.segmentation_id IN "
            "(SELECT segmentation_id FROM lake.main.group_inference WHERE unit_key IN "
            f"(SELECT unit_key FROM lake.main.group_prediction WHERE {new}))",
        ]
    )
    return f"""SELECT experiment_id FROM lake.main.micrograph_location
    WHERE micrograph_id IN ({pictures})
UNION SELECT experiment_id FROM lake.main.experiment WHERE {new}
UNION SELECT experiment_id FROM lake.main.experiment
    WHERE lab_id IN (SELECT lab_id FROM lake.main.lab WHERE {new})
UNION SELECT experiment_id FROM lake.main.experiment
    WHERE sample_id IN (SELECT sample_id FROM lake.main.sample WHERE {new})
UNION SELECT experiment_id FROM lake.main.experiment
    WHERE (SELECT count(*) FROM lake.main.grouping_run WHERE {new} AND comparison_id IS NULL) > 0
UNION SELECT experiment_id FROM lake.main.experiment
    WHERE (SELECT count(*) FROM lake.main.group_assignment WHERE {new} AND grouping_run_id
           = (SELECT grouping_run_id FROM lake.main.grouping_current)) > 0"""


def narrowed(
    name: str,
    experiments: str,
    *,
    windows: Mapping[str, str] | None = None,
    ready: Mapping[str, str] | None = None,
) -> str:
    """Return common table expressions that end with the view ``name`` of some experiments only.

    ``experiments`` is a SELECT of experiment ids. ``windows`` may narrow a source table further,
    by a condition that is known to leave out nothing of these experiments. ``ready`` gives the
    rows of another derived view, by its name, that need not be computed again.
    """
    windows, ready = windows or {}, ready or {}
    parts = [f"scope_experiment AS NOT MATERIALIZED ({experiments})", *_scope(windows)]
    for view, body in _views().items():
        parts.append(f"{view} AS NOT MATERIALIZED (\n{ready.get(view, body)})")
        if view == name:
            break
    return "WITH " + ",\n".join(parts)


def snapshots(connection: Any, experiments: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Say which snapshots brought the rows of each experiment, by table of `BIG_TABLES`.

    One look at the ids of each large table spares one look at the whole table for every block of
    experiments and question. An experiment without rows is left out.
    """
    found: dict[str, dict[str, list[int]]] = {}
    scope = values((name,) for name in experiments)
    for table in BIG_TABLES if experiments else ():
        answer = connection.execute(
            f"""WITH scope(experiment_id) AS ({scope}), mask AS MATERIALIZED (
                SELECT DISTINCT segmentation_id, experiment_id
                FROM lake.main.micrograph_location JOIN scope USING (experiment_id)
                JOIN lake.main.segmentation USING (micrograph_id))
            SELECT experiment_id, list(DISTINCT snapshot_id ORDER BY snapshot_id) FROM (
                SELECT segmentation_id, snapshot_id FROM lake.main.{table} GROUP BY ALL)
            JOIN mask USING (segmentation_id) GROUP BY experiment_id"""
        ).fetchall()
        for name, numbers in answer:
            found.setdefault(name, {})[table] = numbers
    return found


def windows(
    connection: Any, block: Iterable[str], found: Mapping[str, Mapping[str, Sequence[int]]]
) -> dict[str, str]:
    """Return conditions, as `narrowed` takes them, that all rows of a block of experiments meet.

    ``found`` is what `snapshots` says of them. Files of other snapshots are not opened then.
    """
    row = connection.execute("SELECT grouping_run_id FROM lake.main.grouping_current").fetchone()
    window = {"group_assignment": f"grouping_run_id = {text(row[0])}" if row else "false"}
    of_block = [found.get(name, {}) for name in block]
    for table in BIG_TABLES:
        numbers = sorted({number for one in of_block for number in one.get(table, ())})
        window[table] = f"snapshot_id IN ({', '.join(map(str, numbers)) or '-1'})"
    return window


def values(rows: Iterable[tuple[str | int, ...]]) -> str:
    """Return rows of texts and whole numbers as a VALUES list.

    >>> values([("a'b", 1), ("c", 2)])
    "VALUES ('a''b', 1), ('c', 2)"
    """
    texts = (", ".join(text(v) if isinstance(v, str) else str(v) for v in row) for row in rows)
    return "VALUES " + ", ".join(f"({one})" for one in texts)


def text(value: str) -> str:
    """Return a text as it stands in SQL."""
    return "'" + value.replace("'", "''") + "'"


def session_views(
    sql: str, stale: Sequence[str], window: Mapping[str, str] | None = None
) -> list[str]:
    """Return statements that let a session take ready-made rows for the views that ``sql`` names.

    ``stale`` are the experiments that must be computed instead, ``window`` is theirs of `windows`.
    Both are written out: below a materialized expression DuckDB would read every column of the
    tables.
    """
    asked = sql.lower()
    compared = "batch_compare" in asked
    named = {name for name in DERIVED if name in asked}
    named |= {"ensemble", "group_summary"} if compared else set()
    made = [f"CREATE TEMP VIEW {n} AS {_ready(n, stale, window)}" for n in DERIVED if n in named]
    if compared:
        made.append(f"CREATE TEMP VIEW batch_compare AS {_views()['batch_compare']}")
    return made


def _ready(name: str, stale: Sequence[str], window: Mapping[str, str] | None) -> str:
    """Joined by name: columns that a later nanolake added stand last in an older lake's tables."""
    rows = f"SELECT * EXCLUDE (unit_key, created_at) FROM lake.main.{name}_row"
    if not stale:
        return rows
    texts = ", ".join(map(text, stale))
    chosen = f"SELECT unnest([{texts}]) AS experiment_id"
    return (
        f"{narrowed(name, chosen, windows=window)} FROM {name} "
        f"UNION ALL BY NAME {rows} WHERE experiment_id NOT IN ({texts})"
    )


def ready_since() -> str:
    """Return a SELECT of the snapshot up to which this package's ready-made rows go, or NULL."""
    return (
        "SELECT max(since_snapshot) FROM lake.main.refresh_state "
        f"WHERE definition = '{definition()}'"
    )


@cache
def definition() -> str:
    """Return a hash of what derived rows are made by: with another one they are all made anew."""
    texts = [narrowed(name, "") + ddl(f"{name}_row") for name in DERIVED]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _scope(windows: Mapping[str, str]) -> list[str]:
    """Return source tables narrowed to the pictures of the experiments in scope."""

    def source(table: str, condition: str) -> str:
        window = windows.get(table)
        also = f"{window} AND " if window else ""
        rows = f"SELECT * FROM lake.main.{table} WHERE {also}{condition}"
        return f"{table} AS NOT MATERIALIZED ({rows})"

    pictures = "micrograph_id IN (FROM scope_micrograph)"
    masks = "segmentation_id IN (FROM scope_segmentation)"
    return [
        "scope_micrograph AS NOT MATERIALIZED (SELECT DISTINCT micrograph_id FROM "
        "lake.main.micrograph_location WHERE experiment_id IN (FROM scope_experiment))",
        "scope_segmentation AS NOT MATERIALIZED (SELECT DISTINCT segmentation_id FROM "
        f"lake.main.segmentation WHERE {pictures})",
        source("experiment", "experiment_id IN (FROM scope_experiment)"),
        *(source(table, pictures) for table in _BY_MICROGRAPH),
        *(source(table, masks) for table in _BY_SEGMENTATION),
        source(
            "group_prediction",
            f"unit_key IN (SELECT unit_key FROM lake.main.group_inference WHERE {masks})",
        ),
        f"group_assignment AS NOT MATERIALIZED ({_assigned(windows, masks)})",
    ]


def _assigned(windows: Mapping[str, str], masks: str) -> str:
    """Return rows of the current grouping of the particles in scope.

    Where an older grouping does not name the segmentation, all its particles are looked at.
    """
    current = "grouping_run_id = (SELECT grouping_run_id FROM lake.main.grouping_current)"
    rows = (
        f"SELECT * FROM lake.main.group_assignment WHERE {windows.get('group_assignment', current)}"
    )
    particles = (
        "SELECT particle_id FROM lake.main.particle "
        f"WHERE {windows.get('particle', 'true')} AND {masks}"
    )
    return (
        f"{rows} AND {masks} "
        f"UNION ALL {rows} AND segmentation_id IS NULL AND particle_id IN ({particles})"
    )


@cache
def _views() -> dict[str, str]:
    """Return name and body of every view, in their order."""
    found = (_VIEW.search(text) for text in view_statements())
    return {match[1]: match[2] for match in found if match}
