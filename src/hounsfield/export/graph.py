"""One ONNX graph from conditioned pixel values of any height and width to calibrated probabilities."""

from __future__ import annotations

import json
from dataclasses import dataclass

import onnx
from onnx import TensorProto, compose, helper

from hounsfield.core.bundle import Bundle
from hounsfield.export.calibration import add_calibration
from hounsfield.export.network import OPSET, network_model
from hounsfield.export.nodes import Nodes
from hounsfield.export.recipe import add_recipe
from hounsfield.export.volume import add_grid
from hounsfield.models import Network
from hounsfield.models.answers import LOGITS
from hounsfield.predict.judge import NETWORK_INPUT, NETWORK_LOGITS
from hounsfield.prepare import lowest_shown

IMAGE, SPACING = "image", "spacing"
PROBABILITIES = "probabilities"
Shape = list[str | int]
FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE


@dataclass(frozen=True)
class Parts:
    """The three graphs that are joined to one, each whole in itself, so that a server may run them apart.

    Attributes
    ----------
    recipe:
        `image` (and `spacing`) → `network_input`.
    network:
        `network_input` → `network_logits`, and the further answers that `tells` names.
    calibration:
        `network_logits` → `logits`, which are the same, and `probabilities`.
    tells:
        Of `models.answers.Answers`, without the logits.
    """

    recipe: onnx.ModelProto
    network: onnx.ModelProto
    calibration: onnx.ModelProto
    tells: tuple[str, ...]

    def joined(self, bundle: Bundle) -> onnx.ModelProto:
        """Return the one checked graph; its outputs are `logits`, `probabilities` and what `tells` names, in this order.

        Parts may be given that changed within (quantised), as long as their ends are the same.
        """
        model = compose.merge_models(
            self.recipe, self.network, io_map=[(NETWORK_INPUT, NETWORK_INPUT)], name="hounsfield"
        )
        model = compose.merge_models(
            model, self.calibration, io_map=[(NETWORK_LOGITS, NETWORK_LOGITS)], name="hounsfield"
        )
        found = {value.name: value for value in model.graph.output}
        wanted = [found[name] for name in (LOGITS, PROBABILITIES, *self.tells)]
        del model.graph.output[:], model.opset_import[:]  # each part brought its own, all the same
        model.opset_import.append(helper.make_opsetid("", OPSET))
        model.graph.output.extend(wanted)
        model.producer_name = "hounsfield"
        del model.metadata_props[:]
        helper.set_model_props(model, metadata(bundle))
        onnx.checker.check_model(model, full_check=True)
        return model


def parts_of(bundle: Bundle, network: Network) -> Parts:
    """Return the graphs of a bundle.

    `image` is float32 of conditioned values (for CT: Hounsfield units): (n, channels, height, width), or
    (n, slices, channels, height, width) where the plan takes several slices of a case; channels are 3 for colour, 2k + 1
    for a slice with k neighbours on either side, else 1. The number of slices may vary from call to call, and
    must be one for all cases of a call: a graph knows nothing of padding. Where the plan resamples volumes, the slices are
    those of the file and `spacing`, (3,) float64, gives the millimetres between slices, rows and columns.

    Raises
    ------
    ExportError
        If the network has no ONNX form.
    """
    middle, told = network_model(network, bundle, NETWORK_INPUT, {LOGITS: NETWORK_LOGITS})
    return Parts(recipe_model(bundle), middle, calibration_model(bundle), told[1:])


def metadata(bundle: Bundle) -> dict[str, str]:
    """Return what a graph says of itself: how to make its input and what its output means."""
    calibration, plan = bundle.calibration, bundle.plan
    return {
        "core_digest": bundle.core_digest,
        "labels": json.dumps(bundle.labels),
        "outputs": json.dumps(bundle.outputs),
        "positive": json.dumps(bundle.positive),
        "task": plan.task.value,
        "unit": plan.unit.value,
        "conditioning": plan.conditioning.value,
        "clean": json.dumps(list(plan.clean.value)),
        "dimension": plan.dimension.value,
        "slices": str(plan.slices.value),
        "adjacent": str(plan.adjacent.value),
        "spacing": json.dumps(plan.spacing.value),
        "region": json.dumps(plan.region.value.model_dump(mode="json")),
        "threshold": json.dumps(calibration.threshold),
        "thresholds": json.dumps(calibration.thresholds),
        "operating_point": calibration.operating_point,
        "operating_points": json.dumps({point.rule: point.threshold for point in calibration.points}),
        "recipe": json.dumps(bundle.recipe.model_dump(mode="json")),
    }


def takes_spacing(bundle: Bundle) -> bool:
    """Whether the graph resamples volumes, for which it must be told their spacing."""
    return bundle.plan.dimension.value == "3d" and bundle.plan.spacing.value is not None


def recipe_model(bundle: Bundle) -> onnx.ModelProto:
    """Return the first of the `parts_of` a bundle."""
    plan, nodes = bundle.plan, Nodes("recipe/")
    slices, channels = plan.slices.value, input_channels(bundle)
    height, width = bundle.recipe.size
    frames = image = IMAGE
    if takes_spacing(bundle):
        assert plan.spacing.value is not None
        image = add_grid(
            nodes, IMAGE, SPACING, wanted=plan.spacing.value, slices=slices, size=(height, width),
            fill=lowest_shown(bundle.recipe),
        )  # fmt: skip
    if slices > 1:
        frames = _flattened(nodes, image, channels)
    prepared = add_recipe(nodes, frames, bundle.recipe, channels)
    cases = nodes.op("Reshape", prepared, _shape_of_cases(nodes, image, slices, plan.channels.value, height, width))
    nodes.nodes.append(helper.make_node("Identity", [cases], [NETWORK_INPUT], name="recipe/end"))
    leading: Shape = ["n"] if slices == 1 else ["n", "slices"]
    inputs: list[tuple[str, int, Shape]] = [(IMAGE, FLOAT, [*leading, channels, "height", "width"])]
    if takes_spacing(bundle):
        inputs.append((SPACING, DOUBLE, [3]))
    given: str | int = 1 if slices == 1 else ("planes" if takes_spacing(bundle) else "slices")
    return model_of(nodes, "recipe", inputs, [(NETWORK_INPUT, FLOAT, ["n", given, plan.channels.value, height, width])])


def calibration_model(bundle: Bundle) -> onnx.ModelProto:
    """Return the last of the `parts_of` a bundle."""
    nodes = Nodes("calibration/")
    shape: Shape = ["n", len(bundle.outputs)]
    nodes.nodes.append(helper.make_node("Identity", [NETWORK_LOGITS], [LOGITS], name="calibration/logits"))
    add_calibration(nodes, bundle, NETWORK_LOGITS, PROBABILITIES)
    ends: list[tuple[str, int, Shape]] = [(LOGITS, FLOAT, shape), (PROBABILITIES, FLOAT, shape)]
    return model_of(nodes, "calibration", [(NETWORK_LOGITS, FLOAT, shape)], ends)


def input_channels(bundle: Bundle) -> int:
    """Channels of the graph's input."""
    return 3 if bundle.plan.conditioning.value == "colour" else 2 * bundle.plan.adjacent.value + 1


def _flattened(nodes: Nodes, image: str, channels: int) -> str:
    sides = [nodes.op("Unsqueeze", nodes.side(image, axis), nodes.vector(0)) for axis in (3, 4)]
    shape = nodes.op("Concat", nodes.vector(-1, channels), *sides, axis=0)
    return nodes.op("Reshape", image, shape)


def _shape_of_cases(nodes: Nodes, image: str, slices: int, channels: int, height: int, width: int) -> str:
    if slices == 1:
        return nodes.vector(-1, 1, channels, height, width)
    given = nodes.op("Unsqueeze", nodes.side(image, 1), nodes.vector(0))
    return nodes.op("Concat", nodes.vector(-1), given, nodes.vector(channels, height, width), axis=0)


def model_of(
    nodes: Nodes, name: str, inputs: list[tuple[str, int, Shape]], outputs: list[tuple[str, int, Shape]]
) -> onnx.ModelProto:
    """Return the model that nodes make, its ends given as name, type and shape."""

    def values(of: list[tuple[str, int, Shape]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in of]

    graph = helper.make_graph(nodes.nodes, name, values(inputs), values(outputs), initializer=nodes.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
