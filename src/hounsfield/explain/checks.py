"""Whether a map means something: four questions with a figure each, passed or failed.

In published tests all of eight saliency methods failed at least one of such (Arun et al., Radiology: Artificial Intelligence
3(6), e200267, 2021). A map is shown with its answers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from hounsfield.explain.methods import METHODS, Raw, beside, pieces_of, raw_maps
from hounsfield.explain.subject import Subject
from hounsfield.models import Network

# A map that hardly changes when the network knows nothing shows the image, and not the network (Adebayo et al., NeurIPS 2018).
MOST_LIKE_RANDOM = 0.3
# Two maps of the same thing by chance alone should be nearly one.
LEAST_REPEATED = 0.8
# Two methods that share less than this do not tell the same story.
LEAST_AGREEMENT = 0.3
ORDERS = 20
NETWORKS = 2
# How often the logit is asked while pieces are taken away.
STOPS = 10


@dataclass(frozen=True)
class Check:
    """An answer.

    Attributes
    ----------
    name:
        "randomisation", "deletion", "repeatability" or "agreement".
    method:
        Of which map; of agreement "first, second".
    value, limit:
        The figure, and what it is held against; None where it has no value (a map without any contrast).
    passed:
        None where the question cannot be asked.
    said:
        The figure in words.
    """

    name: str
    method: str
    value: float | None
    limit: float
    passed: bool | None
    said: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only."""
        return dict(vars(self))


def check_maps(
    subject: Subject,
    methods: Sequence[str],
    *,
    seed: int = 0,
    maps: Mapping[str, Sequence[Raw]] | None = None,
) -> list[Check]:
    """Ask all questions of the maps of a case.

    Randomisation, deletion and repeatability are of each method, agreement of each pair. Methods that do not draw
    repeat themselves exactly and are not asked whether they do.

    Parameters
    ----------
    maps:
        Of each method, what `beside` gave of the case and of the same before each of the `ignorant` networks; made here if None.
    """
    if maps is None:
        others = [before(subject, network) for network in ignorant(subject.network, seed)]
        maps = {method: beside([subject, *others], method, seed=seed) for method in methods}
    raw = {method: maps[method][0].values for method in methods}
    pieces = pieces_of(subject)
    chance = random_deletions(subject, pieces, seed)
    found = []
    for method, values in raw.items():
        found.append(_randomisation(method, values, [other.values for other in maps[method][1:]]))
        found.append(_deletion(method, deletion(subject, pieces, values), chance))
        if METHODS[method].draws:
            again = raw_maps([subject], method, seed=seed + 1)[0].values
            # Not of ranks: most places have values near 0, whose order is chance and which nobody sees.
            found.append(_least("repeatability", method, correlation(values, again), LEAST_REPEATED, "another seed"))
    names = list(raw)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            value = rank_correlation(_positive(raw[first], raw[second]), _positive(raw[second], raw[first]))
            found.append(_least("agreement", f"{first}, {second}", value, LEAST_AGREEMENT, "the other method"))
    return found


def questions_of_checks(subject: Subject, methods: Sequence[str]) -> int:
    """About how often the network is asked for its logit while maps that are there already are checked."""
    again = sum(METHODS[method].questions(subject) for method in methods if METHODS[method].draws)
    return again + (ORDERS + len(methods)) * STOPS


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's correlation of two maps of one shape; None where one has no contrast."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation of two maps of one shape; None where one has no contrast."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def ignorant(network: Network, seed: int) -> list[Network]:
    """Return networks that know nothing (`randomised`). One may by chance resemble the map, so several are asked."""
    return [randomised(network, seed + number) for number in range(NETWORKS)]


def randomised(network: Network, seed: int) -> Network:
    """The same network, knowing nothing: every weight of what was trained drawn anew, as spread as it was.

    The frozen front is that of every model with this backbone; what a model learnt of the task is in the rest.
    """
    generator = torch.Generator().manual_seed(seed)
    found = copy.deepcopy(network, {id(front): front for name, front in network.named_children() if name == "front"})
    with torch.no_grad():
        for tail in found.tails:
            for parameter in tail.parameters():
                spread, middle = parameter.std() if parameter.numel() > 1 else parameter.abs(), parameter.mean()
                drawn = torch.randn(parameter.shape, generator=generator).to(parameter.device)
                parameter.copy_(middle + drawn * spread if parameter.ndim == 1 else drawn * spread)
    return found


def before(subject: Subject, network: Network) -> Subject:
    """The same case before another network with the same front."""
    return replace(subject, network=network, features={})


def deletion(subject: Subject, pieces: np.ndarray, values: np.ndarray) -> float:
    """Take superpixels away, the strongest first, and return the mean logit on the way.

    Petsiuk et al., BMVC 2018, by superpixels (`pieces_of`) and with the blurred image instead of grey.
    """
    places = pieces.ravel()
    strength = np.bincount(places, weights=_on_grid(values, pieces.shape).ravel()) / np.bincount(places)
    return _mean_on_the_way(subject, pieces, np.argsort(-strength, kind="stable"))


def random_deletions(subject: Subject, pieces: np.ndarray, seed: int) -> np.ndarray:
    """Return the same of random orders, (`ORDERS`,)."""
    generator = np.random.default_rng(seed)
    count = int(pieces.max()) + 1
    return np.array([_mean_on_the_way(subject, pieces, generator.permutation(count)) for _ in range(ORDERS)])


def _mean_on_the_way(subject: Subject, pieces: np.ndarray, order: np.ndarray) -> float:
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    place = torch.from_numpy(rank[pieces]).to(subject.device)
    steps = np.linspace(0, len(order), min(len(order), STOPS + 1) + 1)[1:-1]
    with torch.no_grad():
        shown = torch.stack([torch.where(place < step, subject.hidden, subject.shown) for step in steps])
        return float(subject.score(shown).mean())


def _randomisation(method: str, values: np.ndarray, others: Sequence[np.ndarray]) -> Check:
    # With their signs: which way a place speaks is what a signed map claims. Its absolute values keep the edges of the image.
    each = [rank_correlation(values, other) for other in others]
    known = [value for value in each if value is not None]
    value = float(np.mean(known)) if known else None
    if value is None:
        return Check("randomisation", method, None, MOST_LIKE_RANDOM, None, "one of the two maps is empty")
    passed = abs(value) < MOST_LIKE_RANDOM
    return Check(
        "randomisation", method, value, MOST_LIKE_RANDOM, passed,
        f"rank correlation {_two(value)} with the maps of networks that know nothing (below {MOST_LIKE_RANDOM:g} passes)",
    )  # fmt: skip


def _deletion(method: str, own: float, chance: np.ndarray) -> Check:
    limit = float(np.quantile(chance, 0.05))
    return Check(
        "deletion", method, own, limit, bool(own < limit),
        f"mean logit {_two(own)} while the strongest places are taken away first, {_two(float(chance.mean()))} in random order "
        f"(below {_two(limit)}, of nineteen in twenty, passes)",
    )  # fmt: skip


def _least(name: str, method: str, value: float | None, limit: float, other: str) -> Check:
    if value is None:
        return Check(name, method, None, limit, None, "one of the two maps is empty")
    kind = "correlation" if name == "repeatability" else "rank correlation"
    said = f"{kind} {_two(value)} with the map of {other} ({limit:g} or more passes)"
    return Check(name, method, value, limit, bool(value >= limit), said)


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _positive(values: np.ndarray, other: np.ndarray) -> np.ndarray:
    """What speaks for the target, on the finer of the two grids."""
    shape = tuple(max(sides) for sides in zip(values.shape, other.shape, strict=True))
    return _on_grid(values.clip(0), shape)


def _on_grid(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A map on another grid, the nearest cell of each place."""
    for axis, length in enumerate(shape):
        places = ((np.arange(length) + 0.5) * values.shape[axis] / length).astype(np.int64)
        values = values.take(places, axis=axis)
    return values
