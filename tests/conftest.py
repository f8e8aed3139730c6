"""What all tests share: the real data where it is, and a project key that is not the user's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# What passed once passes again: other examples are looked for on purpose, with HYPOTHESIS_PROFILE=search, and not by chance.
settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# As the command line does, and before torch is imported: spinning threads would starve the worker processes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).parents[1]
DEFAULT_DATA = ROOT / "../shared/data"


@pytest.fixture(scope="session", autouse=True)
def _key_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's configuration out of it: a test must neither read nor make the project's key there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOUNSFIELD_KEY_FILE", str(tmp_path_factory.mktemp("key") / "project.key"))
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; a test that needs it is skipped where there is none."""
    place = Path(os.environ.get("HOUNSFIELD_DATA") or DEFAULT_DATA).resolve()
    if not place.is_dir():
        pytest.skip(f"no real data in {place}: set HOUNSFIELD_DATA")
    return place


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Plan for pictures of two labels, or the ones given, without weights and without measuring; keywords are decisions."""
    from hounsfield.plan import Fingerprint, make, plan_from
    from hounsfield.plan.pace import Pace

    pace = Pace(
        device="cpu", front=0.01, tail=0.01, step=0.02, augment=0.001, prepare=0.001, activation=1000, saved=1e6, largest=1e6,
        front_bytes=1_000_000, tail_bytes=1_000_000,
    )  # fmt: skip
    monkeypatch.setattr(make, "measure", lambda *_: pace)

    def plan_for(labels: tuple[str, ...] = ("no", "yes"), *, multi_label: bool = False, **decisions: Any) -> Any:
        counts = dict.fromkeys(labels, 20)
        found = Fingerprint(
            unit="arbitrary", modality="US", body_part="BREAST", cases=40, patients=40, counts=counts, labels=list(labels),
            positive="yes" if len(labels) == 2 and not multi_label else None, folds=0, frames=1, height=64, width=64,
            is_picture=True, low=0.0, high=255.0, seconds_per_frame=0.01, frames_to_read=40, multi_label=multi_label,
            known=dict.fromkeys(labels, 40), patients_of=counts,
        )  # fmt: skip
        return plan_from(found, "cohort", decisions={"weights": "none", "size": [64, 64], **decisions})

    return plan_for
