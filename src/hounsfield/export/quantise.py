"""The network in 8-bit integers: smaller and faster, and only let out if it ranks the validation cases as well.

Static quantisation by ONNX Runtime: ranges of activations are taken from training images. Several settings are made, and the
one whose logits on training images stay nearest to those of the whole network is kept; validation only says yes or no.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from pydantic import BaseModel

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.core.digest import digest_file
from hounsfield.errors import ExportError, HounsfieldError
from hounsfield.evaluate import compare_models
from hounsfield.export.graph import Parts
from hounsfield.predict import by_graph, files_of, predict, preparation_of
from hounsfield.predict.judge import GRAPH, NETWORK_INPUT, NETWORK_LOGITS, SMALL_GRAPH, SMALL_RECORD, session
from hounsfield.prepare import case_of_job, network_input
from hounsfield.prepare.case import evenly_spaced
from hounsfield.read import each

# The AUC of any label may fall by so much, and no more.
AUC_LIMIT = 0.005
# Training cases that ranges are taken from; more of them move the ranges little.
CALIBRATION_CASES = 64
# On a CPU without VNNI two products of 8 bits do not fit the 16 bits that they are added in; weights of 7 bits do. Against
# it stands the coarser step. Which loses less depends on the network.
_SETTINGS = {"7-bit weights": True, "8-bit weights": False}
# The first layers see few channels with wide ranges: in whole numbers they would save little time and cost much exactness
# (EfficientNet-Lite0: with eight left out 0.13 of the logits' spread is lost instead of 0.17, in 1.07 times the time).
_LEFT_FIRST = 8


class Ranked(BaseModel):
    """AUC of one label by the whole network and by the small one, and the difference with its 95% interval, by patient."""

    whole: float | None
    small: float | None
    difference: float | None
    low: float | None
    high: float | None


class SmallNetwork(BaseModel):
    """The record of a quantised network.

    Attributes
    ----------
    passed, reason:
        Whether it may be used, and why not.
    bundle, graph:
        The core digest of the bundle that it was made of, and the sha256 of the ONNX file.
    setting:
        How it was made: the best of those tried.
    deviation:
        Root mean square of the difference of its logits on training images, as a share of their standard deviation.
    part, cases, areas:
        Where the AUCs were compared.
    megabytes, whole_megabytes:
        Size of the graph, and of the one that is not quantised.
    """

    passed: bool
    reason: str
    bundle: str
    graph: str
    setting: str
    deviation: float
    part: str
    cases: int
    areas: dict[str, Ranked]
    megabytes: float
    whole_megabytes: float

    def __str__(self) -> str:
        told = [
            f"{label}: {one.whole:.3f} → {one.small:.3f}, difference {one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
            for label, one in self.areas.items()
            if None not in (one.whole, one.small, one.difference, one.low, one.high)
        ]
        verdict = "accepted" if self.passed else f"refused: {self.reason}"
        return (
            f"int8 ({self.setting}) {verdict}; {self.megabytes:.1f} MB instead of {self.whole_megabytes:.1f}; "
            f"AUC on {self.cases} {self.part} cases, {'; '.join(told)}"
        )


def quantise(bundle: Bundle, parts: Parts, cohort: Cohort, folder: Path, *, workers: int | None = None) -> SmallNetwork:
    """Write `folder`/model-int8.onnx and int8.json, and attach both to the bundle, if the AUC holds; else int8.json says why not.

    `folder` holds the graph that is not quantised.

    Compared are the cases of the validation part; where there is none (folds), those of the training part, which both networks
    have seen.

    Raises
    ------
    ExportError
        If no image can be read, or the network cannot be quantised.
    """
    samples = _samples(bundle, cohort, workers)
    with tempfile.TemporaryDirectory() as place:
        setting, deviation, model = _best(parts.network, samples, Path(place))
    small = Parts(parts.recipe, model, parts.calibration, parts.tells).joined(bundle)
    target, record = folder / SMALL_GRAPH, folder / SMALL_RECORD
    with files.replacing(target) as partial:
        onnx.save(small, partial)
    part = next(name for name in ("validation", "train") if cohort.part(name).height)
    whole, other = (
        predict(bundle, cohort, part, runtime=by_graph(path), device="cpu", workers=workers)[0]
        for path in (folder / GRAPH, target)
    )
    compared = compare_models(whole, other)
    areas = {
        label: Ranked(
            whole=one.change.home.value, small=one.change.away.value, difference=one.change.difference.value,
            low=one.change.difference.low, high=one.change.difference.high,
        )
        for label, one in compared.areas.items()
    }  # fmt: skip
    reason = _objection(areas)
    judged = SmallNetwork(
        passed=not reason, reason=reason, bundle=bundle.core_digest, graph=digest_file(target), setting=setting,
        deviation=deviation, part=part,
        cases=compared.cases, areas=areas, megabytes=target.stat().st_size / 1e6,
        whole_megabytes=(folder / GRAPH).stat().st_size / 1e6,
    )  # fmt: skip
    files.write_json(record, judged.model_dump(mode="json"))
    if judged.passed:
        bundle.attach(SMALL_GRAPH, target)
        bundle.attach(SMALL_RECORD, record)
    else:
        target.unlink()
    return judged


def _samples(bundle: Bundle, cohort: Cohort, workers: int | None) -> list[np.ndarray]:
    """Training images as the network is given them: (1, slices, channels, H, W) each."""
    table = cohort.part("train")
    chosen = table[evenly_spaced(table.height, min(CALIBRATION_CASES, table.height))]
    jobs = [(case, preparation_of(bundle)) for case in files_of(cohort, chosen)]
    found = [
        values for _, values in each(case_of_job, jobs, workers=workers) if not isinstance(values, HounsfieldError)
    ]
    if not found:
        raise ExportError("no training image can be read, and the ranges of activations come from them")
    return [network_input(values, bundle.recipe)[None] for values in found]


def _best(network: onnx.ModelProto, samples: Sequence[np.ndarray], place: Path) -> tuple[str, float, onnx.ModelProto]:
    """Return the setting that stays nearest to the network, how near, and the model."""
    whole = place / "whole.onnx"
    onnx.save(network, whole)
    wanted = _logits(whole, samples)
    found: list[tuple[float, str, Path]] = []
    for name, reduced in _SETTINGS.items():
        path = place / f"{len(found)}.onnx"
        _quantised(whole, path, samples, reduced=reduced)
        apart = _logits(path, samples) - wanted
        found.append((float(np.sqrt((apart**2).mean()) / max(float(wanted.std()), 1e-9)), name, path))
    deviation, name, path = min(found)
    return name, deviation, onnx.load(path)


def _logits(path: Path, samples: Sequence[np.ndarray]) -> np.ndarray:
    runtime = session(path)
    return np.concatenate([runtime.run([NETWORK_LOGITS], {NETWORK_INPUT: one})[0] for one in samples])


def _quantised(source: Path, target: Path, samples: Sequence[np.ndarray], *, reduced: bool) -> None:
    # Seconds to import, and only this needs it.
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> dict[str, np.ndarray] | None:
            one = next(self.left, None)
            return None if one is None else {NETWORK_INPUT: one}

    folded = target.with_suffix(".folded.onnx")
    try:
        with _quiet():
            quant_pre_process(source, folded, skip_symbolic_shape=True)
            convolutions = [node.name for node in onnx.load(folded).graph.node if node.op_type == "Conv"]
            quantize_static(
                folded, target, Reader(), quant_format=QuantFormat.QDQ, calibrate_method=CalibrationMethod.MinMax,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True, reduce_range=reduced,
                op_types_to_quantize=["Conv", "Gemm", "MatMul", "Add", "Clip", "Relu", "MaxPool", "AveragePool", "GlobalAveragePool"],
                nodes_to_exclude=convolutions[:_LEFT_FIRST],
            )  # fmt: skip
    except Exception as error:  # it raises many kinds of its own; for the user they mean one thing
        raise ExportError(f"the network cannot be quantised: {type(error).__name__}") from error


def _objection(areas: dict[str, Ranked]) -> str:
    for label, one in areas.items():
        if one.difference is None:
            return f"the AUC of {label} cannot be compared"
        if one.difference < -AUC_LIMIT:
            return f"the AUC of {label} falls by {-one.difference:.3f}, and {AUC_LIMIT} is the limit"
    return ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the quantiser prints of its steps from the user; errors it raises."""
    root: Any = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)
