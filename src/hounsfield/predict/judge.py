"""Who answers: the network in torch, or the bundle's ONNX graph where it was proved to give the same numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.external_data_helper import uses_external_data
from onnx.utils import Extractor

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.manifest import Manifest
from hounsfield.errors import BundleError, UsageError
from hounsfield.models import Network, build, stacked
from hounsfield.models.answers import EMBEDDING, SLICE_WEIGHTS
from hounsfield.models.device import choose_device

# What an exported bundle holds; `export` writes them.
GRAPH, RECORD = "model.onnx", "parity.json"
SMALL_GRAPH, SMALL_RECORD = "model-int8.onnx", "int8.json"
NETWORK_INPUT, NETWORK_LOGITS = "network_input", "network_logits"
RUNTIMES = ("auto", "torch", "onnx", "int8")


class Judged(NamedTuple):
    """What was answered to some cases.

    Attributes
    ----------
    logits:
        (cases, members, outputs) float64; a graph has joined its members to one.
    weights:
        (slices,) for each case; none for single images and volumes.
    embeddings:
        (cases, values) float64; None where the network has none.
    """

    logits: np.ndarray
    weights: list[np.ndarray]
    embeddings: np.ndarray | None


# Images that go through a graph at once: their first feature maps stay in the cache of the processor. Of 32 an image took
# four times as long (EfficientNet-Lite0 at 224 pixels).
PIECE = 4

# Takes cases as the network is given them: (slices, network channels, H, W) float32 each.
Judge = Callable[[Sequence[np.ndarray]], Judged]


def by_torch(network: Network, device: torch.device) -> Judge:
    """Return a judge that asks a network."""

    def judge(cases: Sequence[np.ndarray]) -> Judged:
        inputs, counts = stacked(cases)
        inputs, counts = inputs.to(device), None if counts is None else counts.to(device)
        with torch.inference_mode():
            logits, weights, embeddings = network.judge_and_embed(inputs, counts)
        each = (
            []
            if weights is None
            else [row[: len(case)].cpu().numpy() for row, case in zip(weights, cases, strict=True)]
        )
        return Judged(
            logits.double().cpu().numpy(), each, None if embeddings is None else embeddings.double().cpu().numpy()
        )

    return judge


def by_graph(path: Path, threads: int = 0) -> Judge:
    """Return a judge that asks the network within an exported graph, in ONNX Runtime on the CPU.

    The recipe within the graph is left out: worker processes run it while they read. A single piece is spread over all
    cores; of several pieces each core takes its own, since threads that work on one piece wait for each other at every layer.
    `threads` 0 means one per core.

    Raises
    ------
    BundleError
        If the graph keeps its weights in another file.
    """
    threads = threads or len(os.sched_getaffinity(0))
    network, pool = _network_of(path), ThreadPoolExecutor(threads)

    @cache
    def runtime(threads: int) -> onnxruntime.InferenceSession:
        return session(network, threads)

    def judge(cases: Sequence[np.ndarray]) -> Judged:
        pieces = _pieces([len(case) for case in cases])
        several = len(pieces) > 1
        used = runtime(1 if several else threads)
        names = [value.name for value in used.get_outputs()]

        def answer(places: list[int]) -> list[np.ndarray]:
            answers: list[np.ndarray] = used.run(None, {NETWORK_INPUT: np.stack([cases[place] for place in places])})
            return answers

        found: list[dict[str, np.ndarray]] = [{} for _ in cases]
        for places, values in zip(pieces, pool.map(answer, pieces) if several else map(answer, pieces), strict=True):
            for name, rows in zip(names, values, strict=True):
                for place, row in zip(places, rows, strict=True):
                    found[place][name] = row
        return Judged(
            np.stack([one[NETWORK_LOGITS][None] for one in found]).astype(np.float64),
            [one[SLICE_WEIGHTS] for one in found] if SLICE_WEIGHTS in names else [],
            np.stack([one[EMBEDDING] for one in found]).astype(np.float64) if EMBEDDING in names else None,
        )

    return judge


def _pieces(lengths: Sequence[int]) -> list[list[int]]:
    """Divide cases of so many slices into pieces; a graph knows nothing of padding, so each holds cases of one length."""
    pieces = []
    for length in sorted(set(lengths)):
        alike = [place for place, one in enumerate(lengths) if one == length]
        step = max(1, PIECE // length)
        pieces += [alike[start : start + step] for start in range(0, len(alike), step)]
    return pieces


def judge_of(bundle: Bundle, device: str = "auto", runtime: str = "auto") -> tuple[Judge, str]:
    """Return who answers for a bundle, and the name of the runtime.

    `auto` takes ONNX Runtime where the device is a CPU and the bundle holds a graph whose parity was proved; else torch.

    Raises
    ------
    UsageError
        If the runtime is unknown, or needs a graph that the bundle does not hold, or another device.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"there is no runtime named {runtime!r}", fix=f"Choose from: {', '.join(RUNTIMES)}.")
    on_cpu = choose_device(device).type == "cpu"
    if runtime in ("onnx", "int8") and not on_cpu:
        raise UsageError(f"the runtime {runtime} computes on the CPU", fix="Use --device cpu, or --runtime torch.")
    graph, record = (SMALL_GRAPH, SMALL_RECORD) if runtime == "int8" else (GRAPH, RECORD)
    is_there = is_proved(bundle, graph, record)
    if runtime in ("onnx", "int8") and not is_there:
        flag = " --int8" if runtime == "int8" else ""
        raise UsageError(
            f"the bundle holds no graph for the runtime {runtime} that was found good enough",
            where=bundle.folder,
            fix=f"Make one with: hounsfield export RUN{flag}",
        )
    if runtime == "torch" or not is_there or not on_cpu:
        return by_torch(load_network(bundle, device), choose_device(device)), "torch"
    return by_graph(bundle.folder / graph), "ONNX Runtime" + (", int8" if runtime == "int8" else "")


def is_proved(bundle: Bundle, graph: str = GRAPH, record: str = RECORD) -> bool:
    """Whether the bundle names a graph of its own core among its members, and a record which says that this very graph passed."""
    held = Manifest.load(bundle.folder).attachments
    if graph not in held or record not in held:
        return False
    known = files.read_json(bundle.folder / record, BundleError)
    told = {"bundle": bundle.core_digest, "graph": held[graph], "passed": True}
    return isinstance(known, dict) and all(known.get(name) == value for name, value in told.items())


def load_network(bundle: Bundle, device: str = "auto") -> Network:
    """Build the bundle's network and load its weights.

    Raises
    ------
    BundleError
        If the weights do not fit.
    """
    return build(bundle.plan, blank=True).load(bundle.weights).to(choose_device(device))


def session(graph: Path | bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open a graph in ONNX Runtime on the CPU; `threads` 0 means one per core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait would take the cores from the processes that read files.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _network_of(path: Path) -> bytes:
    model = onnx.load(path, load_external_data=False)
    if any(uses_external_data(one) for one in model.graph.initializer):
        raise BundleError("the graph keeps weights in another file, which nobody has verified", where=path)
    tells = [value.name for value in model.graph.output if value.name in (EMBEDDING, SLICE_WEIGHTS)]
    part: onnx.ModelProto = Extractor(model).extract_model([NETWORK_INPUT], [NETWORK_LOGITS, *tells])
    return part.SerializeToString()
