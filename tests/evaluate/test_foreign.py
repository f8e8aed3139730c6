"""Tables of other tools: what is understood, what is assumed aloud, what is refused and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError
from hounsfield.evaluate import by_patient, compare_models, evaluate, load_predictions

from .test_evaluate import made, simulated


def written(folder: Path, content: str, name: str = "other.csv") -> Path:
    (folder / name).write_text(content)
    return folder / name


def test_a_plain_table_is_judged(tmp_path: Path) -> None:
    truth, probability = simulated(120)
    rows = "\n".join(
        f"c{i},{'ill' if y else 'well'},{p:.6f}" for i, (y, p) in enumerate(zip(truth, probability, strict=True))
    )
    found, assumed = load_predictions(written(tmp_path, f"ID,Label,Score\n{rows}\n"), positive="ill")
    judged = evaluate(found)
    assert judged.estimates["auc"].value == pytest.approx(roc_auc_score(truth, probability), abs=1e-4)
    assert judged.labels == ["well", "ill"] and judged.cases == 120
    assert len(assumed) == 2 and "patient" in assumed[0] + assumed[1] and "decision" in assumed[0] + assumed[1]


def test_the_positive_label_is_guessed_aloud_and_one_and_nought_are_understood(tmp_path: Path) -> None:
    path = written(tmp_path, "case,patient,truth,probability,decision\n" + "".join(
        f"a{i},p{i},{i % 2},{0.2 + 0.5 * (i % 2)},{i % 2}\n" for i in range(20)
    ))  # fmt: skip
    found, assumed = load_predictions(path)
    assert found.task.positive == "1" and evaluate(found).estimates["sensitivity"].value == 1.0
    assert len(assumed) == 1 and "'1'" in assumed[0]


def test_log_odds_become_probabilities(tmp_path: Path) -> None:
    path = written(tmp_path, "case,truth,score\na,1,2.5\nb,0,-1.25\nc,,0\n")
    with pytest.raises(PredictionsError, match=r"row 1: 2.5 is no probability.*--logits"):
        load_predictions(path)
    found, _ = load_predictions(path, logits=True)
    np.testing.assert_allclose(found.probabilities[:, 0], expit([2.5, -1.25, 0]))
    assert found.known.tolist() == [True, True, False]


def test_several_classes_have_a_score_each(tmp_path: Path) -> None:
    text = "case\ttruth\tscore:a\tscore:b\tscore:c\n1\ta\t0.7\t0.2\t0.1\n2\tb\t0.1\t0.8\t0.1\n3\tc\t0.3\t0.3\t0.4\n4\ta\t0.2\t0.5\t0.3\n"
    found, _ = load_predictions(written(tmp_path, text, "other.tsv"))
    assert found.task.labels == ["a", "b", "c"] and found.task.positive is None
    assert evaluate(found, resamples=100).estimates["accuracy"].value == 0.75


def test_several_labels_per_case_have_a_truth_each(tmp_path: Path) -> None:
    text = "case,truth:x,truth:y,score:x,score:y\n1,1,0,0.9,0.2\n2,0,,0.2,0.3\n3,1,1,0.6,0.8\n4,0,0,0.4,0.1\n"
    found, _ = load_predictions(written(tmp_path, text))
    assert found.task.multi_label and found.truth_states.tolist() == [[1, 0], [0, -1], [1, 1], [0, 0]]


def test_what_predict_writes_as_csv_is_read_back(tmp_path: Path) -> None:
    ours = made(*simulated(60))
    ours.write_csv(tmp_path / "ours.csv")
    ours.save(tmp_path / "ours.parquet")
    again, _ = load_predictions(tmp_path / "ours.csv")
    assert again.task.labels == ours.task.labels
    np.testing.assert_allclose(again.probabilities, ours.probabilities)
    assert again.decisions.tolist() == ours.decisions.tolist()
    same, assumed = load_predictions(tmp_path / "ours.parquet")
    assert same.digest == ours.digest and assumed == []


def test_columns_of_the_table_make_groups(tmp_path: Path) -> None:
    rows = "".join(f"c{i},{i % 2},{0.3 + 0.4 * (i % 2)},{'AB'[i // 20]}\n" for i in range(40))
    path = written(tmp_path, "case,truth,score,Coil\n" + rows)
    found, _ = load_predictions(path, by=["Coil"])
    assert [(one.covariate, one.value) for one in evaluate(found, resamples=100).subgroups] == [
        ("Coil", "A"),
        ("Coil", "B"),
    ]
    with pytest.raises(PredictionsError, match="no column ward"):
        load_predictions(path, by=["ward"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("case,score\na,0.1\nb,0.2\n", "no column holds the truth"),
        ("case,truth\na,1\nb,0\n", "no column holds a score"),
        ("case,truth,score\na,1,high\nb,0,0.2\n", "row 1: 'high' is no number"),
        ("case,truth,score\na,1,0.3\nb,0,\n", "row 2"),
        ("case,truth,score\na,1,0.3\na,0,0.4\n", "'a' stands in several rows"),
        ("case,truth,score\na,1,0.3\n,0,0.4\n", "row 2 names no case"),
        ("case,truth,score\na,1,0.3\nb,1,0.4\n", "one class only"),
        ("case,truth,score\na,x,0.3\nb,y,0.4\nc,z,0.1\n", "score:x, score:y, score:z"),
        ("case,truth,score:x,score:y\na,x,0.3,0.7\nb,z,0.4,0.6\n", "no score: z"),
        ("case,truth,score,decision\na,1,0.3,yes\nb,0,0.4,0\n", "'yes' is none of 0, 1"),
        ("case,truth:x,score:x,score:y\na,1,0.3,0.2\nb,0,0.4,0.3\n", "for: y"),
        ("case,truth:x,score:x\na,maybe,0.3\nb,0,0.4\n", "'maybe' is none of 1, 0 and nothing"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(PredictionsError, match=r"other\.csv") as caught:
        load_predictions(written(tmp_path, content))
    assert said in str(caught.value)


def test_probabilities_that_do_not_add_up_are_told(tmp_path: Path) -> None:
    _, assumed = load_predictions(written(tmp_path, "case,truth,score:a,score:b,score:c\n1,a,0.7,0.7,0.7\n2,b,0,1,0\n"))
    assert any("add up" in text for text in assumed)


def several_each(seed: int = 0) -> Predictions:
    truth, probability = simulated(90, seed=seed)
    patients = [f"q{i // 3}" for i in range(90)]
    return made(truth, probability, patient=patients)


def test_patients_are_judged_by_the_mean_or_the_largest_of_their_cases() -> None:
    cases = several_each()
    for how, pool in (("mean", np.mean), ("max", np.max)):
        patients = by_patient(cases, how)
        assert patients.table.height == 30 == patients.table["case"].n_unique()
        expected = pool(cases.probabilities[:, 0].reshape(30, 3), axis=1)
        np.testing.assert_allclose(patients.probabilities[:, 0], expected)
        assert patients.truth.tolist() == cases.truth.reshape(30, 3).max(axis=1).tolist()
        judged = evaluate(patients)
        assert judged.cases == judged.patients == 30
        called = expected >= cases.task.threshold
        assert judged.confusion == [[int((called == k)[patients.truth == row].sum()) for k in (0, 1)] for row in (0, 1)]


def test_a_patient_of_whom_a_case_is_not_known_is_known_only_where_another_is_positive() -> None:
    truth = np.array([1, -1, 0, -1, 0, 0])
    cases = made(
        truth, np.linspace(0.1, 0.9, 6), patient=["a", "a", "b", "b", "c", "c"], site=["X", "X", "X", "Y", "Y", "Y"]
    )
    found = by_patient(cases)
    assert found.truth.tolist() == [1, -1, 0]
    assert found.table["site"].to_list() == ["X", None, "Y"]


def test_patients_of_several_classes_need_one_label() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    cases = made(np.array([0, 1, 2, 2]), scores, labels=("a", "b", "c"), patient=["p", "p", "q", "q"])
    with pytest.raises(PredictionsError, match="1 patient"):
        by_patient(cases)
    agreeing = made(np.array([0, 0, 2, 2]), scores, labels=("a", "b", "c"), patient=["p", "p", "q", "q"])
    assert by_patient(agreeing).truth.tolist() == [0, 2]
    with pytest.raises(PredictionsError, match="largest"):
        by_patient(agreeing, "max")


def test_two_models_are_compared_case_by_case_whatever_their_order() -> None:
    truth, probability = simulated(200, strength=1.0)
    better = np.clip(probability + 0.25 * (truth - 0.5), 0, 1)
    first, second = made(truth, probability, name="old"), made(truth, better, name="new")
    shuffled = Predictions(second.table.sample(fraction=1.0, shuffle=True, seed=1), second.task)
    found, straight = compare_models(first, shuffled, resamples=300), compare_models(first, second, resamples=300)
    assert found == straight and found.areas["yes"].p < 0.001 and "the second is better" in found.sentence
    assert found.measures["sensitivity"].difference.value == pytest.approx(
        found.measures["sensitivity"].away.value - found.measures["sensitivity"].home.value
    )
    assert found.decided[""].second_only > found.decided[""].first_only
    assert "McNemar" in str(found) and found.to_dict()["areas"]["yes"]["p"] == found.areas["yes"].p


def test_a_model_against_itself_does_not_differ() -> None:
    one = made(*simulated(100))
    found = compare_models(one, one, resamples=200)
    assert found.areas["yes"].p == 1.0 and "no clear difference" in found.sentence and found.decided[""].p == 1.0


def test_what_only_one_model_has_is_counted_and_what_contradicts_is_refused() -> None:
    truth, probability = simulated(100)
    first, second = made(truth, probability), made(truth[:80], probability[:80])
    found = compare_models(first, second, resamples=200)
    assert (found.cases, found.left_out) == (80, 20) and "20 case(s)" in found.warnings[0]
    with pytest.raises(PredictionsError, match="no case in common"):
        compare_models(first, Predictions(second.table.with_columns(case=pl.lit("x") + pl.col("case")), second.task))
    other = truth.copy()
    other[7] = 1 - other[7]
    with pytest.raises(PredictionsError, match="another truth"):
        compare_models(first, made(other, probability))
    with pytest.raises(PredictionsError, match="different labels"):
        compare_models(first, made(truth, probability, labels=("well", "ill")))


def test_classes_are_compared_one_by_one_and_corrected_for_their_number() -> None:
    generator = np.random.default_rng(5)
    truth = generator.integers(0, 3, 150)
    scores = [generator.dirichlet(np.ones(3) * 2, size=150) + weight * np.eye(3)[truth] for weight in (0.2, 0.3)]
    tables = [made(truth, each / each.sum(axis=1, keepdims=True), labels=("a", "b", "c")) for each in scores]
    found = compare_models(*tables, resamples=200)
    assert list(found.areas) == ["a", "b", "c"]
    assert all(one.adjusted >= one.p for one in found.areas.values()) and "corrected" in found.sentence
