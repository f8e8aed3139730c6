"""A fingerprint to start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hounsfield.plan import Fingerprint, make
from hounsfield.plan.pace import Pace

CT = Fingerprint(
    unit="HU", modality="CT", body_part="CHEST", cases=100, patients=90, counts={"no": 75, "yes": 25}, labels=["no",
    "yes"],
    positive="yes", folds=0, frames=1, height=512, width=512, is_picture=False, low=-120.0, high=310.0,
    seconds_per_frame=0.02, frames_to_read=130,
)  # fmt: skip
# A machine that trains 50 cases per second, with memory and disk of round numbers.
PACE = Pace(
    device="cpu", front=0.01, tail=0.004, step=0.02, augment=0.002, prepare=0.001, activation=100_000, saved=20e6,
    largest=5e6, front_bytes=4_000_000, tail_bytes=12_000_000,
)  # fmt: skip


@pytest.fixture
def found() -> Callable[..., Fingerprint]:
    """Make a fingerprint of a chest CT cohort; keywords replace what is known."""
    return lambda **known: replace(CT, **known)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Leave the measuring of the cost out: it takes seconds."""
    monkeypatch.setattr(make, "measure", lambda *_: PACE)
