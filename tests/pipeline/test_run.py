"""A whole run: what it writes, what it must not write, and that it does nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch

from hounsfield.cohort import Labelling, Splitting, scan_for_prediction
from hounsfield.core import Bundle, Cohort, Plan, Predictions
from hounsfield.errors import PlanError
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.run import run_all
from hounsfield.pipeline.stages import Machine, PlanOptions, plan_stage, report_stage, scan_stage, train_stage
from hounsfield.predict import by_torch, files_of, load_network, predict, preparation_of
from hounsfield.prepare import case_array, conditioned_frames, network_input
from tests.pipeline.conftest import QUICK, options


def test_the_run_folder_holds_what_the_design_says(finished: RunFolder) -> None:
    for name in (
        "cohort.parquet", "quarantine.csv", "duplicates.csv", "audit/index.html", "audit/audit.json", "plan.yaml",
        "train/history.csv", "train/cost.json", "bundle/manifest.json", "bundle/weights.safetensors", "bundle/model.onnx",
        "predictions/test.parquet", "predictions/external-B.parquet", "explain/panels.json", "report/index.html",
        "report/report.json", "export/model.onnx", "export/parity.json", "private/crosswalk.parquet", "private/looks.sqlite",
    ):  # fmt: skip
        assert (finished.path / name).is_file(), name
    assert list((finished.path / "train").rglob("events.out.tfevents*")), "TensorBoard logs"
    assert list((finished.path / "store").rglob("images.npy"))
    report = json.loads((finished.path / "report" / "report.json").read_text())
    assert report["main"] == "test" and set(report["evaluations"]) == {"test", "external-B"} and report["drops"]


def test_no_name_id_uid_or_path_leaves_the_private_folder(finished: RunFolder, phantom: Path) -> None:
    private = pl.read_parquet(finished.path / "private" / "crosswalk.parquet")
    secrets = {
        "PHANTOM-A",
        "Phantom^",
        str(phantom),
        *private["series_uid"].drop_nulls().unique(),
        *private["study_uid"].drop_nulls().unique(),
    }
    files = [path for path in finished.path.rglob("*") if path.is_file() and "private" not in path.parts]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        found = [secret for secret in secrets if secret.encode() in content]
        assert not found, path
    assert (finished.path / "private").stat().st_mode & 0o077 == 0


def test_predictions_come_from_the_sealed_bundle_and_quote_it(finished: RunFolder, machine: Machine) -> None:
    bundle = Bundle.load(finished.bundle)
    stored = Predictions.load(finished.predictions("test"))
    assert stored.task.bundle == bundle.core_digest
    again, _ = predict(bundle, Cohort.load(finished.path), device="cpu", workers=0)
    assert np.allclose(again.logits, stored.logits, atol=1e-5)
    assert again.table["decision"].to_list() == stored.table["decision"].to_list()
    assert stored.logits.std() > 1e-3, "a model that answers a constant would make the equality empty"


def test_another_folder_with_the_same_images_gives_the_same_probabilities(finished: RunFolder, phantom: Path) -> None:
    bundle = Bundle.load(finished.bundle)
    cohort = scan_for_prediction(phantom / "centre-b", bundle.labels, bundle.positive, Labelling(), workers=0)
    assert cohort.table["label"].null_count() == cohort.table.height
    unlabelled, _ = predict(bundle, cohort, device="cpu", workers=0)
    labelled = Predictions.load(finished.predictions("external-B"))
    assert np.allclose(np.sort(unlabelled.logits, axis=0), np.sort(labelled.logits, axis=0), atol=1e-5)


def test_a_batch_of_n_equals_n_batches_of_one(finished: RunFolder) -> None:
    bundle, cohort = Bundle.load(finished.bundle), Cohort.load(finished.path)
    judge, preparation = by_torch(load_network(bundle, "cpu"), torch.device("cpu")), preparation_of(bundle)
    arrays = [
        network_input(case_array(case, preparation), bundle.recipe) for case in files_of(cohort, cohort.part("test"))
    ]
    together = judge(arrays).logits
    alone = np.concatenate([judge([one]).logits for one in arrays])
    assert together.shape == (len(arrays), QUICK["members"], 1)
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together[:, 0] - together[:, 1]).max() > 1e-4, "two members are two models"


def test_the_graph_takes_a_batch_and_answers_as_predict_does(finished: RunFolder) -> None:
    bundle, cohort = Bundle.load(finished.bundle), Cohort.load(finished.path)
    session = onnxruntime.InferenceSession(str(finished.export / "model.onnx"), providers=["CPUExecutionProvider"])
    cases = files_of(cohort, cohort.part("test"))
    frames = [np.stack(conditioned_frames(case, preparation_of(bundle))) for case in cases]
    images = np.stack(frames)[:, :, None].astype(np.float32)
    logits, probabilities = session.run(["logits", "probabilities"], {"image": images})
    stored = Predictions.load(finished.predictions("test"))
    order = [stored.table["case"].to_list().index(case.case) for case in cases]
    assert np.abs(logits - stored.logits[order]).max() < 1e-3
    assert np.abs(probabilities - stored.probabilities[order]).max() < 1e-4
    parity = json.loads((finished.export / "parity.json").read_text())
    assert parity["passed"] and parity["images"] >= 20 and len(parity["sizes"]) >= 5
    assert all(height != width for height, width in parity["sizes"])
    assert any(height < 64 and width < 64 for height, width in parity["sizes"])


def test_the_same_command_does_nothing_twice(finished: RunFolder, phantom: Path, machine: Machine) -> None:
    sealed = (finished.bundle / "weights.safetensors").stat().st_mtime_ns
    predicted = finished.predictions("test").stat().st_mtime_ns
    run_all(finished.path, options(phantom), PlanOptions(decisions=QUICK), machine)
    assert (finished.bundle / "weights.safetensors").stat().st_mtime_ns == sealed
    assert finished.predictions("test").stat().st_mtime_ns == predicted


def test_what_the_quarantine_says(finished: RunFolder) -> None:
    listed = pl.read_csv(finished.path / "quarantine.csv")
    reasons = " | ".join(listed["reason"].to_list())
    for word in ("not an image", "SOPInstanceUID", "no label"):
        assert word in reasons
    assert any("short" in reason or "cut" in reason or "bytes" in reason for reason in listed["reason"])


def test_a_plan_for_another_cohort_is_refused(finished: RunFolder, tmp_path: Path, machine: Machine) -> None:
    Cohort.load(finished.path).save(tmp_path)
    plan = Plan.load(finished.plan)
    plan.model_copy(update={"cohort": "0" * 64}).save(tmp_path / "plan.yaml")
    with pytest.raises(PlanError, match="another cohort"):
        train_stage(RunFolder(tmp_path), machine)


def test_folds_that_are_repeated_are_judged_by_members_that_never_saw_the_case(
    phantom: Path, machine: Machine, tmp_path: Path
) -> None:
    """Six members, two for each case: its out-of-fold logit is the mean of the two whose fold it was in."""
    quick = {name: value for name, value in QUICK.items() if name != "members"}
    asked = options(phantom, splitting=Splitting(folds=3, repeats=2, seed=5))
    run = RunFolder(tmp_path / "run")
    scan_stage(run, asked, machine)
    plan_stage(run, PlanOptions(decisions=quick | {"epochs": 1}), machine)
    train_stage(run, machine)
    report_stage(run, machine)
    bundle, cohort = Bundle.load(run.bundle), Cohort.load(run.path)
    assert (bundle.plan.members.value, cohort.about.folds, cohort.about.repeats) == (6, 3, 2)
    predictions = Predictions.load(run.predictions("folds"))
    assert predictions.table["fold"].null_count() == predictions.table.height, "no single fold made them"
    judge, preparation = by_torch(load_network(bundle, "cpu"), torch.device("cpu")), preparation_of(bundle)
    folds = dict(cohort.usable.select("case", "folds").iter_rows())
    logit = dict(predictions.table.select("case", "logit:yes").iter_rows())
    for files in files_of(cohort, cohort.usable[:6]):
        of_member = judge([network_input(case_array(files, preparation), bundle.recipe)]).logits[0, :, 0]
        first, second = folds[files.case]
        assert logit[files.case] == pytest.approx(float(of_member[first] + of_member[3 + second]) / 2, abs=1e-4)
        assert logit[files.case] != pytest.approx(float(of_member.mean()), abs=1e-4), "and not the mean of all"
    report = json.loads((run.path / "report" / "report.json").read_text())
    assert report["main"] == "folds" and report["evaluations"]["folds"]["folds"] == {}
    assert "3 folds by patient, stratified by label, 2 times, seeds 5 to 6." in run.report.read_text(encoding="utf-8")
