"""What the page of a case is made of: explain/<case>.json and the pictures that it names, beside those of the panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image as Picture

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.core.recipe import Window
from hounsfield.errors import HounsfieldError
from hounsfield.explain.agreement import Agreement, agreement, marked_picture
from hounsfield.explain.explain import Explanation, common_scales
from hounsfield.explain.methods import METHODS
from hounsfield.explain.orientation import frame_number, marks_of
from hounsfield.explain.pictures import overlaid, save_picture, shown
from hounsfield.explain.similar import Similar, embed, library_of, similar
from hounsfield.models.device import choose_device
from hounsfield.predict import files_of, load_network, preparation_of
from hounsfield.prepare import CaseFiles, Preparation, seen
from hounsfield.read import each

LIBRARY = "neighbours.npz"
THUMBNAIL = 256
# Of the picture of a colour scale: its ground is the grey that maps are seen on most.
SCALE_SIZE, GROUND = (16, 256), 96


def write_records(
    folder: Path, bundle: Bundle, cohort: Cohort, explanations: Sequence[Explanation], *, device: str = "auto",
    workers: int | None = None, progress: Callable[[int, int], None] | None = None,
) -> list[Path]:  # fmt: skip
    """Write <case>.json for each explained case, after `write_panels`; return the paths.

    The record holds the place of the slice, the window, the maps with their colour scales, how far they agree, the checks, and
    the most similar training cases; of these `neighbours.npz` keeps what the network makes of the training part.

    Parameters
    ----------
    progress:
        Of the training cases that are read for the search; not called where they were read before.
    """
    network = load_network(bundle, device)
    library = library_of(
        bundle, cohort, folder / LIBRARY, network=network, device=device, workers=workers, progress=progress
    )
    table = cohort.table.filter(pl.col("case").is_in([one.case for one in explanations]))
    found = {case.case: case for case in files_of(cohort, table)}
    vectors = dict(embed(
        network, [found[one.case] for one in explanations], preparation_of(bundle), device=choose_device(device), workers=workers
    ))  # fmt: skip
    common = common_scales(explanations)
    for method, scale in common.items():
        save_picture(folder / _scale_name(method), _scale(scale, signed=METHODS[method].signed))
    written = []
    for one in explanations:
        vector = vectors.get(one.case)
        near = None if library is None or vector is None else similar(library, vector, cohort, one.case)
        record = {
            "case": one.case, "bundle": bundle.core_digest, "target": one.attribution.target, "image": f"{one.case}.png",
            **_place(one, bundle, found[one.case], table), "window": _window(bundle),
            "maps": [_map(one, number, common) for number in range(len(one.attributions))],
            "checks": [check.to_dict() for check in one.checks], "agreement": _agreement(folder, one, bundle),
            "similar": None if near is None else _similar(folder, one, bundle, cohort, near, workers),
        }  # fmt: skip
        written.append(folder / f"{one.case}.json")
        files.write_json(written[-1], record)
    return written


def _place(one: Explanation, bundle: Bundle, case: CaseFiles, table: pl.DataFrame) -> dict[str, Any]:
    first = one.attribution
    total = sum(case.frames)
    number = frame_number(case, bundle.plan, first.slice)
    return {
        "slice": first.slice + 1, "slices": first.slices, "weight": first.weight,
        "frame": None if number is None or total == 1 else number + 1, "frames": total,
        "marks": marks_of(case, bundle.plan, first.slice),
        "aspect": _aspect(one.frame, bundle, table.filter(pl.col("case") == one.case)["spacing"][0]),
    }  # fmt: skip


def _aspect(frame: np.ndarray, bundle: Bundle, spacing: pl.Series | None) -> float:
    """Width over height of a frame as it lies in the patient: pixels need not be square."""
    height, width = frame.shape[:2]
    plan = bundle.plan.spacing.value
    if plan is not None:
        down, across = plan[1:]
    elif spacing is not None and len(spacing) >= 2:
        down, across = (float(value) for value in spacing.to_list()[-2:])
    else:
        down = across = 1.0
    return width * across / (height * down)


def _window(bundle: Bundle) -> dict[str, Any]:
    windows = next(step for step in bundle.recipe.steps if isinstance(step, Window)).windows
    return {
        "windows": [list(pair) for pair in windows],
        "unit": bundle.plan.unit.value,
        "conditioning": bundle.plan.conditioning.value,
    }


def _map(one: Explanation, number: int, common: dict[str, float]) -> dict[str, Any]:
    attribution = one.attributions[number]
    method = attribution.method
    return {
        "method": method, "title": METHODS[method].title, "overlay": f"{one.case}-{method.replace('+', 'p')}.png",
        "signed": attribution.signed, "unit": attribution.unit, "settings": dict(attribution.settings),
        "own": attribution.scale, "limit": common[method], "colours": _scale_name(method),
    }  # fmt: skip


def _scale_name(method: str) -> str:
    return f"scale-{method.replace('+', 'p')}.png"


def _scale(limit: float, *, signed: bool) -> np.ndarray:
    """The colours of a map from the lowest value (left) to the greatest, laid over grey as they are laid over the image."""
    height, width = SCALE_SIZE
    ground = np.full((height, width, 3), GROUND, dtype=np.uint8)
    values = np.broadcast_to(np.linspace(-limit if signed else 0.0, limit, width), (height, width))
    return overlaid(ground, values, limit, signed=signed)


def _agreement(folder: Path, one: Explanation, bundle: Bundle) -> dict[str, Any] | None:
    """Hold the maps against each other; None of a single one."""
    if len(one.attributions) < 2:
        return None
    maps = {METHODS[item.method].title: item.values for item in one.attributions}
    found: Agreement = agreement(maps, one.attribution.target)
    name = f"{one.case}-agreement.png"
    save_picture(folder / name, marked_picture(shown(one.frame, bundle.recipe), found.counts))
    return {"picture": name, **found.to_dict()}


def _similar(
    folder: Path, one: Explanation, bundle: Bundle, cohort: Cohort, near: Similar, workers: int | None
) -> dict[str, Any]:
    """The neighbours with a picture each, of the slice at the same relative place as the explained one."""
    cases = [neighbour.case for neighbour in near.neighbours]
    place = (one.attribution.slice + 0.5) / one.attribution.slices
    pictures = _thumbnails(bundle, cohort, cases, place, workers)
    rows = []
    for number, neighbour in enumerate(near.neighbours, start=1):
        name = f"{one.case}-near-{number}.png"
        picture = pictures.get(neighbour.case)
        if picture is not None:
            save_picture(folder / name, picture)
        rows.append({
            "case": neighbour.case, "likeness": neighbour.likeness, "rank": neighbour.rank, "picture": None if picture is None else name,
        })  # fmt: skip
    return {"source": near.source, "among": near.among, "left_out": near.left_out, "neighbours": rows}


def _thumbnails(
    bundle: Bundle, cohort: Cohort, cases: Sequence[str], place: float, workers: int | None
) -> dict[str, np.ndarray]:
    """Case → its picture in the recipe's window, the longer side at most `THUMBNAIL`; cases that cannot be read are not there."""
    table = cohort.usable.filter(pl.col("case").is_in(cases))
    chosen, preparation = files_of(cohort, table), preparation_of(bundle)
    found = {}
    for index, frame in each(_frame_at, [(case, preparation, place) for case in chosen], workers=workers):
        if isinstance(frame, HounsfieldError):
            continue
        picture = Picture.fromarray(shown(frame, bundle.recipe))
        aspect = _aspect(frame, bundle, table["spacing"][index])
        side = min(THUMBNAIL, max(picture.size))
        wanted = (side, max(1, round(side / aspect))) if aspect >= 1 else (max(1, round(side * aspect)), side)
        found[chosen[index].case] = np.asarray(picture.resize(wanted, Picture.Resampling.BILINEAR))
    return found


def _frame_at(job: tuple[CaseFiles, Preparation, float]) -> np.ndarray:
    """The picture at a share of the way through a case."""
    case, preparation, place = job
    pictures = seen(case, preparation).pictures
    return pictures[min(int(place * len(pictures)), len(pictures) - 1)]
