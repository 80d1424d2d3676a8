"""A trained segmenter as one ONNX file that `MapModel` runs without torch."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nanolake.model_files import write_onnx
from nanolake.segment.learned.model import MAPS

if TYPE_CHECKING:
    from torch import nn

    from nanolake.segment.learned.network import SegmenterNetwork


def export_onnx(
    network: SegmenterNetwork, path: Path, *, name: str, card: Mapping[str, Any]
) -> Path:
    """Write ``network`` to ``path``: float32, free number, height and width of the pictures.

    Input ``grey`` (n, 1, h, w) in 0 … 1, h and w multiples of the stride; output ``maps``
    (n, 4, h, w) in 0 … 1, in the order of `network.MAPS`. The normalisations are folded into the
    convolutions. Metadata: ``name``, ``card`` (JSON text), ``stride``, ``halo_px``, and
    ``bytes_per_px``, the working memory that a run takes for each pixel.
    """
    import torch

    from nanolake.segment.learned.network import HALO_PX, STRIDE, Exported

    dim = torch.export.Dim
    height, width = (STRIDE * dim(axis, min=1) for axis in ("rows", "columns"))
    properties = {
        "name": name,
        "card": json.dumps(dict(card)),
        "stride": str(STRIDE),
        "halo_px": str(HALO_PX),
        "bytes_per_px": str(bytes_per_px(network)),
    }
    return write_onnx(
        Exported(folded(network)).eval(),
        torch.zeros(2, 1, 4 * STRIDE, 3 * STRIDE),
        path,
        inputs=["grey"],
        outputs=["maps"],
        free={"grey": {0: dim("n"), 2: height, 3: width}},
        properties=properties,
        translations={
            torch.ops.aten.pixel_unshuffle.default: _space_to_depth(),
            torch.ops.aten.pixel_shuffle.default: _depth_to_space(len(MAPS)),
        },
    )


def folded(network: SegmenterNetwork) -> SegmenterNetwork:
    """Return a copy whose normalisations are part of the convolutions before them."""
    import torch

    made: SegmenterNetwork = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    made.eval()
    _fold(made)
    return made


def _fold(module: nn.Module) -> None:
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for child in module.children():
        _fold(child)
    if isinstance(module, nn.Sequential) and isinstance(module[1], nn.BatchNorm2d):
        module[0] = fuse_conv_bn_eval(module[0], module[1])
        module[1] = nn.Identity()


def bytes_per_px(network: SegmenterNetwork) -> int:
    """Return the working memory of a run for each pixel of the picture, an upper estimate.

    The widest layers lie at half the resolution, where one channel takes one byte a pixel (4
    bytes, a quarter of the pixels): four such layers at once, and the input and maps. Measured
    with 16, 32 and 48 channels: 82, 142 and 175 bytes at most.
    """
    widest: int = network.head.in_channels
    return 4 * widest + 32


def _space_to_depth() -> Any:
    """Return how ONNX writes PixelUnshuffle: one node. Channel orders agree for one channel."""
    import onnxscript
    from onnxscript import opset20 as op

    def pixel_unshuffle(self: onnxscript.FLOAT, downscale_factor: int) -> Any:
        return op.SpaceToDepth(self, blocksize=downscale_factor)

    return pixel_unshuffle


def _depth_to_space(maps: int) -> Any:
    """Return how ONNX writes PixelShuffle by 2: a transposed convolution that copies.

    The same values as ONNX's own DepthToSpace, which ONNX Runtime (1.31) does on one thread and in
    four times the time: 106 against 25 ms for four maps of 2048 x 2048.
    """
    import onnx
    import onnxscript
    from onnxscript import opset20 as op

    copied = np.eye(4 * maps, dtype=np.float32).reshape(4 * maps, maps, 2, 2)
    kernel = onnx.numpy_helper.from_array(copied)

    def pixel_shuffle(self: onnxscript.FLOAT, upscale_factor: int) -> Any:
        assert upscale_factor == 2
        return op.ConvTranspose(self, op.Constant(value=kernel), strides=[2, 2])

    return pixel_shuffle
