"""Unfit inputs: what is like the training images passes, what is turned, inverted or of another kind is named."""

from __future__ import annotations

import numpy as np
import pytest

from hounsfield.prepare.suited import FEWEST, Suited, fit_suited, thumbnail


def chest(generator: np.random.Generator, size: int = 96) -> np.ndarray:
    """Two dark lungs in a bright body, a heart between them and a stomach bubble below; (1, 1, H, W) in [0, 1]."""
    y, x = np.mgrid[0:size, 0:size] / size
    image = np.full((size, size), 0.75)

    def ellipse(cx: float, cy: float, rx: float, ry: float, value: float) -> None:
        jitter = generator.normal(0, 0.015, 4)
        inside = ((x - cx - jitter[0]) / (rx + jitter[2])) ** 2 + ((y - cy - jitter[1]) / (ry + jitter[3])) ** 2 < 1
        image[inside] = value

    ellipse(0.3, 0.4, 0.15, 0.28, 0.2)
    ellipse(0.7, 0.4, 0.15, 0.28, 0.2)
    ellipse(0.55, 0.55, 0.12, 0.12, 0.9)
    ellipse(0.65, 0.85, 0.08, 0.05, 0.1)
    image = image * generator.uniform(0.9, 1.1) + generator.normal(0, 0.03, image.shape)
    return np.clip(image, 0, 1)[None, None]


def speckle(generator: np.random.Generator, size: int = 96) -> np.ndarray:
    return (0.4 * generator.gamma(2.0, 0.5, (size, size))).clip(0, 1)[None, None]


@pytest.fixture(scope="module")
def fitted() -> Suited:
    generator = np.random.default_rng(0)
    found = fit_suited(np.stack([thumbnail(chest(generator)) for _ in range(200)]), None)
    assert found is not None
    return found


def reasons(fitted: Suited, images: list[np.ndarray]) -> list[str | None]:
    return [fitted.look(thumbnail(image), None)[0] for image in images]


def test_proper_images_pass(fitted: Suited) -> None:
    generator = np.random.default_rng(1)
    refused = [reason for reason in reasons(fitted, [chest(generator) for _ in range(300)]) if reason]
    assert len(refused) <= 15  # 5 of 100


def test_turned_inverted_and_other_images_are_named(fitted: Suited) -> None:
    generator = np.random.default_rng(2)
    proper = [chest(generator) for _ in range(100)]
    turned = reasons(fitted, [image[:, :, ::-1] for image in proper])
    assert turned.count("it looks upside down") >= 95
    inverted = reasons(fitted, [1 - image for image in proper])
    assert inverted.count("its grey values look inverted") >= 95
    other = reasons(fitted, [speckle(generator) for _ in range(100)])
    assert [str(reason)[:15] for reason in other].count("it looks unlike") >= 95


def test_a_rule_that_training_images_cannot_teach_is_left_out() -> None:
    """Noise looks the same upside down; refusing half of it would be worse than not to ask."""
    generator = np.random.default_rng(3)
    found = fit_suited(np.stack([thumbnail(speckle(generator)) for _ in range(100)]), None)
    assert found is not None and found.turned is None and found.inverted is not None


def test_an_embedding_takes_the_place_of_the_picture_in_the_distance() -> None:
    generator = np.random.default_rng(4)
    pictures = np.stack([thumbnail(chest(generator)) for _ in range(100)])
    embeddings = generator.normal(size=(100, 8)) * np.arange(1, 9)
    found = fit_suited(pictures, embeddings)
    assert found is not None and found.embedding is not None
    again = Suited.model_validate(found.model_dump(mode="json"))
    reason, share = again.look(pictures[0], np.zeros(8))
    assert reason is None and share < 0.5
    reason, share = again.look(pictures[0], np.array([0, 0, 0, 0, 0, 0, 0, 90.0]))
    assert "unlike" in str(reason) and share > 1
    with pytest.raises(ValueError, match="other values"):
        again.look(pictures[0], None)


def test_too_few_images_teach_nothing() -> None:
    generator = np.random.default_rng(5)
    assert fit_suited(np.stack([thumbnail(chest(generator)) for _ in range(FEWEST - 1)]), None) is None


@pytest.mark.parametrize("size", [(96, 96), (100, 37), (16, 16), (21, 240)])
def test_the_picture_of_any_size_has_the_means_of_its_areas(size: tuple[int, int]) -> None:
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    ramp = (y / (size[0] - 1) * 0.5 + x / (size[1] - 1) * 0.25)[None, None]
    found = thumbnail(ramp)
    assert found.shape == (512,)
    bright, edges = found[:256].reshape(16, 16), found[256:].reshape(16, 16)
    assert bright.mean() == pytest.approx(ramp.mean()) and (np.diff(bright, axis=0) > 0).all()
    assert edges == pytest.approx(np.full((16, 16), 4 * 0.5 / (size[0] - 1)))
    stack = np.concatenate([ramp, 1 - ramp])
    assert thumbnail(stack)[:256] == pytest.approx(np.full(256, 0.5))
