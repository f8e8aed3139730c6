"""CT windows by name, and how a person may write windows: names, (centre, width) pairs, or a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# (centre, width) in HU. No standard fixes them: these are the values customary in radiology, as textbooks, teaching sites
# and the presets of scanners and viewers give them; they vary by some tens of HU from house to house.
WINDOWS: dict[str, tuple[float, float]] = {
    "lung": (-600, 1500),
    "mediastinum": (40, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
    "subdural": (75, 215),
    "stroke": (40, 40),
    "skull": (600, 2800),
    "temporal bone": (700, 4000),
    "abdomen": (50, 400),
    "liver": (80, 150),
    "soft tissue": (50, 350),
    "spine": (50, 250),
    "angio": (300, 600),
    "pulmonary embolism": (100, 700),
}
FITTED = "fitted"


def by_name(value: Any, fitted: tuple[float, float] | None = None) -> tuple[Any, list[str]]:
    """Put numbers in the place of names, and return the windows with what each named one is, in words.

    Parameters
    ----------
    value:
        A name, several names with commas between, or a list of names and pairs. What is no name stays as it is.
    fitted:
        The window that the word `fitted` stands for; known only where the images have been looked at.

    Raises
    ------
    ValueError
        If a name is not known, or is `fitted` where nothing is; the choices are listed.
    """
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Sequence):
        return value, []
    found, told = [], []
    for item in value:
        if isinstance(item, str):
            name = " ".join(item.lower().replace("_", " ").replace("-", " ").split())
            item = _window(name, fitted)
            told.append(f"{name} ({item[0]:g}, {item[1]:g})")
        found.append(item)
    return found, told


def _window(name: str, fitted: tuple[float, float] | None) -> tuple[float, float]:
    if name == FITTED:
        if fitted is None:
            raise ValueError(
                "fitted is computed from the images when a plan is made, and cannot be written into a finished one; "
                "plan again with --set windows=fitted"
            )
        return fitted
    if name not in WINDOWS:
        raise ValueError(
            f"there is no window named {name!r}; choose from {', '.join(WINDOWS)}, {FITTED}, or give [centre, width] in HU"
        )
    return WINDOWS[name]
