"""What a lake's rows must say of one another: each check is a question whose answer is empty."""

from __future__ import annotations

from dataclasses import dataclass

_ANEW = (
    "restore the lake from a backup; if it was never damaged, this is a defect: please report it"
)


@dataclass(frozen=True, kw_only=True)
class RowCheck:
    """``sql`` answers with the broken rows: what they are called, and what is wrong with them."""

    table: str
    wrong: str
    sql: str
    remedy: str = _ANEW
    column: str | None = None
    """Column of ``table`` that is asked, where lakes of older versions do not have it."""


def _orphans(table: str, parent: str, key: str, called: str | None = None) -> RowCheck:
    called = called or key
    return RowCheck(
        table=table,
        wrong=f"{key} is in no row of {parent}",
        sql=f"SELECT DISTINCT c.{called} AS name, c.{key} AS found FROM {table} c "
        f"WHERE c.{key} IS NOT NULL AND NOT EXISTS (FROM {parent} p WHERE p.{key} = c.{key})",
    )


def _doubles(table: str, *key: str) -> RowCheck:
    columns = ", ".join(key)
    return RowCheck(
        table=table,
        wrong=f"several rows of one {' and '.join(key)} from one unit of work",
        sql=f"SELECT {key[-1]} AS name, count(*) AS found FROM {table} "
        f"GROUP BY {columns}, unit_key HAVING count(*) > 1",
    )


ROW_CHECKS = (
    _orphans("micrograph_location", "micrograph", "micrograph_id"),
    _orphans("micrograph_location", "experiment", "experiment_id"),
    _orphans("experiment", "lab", "lab_id"),
    _orphans("segmentation", "micrograph", "micrograph_id", "segmentation_id"),
    _orphans("segmentation", "segmentation_run", "segmentation_run_id", "segmentation_id"),
    _orphans("particle", "segmentation", "segmentation_id"),
    _orphans("shape_inference", "segmentation", "segmentation_id"),
    _orphans("shape_prediction", "particle", "particle_id"),
    _orphans("shape_refinement", "particle", "particle_id"),
    _orphans("group_assignment", "grouping_run", "grouping_run_id"),
    _orphans("group_assignment", "particle", "particle_id"),
    _orphans("group_prediction", "particle", "particle_id"),
    _orphans("classifier_run", "grouping_run", "grouping_run_id", "classifier_run_id"),
    _orphans("selection_particle", "particle", "particle_id"),
    _doubles("particle", "particle_id"),
    _doubles("shape_prediction", "model_id", "particle_id"),
    _doubles("shape_refinement", "model_id", "method", "particle_id"),
    _doubles("group_assignment", "grouping_run_id", "particle_id"),
    _doubles("group_prediction", "particle_id"),
    RowCheck(
        table="group_assignment",
        column="segmentation_id",
        wrong="segmentation_id is not its particle's",
        sql="SELECT a.particle_id AS name, a.segmentation_id AS found FROM group_assignment a "
        "JOIN particle p USING (particle_id) WHERE a.segmentation_id != p.segmentation_id",
    ),
    RowCheck(
        table="segmentation",
        wrong="particle_count is not the number of its rows in particle",
        sql="SELECT s.segmentation_id AS name, "
        "format('{} instead of {}', coalesce(p.n, 0), s.particle_count) AS found "
        "FROM segmentation_current s LEFT JOIN "
        "(SELECT segmentation_id, count(*) AS n FROM particle GROUP BY 1) p "
        "USING (segmentation_id) WHERE coalesce(p.n, 0) != s.particle_count",
    ),
    RowCheck(
        table="shape_inference",
        wrong="particle_count is not the number of its rows in shape_prediction",
        sql="SELECT s.segmentation_id AS name, "
        "format('{} instead of {}', coalesce(p.n, 0), s.particle_count) AS found "
        "FROM shape_inference_current s LEFT JOIN "
        "(SELECT unit_key, count(*) AS n FROM shape_prediction GROUP BY 1) p "
        "USING (unit_key) WHERE coalesce(p.n, 0) != s.particle_count",
    ),
    RowCheck(
        table="morphology",
        wrong="a particle that is shown more than once",
        sql="SELECT particle_id AS name, count(*) AS found FROM morphology "
        "GROUP BY 1 HAVING count(*) > 1",
    ),
    RowCheck(
        table="work_unit",
        wrong="done, and its snapshot is newer than the catalogue's newest",
        sql="SELECT unit_key AS name, snapshot_id AS found FROM work_unit WHERE state = 'done' "
        "AND snapshot_id > (SELECT max(snapshot_id) FROM lake.snapshots())",
        remedy="the catalogue is older than the ledger: restore both from one backup",
    ),
    *(
        RowCheck(
            table="work_unit",
            wrong=f"done, and no row of {table} is from it",
            sql=f"SELECT unit_key AS name, subject AS found FROM work_unit w "
            f"WHERE state = 'done' AND step = '{step}' "
            f"AND NOT EXISTS (FROM {table} t WHERE t.unit_key = w.unit_key)",
            remedy="the catalogue is older than the ledger: restore both from one backup",
        )
        for step, table in (("segment", "segmentation"), ("describe", "shape_inference"))
    ),
)
EXPIRED = """
SELECT count(*) AS n FROM work_unit
WHERE state = 'done' AND snapshot_id NOT IN (SELECT snapshot_id FROM lake.snapshots())
"""
"""Units whose snapshot was expired; their rows stay."""

PICTURES = """
SELECT image_path AS path, arg_max(pixel_sha256, created_at) AS sha256,
       any_value(height_px) AS height_px, any_value(width_px) AS width_px,
       list(DISTINCT dtype) AS dtypes,
       list({'y': pixel_size_y_nm, 'x': pixel_size_x_nm} ORDER BY created_at DESC) AS sizes
FROM micrograph GROUP BY image_path ORDER BY image_path
"""
LABELS = """
SELECT s.label_path AS path, arg_max(s.label_sha256, s.created_at) AS sha256,
       any_value(m.height_px) AS height_px, any_value(m.width_px) AS width_px,
       ['uint16', 'uint32'] AS dtypes,
       list({'y': s.pixel_size_y_nm, 'x': s.pixel_size_x_nm} ORDER BY s.created_at DESC) AS sizes
FROM segmentation s JOIN (SELECT DISTINCT ON (micrograph_id) * FROM micrograph) m
USING (micrograph_id) GROUP BY s.label_path ORDER BY s.label_path
"""
"""A scale that any row of the picture gave may stand in its metadata: the newest writes it, and a
row that was made current again does not write it anew."""
ROOTS = "SELECT DISTINCT split_part(image_path, '/', 1) AS path FROM micrograph ORDER BY 1"
LISTS = """
SELECT regexp_replace(label_path, '/labels/[^/]*$', '') AS path,
       list(DISTINCT regexp_extract(label_path, '[^/]*$')) AS runs
FROM segmentation GROUP BY 1 ORDER BY 1
"""
RAW_FILES = """
SELECT host, path, arg_max(raw_sha256, created_at) AS sha256 FROM micrograph_location
GROUP BY host, path ORDER BY path
"""
MODELS = """
SELECT DISTINCT ON (classifier_run_id) * FROM classifier_run WHERE model_sha256 IS NOT NULL
ORDER BY classifier_run_id, created_at DESC
"""
LARGEST = "SELECT max(height_px::BIGINT * width_px) AS pixels FROM micrograph"
