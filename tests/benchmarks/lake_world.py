"""A large lake without pixels: plausible labs, experiments, pictures and particles, made in SQL.

Every experiment has a log-normal size of its own, one to three families of outlines, conditions,
pictures with and without a pixel size. Rows go into the lake's own source tables; `nanolake
refresh` makes the rest. Features are drawn to seven digits, as masks of some hundred pixels do not
give more; nothing here is meant to look like a real batch in detail.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import duckdb

from nanolake.contracts import get_table
from nanolake.storage import Lake

PICTURES = 20
"""Micrographs an experiment."""
BLOCK = 100
"""Experiments a transaction, as a large run would commit them."""
_NORMAL = "sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())"

# Of a particle with diameter q (px): what its sizes are multiples of, and by how much they vary.
_LENGTHS = {
    "equivalent_diameter_perimeter": 1.04, "feret_diameter_max": 1.2, "feret_diameter_min": 0.9,
    "feret_diameter_orthogonal": 1.15, "feret_diameter_mean": 1.06, "perimeter": 3.2,
    "perimeter_crofton": 3.25, "perimeter_convex": 3.2, "axis_major_length": 1.1,
    "axis_minor_length": 0.9, "inscribed_circle_diameter": 0.85,
    "circumscribed_circle_diameter": 1.2, "nearest_neighbour_distance": 1.6,
}  # fmt: skip
_LONG = ("feret_diameter_max", "feret_diameter_orthogonal", "axis_major_length",
         "circumscribed_circle_diameter")  # fmt: skip
_AREAS = {"area_filled": 1.0, "area_convex": 1.04, "area_bbox": 1.4}
_RATIOS = {
    "aspect_ratio_feret": 0.8, "eccentricity": 0.4, "circularity": 0.85, "roundness": 0.7,
    "compactness": 0.84, "convexity": 0.95, "solidity": 0.94, "extent": 0.7, "irregularity": 0.7,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Built:
    """What was written, and how long it took."""

    particles: int
    rows: int
    """Rows of all source tables."""
    wall_s: float


def build(lake: Lake, experiments: int, particles: int) -> Built:
    """Fill a new lake with about so many particles in so many experiments."""
    started = time.perf_counter()
    per_picture = max(2, particles // (experiments * PICTURES))
    with lake.rewrite("labs and experiments") as connection:
        connection.execute(_PICK)
        for statement in _labs(experiments):
            connection.execute(statement)
    for first in range(0, experiments, BLOCK):
        last = min(first + BLOCK, experiments)
        with lake.rewrite(f"experiments {first} to {last - 1}") as connection:
            _write_block(connection, first, last, per_picture)
    with lake.rewrite("grouping") as connection:
        for statement in _groups():
            connection.execute(statement)
    wall_s = time.perf_counter() - started
    names = ("experiment", "micrograph", "segmentation", *_WRITTEN, "group_assignment")
    counts = {name: _count(lake, name) for name in names}
    return Built(particles=counts["particle"], rows=sum(counts.values()), wall_s=wall_s)


_WRITTEN = ("particle", "shape_prediction", "shape_refinement")


def _count(lake: Lake, table: str) -> int:
    return int(lake.query(f"SELECT count(*) AS n FROM {table}").to_pylist()[0]["n"])


def _insert(table: str, values: dict[str, str], source: str) -> str:
    """Return an INSERT of named expressions; required columns not named get something harmless."""
    blank = {"string": "''", "json": "'{}'", "bool": "false", "int32": "1", "int64": "1",
             "list<string>": "['p']"}  # fmt: skip
    stamp = {"unit_key": "'bulk'", "created_at": "TIMESTAMPTZ '2026-01-01 00:00:00+00'"}
    filled = {
        c.name: blank[c.type]
        for c in get_table(table).columns
        if c.required and c.name not in values and c.name not in stamp
    }
    columns = ", ".join(f"{text} AS {name}" for name, text in (filled | stamp | values).items())
    return f"INSERT INTO {table} BY NAME SELECT {columns} FROM {source}"


def _labs(experiments: int) -> list[str]:
    """Forty labs; experiments with a route, a sample and three conditions, drawn by hash."""
    labs = f"(SELECT range AS n FROM range({min(40, experiments)}))"
    world = f"(SELECT range AS e, {_LAB} AS lab_n FROM range({experiments}))"
    lab = {"lab_id": "'lab-' || n", "lab": "'Lab ' || lpad(n::VARCHAR, 2, '0')"}
    sample = {"sample_id": "'s' || (e // 2)", "lab_id": "'lab-' || lab_n",
              "sample": "'Sample ' || (e // 2)"}  # fmt: skip
    experiment = {
        "experiment_id": _EXPERIMENT, "lab_id": "'lab-' || lab_n", "sample_id": "'s' || (e // 2)",
        "experiment": "'Batch ' || lpad(e::VARCHAR, 5, '0')",
        "route": "['hot injection', 'heat-up', 'seeded growth', 'flow', NULL][1 + pick(e, 5)]",
    }  # fmt: skip
    statements = [_insert("lab", lab, labs), _insert("sample", sample, f"{world} WHERE e % 2 = 0"),
                  _insert("experiment", experiment, world)]  # fmt: skip
    for name, value, unit in (
        ("temperature", "140 + 10 * (pick(e || 't', 10))", "degC"),
        ("time", "[1, 5, 10, 30, 60][1 + pick(e || 'm', 5)]", "min"),
        ("ligand ratio", "(1 + pick(e || 'l', 8)) / 2", None),
    ):
        condition = {"experiment_id": _EXPERIMENT, "name": f"'{name}'", "value_number": value,
                     "unit": f"'{unit}'" if unit else "NULL"}  # fmt: skip
        statements.append(_insert("experiment_condition", condition, world))
    return statements


_PICK = "CREATE OR REPLACE TEMP MACRO pick(what, n) AS (hash(what) % n)::BIGINT"
"""A number from 0 to n - 1 that is always the same for the same thing."""
_EXPERIMENT = "md5('experiment ' || e)[:24]"
_LAB = "(pick(e // 25, 40))"
"""Labs bring their experiments in series of 25."""


def _write_block(
    connection: duckdb.DuckDBPyConnection, first: int, last: int, per_picture: int
) -> None:
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE picture AS
        SELECT e, k, {_EXPERIMENT} AS experiment_id, md5(e || ' ' || k) AS micrograph_id,
               md5(e || ' ' || k || ' segmented')[:24] AS segmentation_id,
               {per_picture // 2} + pick(e || ' ' || k, {per_picture + 1}) AS particles,
               0.1 + 0.9 * (pick(e || 'nm', 1000)) / 1000 AS pixel_nm,
               pick(e || ' ' || k || 'trust', 20) AS trust,
               5 * exp(2.5 * pick(e || 's', 1000) / 1000) AS nm,
               0.06 + 0.2 * (pick(e || 'w', 1000)) / 1000 AS width,
               (pick(e || 'f', 1000)) / 1000 AS mix
        FROM (SELECT range AS e FROM range({first}, {last})), (SELECT range AS k
             FROM range({PICTURES}))"""
    )
    size = "CASE WHEN trust > 0 THEN pixel_nm END"
    sizes = {"pixel_size_y_nm": size, "pixel_size_x_nm": size}
    trust = "CASE trust WHEN 0 THEN 'unknown' WHEN 1 THEN 'metadata' ELSE 'sheet' END"
    when = "strftime(DATE '2021-01-01' + (e % 1800)::INTEGER, '%Y-%m-%dT10:00:00')"
    paths = {"image_path": "experiment_id || '.zarr/' || micrograph_id"}
    ids = {"micrograph_id": "micrograph_id", "segmentation_id": "segmentation_id"}
    picture = {"micrograph_id": "micrograph_id", "dtype": "'uint8'", "pixel_size_trust": trust,
               "acquired_at": when, **sizes, **paths}  # fmt: skip
    place = {"micrograph_id": "micrograph_id", "experiment_id": "experiment_id",
             "path": "'/data/' || e || '/' || k || '.tif'"}  # fmt: skip
    mask = {**ids, **sizes, "polarity": "'dark'", "particle_count": "particles",
            "segmentation_run_id": "'run'", "label_path": paths["image_path"]}  # fmt: skip
    described = {"segmentation_id": "segmentation_id", "model_id": "'model'", "model_name": "'m'",
                 "particle_count": "particles", "refinement": "'jaccard-1'"}  # fmt: skip
    connection.execute(_insert("micrograph", picture, "picture"))
    connection.execute(_insert("micrograph_location", place, "picture"))
    connection.execute(_insert("segmentation", mask, "picture"))
    connection.execute(_insert("shape_inference", described, "picture"))
    connection.execute(_drawn())
    pixels = ", ".join(f"{text} AS {name}" for name, text in _in_pixels().items())
    connection.execute(_insert("particle", _particle(), f"(SELECT *, {pixels} FROM drawn)"))
    for table, values in _outlines().items():
        connection.execute(_insert(table, values, "drawn"))
    connection.execute("DROP TABLE drawn")


def _drawn() -> str:
    """Size, family and outline of each particle: rods, cubes or discs, in shares by experiment."""
    return f"""CREATE OR REPLACE TEMP TABLE drawn AS
        SELECT *, nm * exp(width * n) / pixel_nm AS q, greatest(1, round(0.785 * q * q)) AS pixels,
               segmentation_id || '-' || lpad(label::VARCHAR, 5, '0') AS particle_id,
               CASE family WHEN 0 THEN 2 WHEN 1 THEN 4 ELSE 3 END AS d,
               [2.5, 9, 4][1 + family] * exp(0.15 * m) AS p,
               least(1, [0.4, 0.95, 0.85][1 + family] * exp(-0.1 * abs(n))) AS axes
        FROM (SELECT *, {_NORMAL} AS n, {_NORMAL} AS m,
                     (random() > mix)::INTEGER + (random() > 0.8)::INTEGER AS family
              FROM (SELECT *, unnest(range(1, particles::BIGINT + 1)) AS label FROM picture))"""


def _seven(text: str) -> str:
    return f"({text})::FLOAT::DOUBLE"


def _in_pixels() -> dict[str, str]:
    """Sizes in pixels, as expressions of what was drawn."""
    values = {"equivalent_diameter_area_px": _seven("q"), "area_px2": "pixels"}
    for name, factor in _LENGTHS.items():
        long = "/ sqrt(axes)" if name in _LONG else ""
        values[f"{name}_px"] = _seven(f"{factor} * q {long} * (1 + 0.03 * random())")
    for name, factor in _AREAS.items():
        values[f"{name}_px2"] = f"round({factor} * pixels * (1 + 0.05 * random()))"
    values |= {f"centroid_{axis}_px": _seven("2048 * random()") for axis in "yx"}
    return values


def _particle() -> dict[str, str]:
    """Every column of `particle`, as an expression of what was drawn and of the sizes in pixels."""
    same = ("particle_id", "segmentation_id", "micrograph_id", "label", *_in_pixels())
    values = {name: name for name in same} | {
        "segmentation_run_id": "'run'", "confidence": "0.5 + 0.5 * random()",
        "num_pixels": "pixels", "aspect_ratio": _seven("axes"),
        "euler_number": "1", "touches_border": "false", "touches_neighbour": "random() < 0.1",
    }  # fmt: skip
    for name, middle in _RATIOS.items():
        values[name] = _seven(f"{middle} + 0.05 * random()")
    for name in ("bbox_min_y_px", "bbox_min_x_px", "bbox_max_y_px", "bbox_max_x_px"):
        values[name] = "floor(2048 * random())"
    for name in _in_pixels():
        nm = f"{name} * pixel_nm{' ** 2' if name.endswith('2') else ''}"
        values[name.replace("_px", "_nm")] = f"CASE WHEN trust > 0 THEN {_seven(nm)} END"
    for column in get_table("particle").columns:
        if column.type == "float64" and column.name not in values:
            values[column.name] = _seven("100 * random()")
    return values


def _outlines() -> dict[str, dict[str, str]]:
    """Columns of `shape_prediction` and `shape_refinement`."""
    names = ("particle_id", "segmentation_id", "micrograph_id", "label")
    ids = {name: name for name in names} | {"model_id": "'model'"}
    outline = {"p": "p", "d": "d", "L_ratio": "axes", "phi_rad": "random()"}
    predicted = {**ids, **outline, "jaccard": "1 - 0.2 * random() * random()",
                 "log_p_sd": "0.1 * random()", "L_ratio_sd": "0.1 * random()",
                 "d_confidence": "1 - 0.3 * random()",
                 "d_probability": "[0, (d = 2)::FLOAT, (d = 3)::FLOAT, (d = 4)::FLOAT, 0, 0]",
                 }  # fmt: skip
    refined = {**ids, **outline, "method": "'jaccard-1'", "jaccard": "1 - 0.1 * random()",
               "size_factor": "1 + 0.01 * random()", "offset_y": "0.01 * random()",
               "offset_x": "0.01 * random()", "improved": "random() < 0.9"}  # fmt: skip
    return {"shape_prediction": predicted, "shape_refinement": refined}


def _groups() -> list[str]:
    """One grouping of everything: by number of axes and size, some particles without a group."""
    run = {"grouping_run_id": "'grouping'", "dataset": "'parameters'", "k": "6"}
    group = "CASE WHEN random() < 0.01 THEN 0 ELSE d - 1 + 3 * (pick(segmentation_id, 2)) END"
    assigned = {"grouping_run_id": "'grouping'", "particle_id": "particle_id",
                "segmentation_id": "segmentation_id", "shape_group": group,
                "distance_to_centre": "random()"}  # fmt: skip
    return [
        _insert("grouping_run", run, "(SELECT 1)"),
        _insert("group_assignment", assigned, "shape_prediction ORDER BY particle_id"),
    ]
