"""Cases → logits, streaming: files are read in worker processes while the network computes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hounsfield.errors import HounsfieldError
from hounsfield.models import Network
from hounsfield.models.device import laid_out
from hounsfield.prepare import CaseFiles, Preparation, case_array, network_input
from hounsfield.read import each

# Slices that go through the network together; few enough for a small memory, enough to keep the cores busy.
TOGETHER = 32


@dataclass
class Scored:
    """Logits of every case that could be read, (members, outputs) each, and the reasons of the others."""

    logits: dict[str, np.ndarray] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def score(
    network: Network,
    cases: Sequence[CaseFiles],
    preparation: Preparation,
    *,
    device: torch.device,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Return the logits of each member for each case; a case's logit is the mean over its slices."""
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
            _flush(network, waiting, preparation, device, result)
        if progress is not None:
            progress(done, len(jobs))
    return result


def member_logits(network: Network, stored: np.ndarray, preparation: Preparation, device: torch.device) -> np.ndarray:
    """Return (cases, members, outputs) float64 for (cases, slices, channels, H, W) values in [0, 1]."""
    cases, slices = stored.shape[:2]
    inputs = torch.from_numpy(network_input(stored.reshape(-1, *stored.shape[2:]), preparation.recipe))
    with torch.inference_mode():
        activation = network.front(laid_out(inputs.to(device)))
        logits = torch.stack([member(activation) for member in network.members], dim=1)
    return logits.view(cases, slices, *logits.shape[1:]).double().mean(dim=1).cpu().numpy()


def _read_case(job: tuple[CaseFiles, Preparation]) -> np.ndarray:
    return case_array(*job)


def _flush(
    network: Network,
    waiting: list[tuple[str, np.ndarray]],
    preparation: Preparation,
    device: torch.device,
    result: Scored,
) -> None:
    if not waiting:
        return
    logits = member_logits(network, np.stack([values for _, values in waiting]), preparation, device)
    result.logits |= {name: logits[row] for row, (name, _) in enumerate(waiting)}
    waiting.clear()
