"""The network alone as an ONNX model: torch's exporter, and its answers tidied of what speaks of this machine."""

from __future__ import annotations

import io
import logging
import warnings

import onnx
import torch
from onnx import compose

from hounsfield.core.bundle import Bundle
from hounsfield.errors import ExportError
from hounsfield.models import Answers, Network
from hounsfield.models.volume import SMALLEST

OPSET = 18
MOST_SLICES = 4096


def network_model(
    network: Network, bundle: Bundle, source: str, names: dict[str, str]
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return the ONNX model of a network, with any number of cases (and of slices), and what it tells, as `Answers`.

    Parameters
    ----------
    source:
        What the input is to be called.
    names:
        What answers are to be called; those that are not named keep their names.

    Raises
    ------
    ExportError
        If the network has no ONNX form.
    """
    answers, example = answers_of(network, bundle)
    dynamic = {0: torch.export.Dim("cases")}
    if bundle.plan.slices.value > 1:
        dynamic[1] = torch.export.Dim("slices", min=_least(bundle), max=MOST_SLICES)
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "torch.export")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    _forget_recurrent_layers()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                answers, (example,), input_names=[source], output_names=[names.get(name, name) for name in answers.tells], dynamo=True,
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
    # Where it cannot keep a length free, the exporter fixes it to that of the example without a word.
    sides = model.graph.input[0].type.tensor_type.shape.dim
    if any(sides[axis].HasField("dim_value") for axis in dynamic):
        raise ExportError(
            "the network has no ONNX form for any number of cases and slices", fix="Use another backbone."
        )
    return _tidied(model), answers.tells


def _forget_recurrent_layers() -> None:
    """Let the exporter choose anew how it takes LSTM and GRU apart.

    It swaps in loops for them while it runs, but the operators remember what they were last taken for: the second export of a
    process would unroll them to the number of slices of the example (torch 2.14).
    """
    for operator in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        getattr(operator, "_dispatch_cache", {}).clear()


def answers_of(network: Network, bundle: Bundle) -> tuple[Answers, torch.Tensor]:
    """Return what a network tells, as a module in evaluation mode on the CPU, and an example of its input."""
    several = bundle.plan.slices.value > 1
    # An odd number above the least, so that the exporter takes no property of the example for a rule.
    slices = _least(bundle) + 1 if several else 1
    example = torch.rand(
        2, slices, bundle.plan.channels.value, *bundle.recipe.size, generator=torch.Generator().manual_seed(0)
    )
    return Answers(network.cpu().eval(), example, several=several).eval(), example


def _least(bundle: Bundle) -> int:
    return SMALLEST if bundle.plan.dimension.value == "3d" else 2


def _tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    del model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]  # they hold source paths of this machine
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        del value.metadata_props[:]
    return compose.add_prefix(model, "network/", rename_inputs=False, rename_outputs=False)
