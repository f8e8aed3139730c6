"""Cheap trials: they read training cases alone, give the same each time, and leave alone what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image as Picture

from hounsfield.cohort import Labelling, Looking, Splitting, Stated, scan
from hounsfield.core.plan import Decision, Plan
from hounsfield.plan import fingerprint, frozen_features, make_plan, trials
from hounsfield.plan.asked import Wishes
from hounsfield.plan.decide import decide
from hounsfield.plan.inner import Inner, folds_of, linear, sample, strata
from hounsfield.plan.trials import Trials, run_trials

UNSEEN = Looking(pixels=False)
PARTS = ("train", "validation", "calibration", "test")


def _pictures(folder: Path, *, leak: bool = False) -> Any:
    """Noise with a faint disc in half of the training images; with `leak`, a white square tells the label elsewhere."""
    rows = []
    for number in range(72):
        part, sick = PARTS[0 if number < 48 else 1 + number % 3], number % 2
        rng = np.random.default_rng(number)
        pixels = rng.normal(90, 25, (48, 48))
        row, column = rng.integers(12, 36, 2)
        disc = (np.arange(48)[:, None] - row) ** 2 + (np.arange(48)[None, :] - column) ** 2 < 60
        pixels[disc] += 15 * sick
        if leak and part != "train":
            pixels[:16, :16] = 255 * sick
        Picture.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"p{number}.png")
        rows.append((f"p{number}", ("no", "yes")[sick], part))
    pl.DataFrame(rows, schema=["case", "label", "part"], orient="row").write_csv(folder / "labels.csv")
    labelling = Labelling(table=folder / "labels.csv", key="case", label=("label",))
    return scan(
        folder, labelling, looking=UNSEEN, stated=Stated(modality="OT"), splitting=Splitting("column=part"), workers=0
    )


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _pictures(tmp_path_factory.mktemp("plain"))


@pytest.fixture(autouse=True, scope="module")
def two_sides() -> Iterator[None]:
    """Two resolutions beside the usual one, so that a test takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "SIDES", (64, 96))
        yield


@pytest.fixture(scope="module")
def tried(cohort: Any, two_sides: None) -> Trials:
    return _run(cohort)


def _run(cohort: Any, **asked: Any) -> Trials:
    wishes = Wishes.read({"weights": "packaged", **asked})
    usual = decide(fingerprint(cohort, workers=0), cohort.digest, wishes, device="cpu")
    return run_trials(cohort, usual, asked_for=set(wishes.decisions), workers=0, device="cpu")


def _values(found: Trials) -> dict[str, Any]:
    return {name: (decision.value, decision.reason) for name, decision in found.decisions.items()}


def test_each_decision_tells_the_areas(tried: Trials) -> None:
    found = tried
    assert set(found.decisions) == {"size", "frozen", "weight_decay", "dropout"}
    size = found.decisions["size"]
    assert size.value[0] in (64, 96, 128)
    assert "inner cross-validation of 5 folds on 48 training cases" in size.reason
    assert all(f"{side} → " in size.reason for side in (64, 96, 128))
    assert found.decisions["frozen"].value in {f"through stage {number}" for number in range(4, 8)}
    assert "MLP" in found.decisions["frozen"].reason
    assert size.reason in found.sentence


def test_it_is_the_same_each_time_and_reads_no_case_of_another_part(
    cohort: Any, tried: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: set[str] = set()
    real = frozen_features.case_array

    def noted(files: Any, preparation: Any) -> Any:
        read.add(files.case)
        return real(files, preparation)

    monkeypatch.setattr(frozen_features, "case_array", noted)
    assert _values(_run(cohort)) == _values(tried)
    assert read == set(cohort.part("train")["case"])


def test_what_leaks_elsewhere_changes_nothing(cohort: Any, tried: Trials, tmp_path: Path) -> None:
    leaking = _pictures(tmp_path, leak=True)
    assert leaking.parts == cohort.parts
    assert _values(_run(leaking)) == _values(tried)


def test_what_was_asked_for_is_not_tried(cohort: Any) -> None:
    found = _run(cohort, size=[64, 64], dropout=0.5)
    assert set(found.decisions) == {"frozen", "weight_decay"}
    nothing = _run(cohort, size=[64, 64], dropout=0.5, frozen="through stage 3", weight_decay=0.01)
    assert nothing.decisions == {} and "asked for" in nothing.sentence


@pytest.mark.usefixtures("unmeasured")
def test_the_plan_takes_what_was_tried(cohort: Any) -> None:
    told: list[str] = []
    plan = make_plan(cohort, workers=0, device="cpu", trials=True, decisions={"epochs": 3}, say=told.append)
    assert "inner cross-validation" in plan.size.reason and "inner cross-validation" in plan.weight_decay.reason
    assert plan.epochs.reason == "asked for"
    assert len(told) == 1 and told[0].startswith("trials on frozen features")


def test_where_nothing_can_be_tried_it_says_why(cohort: Any) -> None:
    assert "pretrained weights" in _run(cohort, weights="none").sentence
    usual = decide(fingerprint(cohort, workers=0), cohort.digest, Wishes(), device="cpu")
    volume = usual.model_copy(update={"dimension": Decision(value="3d")})
    assert "3D" in run_trials(cohort, volume, asked_for=(), workers=0).sentence


def test_with_folds_nothing_is_tried(tmp_path: Path) -> None:
    """Every case would help to choose what it later judges."""
    _pictures(tmp_path)
    labelling = Labelling(table=tmp_path / "labels.csv", key="case", label=("label",))
    folds = scan(
        tmp_path, labelling, looking=UNSEEN, stated=Stated(modality="OT"), splitting=Splitting(folds=3), workers=0
    )
    assert _run(folds).decisions == {} and "folds" in _run(folds).sentence


def test_a_better_candidate_wins_and_the_cheaper_one_where_they_are_alike() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 200).astype(float)
    inner = Inner(truth[:, None], np.arange(200) % 5, several=False)
    good, poor = truth[:, None] + rng.normal(0, 0.4, (200, 6)), rng.normal(0, 1, (200, 6))
    areas = [inner.areas(features, linear(0.1)) for features in (poor, good, good)]
    tried = trials._Tried(dict(zip((64, 96, 128), areas, strict=True)), 128)
    assert tried.as_good == [96, 128], "96 is the cheapest of those that are as good as the best; 64 is not one"
    assert tried.mean(96) > 0.9 > 0.65 > tried.mean(64)


def test_several_findings_are_judged_where_they_are_known() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, (120, 2)).astype(float)
    features = truth + rng.normal(0, 0.3, (120, 2))
    truth[:40, 1] = np.nan
    inner = Inner(truth, np.arange(120) % 4, several=True)
    assert inner.areas(features, linear(1.0)).min() > 0.9
    assert strata(np.array([[1, 0], [1, 1], [0, 0], [1, np.nan]]), several=True).tolist() == [1, 2, 0, 1]


def test_folds_and_samples_never_part_a_group() -> None:
    rng = np.random.default_rng(2)
    groups = [f"g{number // 3}" for number in range(900)]
    classes = np.repeat(rng.integers(0, 2, 300), 3)
    rows = sample(classes, groups, 400, seed=0)
    assert 380 <= len(rows) <= 400
    assert abs(classes[rows].mean() - classes.mean()) < 0.02
    chosen = [groups[row] for row in rows]
    assert all(chosen.count(group) == 3 for group in set(chosen))
    folds = folds_of(classes[rows], chosen, seed=0)
    assert folds is not None and set(folds) == set(range(5))
    places: dict[str, set[int]] = {}
    for group, fold in zip(chosen, folds, strict=True):
        places.setdefault(group, set()).add(int(fold))
    assert all(len(found) == 1 for found in places.values())
    assert folds_of(np.array([0, 0, 0, 1]), ["a", "b", "c", "d"], seed=0) is None, "one patient of a class is too few"


def test_plans_are_still_plans(cohort: Any, tried: Trials) -> None:
    found = fingerprint(cohort, workers=0)
    plan = decide(found, cohort.digest, Wishes(), device="cpu", suggested=tried.decisions)
    assert Plan.from_content(plan.model_dump(mode="json")) == plan
