"""A fingerprint to start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hounsfield.plan import Fingerprint

CT = Fingerprint(
    unit="HU", modality="CT", body_part="CHEST", cases=100, patients=90, counts={"no": 75, "yes": 25}, labels=["no",
    "yes"],
    positive="yes", folds=0, frames=1, height=512, width=512, is_picture=False, low=-120.0, high=310.0,
    seconds_per_frame=0.02, frames_to_read=130,
)  # fmt: skip


@pytest.fixture
def found() -> Callable[..., Fingerprint]:
    """Make a fingerprint of a chest CT cohort; keywords replace what is known."""
    return lambda **known: replace(CT, **known)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Leave the measuring of the cost out: it takes seconds."""
    from hounsfield.core.plan import Cost, Decision
    from hounsfield.plan import make

    monkeypatch.setattr(
        make, "measure_cost", lambda *_: Decision(value=Cost(minutes=1, memory=1, disk=1), reason="measured")
    )
