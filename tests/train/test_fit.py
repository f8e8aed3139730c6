"""What is frozen does not move, what is cached trains as what is not, and a fit follows its plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from hounsfield.core import Plan
from hounsfield.errors import OutputError
from hounsfield.measure import auc_error
from hounsfield.models import Network, Tail, build, renew, stacked
from hounsfield.prepare import Store, network_input, recipe_of
from hounsfield.prepare.store import SCALE
from hounsfield.train.activations import cache
from hounsfield.train.augment import augment, augmenter
from hounsfield.train.batches import Batches, CachedSource, ImageSource
from hounsfield.train.fit import Course, EpochNews, Standing, fit, validation_auc
from hounsfield.train.optimise import optimiser, schedule

Make = Callable[..., Plan]
CPU = torch.device("cpu")
SMALL = {
    "backbone": "mobilenetv3_small_100", "frozen": "through stage 2", "head": "last", "members": 1, "dropout": 0.0, "batch": 8, "epochs": 3,
    "patience": 5, "cached_views": 3, "batch_norm": "trained", "learning_rate": 0.01,
}  # fmt: skip
# Real weights, where it matters how far rounding carries.
PRETRAINED = {
    "backbone": "tf_efficientnet_lite0", "weights": "packaged", "frozen": "through stage 5", "batch_norm": "frozen",
    "learning_rate": 0.001,
}  # fmt: skip
CASES = [f"case-{number}" for number in range(24)]
TARGETS = np.array([0, 1] * 12, dtype=np.int64)


def store_of(folder: Path, images: np.ndarray, counts: list[int] | None = None) -> Store:
    """A store of (cases, slices, 1, 64, 64) values that were never a file."""
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", np.rint(images * SCALE).astype(np.uint16))
    np.save(folder / "counts.npy", np.array(counts or [images.shape[1]] * len(images), dtype=np.uint16))
    return Store(folder, tuple(CASES[: len(images)]), {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Cases of label 1 have a bright spot."""
    generator = np.random.default_rng(0)
    images = generator.random((len(CASES), 1, 1, 64, 64), dtype=np.float32) * 0.5
    images[TARGETS == 1, :, :, 20:40, 20:40] += 0.4
    return store_of(tmp_path / "store", images)


def network_of(plan: Plan, seed: int = 1) -> Network:
    network = build(plan)
    for number, member in enumerate(network.tails):
        renew(member, plan, seed + number)
    return network


class _Live:
    """What the cache would hold, computed anew for every batch by the front itself."""

    def __init__(self, store: Store, network: Network, plan: Plan, cached: CachedSource) -> None:
        self.store, self.network, self.plan, self.cached = store, network, plan, cached

    def read(self, places: list[int], epoch: int | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        views = self.cached.activations.views
        offsets = np.random.default_rng((self.cached.seed, 7)).integers(views, size=len(self.cached.cases))
        images = []
        for place in places:
            case = self.cached.activations.rows[self.cached.cases[place]]
            stored = self.store.read(case)
            if epoch is not None:
                view = 1 + int(offsets[place] + epoch) % views
                stored = augment(augmenter(self.plan), stored, (self.plan.seed.value, case, view))
            images.append(network_input(stored, recipe_of(self.plan)))
        inputs, counts = stacked(images)
        with torch.inference_mode():
            found = self.network.activate(inputs, counts)
        return found.clone(), counts


def trained(plan: Plan, store: Store, folder: Path, live: bool) -> torch.Tensor:
    network = network_of(plan)
    activations = cache(folder / "cache", store, CASES, network, plan, CPU)
    cached = CachedSource(activations, CASES, 5)
    source = _Live(store, network, plan, cached) if live else cached
    fit(
        network.tails[0], plan, Batches(source, TARGETS, 8, seed=5), Batches(source, TARGETS, 8), folder / "fit", seed=5,
        device=CPU,
    )  # fmt: skip
    inputs = torch.from_numpy(np.stack([network_input(store.read(row), recipe_of(plan)) for row in range(len(CASES))]))
    with torch.inference_mode():
        return network.eval()(inputs)


@pytest.mark.parametrize(
    ("precision", "frozen", "limit"),
    [("single", "through stage 5", 1e-5), ("single", "all", 1e-5), ("half", "all", 2e-3)],
)
def test_training_on_the_cache_is_training_on_the_images(
    plan: Make, store: Store, tmp_path: Path, precision: str, frozen: str, limit: float
) -> None:
    settings = plan(cache_precision=precision, **{**SMALL, **PRETRAINED, "frozen": frozen, "epochs": 4})
    cached = trained(settings, store, tmp_path / "cached", live=False)
    live = trained(settings, store, tmp_path / "live", live=True)
    assert cached.std() > 0.05, "something was learned, so that equality means something"
    assert (cached - live).abs().max() < limit


def test_half_precision_moves_logits_by_less_than_two_thousandths(plan: Make, store: Store, tmp_path: Path) -> None:
    """Training multiplies what it is given: after many steps of AdamW no rounding is small. Before them it is."""
    found = {}
    for precision in ("single", "half"):
        settings = plan(cache_precision=precision, **{**SMALL, **PRETRAINED})
        network = network_of(settings)
        made = cache(tmp_path / precision, store, CASES, network, settings, CPU)
        inputs, _ = made.read(CASES, np.full(len(CASES), 2))
        with torch.inference_mode():
            network.tails[0].model.get_classifier().weight.mul_(10)
            found[precision] = network.tails[0](inputs)
    assert found["single"].std() > 0.05
    assert 0 < (found["single"] - found["half"]).abs().max() < 2e-3


def test_frozen_layers_and_their_statistics_do_not_move(plan: Make, store: Store, tmp_path: Path) -> None:
    settings = plan(**{**SMALL, "cached_views": 0, "batch_norm": "frozen"})
    network = network_of(settings)
    tail = network.tails[0]
    front = {name: value.clone() for name, value in network.front.state_dict().items()}
    norms = {
        f"{name}.{kind}": getattr(module, kind).clone()
        for name, module in tail.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for kind in ("running_mean", "running_var")
    }
    kernels = {name: value.clone() for name, value in tail.named_parameters()}
    activations = cache(tmp_path / "cache", store, CASES, network, settings.changed(cached_views=1), CPU)
    source = CachedSource(activations, CASES, 1)
    fit(
        tail, settings, Batches(source, TARGETS, 8, seed=1), Batches(source, TARGETS, 8), tmp_path / "fit", seed=1,
        device=CPU,
    )  # fmt: skip
    assert all(torch.equal(front[name], value) for name, value in network.front.state_dict().items())
    assert norms and all(torch.equal(norms[name], value) for name, value in tail.state_dict().items() if name in norms)
    assert all(not torch.equal(kernels[name], value) for name, value in tail.named_parameters() if value.ndim > 1)


def test_batch_norm_statistics_move_where_they_are_trained(plan: Make, store: Store, tmp_path: Path) -> None:
    settings = plan(**SMALL)
    network = network_of(settings)
    before = {name: value.clone() for name, value in network.tails[0].state_dict().items() if "running_mean" in name}
    activations = cache(tmp_path / "cache", store, CASES, network, settings, CPU)
    source = CachedSource(activations, CASES, 1)
    fit(
        network.tails[0], settings, Batches(source, TARGETS, 8, seed=1), Batches(source, TARGETS, 8), tmp_path / "fit",
        seed=1, device=CPU,
    )  # fmt: skip
    after = network.tails[0].state_dict()
    assert before and all(not torch.equal(value, after[name]) for name, value in before.items())


def _fitted(plan: Plan, store: Store, folder: Path, course: Course | None = None) -> Tail:
    network = network_of(plan)
    activations = cache(folder / "cache", store, CASES, network, plan, CPU)
    source = CachedSource(activations, CASES, 1)
    fit(
        network.tails[0], plan, Batches(source, TARGETS, plan.batch.value, seed=1), Batches(source, TARGETS, 8),
        folder / "fit", seed=1, device=CPU, course=course,
    )  # fmt: skip
    return network.tails[0]


def test_the_same_seed_gives_the_same_weights_also_with_deterministic_algorithms(
    plan: Make, store: Store, tmp_path: Path
) -> None:
    settings = plan(**{**SMALL, "dropout": 0.3, "deterministic": True})
    first, second = (_fitted(settings, store, tmp_path / name).state_dict() for name in ("one", "two"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not torch.are_deterministic_algorithms_enabled(), "what was set for the fit is given back"


def test_accumulated_batches_are_one_larger_batch(plan: Make, store: Store, tmp_path: Path) -> None:
    """With equal class counts in every batch the mean of two halves is the whole; patience and schedule agree too."""
    settings = plan(**{**SMALL, "loss": {"class_weights": {}}, "batch_norm": "frozen"})
    whole = _fitted(settings.changed(batch=8), store, tmp_path / "whole").state_dict()
    halves = _fitted(settings.changed(batch=4, accumulate=2), store, tmp_path / "halves").state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(value, halves[name], atol=2e-4, rtol=1e-3)


def test_gradual_unfreezing_begins_with_the_head(plan: Make, store: Store, tmp_path: Path) -> None:
    settings = plan(**{**SMALL, "epochs": 2, "unfreeze": 2})
    before = network_of(settings).tails[0].state_dict()
    tail = _fitted(settings, store, tmp_path / "slow")
    head = {name for name, _ in tail.named_parameters() if name.startswith("model.classifier")}
    moved = {name for name, value in tail.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == head, "in the first two epochs only the head moves, and no statistics do"
    later = _fitted(settings.changed(epochs=3), store, tmp_path / "later")
    assert len([name for name, value in later.named_parameters() if not torch.equal(value, before[name])]) > len(head)
    assert all(parameter.requires_grad for parameter in later.parameters())


def test_stages_near_the_image_learn_more_slowly(plan: Make) -> None:
    settings = plan(**{**SMALL, "backbone_rate": 0.5, "layer_decay": 0.5, "learning_rate": 0.01})
    tail = build(settings).tails[0]
    groups = optimiser(tail, settings).param_groups
    rate = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert sorted(rate) == sorted(id(parameter) for parameter in tail.parameters()), "each parameter learns once"
    assert rate[id(tail.model.classifier.weight)] == 0.01
    stages = [
        {rate[id(parameter)] for name in names for parameter in tail.model.get_submodule(name).parameters()}
        for names in (tail.groups or [])
        if any(True for name in names for _ in tail.model.get_submodule(name).parameters())
    ]
    assert all(len(rates) == 1 for rates in stages)
    values = [rates.pop() for rates in stages]
    assert values == sorted(values) and values[-2] / values[-3] == pytest.approx(2)
    no_decay = {id(parameter) for group in groups if group["weight_decay"] == 0 for parameter in group["params"]}
    assert no_decay == {id(parameter) for parameter in tail.parameters() if parameter.ndim < 2}


@pytest.mark.parametrize("kind", ["one-cycle", "cosine"])
def test_the_rate_rises_and_falls(plan: Make, kind: str) -> None:
    settings = plan(**{**SMALL, "schedule": kind, "warm_up": 0.25, "learning_rate": 0.01})
    optimizer = optimiser(build(settings).tails[0], settings)
    course = schedule(optimizer, settings, 100)
    rates = []
    for _ in range(99):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        course.step()
    peak = int(np.argmax(rates))
    assert 20 <= peak <= 28 and rates[peak] == pytest.approx(0.01, rel=0.05)
    assert all(np.diff(rates[: peak + 1]) > 0) and all(np.diff(rates[peak:]) < 0)
    assert rates[-1] < 1e-4


def test_a_deadline_ends_the_fit_after_an_epoch(plan: Make, store: Store, tmp_path: Path) -> None:
    told: list[EpochNews] = []
    settings = plan(**{**SMALL, "epochs": 50, "patience": 50})
    _fitted(settings, store, tmp_path / "late", Course(news=told.append, deadline=time.time() - 1))
    assert [news.epoch for news in told] == [1]
    assert told[0].epochs == 50 and told[0].seconds_left > 0 and told[0].images_per_second > 0


def test_without_a_cache_the_front_runs_on_every_batch(plan: Make, store: Store, tmp_path: Path) -> None:
    settings = plan(**{**SMALL, "cached_views": 0})
    network = network_of(settings)
    source = ImageSource(store, CASES, settings, 1, network)
    values, _ = source.read([3, 4], None)
    with torch.inference_mode():
        images = torch.from_numpy(np.stack([network_input(store.read(row), recipe_of(settings)) for row in (3, 4)]))
        torch.testing.assert_close(values, network.activate(images))
    first, again = source.read([3], 1)[0], source.read([3], 1)[0]
    assert torch.equal(first, again) and not torch.equal(first, source.read([3], 2)[0])
    fit(
        network.tails[0], settings, Batches(source, TARGETS, 8, seed=1), Batches(source, TARGETS, 8), tmp_path / "fit",
        seed=1, device=CPU,
    )  # fmt: skip


def test_the_last_epoch_within_one_standard_error_of_the_best_is_kept() -> None:
    standing, kept = Standing(), []
    for epoch, area in enumerate([0.70, 0.90, 0.80, 0.86, 0.95, 0.91, 0.85]):
        if standing.after(area, 0.05):
            kept.append(epoch)
    assert kept == [0, 1, 3, 4, 5] and standing.kept == 0.91 and standing.best == 0.95
    exact, kept = Standing(), []
    for epoch, area in enumerate([0.70, 0.90, 0.899, 0.90, 0.91]):
        if exact.after(area, 0.0):
            kept.append(epoch)
    assert kept == [0, 1, 3, 4], "without an error only the best stands, and of equals the last"
    unknown = Standing()
    assert (
        unknown.after(float("nan"), float("nan")) and unknown.after(0.6, 0.0) and not unknown.after(float("nan"), 0.1)
    )


def test_validation_auc_and_its_error() -> None:
    logits = torch.tensor([[0.1], [0.4], [0.35], [0.8]])
    area, error = validation_auc(logits, torch.tensor([0, 0, 1, 1]))
    assert area == 0.75 and error == pytest.approx(auc_error(0.75, 2, 2))
    # A finding that is not known in a case is not judged there; one without both states is left out.
    nan = float("nan")
    target = torch.tensor([[0.0, nan, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [1.0, nan, nan]])
    several, more = validation_auc(torch.cat([logits, logits.flip(0), logits], dim=1), target)
    assert several == pytest.approx((0.75 + 1.0) / 2)
    assert more == pytest.approx(np.hypot(auc_error(0.75, 2, 2), auc_error(1.0, 1, 1)) / 2)
    assert np.isnan(validation_auc(logits, torch.zeros(4, dtype=torch.long))[0])


def test_the_cache_tells_its_size_and_keeps_to_the_limit(plan: Make, store: Store, tmp_path: Path) -> None:
    settings = plan(**SMALL)
    told: list[str] = []
    made = cache(tmp_path / "cache", store, CASES, network_of(settings), settings, CPU, say=told.append)
    size = (tmp_path / "cache").rglob("activations.npy").__next__().stat().st_size
    assert len(told) == 1 and f"{size / 2**30:.2f} GiB" in told[0] and "24 cases in 4 views" in told[0]
    assert made.array.dtype == np.float16
    limited = settings.changed(limits={"disk": size / 2**31})
    with pytest.raises(OutputError, match="the plan allows"):
        cache(tmp_path / "small", store, CASES, network_of(settings), limited, CPU)
    assert not list((tmp_path / "small").rglob("*.npy"))


def test_cases_of_unequal_length_are_cached_and_read_without_their_padding(plan: Make, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((6, 5, 1, 64, 64), dtype=np.float32)
    counts = [5, 1, 3, 5, 2, 4]
    store = store_of(tmp_path / "store", images, counts)
    settings = plan(**{**SMALL, "slices": 5, "dimension": "2.5d", "pooling": "attention", "flip_at_test": False})
    network = network_of(settings)
    made = cache(tmp_path / "cache", store, CASES[:6], network, settings, CPU)
    cached, cached_counts = made.read(CASES[:6], np.zeros(6, dtype=np.int64))
    plain, plain_counts = ImageSource(store, CASES[:6], settings, 0, network).read(range(6), None)
    assert cached_counts is not None and plain_counts is not None
    assert cached_counts.tolist() == plain_counts.tolist() == counts
    with torch.inference_mode():
        found = network.tails[0](cached, cached_counts)
        whole = network.tails[0](plain, plain_counts)
        each = [torch.from_numpy(network_input(store.read(row), recipe_of(settings)))[None] for row in range(6)]
        alone = torch.cat([network(one) for one in each])
    torch.testing.assert_close(whole, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found, whole, atol=5e-3, rtol=1e-2)
    some, none_padded = made.read([CASES[0], CASES[3]], np.zeros(2, dtype=np.int64))
    assert none_padded is None and some.shape[1] == 5


def test_a_fit_on_findings_learns_each_of_them(plan: Make, store: Store, tmp_path: Path) -> None:
    settings = plan(("a", "b"), multi_label=True, **{**SMALL, "epochs": 6, "learning_rate": 0.01})
    targets = np.stack([TARGETS, 1 - TARGETS], axis=1).astype(np.float32)
    targets[::5, 0] = np.nan
    network = network_of(settings)
    assert network.tails[0].model.get_classifier().out_features == 2
    activations = cache(tmp_path / "cache", store, CASES, network, settings, CPU)
    source = CachedSource(activations, CASES, 1)
    epoch, area = fit(
        network.tails[0], settings, Batches(source, targets, 8, seed=1), Batches(source, targets, 8), tmp_path / "fit",
        seed=1, device=CPU,
    )  # fmt: skip
    table = pl.read_csv(tmp_path / "fit" / "history.csv")
    assert area == pytest.approx(table.filter(pl.col("epoch") == epoch)["validation_auc"][0]) and area > 0.9
