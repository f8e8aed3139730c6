"""explain: chosen cases → Grad-CAM as pictures and as arrays with their raw scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.errors import HounsfieldError, UsageError
from hounsfield.explain.gradcam import Attribution, grad_cam
from hounsfield.explain.pictures import overlaid, save_picture, shown
from hounsfield.models import Network
from hounsfield.models.device import choose_device
from hounsfield.predict import files_of, load_network, preparation_of
from hounsfield.prepare import CaseFiles, apply_stored, conditioned_frames
from hounsfield.read import each


@dataclass(frozen=True)
class Explanation:
    """A case with its map, and the frame that the map belongs to (conditioned values)."""

    case: str
    attribution: Attribution
    frame: np.ndarray


def explain(
    bundle: Bundle,
    cohort: Cohort,
    targets: dict[str, str],
    *,
    device: str = "auto",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Explanation]:
    """Explain cases, each for one label (case → label), in the order given.

    Raises
    ------
    UsageError
        If a case is not in the cohort or cannot be read.
    """
    table = cohort.usable.filter(pl.col("case").is_in(list(targets)))
    missing = sorted(set(targets) - set(table["case"]))
    if missing:
        raise UsageError(f"there is no usable case {missing[0]}", fix="List cases with: hounsfield show RUN --cases")
    network, preparation = load_network(bundle, device), preparation_of(bundle)
    chosen = {case.case: case for case in files_of(cohort, table)}
    jobs = [(chosen[case], preparation) for case in targets]
    found = []
    for index, frames in each(_frames_of, jobs, workers=workers):
        case = list(targets)[index]
        if isinstance(frames, HounsfieldError):
            raise UsageError(f"{case} cannot be read: {frames.what}")
        found.append(_explain_one(network, bundle, case, frames, targets[case], device))
        if progress is not None:
            progress(index + 1, len(jobs))
    return found


def write_panels(
    folder: Path, bundle: Bundle, explanations: Sequence[Explanation], facts: Sequence[dict[str, Any]]
) -> Path:
    """Write pictures, arrays and panels.json. All overlays of one call share a colour scale, told in each note.

    Parameters
    ----------
    facts:
        One per explanation: what else the panel says (kind, part, truth, decision, probability).
    """
    files.make_folder(folder)
    common = max((one.attribution.scale for one in explanations), default=0.0)
    panels = []
    for one, known in zip(explanations, facts, strict=True):
        attribution = one.attribution
        picture = shown(one.frame, bundle.recipe)
        save_picture(folder / f"{one.case}.png", picture)
        save_picture(folder / f"{one.case}-gradcam.png", overlaid(picture, attribution.values, common))
        with files.replacing(folder / f"{one.case}-gradcam.npz") as partial, partial.open("wb") as file:
            np.savez_compressed(
                file, values=attribution.values, scale=np.float64(attribution.scale), slice=np.int64(attribution.slice),
                target=np.str_(attribution.target), bundle=np.str_(bundle.core_digest),
            )  # fmt: skip
        note = f"colours run from 0 to {common:.3g}{_which(attribution)}"
        panels.append({
            "case": one.case, **known, "target": attribution.target, "image": f"{one.case}.png",
            "overlay": f"{one.case}-gradcam.png", "scale": attribution.scale, "note": note,
        })  # fmt: skip
    files.write_json(folder / "panels.json", panels)
    return folder / "panels.json"


def _which(attribution: Attribution) -> str:
    if attribution.slices == 1:
        return ""
    counted = "" if attribution.weight is None else f", which counts {attribution.weight:.0%}"
    return f"; slice {attribution.slice + 1} of the {attribution.slices} that the network saw{counted}"


def _explain_one(
    network: Network, bundle: Bundle, case: str, frames: list[np.ndarray], target: str, device: str
) -> Explanation:
    stored = np.stack([apply_stored(bundle.recipe, frame) for frame in frames])
    sizes = [(int(frame.shape[0]), int(frame.shape[1])) for frame in frames]
    attribution = grad_cam(network, stored, sizes, bundle.recipe, bundle.labels, target, choose_device(device))
    frame, beside = frames[attribution.slice], bundle.plan.adjacent.value
    return Explanation(case, attribution, frame[..., beside] if beside else frame)


def _frames_of(job: tuple[CaseFiles, Any]) -> list[np.ndarray]:
    return conditioned_frames(*job)
