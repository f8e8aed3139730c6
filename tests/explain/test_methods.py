"""Maps by several methods, of networks whose answer is known: what each method must find there, and in which unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from torch import nn

from hounsfield.core import Recipe
from hounsfield.core.recipe import Normalise, Pad, Repeat, Resize, Window
from hounsfield.errors import UsageError
from hounsfield.explain import METHODS, Subject, attribute, subject_of
from hounsfield.explain.meter import Meter
from hounsfield.explain.methods import beside, pieces_of, raw_maps
from hounsfield.models import Network
from hounsfield.phantom import generate
from hounsfield.prepare import Place, network_input
from hounsfield.read import read_series

SIDE = 48
RECIPE = Recipe(
    steps=(
        Window(windows=((0.5, 1.0),)), Resize(height=SIDE, width=SIDE), Pad(height=SIDE, width=SIDE), Repeat(channels=3),
        Normalise(mean=(0.4, 0.5, 0.6), std=(0.5, 0.25, 0.5)),
    )
)  # fmt: skip
PIXELWISE = ("integrated-gradients", "gradient-shap")
ASKING = ("kernel-shap", "lime", "occlusion")


class Linear(nn.Module):
    """The mean over slices of a weighted sum of pixels; two outputs, the second the negative of half the first."""

    def __init__(self, weights: np.ndarray, *, outputs: int = 1, flip: bool = False) -> None:
        super().__init__()
        self.weights = torch.from_numpy(weights.astype(np.float32))
        self.outputs, self.flip, self.volume = outputs, flip, False

    @property
    def tails(self) -> list[Linear]:
        return [self]

    def activate(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs

    def judge(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self(inputs)[:, None], torch.full(inputs.shape[:2], 1 / inputs.shape[1])

    def features(self, activations: torch.Tensor, counts: None = None) -> torch.Tensor:
        return (activations * self.weights).sum(dim=(2, 3, 4))[..., None]

    def join(self, features: torch.Tensor, present: None = None) -> tuple[torch.Tensor, torch.Tensor]:
        found = features.mean(dim=1)
        weights = torch.full(features.shape[:2], 1 / features.shape[1])
        return torch.cat([found, -found / 2], dim=1) if self.outputs == 2 else found, weights

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        return self.join(self.features(activations))[0]


def spot(top: int, left: int, side: int = 8) -> np.ndarray:
    values = np.zeros((SIDE, SIDE), dtype=np.float32)
    values[top : top + side, left : left + side] = 1
    return values


def subject(network: nn.Module, stored: np.ndarray, labels: list[str] | None = None, target: str = "yes") -> Any:
    return subject_of(
        cast(Network, network), stored.astype(np.float32), RECIPE, labels or ["no", "yes"], target, torch.device("cpu")
    )


# A bright spot that speaks for the label at the top left, one that speaks against it at the bottom right, on a grey ground.
FOR, AGAINST = spot(8, 6), spot(30, 34)
IMAGE = (0.2 + 0.6 * FOR + 0.6 * AGAINST)[None, None]
WEIGHTS = (FOR - 0.5 * AGAINST) / 100


def test_a_score_is_the_logit_of_prediction_and_of_an_absence_its_negative() -> None:
    network = Linear(WEIGHTS)
    normalised = (IMAGE[0, 0][None] - np.array([0.4, 0.5, 0.6])[:, None, None]) / np.array([0.5, 0.25, 0.5])[
        :, None, None
    ]
    expected = float((normalised * WEIGHTS).sum())
    present, absent = (subject(network, IMAGE, target=name) for name in ("yes", "no"))
    assert present.score(present.shown[None]).item() == pytest.approx(expected, rel=1e-4)
    assert absent.score(absent.shown[None]).item() == pytest.approx(-expected, rel=1e-4)
    several = subject(Linear(WEIGHTS, outputs=2), IMAGE, ["a", "b"], "b")
    assert several.score(several.shown[None]).item() == pytest.approx(-expected / 2, rel=1e-4)


def test_the_mirror_image_counts_where_prediction_looks_at_it() -> None:
    plain, flipped = subject(Linear(WEIGHTS), IMAGE), subject(Linear(WEIGHTS, flip=True), IMAGE)
    mirrored = float(plain.score(plain.shown[None].flip(-1)))
    assert float(flipped.score(flipped.shown[None])) == pytest.approx(
        (float(plain.score(plain.shown[None])) + mirrored) / 2
    )


def test_only_the_slice_that_speaks_most_is_changed_and_the_others_stay() -> None:
    stored = np.concatenate([np.full_like(IMAGE, 0.2), IMAGE, np.full_like(IMAGE, 0.1)])
    found = subject(Linear(WEIGHTS), stored)
    assert found.chosen == 1 and found.weight == pytest.approx(1 / 3)
    whole = Linear(WEIGHTS)(torch.from_numpy(network_input(stored.astype(np.float32), RECIPE))[None])
    assert float(found.score(found.shown[None])) == pytest.approx(float(whole), rel=1e-4)


@pytest.mark.parametrize("method", PIXELWISE)
def test_shares_of_pixels_are_the_weights_times_what_was_taken_away(method: str) -> None:
    one = subject(Linear(WEIGHTS), IMAGE)
    found = attribute(one, method, [Place.whole((SIDE, SIDE))])
    assert found.signed and found.method == method and found.settings
    values, hidden = one.shown[0].numpy(), one.hidden[0].numpy()
    of_pixel = WEIGHTS * (1 / 0.5 + 1 / 0.25 + 1 / 0.5)  # three channels, each divided by its deviation
    if method == "integrated-gradients":
        np.testing.assert_allclose(found.values, of_pixel * (values - hidden), atol=1e-5)
        gained = one.score(one.shown[None]) - one.score(one.hidden[None])
        assert found.values.sum() == pytest.approx(gained.item(), rel=1e-3)
    assert found.scale == pytest.approx(np.abs(found.values).max())
    assert found.values[FOR > 0].min() > 0 > found.values[AGAINST > 0].mean() and np.allclose(
        found.values[WEIGHTS == 0], 0
    )


@pytest.mark.parametrize("method", ASKING)
def test_asking_finds_what_speaks_for_and_what_speaks_against(method: str) -> None:
    found = attribute(subject(Linear(WEIGHTS * 20), IMAGE), method, [Place.whole((SIDE, SIDE))])
    assert found.signed and found.unit
    peak, trough = (
        np.unravel_index(int(place), (SIDE, SIDE)) for place in (found.values.argmax(), found.values.argmin())
    )
    if method == "occlusion":  # windows are larger than the spots, so that it is the window that is found
        side = found.settings["window"][0]
        assert max(abs(peak[0] - 12), abs(peak[1] - 10)) < side and max(abs(trough[0] - 34), abs(trough[1] - 38)) < side
    else:
        assert FOR[peak] == 1 and AGAINST[trough] == 1
    opposite = attribute(subject(Linear(WEIGHTS * 20), IMAGE, target="no"), method, [Place.whole((SIDE, SIDE))])
    np.testing.assert_allclose(opposite.values, -found.values, atol=0.02 * found.scale)


@pytest.mark.parametrize("method", [*PIXELWISE, *ASKING])
def test_maps_follow_the_logit_however_small_it_is(method: str) -> None:
    """A network that has hardly learnt answers in hundredths: its map is that of a surer one, in its own unit."""
    large, small = (
        attribute(subject(Linear(WEIGHTS * size), IMAGE), method, [Place.whole((SIDE, SIDE))]) for size in (20, 0.02)
    )
    np.testing.assert_allclose(small.values * 1000, large.values, atol=0.03 * large.scale)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.4])
def test_there_are_about_sixty_pieces_with_noise_and_without(noise: float) -> None:
    shown = (IMAGE + noise * np.random.default_rng(1).normal(size=IMAGE.shape)).clip(0, 1)
    assert 50 <= pieces_of(subject(Linear(WEIGHTS), shown)).max() + 1 <= 75


class Volume(Linear):
    """The same, of a volume as a whole."""

    def __init__(self) -> None:
        super().__init__(np.ones((1, 1)))
        self.volume = True


def stacked_of(values: np.ndarray) -> Any:
    """A volume (slices, H, W) as a subject; nothing is asked of its network."""
    stored = values[:, None].astype(np.float32)
    return Subject(
        cast(Network, Volume()), stored, RECIPE, "yes", 0, 1.0, torch.device("cpu"), None, None, torch.zeros(1)
    )


@pytest.mark.parametrize("shape", [(16, 64, 64), (24, 48, 48), (32, 64, 64), (64, 64, 64), (20, 64, 96)])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.4])
def test_a_volume_has_about_sixty_pieces_too(noise: float, shape: tuple[int, int, int]) -> None:
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij"))
    body = 0.2 + 0.5 * ((places**2).sum(axis=0) < 0.6)
    values = (body + noise * np.random.default_rng(2).normal(size=shape)).clip(0, 1)
    assert 50 <= pieces_of(stacked_of(values)).max() + 1 <= 75


def test_a_phantom_has_about_sixty_pieces(tmp_path: Path) -> None:
    """Whole volumes of simulated CT, with their noise, and their slices alone; through a lung window."""
    generate(tmp_path, patients_a=3, patients_b=1, slices=16, size=64, seed=2)
    volumes = read_series(tmp_path).volumes
    assert len(volumes) >= 4
    for volume in volumes:
        values = ((np.asarray(volume.pixels) + 1250) / 1500).clip(0, 1)
        assert 50 <= pieces_of(stacked_of(values)).max() + 1 <= 75
        alone = subject(Linear(np.ones((64, 64))), values[8][None, None])
        assert 50 <= pieces_of(alone).max() + 1 <= 75


@pytest.mark.parametrize("name", ["head-ct", "busi"])
def test_real_images_have_about_sixty_pieces(data: Path, name: str) -> None:
    paths = [path for path in sorted((data / name / "images").rglob("*.png")) if "mask" not in path.name]
    for path in paths[:: len(paths) // 6]:
        with Picture.open(path) as picture:
            values = np.asarray(picture.convert("L").resize((160, 160)), dtype=np.float32) / 255
        assert 50 <= pieces_of(subject(Linear(np.ones((160, 160))), values[None, None])).max() + 1 <= 75


def test_superpixel_shap_gives_each_piece_its_part_of_the_whole() -> None:
    """A linear network: the share of a piece is the sum over its pixels, and all of them are the whole change."""
    one = subject(Linear(WEIGHTS * 20), IMAGE)
    found, pieces = attribute(one, "kernel-shap", [Place.whole((SIDE, SIDE))]), pieces_of(one)
    change = WEIGHTS * 20 * 8 * (one.shown[0] - one.hidden[0]).numpy()
    for number in range(pieces.max() + 1):
        inside = pieces == number
        assert found.values[inside].mean() == pytest.approx(change[inside].sum(), abs=0.02 * found.scale)
        assert np.ptp(found.values[inside]) < 1e-6
    assert found.settings["pieces"] == pieces.max() + 1 > 10


@pytest.mark.parametrize("method", ["integrated-gradients", *ASKING])
def test_networks_that_share_a_front_are_asked_the_same(method: str) -> None:
    """A map among others is the map alone, also of a network that gives other answers."""
    one = subject(Linear(WEIGHTS * 20), IMAGE)
    other = replace(one, network=cast(Network, Linear(WEIGHTS.T * 30)))
    for found, alone in zip(beside([one, other], method, seed=3), (one, other), strict=True):
        expected = raw_maps([alone], method, seed=3)[0]
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5, atol=1e-7)
        assert found.settings == expected.settings


@pytest.mark.parametrize("method", ["integrated-gradients", "gradient-shap", "kernel-shap", "lime", "occlusion"])
def test_a_map_is_told_while_it_is_made(method: str) -> None:
    """The share of the questions rises, and is near to the whole when the last of them was asked."""
    told: list[float] = []
    meter = Meter(1, [method], check=False, progress=lambda done, total: told.append(done))
    one = replace(subject(Linear(WEIGHTS), IMAGE), heard=meter.heard)
    with meter.map(one, method):
        attribute(one, method, [Place.whole((SIDE, SIDE))])
    assert told == sorted(told) and told[-1] == 1 and 0 < told[0] < 0.6 and 0.9 < told[-2] < 1


@pytest.mark.parametrize("method", ["gradient-shap", "kernel-shap", "lime"])
def test_the_same_seed_gives_the_same_map_and_nothing_else_changes(method: str) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(1), np.random.random()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    one = subject(Linear(WEIGHTS), IMAGE)
    first, again = (attribute(one, method, [Place.whole((SIDE, SIDE))], seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)
    assert (torch.rand(1), np.random.random()) == expected  # noqa: NPY002


def test_maps_come_back_to_the_original_geometry() -> None:
    """Padded above and below: what lay in the padding is gone, and the map has the frame's size."""
    found = attribute(subject(Linear(WEIGHTS), IMAGE), "integrated-gradients", [Place.whole((30, 60))])
    assert found.values.shape == (30, 60)


def test_an_unknown_method_names_the_others() -> None:
    with pytest.raises(UsageError, match="no method 'magic'") as caught:
        attribute(subject(Linear(WEIGHTS), IMAGE), "magic", [Place.whole((SIDE, SIDE))])
    assert all(name in str(caught.value) for name in METHODS)
