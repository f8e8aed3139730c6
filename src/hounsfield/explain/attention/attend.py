"""attend: where do the maps of a whole part lie, and does the answer depend on what lies there?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import polars as pl
from scipy.special import logsumexp

from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.core.predictions import Predictions
from hounsfield.errors import HounsfieldError, ReadError
from hounsfield.explain.attention.hiding import Hidden, hide
from hounsfield.explain.attention.lesion import lesion_under
from hounsfield.explain.attention.look import InZone, OnLesion, looked_at, on_lesion
from hounsfield.explain.attention.zones import zones_of
from hounsfield.explain.choices import choices_of
from hounsfield.explain.explain import explain_each, middle
from hounsfield.explain.methods import METHODS
from hounsfield.models.device import choose_device
from hounsfield.predict import by_torch, files_of, load_network, preparation_of
from hounsfield.predict.judge import Judge
from hounsfield.predict.predict import calibrated, decide, decide_each
from hounsfield.prepare import CaseFiles, apply_stored, conditioned_frames, network_input, resize_operator
from hounsfield.read import each

Bars = Callable[[str], Callable[[float, int], None]]
# Cases whose maps are looked at, and of methods that ask the network some hundred times, on how many lesions.
MOST, MOST_ASKED = 200, 40
# Methods that play the pointing game where there are masks of lesions.
POINTERS = ("gradcam", "gradcam++", "kernel-shap", "lime")
SIDE = 64
# Zones that are painted over; the edge of an image may be a part of the body.
HIDDEN = ("text", "marker", "line", "object", "outside")


@dataclass(frozen=True)
class CaseLook:
    """Where a case's map lies; `zones` is None where nothing speaks for the label, `hidden` what painting them over does."""

    case: str
    patient: str
    label: str
    zones: dict[str, InZone] | None
    hidden: dict[str, Hidden] = field(default_factory=dict)


@dataclass(frozen=True)
class LesionLook:
    """Where a map lies of which the lesion is known; the label is the true one."""

    case: str
    patient: str
    label: str
    method: str
    lesion: OnLesion


@dataclass
class Looks:
    """What `attend` found.

    Attributes
    ----------
    method:
        Of the maps in `cases`.
    cases, lesions:
        One per case, and one per case and method.
    mean_maps:
        Label → mean map and mean image of the cases decided so, each (SIDE, SIDE); maps in the logit's raw unit.
    left_out:
        Reason → number of cases.
    total:
        Cases of the part.
    """

    method: str
    cases: list[CaseLook] = field(default_factory=list)
    lesions: list[LesionLook] = field(default_factory=list)
    mean_maps: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def leave_out(self, why: str, count: int = 1) -> None:
        if count:
            self.left_out[why] = self.left_out.get(why, 0) + count


def attend(
    bundle: Bundle, cohort: Cohort, predictions: Predictions, methods: Sequence[str], *, seed: int = 0, device: str = "auto",
    workers: int | None = None, progress: Bars | None = None,
) -> Looks:  # fmt: skip
    """Look at where the maps of a part lie, for the decided labels; at lesions (masks of the cohort), for the true ones.

    Of a large part 200 cases are drawn; a method that asks the network hundreds of questions is tried on 40 lesions.

    Parameters
    ----------
    methods:
        The first makes the maps whose place is told; all play the pointing game where there are masks.
    progress:
        Called with the name of a long step; returns what to call with (done, total).
    """
    found = Looks(methods[0], total=predictions.table.height)
    generator = np.random.default_rng(seed)
    rows = _rows(cohort, predictions)
    known = rows["case"].to_list()
    chosen = sorted(generator.permutation(len(known))[:MOST].tolist())
    found.leave_out(f"more than {MOST} cases: some were drawn", len(known) - len(chosen))
    choices = choices_of(predictions, dict.fromkeys(known[row] for row in chosen))
    several = predictions.task.multi_label
    targets = {one.case: one.target for one in choices if not (several and one.decision == "absent")}
    found.leave_out("no label was called present", len(choices) - len(targets))
    if targets:
        _look_at_cases(found, bundle, cohort, rows, targets, device, workers, progress)
    _look_at_lesions(found, bundle, cohort, rows, predictions, methods, generator, device, workers, progress)
    return found


def _rows(cohort: Cohort, predictions: Predictions) -> pl.DataFrame:
    return cohort.usable.filter(pl.col("case").is_in(predictions.table["case"].to_list()))


def _look_at_cases(
    found: Looks, bundle: Bundle, cohort: Cohort, rows: pl.DataFrame, targets: Mapping[str, str], device: str, workers: int | None,
    progress: Bars | None,
) -> None:  # fmt: skip
    patients, modalities = (dict(zip(rows["case"], rows[name], strict=True)) for name in ("patient", "modality"))
    hounsfield = bundle.plan.unit.value == "HU"
    seen: dict[str, CaseLook] = {}
    sums: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}
    bar = progress("where the maps lie") if progress else None
    for one in explain_each(
        bundle, cohort, dict(targets), (found.method,), seed=0, device=device, workers=workers, progress=bar
    ):
        frame, values, label = one.frame, one.attribution.values, targets[one.case]
        zones = zones_of(frame, hounsfield=hounsfield, modality=modalities[one.case])
        seen[one.case] = CaseLook(one.case, patients[one.case], label, looked_at(values, zones))
        grey = frame.mean(axis=-1) if frame.ndim == 3 else frame
        count, map_sum, image_sum = sums.get(label, (0, 0.0, 0.0))
        sums[label] = (count + 1, map_sum + _small(values), image_sum + _small(_stretched(grey)))
    found.mean_maps = {label: (maps / count, images / count) for label, (count, maps, images) in sums.items()}
    odd = [case for case, one in seen.items() if one.zones and any(kind in one.zones for kind in HIDDEN)]
    hidden = dict(
        _hidden(found, bundle, cohort, rows.filter(pl.col("case").is_in(odd)), targets, device, workers, progress)
    )
    found.cases = [
        CaseLook(one.case, one.patient, one.label, one.zones, hidden.get(case, {})) for case, one in seen.items()
    ]
    found.leave_out("nothing in the image spoke for the decided label", sum(one.zones is None for one in found.cases))


def _small(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    return np.asarray(resize_operator(SIDE, height) @ values @ resize_operator(SIDE, width).T)


def _stretched(grey: np.ndarray) -> np.ndarray:
    """Only to be looked at: a mean of images that are each shown from black to white."""
    low, high = np.percentile(grey, [1, 99])
    return np.clip((grey - low) / max(float(high - low), 1e-6), 0, 1)


def _hidden(
    found: Looks, bundle: Bundle, cohort: Cohort, rows: pl.DataFrame, targets: Mapping[str, str], device: str,
    workers: int | None, progress: Bars | None,
) -> Iterator[tuple[str, dict[str, Hidden]]]:  # fmt: skip
    """Paint over what was found, and ask again: (case, what it did)."""
    if not rows.height:
        return
    judge, preparation = by_torch(load_network(bundle, device), choose_device(device)), preparation_of(bundle)
    modalities = dict(zip(rows["case"], rows["modality"], strict=True))
    chosen = files_of(cohort, rows)
    bar = progress("painting over") if progress else None
    hounsfield = bundle.plan.unit.value == "HU"
    for done, (index, frames) in enumerate(
        each(_frames_of, [(case, preparation) for case in chosen], workers=workers), 1
    ):
        case = chosen[index].case
        if isinstance(frames, HounsfieldError):
            found.leave_out(frames.what)
            continue
        asked = partial(_asked, judge, bundle, targets[case])
        zones = [
            zones_of(middle(frame, bundle.plan.adjacent.value), hounsfield=hounsfield, modality=modalities[case])
            for frame in frames
        ]
        yield case, hide(frames, zones, HIDDEN, asked)
        if bar is not None:
            bar(done, len(chosen))


def _asked(judge: Judge, bundle: Bundle, target: str, versions: list[list[np.ndarray]]) -> tuple[np.ndarray, list[str]]:
    """Log-odds of the target and decisions, for several versions of a case."""
    stored = [np.stack([apply_stored(bundle.recipe, frame) for frame in frames]) for frames in versions]
    # One by one: versions of a long series need as much memory as several cases.
    logits = np.concatenate([judge([network_input(one, bundle.recipe)]).logits for one in stored]).mean(axis=1)
    return _odds(logits, bundle, target), _decisions(logits, bundle)


def _odds(logits: np.ndarray, bundle: Bundle, target: str) -> np.ndarray:
    """Log-odds of a label, (n,), of logits (n, outputs), before calibration."""
    labels = bundle.labels
    place = labels.index(target)
    if logits.shape[1] == 1:
        return np.asarray(logits[:, 0] * (-1 if len(labels) == 2 and place == 0 else 1))
    if bundle.plan.task.value == "multilabel":
        return np.asarray(logits[:, place])
    return np.asarray(logits[:, place] - logsumexp(np.delete(logits, place, axis=1), axis=1))


def _decisions(logits: np.ndarray, bundle: Bundle) -> list[str]:
    calibration = bundle.calibration
    values = calibrated(logits, bundle.plan, calibration)
    if bundle.plan.task.value == "multilabel":
        return [str(decide_each(row, calibration.thresholds)) for row in values]
    return [decide(row, bundle.labels, calibration.threshold) for row in values]


def _look_at_lesions(
    found: Looks, bundle: Bundle, cohort: Cohort, rows: pl.DataFrame, predictions: Predictions, methods: Sequence[str],
    generator: np.random.Generator, device: str, workers: int | None, progress: Bars | None,
) -> None:  # fmt: skip
    truths = _truths(predictions)
    marked = rows.filter(pl.col("mask").is_not_null() & pl.col("case").is_in(list(truths)))
    if not marked.height:
        return
    masks = {case.case: case for case in files_of(cohort, marked)}
    order = [marked["case"][int(row)] for row in generator.permutation(marked.height)]
    patients = dict(zip(marked["case"], marked["patient"], strict=True))
    asked = [method for method in methods if METHODS[method].asks]
    for some, which in (([one for one in methods if one not in asked], order[:MOST]), (asked, order[:MOST_ASKED])):
        if not some:
            continue
        titles = ", ".join(METHODS[method].title for method in some)
        found.leave_out(f"a mask, and more than {len(which)}: some were drawn ({titles})", len(order) - len(which))
        bar = progress(f"do they point at lesions? ({titles})") if progress else None
        targets = {case: truths[case] for case in which}
        for one in explain_each(bundle, cohort, targets, some, seed=0, device=device, workers=workers, progress=bar):
            for attribution in one.attributions:
                try:
                    lesion = lesion_under(attribution, masks[one.case])
                except ReadError as error:
                    found.leave_out(f"a mask ({METHODS[attribution.method].title}): {error.what}")
                    continue
                found.lesions.append(
                    LesionLook(one.case, patients[one.case], targets[one.case], attribution.method, on_lesion(attribution.values, lesion))
                )  # fmt: skip


def _truths(predictions: Predictions) -> dict[str, str]:
    """Case → its true label; of several the first that is present. Cases without one are not there."""
    labels, cases = predictions.task.labels, predictions.table["case"].to_list()
    if predictions.task.multi_label:
        states = predictions.truth_states
        return {
            case: labels[int(np.argmax(row == 1))] for case, row in zip(cases, states, strict=True) if (row == 1).any()
        }
    return {case: labels[truth] for case, truth in zip(cases, predictions.truth, strict=True) if truth >= 0}


def _frames_of(job: tuple[CaseFiles, object]) -> list[np.ndarray]:
    return conditioned_frames(*job)  # type: ignore[arg-type]
