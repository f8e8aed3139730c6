"""The sequence head starts as the mean, sees order where it should, and never sees padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hounsfield.errors import PlanError, UsageError
from hounsfield.models.pooling import KINDS, SlicePooling

FEATURES = 40
LENGTHS = (5, 1, 7, 3)


def head(kind: str, *, trained: bool = True, dropout: float = 0.0) -> SlicePooling:
    """A head; `trained` ones have weights that are far from the mean's."""
    torch.manual_seed(0)
    made = SlicePooling(kind, FEATURES, 2, dropout).eval()
    if trained:
        with torch.no_grad():
            for module in (made.score, made.classifier, *([made.widen] if made.recurrent is not None else [])):
                module.weight.normal_(0, 0.5)
    return made


def batch(padding: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(len(LENGTHS), max(LENGTHS), FEATURES, generator=torch.Generator().manual_seed(1))
    present = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    features[~present] = padding
    return features, present


@pytest.mark.parametrize("kind", KINDS)
def test_starts_as_the_mean(kind: str) -> None:
    made = head(kind, trained=False)
    features, present = batch()
    weights = made.weights(features, present)
    torch.testing.assert_close(weights, present / present.sum(dim=1, keepdim=True))
    mean = torch.stack([made.norm(case[:length]).mean(dim=0) for case, length in zip(features, LENGTHS, strict=True)])
    torch.testing.assert_close(made(features, present), made.classifier(mean), atol=1e-6, rtol=1e-5)
    assert made(features, present).abs().max() < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_shares_of_the_slices_that_there_are(kind: str) -> None:
    made = head(kind)
    features, present = batch()
    logits, weights = made.pooled(features, present)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(LENGTHS)))
    assert not weights[~present].any()
    assert (weights[present] > 0).all()
    assert weights[0, :5].std() > 0.01, "a trained head tells slices apart"
    torch.testing.assert_close(made(features, present), logits, atol=0, rtol=0)
    torch.testing.assert_close(made.weights(features, present), weights, atol=0, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [1e4, float("nan"), float("inf")])
def test_padding_has_no_influence(kind: str, padding: float) -> None:
    made = head(kind)
    results = []
    for value in (0.0, padding):
        made.zero_grad()
        features, present = batch(value)
        features.requires_grad_()
        logits = made(features, present)
        logits.square().sum().backward()
        assert features.grad is not None
        assert not features.grad[~present].any()
        results.append([logits, features.grad, *(parameter.grad for parameter in made.parameters())])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_cases(kind: str) -> None:
    made = head(kind)
    features, present = batch()
    together, weights = made.pooled(features, present)
    for number, length in enumerate(LENGTHS):
        case = features[number : number + 1, :length]
        torch.testing.assert_close(together[number : number + 1], made(case), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(weights[number, :length], made.weights(case)[0], atol=1e-6, rtol=1e-5)
    assert together.std(dim=0).min() > 1e-3


def test_recurrent_heads_see_the_order_and_attention_does_not() -> None:
    features = batch()[0][:, :3]
    turned = features[:, [1, 0, 2]]
    for kind in KINDS:
        made = head(kind)
        difference = (made(features) - made(turned)).abs().max()
        assert (difference > 1e-3) == (kind != "attention"), kind


@pytest.mark.parametrize("kind", KINDS)
def test_learns_that_one_slice_decides(kind: str) -> None:
    """One slice of nine shows the finding, weakly enough that the mean alone does not see it well."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(64, 9, FEATURES, generator=generator)
    truth = (torch.arange(64) % 2).float()
    place = torch.randint(0, 9, (64,), generator=generator)
    features[torch.arange(64), place, :6] += 3.0 * truth[:, None]
    torch.manual_seed(0)
    made = SlicePooling(kind, FEATURES, 1, 0.0)
    optimiser = torch.optim.AdamW(made.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(made(features)[:, 0], truth).backward()
        optimiser.step()
    with torch.no_grad():
        assert ((made(features)[:, 0] > 0) == truth.bool()).float().mean() > 0.95
        shares = made.weights(features)[truth.bool(), place[truth.bool()]]
        assert shares.mean() > 1.5 / 9, "and it points to the slice"


def test_half_precision_features_and_dropout() -> None:
    features, present = batch()
    made = head("gru", dropout=0.5)
    torch.testing.assert_close(made(features.half(), present), made(features, present), atol=0.02, rtol=0.02)
    assert torch.equal(made(features, present), made(features, present))
    made.train()
    assert not torch.equal(made(features, present), made(features, present))


@pytest.mark.parametrize("kind", KINDS)
def test_reset_follows_its_generator(kind: str) -> None:
    made = head(kind)
    states = []
    for seed in (0, 0, 1):
        made.reset(torch.Generator().manual_seed(seed))
        states.append({name: value.clone() for name, value in made.state_dict().items()})
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["classifier.weight"], states[2]["classifier.weight"])
    assert not torch.equal(states[0]["look.weight"], states[2]["look.weight"])


def test_what_does_not_fit() -> None:
    with pytest.raises(PlanError, match="'max'") as caught:
        SlicePooling("max", 8, 1, 0.0)
    assert str(caught.value.fix) == "Choose from: lstm, gru, attention."
    features, present = batch()
    for wrong in (present.flip(1), present & False):
        with pytest.raises(UsageError, match="padding before a slice"):
            head("attention")(features, wrong)


@pytest.mark.parametrize("kind", ["attention", "gru", pytest.param("lstm", marks=pytest.mark.slow)])
def test_exports(kind: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    made = head(kind)
    features = batch()[0]
    torch.onnx.export(
        made, (features,), tmp_path / "head.onnx", input_names=["features"], dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("cases"), 1: torch.export.Dim("slices")},),
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(tmp_path / "head.onnx"), providers=["CPUExecutionProvider"])
    for some in (features, features[:2, :4]):
        found = session.run(None, {"features": some.numpy()})[0]
        np.testing.assert_allclose(found, made(some).detach().numpy(), atol=1e-5, rtol=1e-4)
