"""No patient in two parts, every label in every part; or a SplitError."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from random import Random

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
