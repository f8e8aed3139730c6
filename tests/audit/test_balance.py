"""How a cohort is made up: counts add up, nobody is pointed at, what goes together is told and chance is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from hounsfield.audit.balance import associations_of, balance_items, cramers_v, groups_of, missing_of

LABELS = ["no", "yes"]


def cohort(n: int = 120, seed: int = 0) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    site = generator.choice(["A", "B"], n)
    return pl.DataFrame(
        {
            "patient": [f"p{number // 2}" for number in range(n)],
            "site": np.repeat(site[: n // 2], 2),
            "scanner": [["x", "y", None][number % 3] for number in range(n)],
            "sex": np.repeat(generator.choice(["F", "M"], n // 2), 2),
            "age_band": np.repeat(generator.choice(["0–17", "18–39"], n // 2), 2),
            "label": np.repeat(generator.choice(LABELS, n // 2), 2),
        }
    )


def sentences(table: pl.DataFrame, labels: list[str] = LABELS, **more: int) -> list[str]:
    columns = ("site", "scanner", "sex", "age_band")
    found = groups_of(table, columns, labels), missing_of(table, columns), associations_of(table, columns)
    return [item.sentence for item in balance_items(table, labels, *found, **more)]


def test_groups_add_up() -> None:
    table = cohort()
    groups = groups_of(table, ["site", "scanner", "sex", "nowhere"], LABELS)
    for column in ("site", "scanner", "sex"):
        mine = [group for group in groups if group.column == column]
        assert sum(group.cases for group in mine) == table.height
        assert sum(group.labels["yes"] for group in mine) == (table["label"] == "yes").sum()
        assert all(sum(group.labels.values()) == group.cases for group in mine)
    assert [group.value for group in groups if group.column == "scanner"] == ["x", "y", "not known"]


def test_a_value_of_few_patients_is_not_named() -> None:
    table = cohort().with_columns(
        pl.when(pl.col("patient").is_in(["p0", "p1"])).then(pl.lit("tiny")).otherwise("site").alias("site")
    )
    values = {group.value: group for group in groups_of(table, ["site"], LABELS)}
    assert "tiny" not in values
    assert values["others (fewer than 5 patients each)"].patients == 2
    assert not any("tiny" in sentence for sentence in sentences(table))


def test_several_labels_count_those_present() -> None:
    table = cohort(40).with_columns(
        label=pl.lit(None, dtype=pl.String),
        present=pl.Series([["yes", "no"], ["yes"], [], ["no"]] * 10, dtype=pl.List(pl.String)),
    )
    groups = groups_of(table, ["sex"], LABELS)
    assert sum(group.cases for group in groups) == 40
    assert sum(group.labels["yes"] for group in groups) == 20
    assert isinstance(sentences(table), list)


def test_missing() -> None:
    found = missing_of(cohort(), ["site", "scanner", "nowhere"])
    assert [(one.column, one.missing, one.cases) for one in found] == [("scanner", 40, 120)]
    wholly = cohort().with_columns(sex=pl.lit(None, dtype=pl.String))
    assert any("not known of any case: sex" in sentence for sentence in sentences(wholly))


def test_cramers_v() -> None:
    assert cramers_v(np.array([[50, 0], [0, 50]]))[0] == pytest.approx(1.0)
    strength, p = cramers_v(np.array([[25, 25], [25, 25]]))
    assert strength == 0 and p == 1
    # Bergsma 2013, written out for one table.
    counts = np.array([[30, 10], [10, 30], [20, 20]])
    square = 20.0
    phi = square / 120 - 2 / 119
    assert cramers_v(counts)[0] == pytest.approx(np.sqrt(phi / min(3 - 4 / 119 - 1, 2 - 1 / 119 - 1)))


def test_association_is_told_by_patient() -> None:
    table = cohort(400).with_columns(
        age_band=pl.when(pl.col("site") == "A").then(pl.lit("0–17")).otherwise(pl.lit("18–39"))
    )
    found = associations_of(table, ["site", "scanner", "sex", "age_band"])
    assert [(one.first, one.second) for one in found] == [("site", "age_band")]
    assert found[0].strength == pytest.approx(1.0)
    patients = table.filter(pl.col("site") == "A")["patient"].n_unique()
    assert f"all {patients} patients of A are 0–17" in found[0].sentence


def test_chance_is_not_told() -> None:
    found = [associations_of(cohort(200, seed), ["site", "scanner", "sex", "age_band"]) for seed in range(50)]
    assert sum(map(bool, found)) <= 1


def test_rare_and_unbalanced() -> None:
    labels = ["yes"] * 6 + ["no"] * 114
    table = cohort().with_columns(label=pl.Series(labels))
    told = sentences(table, parts=5)
    assert any("fewer patients than parts or folds (5): 'yes' has 3" in one for one in told)
    assert any("very unbalanced: 'yes' 6 beside 114 of 'no'" in one for one in told)
    assert any("fewer than 20 patients: 'yes' has 3" in one for one in sentences(table, parts=3))


def test_a_label_of_one_site() -> None:
    table = cohort(200).with_columns(
        label=pl.when((pl.col("site") == "A") & (pl.col("sex") == "F")).then(pl.lit("yes")).otherwise(pl.lit("no"))
    )
    assert any("with 'yes' come from A, one of 2 sites" in one for one in sentences(table))


def test_degenerate() -> None:
    empty = cohort().head(0)
    assert groups_of(empty, ["site"], LABELS) == []
    assert missing_of(empty, ["site"]) == []
    assert associations_of(empty, ["site", "sex"]) == []
    assert isinstance(sentences(empty), list)
    assert isinstance(sentences(cohort().head(1)), list)
