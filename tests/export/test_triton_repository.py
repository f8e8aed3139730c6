"""The model repository as files: whole, versioned, refused where it would not fit; and the text of its configurations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from safetensors.numpy import save_file

from hounsfield.core import Bundle, Calibration
from hounsfield.core import files as writing
from hounsfield.core.digest import digest_file
from hounsfield.errors import ExportError, UsageError
from hounsfield.export import graph
from hounsfield.export.nodes import Nodes
from hounsfield.export.triton import Serving, write_repository
from hounsfield.export.triton.text import Word, to_text
from hounsfield.models import Network
from hounsfield.prepare import recipe_of

LABELS = ("benign", "malignant", 'other "ones"')


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of one layer instead of what torch exports: these tests are about files."""
    monkeypatch.setattr(graph, "network_model", _one_layer)


def _one_layer(
    _: object, bundle: Bundle, source: str, names: dict[str, str]
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    nodes, outputs = Nodes("network/"), len(bundle.outputs)
    means = nodes.op("ReduceMean", source, nodes.vector(1, 3, 4), keepdims=0)
    weights = np.random.default_rng(0).normal(size=(3, outputs)).tolist()
    nodes.nodes.append(helper.make_node("MatMul", [means, nodes.real(weights)], [names["logits"]], name="network/end"))
    inputs: list[tuple[str, int, graph.Shape]] = [(source, graph.FLOAT, ["n", 1, 3, 64, 64])]
    return graph.model_of(nodes, "network", inputs, [(names["logits"], graph.FLOAT, ["n", outputs])]), ("logits",)


@pytest.fixture
def bundle(plan: Callable[..., Any], tmp_path: Path) -> Bundle:
    return sealed(plan(LABELS), tmp_path / "bundle")


def sealed(plan: Any, folder: Path, temperature: float = 1.3, *, passed: bool = True) -> Bundle:
    """A bundle whose graph is taken as proved, or was refused."""
    weights, exported, record = (folder.with_suffix(end) for end in (".safetensors", ".onnx", ".json"))
    save_file({"none": np.zeros(1, np.float32)}, weights)
    calibration = Calibration(
        temperature=temperature, offsets=[0.0] * len(plan.outputs), fitted_on="calibration", cases=9
    )
    made = Bundle.seal(
        folder, plan=plan, recipe=recipe_of(plan), calibration=calibration, reference={}, weights=weights
    )
    onnx.save(graph.parts_of(made, cast(Network, None)).joined(made), exported)
    made.attach("model.onnx", exported)
    writing.write_json(record, {"bundle": made.core_digest, "graph": digest_file(exported), "passed": passed})
    made.attach("parity.json", record)
    return made


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def _parsed(folder: Path, name: str) -> Any:
    text_format = pytest.importorskip("google.protobuf.text_format")
    config = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed").model_config_pb2
    return text_format.Parse((folder / name / "config.pbtxt").read_text(encoding="utf-8"), config.ModelConfig())


def test_the_repository_is_whole_and_has_versions(bundle: Bundle, tmp_path: Path, plan: Callable[..., Any]) -> None:
    models = tmp_path / "models"
    assert write_repository(bundle, models, Serving("busi", instances="gpu:1,cpu:2", max_batch=8)) == 1
    assert _files(models) == {
        "busi", "busi/1", "busi/config.pbtxt", "busi/labels.txt", "busi/versions.json",
        "busi_network", "busi_network/1", "busi_network/1/model.onnx", "busi_network/config.pbtxt", "busi_network/labels.txt",
        "busi_recipe", "busi_recipe/1", "busi_recipe/1/model.onnx", "busi_recipe/config.pbtxt",
    }  # fmt: skip
    assert (models / "busi" / "labels.txt").read_text().splitlines() == list(LABELS)
    first = (models / "busi_network" / "1" / "model.onnx").read_bytes()

    # The same bundle: the same version, whatever the options.
    assert write_repository(bundle, models, Serving("busi", max_batch=4)) == 1
    assert "max_batch_size: 4" in (models / "busi_network" / "config.pbtxt").read_text()

    # Another one: the next version, and the first as it was. Going back to the first makes a third.
    other = sealed(plan(LABELS), tmp_path / "other", temperature=2.0)
    assert write_repository(other, models, Serving("busi")) == 2
    assert (models / "busi_network" / "1" / "model.onnx").read_bytes() == first
    assert (models / "busi_network" / "2" / "model.onnx").read_bytes() != first
    assert (models / "busi" / "2").is_dir()
    assert "model_version: 2" in (models / "busi" / "config.pbtxt").read_text()
    assert other.core_digest in (models / "busi" / "config.pbtxt").read_text()
    assert write_repository(bundle, models, Serving("busi")) == 3
    record = json.loads((models / "busi" / "versions.json").read_text())
    assert [one["bundle"] for one in record["versions"]] == [bundle.core_digest, other.core_digest, bundle.core_digest]
    assert not [path for path in models.rglob("*") if path.name.startswith(".")], "nothing half done is left"

    # Other labels cannot be a version of it; under another name they may stand beside it.
    foreign = sealed(plan(("no", "yes")), tmp_path / "foreign")
    with pytest.raises(ExportError, match="answers and labels and outputs and task are others"):
        write_repository(foreign, models, Serving("busi"))
    assert write_repository(foreign, models, Serving("nodule")) == 1
    assert (models / "nodule" / "labels.txt").read_text() == "yes\n"


def test_triton_understands_the_configurations(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(bundle, tmp_path, Serving("busi", 8, "gpu:1,cpu:2", 500))
    recipe, network, whole = (_parsed(tmp_path, name) for name in ("busi_recipe", "busi_network", "busi"))
    assert recipe.platform == network.platform == "onnxruntime_onnx" and whole.platform == "ensemble"
    assert [one.max_batch_size for one in (recipe, network, whole)] == [8, 8, 8]
    assert list(recipe.input[0].dims) == [1, -1, -1] and list(network.input[0].dims) == [1, 3, 64, 64]
    assert list(network.dynamic_batching.preferred_batch_size) == [2, 4, 8]
    assert network.dynamic_batching.max_queue_delay_microseconds == 500
    kinds = network.instance_group[0].Kind
    assert [(kinds.Name(one.kind), one.count) for one in network.instance_group] == [("KIND_GPU", 1), ("KIND_CPU", 2)]
    assert [kinds.Name(one.kind) for one in recipe.instance_group] == ["KIND_CPU"]
    assert [one.batch_size for one in network.model_warmup] == [1, 8]
    assert list(network.model_warmup[1].inputs["network_input"].dims) == [1, 3, 64, 64]
    assert [one.name for one in whole.output][:2] == ["logits", "probabilities"]
    assert whole.output[1].label_filename == network.output[1].label_filename == "labels.txt"
    assert [(step.model_name, step.model_version) for step in whole.ensemble_scheduling.step] == [
        ("busi_recipe", 1),
        ("busi_network", 1),
    ]
    assert json.loads(whole.parameters["labels"].string_value) == list(LABELS)
    assert whole.parameters["core_digest"].string_value == bundle.core_digest
    assert network.version_policy.latest.num_versions == 2 and whole.version_policy.latest.num_versions == 1


def test_the_two_halves_are_the_whole_graph(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(bundle, tmp_path)
    image = np.random.default_rng(0).uniform(0, 255, (3, 1, 50, 71)).astype(np.float32)
    paths = [tmp_path / f"hounsfield_{half}" / "1" / "model.onnx" for half in ("recipe", "network")]
    whole, recipe, network = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for path in (bundle.folder / "model.onnx", *paths)
    )
    (prepared,) = recipe.run(None, {"image": image})
    for found, expected in zip(
        network.run(None, {"network_input": prepared}), whole.run(None, {"image": image}), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for path in paths:
        onnx.checker.check_model(onnx.load(path), full_check=True)


def test_what_is_refused(bundle: Bundle, tmp_path: Path, plan: Callable[..., Any]) -> None:
    (tmp_path / "mine" / "taken").mkdir(parents=True)
    with pytest.raises(ExportError, match="not written here"):
        write_repository(bundle, tmp_path / "mine", Serving("taken"))
    write_repository(bundle, tmp_path / "ours")
    (tmp_path / "ours" / "hounsfield" / "versions.json").write_text("{}")
    with pytest.raises(ExportError, match="record of versions is not valid"):
        write_repository(bundle, tmp_path / "ours")
    with pytest.raises(ExportError, match="no graph that was proved"):
        write_repository(sealed(plan(LABELS), tmp_path / "refused", passed=False), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "mine" / "taken").iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "../up"}, "cannot name"),
        ({"name": ""}, "cannot name"),
        ({"name": "a" * 64}, "cannot name"),
        ({"max_batch": 0}, "cannot be"),
        ({"queue_delay": -1}, "no time to wait"),
        ({"instances": "tpu:1"}, "not understood"),
        ({"instances": "cpu:0"}, "not understood"),
        ({"instances": "cpu:2,"}, "not understood"),
    ],
)
def test_options_that_are_not_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Serving(**options)


def test_small_batches_have_sizes_too() -> None:
    assert [Serving(max_batch=most).preferred for most in (1, 2, 3, 16)] == [[1], [1, 2], [1, 3], [4, 8, 16]]


def test_the_text_of_a_message() -> None:
    message = {
        "name": 'a "b" \\ ü', "kind": Word("KIND_CPU"), "flag": True, "dims": [1, -1],
        "step": [{"inner": {"value": 2}}, {"inner": {}}],
    }  # fmt: skip
    assert to_text(message) == (
        'name: "a \\"b\\" \\\\ ü"\nkind: KIND_CPU\nflag: true\ndims: [1, -1]\n'
        "step {\n  inner {\n    value: 2\n  }\n}\nstep {\n  inner {\n  }\n}\n"
    )
