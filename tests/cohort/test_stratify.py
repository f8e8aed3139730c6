"""Small cohorts are compared with every possible division; large ones with the ideal counts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.cohort.stratify import assign

SHARES = st.one_of(
    st.integers(2, 3).map(lambda parts: [1] * parts), st.lists(st.integers(1, 12), min_size=2, max_size=3)
)
SEEDS = st.integers(0, 2**31)


def loads(part: np.ndarray, marks: np.ndarray, parts: int) -> np.ndarray:
    """(k, m + 1): what each part counts of each mark, and of cases."""
    everything = np.column_stack([marks, np.ones(len(marks), dtype=bool)])
    return np.stack([everything[part == number].sum(axis=0) for number in range(parts)])


def ideal(marks: np.ndarray, shares: list[int]) -> np.ndarray:
    wanted = np.array(shares) / sum(shares)
    return np.outer(wanted, [*marks.sum(axis=0), len(marks)])


def needed(owner: np.ndarray, marks: np.ndarray, parts: int) -> np.ndarray:
    columns = [*marks.T, np.ones(len(owner), dtype=bool)]
    return np.array([len(set(owner[column])) >= parts for column in columns])


def least_worst(owner: np.ndarray, marks: np.ndarray, shares: list[int]) -> float | None:
    """The smallest worst deviation of all divisions that give every part every mark that has groups enough."""
    groups, parts = len(set(owner)), len(shares)
    counts = np.stack([loads(owner, marks, groups)[group] for group in range(groups)])
    ways = np.array(list(product(range(parts), repeat=groups)))
    made = np.stack([(ways == part) @ counts for part in range(parts)], axis=1)
    allowed = (made[:, :, needed(owner, marks, parts)] >= 1).all(axis=(1, 2))
    worst = np.abs(made - ideal(marks, shares)).max(axis=(1, 2))
    return float(worst[allowed].min()) if allowed.any() else None


def small(groups: int, columns: int, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A cohort of groups of one to four cases."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, groups)
    owner = np.repeat(np.arange(groups), sizes)
    if kind == "labels of cases":
        return owner, rng.integers(0, columns, len(owner))[:, None] == np.arange(columns)
    if kind == "labels of patients":
        return owner, np.repeat(rng.integers(0, columns, groups), sizes)[:, None] == np.arange(columns)
    return owner, rng.random((len(owner), columns)) < rng.random(columns)


KINDS = st.sampled_from(["labels of cases", "labels of patients", "several labels"])


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 8), st.integers(1, 3), KINDS, SHARES, SEEDS)
def test_small_cohorts_are_within_one_case_of_the_best(
    groups: int, columns: int, kind: str, shares: list[int], seed: int
) -> None:
    owner, marks = small(groups, columns, kind, seed)
    best = least_worst(owner, marks, shares)
    part = assign(owner, marks, shares, seed)
    assert all(len(set(part[owner == group])) == 1 for group in range(groups))
    made = loads(part, marks, len(shares))
    if best is None:
        return
    assert (made[:, needed(owner, marks, len(shares))] >= 1).all()
    assert np.abs(made - ideal(marks, shares)).max() <= best + 1 + 1e-9


@pytest.mark.parametrize(
    ("positive", "negative", "shares", "exact"),
    [
        (20, 40, [12, 3, 2, 3], [[12, 24], [3, 6], [2, 4], [3, 6]]),
        (10, 25, [1] * 5, [[2, 5]] * 5),
    ],
)
def test_what_can_be_exact_is_exact(positive: int, negative: int, shares: list[int], exact: list[list[int]]) -> None:
    truth = np.arange(positive + negative) < positive
    marks = np.column_stack([truth, ~truth])
    made = loads(assign(np.arange(len(truth)), marks, shares, 0), marks, len(shares))
    assert made[:, :2].tolist() == exact


def test_a_second_case_is_bought_with_one() -> None:
    """Eight in shares of seven to one would be 7 and 1."""
    marks = (np.arange(88) < 8)[:, None]
    assert loads(assign(np.arange(88), marks, [7, 1], 0), marks, 2)[:, 0].tolist() == [6, 2]


def test_a_second_case_is_not_bought_with_more_than_one() -> None:
    """Two of the mark in the small part are to be had only with a patient of nine."""
    owner = np.repeat(np.arange(31), [9] + [1] * 30)
    marks = (np.arange(39) < 9)[:, None] | (np.arange(39) == 38)[:, None]
    made = loads(assign(owner, marks, [9, 1], 0), marks, 2)
    assert made[1, 0] == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 20), st.integers(1, 4), KINDS, SHARES, SEEDS)
def test_the_numbers_of_the_groups_do_not_matter(
    groups: int, columns: int, kind: str, shares: list[int], seed: int
) -> None:
    owner, marks = small(groups, columns, kind, seed)
    other = np.random.default_rng(seed + 1).permutation(1000)[owner]
    assert (assign(owner, marks, shares, seed) == assign(other, marks, shares, seed)).all()


def test_the_unit_of_the_shares_does_not_matter() -> None:
    owner, marks = small(30, 3, "several labels", 1)
    assert (assign(owner, marks, [12, 4], 5) == assign(owner, marks, [3, 1], 5)).all()


def test_every_equal_group_may_go_anywhere() -> None:
    owner, marks = np.arange(20), (np.arange(20) % 2 == 0)[:, None]
    chosen = np.mean([assign(owner, marks, [4, 1], seed) == 1 for seed in range(400)], axis=0)
    assert np.abs(chosen - 0.2).max() < 0.1  # five standard errors


@pytest.mark.parametrize("seed", range(10))
def test_a_division_that_exists_is_found(seed: int) -> None:
    """Six labels are dealt to three patients, six times over: only like this does each of six parts get all six."""
    rng = np.random.default_rng(seed)
    homes = rng.integers(0, 3, (6, 6))
    marks = rng.permutation(np.concatenate([homes == number for number in range(3)]))
    part = assign(np.arange(len(marks)), marks, [1] * 6, seed)
    assert (loads(part, marks, 6)[:, :6] == 1).all()


def test_large_groups_go_to_small_parts_too() -> None:
    """Dealt by size, or to where the squares grow least, nine in ten of the large ones would go to the largest part."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(2100), [10] * 100 + [1] * 2000)
    marks = rng.random((len(owner), 20)) < 0.3
    part = assign(owner, marks, [12, 3, 2, 3], 0)
    large = np.bincount(part[:1000], minlength=4) / 1000
    assert np.abs(large - np.array([12, 3, 2, 3]) / 20).max() < 0.15  # three standard errors


@pytest.mark.parametrize(("owner", "expected"), [([], 0), ([7], 1), ([3, 3, 3], 1)])
def test_hardly_any_cases(owner: list[int], expected: int) -> None:
    part = assign(np.array(owner, dtype=np.int64), np.ones((len(owner), 1), dtype=bool), [2, 1], 0)
    assert part.shape == (len(owner),)
    assert len(set(part)) == expected


@pytest.mark.parametrize("shares", [[12, 3, 2, 3], [1] * 5])
def test_a_large_cohort_of_many_labels(shares: list[int]) -> None:
    """100,000 cases of 30,000 patients, some with many; 14 labels from rare to common, a tenth of the states unknown."""
    rng = np.random.default_rng(0)
    cases, patients, labels = 100_000, 30_000, 14
    often = rng.pareto(2, patients) + 0.3
    more = rng.choice(patients, cases - patients, p=often / often.sum())
    owner = rng.permutation(np.concatenate([np.arange(patients), more]))
    risk = np.exp(rng.normal(size=(patients, 1)) - 0.6)[owner]
    present = rng.random((cases, labels)) < np.minimum(np.geomspace(0.0005, 0.4, labels) * risk, 0.95)
    known = rng.random((cases, labels)) < 0.9
    marks = np.concatenate([present & known, ~present & known], axis=1)
    part = assign(owner, marks, shares, 0)
    pairs = np.unique(np.stack([owner, part]), axis=1)
    assert pairs.shape[1] == patients
    assert np.abs(loads(part, marks, len(shares)) - ideal(marks, shares)).max() < 6
