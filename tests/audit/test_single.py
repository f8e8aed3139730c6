"""Values under one label alone are told when chance is unlikely, and never for a handful of patients."""

from __future__ import annotations

import numpy as np
import polars as pl

from hounsfield.audit.coding import PATIENT
from hounsfield.audit.single import single_items

COUNT = 200
GROUPS = [f"p{number // 2}" for number in range(COUNT)]  # two cases each
TRUTH = np.array([float(number // 2 % 2) for number in range(COUNT)])[:, None]
FAMILIES = {"agent": "scanner", "word": "burned in", "kernel": "scanner", "sex": PATIENT}


def facts(**columns: list[object]) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(values) for name, values in columns.items()})


def test_a_rare_tag_of_one_label_is_told() -> None:
    given = [None if number % 2 or not TRUTH[number, 0] or number > 60 else "Omnipaque" for number in range(COUNT)]
    (item,) = single_items(facts(agent=given), FAMILIES, TRUTH, ["yes"], GROUPS)
    assert item.level == "warning" and item.topic == "shortcut"
    assert item.sentence == "Under one label alone: agent given in 15 case(s) of 15 patients, all 'yes'"


def test_the_other_label_and_what_chance_may_do() -> None:
    absent = [bool(not TRUTH[number, 0]) and number < 36 for number in range(COUNT)]
    (item,) = single_items(facts(word=absent), FAMILIES, TRUTH, ["yes"], GROUPS)
    assert "word in 18 case(s) of 9 patients, all without 'yes'" in item.sentence
    assert item.level == "warning", "9 of 9 patients, among two values that were tried"
    many = {f"k{place}": [f"{(number // 2 * (place + 3)) % 11}" for number in range(COUNT)] for place in range(30)}
    families = FAMILIES | dict.fromkeys(many, "scanner")
    found = single_items(facts(word=absent, **many), families, TRUTH, ["yes"], GROUPS)
    assert [item.level for item in found] == ["note"]
    assert "some do by chance" in found[0].sentence


def test_few_patients_and_facts_of_the_patient_are_not_told() -> None:
    four = [bool(TRUTH[number, 0]) and number < 16 for number in range(COUNT)]
    assert len({GROUPS[number] for number in range(COUNT) if four[number]}) == 4
    assert not single_items(facts(word=four), FAMILIES, TRUTH, ["yes"], GROUPS)
    sex = ["F" if TRUTH[number, 0] else "M" for number in range(COUNT)]
    assert not single_items(facts(sex=sex), FAMILIES, TRUTH, ["yes"], GROUPS)
    assert single_items(facts(kernel=sex), FAMILIES, TRUTH, ["yes"], GROUPS)


def test_one_picture_fewer_and_it_is_no_longer_alone() -> None:
    marked = [bool(TRUTH[number, 0]) and number < 60 for number in range(COUNT)]
    assert single_items(facts(word=marked), FAMILIES, TRUTH, ["yes"], GROUPS)
    marked[0] = True  # a case of the other label
    assert not single_items(facts(word=marked), FAMILIES, TRUTH, ["yes"], GROUPS)


def test_labels_that_are_not_known_count_for_nothing() -> None:
    marked = [bool(TRUTH[number, 0]) and number < 60 for number in range(COUNT)]
    marked[0] = True
    truth = TRUTH.copy()
    truth[0] = np.nan
    (item,) = single_items(facts(word=marked), FAMILIES, truth, ["yes"], GROUPS)
    assert "word in 30 case(s) of 15 patients" in item.sentence
