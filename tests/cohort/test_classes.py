"""Which of two labels is the disease, and in which order labels stand."""

from __future__ import annotations

import pytest

from hounsfield.cohort.classes import known_archive, order_labels
from hounsfield.errors import LabelError


@pytest.mark.parametrize(
    ("one", "other", "positive"),
    [
        ("no", "yes", "yes"), ("Yes", "No", "Yes"), ("0", "1", "1"), ("false", "TRUE", "TRUE"), ("neg", "pos", "pos"),
        ("positive", "negative", "positive"), ("benign", "malignant", "malignant"),
        ("NORMAL", "PNEUMONIA", "PNEUMONIA"),
        ("abnormal", "normal", "abnormal"), ("healthy", "sick", "sick"), ("control", "case", "case"),
        ("absent", "present", "present"), ("hemorrhage", "no hemorrhage", "hemorrhage"),
        ("haemorrhagic", "none", "haemorrhagic"), ("covid-19", "non covid", "covid-19"),
        ("normal", "COVID19", "COVID19"),
        ("no_finding", "lesion", "lesion"), ("tumour", "healthy", "tumour"),
        ("malignant", "normal or benign", "malignant"),
        ("vessel", "aneurysm", "aneurysm"), ("without contrast", "with contrast", "with contrast"),
        ("not fractured", "fractured", "fractured"), ("none", "mild", "mild"),
        ("non-malignant", "malignant", "malignant"), ("noncancer", "cancer", "cancer"),
        ("unhealthy", "healthy", "unhealthy"),
        ("not sick", "sick", "sick"), ("nonpneumonia", "pneumonia", "pneumonia"),
    ],
)  # fmt: skip
def test_guessed_from_the_name(one: str, other: str, positive: str) -> None:
    for found in ([one, other, other], [other, one, one, None]):
        labels, chosen, sentence = order_labels(found, None)
        assert chosen == positive
        assert labels == [next(name for name in (one, other) if name != positive), positive]
        assert repr(positive) in sentence


def test_where_no_name_tells_the_rarer_is_taken_and_said() -> None:
    labels, chosen, sentence = order_labels(["axial", "coronal", "coronal"], None)
    assert (labels, chosen) == (["coronal", "axial"], "axial")
    assert "rarer" in sentence
    assert order_labels(["axial", "coronal"], None)[1] == "axial", "a draw does not depend on the order of the rows"
    assert order_labels(["coronal", "axial"], None)[1] == "axial"


def test_asked_for() -> None:
    assert order_labels(["no", "yes"], "no")[:2] == (["yes", "no"], "no")
    with pytest.raises(LabelError, match="none of no, yes"):
        order_labels(["no", "yes"], "maybe")
    with pytest.raises(LabelError, match="3 classes"):
        order_labels(["a", "b", "c"], "a")


def test_more_than_two_stand_in_natural_order() -> None:
    labels, chosen, _ = order_labels(["grade 10", "grade 2", "grade 1", None], None)
    assert (labels, chosen) == (["grade 1", "grade 2", "grade 10"], None)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "no label at all"),
        ([None, None], "no label at all"),
        (["a", "a", None], "only 'a'"),
        (list(map(str, range(51))), "51"),
    ],
)
def test_refusals(found: list[str | None], words: str) -> None:
    with pytest.raises(LabelError, match=words):
        order_labels(found, None)


def test_known_archives() -> None:
    found = known_archive("breastmnist_224")
    assert found is not None
    assert found.names[0] == "malignant", "MedMNIST gives the malignant ones the number 0"
    assert known_archive("mine") is None
