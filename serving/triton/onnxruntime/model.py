"""ONNX Runtime as a Python-based backend of Triton: it serves `platform: "onnxruntime_onnx"` where the official one is not at hand.

Triton gives `execute` the requests that its batcher put together. They go through the graph as one batch, and each gets its rows.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as utils


class TritonPythonModel:
    """One instance of one version of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        folder = os.path.join(args["model_repository"], args["model_version"])
        self.batches = config["max_batch_size"] > 0
        self.inputs = [one["name"] for one in config["input"]]
        self.outputs = [one["name"] for one in config["output"]]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Several instances share the cores: threads that spin while they wait would take them from one another.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, config.get("default_model_filename") or "model.onnx"), options,
            providers=["CPUExecutionProvider"],
        )  # fmt: skip

    def execute(self, requests: list[Any]) -> list[Any]:
        if not self.batches:
            return [self._answered([request])[0] for request in requests]
        return self._answered(requests)

    def finalize(self) -> None:
        del self.session

    def _answered(self, requests: list[Any]) -> list[Any]:
        """Run requests as one batch; with one request there is nothing to join or to cut."""
        try:
            each = [
                {name: utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
                for request in requests
            ]
            joined = (
                each[0]
                if len(each) == 1
                else {name: np.concatenate([one[name] for one in each]) for name in self.inputs}
            )
            found = self.session.run(self.outputs, joined)
        except Exception as error:  # whatever goes wrong is the answer to these requests, and the server goes on
            failed = utils.TritonError(f"ONNX Runtime: {error}")
            return [utils.InferenceResponse(error=failed) for _ in requests]
        ends = np.cumsum([len(one[self.inputs[0]]) for one in each])[:-1] if len(each) > 1 else []
        parts = [np.split(values, ends) if len(each) > 1 else [values] for values in found]
        return [
            utils.InferenceResponse(
                [
                    utils.Tensor(name, np.ascontiguousarray(part[place]))
                    for name, part in zip(self.outputs, parts, strict=True)
                    if name in request.requested_output_names()
                ]
            )
            for place, request in enumerate(requests)
        ]
