"""A small builder of ONNX nodes, so that graph code reads like the arithmetic that it stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Nodes:
    """Collects nodes and constants; every call returns the name of its output."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        name = f"{self.prefix}{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: type) -> str:
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def whole(self, *values: int) -> str:
        """A constant of int64: a scalar for one value, else a vector."""
        return self.constant(values[0] if len(values) == 1 else list(values), np.int64)

    def vector(self, *values: int) -> str:
        return self.constant(list(values), np.int64)

    def real(self, value: Any) -> str:
        return self.constant(value, np.float32)

    def double(self, value: float) -> str:
        return self.constant(value, np.float64)

    def to_double(self, name: str) -> str:
        return self.op("Cast", name, to=TensorProto.DOUBLE)

    def to_float(self, name: str) -> str:
        return self.op("Cast", name, to=TensorProto.FLOAT)

    def to_whole(self, name: str) -> str:
        return self.op("Cast", name, to=TensorProto.INT64)

    def side(self, image: str, axis: int) -> str:
        """The length of one axis, as a scalar of int64."""
        return self.op("Gather", self.op("Shape", image), self.whole(axis), axis=0)
