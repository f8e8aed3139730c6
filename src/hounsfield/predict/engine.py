"""Cases → logits, streaming: files are read in worker processes while the network computes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hounsfield.errors import HounsfieldError
from hounsfield.models import Network, stacked
from hounsfield.predict.suit import Check, Seen
from hounsfield.prepare import CaseFiles, Preparation, case_array, network_input
from hounsfield.read import each

# Slices that go through the network together; few enough for a small memory, enough to keep the cores busy.
TOGETHER = 32


@dataclass
class Scored:
    """What was found of every case that could be read, and the reasons of the others.

    `logits` are (members, outputs) per case. `weights` are (slices,) per case: how much each slice counted, the mean of the
    members; empty for single images and for volumes. `seen` are what `check` found.
    """

    logits: dict[str, np.ndarray] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)


def score(
    network: Network,
    cases: Sequence[CaseFiles],
    preparation: Preparation,
    *,
    device: torch.device,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    check: Check | None = None,
) -> Scored:
    """Return the logits of each member for each case; `check` looks at each image and its embedding."""
    result = Scored()
    waiting: list[tuple[str, np.ndarray]] = []
    room = max(1, TOGETHER // preparation.slices)
    jobs = [(case, preparation) for case in cases]
    for done, (index, outcome) in enumerate(each(_read_case, jobs, workers=workers), start=1):
        name = cases[index].case
        if isinstance(outcome, HounsfieldError):
            result.refused[name] = outcome.what
        else:
            waiting.append((name, outcome))
        if len(waiting) == room or done == len(jobs):
            _flush(network, waiting, preparation, device, result, check)
        if progress is not None:
            progress(done, len(jobs))
    return result


def member_logits(
    network: Network, cases: Sequence[np.ndarray], preparation: Preparation, device: torch.device
) -> np.ndarray:
    """Return (cases, members, outputs) float64 for cases of (slices, channels, H, W) values in [0, 1]."""
    return _judged(network, cases, preparation, device)[0]


def _judged(
    network: Network, cases: Sequence[np.ndarray], preparation: Preparation, device: torch.device
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray | None]:
    inputs, counts = stacked([network_input(case, preparation.recipe) for case in cases])
    inputs, counts = inputs.to(device), None if counts is None else counts.to(device)
    with torch.inference_mode():
        logits, weights, embeddings = network.judge_and_embed(inputs, counts)
    each = [] if weights is None else [row[: len(case)].cpu().numpy() for row, case in zip(weights, cases, strict=True)]
    return logits.double().cpu().numpy(), each, None if embeddings is None else embeddings.double().cpu().numpy()


def _read_case(job: tuple[CaseFiles, Preparation]) -> np.ndarray:
    return case_array(*job)


def _flush(
    network: Network,
    waiting: list[tuple[str, np.ndarray]],
    preparation: Preparation,
    device: torch.device,
    result: Scored,
    check: Check | None,
) -> None:
    if not waiting:
        return
    logits, weights, embeddings = _judged(network, [values for _, values in waiting], preparation, device)
    if check is not None:
        result.seen |= {
            name: check(values, None if embeddings is None else embeddings[row])
            for row, (name, values) in enumerate(waiting)
        }
    result.logits |= {name: logits[row] for row, (name, _) in enumerate(waiting)}
    result.weights |= {name: row for (name, _), row in zip(waiting, weights, strict=False)}
    waiting.clear()
