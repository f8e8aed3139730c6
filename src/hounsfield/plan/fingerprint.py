"""The fingerprint of a cohort: the few facts that every rule of the planner looks at."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from hounsfield.core.cohort import Cohort
from hounsfield.core.image import Image
from hounsfield.errors import HounsfieldError, PlanError
from hounsfield.prepare import case_files
from hounsfield.prepare.case import evenly_spaced
from hounsfield.prepare.conditioning import looks_hounsfield
from hounsfield.read import Source, each, kind_of, read_image

SAMPLE = 24
# Samples of air say nothing about the window that tissue needs; nor does the padding outside the scanner's circle.
AIR_HU = -900.0


@dataclass(frozen=True)
class Fingerprint:
    """What the planner knows of the training cases. Values come from a sample of them, counts from all.

    `folds` counts all members of a cross-validation, repeats too. `is_picture` says that the range which the files can hold
    means something: 8 bits, or a picture format. `kind` is what most files are: dicom, nifti, raster or npz.
    `looks_hounsfield`: they have no unit, and most hold values like HU.
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


def fingerprint(cohort: Cohort, *, workers: int | None = None) -> Fingerprint:
    """Look at a sample of the training files, decoded in worker processes, and at the whole table.

    Raises
    ------
    PlanError
        If cases have several labels, or no file of the sample can be read; the reasons are given.
    """
    if cohort.about.multi_label:
        raise PlanError(
            f"the cohort has {len(cohort.about.labels)} labels per case, and so far one is trained at a time",
            fix="Scan with one --label (such a cohort can be audited, and its split kept with --split column=…).",
        )
    train = cohort.part("train")
    rows = train[evenly_spaced(train.height, min(SAMPLE, train.height))].unique("case", maintain_order=True)
    sources = [
        case_files(cohort.locate(keys[:1]), [1], case).sources[0]
        for case, keys in rows.select("case", "files").iter_rows()
    ]
    results = [result for _, result in each(_look, sources, workers=workers)]
    looks = [result for result in results if isinstance(result, _Look)]
    if not looks:
        reasons = "; ".join(sorted({str(result.what) for result in results if isinstance(result, HounsfieldError)})[:3])
        raise PlanError(f"none of {len(results)} sampled training files can be read: {reasons}")
    counts = dict(train.group_by("label").len().iter_rows())
    frames = train["frames"].list.sum()
    return Fingerprint(
        unit=Counter(look.unit for look in looks).most_common(1)[0][0],
        modality=_most(train, "modality"), body_part=_most(train, "body_part"),
        cases=train.height, patients=train["patient"].n_unique(),
        counts={label: int(counts.get(label, 0)) for label in cohort.about.labels},
        labels=cohort.about.labels, positive=cohort.about.positive, folds=cohort.about.folds * cohort.about.repeats,
        frames=_median(frames), height=_median(train["rows"]), width=_median(train["columns"]),
        is_picture=all(look.is_picture for look in looks),
        low=float(np.median([look.low for look in looks])), high=float(np.median([look.high for look in looks])),
        seconds_per_frame=float(np.median([look.seconds / look.frames for look in looks])),
        frames_to_read=int(cohort.usable["frames"].list.sum().sum()),
        kind=Counter(look.kind for look in looks).most_common(1)[0][0],
        looks_hounsfield=2 * sum(look.looks_hounsfield for look in looks) > len(looks),
    )  # fmt: skip


def _look(source: Source) -> _Look:
    started = time.perf_counter()
    image = read_image(source)
    seconds = time.perf_counter() - started
    kind = kind_of(source.path) or ""
    in_hu = looks_hounsfield([image])
    low, high = _tissue_range(image, image.unit == "HU" or in_hu)
    return _Look(image.unit, kind, _is_picture(image, kind), in_hu, low, high, image.frames, seconds)


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


def _most(table: pl.DataFrame, column: str) -> str | None:
    values: Sequence[Any] = table[column].drop_nulls().to_list()
    return Counter(values).most_common(1)[0][0] if values else None


def _median(column: pl.Series) -> int:
    value = column.median()
    assert isinstance(value, (int, float))
    return max(1, round(value))
