"""Plans for small networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hounsfield.core import Plan
from hounsfield.core.plan import Cost, Decision
from hounsfield.plan import Fingerprint, make, plan_from

FOUND = Fingerprint(
    unit="arbitrary", modality="US", body_part="BREAST", cases=40, patients=40, counts={"no": 20, "yes": 20},
    labels=["no", "yes"], positive="yes", folds=0, frames=1, height=64, width=64, is_picture=True, low=0.0, high=255.0,
    seconds_per_frame=0.01, frames_to_read=40,
)  # fmt: skip


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Plan for two labels, or the ones given, without weights; keywords are decisions."""
    monkeypatch.setattr(make, "measure_cost", lambda *_: Decision(value=Cost(minutes=1, memory=1, disk=1)))

    def plan_for(labels: tuple[str, ...] = ("no", "yes"), **decisions: Any) -> Plan:
        from dataclasses import replace

        found = replace(
            FOUND, labels=list(labels), positive="yes" if len(labels) == 2 else None, counts=dict.fromkeys(labels, 20)
        )
        return plan_from(found, "cohort", decisions={"weights": "none", "size": [64, 64], **decisions})

    return plan_for
