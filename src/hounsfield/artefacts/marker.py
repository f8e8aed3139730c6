"""Side markers of radiographs: one letter of lead, bright, sharp and even, alone near an edge of the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hounsfield.artefacts.components import Components, around, components
from hounsfield.artefacts.finding import Artefact
from hounsfield.artefacts.morphology import dilate, erode, top_hat
from hounsfield.artefacts.picture import reduced

SMALLEST_SIDE, LONGEST = 96, 640  # pixels
LOWEST, SHORTEST, HIGHEST = 8, 0.025, 0.12  # the height, in pixels and as parts of the longest side
MARGIN = 0.22  # a marker's centre lies within this part of a side from the nearest edge
CONTRAST = 64  # of 255
SURE = 0.5
# In sections a marker stands in a corner, on black: elsewhere bone breaks into pieces that look like letters.
DARK, MOSTLY_DARK, RING = 38, 0.8, 0.6


def find_markers(picture: np.ndarray, taken: Sequence[Artefact] = (), *, section: bool = False) -> list[Artefact]:
    """Find letters that stand alone in a picture (uint8, bright letters), but for those that are part of a text.

    In a `section` only letters in a corner and on black are markers.

    The score is the product of five numbers in [0, 1]: contrast (full from half of the range), freedom from other
    structures (none where they are two fifths of what is in and around the letter), evenness of the ink, and what
    `_apart` and `_open` return.
    """
    # A marker is many pixels high in a large picture, so that half of them are enough, and a quarter of the work.
    picture = reduced(picture, LONGEST)
    height, width = picture.shape
    if min(height, width) < SMALLEST_SIDE:
        return []
    size = max(9, max(height, width) // 20 | 1)
    hat = top_hat(picture, size)
    level = dilate(hat, 2 * size + 1)
    ink = (hat >= CONTRAST) & (hat > level // 2)
    faint = (hat > level // 3) & (hat > CONTRAST // 4) & (dilate(ink.view(np.uint8), 3) == 0)
    table, labels = components(ink, hat, picture, 12)
    inner = np.bincount(labels[erode(ink.view(np.uint8), 3) > 0], minlength=int(labels.max()) + 1)
    letters = _letters(table, inner, picture.shape)
    structures = ink | faint
    found = []
    for index in range(len(letters)):
        letter = letters.where(np.array([index]))
        box = _box(letter, picture.shape)
        if section and not (_in_corner(box) and _on_black(box, picture)):
            continue
        score = _score(letter, structures) * _apart(letter, picture, labels) * _open(letter, labels)
        if score >= SURE and not any(_inside(box, other.box) for other in taken):
            found.append(Artefact("marker", box, score))
    return found


def _letters(table: Components, inner: np.ndarray, shape: tuple[int, int]) -> Components:
    height, width = table.height, table.width
    fill = table.area / (height * width)
    # Twice the area over the outline is the width of a stroke; a blob has strokes as wide as itself.
    stroke = 2.0 * table.area / np.maximum(table.area - inner[table.label], 1)
    longest = max(shape)
    fits = (height >= max(LOWEST, SHORTEST * longest)) & (height <= HIGHEST * longest)
    fits &= (width >= 0.35 * height) & (width <= 1.3 * height) & (fill >= 0.2) & (fill <= 0.75)
    fits &= stroke <= np.maximum(2.5, 0.35 * height)
    down = (table.top + table.bottom) / (2 * shape[0])
    across = (table.left + table.right) / (2 * shape[1])
    fits &= np.minimum.reduce([down, 1 - down, across, 1 - across]) <= MARGIN
    return table.where(fits)


def _score(letter: Components, structures: np.ndarray) -> float:
    covered = int(np.count_nonzero(structures[around(letter, int(max(3, letter.height[0] // 3)))]))
    clutter = 1.0 - float(letter.area[0]) / max(covered, 1)
    uneven = float(letter.spread[0] / letter.contrast[0])
    contrast = min(1.0, float(letter.contrast[0]) / 128.0)
    return contrast * min(1.0, 1.5 * max(0.0, 1.0 - clutter / 0.4)) * min(1.0, 2.0 * max(0.0, 1.0 - uneven / 0.4))


def _apart(letter: Components, picture: np.ndarray, labels: np.ndarray) -> float:
    """Return 1 where nothing beside the letter is as bright as it, 0 where an eighth of its surroundings are.

    This is what tells a letter from the end of a bone: of that only the tip is thin.
    """
    place = around(letter, int(max(4, letter.height[0] // 2)))
    grey, label = picture[place], labels[place]
    own = label == letter.label[0]
    bright = grey[own].mean() - float(letter.contrast[0]) / 3
    return max(0.0, 1.0 - 8.0 * float(((grey >= bright) & (label == 0)).mean()))


def _open(letter: Components, labels: np.ndarray) -> float:
    """Return 1 for bent or hollow shapes, as letters are, and 0 for those that are as full as an ellipse of their size.

    An ellipse has 4π times the root of the determinant of its covariance as area, in whatever direction it lies.
    """
    own = labels[letter.top[0] : letter.bottom[0], letter.left[0] : letter.right[0]] == letter.label[0]
    spread = np.cov(np.stack(np.nonzero(own)))
    full = float(letter.area[0]) / (4 * np.pi * np.sqrt(max(float(np.linalg.det(spread)), 1e-6)))
    return float(np.clip((0.9 - full) / 0.15, 0.0, 1.0))


def _box(letter: Components, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    height, width = shape
    return (
        max(float(letter.top[0]) - 1, 0.0) / height, max(float(letter.left[0]) - 1, 0.0) / width,
        min(float(letter.bottom[0]) + 1, height) / height, min(float(letter.right[0]) + 1, width) / width,
    )  # fmt: skip


def _in_corner(box: tuple[float, float, float, float]) -> bool:
    down, across = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return min(down, 1 - down) <= MARGIN and min(across, 1 - across) <= MARGIN


def _on_black(box: tuple[float, float, float, float], picture: np.ndarray) -> bool:
    height, width = picture.shape
    top, left, bottom, right = box[0] * height, box[1] * width, box[2] * height, box[3] * width
    room = RING * max(bottom - top, right - left)
    first, start = max(0, round(top - room)), max(0, round(left - room))
    ring = picture[first : round(bottom + room), start : round(right + room)].astype(np.int16)
    ring[int(top) - first : int(np.ceil(bottom)) - first, int(left) - start : int(np.ceil(right)) - start] = -1
    outside = ring[ring >= 0]
    return bool(outside.size) and float((outside < DARK).mean()) >= MOSTLY_DARK


def _inside(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    down, across = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= down <= other[2] and other[1] <= across <= other[3]
