"""Which group goes to which part, so that every part has its share of everything: plain counting, no names.

Groups with the same counts are the same to the arithmetic: they are one *profile*, and a division says how many of each
profile go to each part. It starts from a greedy division and is mended by moves and exchanges of single groups.

References
----------
Sechidis, Tsoumakas, Vlahavas (2011), On the stratification of multi-label data, ECML PKDD: the greedy idea, there for
single cases. Here it is for groups, in random order, and what a part lacks is counted from its share of what has been
dealt so far, not of all: else whoever is dealt first (there the rare, in other splitters the large) goes to the largest
part, and the parts differ in what is not counted.
Lourenço, Martin, Stützle (2003), Iterated local search, Handbook of Metaheuristics: mend, shake, mend again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

_CELLS = 300_000  # numbers looked at per step: every exchange where they are few enough, else a sample of them
_ROUNDS = 40  # shakes and fresh starts of a small cohort; fewer where a step is dear, for many profiles leave many ways
_WORK = 1_500_000
_PATIENCE = 5  # samples without a gain before a division counts as mended
_STEPS = 2_000
_NEAR = 1e-9


def assign(owner: np.ndarray, marks: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Give every case a part, all cases of a group the same one, so that every part has its share of every mark.

    First every part gets a case of every mark that has groups enough for it; then the worst deviation from the ideal
    count (share × total, of every mark and of the cases as such) is made small; then, where that costs at most one case,
    parts get a second case of every mark; then the sum of squared deviations is made small. It is a search: on small
    cohorts within one case of the best division, not always the best.

    Parameters
    ----------
    owner:
        (n,) the group of each case. Only equality and the order of first appearance matter.
    marks:
        (n, m) what each case counts for.
    shares:
        A positive number per part, in any unit.
    seed:
        Decides which of several equal groups goes where, and between equally good divisions.

    Returns
    -------
    np.ndarray
        (n,) the part of each case, from 0 to len(shares) - 1.
    """
    group, counts = _count(np.asarray(owner), np.asarray(marks, dtype=bool))
    if not len(counts):
        return np.zeros(0, dtype=np.int64)
    rng = np.random.default_rng(seed)
    profiles, profile, copies = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    wanted = np.asarray(shares, dtype=np.float64)
    division = _search(_Problem(profiles, copies, wanted / wanted.sum()), rng)
    # Equal groups are told apart by chance alone.
    order = rng.permutation(len(counts))
    order = order[np.argsort(profile.reshape(-1)[order], kind="stable")]
    part = np.zeros(len(counts), dtype=np.int64)
    part[order] = np.repeat(np.tile(np.arange(len(wanted)), len(profiles)), division.ravel())
    return part[group]


def _count(owner: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each case, numbered by first appearance, and each group's count of marks and of cases."""
    _, first, inverse = np.unique(owner, return_index=True, return_inverse=True)
    group = np.argsort(np.argsort(first))[inverse]
    columns = [np.bincount(group, weights=mark, minlength=len(first)) for mark in marks.T]
    return group, np.column_stack([*columns, np.bincount(group, minlength=len(first)).astype(np.float64)])


@dataclass(frozen=True)
class _Problem:
    profiles: np.ndarray  # (p, c) what one group counts for in each column
    copies: np.ndarray  # (p,) how many groups are like that
    shares: np.ndarray  # (k,) adding up to one

    @cached_property
    def ideal(self) -> np.ndarray:
        return np.outer(self.shares, self.copies @ self.profiles)

    @cached_property
    def needed(self) -> np.ndarray:
        """Columns that have a group for every part."""
        return self.copies @ (self.profiles > 0) >= len(self.shares)

    @cached_property
    def bound(self) -> float:
        """No division is better than this: counts are whole, and those that are needed are not zero."""
        whole = np.maximum(np.round(self.ideal), self.needed)
        return float(np.abs(whole - self.ideal).max())

    @cached_property
    def units(self) -> np.ndarray:
        """The profiles and, last, the empty one: a move is an exchange with nobody."""
        return np.vstack([self.profiles, np.zeros(self.profiles.shape[1])])

    def loads(self, division: np.ndarray) -> np.ndarray:
        """Return (k, c) the counts of each part."""
        # Not `@`: on a busy machine the threads of BLAS waited for each other for half a second, for a millisecond's sum.
        return np.einsum("pk,pc->kc", division.astype(np.float64), self.profiles)


class _Score(NamedTuple):
    """What is compared, in this order; one number each, or one per candidate."""

    missing: np.ndarray  # marks that a part should have and has not
    excess: np.ndarray  # the worst deviation, as far as it is above what is tolerated
    single: np.ndarray  # cases that are lacking for two of every mark in every part
    worst: np.ndarray
    squares: np.ndarray

    def least(self) -> int:
        left = np.arange(len(self.missing))
        for values in self:
            left = left[values[left] <= values[left].min() + _NEAR]
        return int(left[0])

    def at(self, index: int) -> _Score:
        return _Score(*(values[index] for values in self))

    def below(self, other: _Score) -> bool:
        for mine, yours in zip(self, other, strict=True):
            if abs(mine - yours) > _NEAR:
                return bool(mine < yours)
        return False


def _rows(problem: _Problem, loads: np.ndarray, part: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return of each part, given its counts: marks missing, cases lacking for two, worst deviation, squares."""
    away = loads - problem.ideal[part]
    lacking = np.maximum(2 - loads[..., problem.needed], 0)
    return np.stack([(lacking > 1).sum(-1), lacking.sum(-1), np.abs(away).max(-1), (away * away).sum(-1)], axis=-1)


def _sum_up(summed: np.ndarray, worst: np.ndarray, tolerated: float) -> _Score:
    """Make a score of the sum of the rows, and of their worst deviation."""
    return _Score(summed[..., 0], np.maximum(worst - tolerated, 0), summed[..., 1], worst, summed[..., 3])


def _score(problem: _Problem, division: np.ndarray, tolerated: float) -> _Score:
    rows = _rows(problem, problem.loads(division))
    return _sum_up(rows.sum(0), rows[:, 2].max(), tolerated)


def _scores(
    problem: _Problem, loads: np.ndarray, here: np.ndarray, there: np.ndarray, moved: np.ndarray, tolerated: float
) -> _Score:
    """Score each candidate, in which `moved` goes from part `here` to part `there`: only these two parts change."""
    rows = _rows(problem, loads)
    one, two = _rows(problem, loads[here] - moved, here), _rows(problem, loads[there] + moved, there)
    itself = np.eye(len(rows), dtype=bool)
    others = np.where(itself[:, None] | itself, 0, rows[:, 2]).max(-1)  # the worst deviation of the other parts
    worst = np.maximum(np.maximum(one[:, 2], two[:, 2]), others[here, there])
    return _sum_up(rows.sum(0) - rows[here] - rows[there] + one + two, worst, tolerated)


def _search(problem: _Problem, rng: np.random.Generator) -> np.ndarray:
    """First the smallest worst deviation; then second cases, staying within one case of what no division can beat."""
    best = _mend(problem, _deal(problem, rng), rng, 0.0)
    best = _shake(problem, best, rng, 0.0)
    score = _score(problem, best, 0.0)
    if score.single:
        tolerated = max(float(score.worst), problem.bound + 1)
        best = _shake(problem, _mend(problem, best, rng, tolerated), rng, tolerated)
    return best


def _shake(problem: _Problem, best: np.ndarray, rng: np.random.Generator, tolerated: float) -> np.ndarray:
    """Start again from elsewhere, and from near the best, until nothing can be better or the rounds are over."""
    score = _score(problem, best, tolerated)
    step = np.count_nonzero(best) ** 2 // 2 * problem.profiles.shape[1]
    for number in range(min(_ROUNDS, _WORK // max(step, 1))):
        if score.missing == 0 and score.single == 0 and score.worst <= problem.bound + _NEAR:
            break
        start = _deal(problem, rng) if number % 2 else _stir(best, rng)
        other = _mend(problem, start, rng, tolerated)
        reached = _score(problem, other, tolerated)
        if reached.below(score):
            best, score = other, reached
    return best


def _deal(problem: _Problem, rng: np.random.Generator) -> np.ndarray:
    """Deal whole shares of every profile at once, then group by group, by chance, to the part that lacks it most."""
    division = np.floor(np.outer(problem.copies, problem.shares) + _NEAR).astype(np.int64)
    left = rng.permutation(np.repeat(np.arange(len(division)), problem.copies - division.sum(1)))
    loads = problem.loads(division)
    dealt = loads.sum(0)
    chance = rng.random((len(left), len(problem.shares))) * 1e-6
    for number, profile in enumerate(left):
        unit = problem.profiles[profile]
        # Not what the squares would be afterwards: by that, a large group would nearly always suit the largest part.
        part = int(((loads - np.outer(problem.shares, dealt)) @ unit + chance[number]).argmin())
        dealt += unit
        loads[part] += unit
        division[profile, part] += 1
    return division


def _stir(division: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move two to four groups, no matter where."""
    stirred = division.copy()
    for _ in range(rng.integers(2, 5)):
        profile, part = rng.choice(np.argwhere(stirred))
        stirred[profile, part] -= 1
        stirred[profile, rng.integers(division.shape[1])] += 1
    return stirred


def _mend(problem: _Problem, division: np.ndarray, rng: np.random.Generator, tolerated: float) -> np.ndarray:
    """Take the best move or exchange of two groups for as long as one makes the division better."""
    division = division.copy()
    loads = problem.loads(division)
    score, failed = _score(problem, division, tolerated), 0
    for _ in range(_STEPS):
        (here, there, this, that), everything = _candidates(division, _CELLS // loads.shape[1], rng)
        if not len(here):
            break
        moved = problem.units[this] - problem.units[that]
        scores = _scores(problem, loads, here, there, moved, tolerated)
        best = scores.least()
        if scores.at(best).below(score):
            score, failed = scores.at(best), 0
            _exchange(division, here[best], there[best], this[best], that[best])
            loads[here[best]] -= moved[best]
            loads[there[best]] += moved[best]
        elif everything or (failed := failed + 1) >= _PATIENCE:
            break
    return division


def _exchange(division: np.ndarray, here: int, there: int, this: int, that: int) -> None:
    for profile, source, target in ((this, here, there), (that, there, here)):
        if profile < len(division):
            division[profile, source] -= 1
            division[profile, target] += 1


def _candidates(division: np.ndarray, most: int, rng: np.random.Generator) -> tuple[tuple[np.ndarray, ...], bool]:
    """Return part, other part, profile that leaves the one, profile that leaves the other; and whether these are all."""
    profiles, parts = np.nonzero(division)
    size, nobody, count = len(profiles), *division.shape
    everything = size * (size / 2 + count) <= most
    if everything:
        one, two = np.triu_indices(size, 1)
        alone, goal = np.repeat(np.arange(size), count), np.tile(np.arange(count), size)
    else:
        one, two = rng.integers(size, size=(2, most))
        alone, goal = rng.integers(size, size=most // 10), rng.integers(count, size=most // 10)
    here, there = np.concatenate([parts[one], parts[alone]]), np.concatenate([parts[two], goal])
    this = np.concatenate([profiles[one], profiles[alone]])
    that = np.concatenate([profiles[two], np.full(len(alone), nobody)])
    useful = (here != there) & (this != that)
    return (here[useful], there[useful], this[useful], that[useful]), everything
