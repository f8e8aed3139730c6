"""One ONNX graph from conditioned pixel values of any height and width to calibrated probabilities."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper

from hounsfield.core.bundle import Bundle
from hounsfield.errors import ExportError
from hounsfield.export.nodes import Nodes
from hounsfield.export.recipe import add_recipe
from hounsfield.measure import Knots
from hounsfield.models import Network
from hounsfield.models.volume import SMALLEST

OPSET = 18
MOST_SLICES = 4096
INPUT, NETWORK_INPUT, NETWORK_LOGITS = "image", "network_input", "network_logits"
OUTPUTS = ("logits", "probabilities")


def build_graph(bundle: Bundle, network: Network) -> onnx.ModelProto:
    """Return the checked ONNX model of a bundle.

    Its input `image` is float32 of conditioned values (for CT: Hounsfield units): (n, channels, height, width), or
    (n, slices, channels, height, width) where the plan takes several slices of a case; channels are 3 for colour, 2n + 1
    for a slice with n neighbours on either side, else 1. The number of slices may vary from call to call, and
    must be one for all cases of a call: a graph knows nothing of padding. Its outputs `logits` and
    `probabilities` are (n, outputs), calibrated, in the order of the bundle's outputs.

    Raises
    ------
    ExportError
        If the network has no ONNX form.
    """
    slices, network_channels = bundle.plan.slices.value, bundle.plan.channels.value
    channels = _input_channels(bundle)
    before, after = Nodes("recipe/"), Nodes("calibration/")
    frames = INPUT if slices == 1 else _flattened(before, channels)
    prepared = add_recipe(before, frames, bundle.recipe, channels)
    height, width = bundle.recipe.size
    cases = before.op("Reshape", prepared, _shape_of_cases(before, slices, network_channels, height, width))
    before.nodes.append(helper.make_node("Identity", [cases], [NETWORK_INPUT], name="recipe/end"))
    leading: list[str | int] = ["n"] if slices == 1 else ["n", _slices_axis(bundle)]
    front = _model(
        before, "recipe", [(INPUT, [*leading, channels, "height", "width"])],
        [(NETWORK_INPUT, ["n", _slices_axis(bundle), network_channels, height, width])],
    )  # fmt: skip
    count = len(bundle.outputs)
    _add_calibration(after, bundle)
    back = _model(after, "calibration", [(NETWORK_LOGITS, ["n", count])], [(name, ["n", count]) for name in OUTPUTS])
    middle = _network(network, bundle)
    model = compose.merge_models(front, middle, io_map=[(NETWORK_INPUT, NETWORK_INPUT)], name="hounsfield")
    model = compose.merge_models(model, back, io_map=[(NETWORK_LOGITS, NETWORK_LOGITS)], name="hounsfield")
    model.producer_name = "hounsfield"
    del model.metadata_props[:]
    helper.set_model_props(model, metadata(bundle))
    onnx.checker.check_model(model, full_check=True)
    return model


def metadata(bundle: Bundle) -> dict[str, str]:
    """Return what a graph says of itself: how to make its input and what its output means."""
    calibration = bundle.calibration
    return {
        "core_digest": bundle.core_digest,
        "labels": json.dumps(bundle.labels),
        "outputs": json.dumps(bundle.outputs),
        "positive": json.dumps(bundle.positive),
        "task": bundle.plan.task.value,
        "unit": bundle.plan.unit.value,
        "conditioning": bundle.plan.conditioning.value,
        "clean": json.dumps(list(bundle.plan.clean.value)),
        "slices": str(bundle.plan.slices.value),
        "threshold": json.dumps(calibration.threshold),
        "thresholds": json.dumps(calibration.thresholds),
        "operating_point": calibration.operating_point,
        "recipe": json.dumps(bundle.recipe.model_dump(mode="json")),
    }


def _input_channels(bundle: Bundle) -> int:
    if bundle.plan.conditioning.value == "colour":
        return 3
    return 2 * bundle.plan.adjacent.value + 1


def _slices_axis(bundle: Bundle) -> str | int:
    """How the axis of slices is called: a case may give any number of them, but where the plan takes one."""
    return 1 if bundle.plan.slices.value == 1 else "slices"


def _flattened(nodes: Nodes, channels: int) -> str:
    height, width = nodes.side(INPUT, 3), nodes.side(INPUT, 4)
    sides = [nodes.op("Unsqueeze", side, nodes.vector(0)) for side in (height, width)]
    shape = nodes.op("Concat", nodes.vector(-1, channels), *sides, axis=0)
    return nodes.op("Reshape", INPUT, shape)


def _shape_of_cases(nodes: Nodes, slices: int, channels: int, height: int, width: int) -> str:
    if slices == 1:
        return nodes.vector(-1, 1, channels, height, width)
    given = nodes.op("Unsqueeze", nodes.side(INPUT, 1), nodes.vector(0))
    return nodes.op("Concat", nodes.vector(-1), given, nodes.vector(channels, height, width), axis=0)


def _add_calibration(nodes: Nodes, bundle: Bundle) -> None:
    logits = NETWORK_LOGITS
    nodes.nodes.append(helper.make_node("Identity", [logits], [OUTPUTS[0]], name="calibration/logits"))
    scaled = nodes.op("Div", logits, nodes.real(bundle.calibration.divisors))
    moved = nodes.op("Add", scaled, nodes.real(bundle.calibration.offsets))
    # Two labels that may both be present have two outputs, as two exclusive classes would: only the task tells.
    exclusive = bundle.plan.task.value == "multiclass"
    if bundle.calibration.knots is not None:
        moved = _curved(nodes, nodes.op("LogSoftmax", moved, axis=1) if exclusive else moved, bundle.calibration.knots)
    kind, attributes = ("Softmax", {"axis": 1}) if exclusive else ("Sigmoid", {})
    nodes.nodes.append(
        helper.make_node(kind, [moved], [OUTPUTS[1]], "calibration/link", None, None, None, **attributes)
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


def _network(network: Network, bundle: Bundle) -> onnx.ModelProto:
    axis = _slices_axis(bundle)
    least = SMALLEST if bundle.plan.dimension.value == "3d" else 2
    # An odd number above the least, so that the exporter takes no property of the example for a rule.
    slices = least + 1 if axis == "slices" else 1
    example = torch.zeros(2, slices, bundle.plan.channels.value, *bundle.recipe.size)
    dynamic = {0: torch.export.Dim("cases")}
    if axis == "slices":
        dynamic[1] = torch.export.Dim("slices", min=least, max=MOST_SLICES)
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "torch.export")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network.cpu().eval(), (example,), input_names=[NETWORK_INPUT], output_names=[NETWORK_LOGITS], dynamo=True,
                opset_version=OPSET, dynamic_shapes=(dynamic,), external_data=False, verbose=False,
            )  # fmt: skip
            buffer = io.BytesIO()
            assert program is not None
            program.save(buffer)  # type: ignore[arg-type]  # it takes a file object too
    except Exception as error:  # the exporter has many kinds of its own; for the user they mean one thing
        raise ExportError(
            f"the network has no ONNX form: {type(error).__name__}", fix="Use another backbone."
        ) from error
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    model = onnx.load_from_string(buffer.getvalue())
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # they hold source paths of this machine
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        del value.metadata_props[:]
    return compose.add_prefix(model, "network/", rename_inputs=False, rename_outputs=False)


def _model(
    nodes: Nodes, name: str, inputs: list[tuple[str, list[str | int]]], outputs: list[tuple[str, list[str | int]]]
) -> onnx.ModelProto:
    def values(of: list[tuple[str, list[str | int]]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in of]

    graph = helper.make_graph(nodes.nodes, name, values(inputs), values(outputs), initializer=nodes.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
