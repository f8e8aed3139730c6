"""A trained bundle as one file: it predicts the same elsewhere, and holds nothing of a patient."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import polars as pl
import pydicom
import pytest
import yaml

import hounsfield as hf
from hounsfield.cli import main
from hounsfield.cohort import Labelling, Looking
from hounsfield.core.digest import digest_file
from hounsfield.core.manifest import CORE, MANIFEST, WEIGHTS
from hounsfield.core.schema import bundle_schema
from hounsfield.phantom import generate
from hounsfield.pipeline.folder import RunFolder
from hounsfield.pipeline.stages import Machine, PlanOptions, ScanOptions, plan_stage, scan_stage, train_stage
from hounsfield.plan import make
from hounsfield.plan.pace import Pace
from hounsfield.predict import predict

SMALL = {
    "backbone": "mobilenetv3_small_050", "weights": "none", "size": [32, 32], "epochs": 1, "members": 1, "slices": 1,
    "cached_views": 1, "frozen": "through stage 2", "patience": 1,
}  # fmt: skip
PACE = Pace(
    device="cpu", front=0.01, tail=0.01, step=0.02, augment=0.001, prepare=0.001, activation=1000, saved=1e6, largest=1e6,
    front_bytes=1_000_000, tail_bytes=1_000_000,
)  # fmt: skip
FAMILY = "Mustermann-Erika"


@dataclass(frozen=True)
class Trained:
    """A run on simulated patients, and what it was made of."""

    run: RunFolder
    images: Path
    cohort: hf.Cohort
    bundle: hf.Bundle
    packed: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    place = tmp_path_factory.mktemp(FAMILY)
    made = generate(place / "images", patients_a=60, patients_b=0, slices=3, size=48, seed=3)
    run, machine = RunFolder(place / "run"), Machine(device="cpu", workers=0)
    labelling = Labelling(table=made.labels, label=("nodule",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "measure", lambda *_: PACE)
        cohort = scan_stage(run, ScanOptions(made.centre_a, labelling, looking=Looking(pixels=False)), machine)
        plan_stage(run, PlanOptions(decisions=SMALL), machine)
        bundle = train_stage(run, machine)
    return Trained(run, made.centre_a, cohort, bundle, hf.pack(bundle, place / "given" / "model.hounsfield"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command; return what it printed, or its message where it fails."""

    def run(*words: object) -> str:
        monkeypatch.setattr("sys.argv", ["hounsfield", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        told = capsys.readouterr()
        assert caught.value.code in (0, None) or "error: " in told.err
        assert "Traceback" not in told.out + told.err
        return told.out + told.err

    return run


def test_it_predicts_the_same_in_another_place(trained: Trained, tmp_path: Path) -> None:
    again = hf.Bundle.load(Path(shutil.copy(trained.packed, tmp_path / "renamed.hounsfield")))
    assert again.core_digest == trained.bundle.core_digest and again.weights != trained.bundle.weights
    here, there = (predict(one, trained.cohort, device="cpu", workers=0)[0] for one in (trained.bundle, again))
    assert there.table.equals(here.table) and there.task == here.task
    assert here.table.height >= 6 and here.logits.std() > 0
    assert there.task.bundle == trained.bundle.core_digest


def test_training_statistics_are_in_it(trained: Trained) -> None:
    """Without them the search for patient data would look at less than bundles hold."""
    reference = hf.Bundle.load(trained.packed).reference
    assert reference["input"]["suited"]["picture"]["axes"] and reference["input"]["reach"] and reference["cases"] >= 30


def test_nothing_of_a_patient_is_in_it(trained: Trained) -> None:
    secrets = {FAMILY, "PHANTOM-", "Phantom^"}
    for path in trained.images.rglob("*"):
        secrets |= set(path.relative_to(trained.images.parent).parts)
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True) if path.is_file() else pydicom.Dataset()
        except pydicom.errors.InvalidDicomError:
            continue
        for name in (
            "PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
            "FrameOfReferenceUID", "StudyDate", "SeriesDate", "AcquisitionDate", "AccessionNumber", "InstitutionName",
            "StationName", "DeviceSerialNumber",
        ):  # fmt: skip
            secrets.add(str(header.get(name, "")))
    table, private = trained.cohort.table, pl.read_parquet(trained.run.path / "private" / "crosswalk.parquet")
    for name in ("case", "patient"):
        secrets |= set(table[name].drop_nulls())
    secrets |= {key for row in table["files"].to_list() for key in row}
    secrets |= {str(value) for column in private.columns for value in private[column].drop_nulls()}
    secrets = {secret for secret in secrets if len(secret) >= 6}  # shorter ones stand in any file
    assert len(secrets) > 500 and any(secret.startswith("2.25.") or secret.startswith("1.2.") for secret in secrets)
    searched = [trained.packed, *(path for path in trained.bundle.folder.iterdir())]
    assert {path.name for path in searched} == {trained.packed.name, MANIFEST, *CORE}
    for path in searched:
        content = path.read_bytes()
        assert [secret for secret in secrets if secret.encode() in content] == []
    some = b"".join(path.read_bytes() for path in sorted(trained.images.rglob("*.dcm"))[:30])
    assert sum(secret.encode() in some for secret in secrets) > 30, "the search finds them where they are"


def test_what_lies_beside_the_members_stays_there(trained: Trained, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(trained.bundle.folder, copy)
    for name in ("embeddings.npy", "crosswalk.parquet", "notes.md"):
        (copy / name).write_text(FAMILY)
    packed = hf.pack(hf.Bundle.load(copy), tmp_path / "model.hounsfield")
    assert packed.read_bytes() == trained.packed.read_bytes()


def test_a_real_bundle_fits_the_schema(trained: Trained) -> None:
    folder = trained.bundle.folder
    content = {name: json.loads((folder / name).read_text()) for name in (MANIFEST, *CORE) if name.endswith(".json")}
    content["plan.yaml"] = yaml.safe_load((folder / "plan.yaml").read_text())
    jsonschema.Draft202012Validator(bundle_schema()).validate(content)
    assert set(content) == {MANIFEST, *CORE} - {WEIGHTS}


def test_commands_take_it(trained: Trained, tmp_path: Path, command: Callable[..., str]) -> None:
    out = tmp_path / "model.hounsfield"
    told = command("pack", trained.run.path, "--out", out)
    for words in (str(out), digest_file(out), trained.bundle.core_digest, "MiB"):
        assert words in told
    assert out.read_bytes() == trained.packed.read_bytes()
    assert command("pack", out, "--out", out) and out.read_bytes() == trained.packed.read_bytes(), "also a packed one"
    assert hf.show(out) == hf.show(trained.run.bundle) and hf.show(out) in command("show", out)
    assert "mobilenetv3_small_050" in command("show", out, "--plan")
    table = tmp_path / "predictions.parquet"
    command("predict", out, trained.images, "--out", table, "--workers", 0, "--device", "cpu")
    command(
        "predict", trained.run.path, trained.images, "--out", tmp_path / "p.parquet", "--workers", 0, "--device", "cpu"
    )
    one, other = hf.Predictions.load(table), hf.Predictions.load(tmp_path / "p.parquet")
    assert one.table.equals(other.table) and one.task.bundle == trained.bundle.core_digest


def test_commands_say_what_is_wrong_with_it(trained: Trained, tmp_path: Path, command: Callable[..., str]) -> None:
    assert "ends in .hounsfield" in command("pack", trained.run.path, "--out", tmp_path / "model.zip")
    assert "not in this bundle" in command(
        "pack", trained.run.path, "--out", tmp_path / "m.hounsfield", "--without", "a.md"
    )
    assert "no bundle here" in command("pack", tmp_path, "--out", tmp_path / "m.hounsfield")
    assert "brings no images" in command("predict", trained.packed)
    cut = tmp_path / "cut.hounsfield"
    cut.write_bytes(trained.packed.read_bytes()[:-30])
    for words in (("pack", cut), ("show", cut), ("show", cut, "--plan"), ("predict", cut, trained.images)):
        assert "damaged, or no packed bundle" in command(*words)
