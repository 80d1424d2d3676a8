"""Trace: from one particle's row back to its mask, its pixels and the raw file, each re-hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nanolake
from nanolake.errors import LakeError, QueryError
from nanolake.model_files import model_id
from nanolake.pipeline.crop_picture import draw_crop
from nanolake.pipeline.segment import run_id_of
from nanolake.pipeline.verify import broken_tables
from nanolake.storage import Lake, array_sha256
from nanolake.storage.images import SHARD
from nanolake.storage.moments import At

_QUERY = """
SELECT mo.particle_id, mo.label, mo.experiment, mo.lab, mo.path, mo.model_id,
       mo.bbox_min_y_px, mo.bbox_min_x_px, mo.bbox_max_y_px, mo.bbox_max_x_px,
       mo.equivalent_diameter_area_nm, mo.equivalent_diameter_area_px, mo.p, mo.d, mo.L_ratio,
       mo.shape_group, mo.shape_group_source, mo.grouping_run_id,
       m.micrograph_id, m.image_path, m.pixel_sha256, m.raw_sha256, m.reader,
       m.pixel_size_y_nm, m.pixel_size_x_nm, m.pixel_size_source, m.pixel_size_trust,
       s.label_path, s.label_sha256, s.segmentation_run_id, r.method, r.settings_json,
       r.code_version, r.model_id AS segmentation_model_id, p.num_pixels, p.unit_key
FROM morphology mo
JOIN particle p USING (particle_id)
JOIN micrograph_current m ON m.micrograph_id = mo.micrograph_id
JOIN segmentation_current s ON s.segmentation_id = p.segmentation_id
JOIN segmentation_run r ON r.segmentation_run_id = s.segmentation_run_id
WHERE mo.particle_id = ?
"""
_PLACE = "SELECT filename, snapshot_id FROM {} WHERE {} = ? ORDER BY snapshot_id DESC LIMIT 1"
_SNAPSHOT = (
    "SELECT snapshot_time, author, commit_message, commit_extra_info FROM lake.snapshots() "
    "WHERE snapshot_id = ?"
)
_OLDER = """
SELECT p.segmentation_id, s.segmentation_run_id,
       (SELECT min(n.snapshot_id) FROM segmentation n WHERE n.micrograph_id = p.micrograph_id
        AND n.snapshot_id > p.snapshot_id) AS replaced_in
FROM particle p JOIN segmentation s USING (segmentation_id) WHERE p.particle_id = ?
ORDER BY s.created_at DESC LIMIT 1
"""


Hashes = Mapping[str, Mapping[str, Any]]
WHOLE = ("intact", "moved", "expired", "not kept here", "recorded")
"""What a link may be found as without anything being wrong: bytes that are as they were; a raw
file that lies elsewhere now; a snapshot that was expired, its rows being kept; weights that this
lake holds no file of; a snapshot that does not name the row's unit, as an import."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One step back: what it is, where it lies, and whether its bytes are what they were."""

    what: str
    where: str
    found: str
    """One of `WHOLE`, or what is wrong: ``changed``, ``missing`` …"""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A particle's way back to the raw bytes."""

    particle: dict[str, Any]
    links: tuple[Link, ...]
    picture: Path | None = None

    @property
    def intact(self) -> bool:
        """Whether nothing on the way was changed (a raw file that was moved is not a change)."""
        return all(link.found in WHOLE for link in self.links)


def trace(
    lake: Lake, particle_id: str, picture: Path | None = None, *, at: At | None = None
) -> Trace:
    """Follow one particle back and re-hash every step; draw its outline to ``picture`` if asked.

    ``at`` follows it in the lake as it was then. Raises `LakeError` where the lake has no such
    current particle, and where the files of its rows are broken so that they cannot be read.
    """
    row = _row(lake, particle_id, at)
    labels, label_link = _array(lake, "label image", row["label_path"], row["label_sha256"])
    pixels, pixel_link = _array(lake, "pixels", row["image_path"], row["pixel_sha256"])
    hashes = lake.hashes()

    def file(what: str, table: str, key: str, value: str) -> Link:
        return _file(lake, hashes, what, table, key, value, at)

    links = [
        file("row of the particle", "particle", "particle_id", particle_id),
        _snapshot(lake, row, at),
        *_models(lake, row),
        *_group(lake, hashes, row, at),
        _settings(row),
        _mask(row, labels),
        file("row of the labels", "segmentation", "label_path", row["label_path"]),
        label_link,
        file("row of the picture", "micrograph", "image_path", row["image_path"]),
        pixel_link,
        _raw(row),
    ]
    if picture is not None and labels is not None and pixels is not None:
        draw_crop(picture, row, pixels, labels)
    return Trace(particle=row, links=tuple(links), picture=picture)


def _row(lake: Lake, particle_id: str, at: At | None) -> dict[str, Any]:
    try:
        rows = lake.query(_QUERY, [particle_id], at=at).to_pylist()
        older = [] if rows else lake.query(_OLDER, [particle_id]).to_pylist()
    except QueryError as error:
        for broken in broken_tables(lake, 1):
            raise LakeError(
                f"the rows of {particle_id} cannot be read: {broken.where} is {broken.found}; "
                f"{broken.remedy}"
            ) from error
        raise
    if rows:
        found: dict[str, Any] = rows[0]
        return found
    if older and older[0]["replaced_in"] is not None:
        before = older[0]["replaced_in"] - 1
        raise LakeError(
            f"{particle_id} is not current: its picture was segmented anew in snapshot "
            f"{before + 1}; `nanolake trace {particle_id} --at {before}` follows it as it was"
        )
    raise LakeError(
        f"no current particle {particle_id!r}: "
        '`nanolake sql "SELECT particle_id FROM morphology LIMIT 5"` shows how ids look'
    )


def _file(
    lake: Lake,
    hashes: Hashes,
    what: str,
    table: str,
    key: str,
    value: str,
    at: At | None,
) -> Link:
    """Hash the Parquet file that holds the newest row with this key."""
    place = lake.query(_PLACE.format(table, key), [value], at=at).to_pylist()[0]["filename"]
    path = place.removeprefix(lake.tables.where("").rstrip("/") + "/")
    sealed = hashes.get(path)
    where = lake.tables.where(path)
    if sealed is None:
        return Link(what=what, where=where, found="has no hash yet")
    same = lake.tables.sha256(path) == sealed["sha256"]
    return Link(what=what, where=where, found="intact" if same else "changed")


def _snapshot(lake: Lake, particle: Mapping[str, Any], at: At | None) -> Link:
    """Say who brought the row, and when; intact where the commit names the row's unit of work."""
    sql = _PLACE.format("particle", "particle_id")
    number = lake.query(sql, [particle["particle_id"]], at=at).to_pylist()[0]["snapshot_id"]
    rows = lake.query(_SNAPSHOT, [number]).to_pylist()
    if not rows:
        return Link(what="snapshot", where=str(number), found="expired")
    row = rows[0]
    when = f"{row['snapshot_time']:%Y-%m-%d %H:%M:%S} UTC"
    where = f"{number}: {row['commit_message']}, by {row['author']} at {when}"
    named = particle["unit_key"] in (row["commit_extra_info"] or "")
    return Link(what="snapshot", where=where, found="intact" if named else "recorded")


def _models(lake: Lake, row: Mapping[str, Any]) -> list[Link]:
    """Find the weights by their hash: those of the package, else files that the lake keeps."""
    links = []
    named = (("segmentation model", "segmentation_model_id"), ("shape model", "model_id"))
    for what, column in named:
        if (wanted := row[column]) is not None:
            file = _weights(lake, wanted)
            found = "not kept here" if file is None else "intact"
            where = wanted if file is None else f"{wanted} = {file.name}"
            links.append(Link(what=what, where=where, found=found))
    return links


def _group(lake: Lake, hashes: Hashes, row: Mapping[str, Any], at: At | None) -> list[Link]:
    """Name the run that gave the particle its group, and hash the file of the row that says so."""
    if row["grouping_run_id"] is None:
        return []
    source = row["shape_group_source"]
    table = "group_assignment" if source == "grouping" else "group_prediction"
    link = _file(lake, hashes, "group", table, "particle_id", row["particle_id"], at)
    where = f"group {row['shape_group']} by {source} {row['grouping_run_id']}: {link.where}"
    return [replace(link, where=where)]


def _weights(lake: Lake, wanted: str) -> Path | None:
    package = Path(nanolake.__file__).parent
    files = [*package.rglob("weights/*.onnx"), *(lake.root / "models").rglob("*.onnx")]
    return next((file for file in files if model_id(file) == wanted), None)


def _settings(row: Mapping[str, Any]) -> Link:
    """Compute the run's id again from method, settings, code and weights."""
    where = f"{row['segmentation_run_id']}: {row['method']}, nanolake {row['code_version']}"
    try:
        same = row["segmentation_run_id"] == run_id_of(
            row["settings_json"], row["code_version"], row["segmentation_model_id"]
        )
    except ValueError:  # no JSON any more
        same = False
    return Link(what="settings", where=where, found="intact" if same else "changed")


def _array(lake: Lake, what: str, path: str, wanted: str) -> tuple[Any, Link]:
    where = lake.images.where(f"{path}/{SHARD}")
    try:
        array = lake.images.read(path)
    except LakeError as error:
        found = "missing" if error.__cause__ is None else f"changed ({error.__cause__})"
        return None, Link(what=what, where=where, found=found)
    except Exception as error:  # a damaged shard makes the codec raise what it likes
        return None, Link(what=what, where=where, found=f"changed ({type(error).__name__})")
    same = array_sha256(array) == wanted
    return array, Link(what=what, where=where, found="intact" if same else "changed")


def _mask(row: dict[str, Any], labels: Any) -> Link:
    where = f"label {row['label']}"
    if labels is None:
        return Link(what="mask", where=where, found="missing")
    found = int((labels == row["label"]).sum())
    same = found == row["num_pixels"]
    text = "intact" if same else f"changed ({found} pixels instead of {row['num_pixels']})"
    return Link(what="mask", where=where, found=text)


def _raw(row: dict[str, Any]) -> Link:
    path = Path(row["path"])
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return Link(what="raw file", where=str(path), found="moved")
    same = digest == row["raw_sha256"]
    return Link(what="raw file", where=str(path), found="intact" if same else "changed")
