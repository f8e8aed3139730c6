"""Intervals by formula: textbook values, and that repeating a patient's case teaches nothing new."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t

from hounsfield.measure import measures, recalibration
from hounsfield.measure.intervals import FISHER, LOGIT, WILSON, WILSON_CLUSTERED, average, f1, proportion, resampled


def counted(hits: int, trials: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.ones(trials, dtype=bool)
    return np.arange(trials) < hits, rows


def test_a_case_per_patient_has_the_interval_of_wilson() -> None:
    # Newcombe 1998, Stat Med 17:857, table I, method 3: 81 of 263 is 0.2553 to 0.3662; 15 of 148 is 0.0624 to 0.1605.
    for hits, trials, expected in ((81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605))):
        found = proportion(*counted(hits, trials), np.arange(trials))
        assert found is not None and found[2] == WILSON
        assert found[:2] == pytest.approx(expected, abs=5e-5)


def test_rows_that_do_not_count_do_not_matter() -> None:
    hits, rows = counted(15, 148)
    more = np.concatenate([hits, np.ones(50, dtype=bool)]), np.concatenate([rows, np.zeros(50, dtype=bool)])
    assert proportion(*more, np.arange(198)) == proportion(hits, rows, np.arange(148))


def test_repeating_the_case_of_a_patient_teaches_nothing() -> None:
    """Three equal cases of each of 148 patients are 148 independent ones; t quantiles make it a little wider."""
    hits, rows = counted(15, 148)
    alone = proportion(hits, rows, np.arange(148))
    thrice = proportion(np.repeat(hits, 3), np.repeat(rows, 3), np.repeat(np.arange(148), 3))
    blind = proportion(np.repeat(hits, 3), np.repeat(rows, 3), np.arange(444))
    assert alone is not None and thrice is not None and blind is not None and thrice[2] == WILSON_CLUSTERED
    widths = [high - low for low, high, _ in (alone, thrice, blind)]
    assert widths[0] < widths[1] < 1.03 * widths[0] and widths[2] < 0.65 * widths[0]


def test_nothing_that_varies_has_no_formula() -> None:
    everyone = np.arange(20)
    assert proportion(*counted(20, 20), everyone) is None and proportion(*counted(0, 20), everyone) is None
    assert proportion(*counted(5, 20), np.zeros(20, dtype=int)) is None
    assert proportion(np.zeros(3, dtype=bool), np.zeros(3, dtype=bool), np.arange(3)) is None
    halves = np.arange(20) % 2 == 0  # every patient has one hit and one miss: no variance between them
    assert proportion(halves, np.ones(20, dtype=bool), np.arange(20) // 2) is None
    assert average(np.zeros(5), np.arange(5)) is None and average(np.ones(5), np.zeros(5, dtype=int)) is None


def test_f1_rises_with_the_share_of_hits_among_all_that_are_true_or_called() -> None:
    truth, called = np.arange(100) < 40, (np.arange(100) >= 10) & (np.arange(100) < 60)
    found = f1(truth, called, np.arange(100))
    share = proportion(*counted(30, 60), np.arange(60))  # 30 hits, 10 missed, 20 false
    assert found is not None and share is not None
    assert found[:2] == pytest.approx([2 * end / (1 + end) for end in share[:2]])


def test_a_mean_is_skewed_as_a_loss_is_and_follows_the_patients() -> None:
    values = np.random.default_rng(1).exponential(size=60)
    found = average(values, np.arange(60))
    assert found is not None
    error = values.std(ddof=1) / np.sqrt(60) / values.mean()
    reach = t.ppf(0.975, 59) * error
    assert found[:2] == pytest.approx((values.mean() * np.exp(-reach), values.mean() * np.exp(reach)))
    thrice = average(np.repeat(values, 3), np.repeat(np.arange(60), 3))
    assert thrice is not None and thrice[:2] == pytest.approx(found[:2]) and thrice[2] != found[2]


def test_resamples_give_the_width_on_a_scale_and_what_is_undefined_is_left_out() -> None:
    drawn = expit(np.random.default_rng(2).normal(1.0, 0.3, size=4000))
    with_gaps = np.concatenate([drawn, [np.nan, 1.0]])
    found = resampled(0.7, with_gaps, LOGIT, 29)
    assert found is not None
    half = t.ppf(0.975, 29) * logit(drawn).std(ddof=1)
    assert found[:2] == pytest.approx(expit(logit(0.7) + np.array([-half, half])))
    assert resampled(1.0, drawn, LOGIT, 29) is None  # perfect: the scale has no such place
    assert resampled(0.7, np.full(100, 0.7), LOGIT, 29) is None
    assert resampled(0.7, np.concatenate([drawn[:40], np.full(60, np.nan)]), LOGIT, 29) is None
    assert resampled(0.7, drawn, LOGIT, 0) is None
    low, high, method = resampled(-0.2, np.random.default_rng(3).normal(-0.2, 0.1, size=500), FISHER, 99) or (0, 0, "")
    assert -1 < low < -0.2 < high < 1 and "Fisher" in method


def simulated(seed: int, cases: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    odds = generator.normal(-0.5, 1.5, size=cases)
    return (generator.random(cases) < expit(0.7 * odds + 0.4)).astype(int), expit(odds)


def test_slope_and_intercept_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    truth, probability = simulated(1)
    found = recalibration(truth, probability, np.arange(400))
    odds = logit(probability)
    other = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], truth)
    assert found["calibration_slope"].value == pytest.approx(other.coef_[0, 0], abs=1e-5)
    level = found["calibration_intercept"].value
    assert level is not None and expit(odds + level).mean() == pytest.approx(truth.mean(), abs=1e-9)


def test_honest_probabilities_have_slope_one_and_intercept_nought_within_their_intervals() -> None:
    generator = np.random.default_rng(2)
    probability = expit(generator.normal(size=5000))
    found = recalibration((generator.random(5000) < probability).astype(int), probability, np.arange(5000))
    for name, right in (("calibration_slope", 1.0), ("calibration_intercept", 0.0)):
        one = found[name]
        assert one.low is not None and one.high is not None and one.low < right < one.high and one.high - one.low < 0.3


def test_repeated_cases_do_not_narrow_the_slope() -> None:
    truth, probability = simulated(3)
    alone = recalibration(truth, probability, np.arange(400))
    thrice = recalibration(np.repeat(truth, 3), np.repeat(probability, 3), np.repeat(np.arange(400), 3))
    for name, one in alone.items():
        assert (thrice[name].low, thrice[name].high) == pytest.approx((one.low, one.high), rel=1e-6)


@pytest.mark.parametrize(
    ("truth", "probability", "why"),
    [
        ([1, 1, 1], [0.2, 0.3, 0.4], "no two classes"),
        ([0, 1, 0, 1], [0.3, 0.3, 0.3, 0.3], "equal"),
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], "separated"),
    ],
)
def test_what_has_no_slope_says_why(truth: list[int], probability: list[float], why: str) -> None:
    found = recalibration(truth, probability, np.arange(len(truth)))["calibration_slope"]
    assert found.value is None and why in found.note


def test_probabilities_of_nought_and_one_do_not_break_the_fit() -> None:
    truth, probability = simulated(4)
    probability[:3], probability[3:6] = 0.0, 1.0
    found = recalibration(truth, probability, np.arange(400))["calibration_slope"]
    assert found.value is not None and 0 < found.value < 1


def test_every_interval_names_its_method() -> None:
    truth, probability = simulated(5)
    found = measures(truth, probability, (probability > 0.5).astype(int), np.arange(400), labels=["no", "yes"]).overall
    methods = {name: one.method for name, one in found.items()}
    assert methods["auc"] == "DeLong, logit scale" and methods["sensitivity"] == "Wilson" == methods["f1"]
    assert methods["ece"] == "none" and methods["average_precision"] == "patient bootstrap, logit scale"
    clustered = measures(
        truth, probability, (probability > 0.5).astype(int), np.arange(400) // 2, labels=["no", "yes"]
    ).overall
    assert "Obuchowski" in clustered["auc"].method and clustered["npv"].method == WILSON_CLUSTERED
