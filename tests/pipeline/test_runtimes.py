"""One bundle, one answer: torch and ONNX Runtime, whole and quantised; interrupted predictions go on; what is not proved is not used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hounsfield.core import Bundle, Cohort, Predictions, files
from hounsfield.errors import UsageError
from hounsfield.export import bench, export, quantise
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.stages import Machine, export_stage, predict_stage
from hounsfield.predict import engine, is_proved, predict
from hounsfield.predict import judge as judges
from hounsfield.predict.judge import judge_of


@pytest.fixture
def bundle(finished: RunFolder, tmp_path: Path) -> Bundle:
    """A copy of a trained bundle with its proved graph."""
    return Bundle.load(Path(shutil.copytree(finished.bundle, tmp_path / "bundle")))


@pytest.fixture(scope="module")
def cohort(finished: RunFolder) -> Cohort:
    return Cohort.load(finished.path)


def asked(bundle: Bundle, cohort: Cohort, part: str = "train", **options: Any) -> Predictions:
    return predict(bundle, cohort, part, device="cpu", workers=0, **options)[0]


def test_torch_and_the_graph_give_the_same_table(bundle: Bundle, cohort: Cohort) -> None:
    heard: list[str] = []
    by_torch, by_graph = (asked(bundle, cohort, runtime=name, say=heard.append) for name in ("torch", "auto"))
    assert heard == ["answered by torch", "answered by ONNX Runtime"]
    assert by_torch.table.columns == by_graph.table.columns
    for name in by_torch.table.columns:
        one, other = by_torch.table[name], by_graph.table[name]
        if name == "slice_weights":
            assert np.abs(np.stack(one.to_list()) - np.stack(other.to_list())).max() < 1e-5
        elif one.dtype == pl.Float64 and not name.startswith("image:"):
            assert np.abs((one - other).to_numpy()).max() < 1e-4, name
        elif one.dtype == pl.Float64:
            assert np.allclose(one.to_numpy(), other.to_numpy(), rtol=1e-3, atol=1e-6, equal_nan=True), name
        else:
            assert one.equals(other, null_equal=True), name
    assert by_torch.logits.std() > 1e-3, "a model that answers a constant would make the equality empty"


def test_the_run_itself_was_predicted_by_the_graph(finished: RunFolder, bundle: Bundle, cohort: Cohort) -> None:
    stored = Predictions.load(finished.predictions("test"))
    again = asked(bundle, cohort, "test")
    assert again.table.equals(stored.table)


def test_a_graph_that_is_not_proved_is_not_used(bundle: Bundle, cohort: Cohort, tmp_path: Path) -> None:
    assert is_proved(bundle)
    record = json.loads((bundle.folder / "parity.json").read_text())
    for changes in ({"passed": False}, {"bundle": "0" * 64}, {"graph": "0" * 64}):
        files.write_json(tmp_path / "parity.json", record | changes)
        bundle.attach("parity.json", tmp_path / "parity.json")
        assert not is_proved(bundle)
        assert judge_of(bundle, "cpu", "auto")[1] == "torch"
        with pytest.raises(UsageError, match="no graph for the runtime onnx"):
            judge_of(bundle, "cpu", "onnx")
    files.write_json(tmp_path / "parity.json", record)
    bundle.attach("parity.json", tmp_path / "parity.json")
    assert is_proved(bundle)
    other = tmp_path / "model.onnx"
    other.write_bytes((bundle.folder / "model.onnx").read_bytes() + b"\0")
    bundle.attach("model.onnx", other)
    assert not is_proved(bundle), "another graph than the one that was compared"


def test_what_the_manifest_does_not_name_is_not_used(finished: RunFolder, bundle: Bundle, tmp_path: Path) -> None:
    packed = Bundle.load(bundle.pack(tmp_path / "a.hounsfield", without=["model.onnx", "parity.json"]))
    for name in ("model.onnx", "parity.json"):
        shutil.copyfile(finished.bundle / name, packed.folder / name)
    assert not is_proved(packed)


@pytest.mark.parametrize(
    ("device", "runtime", "message"),
    [("cpu", "tensorrt", "no runtime named"), ("cpu", "int8", "no graph for the runtime int8")],
)
def test_a_runtime_that_is_not_there(bundle: Bundle, device: str, runtime: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        judge_of(bundle, device, runtime)


class Interruption(Exception):
    pass


def test_an_interrupted_prediction_goes_on(
    bundle: Bundle, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "answers" / ".test.journal"
    whole = asked(bundle, cohort)

    def stop(done: int, _: int) -> None:
        if done == 15:
            raise Interruption

    with pytest.raises(Interruption):
        asked(bundle, cohort, journal=journal, progress=stop)
    lines = journal.read_text().splitlines()
    noted = len(lines) - 1
    assert 0 < noted < 15
    # The system may have cut off the last line: it is asked again, and spoils nothing.
    journal.write_text("\n".join(lines)[:-20])

    read: list[str] = []
    reading = engine.case_of_job
    monkeypatch.setattr(engine, "case_of_job", lambda job: (read.append(job[0].case), reading(job))[1])
    heard: list[str] = []
    counts: list[tuple[int, int]] = []
    again = asked(bundle, cohort, journal=journal, say=heard.append, progress=lambda *now: counts.append(now))
    assert heard == [f"answered by ONNX Runtime; {noted - 1} cases were answered before"]
    assert len(read) == whole.table.height - (noted - 1) and counts[0][0] == noted and counts[-1][0] == counts[-1][1]
    assert again.table.equals(whole.table), "not even a last digit differs"
    assert not journal.exists()


def test_a_journal_of_something_else_is_begun_anew(bundle: Bundle, cohort: Cohort, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    def stop(done: int, _: int) -> None:
        if done == 15:
            raise Interruption

    with pytest.raises(Interruption):
        asked(bundle, cohort, journal=journal, progress=stop, runtime="torch")
    heard: list[str] = []
    by_graph = asked(bundle, cohort, journal=journal, say=heard.append)
    assert heard == ["answered by ONNX Runtime"] and by_graph.table.equals(asked(bundle, cohort).table)


def test_a_journal_holds_no_patient(bundle: Bundle, cohort: Cohort, finished: RunFolder, tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 25:
            raise Interruption

    with pytest.raises(Interruption):
        asked(bundle, cohort, journal=tmp_path / "journal", progress=stop)
    text = (tmp_path / "journal").read_text()
    private = pl.read_parquet(finished.path / "private" / "crosswalk.parquet")
    secrets = {
        str(value) for name in private.columns if name != "case" and private[name].dtype == pl.String
        for value in private[name].drop_nulls().unique() if len(str(value)) > 5
    }  # fmt: skip
    assert secrets and not [one for one in secrets if one in text]


def test_int8_is_let_out_only_if_the_auc_holds(
    bundle: Bundle, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantise, "AUC_LIMIT", 1.0)
    made = export(bundle, cohort, tmp_path / "export", int8=True, workers=0)
    small = made.small
    assert small is not None and small.passed and small.part == "validation"
    assert small.cases == cohort.part("validation").height and small.megabytes < small.whole_megabytes
    area = small.areas["yes"]
    assert None not in (area.whole, area.small, area.difference, area.low, area.high)
    assert area.small - area.whole == pytest.approx(area.difference, abs=1e-9)  # type: ignore[operator]
    quantised, whole = asked(bundle, cohort, runtime="int8"), asked(bundle, cohort, runtime="onnx")
    apart = np.abs(quantised.logits - whole.logits).max()
    assert apart > 1e-4 and np.corrcoef(quantised.logits[:, 0], whole.logits[:, 0])[0, 1] > 0.9

    monkeypatch.setattr(quantise, "AUC_LIMIT", -1.0)
    again = Path(shutil.copytree(tmp_path / "export", tmp_path / "second"))
    refused = quantise.quantise(bundle, made.parts, cohort, again, workers=0)
    assert not refused.passed and "falls by" in refused.reason
    assert not (again / "model-int8.onnx").exists()
    assert json.loads((again / "int8.json").read_text())["passed"] is False
    told = bench(bundle, cohort, workers=0)
    assert [one.name for one in told.variants] == ["torch", "onnx", "int8"]
    assert all(0 < one.p50 <= one.p95 and one.throughput > 0 and one.megabytes > 0 for one in told.variants)
    assert told.part == "validation" and told.variants[0].auc is not None
    assert told.variants[0].auc.value == pytest.approx(area.whole, abs=1e-6)
    assert len(str(told).splitlines()) == 5
    alone = bench(bundle)
    assert alone.part is None and alone.reading is None and alone.variants[0].auc is None


def test_stages_use_the_graph_and_leave_no_journal(
    finished: RunFolder, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(Path(shutil.copytree(finished.path, tmp_path / "run")))
    run.predictions("test").unlink()

    def never(*_: Any) -> Any:
        raise AssertionError("torch was asked")

    monkeypatch.setattr(judges, "by_torch", never)
    found = predict_stage(run, machine)
    assert found.table.equals(Predictions.load(finished.predictions("test")).table)
    assert [path.name for path in run.path.joinpath("predictions").iterdir() if path.name.startswith(".")] == []
    assert export_stage(run, machine).passed, "exported before"
