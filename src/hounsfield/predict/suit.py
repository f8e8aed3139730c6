"""Is the input fit for this model: what training notes of its cases, and what prediction asks of each new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from hounsfield.core import Bundle, Predictions
from hounsfield.errors import BundleError
from hounsfield.plan.anatomy import region_of
from hounsfield.prepare.reach import beyond, values_of
from hounsfield.prepare.suited import UNLIKE, Suited, thumbnail

INPUT = "input"
# Pixels may be so many times smaller or larger than those of any training case.
SPACING_FACTOR = 2.0


@dataclass(frozen=True)
class Seen:
    """What an image is like.

    Attributes
    ----------
    reason:
        Why it does not suit; None where it does.
    brightness, contrast:
        Mean and standard deviation of its conditioned values, 0 to 1.
    distance:
        From the training images, as a share of the limit; None where the bundle does not know them.
    """

    reason: str | None
    brightness: float
    contrast: float
    distance: float | None


Check = Callable[[np.ndarray, np.ndarray | None], Seen]


def noted(train: pl.DataFrame, described: Mapping[str, Any]) -> dict[str, Any]:
    """What a bundle keeps of its training cases for `checks`: their headers, and what `train.describe` says of their images."""
    spacings = [float(row[-1]) for row in train["spacing"].drop_nulls().to_list() if row]
    return {
        "modalities": sorted(train["modality"].drop_nulls().unique().to_list()),
        "body_parts": sorted(train["body_part"].drop_nulls().unique().to_list()),
        "spacing": [round(min(spacings), 4), round(max(spacings), 4)] if spacings else None,
        **described,
    }


def checks(bundle: Bundle) -> tuple[Callable[[Mapping[str, Any]], str | None], Check]:
    """Return what to ask of a case's row in the cohort (it gives a reason, or None), and of its image and embedding.

    Raises
    ------
    BundleError
        If what the bundle noted cannot be understood.
    """
    known = bundle.reference.get(INPUT) or {}
    content = known.get("suited")
    try:
        suited = None if content is None else Suited.model_validate(content)
    except ValidationError as error:
        raise BundleError("what the bundle knows of its training images is not valid", where=bundle.folder) from error

    reach = known.get("reach") or {}

    def check(case: np.ndarray, embedding: np.ndarray | None) -> Seen:
        reason, distance = (None, None) if suited is None else suited.look(thumbnail(case), embedding)
        values = values_of(case, colour="colour" in reach)
        # What is turned or inverted is named so; of an image that is only unlike, its values may tell why.
        if reason is None or reason == UNLIKE:
            reason = beyond(values, reach) or reason
        return Seen(reason, values["brightness"], values["contrast"], distance)

    return lambda row: _by_header(row, known), check


def with_looks(predictions: Predictions, rows: pl.DataFrame, seen: Mapping[str, Seen]) -> Predictions:
    """Add what images are like: `image:brightness`, `image:contrast`, `image:distance`, and `image:spacing` (mm, of a column)."""
    each = [seen[case] for case in rows["case"]]
    spacing = [float(row[-1]) if row else None for row in rows["spacing"].to_list()]
    columns: dict[str, Sequence[float | None]] = {
        "brightness": [one.brightness for one in each], "contrast": [one.contrast for one in each],
        "distance": [one.distance for one in each], "spacing": spacing,
    }  # fmt: skip
    table = predictions.table.with_columns(
        pl.Series(f"image:{name}", values, pl.Float64) for name, values in columns.items()
    )
    return Predictions(table, predictions.task)


def _by_header(row: Mapping[str, Any], known: Mapping[str, Any]) -> str | None:
    modality, part = row.get("modality"), row.get("body_part")
    modalities, parts = known.get("modalities") or [], known.get("body_parts") or []
    if modality and modalities and modality not in modalities:
        return f"its modality is {modality}, and the model was trained on {', '.join(modalities)}"
    regions = {region_of(name) for name in parts}
    # Names of body parts are free enough in practice that only two known regions can contradict each other.
    if part and region_of(part) and None not in regions and regions and region_of(part) not in regions:
        return (
            f"it shows the {region_of(part)}, and the model was trained on the {', '.join(sorted(map(str, regions)))}"
        )
    spacing, reach = row.get("spacing"), known.get("spacing")
    if spacing and reach:
        size = float(spacing[-1])
        if not reach[0] / SPACING_FACTOR <= size <= reach[1] * SPACING_FACTOR:
            return f"its pixels are {size:.2g} mm wide, and those of the training images {reach[0]:.2g} to {reach[1]:.2g} mm"
    return None
