"""What looks and how it learns, on fingerprints made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hounsfield.plan import Fingerprint
from hounsfield.plan.rules import learning, network

Make = Callable[..., Fingerprint]


def test_loss_weighs_rare_classes_more(found: Make) -> None:
    decision = learning.loss(found(), "cross-entropy")
    assert decision.value.class_weights == {"no": pytest.approx(2 / 3, abs=1e-4), "yes": 2.0}
    assert "75 no, 25 yes" in decision.reason
    assert learning.loss(found(), "focal").value.name == "focal"
    assert learning.loss(found(counts={"no": 10, "yes": 0}), "cross-entropy").value.class_weights["yes"] < 100


def test_classes_are_balanced_once(found: Make) -> None:
    assert learning.sampler().value == "shuffled"
    drawn = learning.loss(found(), "focal", "balanced")
    assert drawn.value.class_weights == {} and drawn.value.name == "focal"
    assert "balanced sampler" in drawn.reason


def test_findings_weigh_by_what_is_known_of_them(found: Make) -> None:
    several = found(
        multi_label=True, positive=None, labels=["a", "b", "c", "d"], counts={"a": 25, "b": 50, "c": 1, "d": 0},
        known={"a": 100, "b": 50, "c": 100, "d": 0},
    )  # fmt: skip
    weights = learning.loss(several, "cross-entropy").value.class_weights
    assert weights == {"a": 3.0, "b": 0.05, "c": 20.0, "d": 0.05}, "capped on both sides; unknown cases do not count"
    assert "a 25 of 100" in learning.loss(several, "cross-entropy").reason


def test_members_follow_folds_and_cases(found: Make) -> None:
    kinds = (found(folds=5), found(), found(cases=5000))
    assert [network.members(known).value for known in kinds] == [5, 3, 1]
    assert network.members(found(cases=400), 32).value == 1 and network.members(found(cases=20), 32).value == 3


def test_what_begins_with_nothing_needs_more_epochs_and_many_cases_fewer(found: Make) -> None:
    kinds = ((400, True), (4000, True), (4000, False))
    assert [learning.epochs(found(cases=cases), pretrained).value for cases, pretrained in kinds] == [20, 8, 24]
    assert learning.learning_rate(False).value > learning.learning_rate(True).value


@pytest.mark.parametrize("cases", [1, 7, 40, 100, 100_000])
@pytest.mark.parametrize("slices", [1, 8, 200])
def test_batches_and_views_are_never_nothing(found: Make, cases: int, slices: int) -> None:
    known = found(cases=cases)
    assert 4 <= learning.batch(known, slices).value <= 32
    assert 2 <= learning.batch(known, slices, voxels=96 * 96 * 64).value <= 7
    least = 4 if slices == 1 else 2  # a stack's slices are views of each other already
    assert least <= network.cached_views(known, "all", slices).value <= 16
    assert network.cached_views(known, "none", slices).value == 0


@pytest.mark.parametrize(
    ("cases", "slices", "voxels", "batch", "accumulate"),
    [(1000, 1, None, 32, 1), (1000, 32, None, 4, 8), (40, 32, None, 4, 1), (1000, 64, 64**3, 16, 2), (40, 64, 96 * 96 * 64, 5, 1)],
)  # fmt: skip
def test_small_batches_add_up_to_a_step(
    found: Make, cases: int, slices: int, voxels: int | None, batch: int, accumulate: int
) -> None:
    known = found(cases=cases)
    assert learning.batch(known, slices, voxels).value == batch
    assert learning.accumulate(known, batch).value == accumulate


def test_few_cases_cannot_learn_which_slice_matters(found: Make) -> None:
    assert network.pooling(found(frames=30, cases=149), "2.5d").value == "mean"
    assert network.pooling(found(frames=30, cases=150), "2.5d").value == "attention"
    assert network.pooling(found(frames=30, cases=1000), "3d").value == "mean"
    assert network.pooling(found(cases=1000), "2d").value == "mean"


def test_precision_by_device() -> None:
    assert learning.precision("cpu", has_bf16=True).value == "single"
    assert learning.precision("mps", has_bf16=False).value == "single"
    assert learning.precision("cuda", has_bf16=True).value == "bf16"
    assert learning.precision("cuda", has_bf16=False).value == "fp16"


def test_what_no_fact_changes_has_a_reason() -> None:
    assert all(learning.customary(name).reason for name in learning.CUSTOMARY)


@pytest.mark.parametrize(
    ("name", "kind"), [("resnet18", None), ("resnet10", "3d"), ("tf_efficientnet_lite0", "2.5d"), ("densenet121", None)]
)
def test_what_a_backbone_can_be(name: str, kind: str | None) -> None:
    assert network.dimension_of(name) == kind
    assert not network.has_fixed_size(name)
    assert network.has_fixed_size("vit_tiny_patch16_224")
