"""What differs at another centre: found where it was planted, silent where it was not."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from hounsfield.core import Predictions
from hounsfield.errors import PredictionsError
from hounsfield.evaluate import shift

from .test_evaluate import made


def drawn(
    seed: int,
    cases: int = 300,
    *,
    prevalence: float = 0.4,
    brightness: float = 0.5,
    lift: float = 0.0,
    prefix: str = "p",
    **more: list[object],
) -> Predictions:
    """Honest probabilities of cases; `lift` is added to their log odds afterwards."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(cases) < prevalence).astype(int)
    odds = logit(prevalence) + 1.5 * (generator.normal(size=cases) + 1.5 * truth) - 1.5**2 / 2
    one = made(truth, expit(odds + lift), prefix=prefix, name=prefix, **more)
    table = one.table.with_columns(pl.Series("image:brightness", generator.normal(brightness, 0.1, cases)))
    return Predictions(table, one.task)


def test_nothing_is_blamed_where_nothing_differs() -> None:
    silent = [shift(drawn(seed), drawn(seed + 100, prefix="q")).causes == [] for seed in range(40)]
    assert sum(silent) >= 34  # each of few properties at 5%; intervals that do not touch are rarer still


def test_what_was_planted_is_found_and_told() -> None:
    away = drawn(2, prevalence=0.1, brightness=0.7, prefix="q", sex=["M"] * 240 + ["F"] * 60)
    refused = pl.Series(["it looks upside down" if place % 5 == 0 else None for place in range(300)], dtype=pl.String)
    away = Predictions(away.table.with_columns(refused.alias("abstention")), away.task)
    found = shift(drawn(1, sex=["M", "F"] * 150), away)
    told = " ".join(found.causes)
    assert "yes is less frequent there: 0.1" in told and "upside down" in told
    assert "The mean brightness differs: 0.7" in told and "The sex differs: M (80%) there" in told
    first = next(item for item in found.shifted if item.name == "mean brightness")
    assert first.effect > 0.9 and first.p is not None and first.p < 1e-6
    assert json.loads(json.dumps(found.to_dict()))["causes"] == found.causes


def test_corrections_help_where_probabilities_are_off_and_hardly_harm_where_they_are_not() -> None:
    off = shift(drawn(1), drawn(3, 600, lift=1.5, prefix="q")).recalibrated
    assert off is not None
    loss = {name: one.value for name, one in off.log_loss.items()}
    assert loss["intercept"] < loss["as they are"] - 0.1 and loss["intercept and slope"] < loss["as they are"] - 0.1
    good = shift(drawn(1), drawn(4, 600, prefix="q")).recalibrated
    assert good is not None
    assert good.log_loss["intercept and slope"].value < good.log_loss["as they are"].value + 0.02
    assert off.brier["as they are"].low < off.brier["as they are"].value < off.brier["as they are"].high


def test_a_change_of_prevalence_alone_is_undone_by_the_prevalence_alone() -> None:
    """Log odds of 0.4 that meet a prevalence of 0.1 are too high by logit 0.4 - logit 0.1."""
    rare = drawn(5, 3000, prevalence=0.1, lift=logit(0.4) - logit(0.1), prefix="q")
    found = shift(drawn(6, 3000), rare).recalibrated
    assert found is not None
    values = {name: one.value for name, one in found.log_loss.items()}
    assert values["prevalence"] < values["as they are"] - 0.05
    assert values["prevalence"] == pytest.approx(values["intercept"], abs=0.005)


def test_few_cases_are_not_recalibrated_and_other_labels_are_refused() -> None:
    assert shift(drawn(1), drawn(2, 40, prevalence=0.3, prefix="q")).recalibrated is None
    with pytest.raises(PredictionsError, match="different labels"):
        shift(drawn(1), made(np.array([0, 1]), np.array([0.2, 0.8]), labels=("a", "b")))
