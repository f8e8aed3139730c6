"""Windows by name: in a plan they become numbers, and the reason keeps the name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hounsfield.core import Plan, files
from hounsfield.core.windows import WINDOWS, by_name
from hounsfield.errors import PlanError


@pytest.mark.parametrize(
    ("written", "pairs", "told"),
    [
        ("lung", [(-600, 1500)], ["lung (-600, 1500)"]),
        (["brain", "bone"], [(40, 80), (400, 1800)], ["brain (40, 80)", "bone (400, 1800)"]),
        ("brain, bone", [(40, 80), (400, 1800)], ["brain (40, 80)", "bone (400, 1800)"]),
        ([[40, 400], "bone"], [[40, 400], (400, 1800)], ["bone (400, 1800)"]),
        ("Pulmonary_Embolism", [(100, 700)], ["pulmonary embolism (100, 700)"]),
        ("soft-tissue", [(50, 350)], ["soft tissue (50, 350)"]),
        (["fitted", "lung"], [(5, 6), (-600, 1500)], ["fitted (5, 6)", "lung (-600, 1500)"]),
        ([[1, 2]], [[1, 2]], []), ([], [], []), (7, 7, []), (None, None, []),
    ],
)  # fmt: skip
def test_names_become_numbers(written: Any, pairs: Any, told: list[str]) -> None:
    assert by_name(written, fitted=(5, 6)) == (pairs, told)


def test_unknown_names_are_answered_with_the_known() -> None:
    with pytest.raises(ValueError, match="lugn") as caught:
        by_name("lugn")
    assert all(name in str(caught.value) for name in (*WINDOWS, "fitted"))
    with pytest.raises(ValueError, match="when a plan is made"):
        by_name("fitted")


def test_widths_are_positive_and_names_can_be_written_on_a_command_line() -> None:
    for name, (_, width) in WINDOWS.items():
        assert width > 0
        assert by_name(name)[0] == [WINDOWS[name]]
        assert by_name(name.upper().replace(" ", "-"))[0] == [WINDOWS[name]]


def test_an_edited_plan_may_name_windows(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    content = plan.model_dump(mode="json")
    content["windows"] = {"value": ["brain", [40, 400], "bone"], "reason": "CT of the chest"}
    files.write_yaml(path, content)
    edited = Plan.load(path)
    assert edited.windows.value == [(40, 80), (40, 400), (400, 1800)]
    assert edited.windows.reason == "asked for: brain (40, 80), bone (400, 1800)"
    edited.save(path)
    assert Plan.load(path) == edited
    assert plan.changed(windows=["brain", [40, 400], "bone"]).digest == edited.digest
    assert plan.changed(windows=[[40, 80], [40, 400], [400, 1800]]).digest == edited.digest
    for wrong, words in ((["brian"], "brian"), ("fitted", "when a plan is made"), (["bone", [1]], "windows")):
        content["windows"]["value"] = wrong
        files.write_yaml(path, content)
        with pytest.raises(PlanError, match=words) as caught:
            Plan.load(path)
        assert caught.value.what.startswith("windows")


def test_what_is_removed(plan: Plan, tmp_path: Path) -> None:
    assert plan.clean.value == []
    asked = plan.changed(clean="text, border")
    assert asked.clean.value == ["border", "text"]
    assert asked.digest != plan.digest
    assert asked.digest == plan.changed(clean=["border", "text", "border"]).digest
    asked.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == asked
    with pytest.raises(PlanError, match="clean") as caught:
        plan.changed(clean=["line"])
    assert "'marker'" in caught.value.what
    before = plan.model_dump(mode="json")
    del before["clean"]
    assert Plan.from_content(before).digest == plan.digest, "a plan of before this decision removed nothing"
