"""The rule `mammogram`: shown as its file asks, cropped to the breast, the chest wall on the left.

A left breast is displayed with its chest wall at the left edge of the picture and a right breast at the right edge, so
that the two hang back to back (rows run to the front in a left view and to the back in a right one, PS3.3 C.7.6.1.1.1; IHE Mammography
Image profile). A network that sees both has to learn everything twice; so right breasts are mirrored.

Whether a picture lies so is read from the picture: the breast is widest at the chest wall. Files differ in whether they
are stored as they are displayed, and some were mirrored without a word, so where tag and picture disagree the picture
decides; the tag is believed only where the picture does not tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from hounsfield.core.image import Image
from hounsfield.prepare.conditioning.otsu import parted
from hounsfield.prepare.place import Cut

LONGEST = 256  # pixels: the breast is sought in a copy reduced to this
MARGIN = 0.02  # of the longer side, kept around the breast so that the skin is not cut
FAINTEST = 0.02  # of the range: what lies this little above the air is still air
LEAST = 0.02  # of the picture: less breast is a marker, and then nothing is cropped; less air is a hole in it
# Otsu's measure above which what is dark is of two kinds, fat and air. One kind alone has 0.64 to 0.75.
TWO_KINDS = 0.8
# Air is shown nearly black. Where the darkest kind is brighter than this it is fat: the breast fills the picture.
BRIGHTEST_AIR = 0.2
# By how much, as a share of the breast, one half of its box must hold more of it than the other.
CLEAR = 0.05


def breast_cut(image: Image, frames: Sequence[np.ndarray]) -> Cut:
    """Return what is kept of the frames of one file, in [0, 1]: cropped and turned alike, since they are cuts of one breast."""
    mask, factor = breast(frames)
    rows, columns = _box(mask, factor, frames[0].shape)
    return Cut.box(rows, columns, mirrored=not _wall_is_left(mask, image.facts.laterality))


def breast(frames: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """Find the breast in frames of 0 to 1: the largest thing brighter than air.

    Otsu's threshold parts dense tissue from the rest and would cut the fat under the skin away. So it only tells where
    air is to be found (again on the dark side, as long as that is of two kinds); what stands clear of the air's own
    level and noise is breast. Letters and markers are things of their own, and smaller.

    Returns
    -------
    A mask of the reduced picture, all false where there is no breast and all true where there is no air, and by how much
    the picture was reduced.
    """
    height, width = frames[0].shape
    factor = max(1, -(-max(height, width) // LONGEST))
    small = np.mean([_reduced(frame, factor) for frame in frames], axis=0)
    air = _air(small)
    level = float(np.median(air))
    if level > BRIGHTEST_AIR:
        return np.ones(small.shape, dtype=bool), factor
    noise = 1.4826 * float(np.median(np.abs(air - level)))  # the standard deviation, were it normal
    mask = ndimage.binary_opening(small > level + max(FAINTEST, 3 * noise))
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask, factor
    areas = np.bincount(labels.ravel())[1:]
    largest = labels == 1 + int(areas.argmax())
    return (largest if largest.mean() >= LEAST else np.zeros_like(mask)), factor


def _air(small: np.ndarray) -> np.ndarray:
    values = small.ravel()
    dark = values[values <= parted(values)[0]]
    while True:
        cut, parts = parted(dark)
        darker = dark[dark <= cut]
        if parts < TWO_KINDS or darker.size < LEAST * values.size:
            return dark
        dark = darker


def _reduced(frame: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of `factor` pixels; at the lower and right edge the last ones may be smaller."""
    rows, columns = (np.arange(0, side, factor) for side in frame.shape)
    sums = np.add.reduceat(np.add.reduceat(frame, rows, axis=0, dtype=np.float64), columns, axis=1)
    heights, widths = (
        np.diff(np.append(starts, side)) for starts, side in zip((rows, columns), frame.shape, strict=True)
    )
    return sums / np.outer(heights, widths)


def _box(mask: np.ndarray, factor: int, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    if not mask.any():
        return (0, shape[0]), (0, shape[1])
    room = round(MARGIN * max(shape))
    spans = []
    for axis, side in ((1, shape[0]), (0, shape[1])):
        hit = np.flatnonzero(mask.any(axis=axis))
        spans.append((max(0, int(hit[0]) * factor - room), min(side, (int(hit[-1]) + 1) * factor + room)))
    return spans[0], spans[1]


def _wall_is_left(mask: np.ndarray, laterality: str | None) -> bool:
    """Say whether the half of the breast's box that holds more of it is the left one; else what the tag says."""
    columns = mask.sum(axis=0)
    hit = np.flatnonzero(columns)
    if hit.size:
        columns = columns[hit[0] : hit[-1] + 1]
        half = len(columns) // 2
        difference = int(columns[:half].sum()) - int(columns[len(columns) - half :].sum())
        if abs(difference) >= CLEAR * columns.sum():
            return difference > 0
    return laterality != "R"
