"""Trace: from one particle's row back to its mask, its pixels and the raw file, each re-hashed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanolake.errors import LakeError
from nanolake.storage import Lake, array_sha256

_QUERY = """
SELECT mo.particle_id, mo.label, mo.experiment, mo.lab, mo.path, mo.model_id,
       mo.bbox_min_y_px, mo.bbox_min_x_px, mo.bbox_max_y_px, mo.bbox_max_x_px,
       mo.equivalent_diameter_area_nm, mo.equivalent_diameter_area_px, mo.p, mo.d, mo.L_ratio,
       mo.shape_group, m.micrograph_id, m.image_path, m.pixel_sha256, m.raw_sha256, m.reader,
       m.pixel_size_x_nm, m.pixel_size_source, m.pixel_size_trust,
       s.label_path, s.label_sha256, s.segmentation_run_id, r.method, r.settings_json,
       p.num_pixels, p.unit_key, w.snapshot_id
FROM morphology mo
JOIN particle p USING (particle_id)
JOIN micrograph_current m ON m.micrograph_id = mo.micrograph_id
JOIN segmentation_current s ON s.segmentation_id = p.segmentation_id
JOIN segmentation_run r ON r.segmentation_run_id = s.segmentation_run_id
LEFT JOIN work_unit w ON w.unit_key = p.unit_key
WHERE mo.particle_id = ?
"""
MIN_CROP_PX = 600
"""A smaller crop is enlarged by a whole number up to this longer side, to show the outline."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One step back: what it is, where it lies, and whether its bytes are what they were."""

    what: str
    where: str
    found: str
    """``intact``, ``changed``, ``missing`` …; for the raw file it may have been moved since."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A particle's way back to the raw bytes."""

    particle: dict[str, Any]
    links: tuple[Link, ...]
    picture: Path | None = None

    @property
    def intact(self) -> bool:
        """Whether nothing on the way was changed (a raw file that was moved is not a change)."""
        return all(link.found in ("intact", "moved") for link in self.links)


def trace(lake: Lake, particle_id: str, picture: Path | None = None) -> Trace:
    """Follow one particle back and re-hash every step; draw its outline to ``picture`` if asked.

    Raises `LakeError` where the lake has no such current particle.
    """
    rows = lake.query(_QUERY, [particle_id]).to_pylist()
    if not rows:
        raise LakeError(
            f"no current particle {particle_id!r}: "
            '`nanolake sql "SELECT particle_id FROM morphology LIMIT 5"` shows how ids look'
        )
    row = rows[0]
    labels, label_link = _array(lake, "label image", row["label_path"], row["label_sha256"])
    pixels, pixel_link = _array(lake, "pixels", row["image_path"], row["pixel_sha256"])
    links = [_mask(row, labels), label_link, pixel_link, _raw(row)]
    if picture is not None and labels is not None and pixels is not None:
        _draw(picture, row, pixels, labels)
    return Trace(particle=row, links=tuple(links), picture=picture)


def _array(lake: Lake, what: str, path: str, wanted: str) -> tuple[Any, Link]:
    where = lake.images.where(path)
    try:
        array = lake.images.read(path)
    except LakeError:
        return None, Link(what=what, where=where, found="missing")
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


def _draw(target: Path, row: dict[str, Any], pixels: Any, labels: Any, margin_px: int = 24) -> None:
    from nanolake.report import write_overlay

    y = slice(max(0, row["bbox_min_y_px"] - margin_px), row["bbox_max_y_px"] + margin_px)
    x = slice(max(0, row["bbox_min_x_px"] - margin_px), row["bbox_max_x_px"] + margin_px)
    only = (labels[y, x] == row["label"]).astype("uint8")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_overlay(
        target, pixels[y, x], only, groups={1: row["shape_group"] or 1}, min_side_px=MIN_CROP_PX
    )
