"""SQL of the derived tables: ready-made rows of a view, and what of them is no longer true.

A derived view ``X`` shows what ``X_live`` computes from the source tables. `nanolake refresh` keeps
the rows of ``X_live`` in the table ``X_row`` and makes ``X`` anew: the rows of ``X_row`` of every
experiment in which nothing has changed since, and ``X_live`` of the others. What has changed is
read off the sources themselves: each row of a DuckLake table knows the snapshot that brought it
(``snapshot_id``), and files of older snapshots are left out while the question is planned, so that
looking costs the same whether a lake holds a thousand particles or fifty million.

``X_live`` of some experiments is the very text of the views, run over source tables that are
narrowed to these experiments: common table expressions take the names of the tables.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache

from nanolake.contracts import ddl
from nanolake.query.files import view_statements

__all__ = [
    "BIG_TABLES",
    "DERIVED",
    "SOURCES",
    "definition",
    "fresh_view",
    "live",
    "plain_view",
    "ready_since",
    "ready_views",
    "stale_experiments",
    "unchanged",
]

DERIVED = ("morphology", "ensemble", "group_summary", "size_histogram")
"""The views that are kept ready-made, each in a table ``…_row``; a later one may use an earlier."""

BIG_TABLES = ("particle", "shape_prediction", "shape_refinement")
"""Sources with a row a particle that name its segmentation: see ``windows`` of `live`."""

SOURCES = (
    *("lab", "sample", "experiment", "micrograph", "micrograph_location", "segmentation"),
    *("particle", "shape_inference", "shape_prediction", "shape_refinement"),
    *("grouping_run", "group_assignment", "group_inference", "group_prediction"),
)
"""Every table that a derived view is made from."""

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
            *(f"SELECT micrograph_id FROM main.{name} WHERE {new}" for name in _BY_MICROGRAPH),
            *(
                "SELECT s.micrograph_id FROM main.segmentation s WHERE s.segmentation_id IN "
                f"(SELECT segmentation_id FROM main.{name} WHERE {new})"
                for name in _BY_SEGMENTATION
            ),
            "SELECT s.micrograph_id FROM main.segmentation s WHERE s.segmentation_id IN "
            "(SELECT segmentation_id FROM main.group_inference WHERE unit_key IN "
            f"(SELECT unit_key FROM main.group_prediction WHERE {new}))",
        ]
    )
    return f"""SELECT experiment_id FROM main.micrograph_location
    WHERE micrograph_id IN ({pictures})
UNION SELECT experiment_id FROM main.experiment WHERE {new}
UNION SELECT experiment_id FROM main.experiment
    WHERE lab_id IN (SELECT lab_id FROM main.lab WHERE {new})
UNION SELECT experiment_id FROM main.experiment
    WHERE sample_id IN (SELECT sample_id FROM main.sample WHERE {new})
UNION SELECT experiment_id FROM main.experiment
    WHERE (SELECT count(*) FROM main.grouping_run WHERE {new} AND comparison_id IS NULL) > 0
UNION SELECT experiment_id FROM main.experiment
    WHERE (SELECT count(*) FROM main.group_assignment WHERE {new} AND grouping_run_id
           = (SELECT grouping_run_id FROM main.grouping_current)) > 0"""


def live(
    name: str,
    experiments: str,
    *,
    windows: Mapping[str, str] | None = None,
    ready: Mapping[str, str] | None = None,
) -> str:
    """Return common table expressions that end with ``NAME_live`` of some experiments only.

    ``experiments`` is a SELECT of experiment ids. ``windows`` may narrow a source table further,
    by a condition that is known to leave out nothing of these experiments. ``ready`` gives the
    rows of another derived view, by the name ``X_live``, that need not be computed again.
    """
    windows, ready = windows or {}, ready or {}
    parts = [f"scope_experiment AS MATERIALIZED ({experiments})", *_scope(windows)]
    for view, body in _views().items():
        parts.append(f"{view} AS NOT MATERIALIZED (\n{ready.get(view, body)})")
        if view == f"{name}_live":
            break
    return "WITH " + ",\n".join(parts)


def fresh_view(name: str, since: int) -> str:
    """Return the CREATE VIEW of ``name`` that takes what ``since`` knows from its table."""
    return f"""CREATE OR REPLACE VIEW {name} AS
{live(name, stale_experiments(since))}
FROM {name}_live
UNION ALL BY NAME
SELECT * EXCLUDE (unit_key, created_at) FROM main.{name}_row
WHERE experiment_id NOT IN (SELECT experiment_id FROM scope_experiment);"""


def unchanged(since: int) -> str:
    """Return a SELECT of whether no source has a row newer than snapshot ``since``."""
    counts = (f"(SELECT count(*) FROM main.{n} WHERE snapshot_id > {since})" for n in SOURCES)
    return f"SELECT {' + '.join(counts)} = 0"


def ready_views(sql: str) -> list[str]:
    """Return statements that let a session take ready-made rows for the views that ``sql`` names.

    Only right while `unchanged` is: then the session is spared the planning of joins that would
    bring no row.
    """
    named = {name for name in DERIVED if name in sql}
    if "batch_compare" in sql:
        named |= {"ensemble", "group_summary"}
    made = [
        f"CREATE TEMP VIEW {name} AS SELECT * EXCLUDE (unit_key, created_at) "
        f"FROM lake.main.{name}_row"
        for name in DERIVED
        if name in named
    ]
    if "batch_compare" in sql:
        made.append(plain_view("batch_compare").replace("OR REPLACE", "TEMP"))
    return made


def plain_view(name: str) -> str:
    """Return the CREATE VIEW of ``name`` that computes everything, as the package has it."""
    return next(text for text in view_statements() if f"VIEW {name} AS" in text)


def ready_since() -> str:
    """Return a SELECT of the snapshot up to which this package's ready-made rows go, or NULL."""
    return f"SELECT max(since_snapshot) FROM main.refresh_state WHERE definition = '{definition()}'"


@cache
def definition() -> str:
    """Return a hash of what derived rows are made by: with another one they are all made anew."""
    texts = [live(name, "") + ddl(f"{name}_row") for name in DERIVED]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _scope(windows: Mapping[str, str]) -> list[str]:
    """Return source tables narrowed to the pictures of the experiments in scope."""

    def narrowed(table: str, condition: str) -> str:
        window = windows.get(table)
        also = f"{window} AND " if window else ""
        return f"{table} AS NOT MATERIALIZED (SELECT * FROM main.{table} WHERE {also}{condition})"

    pictures = "micrograph_id IN (FROM scope_micrograph)"
    masks = "segmentation_id IN (FROM scope_segmentation)"
    particles = windows.get("particle", "true")
    return [
        "scope_micrograph AS MATERIALIZED (SELECT DISTINCT micrograph_id FROM "
        "main.micrograph_location WHERE experiment_id IN (FROM scope_experiment))",
        "scope_segmentation AS MATERIALIZED (SELECT DISTINCT segmentation_id FROM "
        f"main.segmentation WHERE {pictures})",
        narrowed("experiment", "experiment_id IN (FROM scope_experiment)"),
        *(narrowed(table, pictures) for table in _BY_MICROGRAPH),
        *(narrowed(table, masks) for table in _BY_SEGMENTATION),
        narrowed(
            "group_prediction",
            f"unit_key IN (SELECT unit_key FROM main.group_inference WHERE {masks})",
        ),
        narrowed(
            "group_assignment",
            "grouping_run_id = (SELECT grouping_run_id FROM main.grouping_current) AND particle_id "
            f"IN (SELECT particle_id FROM main.particle WHERE {particles} AND {masks})",
        ),
    ]


@cache
def _views() -> dict[str, str]:
    """Return name and body of the views up to the last derived one, without the ready-made."""
    found = {}
    for text in view_statements():
        match = _VIEW.search(text)
        if match and match[1] not in DERIVED:
            found[match[1]] = match[2]
    return found
