"""The fingerprint of a cohort: the few facts that every rule of the planner looks at."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from hounsfield.core.cohort import Cohort
from hounsfield.core.image import Image
from hounsfield.errors import HounsfieldError, PlanError
from hounsfield.plan.counting import Counts, count_labels
from hounsfield.prepare import case_files
from hounsfield.prepare.case import evenly_spaced
from hounsfield.prepare.conditioning import looks_hounsfield
from hounsfield.prepare.volume import grid_of
from hounsfield.read import Source, each, kind_of, read_image

SAMPLE = 24
# Samples of air say nothing about the window that tissue needs; nor does the padding outside the scanner's circle.
AIR_HU = -900.0
FEWEST, MOST = 0.05, 0.95
SMALLEST_SIDE, SMALL_SIDE = 16, 64


@dataclass(frozen=True)
class Fingerprint:
    """What the planner knows of the training cases. Values come from a sample of them, counts from all.

    Attributes
    ----------
    counts, known, patients_of:
        Per label: training cases that have it, cases of which it is known, and patients who have it. Without
        `multi_label` every case is known, and counts add up to the cases.
    folds, repeats:
        All members of a cross-validation, repeats too; and how many of these there are.
    parts:
        Cases of each part, for the cost.
    frames, fewest_frames, most_frames:
        Slices of a case: the median, the 5th and the 95th percentile.
    pixel_spacing, slice_spacing:
        Millimetres between rows and between columns, and between slices; medians, None where no file states them.
    is_picture:
        The range which the files can hold means something: 8 bits, or a picture format.
    kind:
        What most files are: dicom, nifti, raster or npz.
    looks_hounsfield:
        They have no unit, and most hold values like HU.
    """

    unit: str
    modality: str | None
    body_part: str | None
    cases: int
    patients: int
    counts: dict[str, int]
    labels: list[str]
    positive: str | None
    folds: int
    frames: int
    height: int
    width: int
    is_picture: bool
    low: float
    high: float
    seconds_per_frame: float
    frames_to_read: int
    kind: str = "dicom"
    looks_hounsfield: bool = False
    repeats: int = 1
    multi_label: bool = False
    known: dict[str, int] = field(default_factory=dict)
    patients_of: dict[str, int] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)
    fewest_frames: int = 1
    most_frames: int = 1
    pixel_spacing: tuple[float, float] | None = None
    slice_spacing: float | None = None

    @property
    def deepest(self) -> int:
        """Slices that nearly every case fits into."""
        return max(self.frames, self.most_frames)

    @property
    def is_small_volume(self) -> bool:
        """Whether a case is a stack of 16 to 64 voxels a side."""
        sides = (self.deepest, self.height, self.width)
        return min(sides) >= SMALLEST_SIDE and max(sides) <= SMALL_SIDE

    @property
    def anisotropy(self) -> float | None:
        """How many times as far slices lie apart as pixels; None where the files do not say."""
        if self.pixel_spacing is None or self.slice_spacing is None:
            return None
        return self.slice_spacing / min(self.pixel_spacing)


@dataclass(frozen=True)
class _Look:
    unit: str
    kind: str
    is_picture: bool
    looks_hounsfield: bool
    low: float
    high: float
    frames: int
    seconds: float
    between: float | None


def fingerprint(cohort: Cohort, *, workers: int | None = None) -> Fingerprint:
    """Look at a sample of the training files, decoded in worker processes, and at the whole table.

    Raises
    ------
    PlanError
        If no file of the sample can be read; the reasons are given.
    """
    train = cohort.part("train")
    looks = _looks(cohort, train, workers)
    labelled: Counts = count_labels(train, cohort.about.labels, multi_label=cohort.about.multi_label)
    frames = train["frames"].list.sum()
    between = [look.between for look in looks if look.between is not None]
    return Fingerprint(
        unit=Counter(look.unit for look in looks).most_common(1)[0][0],
        modality=_most(train, "modality"), body_part=_most(train, "body_part"),
        cases=train.height, patients=train["patient"].n_unique(),
        counts=labelled.present, known=labelled.known, patients_of=labelled.patients,
        labels=cohort.about.labels, multi_label=cohort.about.multi_label, positive=cohort.about.positive,
        folds=cohort.about.folds * cohort.about.repeats, repeats=cohort.about.repeats, parts=cohort.parts,
        frames=_median(frames), fewest_frames=_share(frames, FEWEST), most_frames=_share(frames, MOST),
        height=_median(train["rows"]), width=_median(train["columns"]),
        pixel_spacing=_pixel_spacing(train), slice_spacing=float(np.median(between)) if between else None,
        is_picture=all(look.is_picture for look in looks),
        low=float(np.median([look.low for look in looks])), high=float(np.median([look.high for look in looks])),
        seconds_per_frame=float(np.median([look.seconds / look.frames for look in looks])),
        frames_to_read=int(cohort.usable["frames"].list.sum().sum()),
        kind=Counter(look.kind for look in looks).most_common(1)[0][0],
        looks_hounsfield=2 * sum(look.looks_hounsfield for look in looks) > len(looks),
    )  # fmt: skip


def _looks(cohort: Cohort, train: pl.DataFrame, workers: int | None) -> list[_Look]:
    """Look at the middle file of some cases, and at the one after it: the step between slices is theirs."""
    rows = train[evenly_spaced(train.height, min(SAMPLE, train.height))].unique("case", maintain_order=True)
    pairs = []
    for case, keys in rows.select("case", "files").iter_rows():
        middle = max(0, len(keys) // 2 - 1)
        chosen = keys[middle : middle + 2]
        pairs.append(case_files(cohort.locate(chosen), [1] * len(chosen), case).sources)
    results = [result for _, result in each(_look, pairs, workers=workers)]
    looks = [result for result in results if isinstance(result, _Look)]
    if not looks:
        reasons = "; ".join(sorted({str(result.what) for result in results if isinstance(result, HounsfieldError)})[:3])
        raise PlanError(f"none of {len(results)} sampled training files can be read: {reasons}")
    return looks


def _look(pair: Sequence[Source]) -> _Look:
    started = time.perf_counter()
    image = read_image(pair[0])
    seconds = time.perf_counter() - started
    kind = kind_of(pair[0].path) or ""
    in_hu = looks_hounsfield([image])
    low, high = _tissue_range(image, image.unit == "HU" or in_hu)
    between = grid_of([image, *(read_image(source) for source in pair[1:])]).between_slices
    return _Look(image.unit, kind, _is_picture(image, kind), in_hu, low, high, image.frames, seconds, between)


def _is_picture(image: Image, kind: str) -> bool:
    """Say whether the range that the file can hold means something: 8-bit grey, or a picture format.

    The 16 bits of a DICOM or NIfTI file are a container, of which most scanners fill a part.
    """
    found = image.facts.value_range
    return found is not None and (found[1] - found[0] <= 255 or kind in ("raster", "npz"))


def _tissue_range(image: Image, in_hu: bool) -> tuple[float, float]:
    values = image.pixels[:, ::4, ::4].ravel()
    if in_hu:
        values = values[values > AIR_HU]
    if values.size == 0:
        return AIR_HU, 0.0
    low, high = np.percentile(values, [0.5, 99.5])
    return float(low), float(high)


def _pixel_spacing(train: pl.DataFrame) -> tuple[float, float] | None:
    """Median millimetres between rows and between columns, which the table holds last."""
    stated = train["spacing"].drop_nulls()
    if stated.is_empty():
        return None
    rows, columns = (stated.list.get(place).median() for place in (-2, -1))
    return float(rows), float(columns)  # type: ignore[arg-type]


def _most(table: pl.DataFrame, column: str) -> str | None:
    values: Sequence[Any] = table[column].drop_nulls().to_list()
    return Counter(values).most_common(1)[0][0] if values else None


def _median(column: pl.Series) -> int:
    return _share(column, 0.5)


def _share(column: pl.Series, share: float) -> int:
    value = column.quantile(share, "linear")
    assert isinstance(value, (int, float))
    return max(1, round(value))
