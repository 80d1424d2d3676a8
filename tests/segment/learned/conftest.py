"""A small network file with the real one's ports, made without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

STRIDE, HALO_PX = 4, 12
"""Of the small network. It reaches 11 pixels: from y = 4 k the last convolution reads y - 1, in
quarter cell k - 1; the one at a quarter of the resolution k - 2, which is half cell 2 k - 4; the
one at half 2 k - 5, which is pixel 4 k - 10; and the first 4 k - 11. So 8 is too little, 12 does.
"""

MakeNetwork = Callable[..., Path]


def convolution(
    rng: np.random.Generator, source: str, target: str, before: int, after: int
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    weights = rng.normal(0, 1 / np.sqrt(9 * before), (after, before, 3, 3)).astype(np.float32)
    bias = rng.normal(0, 0.1, after).astype(np.float32)
    tensors = [numpy_helper.from_array(weights, f"{target}_w")]
    tensors += [numpy_helper.from_array(bias, f"{target}_b")]
    names = [source, f"{target}_w", f"{target}_b"]
    return [helper.make_node("Conv", names, [target], pads=[1, 1, 1, 1])], tensors


def network(seed: int, channels: int) -> onnx.GraphProto:
    """conv, pool, conv, pool, conv, four times larger, conv, sigmoid; zeros around the picture."""
    rng = np.random.default_rng(seed)
    tensors = [numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "four")]
    nodes, source = [], "grey"
    for level in range(3):
        made, more = convolution(rng, source, f"c{level}", channels if level else 1, channels)
        made.append(helper.make_node("Relu", [f"c{level}"], [f"r{level}"]))
        if level < 2:
            pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
            made.append(helper.make_node("MaxPool", [f"r{level}"], [f"p{level}"], **pool))
        nodes, tensors, source = nodes + made, tensors + more, made[-1].output[0]
    nearest = {"mode": "nearest", "nearest_mode": "floor"}
    nearest["coordinate_transformation_mode"] = "asymmetric"
    nodes.append(helper.make_node("Resize", [source, "", "four"], ["large"], **nearest))
    made, more = convolution(rng, "large", "logits", channels, 4)
    nodes += [*made, helper.make_node("Sigmoid", ["logits"], ["maps"])]
    grey, maps = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count, "h", "w"])
        for name, count in (("grey", 1), ("maps", 4))
    )
    return helper.make_graph(nodes, "small", [grey], [maps], tensors + more)


@pytest.fixture(scope="session")
def make_network(tmp_path_factory: pytest.TempPathFactory) -> MakeNetwork:
    def make(*, seed: int = 0, channels: int = 8, **metadata: str) -> Path:
        model = helper.make_model(
            network(seed, channels), ir_version=10, opset_imports=[helper.make_opsetid("", 18)]
        )
        said = {"stride": str(STRIDE), "halo_px": str(HALO_PX), "bytes_per_px": "200"}
        said |= {"name": "small", "card": '{"seed": 0}'} | metadata
        helper.set_model_props(model, {name: text for name, text in said.items() if text})
        path = tmp_path_factory.mktemp("network") / "small.onnx"
        onnx.save_model(model, str(path))
        return path

    return make
