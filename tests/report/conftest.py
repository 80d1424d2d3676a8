"""A toy sample with known truth: superellipse particles drawn on grey, and their rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from nanolake.report import ReportData, ReportMicrograph
from nanolake.simulate.superellipse import outline

KINDS = {1: (8.0, 2, 0.95, 12.0), 2: (3.0, 2, 0.35, 18.0), 3: (4.0, 3, 0.9, 8.0)}
"""Group -> p, d, L_ratio, size in nm: cubes, rods, hexagons."""


@dataclass(frozen=True)
class Toy:
    """A few micrographs of one experiment and the rows of their particles."""

    micrographs: list[ReportMicrograph]
    particles: pd.DataFrame


def make_toy(
    experiment: str = "HI-01", *, pictures: int = 2, side: int = 420, nm: float | None = 0.4,
    kinds: tuple[int, ...] = (1, 2, 3), seed: int = 0,
) -> Toy:  # fmt: skip
    """Draw ``pictures`` micrographs of a grid of particles; ``nm`` is the pixel size or None."""
    rng = np.random.default_rng(seed)
    shots, rows = [], []
    for number in range(pictures):
        identity = f"{experiment}-{number}"
        pixels, labels, found = _draw(rng, side, nm or 0.4, kinds)
        shots.append(
            ReportMicrograph(
                micrograph_id=identity, name=f"{experiment}_{number:03d}.tif",
                experiment=experiment, pixels=pixels, labels=labels, pixel_size_nm=nm,
            )
        )  # fmt: skip
        rows += [_row(experiment, identity, nm, labels, *item) for item in found]
    return Toy(shots, pd.DataFrame(rows))


def _draw(rng: np.random.Generator, side: int, nm: float, kinds: tuple[int, ...]) -> Any:
    pitch = 70
    pixels = rng.normal(180, 9, (side, side))
    labels, found = np.zeros((side, side), np.uint16), []
    centres = np.arange(pitch // 2, side - pitch // 2 + 1, pitch)
    for y in centres:
        for x in centres:
            kind = int(rng.choice(kinds))
            p, d, l_ratio, size = KINDS[kind]
            area = np.pi / 4 * (size * rng.lognormal(0, 0.12) / nm) ** 2
            shape = outline(p, d, l_ratio, rng.uniform(0, 6), area=area)
            polygon = np.round(shape[:, ::-1] + (x, y)).astype(np.int32)
            found.append((len(found) + 1, kind))
            cv2.fillPoly(labels, [polygon], len(found))
    pixels = np.where(labels > 0, pixels - 75, pixels)
    return np.clip(cv2.GaussianBlur(pixels, (0, 0), 1.2), 0, 255).astype(np.uint8), labels, found


def _row(
    experiment: str, identity: str, nm: float | None, labels: Any, label: int, kind: int
) -> dict[str, Any]:
    area = float((labels == label).sum())
    p, d, l_ratio, _ = KINDS[kind]
    rng = np.random.default_rng(label)
    diameter = 2.0 * np.sqrt(area / np.pi)
    scale = np.nan if nm is None else nm
    return {
        "particle_id": f"{identity}-{label}", "micrograph_id": identity, "label": label,
        "experiment": experiment, "lab": "Lab A", "sample": experiment,
        "equivalent_diameter_area_px": diameter, "equivalent_diameter_area_nm": diameter * scale,
        "area_px2": area, "area_nm2": area * scale**2,
        "feret_diameter_max_nm": 1.1 * diameter * scale / np.sqrt(l_ratio),
        "aspect_ratio": l_ratio - abs(rng.normal(0, 0.02)),
        "circularity": 0.95 - 0.1 * (1 - l_ratio) + rng.normal(0, 0.02),
        "solidity": 0.97 + rng.normal(0, 0.008), "p": p * rng.lognormal(0, 0.1), "d": d,
        "L_ratio": min(1.0, l_ratio * rng.lognormal(0, 0.05)),
        "jaccard": 0.93 + rng.normal(0, 0.02), "shape_group": kind,
    }  # fmt: skip


def make_report(**changes: Any) -> ReportData:
    """Return a report of two experiments, complete unless ``changes`` says otherwise."""
    toys = [make_toy("HI-01", seed=1), make_toy("LARP-07", kinds=(1, 3), nm=0.31, seed=2)]
    values: dict[str, Any] = {
        "title": "Nanocrystals of lab A",
        "subtitle": "Two syntheses, toy data",
        "query": "SELECT * FROM morphology WHERE lab = 'Lab A'",
        "particles": pd.concat([toy.particles for toy in toys], ignore_index=True),
        "micrographs": [shot for toy in toys for shot in toy.micrographs],
        "excluded": {"border": 31, "print": 2},
        "losses": pd.DataFrame(
            {"experiment": ["HI-01", "LARP-07"], "kept": [72, 72], "border": [20, 11],
             "print": [0, 2]}
        ),
        "cost": pd.DataFrame(
            {"stage": ["ingest", "segment"], "units": [5, 4], "failed": [1, 0],
             "computing_s": [3.2, 61.0]}
        ),
        "failures": pd.DataFrame(
            [("a/empty.tif", "ingest", "empty", "a/empty.tif holds no bytes: copy it again")],
            columns=["path", "stage", "reason", "message"],
        ),
        "grouping": {
            "k": 3, "method": "kmeans", "dataset": "both", "silhouette": 0.61,
            "null_silhouette_mean": 0.24, "stability_ari": 0.99,
            "null_stability_ari": 0.52, "cophenetic": 0.91, "null_cophenetic": 0.68,
            "calinski_harabasz": 812.4, "davies_bouldin": 0.61, "reason": "highest margin",
            "scores_json": json.dumps({"tried": [
                {"k": k, "silhouette": s, "null_silhouette_mean": n, "null_silhouette_sd": 0.01}
                for k, s, n in ((2, 0.5, 0.27), (3, 0.61, 0.24), (4, 0.48, 0.22), (5, 0.41, 0.21))
            ]}),
        },
        "classifier": {
            "accuracy": 0.991, "null_accuracy": 0.974, "accuracy_heldout_micrograph": 0.985,
            "accuracy_heldout_experiment": 0.962,
            "confusion_json": json.dumps(
                {"labels": [1, 2, 3], "counts": [[10, 0, 1], [0, 6, 0], [0, 0, 11]]}
            ),
            "method": "SVM, radial kernel",
        },
        "provenance": {
            "nanolake": "0.1.0", "snapshot": 12, "segmentation_settings": "5b1c0e94ab01f2aa",
            "model": "shape-cnn 3f2a", "run_time_s": 305.2, "created": "2026-11-22 16:00 UTC",
        },
    }  # fmt: skip
    return ReportData(**values | changes)


@pytest.fixture(scope="session")
def toy() -> Toy:
    """One experiment of two micrographs, three groups, 0.4 nm a pixel."""
    return make_toy()


@pytest.fixture(scope="session")
def report() -> ReportData:
    """A complete report."""
    return make_report()
