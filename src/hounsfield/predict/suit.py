"""Is the input fit for this model: what training notes of its cases, and what prediction asks of each new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from pydantic import ValidationError

from hounsfield.core import Bundle
from hounsfield.errors import BundleError
from hounsfield.plan.anatomy import region_of
from hounsfield.prepare.suited import Suited, thumbnail

INPUT = "input"
# Pixels may be so many times smaller or larger than those of any training case.
SPACING_FACTOR = 2.0

Check = Callable[[np.ndarray, np.ndarray | None], str | None]


def noted(train: pl.DataFrame, suited: Suited | None) -> dict[str, Any]:
    """What a bundle keeps of its training cases for `checks`: no patient, no image."""
    spacings = [float(row[-1]) for row in train["spacing"].drop_nulls().to_list() if row]
    return {
        "modalities": sorted(train["modality"].drop_nulls().unique().to_list()),
        "body_parts": sorted(train["body_part"].drop_nulls().unique().to_list()),
        "spacing": [round(min(spacings), 4), round(max(spacings), 4)] if spacings else None,
        "suited": None if suited is None else suited.model_dump(mode="json"),
    }


def checks(bundle: Bundle) -> tuple[Callable[[Mapping[str, Any]], str | None], Check | None]:
    """Return what to ask of a case's row in the cohort, and of its image and embedding: each gives a reason, or None.

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
    check = None if suited is None else lambda case, embedding: suited.reason(thumbnail(case), embedding)
    return lambda row: _by_header(row, known), check


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
