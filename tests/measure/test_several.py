"""Several labels per case: each as a binary task, their mean by hand, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import t

from hounsfield.measure import measures, several_measures

LABELS = ["a", "b", "c"]


def simulated(n: int = 240, seed: int = 0, unknown: float = 0.2) -> tuple[np.ndarray, ...]:
    """Truth with gaps, probabilities, decisions, and patients of two cases each."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((n, 3)) < [0.5, 0.3, 0.2]).astype(int)
    probability = 1 / (1 + np.exp(-(generator.normal(size=(n, 3)) + 1.5 * truth - 1)))
    truth[generator.random((n, 3)) < unknown] = -1
    return truth, probability, (probability >= 0.4).astype(int), np.array([f"p{place // 2:03}" for place in range(n)])


def test_the_mean_by_hand() -> None:
    truth = np.array([[1, 0], [0, 1], [1, -1], [0, 0], [-1, 1]])
    probability = np.array([[0.9, 0.2], [0.8, 0.7], [0.7, 0.9], [0.1, 0.3], [0.5, 0.1]])
    decision = (probability >= 0.5).astype(int)
    found = several_measures(truth, probability, decision, np.arange(5), labels=["a", "b"], resamples=0)
    # a: 0.9 beats 0.8 and 0.1, 0.7 beats 0.1: 3 of 4 pairs. b: 0.7 beats 0.2 and 0.3, 0.1 beats none: 2 of 4.
    assert found.per_label["a"].overall["auc"].value == 0.75
    assert found.per_label["b"].overall["auc"].value == 0.5
    assert found.overall["auc"].value == 0.625
    assert found.overall["f1"].value == pytest.approx((2 * 2 / (2 * 2 + 1) + 2 * 1 / (2 * 1 + 1)) / 2)
    assert found.per_label["b"].confusion.tolist() == [[2, 0], [1, 1]]


def test_two_labels_are_not_two_classes() -> None:
    truth, probability, decision, owner = simulated()
    both = several_measures(truth[:, :2], probability[:, :2], decision[:, :2], owner, labels=["a", "b"], resamples=0)
    for place, label in enumerate(["a", "b"]):
        known = truth[:, place] >= 0
        alone = measures(
            truth[known, place], probability[known, place], decision[known, place], owner[known], labels=["no", "yes"],
            resamples=0,
        )  # fmt: skip
        assert both.per_label[label].overall == alone.overall


def test_where_all_is_known_a_label_has_the_intervals_of_a_binary_task() -> None:
    truth, probability, decision, owner = simulated(unknown=0)
    found = several_measures(truth, probability, decision, owner, labels=LABELS, resamples=200, seed=3)
    alone = measures(truth[:, 1], probability[:, 1], decision[:, 1], owner, labels=["no", "yes"], resamples=200, seed=3)
    assert found.per_label["b"].overall == alone.overall
    drawn = np.mean([found.per_label[label].resampled["auc"] for label in LABELS], axis=0)
    mean = found.overall["auc"]
    assert mean.value is not None and mean.low is not None and mean.high is not None
    low, high = (logit(end) - logit(mean.value) for end in (mean.low, mean.high))
    reach = t.ppf(0.975, len(truth) - 1) * np.std(logit(drawn), ddof=1)
    assert (low, high) == pytest.approx((-reach, reach))


def test_the_same_patients_are_drawn_for_every_label() -> None:
    truth, probability, decision, owner = simulated(unknown=0)
    truth[:, 1], probability[:, 1], decision[:, 1] = truth[:, 0], probability[:, 0], decision[:, 0]
    truth[:, 2], probability[:, 2], decision[:, 2] = truth[:, 0], probability[:, 0], decision[:, 0]
    truth[owner == "p000", 2] = -1
    found = several_measures(truth, probability, decision, owner, labels=LABELS, resamples=300)
    # Equal labels make the mean that label. With draws of their own the mean would be far less uncertain than each.
    np.testing.assert_array_equal(found.per_label["a"].resampled["auc"], found.per_label["b"].resampled["auc"])
    assert np.corrcoef(found.per_label["a"].resampled["auc"], found.per_label["c"].resampled["auc"])[0, 1] > 0.9


def test_unknown_cells_and_row_order_change_nothing() -> None:
    truth, probability, decision, owner = simulated()
    first = several_measures(truth, probability, decision, owner, labels=LABELS, resamples=100)
    other, called = np.where(truth < 0, 0.999, probability), np.where(truth < 0, 1, decision)
    assert several_measures(truth, other, called, owner, labels=LABELS, resamples=100).overall == first.overall
    order = np.random.default_rng(1).permutation(len(truth))
    again = several_measures(
        truth[order], probability[order], decision[order], owner[order], labels=LABELS, resamples=100
    )
    for name, item in first.overall.items():
        ends = [(one.value, one.low or 0, one.high or 0) for one in (item, again.overall[name])]
        assert ends[0] == pytest.approx(ends[1], abs=1e-9), name


def test_labels_of_one_class_are_not_judged_and_say_why() -> None:
    truth, probability, decision, owner = simulated()
    truth[:, 0], truth[:, 1] = np.where(truth[:, 0] >= 0, 0, -1), -1
    found = several_measures(truth, probability, decision, owner, labels=LABELS, resamples=50)
    assert list(found.per_label) == ["c"] and found.overall["auc"].value == found.per_label["c"].overall["auc"].value
    assert found.not_judged == {"a": "no case here is a", "b": "in no case here it is known whether b is present"}
    none = several_measures(truth[:, :2], probability[:, :2], decision[:, :2], owner, labels=["a", "b"], resamples=50)
    assert none.overall["auc"].value is None and none.overall["auc"].note


def test_a_measure_that_a_label_lacks_is_a_mean_of_the_rest_and_says_so() -> None:
    truth, probability, decision, owner = simulated()
    decision[:, 2] = 0
    found = several_measures(truth, probability, decision, owner, labels=LABELS, resamples=50)
    assert found.overall["ppv"].note == "mean of 2 of 3 labels" and found.overall["npv"].note == ""


def test_perfect_labels_get_a_bound_and_no_certainty() -> None:
    truth, _, _, owner = simulated(40, unknown=0)
    found = several_measures(truth, 0.1 + 0.8 * truth, truth, owner, labels=LABELS, resamples=100)
    area = found.overall["auc"]
    assert (area.value, area.high, area.method) == (1.0, 1.0, "exact bound") and area.low < 0.9
    assert area.low == min(one.overall["auc"].low for one in found.per_label.values())


def test_rare_labels_leave_the_mean_without_an_interval_rather_than_with_a_wrong_one() -> None:
    truth, probability, decision, owner = simulated(unknown=0)
    for place, number in enumerate((3, 9, 21)):
        truth[:, place] = 0
        truth[number, place] = 1
    area = several_measures(truth, probability, decision, owner, labels=LABELS, resamples=200).overall["auc"]
    assert area.value is not None and area.low is None and area.skipped > 100 and "fewer than two patients" in area.note


def test_patients_without_a_known_case_leave_no_warning_behind(recwarn: pytest.WarningsRecorder) -> None:
    truth, probability, decision, owner = simulated(12, unknown=0)
    truth[:, 0] = -1
    truth[:2, 0] = [0, 1]
    several_measures(truth, probability, decision, owner, labels=LABELS, resamples=100)
    assert not [one for one in recwarn if issubclass(one.category, RuntimeWarning)]
