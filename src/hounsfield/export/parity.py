"""Parity: does the ONNX graph answer as the Python path does? On real images of several sizes, or it does not leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from pydantic import BaseModel

from hounsfield.core.bundle import Bundle
from hounsfield.export.graph import OPSET
from hounsfield.models import Network
from hounsfield.predict.engine import member_logits
from hounsfield.predict.predict import calibrated, decide, decide_each, preparation_of
from hounsfield.prepare import apply_stored

ENOUGH = 20
LOGIT_LIMIT, PROBABILITY_LIMIT = 1e-3, 1e-4
# Below this spread the network answers nearly the same for every image, and equality would prove nothing.
LEAST_SPREAD = 0.01


class Parity(BaseModel):
    """The record of a comparison: differences are the largest over all images."""

    passed: bool
    reason: str
    bundle: str
    images: int
    sizes: list[tuple[int, int]]
    logit_difference: float
    probability_difference: float
    decisions_equal: bool
    logit_standard_deviation: float
    logit_range: tuple[float, float]
    opset: int = OPSET
    runtime: str = f"onnxruntime {onnxruntime.__version__}"

    def __str__(self) -> str:
        verdict = "equal" if self.passed else "NOT equal"
        return (
            f"ONNX and Python {verdict} on {self.images} images of {len(self.sizes)} sizes: logits within "
            f"{self.logit_difference:.1e}, probabilities within {self.probability_difference:.1e} "
            f"(logits from {self.logit_range[0]:.2f} to {self.logit_range[1]:.2f}, standard deviation {self.logit_standard_deviation:.2f})"
        )


def session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open a graph in ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check(bundle: Bundle, network: Network, graph: Path, cases: Sequence[list[np.ndarray]]) -> Parity:
    """Compare the graph with the Python path.

    Parameters
    ----------
    cases:
        Conditioned frames of real cases, one list of slices each; every case is cut to one of several non-square
        sizes in turn, one of them smaller than the network's input.
    """
    runtime, preparation = session(graph), preparation_of(bundle)
    cut = [_cut(frames, number, bundle.recipe.size) for number, frames in enumerate(cases)]
    ours, theirs, told = [], [], []
    for frames in cut:
        stored = np.stack([apply_stored(bundle.recipe, frame) for frame in frames])
        ours.append(member_logits(network, [stored], preparation, torch.device("cpu"))[0].mean(axis=0))
        logits, values = runtime.run(None, {"image": graph_input(frames, several=bundle.plan.slices.value > 1)})
        theirs.append(logits[0])
        told.append(values[0])
    mine, other, answered = np.stack(ours), np.stack(theirs), np.stack(told)
    expected = calibrated(mine, bundle.plan, bundle.calibration)
    decisions = [_decided(bundle, values) for values in (expected, answered)]
    sizes = sorted({(int(frames[0].shape[0]), int(frames[0].shape[1])) for frames in cut})
    record = Parity(
        passed=False, reason="", bundle=bundle.core_digest, images=len(cut), sizes=sizes,
        logit_difference=float(np.abs(mine - other).max()), probability_difference=float(np.abs(expected - answered).max()),
        decisions_equal=decisions[0] == decisions[1], logit_standard_deviation=float(mine.std(axis=0).max()),
        logit_range=(float(mine.min()), float(mine.max())),
    )  # fmt: skip
    reason = _objection(record)
    return record.model_copy(update={"passed": not reason, "reason": reason})


def _decided(bundle: Bundle, values: np.ndarray) -> list[str] | list[list[int]]:
    """The decision of each case: its label, or the state of each label where it may have several."""
    calibration = bundle.calibration
    if bundle.plan.task.value == "multilabel":
        return [decide_each(row, calibration.thresholds) for row in values]
    return [decide(row, bundle.labels, calibration.threshold) for row in values]


def graph_input(frames: Sequence[np.ndarray], *, several: bool) -> np.ndarray:
    """Return conditioned frames of one case as the graph's input: (1, C, h, w), or (1, slices, C, h, w) if `several`."""
    planes = [frame[None] if frame.ndim == 2 else np.moveaxis(frame, -1, 0) for frame in frames]
    stacked = np.stack(planes).astype(np.float32)
    return stacked[None] if several else stacked


def _objection(record: Parity) -> str:
    if record.images < ENOUGH:
        return f"only {record.images} images to compare, and {ENOUGH} are wanted"
    if record.logit_difference > LOGIT_LIMIT:
        return f"logits differ by {record.logit_difference:.2e}, and {LOGIT_LIMIT} is the limit"
    if record.probability_difference > PROBABILITY_LIMIT:
        return f"probabilities differ by {record.probability_difference:.2e}, and {PROBABILITY_LIMIT} is the limit"
    if not record.decisions_equal:
        return "a decision differs"
    if record.logit_standard_deviation < LEAST_SPREAD:
        return "the network answers nearly the same for every image, so that equality would prove nothing"
    return ""


def _cut(frames: list[np.ndarray], number: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Cut the middle out of a case: five non-square shapes in turn, the last smaller than the network's input."""
    height, width = min(frame.shape[0] for frame in frames), min(frame.shape[1] for frame in frames)
    shares = ((1.0, 0.8), (0.7, 1.0), (0.9, 0.55), (0.5, 0.75))
    turn = number % (len(shares) + 1)
    if turn < len(shares):
        wanted = (round(height * shares[turn][0]), round(width * shares[turn][1]))
    else:
        wanted = (min(height, size[0] * 3 // 4), min(width, size[1] * 5 // 8))
    wanted = (max(8, wanted[0]), max(8, wanted[1]))
    if wanted[0] == wanted[1]:
        wanted = (wanted[0], wanted[1] - 1)
    return [_middle(frame, wanted) for frame in frames]


def _middle(frame: np.ndarray, wanted: tuple[int, int]) -> np.ndarray:
    top, left = ((have - want) // 2 for have, want in zip(frame.shape[:2], wanted, strict=True))
    return frame[top : top + wanted[0], left : left + wanted[1]]
