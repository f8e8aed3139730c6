"""The table of conditioning rules, and the one door to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hounsfield.core.image import Image
from hounsfield.errors import PlanError, ReadError
from hounsfield.prepare.clean import cleaned
from hounsfield.prepare.conditioning.foreground import percentiles, zscore
from hounsfield.prepare.conditioning.hounsfield import hounsfield
from hounsfield.prepare.conditioning.mammogram import breast_cut
from hounsfield.prepare.conditioning.pictures import colour, full_range
from hounsfield.prepare.conditioning.ultrasound import tissue
from hounsfield.prepare.conditioning.voi import voi
from hounsfield.prepare.place import Cut


@dataclass(frozen=True)
class Rule:
    """One rule: images of a case → frames.

    Attributes
    ----------
    apply:
        The images of one case → float32 arrays, one per frame, (height, width), or (height, width, 3) for `colour`.
    words:
        What it does, in plain words.
    source:
        The place in the standard or the paper that it follows, or why it has none.
    takes_hu:
        Whether images in Hounsfield units may come; else they are refused, as a CT sent to a model of radiographs.
    cut:
        An image and its frames from `apply` → what of them is kept; None where nothing is cropped.
    """

    name: str
    apply: Callable[[Sequence[Image]], list[np.ndarray]]
    words: str
    source: str
    takes_hu: bool = False
    cut: Callable[[Image, Sequence[np.ndarray]], Cut] | None = None


_ALL = (
    Rule(
        "hounsfield", hounsfield, "Hounsfield units as they are; the windows of the plan follow",
        "DICOM PS3.3 C.11.1.1.2 (rescale type HU) and C.8.2.1 (CT image)", takes_hu=True,
    ),
    Rule(
        "percentiles", percentiles, "the 1st to 99th percentile of the case's foreground becomes 0 to 1",
        "percentiles as the ends of the scale, after Nyúl and Udupa 1999 (Magn Reson Med 42:1072)",
        takes_hu=True,
    ),
    Rule(
        "zscore", zscore,
        "−3 to 5 standard deviations around the mean of the case's foreground (Otsu's threshold) become 0 to 1",
        "Reinhold et al. 2019 (SPIE Medical Imaging 10949:109493H), z-score; foreground by Otsu 1979 (IEEE SMC 9:62)",
        takes_hu=True,
    ),
    Rule(
        "voi", voi,
        "the file's own VOI LUT, else its window, else its 0.5th to 99.5th percentile becomes 0 to 1; MONOCHROME1 inverted",
        "DICOM PS3.3 C.11.2 (VOI LUT module) and C.7.6.3.1.2 (photometric interpretation)",
    ),
    Rule(
        "mammogram", voi, "as voi, then cropped to the breast, and mirrored where its chest wall is on the right",
        "DICOM PS3.3 C.11.2 and C.8.11.7 (mammography image); IHE Mammography Image profile; Otsu 1979",
        cut=breast_cut,
    ),
    Rule(
        "ultrasound", full_range,
        "cropped to the regions that show tissue; the range that the file can hold becomes 0 to 1, colour becomes luminance",
        "DICOM PS3.3 C.8.5.5 (US region calibration); ITU-R BT.601 (luminance)",
        cut=tissue,
    ),
    Rule(
        "range", full_range, "the range that the file can hold becomes 0 to 1; colour becomes luminance",
        "the file's bit depth (for DICOM PS3.3 C.7.6.3.1, bits stored); ITU-R BT.601 (luminance)",
    ),
    Rule(
        "colour", colour, "red, green and blue from 0 to 1; grey is repeated",
        "DICOM PS3.3 C.7.6.3.1.2 (RGB); pictures as they are",
    ),
)  # fmt: skip
RULES: dict[str, Rule] = {rule.name: rule for rule in _ALL}


def condition(rule: str, images: Sequence[Image], clean: Sequence[str] = ()) -> list[np.ndarray]:
    """Apply one rule to all images of a case, after what is named in `clean` was removed (see `prepare.clean`).

    Returns
    -------
    list of float32 arrays, one per frame, (height, width) or for the rule `colour` (height, width, 3). Their size is
    that of the image, or smaller where something is cropped.

    Raises
    ------
    PlanError
        If no rule has that name; the choices are listed.
    ReadError
        If an image is not of the kind that the rule is for (no Hounsfield units, say).
    """
    return [frame for frame, _ in conditioned(rule, images, clean)]


def conditioned(rule: str, images: Sequence[Image], clean: Sequence[str] = ()) -> list[tuple[np.ndarray, Cut]]:
    """Return the frames of `condition`, each with what of its picture is left."""
    check_rule(rule)
    if not RULES[rule].takes_hu and any(image.unit == "HU" for image in images):
        raise ReadError(
            f"the image is a CT in Hounsfield units, and the plan's rule {rule!r} is for other images",
            fix="Give images of the kind that the plan was made for.",
        )
    images, borders = zip(*[cleaned(image, clean) for image in images], strict=True)
    frames, cut = iter(RULES[rule].apply(images)), RULES[rule].cut
    found = []
    for image, border in zip(images, borders, strict=True):
        mine = list(itertools.islice(frames, image.frames))
        if cut is None:
            found += [(frame, border) for frame in mine]
        else:
            kept = cut(image, mine)
            found += [(kept.of(frame), border.then(kept)) for frame in mine]
    return found


def pictures(rule: str, images: Sequence[Image], clean: Sequence[str] = ()) -> list[np.ndarray]:
    """Return the frames of `condition` before anything was cropped, for people to look at; what was blanked stays blank."""
    blanked = [kind for kind in clean if kind != "border"]
    return RULES[rule].apply([cleaned(image, blanked)[0] for image in images])


def check_rule(rule: str) -> None:
    """Raise a PlanError, which lists the choices, if no rule has that name."""
    if rule not in RULES:
        raise PlanError(f"conditioning: there is no rule named {rule!r}", fix=f"Choose from: {', '.join(RULES)}.")


def describe(rule: str) -> str:
    """Return in words what a rule does."""
    return RULES[rule].words
