"""Augmentation that respects anatomy, with MONAI's transforms, on stored values in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    Rand2DElastic,
    RandAdjustContrast,
    RandAffine,
    RandFlip,
    RandGaussianNoise,
    Transform,
)

from hounsfield.core.plan import Augmentation


def augmenter(plan: Augmentation) -> Compose:
    """Return the transforms of a plan for images (channels, H, W) in [0, 1].

    Geometry first, then contrast and noise, so that noise is never interpolated.
    """
    steps: list[Transform] = []
    if plan.rotate or plan.scale or plan.shift:
        steps.append(_Affine(plan))
    if plan.flip_horizontal:
        steps.append(RandFlip(prob=0.5, spatial_axis=1))
    if plan.flip_vertical:
        steps.append(RandFlip(prob=0.5, spatial_axis=0))
    if plan.elastic:
        steps.append(Rand2DElastic(spacing=(24, 24), magnitude_range=(0, plan.elastic), prob=0.5, padding_mode="zeros"))
    if plan.contrast != (1.0, 1.0):
        steps.append(RandAdjustContrast(prob=0.5, gamma=plan.contrast))
    if plan.noise:
        steps.append(RandGaussianNoise(prob=0.5, std=plan.noise))
    return Compose(steps)


def augment(transforms: Compose, image: np.ndarray, seed: tuple[int, ...]) -> torch.Tensor:
    """Apply the transforms to one image; the same seed gives the same result, whatever came before.

    Parameters
    ----------
    image:
        (channels, H, W) float32 in [0, 1].
    seed:
        Whole numbers that name the run, the image and the view.
    """
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    transforms.set_random_state(seed=number)
    result = transforms(torch.from_numpy(image))
    return torch.as_tensor(result).clamp(0.0, 1.0)


class _Affine(RandAffine):
    """Turn, scale and shift; the shift is a share of the size, which MONAI takes in pixels and so per image."""

    def __init__(self, plan: Augmentation) -> None:
        self.share = plan.shift
        super().__init__(
            prob=0.9, rotate_range=float(np.deg2rad(plan.rotate)), scale_range=plan.scale, translate_range=1.0,
            mode="bilinear", padding_mode="zeros",
        )  # fmt: skip

    def __call__(self, img: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        self.rand_affine_grid.translate_range = tuple((-self.share * side, self.share * side) for side in img.shape[1:])
        return super().__call__(img, *args, **kwargs)
