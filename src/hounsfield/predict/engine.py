"""Cases → logits, streaming: files are read in worker processes while the network computes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hounsfield.errors import HounsfieldError
from hounsfield.predict.journal import Journal
from hounsfield.predict.judge import Judge
from hounsfield.predict.suit import Check, Seen
from hounsfield.prepare import CaseFiles, Preparation, case_of_job, network_input
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
    judge: Judge,
    cases: Sequence[CaseFiles],
    preparation: Preparation,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    check: Check | None = None,
    journal: Journal | None = None,
) -> Scored:
    """Return the logits of each member for each case; `check` looks at each image and its embedding.

    Cases that a `journal` knows are taken from it, and the others are noted there.
    """
    result = Scored()
    known = {} if journal is None else journal.known
    for case in cases:
        if case.case in known:
            _recall(result, known[case.case])
    waiting: list[tuple[str, np.ndarray]] = []
    room = max(1, TOGETHER // preparation.slices)
    jobs = [(case, preparation) for case in cases if case.case not in known]
    before = len(cases) - len(jobs)
    for done, (index, outcome) in enumerate(each(case_of_job, jobs, workers=workers), start=1):
        name = jobs[index][0].case
        if isinstance(outcome, HounsfieldError):
            result.refused[name] = outcome.what
        else:
            waiting.append((name, outcome))
        if len(waiting) == room or done == len(jobs):
            _flush(judge, waiting, preparation, result, check, journal)
        if progress is not None:
            progress(before + done, len(cases))
    return result


def _flush(
    judge: Judge,
    waiting: list[tuple[str, np.ndarray]],
    preparation: Preparation,
    result: Scored,
    check: Check | None,
    journal: Journal | None,
) -> None:
    if not waiting:
        return
    logits, weights, embeddings = judge([network_input(values, preparation.recipe) for _, values in waiting])
    for row, (name, values) in enumerate(waiting):
        result.logits[name] = logits[row]
        if weights:
            result.weights[name] = weights[row]
        if check is not None:
            result.seen[name] = check(values, None if embeddings is None else embeddings[row])
        if journal is not None:
            journal.note(name, logits[row], weights[row] if weights else None, result.seen.get(name))
    if journal is not None:
        journal.flush()
    waiting.clear()


def _recall(result: Scored, line: dict[str, Any]) -> None:
    """Take up a case that was noted."""
    name = line["case"]
    result.logits[name] = np.array(line["logits"])
    if line["weights"] is not None:
        result.weights[name] = np.array(line["weights"], dtype=np.float32)
    if line["seen"] is not None:
        result.seen[name] = Seen(**line["seen"])
