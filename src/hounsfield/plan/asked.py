"""What the user decided before the planner did: read and checked before any rule reckons with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hounsfield.core.plan import Decision, Limits, Plan, Weights
from hounsfield.errors import PlanError

LOSSES = ("cross-entropy", "focal")
SOURCES = ("packaged", "cache", "hub", "none")
ASKED = "asked for"
NAMES = tuple(name for name in Plan.model_fields if name not in ("schema_version", "cohort", "cost"))


@dataclass(frozen=True)
class Wishes:
    """What was asked for.

    Attributes
    ----------
    side_free:
        The label has no side, so that a horizontal flip is allowed for every body part.
    loss:
        `cross-entropy` or `focal`.
    decisions:
        Decisions that are taken, by name; as `read` returns them.
    """

    side_free: bool = False
    loss: str = "cross-entropy"
    decisions: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(
        cls, decisions: Mapping[str, Any] | None = None, *, side_free: bool = False, loss: str = "cross-entropy"
    ) -> Wishes:
        """Read decisions as they come from a command line: `loss` may be a name, `weights` a source or a file.

        Raises
        ------
        PlanError
            If a decision is not known, or there is no such loss or source of weights.
        """
        chosen = dict(decisions or {})
        if isinstance(chosen.get("loss"), str):
            loss = chosen.pop("loss")
        if loss not in LOSSES:
            raise PlanError(f"there is no loss named {loss!r}", fix=f"Choose from: {', '.join(LOSSES)}.")
        if "weights" in chosen:
            chosen["weights"] = weights_from(chosen["weights"])
        unknown = set(chosen) - set(NAMES)
        if unknown:
            raise PlanError(
                f"the plan has no decision named {', '.join(sorted(unknown))}", fix=f"Choose from: {', '.join(NAMES)}."
            )
        return cls(side_free, loss, chosen)

    @property
    def limits(self) -> Limits:
        """What the run may take."""
        if "limits" not in self.decisions:
            return Limits()
        found: Limits = asked("limits", self.decisions["limits"]).value
        return found


def asked(name: str, value: Any) -> Decision[Any]:
    """Check a value against the type of its decision.

    Raises
    ------
    PlanError
        If it is not allowed; the decision is named.
    """
    try:
        kind: Any = Plan.model_fields[name].annotation
        found: Decision[Any] = kind.model_validate({"value": value, "reason": ASKED})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise PlanError(f"{name}: {message}", fix="Correct the value and run again.") from error
    return found


def weights_from(value: Any) -> Weights:
    """Read a choice of weights: a source (packaged, cache, hub, none), a file, or both as a mapping.

    Raises
    ------
    PlanError
        If it is none of them.
    """
    if isinstance(value, Weights):
        return value
    if isinstance(value, str):
        value = {"source": value} if value in SOURCES else {"source": "file", "path": str(Path(value).resolve())}
    try:
        return Weights.model_validate(value)
    except ValidationError as error:
        raise PlanError(f"weights: {error.errors()[0]['msg']}", fix=f"Give {', '.join(SOURCES)}, or a file.") from error
