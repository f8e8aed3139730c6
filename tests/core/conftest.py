"""What the tests of `core` share: a small cohort, a plan, a sealed bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from hounsfield.core import Bundle, Calibration, Cohort, Plan
from hounsfield.core.cohort import CROSSWALK, QUARANTINE, SCHEMA, About
from hounsfield.core.plan import Cost, Decision
from hounsfield.plan import Fingerprint, make, plan_from
from hounsfield.prepare import recipe_of

FOUND = Fingerprint(
    unit="HU", modality="CT", body_part="CHEST", cases=40, patients=40, counts={"no": 20, "yes": 20}, labels=["no",
    "yes"],
    positive="yes", folds=0, frames=1, height=512, width=512, is_picture=False, low=-100.0, high=200.0,
    seconds_per_frame=0.01, frames_to_read=40,
)  # fmt: skip


@pytest.fixture(scope="session")
def plan() -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        cost = Decision(value=Cost(minutes=1.5, memory=2.0, disk=0.1), reason="measured")
        patch.setattr(make, "measure", lambda *_: None)
        patch.setattr(make, "cost_of", lambda *_, **__: cost)
        return plan_from(FOUND, "d1e2", decisions={"weights": "none"})


@pytest.fixture
def cohort() -> Callable[..., Cohort]:
    """Make a cohort of 6 cases, one patient each; a keyword replaces a column."""

    def make(root: Path | None = None, **columns: list[Any]) -> Cohort:
        count = 6
        blank: dict[str, list[Any]] = {name: [None] * count for name in SCHEMA}
        blank |= {
            "case": [f"case-{place}" for place in range(count)],
            "patient": [f"patient-{place}" for place in range(count)],
            "group": columns.get("patient", [f"patient-{place}" for place in range(count)]),
            "files": [[f"file-{place}"] for place in range(count)],
            "frames": [[1]] * count,
            "age": [61.5, None, 40.0, 3.0, 99.0, 18.0],
            "spacing": [[0.7, 0.7], None, [1.0, 2.0], None, None, None],
            "label": ["no", "yes"] * 3,
            "split": ["train", "train", "validation", "calibration", "test", "test"],
        }
        table = pl.DataFrame(blank | columns, schema=SCHEMA)
        about = About(unit="image", labels=["no", "yes"], positive="yes", patients_from="PatientID", notes=["ä, “b”"])
        aside = pl.DataFrame(
            [("file-9", "file", "scan", 'it said: "no", twice\nand more')], schema=QUARANTINE, orient="row"
        )
        crosswalk = None
        if root is not None:
            rows = [
                (f"file-{place}", f"case-{place}", f"scans/Doe {place}.png", None, "Doe", None, None)
                for place in range(count)
            ]
            crosswalk = pl.DataFrame(rows, schema=CROSSWALK, orient="row")
        return Cohort(table, about, aside, crosswalk=crosswalk, root=root)

    return make


@pytest.fixture
def bundle(tmp_path: Path, plan: Plan) -> Bundle:
    """A sealed bundle, with one attachment; its weights fit no network, which `core` never asks."""
    weights = tmp_path / "any.safetensors"
    save_file({"any": np.arange(64, dtype=np.float32)}, weights)
    calibration = Calibration(temperature=1.3, offsets=[0.2], threshold=0.41, fitted_on="calibration", cases=12)
    sealed = Bundle.seal(
        tmp_path / "bundle", plan=plan, recipe=recipe_of(plan), calibration=calibration,
        reference={"mean": [0.25, 0.5]}, weights=weights,
    )  # fmt: skip
    note = tmp_path / "parity.json"
    note.write_text('{"largest": 1e-06}')
    sealed.attach("parity.json", note)
    return sealed
