"""What a bundle notes of its training cases, and what it asks of a new one's header."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from hounsfield.core import Bundle
from hounsfield.errors import BundleError
from hounsfield.predict.suit import Seen, checks, noted
from hounsfield.prepare.reach import reach_of, values_of


def bundle(**known: Any) -> Bundle:
    return cast(Bundle, SimpleNamespace(reference={"input": known} if known else {}, folder=Path("bundle")))


def row(**values: Any) -> dict[str, Any]:
    return {"modality": None, "body_part": None, "spacing": None} | values


def test_headers_that_contradict_the_training_are_named() -> None:
    ask, check = checks(bundle(modalities=["CT"], body_parts=["HEAD", "BRAIN"], spacing=[0.4, 0.6]))
    seen = check(np.array([0.0, 1.0]).reshape(1, 1, 1, 2), None)
    assert seen == Seen(None, 0.5, 0.5, None)
    assert ask(row()) is None and ask(row(modality="CT", body_part="SKULL", spacing=[0.5, 0.5])) is None
    assert "modality is US" in str(ask(row(modality="US")))
    assert "shows the chest" in str(ask(row(modality="CT", body_part="CHEST")))
    assert "1.3 mm" in str(ask(row(spacing=[1.3, 1.3]))) and "0.19 mm" in str(ask(row(spacing=[0.19, 0.19])))
    assert ask(row(spacing=[1.15, 1.15])) is None and ask(row(spacing=[0.25, 0.25])) is None


def test_a_body_part_that_nobody_knows_contradicts_nothing() -> None:
    ask, _ = checks(bundle(modalities=[], body_parts=["PHANTOM"], spacing=None))
    assert ask(row(body_part="CHEST", modality="MR")) is None
    ask, _ = checks(bundle(modalities=["MR"], body_parts=["HEAD"], spacing=None))
    assert ask(row(body_part="SOMETHING")) is None


def test_an_older_bundle_asks_nothing_and_a_damaged_one_is_refused() -> None:
    ask, check = checks(bundle())
    assert ask(row(modality="US", spacing=[9.0, 9.0])) is None
    assert check(np.zeros((1, 1, 4, 4)), None).reason is None
    with pytest.raises(BundleError, match="not valid"):
        checks(bundle(suited={"turned": 3}))


def test_what_is_noted_names_no_case() -> None:
    table = pl.DataFrame(
        {
            "modality": ["CT", "CT", None],
            "body_part": ["HEAD", None, "CHEST"],
            "spacing": [[0.5, 0.4], None, [0.7, 0.9]],
        }
    )
    assert noted(table, {"suited": None, "reach": None}) == {
        "modalities": ["CT"],
        "body_parts": ["CHEST", "HEAD"],
        "spacing": [0.4, 0.9],
        "suited": None,
        "reach": None,
    }


def test_values_and_colours_far_from_those_of_training_are_named() -> None:
    """Slides of one stain: the same in grey, as a negative that nothing else asks for, and blown out, are told apart from them."""
    generator = np.random.default_rng(0)

    def slide() -> np.ndarray:
        grey = generator.uniform(0.3, 0.7, size=(1, 1, 16, 16))
        return np.clip(np.concatenate([grey + 0.2, grey - 0.1, grey + 0.1], axis=1) + generator.normal(0, 0.02), 0, 1)

    training = [slide() for _ in range(60)]
    reach = reach_of([values_of(case, colour=True) for case in training])
    _, check = checks(bundle(reach={name: list(ends) for name, ends in reach.items()}))
    assert all(check(slide(), None).reason is None for _ in range(200))
    grey = np.repeat(training[0].mean(axis=1, keepdims=True), 3, axis=1)
    assert check(grey, None).reason == "its colours are unlike those of the training images"
    blown = np.where(generator.random(training[0].shape) < 0.8, 1.0, training[0])
    assert "values" in str(check(blown, None).reason)
    assert "colour" not in reach_of([values_of(case, colour=False) for case in training])
