"""Does a running server answer as the Python path does, and as ONNX Runtime on the exported graph? On real images, or it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.errors import BundleError, ExportError
from hounsfield.export.export import real_images
from hounsfield.export.graph import IMAGE, PROBABILITIES
from hounsfield.export.network import answers_of
from hounsfield.export.parity import (
    LOGIT_LIMIT,
    PROBABILITY_LIMIT,
    Parity,
    Values,
    by_torch,
    cut,
    decided,
    graph_input,
    objection,
)
from hounsfield.export.triton.parity import TritonParity
from hounsfield.models.answers import LOGITS
from hounsfield.predict import is_proved, load_network
from hounsfield.predict.judge import GRAPH, RECORD, session
from hounsfield.predict.predict import calibrated
from hounsfield.serve.triton import TritonClient

# Requests hold 1, 2, 3 or 4 images of one size in turn.
LARGEST = 4


def prove_server(
    bundle: Bundle,
    cohort: Cohort,
    folder: Path,
    client: TritonClient,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TritonParity:
    """Compare a server on images of the cohort, and write what was found into `folder`/parity.json and the bundle's record.

    Raises
    ------
    ExportError
        If the bundle holds no graph that was proved, or the server does not answer as Python does; parity.json then says why,
        and the bundle's record stays as it is.
    """
    if not is_proved(bundle):
        raise ExportError(
            "the bundle holds no graph that was proved to answer as Python does", where=bundle.folder,
            fix="Export it first: hounsfield export RUN",
        )  # fmt: skip
    known = Parity.model_validate(files.read_json(bundle.folder / RECORD, BundleError))
    found = check_server(bundle, real_images(bundle, cohort, workers, progress), client)
    record = folder / RECORD
    files.write_json(record, known.model_copy(update={"triton": found}).model_dump(mode="json"))
    if not found.passed:
        raise ExportError(f"the server is refused: {found.reason}", where=record)
    bundle.attach(RECORD, record)
    return found


def check_server(bundle: Bundle, cases: Sequence[Values], client: TritonClient) -> TritonParity:
    """Compare a server with the Python path and with ONNX Runtime on the bundle's graph.

    Parameters
    ----------
    cases:
        What real cases give; each is cut to one of several non-square sizes in turn, and sent beside its mirror images, so
        that requests differ in size and in number of images. All are on their way together.
    """
    answers, _ = answers_of(load_network(bundle, "cpu"), bundle)
    runtime = session(bundle.folder / GRAPH)
    names = [value.name for value in runtime.get_outputs()]
    batches = [
        _batch(cut(frames, number, bundle.recipe.size), spacing, 1 + number % LARGEST if client.max_batch else 1)
        for number, (frames, spacing) in enumerate(cases)
    ]
    requests = [_request(bundle, batch) for batch in batches]
    before = client.executions()[1]
    served = list(client.answers(requests))
    executions = client.executions()[1] - before
    apart: dict[str, float] = {}
    python, logits, probabilities, from_graph = [], [], [], []
    for batch, request, told in zip(batches, requests, served, strict=True):
        from_graph.append(dict(zip(names, runtime.run(None, dict(request)), strict=True)))
        logits.append(told[LOGITS])
        probabilities.append(told[PROBABILITIES])
        for row, (frames, spacing) in enumerate(batch):
            wanted = by_torch(bundle, answers, frames, spacing)
            python.append(wanted.pop(LOGITS)[0].astype(np.float64))
            for name, values in wanted.items():
                share = float(np.abs(told[name][row] - values[0]).max() / max(float(np.abs(values).max()), 1e-12))
                apart[name] = max(apart.get(name, 0.0), share)
    mine, theirs, answered = np.stack(python), np.concatenate(logits), np.concatenate(probabilities)
    expected = calibrated(mine, bundle.plan, bundle.calibration)
    graph_logits, graph_answered = (
        np.concatenate([one[name] for one in from_graph]) for name in (LOGITS, PROBABILITIES)
    )
    record = TritonParity(
        passed=False, reason="", bundle=bundle.core_digest, server=client.connection.version(),
        protocol=client.connection.protocol, images=len(mine), requests=len(requests), executions=executions,
        sizes=sorted({(int(batch[0][0][0].shape[0]), int(batch[0][0][0].shape[1])) for batch in batches}),
        batch_sizes=sorted({len(batch) for batch in batches}), logit_difference=_apart(mine, theirs),
        probability_difference=_apart(expected, answered), graph_logit_difference=_apart(graph_logits, theirs),
        graph_probability_difference=_apart(graph_answered, answered),
        decisions_equal=decided(bundle, expected) == decided(bundle, answered),
        logit_standard_deviation=float(mine.std(axis=0).max()), answers=apart,
    )  # fmt: skip
    reason = objection(record) or _graph_objection(record)
    return record.model_copy(update={"passed": not reason, "reason": reason})


def _batch(frames: Sequence[np.ndarray], spacing: tuple[float, float, float] | None, count: int) -> list[Values]:
    """A case, and its mirror images: left to right, top to bottom, and both."""
    turned = [[frame[::down, ::across] for frame in frames] for down, across in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    return [(one, spacing) for one in turned[:count]]


def _request(bundle: Bundle, batch: Sequence[Values]) -> dict[str, np.ndarray]:
    each = [graph_input(bundle, frames, spacing) for frames, spacing in batch]
    return {**each[0], IMAGE: np.concatenate([one[IMAGE] for one in each])}


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def _graph_objection(record: TritonParity) -> str:
    if record.graph_logit_difference > LOGIT_LIMIT or record.graph_probability_difference > PROBABILITY_LIMIT:
        return (
            f"ONNX Runtime gives other numbers on the same graph: logits differ by {record.graph_logit_difference:.2e}, "
            f"probabilities by {record.graph_probability_difference:.2e}"
        )
    return ""
