"""No patient in two parts, every label in every part; or a SplitError."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.cohort.split import SHARES, fold_patients, split_patients
from hounsfield.errors import SplitError

# Cases as (patient, label); patients may have several cases, and cases of several labels.
CASES = st.integers(2, 3).flatmap(
    lambda labels: st.lists(
        st.tuples(st.integers(0, 30).map(lambda number: f"p{number}"),
        st.integers(0, labels - 1).map(lambda n: f"l{n}")),
        min_size=4, max_size=80,
    )
)  # fmt: skip
SEEDS = st.integers(0, 2**31)


def check(cases: Sequence[tuple[str, str]], parts: Sequence[object], wanted: set[object]) -> None:
    homes, mixes = defaultdict(set), defaultdict(set)
    for (patient, label), part in zip(cases, parts, strict=True):
        homes[patient].add(part)
        mixes[part].add(label)
    assert all(len(home) == 1 for home in homes.values())
    assert set(mixes) == wanted
    assert all(mix == {label for _, label in cases} for mix in mixes.values())


@settings(max_examples=40, deadline=None)
@given(CASES, SEEDS)
def test_parts(cases: list[tuple[str, str]], seed: int) -> None:
    patients, labels = zip(*cases, strict=True)
    try:
        parts = split_patients(patients, labels, SHARES, seed)
    except SplitError:
        return
    check(cases, parts, set(SHARES))


@settings(max_examples=40, deadline=None)
@given(CASES, SEEDS, st.integers(2, 6))
def test_folds(cases: list[tuple[str, str]], seed: int, folds: int) -> None:
    patients, labels = zip(*cases, strict=True)
    try:
        parts = fold_patients(patients, labels, folds, seed)
    except SplitError:
        return
    assert folds >= 3
    check(cases, parts, set(range(folds)))


def test_folds_of_patients_with_cases_of_several_labels() -> None:
    """As with two eyes or two breasts of a patient; rare enough that hypothesis seldom meets a fold without a label."""
    random = Random(0)
    for seed in range(300):
        kinds, people, folds = random.choice([2, 3]), random.randint(4, 30), random.randint(3, 6)
        cases = [
            (f"p{random.randrange(people)}", f"l{min(random.randrange(kinds), random.randrange(kinds))}")
            for _ in range(random.randint(6, 60))
        ]
        with suppress(SplitError):
            check(cases, fold_patients(*zip(*cases, strict=True), folds, seed), set(range(folds)))


@pytest.mark.parametrize("seed", range(8))
def test_enough_patients_are_always_split_in_about_the_wanted_shares(seed: int) -> None:
    """Patients have one to three cases each."""
    no, yes = Random(seed).randint(20, 50), Random(seed + 100).randint(20, 50)
    cases = [
        (f"p{number}", "no" if number < no else "yes")
        for number in range(no + yes)
        for _ in range(1 + (7 * number + seed) % 3)
    ]
    patients, labels = zip(*cases, strict=True)
    parts = split_patients(patients, labels, SHARES, seed)
    check(cases, parts, set(SHARES))
    for name, share in SHARES.items():
        assert abs(parts.count(name) / len(parts) - share / 20) < 0.1
    folds = fold_patients(patients, labels, 5, seed)
    check(cases, folds, set(range(5)))
    assert max(map(folds.count, range(5))) - min(map(folds.count, range(5))) <= 6


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_label_is_in_every_part_or_the_split_is_refused(seed: int) -> None:
    rare, common = 4 + seed % 4, 50 + seed
    cases = [(f"p{number}", "rare" if number < rare else "common") for number in range(rare + common)]
    with suppress(SplitError):
        check(cases, split_patients(*zip(*cases, strict=True), SHARES, seed), set(SHARES))


@pytest.mark.parametrize(("no", "yes"), [(8, 8), (12, 9), (19, 19), (10, 40)])
def test_small_cohorts_are_split_too(no: int, yes: int) -> None:
    patients, labels = [f"p{number}" for number in range(no + yes)], ["no"] * no + ["yes"] * yes
    parts = split_patients(patients, labels, SHARES, 0)
    check(list(zip(patients, labels, strict=True)), parts, set(SHARES))


def test_the_seed_decides() -> None:
    patients, labels = [f"p{number}" for number in range(60)], ["no", "yes"] * 30
    one = split_patients(patients, labels, SHARES, 3)
    assert split_patients(patients, labels, SHARES, 3) == one
    assert split_patients(patients, labels, SHARES, 4) != one


@pytest.mark.parametrize("folds", [0, 1, 2])
def test_too_few_folds(folds: int) -> None:
    with pytest.raises(SplitError, match="too few"):
        fold_patients([f"p{number}" for number in range(20)], ["a", "b"] * 10, folds, 0)


def test_fewer_patients_than_folds() -> None:
    # Twenty cases, and yet one label has three patients only.
    patients = [f"a{number}" for number in range(10)] + [f"b{number % 3}" for number in range(10)]
    with pytest.raises(SplitError, match="fewer patients than folds: 3 patients are labelled 'b'"):
        fold_patients(patients, ["a"] * 10 + ["b"] * 10, 4, 0)
    with pytest.raises(SplitError, match="fewer patients than parts"):
        split_patients(patients, ["a"] * 10 + ["b"] * 10, SHARES, 0)


# Multi-label cases as (patient, states), with three labels, each present, absent or unknown.
STATES = st.lists(
    st.tuples(st.integers(0, 30).map(lambda number: f"p{number}"), st.tuples(*[st.sampled_from([0.0, 1.0, np.nan])] * 3)),
    min_size=12, max_size=80,
)  # fmt: skip


def check_states(patients: Sequence[str], states: np.ndarray, parts: Sequence[object], wanted: set[object]) -> None:
    given = np.array(parts)
    for patient in set(patients):
        assert len(set(given[np.array(patients) == patient])) == 1
    for column in states.T:
        assert set(given[column == 1]) == wanted
        assert set(given[column == 0]) in (wanted, set())


@settings(max_examples=60, deadline=None)
@given(STATES, SEEDS, st.integers(3, 5))
def test_several_labels(cases: list[tuple[str, tuple[float, ...]]], seed: int, folds: int) -> None:
    patients, states = [patient for patient, _ in cases], np.array([states for _, states in cases])
    with suppress(SplitError):
        check_states(patients, states, split_patients(patients, states, SHARES, seed), set(SHARES))
    with suppress(SplitError):
        check_states(patients, states, fold_patients(patients, states, folds, seed), set(range(folds)))


@pytest.mark.parametrize("seed", range(5))
def test_enough_patients_of_several_labels_are_split_in_the_wanted_shares(seed: int) -> None:
    """Two hundred patients with one to three cases; a label is in a tenth, a quarter or half; a fifth is unknown."""
    rng = np.random.default_rng(seed)
    patients = [f"p{number}" for number in range(200) for _ in range(1 + number % 3)]
    states = (rng.random((len(patients), 3)) < [0.1, 0.25, 0.5]).astype(float)
    states[rng.random(states.shape) < 0.2] = np.nan
    parts = split_patients(patients, states, SHARES, seed)
    check_states(patients, states, parts, set(SHARES))
    for name, share in SHARES.items():
        inside = states[np.array(parts) == name]
        assert abs(len(inside) - len(states) * share / 20) < 2
        for state in (0, 1):
            assert np.abs((inside == state).sum(0) - (states == state).sum(0) * share / 20).max() < 2


def test_fewer_patients_with_or_without_one_of_several_labels() -> None:
    states = np.zeros((20, 2))
    states[::2] = 1
    patients = [f"p{number}" for number in range(20)]
    states[:, 1] = [1, 1] + [0] * 18
    with pytest.raises(SplitError, match="fewer patients than parts: 2 patients have 'nodule' present"):
        split_patients(patients, states, SHARES, 0, names=["effusion", "nodule"])
    with pytest.raises(SplitError, match="fewer patients than folds: 2 patients have '1' absent"):
        fold_patients(patients, 1 - states, 5, 0)
    states[:, 1] = np.nan
    with pytest.raises(SplitError, match="0 patients have 'nodule' present"):
        fold_patients(patients, states, 5, 0, names=["effusion", "nodule"])
    states[:, 1] = 1  # never absent: nothing to ask for
    check_states(patients, states, fold_patients(patients, states, 5, 0), set(range(5)))


def test_no_way_to_give_every_fold_every_label() -> None:
    """Each label has three patients, but two of any three patients share one: the third fold gets too little."""
    states = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
    states[states == 0] = np.nan
    with pytest.raises(SplitError, match="no way was found"):
        fold_patients(["a", "b", "c", "d"], states, 3, 0)


@pytest.mark.parametrize("labels", [[], np.zeros((0, 3)), np.zeros((0, 0))])
def test_no_cases(labels: list[str] | np.ndarray) -> None:
    with pytest.raises(SplitError, match="no labelled cases"):
        split_patients([], labels, SHARES, 0)


def test_states_that_are_none() -> None:
    with pytest.raises(SplitError, match="not 1"):
        fold_patients(list("abcdef"), np.full((6, 1), 0.5), 3, 0)


@pytest.mark.parametrize("several", [False, True])
def test_the_names_of_the_patients_do_not_matter(several: bool) -> None:
    """They are pseudonyms made with a secret key; of two projects with the same cases, the splits are the same."""
    random = Random(1)
    numbers = [random.randrange(60) for _ in range(150)]
    labels = np.random.default_rng(1).integers(0, 2, (150, 2)).astype(float)
    exclusive = [f"l{int(one)}" for one in labels[:, 0]]
    first, second = (
        [str(key[number]) for number in numbers] for key in (list(range(60)), random.sample(range(10**6), 60))
    )
    chosen = labels if several else exclusive
    assert split_patients(first, chosen, SHARES, 3) == split_patients(second, chosen, SHARES, 3)
    assert fold_patients(first, chosen, 5, 3) == fold_patients(second, chosen, 5, 3)


def test_the_seed_decides_with_several_labels_and_with_folds() -> None:
    patients = [f"p{number}" for number in range(60)]
    states = np.random.default_rng(0).integers(0, 2, (60, 4)).astype(float)
    one = fold_patients(patients, states, 5, 3)
    assert fold_patients(patients, states, 5, 3) == one
    same = [np.mean(np.array(fold_patients(patients, states, 5, seed)) == one) for seed in range(4, 24)]
    assert max(same) < 0.6  # by chance a fifth
