"""Where a map is strongest: in the picture, in a volume, and in the patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.core.recipe import Recipe
from hounsfield.explain.attribution import Attribution, in_frame
from hounsfield.prepare import Place

# Places whose values differ by less, as a share of the greatest, are one peak: sums in float32 are no finer.
_EQUAL = 1e-5


def on_picture(values: np.ndarray, recipe: Recipe, place: Place) -> np.ndarray:
    """Undo all that was done to a picture: the recipe's padding and resize, then resampling, mirroring and crops.

    Parameters
    ----------
    values:
        (h, w), of any size; it covers the network's input.

    Returns
    -------
    (height, width) float32 of the picture; 0 where the network did not see it.
    """
    return place.on_picture(in_frame(values, recipe, place.frame))


def strongest_slice(values: np.ndarray, recipe: Recipe, places: Sequence[Place]) -> int:
    """Return the slice of a volume's map, (slices, h, w), in which the greatest value on any picture lies.

    What lies in padding does not count. Of equal slices side by side it is the middle one: a coarse map is even up to
    the ends of the volume.
    """
    each = [float(on_picture(plane, recipe, place).max()) for plane, place in zip(values, places, strict=True)]
    return _middle_of_run(np.array(each))


def peak_of(values: np.ndarray) -> tuple[int, int] | None:
    """Return row and column of the greatest value of a map on its picture; None where nothing speaks for the target.

    Where several places share it (a superpixel, a coarse map at the edge), it is the one nearest to their middle.
    """
    greatest = float(values.max())
    if greatest <= 0:
        return None
    rows, columns = np.nonzero(values >= greatest * (1 - _EQUAL))
    nearest = int(np.hypot(rows - rows.mean(), columns - columns.mean()).argmin())
    return int(rows[nearest]), int(columns[nearest])


def peak_in_patient(attribution: Attribution) -> tuple[float, float, float] | None:
    """Return x, y and z of a map's peak in the patient, in mm (LPS: to the left, the back and the head; DICOM PS3.3 C.7.6.2.1.1).

    It is the centre of the pixel at the peak, in the plane that the network saw. None where the files state no position,
    and where nothing speaks for the target.
    """
    peak = peak_of(attribution.values)
    if peak is None or attribution.place is None:
        return None
    return attribution.place.in_patient(*peak)


def _middle_of_run(values: np.ndarray) -> int:
    greatest = int(values.argmax())
    equal = values >= values[greatest] - _EQUAL * abs(values[greatest])
    stop = greatest
    while stop + 1 < len(values) and equal[stop + 1]:
        stop += 1
    return (greatest + stop) // 2
