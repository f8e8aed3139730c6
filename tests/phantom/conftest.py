"""One small cohort for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from hounsfield.phantom import PhantomCohort, generate


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> PhantomCohort:
    out: Path = tmp_path_factory.mktemp("phantom") / "cohort"
    return generate(out, patients_a=6, patients_b=4, slices=8, size=64, seed=3)


@pytest.fixture(scope="session")
def oblique(tmp_path_factory: pytest.TempPathFactory) -> PhantomCohort:
    """The same patients, turned in the scanner."""
    out: Path = tmp_path_factory.mktemp("phantom") / "oblique"
    return generate(out, patients_a=6, patients_b=4, slices=8, size=64, seed=3, tilt_deg=(17.0, -12.0, 23.0))
