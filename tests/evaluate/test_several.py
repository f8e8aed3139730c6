"""Several labels per case: judged label by label, compared label by label, and whole again after a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from hounsfield.core import Predictions
from hounsfield.core.predictions import FIXED, Task
from hounsfield.errors import PredictionsError
from hounsfield.evaluate import Evaluation, compare, evaluate

LABELS = ["a", "b"]


def made(
    truth: np.ndarray, probability: np.ndarray, *, name: str = "test", prefix: str = "p", **fixed: list[object]
) -> Predictions:
    """Predictions of one case per patient; `truth` -1 means not known; thresholds 0.5 and 0.4."""
    count, labels = len(truth), LABELS[: truth.shape[1]]
    cuts = [0.5, 0.4][: len(labels)]
    columns: dict[str, list[object]] = {key: [None] * count for key in FIXED}
    columns |= {"case": [f"{prefix}c{i}" for i in range(count)], "patient": [f"{prefix}{i}" for i in range(count)]}
    table = pl.DataFrame(columns | fixed, schema=FIXED)
    for place, label in enumerate(labels):
        table = table.with_columns(
            pl.Series(f"truth:{label}", [None if value < 0 else int(value) for value in truth[:, place]], pl.Int8),
            pl.Series(f"logit:{label}", probability[:, place]),
            pl.Series(f"probability:{label}", probability[:, place]),
            pl.Series(f"decision:{label}", (probability[:, place] >= cuts[place]).astype(np.int8)),
        )
    task = Task(labels=labels, positive=None, multi_label=True, thresholds=cuts, bundle="abc", name=name)
    return Predictions(table, task)


def simulated(
    n: int = 240, strength: float = 2.0, seed: int = 0, unknown: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((n, 2)) < 0.4).astype(int)
    probability = 1 / (1 + np.exp(-(generator.normal(size=(n, 2)) + strength * (truth - 0.5))))
    return np.where(generator.random((n, 2)) < unknown, -1, truth), probability


def area(truth: np.ndarray, probability: np.ndarray) -> float:
    known = truth >= 0
    return float(roc_auc_score(truth[known], probability[known]))


def test_each_label_where_it_is_known_and_their_mean() -> None:
    truth, probability = simulated()
    found = evaluate(made(truth, probability), resamples=50)
    each = [area(truth[:, place], probability[:, place]) for place in range(2)]
    assert [found.per_class[label]["auc"].value for label in LABELS] == pytest.approx(each)
    assert found.estimates["auc"].value == pytest.approx(np.mean(each))
    row = found.prevalence["b"]
    assert (row["cases"], row["absent"]) == ((truth[:, 1] == 1).sum(), (truth[:, 1] == 0).sum())
    assert row["known"] == row["cases"] + row["absent"] and row["share"] == pytest.approx(row["cases"] / row["known"])
    neither = int((truth < 0).all(axis=1).sum())
    assert neither and (found.cases, found.without_truth) == (240 - neither, neither)
    right = (probability[:, 1] >= 0.4) & (truth[:, 1] == 1)
    assert found.confusions["b"][1][1] == right.sum() and found.confusion == []
    assert found.thresholds == {"a": 0.5, "b": 0.4} and set(found.curves) == {"a", "b"}
    assert found.curves["a"]["roc"] and found.positive is None and found.multi_label


def test_nothing_known_is_an_error() -> None:
    with pytest.raises(PredictionsError, match="known truth"):
        evaluate(made(np.full((5, 2), -1), np.full((5, 2), 0.5)))


def test_json_and_back_is_identical(tmp_path: Path) -> None:
    found = evaluate(made(*simulated(), sex=["F", "M"] * 120), resamples=50)
    found.save(tmp_path / "e.json")
    assert Evaluation.load(tmp_path / "e.json") == found
    json.dumps(found.to_dict(), allow_nan=False)
    assert "means over labels" in str(found) and "AUC, b" in str(found)


def test_an_evaluation_that_was_stored_before_there_were_several_labels_is_read() -> None:
    content = evaluate(made(*simulated()), resamples=0).to_dict()
    for name in ("multi_label", "thresholds", "confusions", "not_judged"):
        del content[name]
    assert not Evaluation.from_dict(content).multi_label
    del content["labels"]
    with pytest.raises(PredictionsError, match="lacks: labels"):
        Evaluation.from_dict(content)


def test_missing_decisions_are_taken_from_the_label_s_own_threshold() -> None:
    truth, probability = simulated()
    whole = made(truth, probability)
    table = whole.table.with_columns(pl.lit(None, pl.Int8).alias("decision:b"))
    derived = evaluate(Predictions(table, whole.task), resamples=0)
    assert derived.confusions == evaluate(whole, resamples=0).confusions
    assert any("without a decision" in text for text in derived.warnings)


def test_folds_and_groups_take_the_mean_over_labels() -> None:
    truth, probability = simulated()
    folds, sex = [place % 3 for place in range(240)], ["F"] * 130 + ["M"] * 110
    found = evaluate(made(truth, probability, fold=folds, sex=sex), resamples=20)
    for fold, value in found.folds.items():
        rows = np.array(folds) == int(fold)
        assert value == pytest.approx(np.mean([area(truth[rows, k], probability[rows, k]) for k in range(2)]))
    rows = np.array(sex) == "M"
    group = next(row for row in found.subgroups if row.value == "M")
    assert group.estimates["auc"].value == pytest.approx(
        np.mean([area(truth[rows, k], probability[rows, k]) for k in range(2)])
    )
    assert group.positives is None and group.p is None


def test_a_label_of_one_class_is_not_judged_and_is_said() -> None:
    truth, probability = simulated()
    truth[:, 1] = np.where(truth[:, 1] < 0, -1, 0)
    found = evaluate(made(truth, probability), resamples=20)
    assert found.not_judged == {"b": "no case here is b"} and list(found.per_class) == ["a"] == list(found.curves)
    assert "b is not judged: no case here is b." in found.warnings
    truth[:, 0] = 0
    none = evaluate(made(truth, probability), resamples=20)
    assert none.estimates["auc"].value is None and none.per_class == {} and len(none.not_judged) == 2


def test_one_label_alone_is_a_task_too() -> None:
    truth, probability = simulated()
    found = evaluate(made(truth[:, :1], probability[:, :1]), resamples=20)
    assert found.estimates["auc"].value == found.per_class["a"]["auc"].value


def test_compare_label_by_label() -> None:
    home, away = made(*simulated(400, 3.0, 1)), made(*simulated(300, 0.8, 2), name="external-B", prefix="q")
    drop = compare(home, away, resamples=500)
    assert drop.conclusion == "worse" and drop.sentence.startswith("At B the mean AUC of the labels is")
    assert list(drop.areas) == LABELS
    for change in [drop.changes["auc"], *drop.areas.values()]:
        assert change.difference.value == pytest.approx(change.away.value - change.home.value)
        assert change.difference.low < change.difference.value < change.difference.high < 0
    assert drop.changes["auc"].difference.value == pytest.approx(
        np.mean([change.difference.value for change in drop.areas.values()])
    )
    json.dumps(drop.to_dict(), allow_nan=False)


def test_means_are_compared_over_the_labels_of_both_sides() -> None:
    """A mean of two labels at home and of one elsewhere would differ for that reason alone."""
    truth, probability = simulated(300, 1.5, 2, unknown=0)
    truth[:, 1] = 0
    away = made(truth, probability, name="external-B", prefix="q")
    home = evaluate(made(*simulated(300, 1.5, 1)), resamples=300)
    drop = compare(home, away, resamples=300)
    assert drop.changes["auc"].home.value == home.per_class["a"]["auc"].value != home.estimates["auc"].value
    assert drop.changes["auc"].difference.low == pytest.approx(drop.areas["a"].difference.low)
    assert drop.areas["b"].difference.value is None and "no case here is b" in drop.areas["b"].difference.note
    assert any("without b" in text for text in drop.warnings)
    stored = compare(Evaluation.from_dict(home.to_dict()), away, resamples=300)
    assert stored.changes["auc"].home.value == drop.changes["auc"].home.value


def test_no_label_in_common_is_no_difference() -> None:
    sides = []
    for place, (name, prefix) in enumerate((("test", "p"), ("external-B", "q"))):
        truth, probability = simulated(seed=place)
        truth[:, place] = 0
        sides.append(made(truth, probability, name=name, prefix=prefix))
    drop = compare(*sides, resamples=50)
    assert drop.changes["auc"].difference.value is None and drop.conclusion == "too few to conclude"


def test_several_labels_and_classes_of_the_same_names_are_not_compared() -> None:
    truth, probability = simulated()
    one = made(truth, probability)
    share = probability / probability.sum(axis=1, keepdims=True)
    table = one.table.with_columns(
        *[pl.Series(f"probability:{label}", share[:, place]) for place, label in enumerate(LABELS)],
        truth=pl.Series(["a", "b"] * 120), decision=pl.Series(["a"] * 240),
    )  # fmt: skip
    classes = Predictions(table, Task(labels=LABELS, positive=None, bundle="abc"))
    with pytest.raises(PredictionsError, match="different labels"):
        compare(one, classes, resamples=10)
