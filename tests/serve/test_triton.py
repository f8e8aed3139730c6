"""A real Triton server answers as the Python path does and as ONNX Runtime does, whatever the sizes and batches of the requests."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hounsfield.core import Bundle, Predictions
from hounsfield.errors import ExportError, ServeError, UsageError
from hounsfield.export import export
from hounsfield.export.export import real_images
from hounsfield.export.parity import graph_input
from hounsfield.export.triton import NETWORK, Serving, write_repository
from hounsfield.predict import files_of, predict, preparation_of
from hounsfield.predict.judge import session
from hounsfield.prepare import graph_values
from hounsfield.serve import TritonClient, check_server, prove_server
from tests.serve.conftest import Served, Trained, triton

pytestmark = pytest.mark.slow
LOGIT_LIMIT, PROBABILITY_LIMIT = 1e-3, 1e-4


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kind", ["pictures", "slices", "volume"])
def test_the_server_answers_as_python_and_onnx_runtime_do(
    server: Served, kind: str, protocol: str, request: pytest.FixtureRequest
) -> None:
    trained: Trained = request.getfixturevalue(kind)
    bundle = trained.bundle
    cases = real_images(bundle, trained.cohort, 0, None)
    with TritonClient(bundle, server.address(protocol), name=kind) as client:
        found = check_server(bundle, cases, client)
    assert found.images >= 20 and len(found.sizes) >= 5 and all(high != wide for high, wide in found.sizes)
    assert found.batch_sizes == ([1] if kind == "volume" else [1, 2, 3, 4])
    assert found.logit_difference <= LOGIT_LIMIT and found.probability_difference <= PROBABILITY_LIMIT
    assert found.graph_logit_difference <= LOGIT_LIMIT and found.graph_probability_difference <= PROBABILITY_LIMIT
    assert all(share <= 1e-3 for share in found.answers.values())
    assert found.logit_standard_deviation > 0.01, "a network that answers a constant would make the equality empty"
    assert found.executions < found.requests, "requests were joined"
    assert (found.server, found.protocol, found.bundle) == ("triton 2.51.0", protocol, bundle.core_digest)


def test_single_requests_of_many_sizes_are_joined_to_batches(server: Served, pictures: Trained) -> None:
    """The network sees one size: what differs in size before the recipe goes through it together."""
    bundle = pictures.bundle
    single = [graph_input(bundle, *values) for values in real_images(bundle, pictures.cohort, 0, None)]
    runtime = session(bundle.folder / "model.onnx")
    expected = [runtime.run(["probabilities"], one)[0] for one in single]
    with TritonClient(bundle, server.grpc, name="pictures", together=16) as client:
        before = client.executions()
        answers = list(client.answers(single * 4))
        after = client.executions()
    assert len({one["image"].shape for one in single}) >= 5
    for answer, wanted in zip(answers, expected * 4, strict=True):
        assert np.abs(answer["probabilities"] - wanted).max() <= PROBABILITY_LIMIT
    images, runs = after[0] - before[0], after[1] - before[1]
    assert images == len(answers) == 4 * len(single) and runs <= images / 2


def test_a_batch_of_any_number_equals_as_many_of_one(server: Served, pictures: Trained, protocol: str) -> None:
    images = np.random.default_rng(0).uniform(0, 1, (37, 1, 50, 80)).astype(np.float32)
    with TritonClient(pictures.bundle, server.address(protocol), name="pictures") as client:
        assert client.max_batch == 16
        together = client.answer(images)
        alone = [client.answer(one[None]) for one in images]
    assert together["probabilities"].shape == (37, 3)
    for name, values in together.items():
        assert np.abs(values - np.concatenate([one[name] for one in alone])).max() < 1e-4
    assert np.allclose(together["probabilities"].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["pictures", "slices", "volume"])
def test_files_in_predictions_out(
    server: Served, stacks: Path, kind: str, protocol: str, request: pytest.FixtureRequest
) -> None:
    """PNG of the run's own test part; DICOM series of another centre, in a folder."""
    trained: Trained = request.getfixturevalue(kind)
    bundle = trained.bundle
    images: Any = trained.cohort if kind == "pictures" else stacks / "centre-b"
    with TritonClient(bundle, server.address(protocol), name=kind) as client:
        found, cohort = client.predict(images, workers=0)
    expected, _ = predict(bundle, cohort, device="cpu", runtime="torch", workers=0)
    assert found.table.height == expected.table.height >= 8
    assert found.table["case"].to_list() == expected.table["case"].to_list()
    assert np.abs(found.logits - expected.logits).max() <= LOGIT_LIMIT
    assert np.abs(found.probabilities - expected.probabilities).max() <= PROBABILITY_LIMIT
    assert found.table["abstention"].to_list() == expected.table["abstention"].to_list()
    assert found.table.columns == expected.table.columns and found.task == expected.task
    assert isinstance(found, Predictions)


def test_the_server_names_labels(server: Served, pictures: Trained) -> None:
    """By Triton's classification extension, whoever asks."""
    from tritonclient import grpc

    client = grpc.InferenceServerClient(server.grpc.removeprefix("grpc://"))
    image = np.random.default_rng(0).uniform(0, 1, (1, 1, 40, 60)).astype(np.float32)
    given = grpc.InferInput("image", list(image.shape), "FP32")
    given.set_data_from_numpy(image)
    wanted = [grpc.InferRequestedOutput("probabilities", class_count=3)]
    told = client.infer("pictures", [given], outputs=wanted).as_numpy("probabilities")[0]
    client.close()
    ranked = [one.decode().split(":") for one in told]
    assert sorted(name for _, _, name in ranked) == pictures.bundle.outputs
    assert all(pictures.bundle.outputs[int(place)] == name for _, place, name in ranked)


def test_parity_is_written_into_the_bundle(server: Served, volume: Trained, tmp_path: Path) -> None:
    before = volume.bundle
    with TritonClient(before, server.grpc, name="volume") as client:
        found = prove_server(before, volume.cohort, tmp_path, client, workers=0)
    record = json.loads((before.folder / "parity.json").read_text())
    assert record["passed"] and record["triton"] == json.loads(found.model_dump_json())
    assert record["triton"]["server"] == "triton 2.51.0" and record["triton"]["passed"]
    assert volume.bundle.core_digest == before.core_digest


def test_a_server_that_misses_the_limits_is_refused(volume: Trained, tmp_path: Path) -> None:
    bundle = volume.bundle
    write_repository(bundle, tmp_path / "models", Serving("volume"))
    path = tmp_path / "models" / f"volume{NETWORK}" / "1" / "model.onnx"
    model = onnx.load(path)
    (bias,) = [one for one in model.graph.initializer if one.name.endswith("fc.bias")]
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
    onnx.save(model, path)
    kept = (bundle.folder / "parity.json").read_bytes()
    with (
        triton(tmp_path / "models", tmp_path / "log") as served,
        TritonClient(bundle, served.grpc, name="volume") as client,
        pytest.raises(ExportError, match="logits differ by"),
    ):
        prove_server(bundle, volume.cohort, tmp_path, client, workers=0)
    record = json.loads((tmp_path / "parity.json").read_text())
    assert record["passed"] and not record["triton"]["passed"] and "logits differ" in record["triton"]["reason"]
    assert (bundle.folder / "parity.json").read_bytes() == kept


def test_a_new_version_takes_over_while_the_old_one_stays_loaded(volume: Trained, tmp_path: Path) -> None:
    """A server that looks at its repository: the ensemble moves to version 2, version 1 of its parts still answers by number."""
    from tritonclient import grpc

    old = volume.bundle
    newer = tmp_path / "newer"
    shutil.copytree(old.folder, newer)
    again = Bundle.load(newer)
    calibration = again.calibration.model_copy(update={"temperature": again.calibration.temperature * 3})
    weights = tmp_path / "weights"
    shutil.copyfile(again.weights, weights)
    new = Bundle.seal(
        newer, plan=again.plan, recipe=again.recipe, calibration=calibration, reference=again.reference, weights=weights
    )
    export(new, volume.cohort, tmp_path / "export", workers=0)
    assert new.core_digest != old.core_digest
    write_repository(old, tmp_path / "models", Serving("volume"))
    case = files_of(volume.cohort, volume.cohort.part("test"))[0]
    inputs = graph_input(old, *graph_values(case, preparation_of(old)))
    with triton(
        tmp_path / "models", tmp_path / "log", "--model-control-mode=poll", "--repository-poll-secs=1"
    ) as served:
        with TritonClient(old, served.grpc, name="volume") as client:
            first = client.answer(inputs["image"], inputs["spacing"])
        assert write_repository(new, tmp_path / "models", Serving("volume")) == 2
        with _when_it_serves(new, served.grpc) as client:
            second = client.answer(inputs["image"], inputs["spacing"])
        with pytest.raises(ServeError, match="serves another bundle"):
            TritonClient(old, served.grpc, name="volume")
        raw = grpc.InferenceServerClient(served.grpc.removeprefix("grpc://"))
        ready = [raw.is_model_ready(f"volume{NETWORK}", str(version)) for version in (1, 2, 3)]
        raw.close()
    assert np.abs(first["logits"] - second["logits"]).max() < 1e-6
    assert np.abs(first["probabilities"] - second["probabilities"]).max() > 1e-3
    assert ready == [True, True, False]


def _when_it_serves(bundle: Bundle, server: str) -> TritonClient:
    end = time.monotonic() + 60
    while True:
        try:
            return TritonClient(bundle, server, name="volume")
        except ServeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def test_errors_say_what_and_what_to_do(server: Served, pictures: Trained, protocol: str) -> None:
    bundle, address = pictures.bundle, server.address(protocol)
    with pytest.raises(ServeError, match="has no model 'other' that is ready"):
        TritonClient(bundle, address, name="other")
    with pytest.raises(ServeError, match="serves another bundle"):
        TritonClient(bundle, address, name="volume")
    with pytest.raises(ServeError, match="no Triton server answers"):
        TritonClient(bundle, f"{protocol}://127.0.0.1:1", name="pictures")
    with pytest.raises(UsageError, match="not the address"):
        TritonClient(bundle, "127.0.0.1:8001")
    with TritonClient(bundle, address, name="pictures") as client:
        with pytest.raises(UsageError, match=r"shape \(2, 3, 50, 60\), and the model takes \(any, 1, any, any\)"):
            client.answer(np.zeros((2, 3, 50, 60)))
        with pytest.raises(UsageError, match="no image"):
            client.answer(np.zeros((0, 1, 50, 60)))
        with pytest.raises(ServeError, match=r"the server refused: .*unexpected shape"):
            client.connection.infer({"image": np.zeros((2, 3, 50, 60), np.float32)}, client.outputs)
        assert client.answer(np.zeros((1, 1, 50, 60)))["probabilities"].shape == (1, 3), "and it goes on"


def test_a_repository_that_is_exported_again_can_be_loaded(pictures: Trained, tmp_path: Path) -> None:
    """Options may change from export to export; the version stays, and what the server says of itself follows."""
    for most in (16, 4):
        assert write_repository(pictures.bundle, tmp_path / "models", Serving(max_batch=most)) == 1
    with triton(tmp_path / "models", tmp_path / "log") as served, TritonClient(pictures.bundle, served.http) as client:
        assert client.max_batch == 4
        answer = client.answer(np.full((9, 1, 30, 41), 0.3))
    assert answer["logits"].shape == (9, 3) and np.abs(answer["logits"] - answer["logits"][0]).max() < 1e-5
