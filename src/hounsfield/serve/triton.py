"""A client: files in, probabilities out, from a Triton server that serves the bundle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from hounsfield.cohort import Looking, scan_for_prediction
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.core.predictions import Predictions
from hounsfield.errors import HounsfieldError, ServeError, UsageError
from hounsfield.export.graph import IMAGE
from hounsfield.export.parity import graph_input
from hounsfield.export.triton import NETWORK
from hounsfield.models.answers import EMBEDDING, LOGITS, SLICE_WEIGHTS
from hounsfield.predict import files_of, preparation_of
from hounsfield.predict.engine import Scored
from hounsfield.predict.predict import collected, knows
from hounsfield.predict.suit import checks
from hounsfield.prepare import CaseFiles, Preparation, apply_stored, frames_of_values, graph_values
from hounsfield.read import each
from hounsfield.serve.connection import Connection

# Requests on their way at a time, so that the server has something to join.
TOGETHER = 8

Inputs = Mapping[str, np.ndarray]
Answer = dict[str, np.ndarray]


class _Read(NamedTuple):
    frames: Sequence[np.ndarray]
    spacing: tuple[float, float, float] | None
    stored: np.ndarray


class TritonClient:
    """Asks the ensemble of a bundle: conditioned values in, all that the graph tells out.

    Parameters
    ----------
    bundle:
        The one that the server serves: its rules make the values, and its labels name the answers.
    server:
        `grpc://HOST:PORT` or `http://HOST:PORT`, with an s for TLS.
    name:
        Of the ensemble.
    seconds:
        How long an answer may take.
    together:
        Requests on their way at a time.

    Raises
    ------
    ServeError
        If no server answers, or it serves another bundle or no model of that name.
    UsageError
        If the address is not understood, or tritonclient is not installed.
    """

    def __init__(
        self, bundle: Bundle, server: str, *, name: str = "hounsfield", seconds: float = 60.0, together: int = TOGETHER
    ) -> None:
        self.bundle, self._together = bundle, together
        self.connection = Connection(server, name, seconds)
        try:
            config = self._config()
        except HounsfieldError:
            self.connection.close()
            raise
        self.outputs = [one["name"] for one in config["output"]]
        # 0 for volumes with a spacing, which go one by one.
        self.max_batch = int(config.get("max_batch_size", 0))
        dims = next([int(side) for side in one["dims"]] for one in config["input"] if one["name"] == IMAGE)
        self._shape = [-1, *dims] if self.max_batch else dims
        self._pool = ThreadPoolExecutor(together, thread_name_prefix="triton")

    def __enter__(self) -> TritonClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the threads and the connections."""
        self._pool.shutdown(cancel_futures=True)
        self.connection.close()

    def answer(self, image: np.ndarray, spacing: np.ndarray | None = None) -> Answer:
        """Ask about one image, or a batch of images of one size.

        Parameters
        ----------
        image:
            Conditioned values, (n, channels, height, width), or (n, slices, channels, height, width) of several slices;
            any number n, which goes in several requests where the server takes fewer at a time.
        spacing:
            Millimetres between slices, rows and columns, (3,); of models that resample volumes.

        Returns
        -------
        `logits` and `probabilities`, (n, outputs) in the order of `bundle.outputs`, and what else the graph tells.
        """
        if image.ndim != len(self._shape) or not all(
            want in (-1, have) for have, want in zip(image.shape, self._shape, strict=True)
        ):
            wanted = ", ".join("any" if side < 0 else str(side) for side in self._shape)
            raise UsageError(f"the image has the shape {image.shape}, and the model takes ({wanted})")
        size = self.max_batch or 1
        rest: Inputs = {} if spacing is None else {"spacing": np.asarray(spacing, dtype=np.float64)}
        values = np.ascontiguousarray(image, dtype=np.float32)
        parts: list[Inputs] = [{IMAGE: values[start : start + size], **rest} for start in range(0, len(values), size)]
        if not parts:
            raise UsageError("there is no image in the batch")
        found = list(self.answers(parts))
        return {name: np.concatenate([one[name] for one in found]) for name in self.outputs}

    def answers(self, requests: Iterable[Inputs]) -> Iterator[Answer]:
        """Send requests, several at a time, and yield their answers in order; sizes may differ from one to the next."""
        waiting: deque[Future[Answer]] = deque()
        for inputs in requests:
            if len(waiting) >= 2 * self._together:
                yield waiting.popleft().result()
            waiting.append(self._pool.submit(self.connection.infer, inputs, self.outputs))
        while waiting:
            yield waiting.popleft().result()

    def predict(
        self,
        images: Cohort | Path | str,
        part: str = "test",
        *,
        name: str | None = None,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Predictions, Cohort]:
        """Predict a part of a cohort, or every image of a folder, as `hounsfield.predict.predict` does, through the server.

        Files are read and conditioned here; all the rest is the server's. Returns and refuses as that function does.
        """
        bundle = self.bundle
        cohort = images if isinstance(images, Cohort) else scan_for_prediction(
            Path(images), bundle.labels, bundle.positive, multi_label=bundle.plan.task.value == "multilabel",
            looking=Looking(pixels=False), workers=workers,
        )  # fmt: skip
        table = cohort.part(part)
        if table.height == 0:
            raise UsageError(f"the cohort has no usable cases in its {part} part")
        knows(bundle, cohort)
        scored, waiting = Scored(), deque[tuple[str, np.ndarray]]()
        jobs = [(case, preparation_of(bundle)) for case in files_of(cohort, table)]

        def requests() -> Iterator[Inputs]:
            for done, (index, outcome) in enumerate(each(_read_case, jobs, workers=workers), start=1):
                case = jobs[index][0].case
                if isinstance(outcome, HounsfieldError):
                    scored.refused[case] = outcome.what
                else:
                    waiting.append((case, outcome.stored))
                    yield graph_input(bundle, outcome.frames, outcome.spacing)
                if progress is not None:
                    progress(done, len(jobs))

        _, check = checks(bundle)
        for answer in self.answers(requests()):
            case, stored = waiting.popleft()
            scored.logits[case] = answer[LOGITS].astype(np.float64)
            embedding = answer.get(EMBEDDING)
            scored.seen[case] = check(stored, None if embedding is None else embedding[0].astype(np.float64))
            if SLICE_WEIGHTS in answer:
                scored.weights[case] = answer[SLICE_WEIGHTS][0]
        return collected(bundle, cohort, table, scored, name or part)

    def executions(self) -> tuple[int, int]:
        """How many images the network has answered since the server started, and in how many runs."""
        return self.connection.counts(f"{self.connection.name}{NETWORK}")

    def _config(self) -> dict[str, Any]:
        """The configuration of the ensemble, which names the bundle that it was made of."""
        config = self.connection.config()
        served = config.get("parameters", {}).get("core_digest", {}).get("string_value", "")
        if served != self.bundle.core_digest:
            raise ServeError(
                f"the server serves another bundle ({served[:8] or 'unknown'}, not {self.bundle.core_digest[:8]})",
                where=f"{self.connection.server} {self.connection.name}",
                fix="Export this one to its repository with --triton, and let the server load it.",
            )
        return config


def _read_case(job: tuple[CaseFiles, Preparation]) -> _Read:
    """What the graph starts from, and what the input check looks at."""
    files, preparation = job
    frames, spacing = graph_values(files, preparation)
    shown = frames_of_values(frames, spacing, preparation)
    return _Read(frames, spacing, np.stack([apply_stored(preparation.recipe, frame) for frame in shown]))
