"""Room: a plan whose estimate exceeds what it may take is made smaller before anything is written, and says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from hounsfield.core.plan import Cost, Decision, Limits, Plan
from hounsfield.errors import PlanError

GIB = 2**30
LEAST_BATCH = 2  # of one case batch norm has nothing to average over


@dataclass(frozen=True)
class Room:
    """GiB that a run may take, and where the numbers come from."""

    memory: float
    disk: float
    memory_from: str
    disk_from: str


def room_of(limits: Limits, place: Path | None) -> Room:
    """Return what was allowed, else what the machine has: its memory, and what is free where the run will be written."""
    memory, disk = limits.memory, limits.disk
    return Room(
        memory=psutil.virtual_memory().total / GIB if memory is None else memory,
        disk=(float("inf") if place is None else _free(place)) if disk is None else disk,
        memory_from="this machine has" if memory is None else "the limit is",
        disk_from="are free" if disk is None else "the limit is",
    )


def _free(place: Path) -> float:
    """GiB that are free in the place of a run, or will be: a new plan takes the room of its old store and cache."""
    own = sum(
        item.stat().st_size
        for part in (place / "store", place / "train" / "cache")
        if part.is_dir()
        for item in part.rglob("*.npy")
    )
    while not place.exists():
        place = place.parent
    return (shutil.disk_usage(place).free + own) / GIB


def within(
    plan: Plan, room: Room, asked_for: Collection[str], cost: Callable[[Plan], Decision[Cost]]
) -> tuple[Plan, Decision[Cost]]:
    """Lower cached_views, then the batch, then do without the cache, until the estimate fits the room.

    Parameters
    ----------
    asked_for:
        Decisions that stay as they are.

    Returns
    -------
    The plan, its cost not yet in it, and the cost.

    Raises
    ------
    PlanError
        If nothing fits; need and limit are named.
    """
    found = cost(plan)
    for lever in LEVERS:
        while (short := _short_of(found.value, room)) and (changes := lever(plan)):
            if not set(changes).isdisjoint(asked_for):
                break
            smaller = _changed(plan, changes, _why(found.value, room, short))
            after = cost(smaller)
            if not any(getattr(after.value, name) < getattr(found.value, name) for name in short):
                break
            plan, found = smaller, after
    if short := _short_of(found.value, room):
        raise PlanError(
            f"the plan needs more {' and '.join(short)} than there is: {_why(found.value, room, short)}",
            fix="Choose a smaller size, fewer slices or a smaller backbone, fewer --workers, or allow more.",
        )
    return plan, found


def _fewer_views(plan: Plan) -> dict[str, Any] | None:
    views = plan.cached_views.value
    return {"cached_views": views - 1} if views > 1 else None


def _smaller_batch(plan: Plan) -> dict[str, Any] | None:
    """Half the batch, and twice as many to a step, so that the steps stay what they were."""
    batch = plan.batch.value
    if batch // 2 < LEAST_BATCH:
        return None
    return {"batch": batch // 2, "accumulate": max(1, round(plan.accumulate.value * batch / (batch // 2)))}


def _no_cache(plan: Plan) -> dict[str, Any] | None:
    return {"cached_views": 0} if plan.cached_views.value else None


LEVERS = (_fewer_views, _smaller_batch, _no_cache)


def _short_of(cost: Cost, room: Room) -> list[str]:
    return [name for name in ("memory", "disk") if getattr(cost, name) > getattr(room, name)]


def _why(cost: Cost, room: Room, short: list[str]) -> str:
    told = []
    for name in short:
        value, source = getattr(room, name), getattr(room, f"{name}_from")
        limit = f"{value:.1f} GiB {source}" if source == "are free" else f"{source} {value:.1f} GiB"
        told.append(f"{getattr(cost, name):.1f} GiB of {name}, and {limit}")
    return "; ".join(told)


def _changed(plan: Plan, changes: dict[str, Any], why: str) -> Plan:
    """Return the plan with new values; the first reason stays, and what came later is told once."""
    update = {}
    for name, value in changes.items():
        old = plan.decisions[name]
        first, _, _ = old.reason.partition("; lowered, since it would need ")
        first, _, _ = first.partition("; raised, since it would need ")
        verb = "raised" if name == "accumulate" else "lowered"
        # A limit is told by what the plan needed before the first change, which is the larger number.
        known = old.reason.partition(", since it would need ")[2]
        update[name] = old.model_copy(
            update={"value": value, "reason": f"{first}; {verb}, since it would need {known or why}"}
        )
    return plan.model_copy(update=update)
