"""A budget of time: the choice ends in it, a larger one never gives less, and one that is too small is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hounsfield.core.plan import Plan
from hounsfield.errors import PlanError, UsageError
from hounsfield.plan import Budget, Fingerprint, make, plan_from, seconds_of_text
from hounsfield.plan.budget import RESERVE
from hounsfield.plan.cost import ALL_EPOCHS, closing_seconds, seconds_of
from hounsfield.plan.ladder import LADDER
from tests.plan.conftest import PACE

Make = Callable[..., Fingerprint]
PARTS = {"train": 400, "validation": 80, "calibration": 60, "test": 150}
SECONDS = (20, 40, 80, 120, 240, 500, 1000, 2000, 5000, 20_000, 1_000_000)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose time grows with the pixels, and falls where all is frozen."""

    def measure(plan: Plan, found: Fingerprint, device: str) -> Any:
        share = plan.size.value[0] * plan.size.value[1] * plan.slices.value / 224**2
        tail = 0.02 if plan.frozen.value == "all" else 1.0
        return replace(PACE, front=PACE.front * share, step=PACE.step * share * tail, tail=PACE.tail * share * tail)

    monkeypatch.setattr(make, "measure", measure)


def _planned(found: Fingerprint, seconds: float, started: float | None = None, **decisions: Any) -> Plan:
    return plan_from(found, "cohort", decisions=decisions, budget=Budget(seconds, started))


def _all_of_it(plan: Plan, found: Fingerprint) -> float:
    pace = make.measure(plan, found, "cpu")
    return sum(seconds_of(plan, found, pace, epochs_run=ALL_EPOCHS).values())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h", 3600), ("1.5h", 5400), ("10", 600), (2, 120), (" 5 min", 300)],
)
def test_times(text: str | float, seconds: float) -> None:
    assert seconds_of_text(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "0s", "-5m", "10d", "5m3s", "1:30", "nan"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="no time"):
        seconds_of_text(text)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("frames", [1, 40])
def test_the_choice_ends_in_time_and_a_larger_budget_never_gives_less(found: Make, frames: int) -> None:
    known = found(cases=400, parts=PARTS, frames=frames, most_frames=frames)
    names, chosen = [rung.name for rung in LADDER], []
    for seconds in SECONDS:
        try:
            plan = _planned(known, seconds)
        except PlanError:
            chosen.append(-1)
            continue
        assert _all_of_it(plan, known) <= seconds * (1 - RESERVE) + 1, seconds
        assert plan.cost.value.minutes * 60 <= seconds
        assert plan.limits.value.minutes is not None and 0 < plan.limits.value.minutes * 60 < seconds
        chosen.append(next(place for place, name in enumerate(names) if f"; {name}: about" in plan.limits.reason))
    assert chosen == sorted(chosen)
    assert len(set(chosen)) > 4, "the ladder has rungs that are used"
    assert chosen[-1] == len(LADDER) - 1, "with enough time the best"


@pytest.mark.usefixtures("machine")
def test_the_rungs_go_from_less_to_more(found: Make) -> None:
    known = found(cases=400, parts=PARTS)
    usual = plan_from(known, "cohort")
    small, large = _planned(known, 60), _planned(known, 100_000)
    assert small.frozen.value == "all" or small.epochs.value < usual.epochs.value
    assert small.members.value == 1 and small.cached_views.value < usual.cached_views.value
    assert large.members.value > usual.members.value and large.size.value > usual.size.value
    assert large.cached_views.value > usual.cached_views.value
    for plan in (small, large):
        changed = [name for name in usual.decisions if plan.decisions[name].value != usual.decisions[name].value]
        for name in changed:
            assert name in ("cost", "limits") or "left of" in plan.decisions[name].reason, name


@pytest.mark.usefixtures("machine")
def test_a_budget_that_is_too_small_is_refused_and_says_what_would_do(found: Make) -> None:
    known = found(cases=400, parts=PARTS)
    with pytest.raises(PlanError, match=r"a budget of 3 s is too small.*cheapest plan takes about \d") as caught:
        _planned(known, 3)
    enough = str(caught.value.fix).split("--budget ")[1].split(" ")[0]
    assert _planned(known, seconds_of_text(enough)).members.value == 1


@pytest.mark.usefixtures("machine")
def test_a_whole_run_has_less_for_training(found: Make) -> None:
    known = found(cases=400, parts=PARTS)
    alone, whole = _planned(known, 600), _planned(known, 600, started=time.monotonic() - 200)
    assert whole.limits.value.minutes is not None and alone.limits.value.minutes is not None
    closing = closing_seconds(whole, known, make.measure(whole, known, "cpu"))
    assert whole.limits.value.minutes * 60 < 600 * (1 - RESERVE) - 200 - closing
    assert _all_of_it(whole, known) + closing <= 600 * (1 - RESERVE) - 199
    with pytest.raises(PlanError, match="too small"):
        _planned(known, 600, started=time.monotonic() - 590)


@pytest.mark.usefixtures("machine")
def test_what_was_asked_for_and_the_folds_stay(found: Make) -> None:
    known = found(cases=400, parts={"train": 600}, folds=5)
    for seconds in (150, 100_000):
        plan = _planned(known, seconds, epochs=7, size=[64, 64], limits={"memory": 100})
        assert (plan.epochs.value, plan.size.value, plan.members.value) == (7, (64, 64), 5)
        assert plan.epochs.reason == "asked for"
        assert plan.limits.value.memory == 100 and plan.limits.value.minutes


@pytest.mark.usefixtures("machine")
def test_the_limits_hold_on_every_rung(found: Make) -> None:
    known = found(cases=400, parts=PARTS)
    generous = _planned(known, 100_000)
    tight = _planned(known, 100_000, limits={"disk": 0.3})
    assert generous.cost.value.disk > 0.3 >= tight.cost.value.disk
    with pytest.raises(PlanError, match="the limit is"):
        _planned(known, 100_000, limits={"memory": 0.1})
