"""explain: chosen cases → maps as pictures and as arrays with their raw scale."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.errors import HounsfieldError, UsageError
from hounsfield.explain.attribution import Attribution
from hounsfield.explain.checks import Check, check_maps
from hounsfield.explain.methods import METHODS, attribute, check_method
from hounsfield.explain.pictures import overlaid, save_picture, shown
from hounsfield.explain.subject import subject_of
from hounsfield.models.device import choose_device
from hounsfield.predict import files_of, load_network, preparation_of
from hounsfield.prepare import CaseFiles, apply_stored, conditioned_frames
from hounsfield.read import each

GRADCAM = "gradcam"
# Of a case that is asked for by name, where no method is: one of each school, so that they can be held against each other.
CASE_METHODS = (GRADCAM, "kernel-shap", "lime")


@dataclass(frozen=True)
class Explanation:
    """A case with its maps, one per method in the order asked for, and the frame that they belong to (conditioned values).

    Every method explains the same slice: of volumes the one where the first map with any contrast is greatest. `frames` has
    one frame per map. `checks` are empty unless asked for.
    """

    case: str
    attributions: list[Attribution]
    frames: list[np.ndarray]
    checks: list[Check] = field(default_factory=list)

    @property
    def attribution(self) -> Attribution:
        """The map of the first method."""
        return self.attributions[0]

    @property
    def frame(self) -> np.ndarray:
        return self.frames[0]


def explain(
    bundle: Bundle,
    cohort: Cohort,
    targets: dict[str, str],
    methods: Sequence[str] = (GRADCAM,),
    *,
    check: bool = False,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Explanation]:
    """Explain cases, each for one label (case → label), in the order given, by each of the methods.

    With `check` each map is asked whether it means something (`check_maps`), which takes some hundred looks at a case.

    Raises
    ------
    UsageError
        If a case is not in the cohort or cannot be read, or there is no such method.
    """
    table = cohort.usable.filter(pl.col("case").is_in(list(targets)))
    missing = sorted(set(targets) - set(table["case"]))
    if missing:
        raise UsageError(f"there is no usable case {missing[0]}", fix="List cases with: hounsfield show RUN --cases")
    for method in methods:
        check_method(method)
    network, preparation = load_network(bundle, device), preparation_of(bundle)
    chosen = {case.case: case for case in files_of(cohort, table)}
    jobs = [(chosen[case], preparation) for case in targets]
    found: list[Explanation] = []
    for index, frames in each(_frames_of, jobs, workers=workers):
        case = list(targets)[index]
        if isinstance(frames, HounsfieldError):
            raise UsageError(f"{case} cannot be read: {frames.what}")
        stored = np.stack([apply_stored(bundle.recipe, frame) for frame in frames])
        subject = subject_of(network, stored, bundle.recipe, bundle.labels, targets[case], choose_device(device))
        sizes = [(int(frame.shape[0]), int(frame.shape[1])) for frame in frames]
        maps: list[Attribution] = []
        at: int | None = None
        for method in methods:
            maps.append(attribute(subject, method, sizes, seed=seed, at=at))
            at = maps[-1].slice if at is None and maps[-1].scale > 0 else at
            if progress is not None:
                progress(len(found) * len(methods) + len(maps), len(jobs) * len(methods))
        # Of a volume, an empty map is as empty in the slice of the others.
        maps = maps if at is None else [replace(one, slice=at) for one in maps]
        checks = check_maps(subject, methods, seed=seed) if check else []
        found.append(Explanation(case, maps, [middle(frames[one.slice], bundle) for one in maps], checks))
    return found


def middle(frame: np.ndarray, bundle: Bundle) -> np.ndarray:
    """Return the slice itself of a frame whose channels are it and its neighbours."""
    beside = bundle.plan.adjacent.value
    return frame[..., beside] if beside else frame


def write_panels(
    folder: Path, bundle: Bundle, explanations: Sequence[Explanation], facts: Sequence[dict[str, Any]]
) -> Path:
    """Write pictures, arrays and panels.json. All overlays of a method share a colour scale, told in each note.

    Parameters
    ----------
    facts:
        One per explanation: what else the panel says (kind, part, truth, decision, probability).
    """
    files.make_folder(folder)
    common = common_scales(explanations)
    panels = []
    for one, known in zip(explanations, facts, strict=True):
        maps = [
            _write_map(folder, bundle, one.case, attribution, frame, common[attribution.method])
            for attribution, frame in zip(one.attributions, one.frames, strict=True)
        ]
        save_picture(folder / f"{one.case}.png", shown(one.frame, bundle.recipe))
        panels.append({
            "case": one.case, **known, "target": one.attribution.target, "image": f"{one.case}.png",
            "overlay": maps[0]["overlay"], "scale": maps[0]["scale"], "note": maps[0]["note"], "maps": maps,
            "checks": [check.to_dict() for check in one.checks],
        })  # fmt: skip
    files.write_json(folder / "panels.json", panels)
    return folder / "panels.json"


def common_scales(explanations: Sequence[Explanation]) -> dict[str, float]:
    """Return, for each method, the value that gets the strongest colour in all of its overlays."""
    common: dict[str, float] = {}
    for one in explanations:
        for attribution in one.attributions:
            common[attribution.method] = max(common.get(attribution.method, 0.0), attribution.scale)
    return common


def _write_map(
    folder: Path, bundle: Bundle, case: str, attribution: Attribution, frame: np.ndarray, common: float
) -> dict[str, Any]:
    method = attribution.method
    name = f"{case}-{method.replace('+', 'p')}"
    save_picture(
        folder / f"{name}.png",
        overlaid(shown(frame, bundle.recipe), attribution.values, common, signed=attribution.signed),
    )
    with files.replacing(folder / f"{name}.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(
            file, values=attribution.values, scale=np.float64(attribution.scale), slice=np.int64(attribution.slice),
            target=np.str_(attribution.target), bundle=np.str_(bundle.core_digest), method=np.str_(method),
            unit=np.str_(attribution.unit), settings=np.str_(json.dumps(dict(attribution.settings))),
        )  # fmt: skip
    low = f"{-common:.3g}".replace("-", "−") if attribution.signed else "0"
    return {
        "method": method, "title": METHODS[method].title, "overlay": f"{name}.png", "values": f"{name}.npz",
        "scale": attribution.scale, "signed": attribution.signed, "unit": attribution.unit, "settings": dict(attribution.settings),
        "note": f"colours run from {low} to {common:.3g}{_which(attribution)}",
    }  # fmt: skip


def _which(attribution: Attribution) -> str:
    if attribution.slices == 1:
        return ""
    counted = "" if attribution.weight is None else f", which counts {attribution.weight:.0%}"
    return f"; slice {attribution.slice + 1} of the {attribution.slices} that the network saw{counted}"


def _frames_of(job: tuple[CaseFiles, Any]) -> list[np.ndarray]:
    return conditioned_frames(*job)
