"""Cost and room: what the estimate is made of, and a plan that is made smaller until it fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hounsfield.core.plan import Limits, Plan
from hounsfield.errors import PlanError
from hounsfield.plan import Fingerprint, plan_from
from hounsfield.plan.cost import ALL_EPOCHS, cases_of, cost_of, disk_of, memory_of, seconds_of
from hounsfield.plan.limits import room_of
from tests.plan.conftest import PACE

Make = Callable[..., Fingerprint]
PARTS = {"train": 100, "validation": 20, "calibration": 15, "test": 30}

pytestmark = pytest.mark.usefixtures("unmeasured")


def _plan(found: Fingerprint, **decisions: Any) -> Plan:
    return plan_from(found, "cohort", decisions={"weights": "packaged", **decisions})


def test_cases_go_where_the_split_says(found: Make) -> None:
    cases = cases_of(found(parts=PARTS))
    assert (cases.kept, cases.train, cases.validation, cases.calibration, cases.test) == (120, 100, 20, 15, 30)
    folds = cases_of(found(parts={"train": 100}, folds=10, repeats=2))
    assert folds.train + folds.validation == pytest.approx(80), "what is not the fold"
    assert (folds.kept, folds.calibration, folds.test) == (100, 100, 0)


def test_time_grows_with_what_is_asked_for(found: Make) -> None:
    known = found(parts=PARTS)
    plan = _plan(known)

    def seconds(**changes: Any) -> dict[str, float]:
        return seconds_of(plan.changed(**changes), known, PACE, workers=2)

    usual = seconds()
    assert seconds(epochs=40)["train"] > 1.8 * usual["train"]
    assert seconds(members=6)["train"] > 1.8 * usual["train"]
    assert seconds(members=6)["predict"] > usual["predict"]
    assert seconds(cached_views=32)["cache"] > usual["cache"]
    assert seconds(cached_views=0)["cache"] == 0 and seconds(cached_views=0)["train"] > usual["train"]
    assert seconds(flip_at_test=True)["predict"] > usual["predict"]
    assert seconds_of(plan, known, PACE, epochs_run=ALL_EPOCHS)["train"] > usual["train"]
    assert seconds(patience=6)["train"] < seconds(patience=15)["train"] < seconds(patience=19)["train"]
    whole = seconds_of(plan.changed(patience=20), known, PACE, workers=2, epochs_run=ALL_EPOCHS)
    assert seconds(patience=19) == seconds(patience=20) == whole  # nothing stops before patience has run out
    told = cost_of(plan, known, PACE, workers=2)
    assert told.value.measured["train_seconds"] == pytest.approx(usual["train"], abs=0.1)
    assert all(name in told.reason for name in usual)


@pytest.mark.parametrize("kind", ["2d", "2.5d", "3d"])
def test_every_dimension_has_a_cost(found: Make, kind: str) -> None:
    known = found(
        frames=1 if kind == "2d" else 40, most_frames=40, parts=PARTS, pixel_spacing=(0.8, 0.8), slice_spacing=3.0
    )
    plan = plan_from(known, "cohort", decisions={"dimension": kind, "weights": "none"} if kind == "3d" else {})
    assert plan.dimension.value == kind
    assert plan.cost.value.minutes > 0 and plan.cost.value.disk > 0
    assert plan.cost.value.memory > 1


def test_memory_counts_workers_batches_and_views(found: Make) -> None:
    known = found(parts=PARTS)
    plan = _plan(known, batch=8)
    usual = memory_of(plan, known, PACE, workers=2)
    assert memory_of(plan, known, PACE, workers=8) > usual + 1.5
    assert memory_of(plan.changed(batch=256), known, PACE, workers=2) > usual + 4
    assert memory_of(plan, known, replace(PACE, saved=1e9), workers=2) > usual + 6
    assert disk_of(plan.changed(cache_precision="single"), known, PACE) > disk_of(plan, known, PACE)


def test_disk_lowers_the_views_and_says_why(found: Make) -> None:
    known = found(parts=PARTS)
    usual = _plan(known)
    limit = usual.cost.value.disk - 0.05
    smaller = _plan(known, limits={"disk": limit})
    assert 1 <= smaller.cached_views.value < usual.cached_views.value
    assert smaller.cost.value.disk <= limit
    assert smaller.batch.value == usual.batch.value, "a smaller batch would not free the disk"
    assert usual.cached_views.reason in smaller.cached_views.reason
    assert f"{usual.cost.value.disk:.1f} GiB of disk" in smaller.cached_views.reason
    assert smaller.limits.value.disk == limit


def test_disk_does_without_the_cache_in_the_end(found: Make) -> None:
    known = found(parts=PARTS)
    bare = disk_of(_plan(known).changed(cached_views=0), known, PACE)
    assert _plan(known, limits={"disk": bare + 0.005}).cached_views.value == 0


def test_memory_halves_the_batch_and_keeps_the_step(found: Make) -> None:
    known = found(cases=1000, parts={"train": 1000})
    usual = _plan(known)
    limit = usual.cost.value.memory - 0.25
    smaller = _plan(known, limits={"memory": limit})
    assert smaller.batch.value < usual.batch.value
    assert smaller.batch.value * smaller.accumulate.value == usual.batch.value * usual.accumulate.value
    assert smaller.cost.value.memory <= limit
    assert "memory" in smaller.batch.reason and "raised" in smaller.accumulate.reason


def test_what_was_asked_for_stays_and_what_cannot_fit_is_refused(found: Make) -> None:
    known = found(parts=PARTS)
    usual = _plan(known)
    with pytest.raises(PlanError, match=r"disk.*the limit is") as caught:
        _plan(known, limits={"disk": usual.cost.value.disk - 0.05}, cached_views=usual.cached_views.value)
    assert f"{usual.cost.value.disk:.1f} GiB" in caught.value.what
    with pytest.raises(PlanError, match=r"memory.*the limit is 0\.5 GiB"):
        _plan(known, limits={"memory": 0.5})
    with pytest.raises(PlanError, match="limits"):
        _plan(known, limits={"memory": 0})


def test_without_limits_the_machine_is_the_limit(tmp_path: Path) -> None:
    room = room_of(Limits(), tmp_path / "not" / "there" / "yet")
    assert 0 < room.memory < 10_000 and 0 < room.disk < 1e7
    assert room_of(Limits(), None).disk == float("inf")
    (tmp_path / "store" / "a").mkdir(parents=True)
    (tmp_path / "store" / "a" / "images.npy").write_bytes(b"\0" * 2**22)
    assert room_of(Limits(memory=3, disk=4), tmp_path).memory == 3
    assert room_of(Limits(memory=3, disk=4), tmp_path).disk == 4
