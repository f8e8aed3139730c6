"""The training cases that are most like a case, as the network sees them, and how like they are by the measure of the training part.

A case is described by what the frozen front makes of it (`Network.embedded`: mean and spread of each feature map, of slices the
mean), which no later training moves. Where a network has no frozen front, and of volumes, the features before the head take its
place, of several members side by side. Each value is standardised by its mean and spread over the training part, so that no
strong feature map drowns the others; likeness is the cosine between two such vectors: 1 the same, 0 unrelated.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import Cohort
from hounsfield.errors import HounsfieldError
from hounsfield.models import Network, Tail, stacked
from hounsfield.models.device import choose_device
from hounsfield.models.tail import in_pieces
from hounsfield.predict import files_of, load_network, preparation_of
from hounsfield.prepare import CaseFiles, Preparation, case_array, network_input
from hounsfield.read import each

NEIGHBOURS = 5
# Slices that go through the network together.
TOGETHER = 32
# Training cases that are asked for their own nearest, evenly taken: enough for a percentile, however many there are.
MOST_ASKED = 2000
FRONT, FEATURES = "what the frozen layers see", "the features before the head"
# A value that hardly varies would be blown up by its own spread; a share of the usual one.
LEAST_SPREAD = 0.1


@dataclass(frozen=True, eq=False)
class Library:
    """Training cases as vectors.

    Attributes
    ----------
    cases:
        Their keys.
    vectors:
        (cases, values) float32, standardised and of length 1.
    mean, spread:
        (values,), what standardised them.
    nearest:
        (asked,), how like training cases are to the nearest other one; none of the same group of patients.
    source:
        What the values are, in words.
    """

    cases: tuple[str, ...]
    vectors: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    nearest: np.ndarray
    source: str

    @classmethod
    def of(cls, cases: Sequence[str], raw: np.ndarray, groups: Sequence[str | None], source: str) -> Library:
        """Make one of (cases, values) as the network gives them, and of the group of patients that each case is of."""
        mean = raw.mean(axis=0)
        spread = raw.std(axis=0)
        spread = spread + max(1e-9, LEAST_SPREAD * float(np.median(spread)))
        vectors = _standard(raw, mean, spread)
        return cls(tuple(cases), vectors, mean, spread, _own_nearest(vectors, np.array(groups, dtype=object)), source)

    def likeness(self, raw: np.ndarray) -> np.ndarray:
        """(values,) of a case → (cases,) cosines."""
        return np.asarray(self.vectors @ _standard(raw[None], self.mean, self.spread)[0], dtype=np.float64)

    def rank(self, likeness: float) -> float | None:
        """Return the share of training cases whose own nearest is less like them than this; None where none has one."""
        return float((self.nearest < likeness).mean()) if len(self.nearest) else None


@dataclass(frozen=True)
class Neighbour:
    """A training case, its cosine, and the share of training cases whose own nearest is less like them (None: not known)."""

    case: str
    likeness: float
    rank: float | None


@dataclass(frozen=True)
class Similar:
    """The nearest training cases, nearest first.

    Attributes
    ----------
    among:
        How many training cases were looked through.
    left_out:
        How many more there were of the same patient, or of one who shares a picture with it.
    source:
        What was compared, in words.
    """

    neighbours: tuple[Neighbour, ...]
    among: int
    left_out: int
    source: str


def similar(library: Library, raw: np.ndarray, cohort: Cohort, case: str, most: int = NEIGHBOURS) -> Similar:
    """Return the training cases that are nearest to a case, none of its own patient or of one who shares a picture with it.

    Parameters
    ----------
    raw:
        (values,) of the case, as `embed` gives them.
    """
    train = cohort.part("train")
    known = dict(zip(train["case"], zip(train["patient"], train["group"], strict=True), strict=True))
    patient, group = cohort.table.filter(pl.col("case") == case).select("patient", "group").row(0)
    usable = np.array([one in known for one in library.cases], dtype=bool)
    own = np.array([
        one == case or (one in known and (known[one][0] == patient or (group is not None and known[one][1] == group)))
        for one in library.cases
    ], dtype=bool)  # fmt: skip
    likeness = library.likeness(raw)
    order = [int(row) for row in np.argsort(-likeness, kind="stable") if usable[row] and not own[row]]
    found = tuple(
        Neighbour(library.cases[row], float(likeness[row]), library.rank(float(likeness[row]))) for row in order[:most]
    )
    others = int(np.count_nonzero(own)) - (case in library.cases)
    return Similar(found, len(order), others, library.source)


def library_of(
    bundle: Bundle, cohort: Cohort, place: Path, *, network: Network | None = None, device: str = "auto",
    workers: int | None = None, progress: Callable[[int, int], None] | None = None,
) -> Library | None:  # fmt: skip
    """Return the library of the training part; one that was kept at `place` is taken if bundle and cohort are still the same.

    Cases stream through the network; only their vectors are held. Cases that cannot be read are left out. None where the cohort
    has no training part, or none of it can be read.
    """
    marks = (bundle.core_digest, cohort.digest)
    kept = _kept(place, marks)
    if kept is not None:
        return kept
    table = cohort.part("train")
    network = load_network(bundle, device) if network is None else network
    found = {}
    for done, (case, vector) in enumerate(
        embed(network, files_of(cohort, table), preparation_of(bundle), device=choose_device(device), workers=workers),
        1,
    ):
        if vector is not None:
            found[case] = vector
        if progress is not None:
            progress(done, table.height)
    if not found:
        return None
    group = dict(zip(table["case"], table["group"].fill_null(table["patient"]), strict=True))
    made = Library.of(list(found), np.stack(list(found.values())), [group[case] for case in found], source_of(network))
    _keep(place, made, marks)
    return made


def source_of(network: Network) -> str:
    """Return which of the two descriptions a network gives, in words."""
    frozen = not network.volume and any(True for _ in network.front.parameters())
    return FRONT if frozen else FEATURES


def embed(
    network: Network, cases: Sequence[CaseFiles], preparation: Preparation, *, device: torch.device, workers: int | None = None
) -> Iterator[tuple[str, np.ndarray | None]]:  # fmt: skip
    """Yield (case, (values,) float32) as cases are read; None for those that cannot be."""
    waiting: list[tuple[str, np.ndarray]] = []
    room = max(1, TOGETHER // preparation.slices)
    jobs = [(case, preparation) for case in cases]
    for index, outcome in each(_read_case, jobs, workers=workers):
        if isinstance(outcome, HounsfieldError):
            yield cases[index].case, None
            continue
        if waiting and len(outcome) != len(waiting[0][1]):
            yield from _flush(network, waiting, preparation, device)
        waiting.append((cases[index].case, outcome))
        if len(waiting) == room:
            yield from _flush(network, waiting, preparation, device)
    yield from _flush(network, waiting, preparation, device)


def _flush(
    network: Network, waiting: list[tuple[str, np.ndarray]], preparation: Preparation, device: torch.device
) -> Iterator[tuple[str, np.ndarray]]:
    """Describe the waiting cases, all of as many slices, so that nothing is padded."""
    if waiting:
        inputs, _ = stacked([network_input(values, preparation.recipe) for _, values in waiting])
        vectors = described(network, inputs.to(device)).float().cpu().numpy()
        yield from zip([name for name, _ in waiting], vectors, strict=True)
        waiting.clear()


def described(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    """(cases, slices, channels, H, W), nothing padded → (cases, values), as the module says."""
    with torch.inference_mode():
        activations = network.activate(inputs)
        found = network.embedded(activations)
        if found is None:
            found = torch.cat([_features(tail, activations) for tail in network.tails], dim=1)
    return found


def _features(tail: Tail, activations: torch.Tensor) -> torch.Tensor:
    """What the head of a member is given: (cases, features), of slices the mean."""
    if tail.volume:
        return _before(tail, activations)
    flat = activations.flatten(0, 1)
    pooled = tail.pooling is not None
    features = torch.cat([tail.frames(piece) for piece in in_pieces(flat)]) if pooled else _before(tail, flat)
    return features.unflatten(0, activations.shape[:2]).mean(dim=1)


def _before(tail: Tail, activations: torch.Tensor) -> torch.Tensor:
    """The input of the last layer, caught on its way there."""
    caught: list[torch.Tensor] = []
    last = tail.model.get_classifier() if tail.head is None else tail.head
    watch = last.register_forward_pre_hook(lambda _, given: caught.append(given[0].flatten(1)))
    try:
        for piece in in_pieces(activations):
            tail.frames(piece)
    finally:
        watch.remove()
    return torch.cat(caught)


def _standard(raw: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    values = (raw - mean) / spread
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-12), dtype=np.float32)


def _own_nearest(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """How like training cases are to the nearest one of another group, (asked,); a block of rows at a time."""
    asked = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), MOST_ASKED)).astype(np.int64))
    found = []
    for block in np.array_split(asked, max(1, len(asked) // 64)):
        cosines = vectors[block] @ vectors.T
        cosines[groups[block][:, None] == groups[None, :]] = -np.inf
        found.append(cosines.max(axis=1))
    nearest = np.concatenate(found)
    return np.asarray(nearest[np.isfinite(nearest)], dtype=np.float32)


def _keep(place: Path, made: Library, marks: tuple[str, str]) -> None:
    with files.replacing(place) as partial, partial.open("wb") as file:
        np.savez(
            file, marks=np.array(marks), cases=np.array(made.cases), vectors=made.vectors, mean=made.mean, spread=made.spread,
            nearest=made.nearest, source=np.str_(made.source),
        )  # fmt: skip


def _kept(place: Path, marks: tuple[str, str]) -> Library | None:
    """Return what was kept, unless it is of another bundle or cohort, or damaged: it is only a cache."""
    try:
        with np.load(place, allow_pickle=False) as kept:
            if tuple(kept["marks"].tolist()) != marks:
                return None
            return Library(
                tuple(kept["cases"].tolist()), kept["vectors"], kept["mean"], kept["spread"], kept["nearest"], str(kept["source"])
            )  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _read_case(job: tuple[CaseFiles, Preparation]) -> np.ndarray:
    return case_array(*job)
