"""ONNX Runtime: a session that answers, on a graph as PyTorch would export it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.networks import (
    Array,
    BatchNorm,
    Beside,
    Conv,
    Dense,
    Depthwise,
    Dropout,
    Enlarge,
    Flatten,
    GlobalAverage,
    Layer,
    MaxPool,
    Relu,
    Residual,
    Shape,
    Widen,
    count_weights,
    initial_statistics,
    initial_weights,
)
from benchmarks.workloads import VARIANCE_EPSILON, Workload

THREADS = int(os.environ.get("BENCHMARK_THREADS", "1"))
OPSET = 17


class Graph:
    """Writes a network as nodes of ONNX, channels first.

    Args:
        weights: in the order of `networks.walk`.
        moving: the moving statistics, in that order.
    """

    def __init__(self, weights: Any, moving: Any) -> None:
        self.remaining, self.moving = iter(weights), iter(moving)
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []

    def through(self, layers: Sequence[Layer], x: str, shape: Shape) -> str:
        """The name of what these layers give."""
        for layer in layers:
            x = self.one(layer, x, shape)
            shape = layer.result(shape)
        return x

    def one(self, layer: Layer, x: str, shape: Shape) -> str:
        """The name of what a layer gives."""
        match layer:
            case Residual(inside, shortcut):
                ways = (self.through(part, x, shape) for part in (inside, shortcut))
                return self.node("Add", *ways)
            case Beside(inside):
                return self.node("Concat", x, self.through(inside, x, shape), axis=1)
            case BatchNorm():
                own = map(self.array, (*next(self.remaining), *next(self.moving)))
                return self.node(
                    "BatchNormalization", x, *own, epsilon=VARIANCE_EPSILON
                )
            case Relu():
                return self.node("Relu", x)
            case Dropout():
                return x
            case MaxPool(size):
                window = [size] * (len(shape) - 1)
                return self.node("MaxPool", x, kernel_shape=window, strides=window)
            case GlobalAverage():
                return self.node("Flatten", self.node("GlobalAveragePool", x), axis=1)
            case Flatten():
                return self.node("Flatten", x, axis=1)
            case Widen():
                return self._widen(layer, x, shape)
        return self._product(layer, x, shape)

    def _product(self, layer: Layer, x: str, shape: Shape) -> str:
        kernel, *rest = next(self.remaining)
        bias = [self.array(array) for array in rest]
        match layer:
            case Dense():
                x = self.node("Gemm", x, self.array(kernel), *bias)
            case Conv() | Depthwise():
                wide = isinstance(layer, Conv)
                turned = np.moveaxis(kernel, (-1, -2), (0, 1) if wide else (1, 0))
                x = self.node(
                    "Conv",
                    x,
                    self.array(turned),
                    *bias,
                    strides=[layer.strides] * (len(shape) - 1),
                    pads=[layer.border] * 2 * (len(shape) - 1),
                    group=1 if wide else shape[-1],
                )
            case Enlarge():
                turned = self.array(np.moveaxis(kernel, (-2, -1), (0, 1)))
                strides = [2] * (len(shape) - 1)
                x = self.node("ConvTranspose", x, turned, *bias, strides=strides)
        relu = getattr(layer, "activation", None) == "relu"
        return self.node("Relu", x) if relu else x

    def _widen(self, layer: Widen, x: str, shape: Shape) -> str:
        ends = [2**31 - 1] * 2
        parts = map(self.array, map(np.array, ([0, 0], ends, [2, 3], [2, 2])))
        before, after = layer.sides(shape)
        pads = self.array(np.array([0, before, 0, 0, 0, after, 0, 0]))
        return self.node("Pad", self.node("Slice", x, *parts), pads)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The name of what a new node gives."""
        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def array(self, array: Array) -> str:
        """The name of a constant."""
        name = f"array{len(self.arrays)}"
        made = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.arrays.append(made)
        return name


def make_model(workload: Workload, weights: Any, moving: Any) -> bytes:
    """The network as a file of ONNX."""
    graph = Graph(weights, moving)
    end = graph.through(workload.layers, "x", workload.shape)
    *sides, channels = workload.shape
    given = helper.make_tensor_value_info(
        "x", TensorProto.FLOAT, [workload.batch_size, channels, *sides]
    )
    made = helper.make_tensor_value_info(end, TensorProto.FLOAT, None)
    whole = helper.make_graph(graph.nodes, "net", [given], [made], graph.arrays)
    imports = [helper.make_opsetid("", OPSET)]
    text: bytes = helper.make_model(
        whole, opset_imports=imports, ir_version=8
    ).SerializeToString()
    return text


@dataclass
class Trained:
    """A session with its data."""

    workload: Workload
    session: Any
    x: Array
    count: int


def build(workload: Workload, x: Array, y: Array, seed: int) -> Trained:
    """A session; pictures are channels first, as ONNX has them."""
    network = workload.layers, workload.shape
    weights = initial_weights(*network, seed)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        make_model(workload, weights, initial_statistics(*network)),
        options,
        providers=["CPUExecutionProvider"],
    )
    turned = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    count = count_weights(*network)
    return Trained(workload, session, turned, count)


def infer(trained: Trained) -> None:
    """A call for each batch."""
    size = trained.workload.batch_size
    for first in range(0, len(trained.x), size):
        trained.session.run(None, {"x": trained.x[first : first + size]})


def parameters(trained: Trained) -> int:
    """How many numbers are trained, elsewhere."""
    return trained.count
