"""Parity: does the ONNX graph answer as the Python path does? On real images of several sizes, or it does not leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from pydantic import BaseModel

from hounsfield.core.bundle import Bundle
from hounsfield.core.digest import digest_file
from hounsfield.export.graph import IMAGE, PROBABILITIES, SPACING
from hounsfield.export.network import OPSET, answers_of
from hounsfield.export.triton.parity import TritonParity
from hounsfield.models import Answers, Network
from hounsfield.models.answers import LOGITS
from hounsfield.predict.judge import session
from hounsfield.predict.predict import calibrated, decide, decide_each, preparation_of
from hounsfield.prepare import apply_stored, frames_of_values, network_input

ENOUGH = 20
LOGIT_LIMIT, PROBABILITY_LIMIT = 1e-3, 1e-4
# Below this spread the network answers nearly the same for every image, and equality would prove nothing.
LEAST_SPREAD = 0.01
# What else the network tells (maps, embeddings) may differ by this share of its greatest value.
ANSWER_LIMIT = 1e-3

# Conditioned frames of one case, and the spacing in mm where the graph resamples (`prepare.graph_values`).
Values = tuple[Sequence[np.ndarray], tuple[float, float, float] | None]


class Parity(BaseModel):
    """The record of a comparison: differences are the largest over all images.

    `bundle` is a core digest, `graph` the sha256 of the ONNX file. `answers` are the differences of what the network tells
    beside logits, each as a share of its greatest value. `triton` is what `serve.check_server` found.
    """

    passed: bool
    reason: str
    bundle: str
    graph: str = ""
    images: int
    sizes: list[tuple[int, int]]
    logit_difference: float
    probability_difference: float
    decisions_equal: bool
    logit_standard_deviation: float
    logit_range: tuple[float, float]
    answers: dict[str, float] = {}
    triton: TritonParity | None = None
    opset: int = OPSET
    runtime: str = f"onnxruntime {onnxruntime.__version__}"

    def __str__(self) -> str:
        verdict = "equal" if self.passed else "NOT equal"
        return (
            f"ONNX and Python {verdict} on {self.images} images of {len(self.sizes)} sizes: logits within "
            f"{self.logit_difference:.1e}, probabilities within {self.probability_difference:.1e} "
            f"(logits from {self.logit_range[0]:.2f} to {self.logit_range[1]:.2f}, standard deviation {self.logit_standard_deviation:.2f})"
        )


def check(bundle: Bundle, network: Network, graph: Path, cases: Sequence[Values]) -> Parity:
    """Compare the graph with the Python path.

    Parameters
    ----------
    cases:
        What real cases give; every case is cut to one of several non-square sizes in turn, one of them smaller than the
        network's input.
    """
    runtime = session(graph)
    answers, _ = answers_of(network, bundle)
    names = [value.name for value in runtime.get_outputs()]
    shown = [(cut(frames, number, bundle.recipe.size), spacing) for number, (frames, spacing) in enumerate(cases)]
    ours, theirs, told = [], [], []
    apart: dict[str, float] = {}
    for frames, spacing in shown:
        wanted = by_torch(bundle, answers, frames, spacing)
        found = dict(zip(names, runtime.run(None, graph_input(bundle, frames, spacing)), strict=True))
        ours.append(wanted.pop(LOGITS)[0].astype(np.float64))
        theirs.append(found[LOGITS][0])
        told.append(found[PROBABILITIES][0])
        for name, values in wanted.items():
            share = float(np.abs(found[name] - values).max() / max(float(np.abs(values).max()), 1e-12))
            apart[name] = max(apart.get(name, 0.0), share)
    mine, other, answered = np.stack(ours), np.stack(theirs), np.stack(told)
    expected = calibrated(mine, bundle.plan, bundle.calibration)
    decisions = [decided(bundle, values) for values in (expected, answered)]
    sizes = sorted({(int(frames[0].shape[0]), int(frames[0].shape[1])) for frames, _ in shown})
    record = Parity(
        passed=False, reason="", bundle=bundle.core_digest, graph=digest_file(graph), images=len(shown), sizes=sizes,
        logit_difference=float(np.abs(mine - other).max()), probability_difference=float(np.abs(expected - answered).max()),
        decisions_equal=decisions[0] == decisions[1], logit_standard_deviation=float(mine.std(axis=0).max()),
        logit_range=(float(mine.min()), float(mine.max())), answers=apart,
    )  # fmt: skip
    reason = objection(record)
    return record.model_copy(update={"passed": not reason, "reason": reason})


def decided(bundle: Bundle, values: np.ndarray) -> list[str] | list[list[int]]:
    """The decision of each case: its label, or the state of each label where it may have several."""
    calibration = bundle.calibration
    if bundle.plan.task.value == "multilabel":
        return [decide_each(row, calibration.thresholds) for row in values]
    return [decide(row, bundle.labels, calibration.threshold) for row in values]


def graph_input(
    bundle: Bundle, frames: Sequence[np.ndarray], spacing: tuple[float, float, float] | None
) -> dict[str, np.ndarray]:
    """Return one case as the graph's inputs: `image`, (1, C, h, w), or (1, slices, C, h, w) of several slices, and `spacing`."""
    planes = [frame[None] if frame.ndim == 2 else np.moveaxis(frame, -1, 0) for frame in frames]
    stacked = np.stack(planes).astype(np.float32)
    image = {IMAGE: stacked[None] if bundle.plan.slices.value > 1 else stacked}
    return image if spacing is None else {**image, SPACING: np.asarray(spacing, dtype=np.float64)}


def by_torch(
    bundle: Bundle, answers: Answers, frames: Sequence[np.ndarray], spacing: tuple[float, float, float] | None
) -> dict[str, np.ndarray]:
    """What the Python path answers to one case."""
    shown = frames_of_values(frames, spacing, preparation_of(bundle))
    stored = np.stack([apply_stored(bundle.recipe, frame) for frame in shown])
    inputs = torch.from_numpy(network_input(stored, bundle.recipe))[None]
    with torch.inference_mode():
        return {name: values.numpy() for name, values in zip(answers.tells, answers(inputs), strict=True)}


def objection(record: Parity | TritonParity) -> str:
    """Why a comparison proves no equality; empty where it does."""
    if record.images < ENOUGH:
        return f"only {record.images} images to compare, and {ENOUGH} are wanted"
    if record.logit_difference > LOGIT_LIMIT:
        return f"logits differ by {record.logit_difference:.2e}, and {LOGIT_LIMIT} is the limit"
    if record.probability_difference > PROBABILITY_LIMIT:
        return f"probabilities differ by {record.probability_difference:.2e}, and {PROBABILITY_LIMIT} is the limit"
    if not record.decisions_equal:
        return "a decision differs"
    for name, share in record.answers.items():
        if share > ANSWER_LIMIT:
            return f"{name} differs by {share:.1e} of its greatest value, and {ANSWER_LIMIT} is the limit"
    if record.logit_standard_deviation < LEAST_SPREAD:
        return "the network answers nearly the same for every image, so that equality would prove nothing"
    return ""


def cut(frames: Sequence[np.ndarray], number: int, size: tuple[int, int]) -> list[np.ndarray]:
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
