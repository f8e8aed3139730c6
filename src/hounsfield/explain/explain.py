"""explain: chosen cases → maps as pictures and as arrays with their raw scale."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.errors import HounsfieldError, UsageError
from hounsfield.explain.attribution import Attribution
from hounsfield.explain.checks import Check, before, check_maps, ignorant, questions_of_checks
from hounsfield.explain.meter import Meter
from hounsfield.explain.methods import METHODS, Raw, beside, check_method, placed, raw_maps
from hounsfield.explain.pictures import overlaid, save_picture, shown, smoothed
from hounsfield.explain.place import peak_in_patient, peak_of
from hounsfield.explain.subject import Subject, subjects_of
from hounsfield.models import Network
from hounsfield.models.device import choose_device
from hounsfield.models.runtime import Run, fast_front
from hounsfield.predict import files_of, load_network, preparation_of
from hounsfield.predict.engine import TOGETHER
from hounsfield.prepare import CaseFiles, Place, Preparation, apply_stored, seen
from hounsfield.read import each

GRADCAM = "gradcam"
# What may wait for the network at a time: cases with large frames come in smaller batches.
MOST_BYTES = 128 << 20
# Of a case that is asked for by name, where no method is: one of each school, so that they can be held against each other.
CASE_METHODS = (GRADCAM, "kernel-shap", "lime")
# Questions from which on it pays to bring the frozen front to ONNX Runtime, which takes some seconds.
WORTH = 500


@dataclass(frozen=True)
class Explanation:
    """A case with its maps, one per method in the order asked for, and the picture that they lie on (conditioned values, uncropped).

    Every method explains the same slice: of volumes the one where the first map with any contrast is greatest. `frames` has
    one picture per map, of the map's size. `checks` are empty unless asked for.
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
    progress: Callable[[float, int], None] | None = None,
) -> list[Explanation]:
    """Explain cases, each for one label (case → label), in the order given, by each of the methods: a list of `explain_each`."""
    return list(
        explain_each(
            bundle, cohort, targets, methods, check=check, seed=seed, device=device, workers=workers, progress=progress
        )
    )


def explain_each(
    bundle: Bundle,
    cohort: Cohort,
    targets: dict[str, str],
    methods: Sequence[str] = (GRADCAM,),
    *,
    check: bool = False,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Iterator[Explanation]:
    """Yield an explanation of each case (case → label), in the order given, by each of the methods.

    Files are read ahead in worker processes, and Grad-CAM is made of several cases at once; memory does not grow with
    the number of cases. With `check` each map is asked whether it means something (`check_maps`), which takes some
    hundred looks at a case. `progress` hears how many maps are made, of how many; of a map that takes long, also which
    part of it.

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
    # No method asks for the gradients of weights, and what they take is not kept.
    network = load_network(bundle, device).requires_grad_(False)
    chosen = {case.case: case for case in files_of(cohort, table)}
    jobs = [(chosen[case], preparation_of(bundle)) for case in targets]
    meter = Meter(len(jobs), methods, check=check, progress=progress)
    batches = _batches(list(targets), each(_read, jobs, workers=workers), bundle.plan.slices.value)
    return _explained(
        bundle,
        network,
        batches,
        targets,
        methods,
        meter,
        choose_device(device),
        check,
        seed,
    )


def _explained(
    bundle: Bundle,
    network: Network,
    batches: Iterator[list[_Case]],
    targets: Mapping[str, str],
    methods: Sequence[str],
    meter: Meter,
    device: torch.device,
    check: bool,
    seed: int,
) -> Iterator[Explanation]:
    others = ignorant(network, seed) if check else []
    quick: Run | None = None
    for number, batch in enumerate(batches):
        subjects = subjects_of(
            network, [case.stored for case in batch], bundle.recipe, bundle.labels, [targets[case.case] for case in batch],
            device, outputs=len(bundle.plan.outputs), heard=meter.heard,
        )  # fmt: skip
        if number == 0 and len(targets) * _questions(subjects[0], methods, check=check) >= WORTH:
            quick = _quick(network, bundle)
        subjects = [replace(subject, quick=quick) for subject in subjects]
        # Maps that are made together are small as they come; they are enlarged to their frames one by one.
        known = {method: raw_maps(subjects, method) for method in methods if METHODS[method].together is not None}
        for place, (case, subject) in enumerate(zip(batch, subjects, strict=True)):
            seen = [before(subject, network) for network in others]
            maps: dict[str, list[Raw]] = {}
            for method in methods:
                with meter.map(subject, method):
                    if method in known:
                        maps[method] = [known[method][place], *beside(seen, method, seed=seed)]
                    else:
                        maps[method] = beside([subject, *seen], method, seed=seed)
            checks = []
            if check:
                with meter.checks(subject):
                    checks = check_maps(subject, methods, seed=seed, maps=maps)
            found = _in_one_slice(subject, {method: raw[0] for method, raw in maps.items()}, case.places)
            yield Explanation(case.case, found, [case.pictures[one.slice] for one in found], checks)


def _in_one_slice(subject: Subject, raw: Mapping[str, Raw], places: Sequence[Place]) -> list[Attribution]:
    """Of a volume, all maps in the slice of the first that says anything, so that they can be held against each other."""
    maps: list[Attribution] = []
    at: int | None = None
    for method, one in raw.items():
        maps.append(placed(subject, method, one, places, at=at))
        at = maps[-1].slice if at is None and maps[-1].scale > 0 else at
    # An empty map is as empty in the slice of the others.
    return maps if at is None else [replace(one, slice=at, place=places[at]) for one in maps]


def _questions(subject: Subject, methods: Sequence[str], *, check: bool) -> int:
    """How often the network is asked for its logit, without gradients, to explain a case."""
    asking = sum(METHODS[method].questions(subject) for method in methods if METHODS[method].asks)
    return asking + (questions_of_checks(subject, methods) if check else 0)


def _quick(network: Network, bundle: Bundle) -> Run | None:
    """The front in ONNX Runtime, for hundreds of questions."""
    parameter = next(network.front.parameters(), None)
    if network.volume or parameter is None or parameter.device.type != "cpu":
        return None
    return fast_front(network.front, (bundle.plan.channels.value, *bundle.recipe.size))


@dataclass(frozen=True)
class _Case:
    """A case as it was read: (slices, channels, H, W) in [0, 1]; the picture of each slice, and where the slice lies on it."""

    case: str
    stored: np.ndarray
    pictures: list[np.ndarray]
    places: list[Place]

    @property
    def size(self) -> int:
        return self.stored.nbytes + sum(picture.nbytes for picture in self.pictures)


def _batches(
    names: Sequence[str], read: Iterator[tuple[int, _Case | HounsfieldError]], slices: int
) -> Iterator[list[_Case]]:
    """Cases in the order in which they are read, few enough for a small memory."""
    waiting: list[_Case] = []
    for index, case in read:
        if isinstance(case, HounsfieldError):
            raise UsageError(f"{names[index]} cannot be read: {case.what}")
        waiting.append(case)
        if len(waiting) >= max(1, TOGETHER // slices) or sum(one.size for one in waiting) > MOST_BYTES:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _read(job: tuple[CaseFiles, Preparation]) -> _Case:
    files, preparation = job
    given = seen(files, preparation)
    stored = np.stack([apply_stored(preparation.recipe, frame) for frame in given.frames])
    return _Case(files.case, stored, list(given.pictures), list(given.places))


def middle(frame: np.ndarray, adjacent: int) -> np.ndarray:
    """Return the slice itself of a frame whose channels are it and its neighbours: these are none of the picture."""
    return frame[..., adjacent].copy() if adjacent else frame


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
            common[attribution.method] = max(common.get(attribution.method, 0.0), _drawn(attribution).scale)
    return common


def _write_map(
    folder: Path, bundle: Bundle, case: str, attribution: Attribution, frame: np.ndarray, common: float
) -> dict[str, Any]:
    method = attribution.method
    peak, peak_mm = peak_of(attribution.values), peak_in_patient(attribution)
    number = None if attribution.place is None else attribution.place.number
    name = f"{case}-{method.replace('+', 'p')}"
    drawn = _drawn(attribution)
    save_picture(
        folder / f"{name}.png",
        overlaid(shown(frame, bundle.recipe), drawn.values, common, signed=attribution.signed),
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
        "note": f"colours run from {low} to {common:.3g}{drawn.note}{_which(attribution)}{_where(peak_mm)}",
    }  # fmt: skip


@dataclass(frozen=True)
class _Drawn:
    """A map as it is drawn, its greatest absolute value, and what the note says of it."""

    values: np.ndarray
    scale: float
    note: str = ""


def _drawn(attribution: Attribution) -> _Drawn:
    if not METHODS[attribution.method].pixelwise:
        return _Drawn(attribution.values, attribution.scale)
    values, width = smoothed(attribution.values)
    note = f"; smoothed by {width:g} px for drawing, values in the file are raw"
    return _Drawn(values, float(np.abs(values).max()), note)


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
