"""A whole plan: every decision has a reason, what was asked for is kept, what is impossible is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from hounsfield.cohort import Looking, Splitting, Stated, scan
from hounsfield.core import Plan
from hounsfield.errors import PlanError, ReadError, WeightsError
from hounsfield.plan import Fingerprint, check_plan, fingerprint, make_plan, plan_from
from hounsfield.prepare import Preparation, case_array, case_files, recipe_of, stored_channels

Make = Callable[..., Fingerprint]


@pytest.mark.usefixtures("unmeasured")
def test_every_decision_has_a_reason(found: Make) -> None:
    for known in ({}, {"labels": ["a", "b", "c"], "positive": None, "counts": {"a": 1, "b": 2, "c": 3}}, {"folds": 5}):
        plan = plan_from(found(**known), "cohort")
        assert plan.cohort == "cohort"
        assert [name for name, decision in plan.decisions.items() if not decision.reason.strip()] == []
        assert plan.from_content(plan.model_dump(mode="json")) == plan


@pytest.mark.usefixtures("unmeasured")
def test_the_plan_follows_from_the_fingerprint(found: Make) -> None:
    plan = plan_from(found(frames=40), "cohort")
    assert (plan.task.value, plan.positive.value, plan.outputs) == ("binary", "yes", ["yes"])
    assert (plan.dimension.value, plan.slices.value, plan.size.value) == ("2.5d", 16, (224, 224))
    assert (plan.members.value, plan.pooling.value, plan.adjacent.value) == (3, "mean", 0)
    assert plan.weights.value.source == "packaged"
    recipe = recipe_of(plan)
    assert [step.kind for step in recipe.steps] == ["window", "resize", "pad", "repeat", "normalise"]
    assert (recipe.size, stored_channels(plan)) == ((224, 224), 3)
    colour = plan_from(found(unit="RGB"), "cohort")
    assert (colour.conditioning.value, len(colour.windows.value), stored_channels(colour)) == ("colour", 1, 3)
    assert colour.dimension.value == "2d"
    grey = plan_from(found(unit="arbitrary", modality="MR"), "cohort")
    assert (grey.conditioning.value, stored_channels(grey)) == ("percentiles", 1)


@pytest.mark.usefixtures("unmeasured")
def test_what_was_asked_for_is_kept_and_the_rest_follows(found: Make) -> None:
    asked = {"conditioning": "voi", "backbone": "resnet18", "epochs": 3}
    plan = plan_from(found(unit="arbitrary", modality="NM"), "cohort", decisions={**asked, "weights": "none"})
    for name, value in asked.items():
        assert (plan.decisions[name].value, plan.decisions[name].reason) == (value, "asked for")
    assert plan.frozen.value == "none", "no weights, so nothing is worth freezing"
    assert plan.cached_views.value == 0
    assert plan.windows.value == [(0.5, 1.0)]
    assert plan.normalisation.value["mean"] == pytest.approx([0.485, 0.456, 0.406])
    other = plan_from(found(), "cohort", decisions={"windows": [[0, 100]]})
    assert recipe_of(other).steps[0].windows == ((0, 100),)
    for focal in (
        plan_from(found(), "cohort", loss="focal", side_free=True),
        plan_from(found(), "cohort", side_free=True, decisions={"loss": "focal"}),
    ):
        assert (focal.loss.value.name, focal.augmentation.value.flip_horizontal) == ("focal", True)
        assert focal.loss.value.class_weights == plan.loss.value.class_weights


@pytest.mark.usefixtures("unmeasured")
def test_windows_by_name(found: Make) -> None:
    plan = plan_from(found(), "cohort", decisions={"windows": "lung,mediastinum,bone", "clean": "text"})
    assert plan.windows.value == plan_from(found(), "cohort").windows.value
    assert plan.windows.reason == "asked for: lung (-600, 1500), mediastinum (40, 400), bone (400, 1800)"
    assert (plan.clean.value, plan.clean.reason) == (["text"], "asked for")
    assert plan.from_content(plan.model_dump(mode="json")) == plan
    fitted = plan_from(found(), "cohort", decisions={"windows": "fitted"})
    assert recipe_of(fitted).steps[0].windows == ((95, 430),)
    check_plan(fitted)


@pytest.mark.usefixtures("unmeasured")
def test_what_the_rule_gives_and_what_the_windows_take_fit_each_other(found: Make) -> None:
    mr = plan_from(found(unit="arbitrary", modality="MR"), "cohort")
    wrong: tuple[dict[str, Any], ...] = (
        {"windows": ["bone"]}, {"windows": [[40, 400]]}, {"conditioning": "hounsfield"},
        {"unit": "HU", "conditioning": "range"},
    )  # fmt: skip
    for changes in wrong:
        with pytest.raises(PlanError):
            check_plan(mr.changed(**changes))
    check_plan(mr.changed(conditioning="zscore", windows=[[0.4, 0.6]]))
    check_plan(plan_from(found(), "cohort", decisions={"conditioning": "percentiles"}))
    with pytest.raises(PlanError, match="conditioning"):
        check_plan(plan_from(found(), "cohort").changed(conditioning="ultrasound"))


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("frames", [1, 8])
def test_without_weights_nothing_is_frozen_and_every_layer_learns_alike(
    found: Make, frames: int, tmp_path: Path
) -> None:
    weights = tmp_path / "a-file.pth"
    weights.touch()  # the planner asks whether the file is there; what it holds is read in training
    plan = plan_from(found(frames=frames), "cohort", decisions={"backbone": "resnet18", "weights": "none"})
    assert (plan.frozen.value, plan.backbone_rate.value, plan.batch_norm.value) == ("none", 1, "trained")
    for backbone in ("resnet18", "densenet121", "tf_efficientnet_lite0"):
        plan = plan_from(found(frames=frames), "cohort", decisions={"backbone": backbone, "weights": str(weights)})
        assert plan.frozen.value.startswith("through stage ")
        assert plan.backbone_rate.value < 1
    vit = plan_from(
        found(frames=frames), "cohort", decisions={"backbone": "vit_tiny_patch16_224", "weights": str(weights)}
    )
    assert vit.frozen.value == "all"


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"epocs": 3}, "epocs"), ({"cost": {"minutes": 1}}, "cost"), ({"cohort": "x"}, "cohort"),
        ({"schema_version": 2}, "schema_version"),
        ({"epochs": "many"}, "epochs"), ({"size": [16, 16]}, "size"), ({"windows": [[0, 1], [0, 2]]}, "windows"),
        ({"windows": [[0, 0]]}, "windows"), ({"windows": "lugn"}, "lugn"), ({"windows": "lung,bone"}, "windows"),
        ({"windows": None}, "windows"), ({"windows": [40, 400]}, "windows"), ({"clean": "lines"}, "clean"),
        ({"conditioning": "voi"}, "conditioning"), ({"unit": "arbitrary", "conditioning": "hounsfield"}, "arbitrary"),
        ({"channels": 1}, "channels"),
        ({"conditioning": "nonsense"}, "conditioning"), ({"operating_point": "sensitivity>=95%"}, "operating_point"),
        ({"slices": None}, "slices"),
        ({"slices": "four"}, "slices"), ({"weights": None}, "weights"),
        ({"weights": {"path": "x"}}, "weights"), ({"backbone": 3}, "backbone"), ({"loss": "hinge"}, "loss"),
        ({"loss": {"name": "hinge"}}, "loss"), ({"normalisation": 3}, "normalisation"),
    ],
)  # fmt: skip
def test_what_is_impossible_is_named_before_anything_is_done(found: Make, chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from(found(), "cohort", decisions=chosen)
    assert words in caught.value.what


@pytest.mark.parametrize("frozen", ["everything", "through stage 99", "stage 2", "NONE"])
def test_where_it_cannot_be_cut_is_said_before_it_is_saved(found: Make, frozen: str) -> None:
    with pytest.raises(PlanError, match="frozen") as caught:
        plan_from(found(), "cohort", decisions={"frozen": frozen, "size": [32, 32]})
    assert "through stage" in str(caught.value.fix)


@pytest.mark.usefixtures("unmeasured")
def test_classes_are_balanced_by_the_sampler_or_by_the_loss(found: Make) -> None:
    plan = plan_from(found(), "cohort", decisions={"sampler": "balanced"})
    assert plan.loss.value.class_weights == {}
    check_plan(plan)
    with pytest.raises(PlanError, match="twice"):
        check_plan(plan_from(found(), "cohort").changed(sampler="balanced"))
    several = found(multi_label=True, positive=None, known={"no": 100, "yes": 100})
    with pytest.raises(PlanError, match="several labels"):
        plan_from(several, "cohort", decisions={"sampler": "balanced"})


@pytest.mark.usefixtures("unmeasured")
def test_a_backbone_of_one_kind_decides_the_dimension(found: Make) -> None:
    small = found(frames=28, most_frames=28, height=28, width=28, unit="arbitrary", modality="MR")
    assert plan_from(small, "cohort").dimension.value == "3d"
    assert plan_from(small, "cohort", decisions={"backbone": "tf_efficientnet_lite0"}).dimension.value == "2.5d"
    large = found(frames=40, most_frames=40)
    volume = plan_from(large, "cohort", decisions={"backbone": "resnet10"})
    assert (volume.dimension.value, volume.weights.value.source, volume.channels.value) == ("3d", "none", 3)
    assert volume.accumulate.value * volume.batch.value <= 32


@pytest.mark.usefixtures("unmeasured")
def test_unknown_decisions_are_answered_with_the_known(found: Make) -> None:
    with pytest.raises(PlanError, match="epocs") as caught:
        plan_from(found(), "cohort", decisions={"epocs": 3})
    assert "epochs" in str(caught.value.fix)


@pytest.mark.usefixtures("unmeasured")
def test_unknown_backbone(found: Make) -> None:
    with pytest.raises(WeightsError, match="resnett50"):
        plan_from(found(), "cohort", decisions={"backbone": "resnett50"})


UNSEEN = Looking(pixels=False)  # blocks of noise in air look alike, and would count as near duplicates


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("images")
    for number in range(24):
        place = folder / ("normal", "abnormal")[number % 2]
        place.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (40, 30), dtype=np.uint8)
        Picture.fromarray(pixels).save(place / f"{number}.png")
    return scan(folder, splitting=Splitting(folds=3), workers=0)


def test_fingerprint(cohort: Any) -> None:
    found = fingerprint(cohort, workers=0)
    assert (found.unit, found.modality, found.is_picture, found.kind) == ("arbitrary", None, True, "raster")
    assert not found.looks_hounsfield
    assert (found.cases, found.patients, found.counts) == (24, 24, {"normal": 12, "abnormal": 12})
    assert (found.labels, found.positive, found.folds) == (["normal", "abnormal"], "abnormal", 3)
    assert (found.frames, found.height, found.width, found.frames_to_read) == (1, 40, 30, 24)
    assert 0 <= found.low < 10
    assert 245 < found.high <= 255
    assert found.seconds_per_frame > 0


def test_a_plan_of_a_cohort_tells_its_cost(cohort: Any, tmp_path: Path) -> None:
    plan = make_plan(cohort, workers=0, device="cpu", decisions={"size": [32, 32], "batch": 4})
    assert plan.cohort == cohort.digest
    assert plan.cost.value.minutes > 0
    assert plan.cost.value.memory > 0
    assert plan.cost.value.disk >= 0
    measured = plan.cost.value.measured
    assert all(value > 0 for name, value in measured.items() if name.endswith("per_second"))
    assert plan.cost.value.minutes == pytest.approx(
        sum(value for name, value in measured.items() if name.endswith("_seconds")) / 60, abs=0.02
    )
    assert "measured on this machine (cpu)" in plan.cost.reason
    assert all(decision.reason for decision in plan.decisions.values())
    plan.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == plan


def test_files_that_cannot_be_read(cohort: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    gone = replace(cohort, root=tmp_path)
    with pytest.raises(PlanError, match="none of 24 sampled training files can be read"):
        fingerprint(gone, workers=0)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NIfTI volumes of air and tissue in HU, in class-named folders."""
    import nibabel

    folder = tmp_path_factory.mktemp("volumes")
    for number in range(24):
        place = folder / ("normal", "abnormal")[number % 2]
        place.mkdir(exist_ok=True)
        values = np.full((12, 10, 4), -1000, dtype=np.int16)
        values[3:9, 3:7] = np.random.default_rng(number).integers(-50, 90, (6, 4, 4))
        nibabel.Nifti1Image(values, np.eye(4)).to_filename(place / f"{number}.nii")
    return folder


@pytest.mark.usefixtures("unmeasured")
def test_nifti_has_to_be_said_what_it_is(volumes: Path) -> None:
    silent = scan(volumes, looking=UNSEEN, workers=0)
    with pytest.raises(PlanError, match="no modality") as caught:
        make_plan(silent, workers=0, device="cpu")
    assert "--modality" in str(caught.value.fix)
    asked = make_plan(silent, workers=0, device="cpu", decisions={"conditioning": "zscore"})
    assert (asked.conditioning.value, asked.unit.value) == ("zscore", "arbitrary")
    said = scan(volumes, looking=UNSEEN, workers=0, stated=Stated(modality="CT"))
    found = fingerprint(said, workers=0)
    assert (found.modality, found.kind, found.is_picture, found.looks_hounsfield) == ("CT", "nifti", False, True)
    assert -60 <= found.low < found.high <= 90, "air is left out of what a fitted window spans"
    plan = make_plan(said, workers=0, device="cpu")
    assert (plan.conditioning.value, plan.unit.value) == ("hounsfield", "HU")
    assert "fitted" in plan.windows.reason
    check_plan(plan)
    as_mr = make_plan(scan(volumes, looking=UNSEEN, workers=0, stated=Stated(modality="MR")), workers=0, device="cpu")
    assert (as_mr.conditioning.value, as_mr.unit.value) == ("percentiles", "arbitrary")


@pytest.mark.usefixtures("unmeasured")
def test_a_plan_of_hu_refuses_nifti_that_holds_none(volumes: Path, tmp_path: Path) -> None:
    import nibabel

    said = scan(volumes, looking=UNSEEN, workers=0, stated=Stated(modality="CT"))
    plan = make_plan(said, workers=0, device="cpu", decisions={"size": [32, 32]})
    preparation = Preparation(plan.conditioning.value, plan.slices.value, recipe_of(plan))
    (good,) = said.locate(said.table["files"][0].to_list())
    assert case_array(case_files([good], [4], "case"), preparation).shape == (plan.slices.value, 1, 32, 32)
    nibabel.Nifti1Image(np.ones((12, 10, 4), dtype=np.int16), np.eye(4)).to_filename(tmp_path / "mr.nii")
    with pytest.raises(ReadError, match="Hounsfield"):
        case_array(case_files([(tmp_path / "mr.nii", None)], [4], "case"), preparation)
