"""Features of the pretrained backbone, at several resolutions and after each stage, kept in memory alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import nn

from hounsfield.core.cohort import Cohort
from hounsfield.core.plan import Decision, Plan
from hounsfield.errors import HounsfieldError
from hounsfield.models.device import choose_device, laid_out
from hounsfield.models.stages import stage_names
from hounsfield.models.weights import pretrained
from hounsfield.prepare import CaseFiles, Preparation, case_array, case_files, network_input, preparation_from
from hounsfield.read import each

# Slices of a case that are looked at: the mean over more hardly differs, and each costs as much as a picture.
SLICES = 4
TOGETHER = 16  # cases

Floats = NDArray[np.float64]
# Side → place ("all", "through stage 3") → (cases, features).
Features = dict[int, dict[str, Floats]]


def features_of(
    cohort: Cohort,
    table: pl.DataFrame,
    plan: Plan,
    sides: Sequence[int],
    *,
    workers: int | None = None,
    device: str = "auto",
) -> tuple[Features, list[int]]:
    """Read the cases of a table, as training would, and run the pretrained backbone over them.

    Returns
    -------
    The features, and the rows of the table that they are of: a case that cannot be read is left out, and training will
    say why.
    """
    target = choose_device(device)
    preparations = [preparation_from(_at(plan, side)) for side in sides]
    model = pretrained(plan.backbone.value, plan.weights.value, num_classes=1, in_chans=plan.channels.value)
    model = model.eval().to(target)
    jobs = [(files, preparations) for files in _files(cohort, table)]
    rows: list[int] = []
    found: dict[int, dict[str, list[Floats]]] = {side: {} for side in sides}
    waiting: list[list[np.ndarray]] = []
    for row, arrays in each(_arrays, jobs, workers=workers):
        if not isinstance(arrays, HounsfieldError):
            rows.append(row)
            waiting.append(arrays)
        if len(waiting) == TOGETHER or (row == len(jobs) - 1 and waiting):
            for place, side in enumerate(sides):
                _run(model, [case[place] for case in waiting], preparations[place], target, found[side])
            waiting.clear()
    joined = {side: {name: np.concatenate(parts) for name, parts in of.items()} for side, of in found.items()}
    return joined, rows


def _at(plan: Plan, side: int) -> Plan:
    """The plan at another size, its shape kept, with few slices."""
    longest = max(plan.size.value)
    size = tuple(max(32, round(old * side / longest)) for old in plan.size.value)
    slices = min(SLICES, plan.slices.value)
    return plan.model_copy(update={"size": Decision(value=size), "slices": Decision(value=slices)})


def _files(cohort: Cohort, table: pl.DataFrame) -> list[CaseFiles]:
    return [
        case_files(cohort.locate(keys), frames, case, stacks=stacks)
        for case, keys, frames, stacks in table.select("case", "files", "frames", "stacks").iter_rows()
    ]


def _arrays(job: tuple[CaseFiles, list[Preparation]]) -> list[np.ndarray]:
    """One case at every size, in half precision: it goes from a worker to the main process."""
    files, preparations = job
    return [case_array(files, preparation).astype(np.float16) for preparation in preparations]


def _run(
    model: Any,
    cases: Sequence[np.ndarray],
    preparation: Preparation,
    device: torch.device,
    found: dict[str, list[Floats]],
) -> None:
    """Add the mean features over the slices of each case to what was found."""
    inputs = [network_input(case.astype(np.float32), preparation.recipe) for case in cases]
    ends = np.cumsum([len(case) for case in inputs])[:-1]
    with ExitStack() as stack, torch.inference_mode():
        pooled = _watched(model, stack)
        features = model.forward_features(laid_out(torch.from_numpy(np.concatenate(inputs)).to(device)))
        pooled["all"] = model.forward_head(features, pre_logits=True)
    for name, values in pooled.items():
        means = [part.mean(axis=0) for part in np.split(values.double().cpu().numpy(), ends)]
        found.setdefault(name, []).append(np.stack(means))


def _watched(model: nn.Module, stack: ExitStack) -> dict[str, torch.Tensor]:
    """Return a table that fills with the pooled output of each stage as the model runs, while the stack is open."""
    pooled: dict[str, torch.Tensor] = {}
    groups = stage_names(model)
    for number, group in enumerate(groups[1:-1] if groups else [], start=1):

        def note(_module: nn.Module, _inputs: Any, output: Any, name: str = f"through stage {number}") -> None:
            if isinstance(output, torch.Tensor) and output.ndim == 4:
                pooled[name] = output.mean(dim=(2, 3))

        stack.callback(model.get_submodule(group[-1]).register_forward_hook(note).remove)
    return pooled
