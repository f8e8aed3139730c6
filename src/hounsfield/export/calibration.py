"""Calibration as ONNX nodes: the same sums as `hounsfield.measure.probabilities`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import helper

from hounsfield.core.bundle import Bundle
from hounsfield.export.nodes import Nodes
from hounsfield.measure import Knots


def add_calibration(nodes: Nodes, bundle: Bundle, logits: str, probabilities: str) -> None:
    """Add nodes from (n, outputs) logits to probabilities; both are names."""
    scaled = nodes.op("Div", logits, nodes.real(bundle.calibration.divisors))
    moved = nodes.op("Add", scaled, nodes.real(bundle.calibration.offsets))
    # Two labels that may both be present have two outputs, as two exclusive classes would: only the task tells.
    exclusive = bundle.plan.task.value == "multiclass"
    if bundle.calibration.knots is not None:
        moved = _curved(nodes, nodes.op("LogSoftmax", moved, axis=1) if exclusive else moved, bundle.calibration.knots)
    kind, attributes = ("Softmax", {"axis": 1}) if exclusive else ("Sigmoid", {})
    nodes.nodes.append(
        helper.make_node(kind, [moved], [probabilities], f"{nodes.prefix}link", None, None, None, **attributes)
    )


def _curved(nodes: Nodes, values: str, curves: Sequence[Knots]) -> str:
    """Each output on its own piecewise linear curve: a start, and for each piece how far along it the value is."""
    pieces = max(len(at) for at, _ in curves) - 1
    first = nodes.real([to[0] for _, to in curves])
    if pieces == 0:
        return nodes.op("Add", nodes.op("Mul", values, nodes.real(0.0)), first)
    starts, lengths, rises = (np.zeros((len(curves), pieces)) for _ in range(3))
    lengths += 1.0  # pieces that a curve does not have rise by nothing
    for row, (at, to) in enumerate(curves):
        starts[row, : len(at) - 1], lengths[row, : len(at) - 1], rises[row, : len(at) - 1] = (
            at[:-1],
            np.diff(at),
            np.diff(to),
        )
    beyond = nodes.op("Sub", nodes.op("Unsqueeze", values, nodes.vector(2)), nodes.real(starts))
    along = nodes.op("Clip", nodes.op("Div", beyond, nodes.real(lengths)), nodes.real(0.0), nodes.real(1.0))
    risen = nodes.op("ReduceSum", nodes.op("Mul", along, nodes.real(rises)), nodes.vector(2), keepdims=0)
    return nodes.op("Add", risen, first)
