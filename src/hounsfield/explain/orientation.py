"""Which way a shown picture lies in the patient: the letters at its edges, where the files say so."""

from __future__ import annotations

import numpy as np

from hounsfield.core.plan import Plan
from hounsfield.prepare import CaseFiles
from hounsfield.prepare.case import evenly_spaced
from hounsfield.read import read_image

# Axes of DICOM patient coordinates, LPS (PS3.3 C.7.6.2.1.1): towards the left, the back and the head.
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))
# An axis that leans more than this towards another takes a second letter, as in "AL" (PS3.3 C.7.6.1.1.1).
_LEANING = 0.35
# This rule mirrors pictures, so that the file no longer says which side is which.
_MIRRORED = "mammogram"


def marks(affine: np.ndarray) -> dict[str, str]:
    """Return the letters at "left", "right", "top" and "bottom" of a frame, of its 4x4 affine (column, row, frame to LPS mm)."""
    right, bottom = _letters(affine[:3, 0]), _letters(affine[:3, 1])
    left, top = _letters(-affine[:3, 0]), _letters(-affine[:3, 1])
    return {"left": left, "right": right, "top": top, "bottom": bottom}


def marks_of(files: CaseFiles, plan: Plan, number: int) -> dict[str, str] | None:
    """Return the letters of the slice with this number, as the network counts them; None where the file says nothing of it."""
    if plan.conditioning.value == _MIRRORED:
        return None
    affine = read_image(files.sources[_owner(files, plan, number)], digest=False).affine
    return None if affine is None else marks(affine)


def frame_number(files: CaseFiles, plan: Plan, number: int) -> int | None:
    """Return which of all images of a case, from 0 on, a slice of the network is; None where it was cut or resampled from several."""
    whole = plan.region.value.kind == "none" and plan.spacing.value is None
    return evenly_spaced(sum(files.frames), plan.slices.value)[number] if whole else None


def _owner(files: CaseFiles, plan: Plan, number: int) -> int:
    """The file of a slice. What is cut or resampled is one volume, all of whose files lie the same way."""
    frame = frame_number(files, plan, number)
    return 0 if frame is None else int(np.searchsorted(np.cumsum(files.frames), frame, side="right"))


def _letters(direction: np.ndarray) -> str:
    unit = direction / np.linalg.norm(direction)
    parts = sorted(
        ((abs(part), pair[int(part < 0)]) for part, pair in zip(unit, _LETTERS, strict=True)), key=lambda item: -item[0]
    )
    return parts[0][1] + "".join(letter for size, letter in parts[1:] if size > _LEANING)
