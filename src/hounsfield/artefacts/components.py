"""Connected components of a mask as a table: one array per property, so that thousands are judged at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True)
class Components:
    """Boxes (bottom and right not included) and sums; all arrays of shape (components,).

    `area` in pixels; `contrast` the mean, and `spread` the standard deviation, of the contrast that was given; `peak`
    the brightest grey; `runs` the mean number of separate stretches of the component per row: an I has 1, an H about 2,
    a word whose letters touch has many.
    """

    label: np.ndarray
    top: np.ndarray
    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray
    area: np.ndarray
    contrast: np.ndarray
    spread: np.ndarray
    peak: np.ndarray
    runs: np.ndarray

    def __len__(self) -> int:
        return len(self.top)

    @property
    def height(self) -> np.ndarray:
        return self.bottom - self.top

    @property
    def width(self) -> np.ndarray:
        return self.right - self.left

    def where(self, chosen: np.ndarray) -> Components:
        """Return the rows of the table that `chosen` names, as a mask or as indices."""
        return Components(*(getattr(self, item.name)[chosen] for item in fields(self)))


def components(
    mask: np.ndarray, contrast: np.ndarray, picture: np.ndarray, smallest: int
) -> tuple[Components, np.ndarray]:
    """Find the 8-connected components of a mask (height, width) that have at least `smallest` pixels.

    Returns
    -------
    The table, in the order of their labels, and the label of each pixel (int32; 0 is the background).
    """
    labels, count = ndimage.label(mask, _EIGHT)
    place = np.flatnonzero(labels)
    label = labels.ravel()[place]
    area = np.bincount(label, minlength=count + 1)
    place = place[area[label] >= smallest]
    label = labels.ravel()[place]
    order = np.argsort(label, kind="stable")
    place, label = place[order], label[order]
    starts = np.flatnonzero(np.diff(label, prepend=0))
    names = label[starts]
    row, column = np.divmod(place, mask.shape[1])
    value = contrast.ravel()[place].astype(np.float64)
    # A stretch begins where the pixel before is of another component, or in another row.
    begins = (np.diff(place, prepend=-2) != 1) | (column == 0)

    def per(function: np.ufunc, values: np.ndarray) -> np.ndarray:
        return function.reduceat(values, starts) if len(starts) else np.zeros(0, values.dtype)

    number = area[names]
    top, bottom = per(np.minimum, row), per(np.maximum, row) + 1
    mean = per(np.add, value) / number
    spread = np.sqrt(np.maximum(per(np.add, value**2) / number - mean**2, 0.0))
    runs = per(np.add, begins.astype(np.int64)) / np.maximum(bottom - top, 1)
    table = Components(
        names, top, per(np.minimum, column), bottom, per(np.maximum, column) + 1, number, mean, spread,
        per(np.maximum, picture.ravel()[place].astype(np.int64)), runs,
    )  # fmt: skip
    return table, labels


def around(table: Components, margin: int) -> tuple[slice, slice]:
    """Return rows and columns of the box that holds all components of a table, and `margin` pixels more."""
    rows = slice(max(int(table.top.min()) - margin, 0), int(table.bottom.max()) + margin)
    return rows, slice(max(int(table.left.min()) - margin, 0), int(table.right.max()) + margin)
