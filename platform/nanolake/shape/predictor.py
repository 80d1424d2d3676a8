"""Inference: crops to p, d, L_ratio and their uncertainties. ONNX Runtime only, no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanolake.errors import ModelError
from nanolake.shape.crops import cut, labelled, standard
from nanolake.shape.resimulate import redraw
from nanolake.shape.surroundings import MAPS, map_batches, unknown
from nanolake.simulate.superellipse import canonical

SHIPPED = Path(__file__).parent / "weights" / "nanolake-shape.onnx"
"""The weights that come with the package; the model card lies beside them."""
BATCH = 32
"""Crops that go through the network at a time: what fits into a processor's cache is quickest."""
MAPS_INPUT = "maps"
"""Name of the input of a network that looks around; one that sees masks alone calls it crops."""


class ShapePredictor:
    """Holds one trained network; calling it predicts a batch of crops.

    Loads in ``__init__``, works in ``__call__``: what a Ray actor, a Dask worker or a web page
    holds. ``weights`` is an ONNX file or its bytes (which a worker elsewhere can be sent); None
    means the shipped ones. Deterministic: the same crops, weights and
    machine give the same numbers. Raises `ModelError` where the file is missing or is no shape
    network.
    """

    def __init__(self, weights: Path | str | bytes | None = None, threads: int = 1) -> None:
        if isinstance(weights, bytes):
            path, content = Path("weights.onnx"), weights
        else:
            path = Path(weights) if weights is not None else SHIPPED
            content = read_weights(path)
        self.model_id: str = hashlib.sha256(content).hexdigest()[:16]
        self._session = _session(content, path, threads)
        (taken,) = self._session.get_inputs()
        self._input: str = taken.name
        self.looks_around: bool = taken.name == MAPS_INPUT
        """Whether it also reads the picture around a mask; networks of nanolake 0.3 do not."""
        self.crop_px: int = int(taken.shape[-1])
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.name: str = metadata.get("name", path.stem)
        self.card: dict[str, Any] = json.loads(metadata.get("card", "{}"))

    def __call__(self, crops: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Predict mask crops of `cut`, (n, crop_px, crop_px) in 0 … 1, or maps of `cut_maps`,
        (n, 3, crop_px, crop_px).

        Masks of other makers are moved and scaled as `cut` would have them (`standard`), and have
        no picture (`surroundings.unknown`); maps must be as `cut_maps` makes them.

        Returns ``p`` (n,) float32; ``d`` (n,) int32; ``L_ratio`` (n,) float32 in (0, 1], canonical
        (`superellipse.canonical`); ``log_p_sd`` and ``L_ratio_sd`` (n,) float32, one standard
        deviation given that d is right (p's natural logarithm); ``d_probability`` (n, 6) float32
        for d = 1 … 6 and ``d_confidence`` (n,) float32, its largest.
        """
        self._check(crops)
        crops = np.asarray(crops, np.float32)
        if crops.ndim == 3:
            crops = standard(crops)
        return self.of_batches(crops[i : i + BATCH] for i in range(0, len(crops), BATCH))

    def of_batches(self, batches: Iterable[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Predict crops that come in batches; each is as a call takes it, masks those of `cut`."""
        parts = [self._session.run(None, {self._input: self._fit(batch)}) for batch in batches]
        parts = parts or [[np.zeros((0, 6), np.float32)] * 5]
        return _select(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _fit(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return masks or maps as this network takes them."""
        if self.looks_around:
            return batch if batch.ndim == 4 else unknown(batch)
        return np.ascontiguousarray(batch[:, 0]) if batch.ndim == 4 else batch

    def _check(self, crops: NDArray[np.float32]) -> None:
        side = (self.crop_px, self.crop_px)
        if crops.shape[1:] not in (side, (MAPS, *side)):
            raise ModelError(
                f"crops of shape {crops.shape} do not fit {self.name}, which takes "
                f"(n, {self.crop_px}, {self.crop_px}) or (n, {MAPS}, {self.crop_px}, "
                f"{self.crop_px}): cut them with size={self.crop_px}"
            )


def read_weights(path: Path) -> bytes:
    """Return the bytes of a file of weights; raise `ModelError` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read the shape network's weights {path}: {error}; train them with "
            "`nanolake train` or leave `weights` out for the shipped ones"
        ) from error


def _session(content: bytes, path: Path, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{path} is not an ONNX file that can be run: {error}") from error
    if [item.name for item in session.get_inputs()] not in (["crops"], [MAPS_INPUT]):
        raise ModelError(f"{path} is an ONNX file, but no shape network: its input is not 'maps'")
    return session


def _select(
    probability: NDArray[np.float32],
    log_p: NDArray[np.float32],
    log_p_sd: NDArray[np.float32],
    l_ratio: NDArray[np.float32],
    l_ratio_sd: NDArray[np.float32],
) -> dict[str, NDArray[Any]]:
    """Return the pair (p, L) of the most probable d, in canonical form."""
    rows, best = np.arange(len(probability)), probability.argmax(axis=1)
    l_best = np.minimum(l_ratio[rows, best], 1.0)
    p, d, l_folded = canonical(np.exp(log_p[rows, best].astype(float)), best + 1, l_best)
    return {
        "p": p.astype(np.float32),
        "d": d.astype(np.int32),
        "L_ratio": l_folded.astype(np.float32),
        "log_p_sd": log_p_sd[rows, best],
        "L_ratio_sd": l_ratio_sd[rows, best],
        "d_confidence": probability[rows, best],
        "d_probability": probability,
    }


def predict_particles(
    pixels: NDArray[Any] | None,
    labels: NDArray[Any],
    predictor: ShapePredictor,
    *,
    pixel_aspect: float = 1.0,
) -> dict[str, NDArray[Any]]:
    """Predict every particle of one label image and draw the prediction over its mask.

    ``labels`` (y, x) integers, 0 background; ``pixels`` the picture (y, x), or None where there is
    none: the masks must do then. ``pixel_aspect`` is pixel height / pixel width. Returns
    ``label`` (n,) int64 ascending, the arrays of `ShapePredictor` and of `redraw`
    (``phi_rad``, ``jaccard``): the columns of ``schemas/tables/shape_prediction.toml``.
    """
    ids, crops, predicted = predict_labels(pixels, labels, predictor, pixel_aspect)
    fit = redraw(crops, predicted["p"], predicted["d"], predicted["L_ratio"])
    return {"label": ids, **predicted, **fit}


def predict_labels(
    pixels: NDArray[Any] | None,
    labels: NDArray[Any],
    predictor: ShapePredictor,
    pixel_aspect: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Return the labels of a label image, ascending, their masks, and what is predicted of them."""
    ids, _ = labelled(labels)
    masks = cut(labels, size=predictor.crop_px, pixel_aspect=pixel_aspect)
    if not predictor.looks_around:
        return ids, masks, predictor(masks)
    batches = map_batches(labels, pixels, masks, BATCH, pixel_aspect=pixel_aspect)
    return ids, masks, predictor.of_batches(batches)
