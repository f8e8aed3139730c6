"""Augmentation that respects anatomy, with MONAI's transforms, on stored values in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    Rand2DElastic,
    Rand3DElastic,
    RandAdjustContrast,
    RandAffine,
    RandFlip,
    RandGaussianNoise,
    Transform,
)

from hounsfield.core.plan import Augmentation, Plan


class Augmenter:
    """The transforms of a plan: slice by slice, or for a volume as a whole.

    Geometry comes first, then contrast and noise, so that noise is never interpolated. A volume turns about the axis
    through its slices, so that it stays a possible stack, and keeps its slices in their places; one that is about as
    deep as it is wide turns about all axes (`deep`), as a patient may lie.
    """

    def __init__(self, plan: Augmentation, *, volume: bool, deep: bool = False) -> None:
        self.volume = volume
        row, column = (1, 2) if volume else (0, 1)
        steps: list[Transform] = []
        if plan.rotate or plan.scale or plan.shift:
            steps.append(_Affine(plan, volume, deep))
        if plan.flip_horizontal:
            steps.append(RandFlip(prob=0.5, spatial_axis=column))
        if plan.flip_vertical:
            steps.append(RandFlip(prob=0.5, spatial_axis=row))
        if plan.elastic:
            steps.append(_elastic(plan.elastic, volume))
        if plan.contrast != (1.0, 1.0):
            steps.append(RandAdjustContrast(prob=0.5, gamma=plan.contrast))
        if plan.noise:
            steps.append(RandGaussianNoise(prob=0.5, std=plan.noise))
        self.transforms = Compose(steps)

    def __call__(self, image: np.ndarray, seed: tuple[int, ...]) -> torch.Tensor:
        """(channels, [slices,] H, W) in [0, 1] → the same; the same seed gives the same result, whatever came before."""
        self.transforms.set_random_state(seed=int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return torch.as_tensor(self.transforms(torch.from_numpy(image))).clamp(0.0, 1.0)


def augmenter(plan: Plan) -> Augmenter:
    deep = 2 * plan.slices.value >= max(plan.size.value)
    return Augmenter(plan.augmentation.value, volume=plan.dimension.value == "3d", deep=deep)


def augment(transforms: Augmenter, case: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """Augment one case.

    Parameters
    ----------
    case:
        (slices, channels, H, W) float32 in [0, 1].
    seed:
        Whole numbers that name the run, the image and the view.
    """
    if transforms.volume:
        volume = np.ascontiguousarray(case.swapaxes(0, 1))
        return np.ascontiguousarray(transforms(volume, seed).numpy().swapaxes(0, 1))
    return np.stack([transforms(image, (*seed, number)).numpy() for number, image in enumerate(case)])


def _elastic(magnitude: float, volume: bool) -> Transform:
    if volume:
        return Rand3DElastic(sigma_range=(5, 7), magnitude_range=(0, magnitude), prob=0.5, padding_mode="zeros")
    return Rand2DElastic(spacing=(24, 24), magnitude_range=(0, magnitude), prob=0.5, padding_mode="zeros")


class _Affine(RandAffine):
    """Turn, scale and shift; the shift is a share of the size, which MONAI takes in pixels and so per image."""

    def __init__(self, plan: Augmentation, volume: bool, deep: bool) -> None:
        self.share, self.along = plan.shift, float(deep)
        turn = float(np.deg2rad(plan.rotate))
        super().__init__(
            prob=0.9, rotate_range=(turn, self.along * turn, self.along * turn) if volume else turn,
            scale_range=(self.along * plan.scale, plan.scale, plan.scale) if volume else plan.scale, translate_range=1.0,
            mode="bilinear", padding_mode="zeros",
        )  # fmt: skip

    def __call__(self, img: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        sides = img.shape[1:]
        shares = (self.along * self.share, self.share, self.share) if len(sides) == 3 else (self.share, self.share)
        reach = tuple((-share * side, share * side) for share, side in zip(shares, sides, strict=True))
        self.rand_affine_grid.translate_range = reach
        return super().__call__(img, *args, **kwargs)
