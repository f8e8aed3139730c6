"""Checks of maps pass where a map follows the network, and fail where it follows the image, chance, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hounsfield.explain import METHODS, Method, check_maps
from hounsfield.explain.checks import Check, deletion, random_deletions, randomised, rank_correlation
from hounsfield.explain.methods import pieces_of

from .test_methods import AGAINST, FOR, IMAGE, SIDE, WEIGHTS, Linear, subject

Maker = Callable[[Any, int], tuple[np.ndarray, dict[str, Any]]]
GROUND = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
TEXTURED = (IMAGE + 0.05 * GROUND).clip(0, 1)


class Learnt(Linear):
    """The same network, whose weights are parameters, so that they can be drawn anew."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__(weights)
        self.weights = nn.Parameter(torch.from_numpy(weights.astype(np.float32)))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Maker], None]:
    """Adds a method of one's own."""

    def add(name: str, make: Maker) -> None:
        monkeypatch.setitem(METHODS, name, Method(name, True, "nothing", make, draws=name == "dice"))

    return add


def found(checks: list[Check], name: str, method: str) -> Check:
    return next(one for one in checks if (one.name, one.method) == (name, method))


def test_a_map_that_follows_the_network_passes() -> None:
    one = subject(Learnt(WEIGHTS * 20 + 0.002 * GROUND), TEXTURED)
    checks = check_maps(one, ["integrated-gradients", "kernel-shap"])
    for method in ("integrated-gradients", "kernel-shap"):
        assert found(checks, "deletion", method).passed
        changed = found(checks, "randomisation", method)
        assert changed.passed and changed.value is not None and abs(changed.value) < changed.limit == 0.3
    assert found(checks, "repeatability", "kernel-shap").passed
    assert [one.method for one in checks if one.name == "repeatability"] == ["kernel-shap"]
    agreement = found(checks, "agreement", "integrated-gradients, kernel-shap")
    assert agreement.value is not None and f"{agreement.value:.2f}" in agreement.said


def test_a_map_of_the_image_alone_fails_however_fine_it_looks(known: Callable[[str, Maker], None]) -> None:
    known("edges", lambda one, seed: (np.hypot(*np.gradient(one.shown[0].numpy())), {}))
    checks = check_maps(subject(Learnt(WEIGHTS * 20), TEXTURED), ["edges"])
    same = found(checks, "randomisation", "edges")
    assert same.value == pytest.approx(1.0) and same.passed is False and "1.00" in same.said


def test_a_map_of_chance_fails_to_repeat_itself_and_to_agree(known: Callable[[str, Maker], None]) -> None:
    known("dice", lambda one, seed: (np.random.default_rng(seed).normal(size=(SIDE, SIDE)), {}))
    checks = check_maps(subject(Learnt(WEIGHTS * 20), TEXTURED), ["dice", "integrated-gradients"])
    assert found(checks, "repeatability", "dice").passed is False
    assert found(checks, "agreement", "dice, integrated-gradients").passed is False


def test_taking_the_right_places_away_first_lowers_the_logit_sooner() -> None:
    one = subject(Linear(WEIGHTS * 20), IMAGE)
    pieces = pieces_of(one)
    chance = random_deletions(one, pieces, seed=0)
    right, wrong = (deletion(one, pieces, values) for values in (FOR - AGAINST, AGAINST - FOR))
    assert right < chance.min() and chance.max() <= wrong


def test_an_empty_map_cannot_be_asked(known: Callable[[str, Maker], None]) -> None:
    known("nothing", lambda one, seed: (np.zeros((SIDE, SIDE)), {}))
    checks = check_maps(subject(Learnt(WEIGHTS), TEXTURED), ["nothing", "occlusion"])
    assert found(checks, "randomisation", "nothing").passed is None
    assert found(checks, "agreement", "nothing, occlusion").value is None
    assert rank_correlation(np.zeros((2, 2)), np.eye(2)) is None


def test_a_network_that_knows_nothing_leaves_the_other_as_it_was() -> None:
    one = subject(Learnt(WEIGHTS), TEXTURED)
    before = one.network.tails[0].weights.detach().clone()
    other = randomised(one.network, 0)
    assert torch.equal(one.network.tails[0].weights, before) and not torch.equal(other.tails[0].weights, before)
    assert other.tails[0].weights.std().item() == pytest.approx(before.std().item(), rel=0.05)
