"""How good a shape predictor is: against simulated truth, a baseline, and hand-drawn masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.shape.crops import labelled
from nanolake.shape.predictor import ShapePredictor
from nanolake.shape.resimulate import redraw
from nanolake.shape.surroundings import maps_of
from nanolake.simulate.crystal import Triples
from nanolake.simulate.distance import outline_distance

Z90 = 1.6448536269514722
"""Half width of the central 90 % of a normal distribution, in standard deviations."""
SMALL_P = 10.0
"""p is scored below this: above, outlines look alike."""
ROUND = 0.05
"""d is scored where the radius varies by more than this: a disk has no axes."""
FAMILY_LIMIT_JACCARD = 0.951
"""Mean Jaccard of the *best possible* fit of eq. 1 to 442 hand-drawn particles."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Errors on a set of known truth; RMSE in the parameter's own unit, shares in 0 … 1."""

    log_p_rmse: float
    """Of ln p, where the true p < 10."""
    p_rmse: float
    """Of p itself, where the true p < 10."""
    L_ratio_rmse: float
    d_accuracy: float
    """Share of right d where the outline's radius varies by more than 5 %."""
    jaccard: float
    """Mean Jaccard of the predicted with the *true* outline (1 - `outline_distance`)."""
    mask_jaccard: float
    """Mean Jaccard of the re-simulated prediction with the mask that a segmentation left."""
    log_p_coverage_90: float
    """Share of true ln p inside the stated 90 % interval; 0.9 is honest. NaN without intervals."""
    L_ratio_coverage_90: float

    def as_dict(self, prefix: str = "") -> dict[str, float]:
        """Return the scores under ``prefix`` + their names."""
        return {prefix + name: value for name, value in asdict(self).items()}


def score(predicted: dict[str, NDArray[Any]], truth: Triples, crops: NDArray[np.float32]) -> Scores:
    """Score ``p, d, L_ratio`` (and ``log_p_sd, L_ratio_sd`` where given) against ``truth``."""
    small = truth.p < SMALL_P
    angular = truth.variation() > ROUND
    log_error = np.log(predicted["p"]) - np.log(truth.p)
    l_error = predicted["L_ratio"] - truth.l_ratio
    fit = redraw(crops, predicted["p"], predicted["d"], predicted["L_ratio"])
    return Scores(
        log_p_rmse=_rms(log_error[small]),
        p_rmse=_rms((predicted["p"] - truth.p)[small]),
        L_ratio_rmse=_rms(l_error),
        d_accuracy=float(np.mean((predicted["d"] == truth.d)[angular])),
        jaccard=float(np.mean(true_jaccard(predicted, truth))),
        mask_jaccard=float(np.mean(fit["jaccard"])),
        log_p_coverage_90=_coverage(log_error, predicted.get("log_p_sd")),
        L_ratio_coverage_90=_coverage(l_error, predicted.get("L_ratio_sd")),
    )


def baseline(reference: Triples, count: int) -> dict[str, NDArray[Any]]:
    """Return the answer that looks at no picture: mean ln p and L, most frequent d of a set."""
    return {
        "p": np.full(count, np.exp(np.mean(np.log(reference.p)))),
        "d": np.full(count, np.bincount(reference.d).argmax()),
        "L_ratio": np.full(count, np.mean(reference.l_ratio)),
    }


def hand_drawn_jaccard(
    pictures: Iterable[tuple[NDArray[Any], NDArray[Any] | None]],
    predictor: ShapePredictor,
    *,
    min_across_px: float = 30.0,
) -> NDArray[np.float32]:
    """Return the Jaccard of every hand-drawn particle with its re-simulated prediction, (n,).

    ``pictures`` are label images, each with its picture or None. Particles that touch the picture's
    border or whose equivalent circular diameter is under ``min_across_px`` are left out. For
    scoring only: compare with `FAMILY_LIMIT_JACCARD`.
    """
    found = [np.zeros(0, np.float32)]
    for labels, pixels in pictures:
        maps = hand_drawn_maps(labels, pixels, min_across_px, predictor.crop_px)
        said = predictor(maps)
        found.append(redraw(maps[:, 0], said["p"], said["d"], said["L_ratio"])["jaccard"])
    return np.concatenate(found)


def hand_drawn_maps(
    labels: NDArray[Any], pixels: NDArray[Any] | None, min_across_px: float, crop_px: int
) -> NDArray[np.float32]:
    """Return the maps (n, 3, crop_px, crop_px) of the particles that `whole_and_large` keeps."""
    wanted, _ = labelled(whole_and_large(labels, min_across_px))
    return maps_of(labels, pixels, wanted, size=crop_px)


def true_jaccard(predicted: dict[str, NDArray[Any]], truth: Triples) -> NDArray[np.float64]:
    """Return the Jaccard of each predicted with its true outline, equal areas, best turn, (n,)."""
    apart = outline_distance(
        predicted["p"], predicted["d"], predicted["L_ratio"], truth.p, truth.d, truth.l_ratio
    )
    return np.asarray(1.0 - apart)


def truth_jaccard(truth: Triples, crops: NDArray[np.float32]) -> float:
    """Return the mean Jaccard of the *true* outlines with the worn masks: the score's ceiling."""
    fit = redraw(crops, truth.p, truth.d, truth.l_ratio)
    return float(np.mean(fit["jaccard"]))


def whole_and_large(labels: NDArray[Any], min_across_px: float) -> NDArray[Any]:
    """Return the label image without what touches its border or is smaller than that across."""
    ids, index = labelled(labels)
    area = np.bincount(labels.ravel(), minlength=index.size)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    keep = np.zeros(index.size, bool)
    keep[ids] = 2.0 * np.sqrt(area[ids] / np.pi) >= min_across_px
    keep[np.unique(edge)] = False
    return np.where(keep[labels], labels, 0).astype(labels.dtype)


def _rms(values: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _coverage(error: NDArray[Any], sd: NDArray[Any] | None) -> float:
    if sd is None:
        return float("nan")
    return float(np.mean(np.abs(error) <= Z90 * sd))
