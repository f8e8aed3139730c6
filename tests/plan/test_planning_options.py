"""What the command line makes of the options of a plan."""

from __future__ import annotations

from typing import Any

import pytest

from hounsfield.cli import options
from hounsfield.errors import PlanError, UsageError
from hounsfield.pipeline.stages import PlanOptions
from hounsfield.plan.asked import Wishes


def _planning(**given: Any) -> PlanOptions:
    usual = {
        "side_free": False, "loss": "cross-entropy", "backbone": None, "weights": None, "pairs": None, "budget": None,
        "memory": None, "disk": None, "trials": False,
    }  # fmt: skip
    return options.planning(**{**usual, **given})


def test_options_become_decisions_and_a_budget() -> None:
    assert _planning() == PlanOptions()
    found = _planning(budget="10m", memory=8.0, disk=20.0, trials=True, pairs=["epochs=3"])
    assert found.budget == 600 and found.trials
    assert found.decisions == {"epochs": 3, "limits": {"memory": 8.0, "disk": 20.0}}
    assert _planning(disk=20.0).decisions == {"limits": {"disk": 20.0}}


def test_each_option_makes_another_plan() -> None:
    digests = {
        _planning(**given).digest
        for given in ({}, {"budget": "10m"}, {"budget": "11m"}, {"memory": 8.0}, {"disk": 8.0}, {"trials": True})
    }
    assert len(digests) == 6, "a run with another of them must plan again"


def test_what_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="soon"):
        _planning(budget="soon")
    with pytest.raises(UsageError, match="limits"):
        _planning(memory=8.0, pairs=["limits={disk: 3}"])


def test_wishes_name_what_is_unknown() -> None:
    with pytest.raises(PlanError, match="no decision named epocs"):
        Wishes.read({"epocs": 3})
    assert Wishes.read({"limits": {"memory": 3}}).limits.memory == 3
    assert Wishes.read({}).limits.memory is None
