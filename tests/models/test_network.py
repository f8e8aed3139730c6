"""A network is the mean of its members, a batch is its images, and what it saves it loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hounsfield.core import Plan
from hounsfield.errors import BundleError, UsageError
from hounsfield.models import Network, build, renew
from hounsfield.models import tail as tail_module
from hounsfield.models.device import choose_device

Make = Callable[..., Plan]
SMALL = {"backbone": "mobilenetv3_small_100", "frozen": "through stage 2", "head": "last"}


@pytest.fixture
def network(plan: Make) -> Network:
    settings = plan(("a", "b", "c"), members=3, flip_at_test=False, **SMALL)
    made = build(settings)
    for number, member in enumerate(made.tails):
        renew(member, settings, number)
        member.model.get_classifier().weight.data.mul_(50)  # so that members differ by more than rounding
    return made.eval()


def test_an_embedding_is_mean_and_spread_of_what_the_front_sees_and_padding_plays_no_part(network: Network) -> None:
    inputs = torch.rand(2, 3, 3, 64, 64)
    counts = torch.tensor([3, 2])
    with torch.inference_mode():
        seen = network.activate(inputs).flatten(3)
        expected = torch.cat([seen.mean(-1), seen.std(-1)], dim=2)
        found = network.embedded(network.activate(inputs), counts)
        logits, _, again = network.judge_and_embed(inputs, counts)
        torch.testing.assert_close(logits, network.judge(inputs, counts)[0])
        inputs[1, 2] = 7.0
        padded = network.embedded(network.activate(inputs), counts)
    assert found is not None and again is not None and padded is not None
    torch.testing.assert_close(found, torch.stack([expected[0].mean(dim=0), expected[1, :2].mean(dim=0)]))
    torch.testing.assert_close(again, found)
    torch.testing.assert_close(padded, found)


def test_a_network_without_a_frozen_front_has_no_embedding(plan: Make) -> None:
    made = build(plan(**{**SMALL, "frozen": "none"}))
    assert made.embedded(torch.rand(1, 1, 3, 64, 64)) is None


def test_is_the_mean_of_its_members(network: Network) -> None:
    inputs = torch.rand(2, 1, 3, 64, 64)
    with torch.inference_mode():
        activation = network.activate(inputs)
        each = torch.stack([member(activation) for member in network.members])
        found = network(inputs)
    assert found.shape == (2, 3)
    torch.testing.assert_close(found, each.mean(dim=0))
    assert (each[0] - each[1]).abs().max() > 1e-3


def test_a_batch_is_its_images(network: Network) -> None:
    inputs = torch.rand(5, 1, 3, 64, 64)
    with torch.inference_mode():
        together = network(inputs)
        alone = torch.cat([network(image[None]) for image in inputs])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert together.std(dim=0).max() > 1e-4, "different images have different answers"


def test_comes_back_from_its_file(network: Network, plan: Make, tmp_path: Path) -> None:
    network.save(tmp_path / "w.safetensors")
    again = build(plan(("a", "b", "c"), members=3, flip_at_test=False, **SMALL), blank=True).load(
        tmp_path / "w.safetensors"
    )
    inputs = torch.rand(2, 1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again(inputs), network(inputs))
    for other in (plan(("a", "b", "c"), members=2, **SMALL), plan(members=3, **SMALL)):
        with pytest.raises(BundleError, match="do not fit"):
            build(other, blank=True).load(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(BundleError, match="do not fit"):
        again.load(tmp_path / "w.safetensors")


@pytest.mark.parametrize(("labels", "outputs"), [(("no", "yes"), 1), (("a", "b", "c"), 3), (tuple("abcdefg"), 7)])
def test_outputs(plan: Make, labels: tuple[str, ...], outputs: int) -> None:
    with torch.inference_mode():
        assert build(plan(labels, members=1, **SMALL))(torch.rand(1, 1, 3, 64, 64)).shape == (1, outputs)


def test_the_front_neither_learns_nor_counts(network: Network) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.front.state_dict().items()}
    network(torch.rand(4, 1, 3, 64, 64)).sum().backward()
    assert all(torch.equal(before[name], value) for name, value in network.front.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.front.parameters())
    assert any(parameter.grad is not None for parameter in network.members[0].parameters())
    assert not network.front.training
    assert network.members[0].training


def test_a_new_head_follows_its_seed_and_starts_undecided(plan: Make) -> None:
    heads = []
    settings = plan(("a", "b", "c"), members=1, **SMALL)
    for seed in (0, 0, 1):
        made = build(settings)
        renew(made.tails[0], settings, seed)
        classifier = made.tails[0].model.get_classifier()
        heads.append(classifier.weight.detach().clone())
        assert not classifier.bias.any()
        assert classifier.weight.abs().max() < 0.1
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_building_neither_needs_nor_moves_the_global_seed(plan: Make) -> None:
    settings = plan(members=1, **SMALL)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build(settings).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert all(torch.equal(value, first[name]) for name, value in build(settings).state_dict().items())


def test_without_pretrained_weights_members_differ_in_all_that_they_train(plan: Make) -> None:
    settings = plan(members=2, **SMALL)
    made = build(settings)
    for number, member in enumerate(made.tails):
        renew(member, settings, number)
    first, second = (dict(member.named_parameters()) for member in made.tails)
    kernels = [name for name, value in first.items() if value.ndim == 4]
    assert kernels and not any(torch.equal(first[name], second[name]) for name in kernels)


def test_the_mirrored_image_is_judged_as_the_image_where_the_plan_says_so(plan: Make) -> None:
    settings = plan(("a", "b", "c"), members=2, flip_at_test=True, **SMALL)
    made, plain = build(settings), build(settings.changed(flip_at_test=False))
    for network in (made, plain):
        for number, member in enumerate(network.tails):
            renew(member, settings, number)
    inputs = torch.rand(2, 1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(made(inputs), made(inputs.flip(-1)), atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(made(inputs), (plain(inputs) + plain(inputs.flip(-1))) / 2, atol=1e-6, rtol=1e-5)
        assert (plain(inputs) - plain(inputs.flip(-1))).abs().max() > 1e-6


def test_a_long_stack_passes_in_pieces_with_the_same_answer_and_gradient(
    plan: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = plan(
        **{
            **SMALL,
            "dimension": "2.5d",
            "pooling": "attention",
            "slices": 40,
            "dropout": 0.0,
            "members": 1,
            "flip_at_test": False,
        }
    )
    network = build(settings)
    renew(network.tails[0], settings, 1)
    inputs, found = torch.rand(2, 40, 3, 32, 32), []
    sizes: list[int] = []
    network.tails[0].last_map.register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    for piece, whole in ((64, 128), (7, 16)):
        monkeypatch.setattr(tail_module, "PIECE", piece)
        monkeypatch.setattr(tail_module, "WHOLE", whole)
        network.zero_grad()
        logits = network(inputs)
        logits.sum().backward()
        kernel = next(parameter for parameter in network.tails[0].parameters() if parameter.ndim == 4)
        assert kernel.grad is not None
        found.append((logits.detach(), kernel.grad.clone()))
    assert max(sizes[1:]) <= 7 and sizes[0] == 80, (
        "the second time no more than seven slices are in the network at once"
    )
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-3)


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device().type in ("cpu", "cuda", "mps")
    with pytest.raises(UsageError, match="tpu") as caught:
        choose_device("tpu")
    assert "auto, cpu, cuda, mps" in str(caught.value.fix)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no cuda"):
            choose_device("cuda")
