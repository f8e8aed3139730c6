"""What a classifier must not learn from, found in an Image or in a bare frame: which detectors look at which images."""

from __future__ import annotations

import numpy as np

from hounsfield.artefacts.border import content_of, find_border
from hounsfield.artefacts.finding import Artefact, mask_of
from hounsfield.artefacts.line import Line, find_lines
from hounsfield.artefacts.marker import find_markers
from hounsfield.artefacts.picture import picture_of, plane_of, shown_range
from hounsfield.artefacts.text import find_text
from hounsfield.core.image import Image

RADIOGRAPHS = frozenset(("CR", "DX", "RG", "RF", "XA", "MG", "PX", "IO"))
# Sections, where the air around the body is no border and thin bright things are anatomy.
SECTIONS = frozenset(("CT", "MR", "PT", "NM"))


def find(image: Image) -> list[list[Artefact]]:
    """Return what was found in each frame of an Image; see `find_in`."""
    facts = image.facts
    # Hounsfield units mean CT, even where the file does not say so (NIfTI).
    modality = "CT" if image.unit == "HU" else facts.modality
    return [
        find_in(frame, value_range=facts.value_range, inverted=facts.inverted, modality=modality) for frame in image
    ]


def find_in(
    frame: np.ndarray,
    *,
    value_range: tuple[float, float] | None = None,
    inverted: bool = False,
    modality: str | None = None,
) -> list[Artefact]:
    """Find burned-in text, side markers, device lines and empty borders in a frame, (height, width) or (…, 3).

    Text is looked for everywhere, in CT only among pixels that have exactly the greatest value; markers and lines in
    radiographs, in sections (in other ways: see there) and where the modality is not known.

    Parameters
    ----------
    frame:
        Any numbers; NaN and infinite values count as the lowest one.
    value_range:
        The range that the file could have held, as in `Facts`; the frame's own range if not given.
    inverted:
        Whether low values are to be shown bright.
    modality:
        As DICOM writes it: "CT", "MR", "US", "DX" and so on.

    Raises
    ------
    ValueError
        If the frame has another shape, or is empty.
    """
    found, lines = _all_in(frame, value_range, inverted, modality)
    border = [one for one in found if one.kind == "border"]
    return [*(one for one in found if one.kind != "border"), *(line.artefact for line in lines), *border]


def pixels_of(
    frame: np.ndarray,
    *,
    value_range: tuple[float, float] | None = None,
    inverted: bool = False,
    modality: str | None = None,
) -> dict[str, np.ndarray]:
    """Return the pixels of what `find_in` finds: kind → bool (height, width), of the kinds that are there.

    Boxes for text and markers, the outside of the content for a border; of a line its own pixels, not the box around them.
    """
    found, lines = _all_in(frame, value_range, inverted, modality)
    shape = frame.shape[0], frame.shape[1]
    masks: dict[str, np.ndarray] = {
        kind: mask_of([one for one in found if one.kind == kind], shape) for kind in {one.kind for one in found}
    }
    if lines:
        whole = np.logical_or.reduce([line.pixels for line in lines])
        rows, columns = (
            np.minimum((np.arange(size) + 0.5) * small / size, small - 1).astype(int)
            for size, small in zip(shape, whole.shape, strict=True)
        )
        masks["line"] = whole[np.ix_(rows, columns)]
    return masks


def _all_in(
    frame: np.ndarray, value_range: tuple[float, float] | None, inverted: bool, modality: str | None
) -> tuple[list[Artefact], list[Line]]:
    plane = plane_of(frame)
    shown = shown_range(plane, value_range)
    if not shown[1] > shown[0] or plane.min() == plane.max():
        return [], []
    picture = picture_of(plane, shown, inverted=inverted)
    section, known = modality in SECTIONS, modality is not None
    found = find_text(picture, _greatest(plane, picture.shape, inverted=inverted) if modality == "CT" else None)
    lines: list[Line] = []
    if not known or section or modality in RADIOGRAPHS:
        found += find_markers(picture, found, section=section)
        lines = find_lines(picture, radiograph=not section if known else None)
    return found + find_border(plane, shown, inverted=inverted, exact=section), lines


def content_box(
    frame: np.ndarray,
    *,
    value_range: tuple[float, float] | None = None,
    inverted: bool = False,
    modality: str | None = None,
) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right in pixels (the last two not included) of a frame without its empty borders.

    The parameters are those of `find_in`. A frame without border, or with nothing but border, is returned whole.
    """
    plane = plane_of(frame)
    shown = shown_range(plane, value_range)
    return content_of(plane, shown, inverted=inverted, exact=modality in SECTIONS)


def _greatest(plane: np.ndarray, shape: tuple[int, int], *, inverted: bool) -> np.ndarray:
    """Return the pixels that have exactly the greatest value, as a mask of the (perhaps reduced) picture's shape."""
    greatest = plane == (plane.min() if inverted else plane.max())
    if greatest.shape == shape:
        return greatest
    rows, columns = (np.arange(size) * full // size for size, full in zip(shape, plane.shape, strict=True))
    return greatest[np.ix_(rows, columns)]
