"""Plan → YAML → Plan is identical, its digest follows the values, and what is not allowed is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hounsfield.core import Plan, files
from hounsfield.core.plan import Decision, Limits, Region, Weights
from hounsfield.errors import PlanError


def test_comes_back_from_yaml(plan: Plan, tmp_path: Path) -> None:
    plan.save(tmp_path / "plan.yaml")
    again = Plan.load(tmp_path / "plan.yaml")
    assert again == plan
    assert again.digest == plan.digest
    assert again.decisions == plan.decisions
    assert (tmp_path / "plan.yaml").read_text().startswith("# A Hounsfield plan")


@pytest.mark.parametrize(
    "labels", [["no", "yes"], ["0", "1"], ["off", "on"], ["null", "~"], ["1e5", "0x1F"], ["a: b", "# c"], ["é", "ß\n"]]
)
def test_labels_stay_text_in_yaml(plan: Plan, tmp_path: Path, labels: list[str]) -> None:
    named = plan.from_content({
        **plan.model_dump(mode="json"), "labels": {"value": labels}, "positive": {"value": labels[1]},
    })  # fmt: skip
    named.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == named


def test_reasons_and_cost_do_not_change_the_digest(plan: Plan) -> None:
    content = plan.model_dump(mode="json")
    for name in plan.decisions:
        content[name]["reason"] = "another"
    content["cost"]["value"]["minutes"] = 99.0
    assert Plan.from_content(content).digest == plan.digest


OTHER: dict[str, Any] = {
    "task": "multiclass", "labels": ["no", "yes", "maybe"], "positive": "no", "unit": "RGB", "conditioning": "range",
    "windows": [[40, 399]], "slices": 3, "size": [64, 96], "channels": 1,
    "normalisation": {"mean": [0.1], "std": [0.2]}, "augmentation": {"rotate": 11}, "backbone": "resnet18",
    "weights": Weights(source="packaged"), "frozen": "all", "cached_views": 99, "members": 2, "dropout": 0.3,
    "loss": {"name": "focal"}, "batch": 77, "epochs": 7, "patience": 2, "learning_rate": 0.5, "backbone_rate": 0.33,
    "batch_norm": "?", "weight_decay": 0.01, "operating_point": "sensitivity>=0.95", "seed": 5,
}  # fmt: skip


def test_every_value_changes_the_digest(plan: Plan) -> None:
    for name, decision in plan.decisions.items():
        if name == "cost":
            continue
        other = Decision[Any](value=OTHER.get(name, "something else"), reason=decision.reason)
        assert other.value != decision.value, name
        changed = plan.model_copy(update={name: other})  # not checked: some values do not fit the others
        assert changed.digest != plan.digest, name
    assert plan.model_copy(update={"cohort": "another"}).digest != plan.digest


def test_changed_keeps_the_rest(plan: Plan) -> None:
    other = plan.changed(epochs=3, size=[64, 96])
    assert (other.epochs.value, other.size.value, other.epochs.reason) == (3, (64, 96), "asked for")
    assert other.changed(epochs=plan.epochs.value, size=list(plan.size.value)).digest == plan.digest
    with pytest.raises(PlanError, match="eposhs") as caught:
        plan.changed(eposhs=3)
    assert "epochs" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slices", 0), ("channels", 0), ("members", 0), ("batch", 0), ("epochs", 0), ("patience", 0),
        ("epochs", "many"),
        ("epochs", 2.5), ("cached_views", -1), ("dropout", 1.0), ("dropout", -0.1), ("learning_rate", 0),
        ("learning_rate", float("nan")), ("weight_decay", -1e-9), ("size", [31, 64]), ("size", [64, 2049]),
        ("size", 64),
        ("size", [64]), ("labels", ["a"]), ("labels", ["a", "a"]), ("labels", ["a", "b", "c"]), ("positive", "no"),
        ("task", "multiclass"), ("task", "regression"), ("unit", "hu"), ("windows", [[40]]), ("windows", []),
        ("windows", [[40, 0]]), ("windows", [[40, -400]]), ("normalisation", {"mean": [0, 0, 0], "std": [0, 0, 0]}),
        ("normalisation", {"mean": [0, 0, 0]}), ("normalisation", {"mean": [0.5], "std": [0.5, 0.5]}),
        ("augmentation", {"rotate": 181}), ("augmentation", {"zoom": 2}), ("weights", {"source": "file"}),
        ("weights", {"source": "packaged", "path": "x"}), ("weights", "packaged"), ("loss", {"name": "hinge"}),
        ("loss", {"gamma": -1}),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_named(plan: Plan, name: str, value: object) -> None:
    with pytest.raises(PlanError) as caught:
        plan.changed(**{name: value})
    assert name in caught.value.what
    assert caught.value.fix


def test_files_that_are_no_plans(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    for text in ("", "[]", "epochs: 3", "epochs: [", "just words"):
        path.write_text(text)
        with pytest.raises(PlanError) as caught:
            Plan.load(path)
        assert caught.value.where == str(path)
    with pytest.raises(PlanError, match="missing"):
        Plan.load(tmp_path / "none.yaml")
    content = plan.model_dump(mode="json")
    for change in ({"epochz": {"value": 1}}, {"schema_version": 2}, {"epochs": {"value": 1, "why": ""}}):
        files.write_yaml(path, {**content, **change})
        with pytest.raises(PlanError, match=next(iter(change))):
            Plan.load(path)
    del content["seed"]
    files.write_yaml(path, content)
    with pytest.raises(PlanError, match="seed"):
        Plan.load(path)


def test_outputs(plan: Plan) -> None:
    assert plan.outputs == ["yes"]
    many = plan.from_content({
        **plan.model_dump(mode="json"), "task": {"value": "multiclass"}, "labels": {"value": ["a", "b", "c"]},
        "positive": {"value": None},
    })  # fmt: skip
    assert many.outputs == ["a", "b", "c"]


def test_limits_and_regions_read_as_words() -> None:
    assert str(Limits()) == "none"
    assert str(Limits(memory=8, minutes=4.5)) == "8 GiB of memory, 4.5 min of training"
    assert str(Region()) == "none"
    assert str(Region(kind="body", margin=5)) == "body, 5 mm around it"
    assert str(Region(kind="centre", size=(40, 50, 50))) == "centre, 40×50×50 mm"


@pytest.mark.parametrize(
    "content",
    [{"kind": "centre"}, {"kind": "body", "size": (1, 2, 3)}, {"kind": "centre", "size": (1, 0, 3)}, {"margin": -1}],
)
def test_impossible_regions(content: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"size|greater"):
        Region.model_validate(content)
