"""Predictions in, Evaluation out: what is counted, what is said, what survives a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from hounsfield.core import Predictions
from hounsfield.core.predictions import FIXED, Task
from hounsfield.errors import PredictionsError
from hounsfield.evaluate import Evaluation, by_patient, compare, evaluate


def made(
    truth: np.ndarray,
    probability: np.ndarray,
    *,
    labels: tuple[str, ...] = ("no", "yes"),
    name: str = "test",
    threshold: float | None = 0.5,
    prefix: str = "p",
    **columns: list[object],
) -> Predictions:
    """Predictions of one case per patient; `truth` -1 means not known; `columns` replace the fixed ones."""
    scores = probability.reshape(len(truth), -1)
    binary = scores.shape[1] == 1
    decided = (scores[:, 0] >= (threshold or 0.5)).astype(int) if binary else scores.argmax(axis=1)
    fixed: dict[str, list[object]] = {key: [None] * len(truth) for key in FIXED}
    fixed |= {
        "case": [f"{prefix}c{place}" for place in range(len(truth))],
        "patient": [f"{prefix}{place}" for place in range(len(truth))],
        "truth": [None if index < 0 else labels[index] for index in truth],
        "decision": [labels[index] for index in decided],
    }
    table = pl.DataFrame(fixed | columns, schema=FIXED)
    outputs = labels[1:] if binary else labels
    extra = [
        pl.Series(f"{kind}:{label}", scores[:, i])
        for i, label in enumerate(outputs)
        for kind in ("logit", "probability")
    ]
    task = Task(
        labels=list(labels),
        positive=labels[1] if binary else None,
        threshold=threshold if binary else None,
        operating_point="youden" if binary else "",
        bundle="abc",
        name=name,
    )
    return Predictions(table.with_columns(extra), task)


def simulated(n: int = 200, strength: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = (generator.random(n) < 0.4).astype(int)
    return truth, 1 / (1 + np.exp(-(generator.normal(size=n) + strength * (truth - 0.5))))


def test_cases_without_truth_are_left_out_and_counted() -> None:
    truth, scores = simulated()
    unknown = np.where(np.arange(len(truth)) < 30, -1, truth)
    found = evaluate(made(unknown, scores), resamples=50)
    assert (found.cases, found.without_truth) == (170, 30)
    assert found.estimates["auc"].value == pytest.approx(roc_auc_score(truth[30:], scores[30:]))
    assert any("30 cases without a known truth" in text for text in found.warnings)


def test_nothing_known_is_an_error() -> None:
    with pytest.raises(PredictionsError, match="known truth"):
        evaluate(made(np.full(5, -1), np.linspace(0, 1, 5)))


def test_counts_prevalence_and_confusion_agree() -> None:
    truth, scores = simulated()
    found = evaluate(made(truth, scores, patient=[f"p{i // 2}" for i in range(200)]), resamples=50)
    assert (found.cases, found.patients) == (200, 100)
    assert sum(map(sum, found.confusion)) == 200
    assert [sum(row) for row in found.confusion] == [found.prevalence[label]["cases"] for label in found.labels]
    assert found.confusion[1][1] / sum(found.confusion[1]) == pytest.approx(found.estimates["sensitivity"].value)


def test_decisions_of_the_table_are_kept_and_missing_ones_derived() -> None:
    truth, scores = simulated()
    whole = evaluate(made(truth, scores, threshold=0.3), resamples=0)
    table = made(truth, scores, threshold=0.3).table.with_columns(decision=pl.lit(None, dtype=pl.String))
    derived = evaluate(Predictions(table, made(truth, scores, threshold=0.3).task), resamples=0)
    assert whole.confusion == derived.confusion
    assert any("without a decision" in text for text in derived.warnings)
    contrary = evaluate(made(truth, scores, decision=["no"] * 200), resamples=0)
    assert contrary.estimates["sensitivity"].value == 0


def test_positive_listed_first_changes_nothing() -> None:
    truth, scores = simulated()
    first = evaluate(made(truth, scores), resamples=50)
    other = made(truth, scores)
    second = evaluate(Predictions(other.table, other.task.model_copy(update={"labels": ["yes", "no"]})), resamples=50)
    assert first.estimates == second.estimates and first.confusion == second.confusion


def test_out_of_fold_predictions_are_also_judged_fold_by_fold() -> None:
    truth, scores = simulated()
    folds = [place % 4 for place in range(200)]
    found = evaluate(made(truth, scores, fold=folds, name="folds"), resamples=20)
    assert list(found.folds) == ["0", "1", "2", "3"]
    expected = [roc_auc_score(truth[np.array(folds) == fold], scores[np.array(folds) == fold]) for fold in range(4)]
    assert list(found.folds.values()) == pytest.approx(expected)
    assert found.mean_fold_auc == pytest.approx(np.mean(expected))
    assert evaluate(made(truth, scores), resamples=20).folds == {}


def test_subgroups_are_judged_when_they_are_large_enough() -> None:
    truth, scores = simulated()
    sex = ["F"] * 120 + ["M"] * 75 + ["X"] * 5
    found = evaluate(made(truth, scores, sex=sex, site=["here"] * 200), resamples=50)
    assert [(one.covariate, one.value, one.cases) for one in found.subgroups] == [("sex", "F", 120), ("sex", "M", 75)]
    first = found.subgroups[0].estimates
    assert first["auc"].value == pytest.approx(roc_auc_score(truth[:120], scores[:120]))
    assert first["sensitivity"].value == pytest.approx((scores[:120] >= 0.5)[truth[:120] == 1].mean())
    assert found.hidden_groups == {"sex": 1}
    again = Evaluation.from_dict(found.to_dict())
    assert again.subgroups == found.subgroups and again.hidden_groups == found.hidden_groups


def test_a_group_that_fails_is_named_and_equal_groups_are_not() -> None:
    truth, scores = simulated(600)
    site = ["north"] * 200 + ["south"] * 200 + ["west"] * 200
    fair = evaluate(made(truth, scores, site=site), resamples=50)
    assert all(one.adjusted > 0.05 for one in fair.subgroups) and not any(
        "more than chance" in w for w in fair.warnings
    )
    broken = np.concatenate([scores[:400], np.random.default_rng(0).permutation(scores[400:])])
    found = evaluate(made(truth, broken, site=site), resamples=50)
    west = next(one for one in found.subgroups if one.value == "west")
    assert west.adjusted < 0.001 and west.rest == pytest.approx(roc_auc_score(truth[:400], broken[:400]))
    assert any(text.startswith("Site west: the AUC is") and "more than chance" in text for text in found.warnings)


def test_two_groups_ask_one_question() -> None:
    truth, scores = simulated(300)
    found = evaluate(made(truth, scores, sex=["F", "M"] * 150), resamples=50)
    assert found.subgroups[0].p == found.subgroups[1].p == found.subgroups[0].adjusted == found.subgroups[1].adjusted


def test_any_column_can_make_groups() -> None:
    truth, scores = simulated(100)
    table = made(truth, scores)
    more = Predictions(table.table.with_columns(pl.Series("group:ward", ["a", "b"] * 50)), table.task)
    assert [(one.covariate, one.value) for one in evaluate(more, resamples=50).subgroups] == [
        ("ward", "a"),
        ("ward", "b"),
    ]


def test_a_case_without_a_patient_is_a_patient_of_its_own() -> None:
    truth, scores = simulated(20)
    found = evaluate(made(truth, scores, patient=["a"] * 10 + [None] * 10), resamples=20)
    assert found.patients == 11
    assert any("10 cases without a patient" in text for text in found.warnings)


def test_abstentions_are_counted_and_judged() -> None:
    truth, scores = simulated()
    found = evaluate(made(truth, scores, abstention=["too dark"] * 4 + [None] * 196), resamples=20)
    assert (found.abstentions, found.cases) == (4, 200)
    assert any("abstained in 4 cases" in text for text in found.warnings)


@pytest.mark.parametrize("classes", [2, 3])
def test_json_and_back_is_identical(classes: int, tmp_path: Path) -> None:
    truth, scores = simulated()
    labels = ("no", "yes", "maybe")[:classes]
    if classes == 3:
        truth, raw = np.arange(200) % 3, np.random.default_rng(0).random((200, 3))
        scores = raw / raw.sum(axis=1, keepdims=True)
    found = evaluate(made(truth, scores, labels=labels, sex=["F", "M"] * 100), resamples=50)
    found.save(tmp_path / "e.json")
    assert Evaluation.load(tmp_path / "e.json") == found
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(found).splitlines()[1 if classes == 3 else 2].split()[0] == "AUC"


def test_one_class_gives_none_with_its_reason_and_no_crash() -> None:
    found = evaluate(made(np.ones(20, int), np.linspace(0.1, 0.9, 20)), resamples=20)
    assert found.estimates["auc"].value is None and "every case here is yes" in found.estimates["auc"].note
    assert "roc" not in found.curves["yes"] and "reliability" in found.curves["yes"]
    assert "No case is no, so much cannot be computed." in found.warnings
    json.dumps(found.to_dict(), allow_nan=False)


def test_few_patients_and_wide_intervals_are_said() -> None:
    truth, scores = simulated(24, strength=0.5)
    texts = " ".join(evaluate(made(truth, scores), resamples=200).warnings)
    assert "Only" in texts and "wide" in texts


def test_compare_sees_a_real_drop_and_says_so() -> None:
    home = evaluate(made(*simulated(400, 3.0, 1)), resamples=500)
    away = made(*simulated(300, 0.8, 2), name="external-Utrecht", prefix="q")
    drop = compare(home, away, resamples=500)
    change = drop.changes["auc"]
    assert drop.conclusion == "worse" and drop.warnings == []
    assert change.difference.value == pytest.approx(change.away.value - change.home.value)
    assert change.difference.low < change.difference.value < change.difference.high < 0
    assert drop.sentence.startswith("At Utrecht the AUC is 0.") and "lower than at home" in drop.sentence
    json.dumps(drop.to_dict(), allow_nan=False)


def test_few_cases_are_too_few_to_conclude() -> None:
    drop = compare(
        made(*simulated(300, 1.5, 1)), made(*simulated(16, 1.5, 5), prefix="q", name="external-B"), resamples=300
    )
    assert drop.conclusion == "too few to conclude" and "too few to conclude, with 16 patients" in drop.sentence


def test_a_fall_of_which_nobody_can_say_how_deep_is_too_few_to_conclude() -> None:
    """Thirty cases with an AUC of about a half, against 0.94 at home: all of the interval lies below 0, and it is wide."""
    truth = np.arange(30) % 2
    away = made(truth, np.random.default_rng(4).random(30), prefix="q", name="external-few")
    drop = compare(made(*simulated(600, 3.1, 1)), away, resamples=300)
    gap = drop.changes["auc"].difference
    assert gap.high - gap.low > 0.4 and gap.high < 0
    assert drop.conclusion == "too few to conclude" and drop.sentence.endswith("all of the interval lies below 0.")


def test_the_interval_of_a_difference_is_that_of_independent_samples() -> None:
    home = evaluate(made(*simulated(300, 1.5, 1)), resamples=2000)
    away = evaluate(made(*simulated(300, 1.0, 2), prefix="q", name="external-B"), resamples=2000)
    gap = compare(home, away).changes["auc"].difference
    spread = np.hypot(np.std(home.resampled["auc"]), np.std(away.resampled["auc"]))
    assert gap.high - gap.low == pytest.approx(2 * 1.96 * spread, rel=0.08)
    stored = compare(Evaluation.from_dict(home.to_dict()), away).changes["auc"].difference
    assert stored == gap


def test_perfect_at_home_still_gives_an_interval_of_the_difference() -> None:
    truth = np.arange(60) % 2
    drop = compare(made(truth, np.where(truth, 0.9, 0.1)), made(*simulated(100, 1.0, 3), prefix="q"), resamples=200)
    gap = drop.changes["auc"].difference
    assert gap.low is not None and gap.low < gap.value < gap.high


def test_one_class_elsewhere_is_said_in_words() -> None:
    away = made(np.zeros(30, int), np.linspace(0.1, 0.9, 30), prefix="q", name="external-B")
    drop = compare(made(*simulated()), away, resamples=50)
    assert drop.changes["auc"].difference.value is None
    assert drop.sentence == "At B the AUC cannot be computed: no case here is yes."
    assert drop.changes["specificity"].difference.value is not None


def test_shared_patients_and_other_bundles_are_warned_of() -> None:
    home, away = made(*simulated()), made(*simulated(seed=3), name="external-B", threshold=0.4)
    other = Predictions(away.table, away.task.model_copy(update={"bundle": "other"}))
    texts = " ".join(compare(home, other, resamples=20).warnings)
    assert "200 patients stand in both" in texts and "different bundles" in texts and "different thresholds" in texts


def test_other_labels_are_refused() -> None:
    with pytest.raises(PredictionsError, match="different labels"):
        compare(made(*simulated()), made(*simulated(), labels=("a", "b")), resamples=10)


def test_what_the_calibration_did_is_told_with_intervals() -> None:
    """Logits three times too far out, probabilities that are right: log loss and slope before are those of the logits."""
    generator = np.random.default_rng(7)
    odds = generator.normal(-0.8, 1.5, size=2000)
    truth = (generator.random(2000) < 1 / (1 + np.exp(-odds))).astype(int)
    right = made(truth, 1 / (1 + np.exp(-odds)))
    bent = Predictions(right.table.with_columns(pl.Series("logit:yes", 3 * odds)), right.task)
    found = evaluate(bent, resamples=50)
    assert set(found.raw) == {"brier", "log_loss", "calibration_slope", "calibration_intercept"}
    told = 1 / (1 + np.exp(-3 * odds))
    assert found.raw["log_loss"].value == pytest.approx(log_loss(truth, told), rel=1e-6)
    assert found.raw["brier"].value == pytest.approx(brier_score_loss(truth, told))
    assert found.raw["log_loss"].low is not None and found.estimates["log_loss"].high is not None
    assert found.raw["log_loss"].low > found.estimates["log_loss"].high
    slope, after = found.raw["calibration_slope"], found.estimates["calibration_slope"]
    assert slope.high is not None and slope.high < 0.5
    assert after.low is not None and after.high is not None and after.low < 1 < after.high
    same = Predictions(right.table.with_columns(pl.Series("logit:yes", odds)), right.task)
    assert evaluate(same, resamples=50).raw == {}
    assert evaluate(by_patient(bent), resamples=50).raw == {}
    assert Evaluation.from_dict(json.loads(json.dumps(found.to_dict()))).raw == found.raw
