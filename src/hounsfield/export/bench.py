"""What each variant of a bundle costs and gives: size, latency, throughput, AUC."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hounsfield.core.bundle import WEIGHTS, Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.errors import HounsfieldError
from hounsfield.evaluate import evaluate
from hounsfield.measure import Estimate
from hounsfield.predict import files_of, is_proved, predict, preparation_of
from hounsfield.predict.engine import TOGETHER
from hounsfield.predict.judge import GRAPH, SMALL_GRAPH, SMALL_RECORD, Judge, judge_of
from hounsfield.predict.predict import calibrated
from hounsfield.prepare import apply_stored, conditioned_frames, network_input
from hounsfield.prepare.case import evenly_spaced
from hounsfield.read import each

CASES = 32
REPEATS = 60
WARM_UP = 3
RESAMPLES = 500


@dataclass(frozen=True)
class Variant:
    """One way to answer.

    Attributes
    ----------
    megabytes:
        Of its file of weights, or its graph.
    p50, p95:
        Milliseconds from the conditioned values of one case to its probabilities.
    throughput:
        Cases per second, many together as `predict` does it.
    auc:
        On the cases that `Bench.part` names; None where no cohort was given.
    """

    name: str
    megabytes: float
    p50: float
    p95: float
    throughput: float
    auc: Estimate | None


@dataclass(frozen=True)
class Bench:
    """The variants of a bundle, compared on one machine.

    Attributes
    ----------
    bundle:
        Core digest.
    images:
        What was timed, in words.
    reading:
        Milliseconds to read and condition one case (p50); None where images were made up.
    """

    bundle: str
    images: str
    threads: int
    reading: float | None
    part: str | None
    variants: list[Variant]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        head = f"{'variant':<8} {'MB':>7} {'p50 ms':>8} {'p95 ms':>8} {'cases/s':>8}  AUC"
        rows = [
            f"{one.name:<8} {one.megabytes:>7.1f} {one.p50:>8.1f} {one.p95:>8.1f} {one.throughput:>8.1f}  "
            f"{'–' if one.auc is None else one.auc}"
            for one in self.variants
        ]
        reading = "" if self.reading is None else f"; reading and conditioning one takes {self.reading:.1f} ms more"
        where = "" if self.part is None else f"; AUC on the {self.part} part"
        return "\n".join([f"{self.images}, {self.threads} core(s){reading}{where}", head, *rows])


def bench(
    bundle: Bundle,
    cohort: Cohort | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Bench:
    """Measure torch and each proved graph of a bundle on this machine's CPU.

    Parameters
    ----------
    cohort:
        Whose cases are timed; its validation part (or else its training part) also gives the AUC, since nothing is to be
        chosen by test. Without one, made-up images are timed.
    """
    variants = [("torch", WEIGHTS)]
    variants += [("onnx", GRAPH)] if is_proved(bundle) else []
    variants += [("int8", SMALL_GRAPH)] if is_proved(bundle, SMALL_GRAPH, SMALL_RECORD) else []
    frames, reading, images = _made_up(bundle) if cohort is None else _real(bundle, cohort)
    part = None if cohort is None else next(name for name in ("validation", "train") if cohort.part(name).height)
    found = []
    for done, (name, file) in enumerate(variants, 1):
        judge, _ = judge_of(bundle, "cpu", name)
        times = _latencies(bundle, judge, frames)
        area = None
        if cohort is not None and part is not None:
            predictions = predict(bundle, cohort, part, device="cpu", runtime=judge, workers=workers)[0]
            area = evaluate(predictions, resamples=RESAMPLES).estimates["auc"]
        variant = Variant(
            name, (bundle.folder / file).stat().st_size / 1e6, float(np.percentile(times, 50)),
            float(np.percentile(times, 95)), _throughput(bundle, judge, frames), area,
        )  # fmt: skip
        found.append(variant)
        if progress is not None:
            progress(done, len(variants))
    return Bench(bundle.core_digest, images, len(os.sched_getaffinity(0)), reading, part, found)


def _real(bundle: Bundle, cohort: Cohort) -> tuple[list[Sequence[np.ndarray]], float, str]:
    table = cohort.usable
    chosen = table[evenly_spaced(table.height, min(CASES, table.height))]
    preparation = preparation_of(bundle)
    found: list[Sequence[np.ndarray]] = []
    times = []
    for files in files_of(cohort, chosen):
        started = time.perf_counter()
        # In this process, so that the time is that of one case and not of a pool.
        ((_, frames),) = each(_frames_of, [(files, preparation)], workers=0)
        if not isinstance(frames, HounsfieldError):
            times.append(time.perf_counter() - started)
            found.append(frames)
    return found, float(np.median(times)) * 1e3, f"{len(found)} cases of the cohort"


def _frames_of(job: Any) -> list[np.ndarray]:
    return conditioned_frames(*job)


def _made_up(bundle: Bundle) -> tuple[list[Sequence[np.ndarray]], None, str]:
    """Noise of twice the network's size; of as many slices as the plan takes."""
    height, width = (2 * side for side in bundle.recipe.size)
    colour = (3,) if bundle.plan.conditioning.value == "colour" else ()
    channels = (2 * bundle.plan.adjacent.value + 1,) if bundle.plan.adjacent.value else colour
    if bundle.plan.dimension.value == "3d":
        height, width = bundle.recipe.size
    generator = np.random.default_rng(0)
    shape = (height, width, *channels)
    cases: list[Sequence[np.ndarray]] = [
        [generator.normal(size=shape).astype(np.float32) for _ in range(bundle.plan.slices.value)] for _ in range(4)
    ]
    return cases, None, f"made-up images of {height} × {width}"


def _answer(bundle: Bundle, judge: Judge, cases: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    inputs = [
        network_input(np.stack([apply_stored(bundle.recipe, frame) for frame in frames]), bundle.recipe)
        for frames in cases
    ]
    return calibrated(judge(inputs).logits.mean(axis=1), bundle.plan, bundle.calibration)


def _latencies(bundle: Bundle, judge: Judge, cases: list[Sequence[np.ndarray]]) -> np.ndarray:
    """Milliseconds of single cases, one after the other."""
    times = []
    for number in range(WARM_UP + REPEATS):
        started = time.perf_counter()
        _answer(bundle, judge, [cases[number % len(cases)]])
        times.append(time.perf_counter() - started)
    return np.array(times[WARM_UP:]) * 1e3


def _throughput(bundle: Bundle, judge: Judge, cases: list[Sequence[np.ndarray]]) -> float:
    """Cases per second, as many together as `predict` takes."""
    together = max(1, TOGETHER // bundle.plan.slices.value)
    batch = [cases[number % len(cases)] for number in range(together)]
    _answer(bundle, judge, batch)
    count = max(1, CASES // together)
    started = time.perf_counter()
    for _ in range(count):
        _answer(bundle, judge, batch)
    return count * together / (time.perf_counter() - started)
