"""A plan whose dimension, channels, spacing and region do not fit each other is refused before anything is read."""

from __future__ import annotations

from typing import Any

import pytest

from hounsfield.core import Plan
from hounsfield.core.recipe import Recipe
from hounsfield.errors import PlanError
from hounsfield.prepare import preparation_from, recipe_of, stored_channels

VALUES: dict[str, Any] = {
    "task": "binary", "labels": ["no", "yes"], "positive": "yes", "unit": "HU", "conditioning": "hounsfield",
    "windows": [[40.0, 400.0]], "slices": 12, "size": [64, 48], "channels": 3,
    "normalisation": {"mean": [0.5] * 3, "std": [0.2] * 3}, "augmentation": {}, "backbone": "any", "weights": {"source": "none"},
    "frozen": "none", "cached_views": 0, "members": 1, "dropout": 0.1, "loss": {}, "batch": 4, "epochs": 2, "patience": 1,
    "learning_rate": 0.01, "backbone_rate": 0.1, "batch_norm": "frozen", "weight_decay": 0.01, "operating_point": "youden",
    "seed": 0, "cost": {"minutes": 1, "memory": 1, "disk": 1},
}  # fmt: skip


def plan(**changes: Any) -> Plan:
    content = {name: {"value": value} for name, value in (VALUES | changes).items()}
    return Plan.from_content({"cohort": "d1", **content})


def channels(count: int) -> dict[str, Any]:
    return {"channels": count, "normalisation": {"mean": [0.5] * count, "std": [0.2] * count}}


def test_a_plain_plan_is_as_it_was() -> None:
    made = preparation_from(plan())
    assert (made.dimension, made.adjacent, made.spacing, made.region.kind) == ("2d", 0, None, "none")
    assert stored_channels(plan()) == 1
    assert stored_channels(plan(windows=[[40, 400], [0, 80], [-600, 1500]])) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_adjacent_slices_are_the_channels(count: int) -> None:
    found = plan(adjacent=count, dimension="2.5d", **channels(2 * count + 1))
    assert isinstance(recipe_of(found), Recipe)
    assert stored_channels(found) == 2 * count + 1
    assert preparation_from(found).adjacent == count


def test_everything_reaches_the_preparation() -> None:
    region = {"kind": "centre", "margin": 5.0, "size": [10, 20, 30]}
    found = plan(dimension="3d", spacing=[2.5, 1, 1], region=region, clean=["text"])
    made = preparation_from(found)
    assert made.recipe == recipe_of(found)
    assert made.content == {
        "conditioning": "hounsfield", "slices": 12, "clean": ["text"], "adjacent": 0, "dimension": "3d",
        "spacing": [2.5, 1.0, 1.0], "region": region, "steps": [step.model_dump(mode="json") for step in made.recipe.stored],
    }  # fmt: skip
    sealed = recipe_of(plan(size=[32, 32]))
    assert preparation_from(found, sealed).recipe == sealed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adjacent": -1}, "negative"),
        ({"adjacent": 2}, "make 5 channels, not 3"),
        ({"adjacent": 1, "windows": [[40, 400], [0, 80], [-600, 1500]]}, "one window"),
        ({"adjacent": 1, "dimension": "3d"}, "3d network"),
        ({"adjacent": 1, "conditioning": "colour", "unit": "RGB", "windows": [[0.5, 1]]}, "grey images only"),
        ({"dimension": "3d", "conditioning": "colour", "unit": "RGB", "windows": [[0.5, 1]]}, "volumes are grey"),
        ({"spacing": [1, 1, 1]}, "only a 3d plan resamples"),
        ({"dimension": "3d", "spacing": [0, 1, 1]}, "greater than 0"),
        ({"region": {"kind": "body"}, "conditioning": "percentiles", "windows": [[0.5, 1]]}, "Hounsfield units"),
        ({"region": {"kind": "box"}, "conditioning": "mammogram", "windows": [[0.5, 1]]}, "crops the picture"),
        ({"region": {"kind": "mask"}, "clean": ["border"]}, "borders are cropped"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words) as error:
        recipe_of(plan(**changes))
    assert error.value.fix or "greater than 0" in words
