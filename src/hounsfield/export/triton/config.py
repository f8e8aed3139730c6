"""The configurations of the three models (Triton's `ModelConfig`, model_config.proto), from the graphs themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor

from hounsfield.export.graph import IMAGE, PROBABILITIES, SPACING
from hounsfield.export.triton.serving import Serving
from hounsfield.export.triton.text import Word
from hounsfield.predict.judge import NETWORK_INPUT

LABELS = "labels.txt"
_TYPES: dict[int, Word] = {TensorProto.FLOAT: Word("TYPE_FP32"), TensorProto.DOUBLE: Word("TYPE_FP64")}
# While a new version is taken up the one before still answers, so two are loaded.
LOADED = 2

Ends = dict[str, tuple[Word, list[int]]]
Message = dict[str, Any]


@dataclass(frozen=True)
class Halves:
    """An exported graph in two: what depends on the size of the image, and what has one size and so may be batched."""

    recipe: onnx.ModelProto
    network: onnx.ModelProto
    metadata: Mapping[str, str]

    @staticmethod
    def of(model: onnx.ModelProto) -> Halves:
        """Cut an exported graph where the network begins; no number changes, for every node stays as it is."""
        extractor = Extractor(model)
        metadata = {item.key: item.value for item in model.metadata_props}
        inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
        halves = [extractor.extract_model(inputs, [NETWORK_INPUT]), extractor.extract_model([NETWORK_INPUT], outputs)]
        for half in halves:
            half.producer_name = model.producer_name
            helper.set_model_props(half, metadata)
        return Halves(halves[0], halves[1], metadata)

    @property
    def inputs(self) -> Ends:
        return _ends(self.recipe.graph.input)

    @property
    def between(self) -> Ends:
        return _ends(self.recipe.graph.output)

    @property
    def outputs(self) -> Ends:
        return _ends(self.network.graph.output)

    @property
    def batched(self) -> bool:
        """Whether images may be batched by the caller: a spacing is that of one volume, and has no axis of cases."""
        return SPACING not in self.inputs


def configs(halves: Halves, serving: Serving, version: int) -> tuple[Message, Message, Message]:
    """Return the configurations of recipe, network and ensemble; the ensemble joins the models of one `version`."""
    recipe, network, name = serving.models
    most = serving.max_batch if halves.batched else 0
    copies = sum(count for _, count in serving.groups)
    inputs, outputs = _values(halves.inputs, most), _values(halves.outputs, most)
    _labelled(outputs)
    onnx_model = {"platform": "onnxruntime_onnx"}
    first = {
        "name": recipe, **onnx_model, "max_batch_size": most, "input": inputs, "output": _values(halves.between, most),
        "version_policy": _latest(LOADED), "instance_group": [{"kind": Word("KIND_CPU"), "count": copies}],
        "model_warmup": _recipe_warmup(halves, most),
    }  # fmt: skip
    second = {
        "name": network, **onnx_model, "max_batch_size": serving.max_batch, "input": _values(halves.between, serving.max_batch),
        "output": _labelled(_values(halves.outputs, serving.max_batch)), "version_policy": _latest(LOADED),
        "instance_group": [{"kind": Word(kind), "count": count} for kind, count in serving.groups],
        "dynamic_batching": {
            "preferred_batch_size": serving.preferred, "max_queue_delay_microseconds": serving.queue_delay,
        },
        "model_warmup": [_warmup(halves.between, size) for size in sorted({1, serving.max_batch})],
    }  # fmt: skip
    steps = [
        {"model_name": recipe, "model_version": version, "input_map": _same(halves.inputs), "output_map": _same(halves.between)},
        {"model_name": network, "model_version": version, "input_map": _same(halves.between), "output_map": _same(halves.outputs)},
    ]  # fmt: skip
    whole = {
        "name": name, "platform": "ensemble", "max_batch_size": most, "input": inputs, "output": outputs,
        "version_policy": _latest(1), "ensemble_scheduling": {"step": steps},
        "parameters": [{"key": key, "value": {"string_value": value}} for key, value in halves.metadata.items()],
    }  # fmt: skip
    return first, second, whole


def _ends(values: Sequence[onnx.ValueInfoProto]) -> Ends:
    """Name → type and shape with the axis of cases, lengths that vary as -1."""
    return {
        value.name: (
            _TYPES[value.type.tensor_type.elem_type],
            [axis.dim_value if axis.HasField("dim_value") else -1 for axis in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def _values(ends: Ends, most: int) -> list[Message]:
    """Triton's inputs or outputs: where it makes batches, their axis is not told."""
    return [
        {"name": name, "data_type": kind, "dims": shape[1:] if most else shape} for name, (kind, shape) in ends.items()
    ]


def _labelled(outputs: list[Message]) -> list[Message]:
    for output in outputs:
        if output["name"] == PROBABILITIES:
            output["label_filename"] = LABELS
    return outputs


def _same(ends: Ends) -> list[Message]:
    return [{"key": name, "value": name} for name in ends]


def _latest(count: int) -> Message:
    return {"latest": {"num_versions": count}}


def _recipe_warmup(halves: Halves, most: int) -> list[Message]:
    """One image of the network's own size; none for volumes with a spacing, of which noise is none."""
    if not most:
        return []
    size = halves.between[NETWORK_INPUT][1][-2:]
    kind, shape = halves.inputs[IMAGE]
    return [_warmup({IMAGE: (kind, [*shape[:-2], *size])}, 1)]


def _warmup(ends: Ends, size: int) -> Message:
    """A first request of noise, so that no patient waits for what is done only once; lengths that vary are 8 then."""
    inputs = [
        {
            "key": name,
            "value": {"data_type": kind, "dims": [8 if side < 0 else side for side in shape[1:]], "random_data": True},
        }
        for name, (kind, shape) in ends.items()
    ]
    return {"name": f"batch of {size}", "batch_size": size, "inputs": inputs}
