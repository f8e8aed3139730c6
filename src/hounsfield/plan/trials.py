"""Cheap trials: resolution, depth of freezing and regularisation, tried on frozen features of training cases alone.

What is tried is a small model on features that are never trained, so it says which images and which stages hold what
tells the labels apart, and not how well a trained network will do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from hounsfield.core.cohort import Cohort
from hounsfield.core.plan import Decision, Plan
from hounsfield.plan.frozen_features import Features, features_of
from hounsfield.plan.inner import Floats, Inner, compact, folds_of, linear, sample, small_mlp, strata, targets_of
from hounsfield.plan.rules.network import has_fixed_size

CASES = 400
SIDES = (128, 160, 192, 224)
USUAL_STRENGTH = 0.01
# Strength of the logistic regression (C) → weight decay and dropout that regularise about as much.
REGULARISATION = {0.001: (0.1, 0.4), 0.003: (0.08, 0.3), USUAL_STRENGTH: (0.05, 0.2), 0.1: (0.01, 0.1)}
TRIED = ("size", "frozen", "weight_decay", "dropout")


@dataclass(frozen=True)
class Trials:
    """Decisions that the trials suggest, and what they found, in words."""

    decisions: dict[str, Decision[Any]]
    sentence: str


@dataclass(frozen=True)
class _Tried:
    """The AUC of each candidate, in an order from the cheapest."""

    areas: Mapping[Any, Floats]
    usual: Any

    def mean(self, candidate: Any) -> float:
        return float(self.areas[candidate].mean())

    @property
    def best(self) -> Any:
        return max(self.areas, key=self.mean)

    @property
    def error(self) -> float:
        """The standard error of the best."""
        values = self.areas[self.best]
        return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0

    @property
    def as_good(self) -> list[Any]:
        """Candidates within one standard error of the best."""
        floor = self.mean(self.best) - self.error
        return [candidate for candidate in self.areas if self.mean(candidate) >= floor]

    def told(self) -> str:
        ranked = sorted(self.areas, key=self.mean, reverse=True)
        return ", ".join(f"{candidate} → {self.mean(candidate):.3f}" for candidate in ranked)


def run_trials(
    cohort: Cohort,
    usual: Plan,
    *,
    asked_for: Collection[str],
    workers: int | None = None,
    device: str = "auto",
) -> Trials:
    """Try candidates on at most 400 training cases; no other part is read.

    Parameters
    ----------
    usual:
        The plan without trials; candidates lie around it.
    asked_for:
        Decisions that are not tried.
    """
    obstacle = _obstacle(cohort, usual, asked_for)
    if obstacle is not None:
        return Trials({}, f"nothing was tried: {obstacle}")
    table, several = cohort.part("train").sort("case"), usual.task.value == "multilabel"
    classes = strata(targets_of(table, usual), several=several)
    table = table[sample(classes, table["group"].to_list(), CASES, usual.seed.value)]
    features, rows = features_of(cohort, table, usual, _sides(usual, asked_for), workers=workers, device=device)
    table = table[rows]
    targets = targets_of(table, usual)
    if (
        not rows
        or (folds := folds_of(strata(targets, several=several), table["group"].to_list(), usual.seed.value)) is None
    ):
        return Trials({}, "nothing was tried: the rarest label has too few patients for two folds")
    return _Bench(usual, Inner(targets, folds, several), asked_for, table).run(features)


def _obstacle(cohort: Cohort, usual: Plan, asked_for: Collection[str]) -> str | None:
    if usual.dimension.value == "3d":
        return "a 3D network has no pretrained features that are cheap to compute"
    if usual.weights.value.source == "none":
        return "without pretrained weights the features say nothing"
    if cohort.about.folds:
        return "with folds every case judges a member, and would have helped to choose what it judges"
    if set(TRIED) <= set(asked_for):
        return "all that could be tried was asked for"
    return None


def _sides(usual: Plan, asked_for: Collection[str]) -> list[int]:
    side = max(usual.size.value)
    if "size" in asked_for or has_fixed_size(usual.backbone.value):
        return [side]
    return sorted({side, *SIDES})


@dataclass(frozen=True)
class _Bench:
    """One trial after the other, each with the choices of those before it."""

    usual: Plan
    inner: Inner
    asked_for: Collection[str]
    table: pl.DataFrame

    def run(self, features: Features) -> Trials:
        found: dict[str, Decision[Any]] = {}
        side = max(self.usual.size.value)
        if len(features) > 1:
            tried = self._tried({one: of["all"] for one, of in features.items()}, side)
            side = min(tried.as_good)
            found["size"] = self._decision(tried, side, self._size(side), "the smallest")
        here = features[side]
        if "frozen" not in self.asked_for and (stages := _stages(here, self.usual)):
            found["frozen"] = self._frozen(here, stages)
        found |= self._regularisation(here["all"])
        told = "; ".join(f"{name}: {decision.reason}" for name, decision in found.items())
        return Trials(found, f"trials on frozen features: {told}")

    def _tried(self, features: Mapping[Any, Floats], usual: Any) -> _Tried:
        make = linear(USUAL_STRENGTH)
        areas = {name: self.inner.areas(compact(values), make) for name, values in features.items()}
        return _Tried(areas, usual)

    def _frozen(self, here: Mapping[str, Floats], stages: list[str]) -> Decision[str]:
        """Freeze as deep as the features stay as good; one stage less where they separate only with a hidden layer."""
        tried = self._tried({stage: here[stage] for stage in stages}, self.usual.frozen.value)
        chosen = tried.as_good[-1]
        decision = self._decision(tried, chosen, chosen, "the deepest")
        if self.inner.several:
            return decision
        hidden = float(self.inner.areas(here[chosen], small_mlp(self.usual.seed.value)).mean())
        told = f"{decision.reason}; a small MLP on it → {hidden:.3f}"
        place = stages.index(chosen)
        if hidden > tried.mean(chosen) + tried.error and place > 0:
            return Decision(value=stages[place - 1], reason=f"{told}, clearly better, so one more stage is trained")
        return Decision(value=chosen, reason=f"{told}, not clearly better than a linear head")

    def _regularisation(self, features: Floats) -> dict[str, Decision[Any]]:
        """Leave the customary strength only where another one is better by more than a standard error."""
        few = compact(features)
        tried = _Tried({one: self.inner.areas(few, linear(one)) for one in REGULARISATION}, USUAL_STRENGTH)
        chosen = USUAL_STRENGTH if USUAL_STRENGTH in tried.as_good else tried.best
        what = "the customary one" if chosen == USUAL_STRENGTH else "the best"
        values = dict(zip(("weight_decay", "dropout"), REGULARISATION[chosen], strict=True))
        return {
            name: self._decision(tried, chosen, value, what, "C of a logistic regression, ")
            for name, value in values.items()
            if name not in self.asked_for
        }

    def _size(self, side: int) -> tuple[int, int]:
        longest = max(self.usual.size.value)
        height, width = (max(32, 32 * round(old * side / longest / 32)) for old in self.usual.size.value)
        return height, width

    def _decision(self, tried: _Tried, chosen: Any, value: Any, what: str, of: str = "") -> Decision[Any]:
        return Decision(
            value=value,
            reason=f"inner cross-validation of {self.inner.count} folds on {self.table.height} training cases, AUC of {of}"
            f"{tried.told()}; {chosen} is {what} within one standard error ({tried.error:.3f}) of the best",
        )


def _stages(here: Mapping[str, Floats], usual: Plan) -> list[str]:
    """Places to cut, from the usual one to the deepest; none where the usual plan cuts elsewhere."""
    first = re.fullmatch(r"through stage (\d+)", usual.frozen.value)
    if first is None:
        return []
    numbered = {int(name.rpartition(" ")[2]): name for name in here if name != "all"}
    return [numbered[number] for number in sorted(numbered) if number >= int(first[1])]
