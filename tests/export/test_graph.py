"""The graph is the Python path: its recipe for any size and spacing, and its networks for any number of slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.core import Bundle, Plan
from hounsfield.core.plan import Region
from hounsfield.core.recipe import Normalise, Pad, Recipe, Repeat, Resize, Window
from hounsfield.errors import BundleError
from hounsfield.export.graph import recipe_model
from hounsfield.export.network import network_model
from hounsfield.models import Answers, build, renew
from hounsfield.predict import by_graph
from hounsfield.predict.judge import Judge
from hounsfield.prepare import apply_stored, frames_of_values, network_input, preparation_from

Make = Callable[..., Plan]


def recipe_of(size: tuple[int, int], windows: tuple[tuple[float, float], ...]) -> Recipe:
    steps = (
        Window(windows=windows), Resize(height=size[0], width=size[1]), Pad(height=size[0], width=size[1]),
        Repeat(channels=3), Normalise(mean=(0.4,) * 3, std=(0.2,) * 3),
    )  # fmt: skip
    return Recipe(steps=steps)


def bundle_of(plan: Plan, recipe: Recipe) -> Bundle:
    return cast(Bundle, SimpleNamespace(plan=plan, recipe=recipe, outputs=plan.outputs, labels=plan.labels.value))


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return cast(list[Any], session.run(None, inputs))


def prepared(plan: Plan, recipe: Recipe, values: Sequence[np.ndarray], spacing: Any) -> np.ndarray:
    """What Python gives the network."""
    frames = frames_of_values(values, spacing, preparation_from(plan, recipe))
    return network_input(np.stack([apply_stored(recipe, frame) for frame in frames]), recipe)


def random_volume(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 500, size=shape).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(9, 70), st.integers(9, 70)),
    spacing=st.tuples(st.floats(0.5, 6.0), st.floats(0.4, 3.0), st.floats(0.4, 3.0)),
)
def test_volumes_of_any_size_and_spacing_are_resampled_as_python_does(
    volumes_graph: tuple[Plan, Recipe, onnxruntime.InferenceSession], shape: Any, spacing: Any
) -> None:
    plan, recipe, session = volumes_graph
    volume = random_volume(shape)
    wanted = prepared(plan, recipe, list(volume), spacing)
    inputs = {"image": volume[None, :, None], "spacing": np.array(spacing, dtype=np.float64)}
    (found,) = session.run(None, inputs)
    assert found.shape == (1, *wanted.shape) and wanted.shape[0] <= 24
    assert np.abs(found[0] - wanted).max() < 2e-5


@pytest.fixture(scope="module")
def volumes_graph() -> tuple[Plan, Recipe, onnxruntime.InferenceSession]:
    recipe = recipe_of((48, 40), ((0.0, 900.0),))
    values = {
        "dimension": "3d", "slices": 24, "spacing": (2.5, 1.7, 1.7), "conditioning": "hounsfield", "adjacent": 0, "channels": 3,
    }  # fmt: skip
    plan = SimpleNamespace(**{name: SimpleNamespace(value=value) for name, value in values.items()})
    plan.clean, plan.region = SimpleNamespace(value=[]), SimpleNamespace(value=Region())
    plan.outputs, plan.labels = ["yes"], SimpleNamespace(value=["no", "yes"])
    model = recipe_model(bundle_of(cast(Plan, plan), recipe))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return cast(Plan, plan), recipe, session


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("size", [(31, 77), (77, 31), (300, 129), (64, 48), (5, 9)])
def test_images_of_any_size_and_a_batch_of_them(plan: Make, size: tuple[int, int], colour: bool) -> None:
    recipe = recipe_of((64, 48), ((0.0, 900.0),))
    made = plan(conditioning="colour") if colour else plan()
    images = random_volume((3, *size, *((3,) if colour else ())))
    wanted = np.stack([prepared(made, recipe, [one], None) for one in images])
    given = np.moveaxis(images, -1, 1) if colour else images[:, None]
    (found,) = run(recipe_model(bundle_of(made, recipe)), {"image": np.ascontiguousarray(given)})
    assert found.shape == (3, 1, 3, 64, 48)
    assert np.abs(found - wanted).max() < 2e-5


KINDS: dict[str, dict[str, Any]] = {
    "single images": {"head": "last", "flip_at_test": True},
    "a mean over slices": {"dimension": "2.5d", "slices": 12, "head": "last"},
    "lstm": {"dimension": "2.5d", "slices": 12, "pooling": "lstm"},
    "volumes": {"dimension": "3d", "backbone": "resnet10_half", "slices": 40, "frozen": "none", "spacing": [2.0, 2.0, 2.0]},
}  # fmt: skip


LENGTHS = {
    "single images": ((1, 1), (3, 1)), "volumes": ((1, 9), (1, 16), (3, 17), (2, 40)),
    "a mean over slices": ((1, 1), (2, 2), (5, 7), (1, 12)), "lstm": ((1, 1), (2, 2), (5, 7), (1, 12)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_answers_alike_for_any_number_of_cases_and_slices(plan: Make, tmp_path: Path, kind: str) -> None:
    decisions = {"backbone": "resnet10t", "frozen": "through stage 2", "members": 2, **KINDS[kind]}
    settings_of = plan(**decisions)
    network = build(settings_of)
    for number, member in enumerate(network.tails):
        renew(member, settings_of, number)
        if member.pooling is None:
            member.model.get_classifier().weight.data.mul_(50)
        else:
            member.pooling.score.weight.data.normal_()
            member.pooling.classifier.weight.data.mul_(50)
    bundle = bundle_of(settings_of, recipe_of((64, 64), ((0.0, 1.0),)))
    model, tells = network_model(network, bundle, "network_input", {"logits": "network_logits"})
    assert ("class_map" in tells) == (kind != "lstm") and ("slice_weights" in tells) == (
        kind in ("lstm", "a mean over slices")
    )
    onnx.save(model, tmp_path / "network.onnx")
    several = settings_of.slices.value > 1
    judge = by_graph(tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    spread = []
    for cases, slices in LENGTHS[kind]:
        inputs = torch.rand(
            cases, slices, settings_of.channels.value, 64, 64, generator=torch.Generator().manual_seed(slices)
        )
        answers = Answers(network, inputs, several=several)
        with torch.inference_mode():
            wanted = dict(zip(answers.tells, answers(inputs), strict=True))
        found = dict(zip(tells, session.run(None, {"network_input": inputs.numpy()}), strict=True))
        assert set(found) == set(wanted)
        for name, values in wanted.items():
            assert np.abs(found[name] - values.numpy()).max() <= 1e-4 * max(1.0, float(values.abs().max())), name
        judged = judge(list(inputs.numpy()))
        assert np.abs(judged.logits[:, 0] - wanted["logits"].numpy()).max() < 1e-4
        spread.append(wanted["logits"])
    assert float(torch.cat(spread).std()) > 1e-3, "a network that answers a constant would make the equality empty"
    if kind == "lstm":
        cases_of_unlike_lengths_do_not_mix(judge)
        again, _ = network_model(network, bundle, "network_input", {"logits": "network_logits"})
        assert again == model, "the exporter remembers nothing of the first time"


def cases_of_unlike_lengths_do_not_mix(judge: Judge) -> None:
    """The judge puts cases of one length together; each gets its own answer all the same."""
    generator = np.random.default_rng(0)
    cases = [generator.random((count, 3, 64, 64), dtype=np.float32) for count in (3, 7, 3, 2, 7)]
    together = judge(cases)
    for row, case in enumerate(cases):
        alone = judge([case])
        assert np.abs(together.logits[row] - alone.logits[0]).max() < 1e-5
        assert np.abs(together.weights[row] - alone.weights[0]).max() < 1e-5 and len(together.weights[row]) == len(case)
    assert together.logits.std() > 1e-4


def test_a_graph_that_keeps_weights_elsewhere_is_refused(tmp_path: Path, plan: Make) -> None:
    model = recipe_model(bundle_of(plan(), recipe_of((64, 48), ((0.0, 900.0),))))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="other.bin", size_threshold=0)
    with pytest.raises(BundleError, match="in another file"):
        by_graph(tmp_path / "m.onnx")
