"""Cleaning: what the plan's decision `clean` names is taken out of an image, before its conditioning rule sees it.

"text" (burned-in letters) and "marker" (the R or L of a radiograph) are blanked, "border" (empty rows and columns around
the picture) is cropped. Blanking leaves a dark box: a network can no longer read the letters, but it may still see where
they stood.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hounsfield.core.image import Image, Region
from hounsfield.prepare.place import Cut

if TYPE_CHECKING:
    from hounsfield.artefacts import Artefact


def cleaned(image: Image, what: Collection[str]) -> tuple[Image, Cut]:
    """Return the image without what is named, or the image itself where nothing is; and what of it is left.

    Text and markers are sought in every frame by itself (a frame counter changes its place), and come first, so that
    letters on an empty border do not count as picture. All frames are cropped to one box, which holds what any of
    them shows; the affine and the ultrasound regions move with it.
    """
    letters = [kind for kind in ("text", "marker") if kind in what]
    if letters:
        image = _blanked(image, letters)
    whole = Cut.box((0, image.size[0]), (0, image.size[1]))
    return _cropped(image, whole) if "border" in what else (image, whole)


def _blanked(image: Image, kinds: Collection[str]) -> Image:
    from hounsfield.artefacts import mask_of

    dark = float(image.pixels.max() if image.facts.inverted else image.pixels.min())
    pixels = image.pixels.copy()
    for frame, found in zip(pixels, _found(image), strict=True):
        frame[mask_of([artefact for artefact in found if artefact.kind in kinds], image.size)] = dark
    return replace(image, pixels=pixels)


def _cropped(image: Image, whole: Cut) -> tuple[Image, Cut]:
    height, width = image.size
    boxes = []
    for found in _found(image):
        content = [artefact.box for artefact in found if artefact.kind == "border"]
        if not content:
            return image, whole  # a frame that fills the picture leaves nothing to crop
        boxes += content
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    # The tiny amount forgives fractions such as 0.30000000000000004, which would take in one pixel more.
    top, left = math.floor(min(tops) * height + 1e-6), math.floor(min(lefts) * width + 1e-6)
    bottom, right = math.ceil(max(bottoms) * height - 1e-6), math.ceil(max(rights) * width - 1e-6)
    affine = image.affine
    if affine is not None:
        affine = affine.copy()
        affine[:3, 3] += left * affine[:3, 0] + top * affine[:3, 1]
    regions = tuple(
        Region(box.top - top, box.left - left, box.bottom - top, box.right - left) for box in image.facts.regions
    )
    pixels = np.ascontiguousarray(image.pixels[:, top:bottom, left:right])
    cropped = replace(image, pixels=pixels, affine=affine, facts=replace(image.facts, regions=regions))
    return cropped, Cut.box((top, bottom), (left, right))


def _found(image: Image) -> list[list[Artefact]]:
    # Only plans that clean need the room of artefacts; workers of all others start without it.
    from hounsfield.artefacts import find

    return find(image)
