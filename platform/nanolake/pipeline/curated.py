"""Curated particles of a lake as training data: their crops and the triple of each, in one file.

The triple is a person's where the selection has one. Else it is what a network has answered before
(self-training), refined on the mask where the lake has that, and only where it re-draws the mask
well enough.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import LakeError, SettingsError
from nanolake.pipeline.select import newest_version
from nanolake.shape.settings import ShapeTrainSettings
from nanolake.shape.surroundings import MAPS, maps_of
from nanolake.storage import Lake

if TYPE_CHECKING:
    import pandas as pd

MIN_JACCARD = 0.9
"""Least Jaccard of a network's answer with the mask for it to be learned from."""
LARGEST_P = 69.0
"""The simulation ends here: above, outlines look alike."""


def with_selection(
    settings: ShapeTrainSettings,
    lake: Lake,
    name: str,
    *,
    share: float,
    out: Path,
    min_jaccard: float = MIN_JACCARD,
) -> ShapeTrainSettings:
    """Return settings that mix the newest version of a selection into every batch.

    The particles are exported to ``out``, once: the file's name holds the hash of what is in it.
    """
    if not 0.0 < share <= 1.0:
        raise SettingsError(f"share={share} of the batch must be over 0 and at most 1")
    path = export_selection(
        lake, name, out, crop_px=settings.crop_px, min_jaccard=min_jaccard
    ).resolve()
    values = {**settings.model_dump(), "curated": path, "curated_share": share}
    return ShapeTrainSettings.build(values)


def export_selection(
    lake: Lake, name: str, out: Path, *, crop_px: int = 64, min_jaccard: float = MIN_JACCARD
) -> Path:
    """Write crops and triples of a selection's newest version to a file in ``out``; return it.

    Arrays of the ``.npz``: ``crops`` (n, crop_px, crop_px) and ``around`` (n, 2, crop_px, crop_px)
    uint8 0 … 255 (`shape.cut_maps`), ``p``, ``l_ratio`` float64, ``d`` int64, ``particle_id``,
    ``by_person`` bool, in the order of particle_id, and ``about``, JSON. The same rows give the
    same bytes. Raises `LakeError` where there is no such selection, or none of its particles can be
    used.
    """
    lake.follow()
    about = newest_version(lake, name)
    if about is None:
        raise LakeError(f"there is no selection {name!r}: make one with `nanolake select`")
    rows = _rows(lake, about)
    good = rows["by_person"] | (rows["p"].notna() & (rows["jaccard"] >= min_jaccard))
    kept = rows[good].sort_values("particle_id", ignore_index=True)
    if kept.empty:
        raise LakeError(
            f"none of the {len(rows)} particles of selection {name!r} has a person's label or a "
            f"prediction with a Jaccard of {min_jaccard} or more: describe them, or label them"
        )
    maps = _maps(lake, kept, crop_px)
    arrays = {
        "crops": maps[:, 0],
        "around": maps[:, 1:],
        "p": np.minimum(kept["p"].to_numpy(float), LARGEST_P),
        "d": kept["d"].to_numpy(np.int64),
        "l_ratio": kept["L_ratio"].to_numpy(float),
        "particle_id": kept["particle_id"].to_numpy(str),
        "by_person": kept["by_person"].to_numpy(bool),
    }
    return _save(out, arrays, _about(about, rows, kept, min_jaccard))


def _rows(lake: Lake, about: Mapping[str, Any]) -> pd.DataFrame:
    """Return one row a particle of a selection: its mask, its triple and where that is from."""
    found = lake.query(
        "SELECT x.particle_id, pa.label, s.label_path, m.image_path, x.p IS NOT NULL AS by_person, "
        "coalesce(m.pixel_size_y_nm / m.pixel_size_x_nm, 1.0) AS aspect, "
        "coalesce(x.p, sr.p, sp.p) AS p, coalesce(x.d, sr.d, sp.d) AS d, "
        "coalesce(x.L_ratio, sr.L_ratio, sp.L_ratio) AS L_ratio, "
        "coalesce(sr.jaccard, sp.jaccard, 0.0) AS jaccard, sp.model_id, "
        "x.p IS NULL AND sr.p IS NOT NULL AS refined "
        "FROM selection_particle x JOIN particle pa USING (particle_id) "
        "JOIN (SELECT DISTINCT ON (segmentation_id) * FROM segmentation) s "
        "ON s.segmentation_id = pa.segmentation_id "
        "JOIN micrograph_current m ON m.micrograph_id = pa.micrograph_id "
        "LEFT JOIN shape_inference_current si ON si.segmentation_id = pa.segmentation_id "
        "LEFT JOIN shape_prediction sp "
        "ON sp.particle_id = x.particle_id AND sp.model_id = si.model_id "
        "AND sp.unit_key = si.unit_key "
        "LEFT JOIN (SELECT DISTINCT ON (particle_id, model_id) * FROM shape_refinement "
        "ORDER BY particle_id, model_id, created_at DESC) sr "
        "ON sr.particle_id = x.particle_id AND sr.model_id = si.model_id "
        "WHERE x.unit_key = ? ORDER BY x.particle_id",
        [about["unit_key"]],
    )
    rows: pd.DataFrame = found.to_pandas()
    return rows


def _maps(lake: Lake, rows: pd.DataFrame, crop_px: int) -> NDArray[np.uint8]:
    """Cut the maps of every row, (n, 3, crop_px, crop_px), one label image at a time."""
    maps = np.zeros((len(rows), MAPS, crop_px, crop_px), np.uint8)
    for path, mine in rows.groupby("label_path"):
        labels = lake.images.read(str(path))
        pixels = lake.images.read(str(mine["image_path"].iloc[0]))
        aspect = float(mine["aspect"].iloc[0])
        wanted = mine["label"].to_numpy()
        order = np.argsort(wanted)  # maps come by rising label
        made = maps_of(labels, pixels, wanted, size=crop_px, pixel_aspect=aspect)
        maps[mine.index.to_numpy()[order]] = np.rint(255.0 * made)
    return maps


def _about(
    about: Mapping[str, Any], rows: pd.DataFrame, kept: pd.DataFrame, min_jaccard: float
) -> dict[str, Any]:
    guessed = kept[~kept["by_person"]]
    return {
        "selection": about["selection"],
        "version": about["selection_version"],
        "content_sha256": about["content_sha256"],
        "count": len(kept),
        "by_person": int(kept["by_person"].sum()),
        "by_network": len(guessed),
        "refined": int(guessed["refined"].sum()),
        "left_out": len(rows) - len(kept),
        "models": sorted(guessed["model_id"].unique()),
        "min_jaccard": min_jaccard,
    }


def _save(out: Path, arrays: Mapping[str, Any], about: Mapping[str, Any]) -> Path:
    """Write the file under a name that holds its hash; a file that is there is the same."""
    from nanolake.model_files import sha256

    out.mkdir(parents=True, exist_ok=True)
    half = out / "curated.writing"
    with half.open("wb") as file:
        np.savez_compressed(file, **arrays, about=np.array(json.dumps(about, sort_keys=True)))
    digest = sha256(half, "it was just written")
    return half.replace(out / f"{about['selection']}-v{about['version']}-{digest[:16]}.npz")
