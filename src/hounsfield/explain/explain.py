"""explain: chosen cases → maps as pictures and as arrays with their raw scale."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from hounsfield.explain.place import peak_in_patient, peak_of
from hounsfield.explain.subject import subject_of
from hounsfield.models.device import choose_device
from hounsfield.predict import files_of, load_network, preparation_of
from hounsfield.prepare import CaseFiles, Preparation, Seen, apply_stored, seen
from hounsfield.read import each

GRADCAM = "gradcam"


@dataclass(frozen=True)
class Explanation:
    """A case with its maps, one per method in the order asked for, and the picture that they lie on (conditioned values, uncropped).

    Every method explains the same slice but for volumes, of which each has the slice where it is greatest; `frames` has one
    picture per map, of the map's size. `checks` are empty unless asked for.
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

    @property
    def peak_mm(self) -> tuple[float, float, float] | None:
        """Where the map of the first method peaks in the patient: see `peak_in_patient`."""
        return peak_in_patient(self.attribution)


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
    for index, given in each(_seen_of, jobs, workers=workers):
        case = list(targets)[index]
        if isinstance(given, HounsfieldError):
            raise UsageError(f"{case} cannot be read: {given.what}")
        stored = np.stack([apply_stored(bundle.recipe, frame) for frame in given.frames])
        subject = subject_of(network, stored, bundle.recipe, bundle.labels, targets[case], choose_device(device))
        maps = []
        for method in methods:
            maps.append(attribute(subject, method, given.places, seed=seed))
            if progress is not None:
                progress(len(found) * len(methods) + len(maps), len(jobs) * len(methods))
        checks = check_maps(subject, methods, seed=seed) if check else []
        found.append(Explanation(case, maps, [given.pictures[one.slice] for one in maps], checks))
    return found


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
    common: dict[str, float] = {}
    for one in explanations:
        for attribution in one.attributions:
            common[attribution.method] = max(common.get(attribution.method, 0.0), attribution.scale)
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


def _write_map(
    folder: Path, bundle: Bundle, case: str, attribution: Attribution, frame: np.ndarray, common: float
) -> dict[str, Any]:
    method = attribution.method
    peak, peak_mm = peak_of(attribution.values), peak_in_patient(attribution)
    number = None if attribution.place is None else attribution.place.number
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
            peak=np.array([] if peak is None else peak, dtype=np.int64), peak_mm=np.array(peak_mm or [], dtype=np.float64),
            frame=np.float64(np.nan if number is None else number),
        )  # fmt: skip
    low = f"{-common:.3g}".replace("-", "−") if attribution.signed else "0"
    return {
        "method": method, "title": METHODS[method].title, "overlay": f"{name}.png", "values": f"{name}.npz",
        "scale": attribution.scale, "signed": attribution.signed, "unit": attribution.unit, "settings": dict(attribution.settings),
        "peak": peak, "peak_mm": None if peak_mm is None else [round(value, 2) for value in peak_mm], "frame": number,
        "note": f"colours run from {low} to {common:.3g}{_which(attribution)}{_where(peak_mm)}",
    }  # fmt: skip


def _which(attribution: Attribution) -> str:
    if attribution.slices == 1:
        return ""
    counted = "" if attribution.weight is None else f", which counts {attribution.weight:.0%}"
    return f"; slice {attribution.slice + 1} of the {attribution.slices} that the network saw{counted}"


def _where(peak_mm: tuple[float, float, float] | None) -> str:
    if peak_mm is None:
        return ""
    told = ", ".join(f"{value:.0f}".replace("-", "−") for value in peak_mm)
    return f"; strongest at {told} mm (x, y, z in the patient)"


def _seen_of(job: tuple[CaseFiles, Preparation]) -> Seen:
    return seen(*job)
