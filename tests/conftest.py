"""What all tests share: the real data where it is, and a project key that is not the user's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
