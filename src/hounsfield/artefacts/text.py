"""Burned-in text: bright, sharp letters of one height and one ink, next to each other, with nothing around them."""

from __future__ import annotations

import math

import numpy as np

from hounsfield.artefacts.components import Components, around, components
from hounsfield.artefacts.finding import Artefact
from hounsfield.artefacts.morphology import dilate, top_hat

SMALLEST_SIDE = 64  # pixels; letters in smaller pictures are too few pixels to be told from anything else
LOWEST, HIGHEST = 5, 0.12  # the height of a letter, in pixels and as part of the longest side
CONTRAST = 56  # of 255: by how much ink must outshine what is around it
FAINT = 12  # of 255: structures fainter than this are nothing
# Letters of one row: how much of the smaller one's height they share, how many times higher one may be than the other
# (an x beside an l), how far apart they may be (in heights), and how much their ink may differ.
SHARED, HIGHER, APART, DIFFERENT = 0.7, 1.5, 1.0, 0.2
MOST = 400  # letters; a picture with more candidates keeps those with most contrast
SURE = 0.5  # rows with a lower score are not reported


def find_text(picture: np.ndarray, allowed: np.ndarray | None = None) -> list[Artefact]:
    """Find rows of letters in a picture (uint8, bright letters); only pixels that are `allowed` can be ink.

    The score is the product of five numbers in [0, 1]: contrast (full from a third of the range), freedom (none where
    half of all structures in and around the row are not its letters), evenness of the ink, the part of the letters that
    stand on one line, and 1 - 2^(1 - letters): two letters are sure enough only if all else is perfect.
    """
    if min(picture.shape) < SMALLEST_SIDE:
        return []
    ink, faint, hat = _ink(picture, allowed)
    strokes, _ = components(ink, hat, picture, 2)
    letters = _letters(strokes, max(picture.shape))
    structures = ink | faint
    found = []
    for row in _rows(letters):
        score = _score(letters.where(row), structures)
        if score >= SURE:
            found.append(Artefact("text", _box(letters.where(row), strokes, picture.shape), score))
    return found


def _ink(picture: np.ndarray, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels of thin bright strokes, those of fainter structures beside them, and their contrast.

    Ink is what has at least half of the greatest contrast nearby, so that letters with soft edges stay apart.
    """
    size = max(7, max(picture.shape) // 80 | 1)
    hat = top_hat(picture, size)
    if allowed is not None:
        hat = np.where(allowed, hat, np.uint8(0))
    level = dilate(hat, 2 * size + 1)
    ink = (hat >= CONTRAST) & (hat > level // 2)
    faint = (hat > level // 5) & (hat > FAINT) & (dilate(ink.view(np.uint8), 3) == 0)
    return ink, faint, hat


def _letters(strokes: Components, longest: int) -> Components:
    """Return what may be a letter, or a word whose letters touch, as they do when a picture was made smaller."""
    height, width = strokes.height, strokes.width
    fill = strokes.area / (height * width)
    stem = (width <= 0.4 * height) & (fill >= 0.5)
    single = (width <= 1.5 * height) & (fill >= 0.15) & (fill <= 0.88)
    joined = (strokes.runs >= np.maximum(1.6, width / height)) & (fill >= 0.3) & (fill <= 0.88)
    fits = (height >= LOWEST) & (height <= HIGHEST * longest) & (stem | single | joined)
    letters = strokes.where(fits)
    return letters if len(letters) <= MOST else letters.where(np.argsort(-letters.contrast, kind="stable")[:MOST])


def _rows(letters: Components) -> list[np.ndarray]:
    """Return the indices of letters that stand next to each other, row by row."""
    height = letters.height
    higher, lower = np.maximum(height[:, None], height), np.minimum(height[:, None], height)
    shared = np.minimum(letters.bottom[:, None], letters.bottom) - np.maximum(letters.top[:, None], letters.top)
    gap = np.maximum(letters.left[:, None], letters.left) - np.minimum(letters.right[:, None], letters.right)
    ink = np.abs(letters.peak[:, None] - letters.peak) / np.maximum(letters.peak[:, None], letters.peak)
    next_to = (shared >= SHARED * lower) & (higher <= HIGHER * lower) & (gap >= -1) & (gap <= APART * higher)
    next_to &= ink <= DIFFERENT
    rows, waiting = [], set(range(len(letters)))
    while waiting:
        row: list[int] = []
        reached = [waiting.pop()]
        while reached:
            row.append(reached.pop())
            near = [int(other) for other in np.flatnonzero(next_to[row[-1]]) if int(other) in waiting]
            waiting.difference_update(near)
            reached += near
        rows.append(np.array(sorted(row)))
    return rows


def _score(row: Components, structures: np.ndarray) -> float:
    height = float(np.median(row.height))
    # A letter is about as wide as it is high, and has 1.3 stretches per row; a smooth blob has one, however wide.
    letters = float(np.maximum(1.0, np.round(np.minimum(row.width / (0.75 * height), row.runs / 1.2))).sum())
    if letters < 2:
        return 0.0
    # Two letters can arise by chance, from two calcifications say, and must stand more alone.
    margin = max(2, round(height if letters < 3 else height / 4))
    covered = int(np.count_nonzero(structures[around(row, margin)]))
    clutter = 1.0 - float(row.area.sum()) / max(covered, 1)
    free = min(1.0, 1.5 * max(0.0, 1.0 - clutter / (0.15 if letters < 3 else 0.5)))
    even = max(0.0, 1.0 - 4.0 * max(0.0, float(row.peak.std() / row.peak.mean()) - 0.02))
    level = np.abs(row.bottom - np.median(row.bottom)) <= max(1.0, 0.1 * height)
    contrast = min(1.0, float(row.contrast.mean()) / 90.0)
    return contrast * free * even * float(level.mean()) * (1.0 - math.pow(0.5, letters - 1.0))


def _box(row: Components, strokes: Components, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the row's box in fractions, grown over strokes beside it (a dot, a dash, a letter that is cut off)."""
    height = float(np.median(row.height))
    box = [row.top.min(), row.left.min(), row.bottom.max(), row.right.max()]
    level = (strokes.top >= box[0] - 0.3 * height) & (strokes.bottom <= box[2] + 0.3 * height)
    level &= strokes.peak >= (1.0 - 2 * DIFFERENT) * row.peak.mean()
    waiting = strokes.where(level)
    while len(waiting):
        beside = (waiting.right >= box[1] - 0.6 * height) & (waiting.left <= box[3] + 0.6 * height)
        if not beside.any():
            break
        grown = waiting.where(beside)
        waiting = waiting.where(~beside)
        box = [
            min(box[0], grown.top.min()), min(box[1], grown.left.min()),
            max(box[2], grown.bottom.max()), max(box[3], grown.right.max()),
        ]  # fmt: skip
    tall, wide = shape
    # One pixel more, for the soft edge of the letters.
    return (
        max(float(box[0]) - 1, 0.0) / tall, max(float(box[1]) - 1, 0.0) / wide,
        min(float(box[2]) + 1, tall) / tall, min(float(box[3]) + 1, wide) / wide,
    )  # fmt: skip
