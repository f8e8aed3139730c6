"""The end of the graph is the calibration of Python: a sigmoid per label, or one softmax."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest

from hounsfield.core import Bundle, Calibration
from hounsfield.export.calibration import add_calibration
from hounsfield.export.graph import FLOAT, PROBABILITIES, model_of
from hounsfield.export.nodes import Nodes
from hounsfield.measure import probabilities
from hounsfield.predict.judge import NETWORK_LOGITS

LOGITS = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32) * 3
RISING = {"at": [-2.0, -1.9, 0.5, 3.0], "to": [-2.5, -0.4, -0.4, 1.5]}
STEEP = {"at": [-0.1, 0.0], "to": [-4.0, 4.0]}
FALLEN = {"at": [-4.0, -1.0, -0.05], "to": [-3.0, -1.5, -0.2]}


@pytest.mark.parametrize(
    ("task", "count", "values"),
    [
        ("multilabel", 2, {"temperatures": [0.8, 1.7]}),
        ("multilabel", 2, {}),
        ("multilabel", 1, {"temperatures": [1.7]}),
        ("multiclass", 2, {}),
        ("binary", 1, {}),
        ("binary", 1, {"curves": [RISING]}),
        ("binary", 1, {"curves": [{"at": [0.3], "to": [-0.7]}]}),
        ("multilabel", 2, {"temperatures": [0.8, 1.7], "curves": [RISING, STEEP]}),
        ("multiclass", 2, {"curves": [FALLEN, {"at": [-3.0], "to": [-1.2]}]}),
        ("multiclass", 2, {"curves": [FALLEN, FALLEN]}),
    ],
)
def test_the_graph_links_as_python_does(task: str, count: int, values: dict[str, Any]) -> None:
    calibration = Calibration(temperature=1.3, offsets=[0.4, -0.2][:count], fitted_on="c", cases=9, **values)
    plan = SimpleNamespace(task=SimpleNamespace(value=task))
    nodes = Nodes("calibration/")
    bundle = cast(Bundle, SimpleNamespace(plan=plan, calibration=calibration))
    add_calibration(nodes, bundle, NETWORK_LOGITS, PROBABILITIES)
    shape: list[str | int] = ["n", count]
    model = model_of(nodes, "end", [(NETWORK_LOGITS, FLOAT, shape)], [(PROBABILITIES, FLOAT, shape)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (told,) = session.run(None, {NETWORK_LOGITS: LOGITS[:, :count]})
    expected = probabilities(
        LOGITS[:, :count],
        multi_label=task == "multilabel",
        temperature=calibration.divisors,
        offsets=calibration.offsets,
        curves=calibration.knots,
    )
    np.testing.assert_allclose(told, expected, atol=1e-6)
    assert np.allclose(told.sum(axis=1), 1) == (task == "multiclass")
