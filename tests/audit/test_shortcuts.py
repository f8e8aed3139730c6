"""Planted shortcuts are found, clean cohorts raise no alarm, and what must not matter does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from hounsfield.audit.coding import FEWEST_SHARING, PATIENT
from hounsfield.audit.record import Shortcut
from hounsfield.audit.sentences import shortcut_items
from hounsfield.audit.shortcuts import shortcut_test

SCAN, PICTURE = "scanner and protocol", "picture"
Cohort = tuple[pl.DataFrame, dict[str, str], np.ndarray, np.ndarray]


def cohort(seed: int, n: int, most: int = 6, share: float | None = None) -> Cohort:
    """About 40 facts as files have them: a scanner behind many of them, patients with 1 to `most` cases of one label."""
    draw = np.random.default_rng([seed, n])
    owner = np.repeat(np.arange(n), draw.integers(1, most + 1, n))[:n]
    people = int(owner.max()) + 1
    site = draw.choice(4, people, p=[0.45, 0.3, 0.15, 0.1])
    make = np.where(draw.random(people) < 0.85, site % 3, draw.integers(0, 3, people))

    def gaps(values: np.ndarray, rate: float) -> list:
        missing = (draw.random(people) < rate)[owner]
        return [None if gone else value for gone, value in zip(missing, values[owner].tolist(), strict=True)]

    facts: dict[str, list] = {
        "site": [f"site {one}" for one in site[owner]],
        "maker": gaps(np.array(["SIEMENS", "GE", "Philips"])[make], 0.02),
        "model": gaps(np.array([f"m{a}{b}" for a, b in zip(make, draw.integers(0, 4, people), strict=True)]), 0.05),
        "kernel": gaps(np.array([f"k{a}{b}" for a, b in zip(make, draw.zipf(1.7, people), strict=True)]), 0.1),
        "KVP": gaps(draw.choice([80.0, 100.0, 120.0, 140.0], people, p=[0.05, 0.15, 0.7, 0.1]), 0.05),
        "thickness": gaps(np.where(make == 0, *(draw.choice(v, people) for v in ([1.0, 3.0], [1.25, 2.5, 5.0]))), 0.02),
        "spacing": gaps(0.5 + 0.4 * draw.random(people) + 0.05 * make, 0.0),
        "agent": gaps(draw.choice(["APPLIED", "OMNI", "50CC"], people), 0.6),
        "syntax": gaps(draw.choice(["a", "b", "c"], people, p=[0.9, 0.07, 0.03]), 0.0),
        "constant": ["same"] * n,
    }
    facts |= {f"tag {k}": gaps(np.array([f"x{one}" for one in draw.zipf(2.0, people)]), 0.3) for k in range(10)}
    facts |= {f"marker {k}": (draw.random(n) < (0.05 + 0.3 * draw.random(people))[owner]).tolist() for k in range(6)}
    base = draw.normal(size=people) + 0.7 * (make == 1)
    for k in range(12):
        facts[f"look {k}"] = ((base * (k % 2) + draw.normal(size=people))[owner] + 0.7 * draw.normal(size=n)).tolist()
    families = dict.fromkeys(facts, SCAN)
    facts["sex"], facts["age"] = gaps(draw.choice(["F", "M"], people), 0.05), gaps(draw.normal(60, 12, people), 0.0)
    families |= {"sex": PATIENT, "age": PATIENT}
    truth = (draw.permutation(people) < (share or draw.choice([0.2, 0.35, 0.5])) * people)[owner].astype(float)
    return pl.DataFrame(facts), families, truth, np.array([f"p{one:04d}" for one in owner])


def run(made: Cohort, **more: int) -> Shortcut:
    facts, families, truth, groups = made
    return shortcut_test(facts, families, truth[:, None], ["yes"], groups.tolist(), **more)[0]


def planted(made: Cohort, values: list, family: str = SCAN) -> Cohort:
    facts, families, truth, groups = made
    return facts.with_columns(pl.Series("planted", values)), {**families, "planted": family}, truth, groups


def scanner(truth: np.ndarray, draw: np.random.Generator) -> list:
    return np.where(draw.random(len(truth)) < np.where(truth == 1, 0.7, 0.3), "GE", "SIEMENS").tolist()


def marker(truth: np.ndarray, draw: np.random.Generator) -> list:
    return (draw.random(len(truth)) < np.where(truth == 1, 0.45, 0.05)).tolist()


def u_shape(truth: np.ndarray, draw: np.random.Generator) -> list:
    return (draw.normal(size=len(truth)) * np.where(truth == 1, 2.2, 0.8)).tolist()


def absent(truth: np.ndarray, draw: np.random.Generator) -> list:
    gone = draw.random(len(truth)) < np.where(truth == 1, 0.6, 0.15)
    return [None if one else float(value) for one, value in zip(gone, draw.normal(size=len(truth)), strict=True)]


@pytest.mark.parametrize("plant", [scanner, marker, u_shape, absent])
def test_a_planted_shortcut_is_found(plant: Callable) -> None:
    made = cohort(1, 300, most=1, share=0.5)
    found = run(planted(made, plant(made[2], np.random.default_rng(0))))
    assert found.alarm and found.columns[0].name == "planted" and found.columns[0].alarm
    assert found.joint.value is not None and found.joint.value > 0.6
    (alarm,) = [item for item in shortcut_items([found]) if item.level == "alarm"]
    assert "planted" in alarm.sentence and "'yes'" in alarm.sentence
    assert "are yes" in found.columns[0].detail or "where yes" in found.columns[0].detail


def test_an_absent_tag_is_told() -> None:
    made = cohort(2, 300, most=1, share=0.5)
    detail = run(planted(made, absent(made[2], np.random.default_rng(0)))).columns[0].detail
    assert "missing in" in detail


@pytest.mark.parametrize(("n", "most"), [(100, 1), (200, 6), (800, 6)])
def test_clean_cohorts_raise_no_alarm(n: int, most: int) -> None:
    found = [run(cohort(seed, n, most)) for seed in range(10)]
    assert sum(one.joint.value is not None for one in found) >= 8
    assert sum(one.alarm for one in found) <= 1
    assert np.mean([one.joint.value for one in found if one.joint.value]) == pytest.approx(0.5, abs=0.06)


def test_cases_of_one_patient_are_no_evidence() -> None:
    """Each patient has 20 equal cases, and facts that are theirs alone; a test by case would see nothing but shortcuts."""
    alarms = 0
    for seed in range(10):
        facts, families, truth, groups = cohort(seed, 60, most=1, share=0.5)
        rows = np.repeat(np.arange(60), 20)
        alarms += run((facts[rows], families, truth[rows], groups[rows])).alarm
    assert alarms <= 1


def test_neither_order_nor_names_of_groups_matter() -> None:
    made = planted(cohort(3, 200), [float(k % 7) for k in range(200)])
    facts, families, truth, groups = made
    order = np.random.default_rng(0).permutation(len(truth))
    names = np.array([f"{hash(one) % 9973} {one}" for one in groups])
    assert run(made) == run((facts[order], families, truth[order], names[order]))
    assert run(made) != run(made, seed=1)


def test_patient_facts_are_shown_and_never_alarm() -> None:
    facts, families, truth, groups = cohort(4, 300, most=1, share=0.5)
    facts = facts.with_columns(age=pl.Series(50 + 20 * truth))
    found = run((facts, families, truth, groups))
    assert found.columns[0].name == "age" and not found.columns[0].alarm
    assert found.columns[0].interval.value is not None and found.columns[0].interval.value > 0.95
    assert not found.alarm
    assert any("Facts of the patient predict 'yes': age" in item.sentence for item in shortcut_items([found]))


def test_several_labels_and_unknown_states() -> None:
    facts, families, truth, groups = cohort(5, 400, most=1, share=0.5)
    facts = facts.with_columns(planted=pl.Series(np.where(truth == 1, "A", "B").tolist()))
    draw = np.random.default_rng(0)
    other = np.where(draw.random(400) < 0.5, np.nan, (draw.random(400) < 0.5).astype(float))
    never = np.full(400, np.nan)
    states = np.stack([truth, other, never], axis=1)
    found = shortcut_test(facts, families | {"planted": SCAN}, states, ["a", "b", "c"], groups.tolist())
    assert [one.alarm for one in found] == [True, False, False]
    assert found[1].cases == int(np.isfinite(other).sum())
    assert found[0].joint.value is not None and found[0].joint.value > 0.95
    assert found[2].joint.value is None and "too few" in found[2].note
    told = [item.sentence for item in shortcut_items(found)]
    assert any("'b'" in one and "not found" in one for one in told)
    assert any("'c'" in one and "not tested" in one for one in told)


def test_a_value_of_few_patients_is_not_told() -> None:
    made = cohort(6, 200, most=1, share=0.5)
    values = ["DOE^JANE"] * (FEWEST_SHARING - 1) + ["common"] * 120 + [None] * (80 - FEWEST_SHARING + 1)
    found = run(planted(made, values))
    (column,) = [one for one in found.columns if one.name == "planted"]
    assert "DOE" not in column.detail and "common" in column.detail and "missing" in column.detail


def test_large_cohorts_are_sampled_by_patient() -> None:
    draw = np.random.default_rng(0)
    owner = draw.integers(0, 9000, 20_000)
    truth = (draw.random(9000) < 0.1)[owner].astype(float)
    facts = pl.DataFrame({"a": draw.normal(size=20_000) + 0.5 * truth, "b": draw.integers(0, 5, 20_000).astype(str)})
    found = run((facts, {"a": PICTURE, "b": SCAN}, truth, owner.astype(str)))
    assert "random sample" in found.note and found.cases == 20_000
    assert found.columns[0].name == "a"
    assert found.columns[0].interval.value == pytest.approx(0.638, abs=0.03)


@pytest.mark.parametrize("rows", [0, 1, 12])
def test_too_few(rows: int) -> None:
    facts, families, truth, groups = cohort(7, 100)
    found = run((facts[:rows], families, truth[:rows], groups[:rows]))
    assert not found.alarm and found.joint.value is None and not found.columns and "too few" in found.note
    assert [item.level for item in shortcut_items([found])] == ["note"]


def test_nothing_to_look_at() -> None:
    _, _, truth, groups = cohort(8, 200, most=1, share=0.5)
    nothing = run((pl.DataFrame({"constant": ["x"] * 200}), {"constant": SCAN}, truth, groups))
    assert nothing.joint.value is None and "no fact varies" in nothing.note
    only = run((pl.DataFrame({"sex": ["F", "M"] * 100}), {"sex": PATIENT}, truth, groups))
    assert only.joint.value is None and len(only.columns) == 1 and not only.alarm
    assert shortcut_items([nothing]) and shortcut_items([only])
    one_class = run((pl.DataFrame({"a": ["F", "M"] * 100}), {"a": SCAN}, np.ones(200), groups))
    assert "too few" in one_class.note


def test_a_source_that_tells_little_is_told_beside_an_alarm() -> None:
    """As when two hospitals are pooled, one of which has a little more of the disease, and something else gives it away."""
    draw = np.random.default_rng(0)
    site = draw.random(4000) < 0.8
    truth = (draw.random(4000) < np.where(site, 0.6, 0.5)).astype(float)
    facts = pl.DataFrame(
        {
            "source": np.where(site, "North", "South").tolist(),
            "kernel": np.where(truth == 1, "a", draw.choice(["a", "b"], 4000)).tolist(),
        }
    )
    found = shortcut_test(
        facts, {"source": "site", "kernel": SCAN}, truth[:, None], ["yes"], [f"p{place}" for place in range(4000)]
    )
    items = shortcut_items(found)
    assert [item.level for item in items] == ["alarm", "note"]
    assert "kernel 0." in items[0].sentence and "source" not in items[0].sentence
    assert items[1].sentence.startswith("The source predicts 'yes' weakly: source with AUC 0.5")
    assert "North: " in items[1].sentence
