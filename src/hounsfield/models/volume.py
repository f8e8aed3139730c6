"""3D networks of MONAI behind the part of timm's interface that `models.network` uses, with stems fit for small volumes.

Children carry the names that timm gives them in 2D (conv1, layer1…4, fc; features.denseblock1…4, classifier), so that
one vocabulary of stages serves both, and so that 2D weights find their place (`models.inflate`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hounsfield.errors import PlanError

_RESNETS = {
    "resnet10": ("basic", [1, 1, 1, 1]),
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
}
_DENSENETS = {"densenet121": (6, 12, 24, 16), "densenet169": (6, 12, 32, 32)}
# ResNets with half the channels: a quarter of the sums, for small volumes on a CPU. No weights exist for them.
HALF = "_half"
VOLUME_BACKBONES = (*_DENSENETS, *_RESNETS, f"resnet10{HALF}", f"resnet18{HALF}")

SMALLEST = 16  # voxels a side; below, nothing is left after the three halvings that every backbone needs


class VolumeNetwork(nn.Module):
    """A 3D backbone and its head: (n, channels, depth, height, width) → (n, outputs).

    Parameters
    ----------
    body:
        The modules up to the last feature map, by name, in the order in which they run.
    num_features:
        Channels of the last feature map.
    classifier:
        The name of the last linear layer.
    num_classes:
        Logits; 0 leaves the classifier out.
    drop_rate:
        Dropout before the classifier.
    input_size:
        (channels, depth, height, width) that the network was made for; others work as long as something is left.
    """

    def __init__(
        self,
        body: OrderedDict[str, nn.Module],
        *,
        num_features: int,
        classifier: str,
        num_classes: int,
        drop_rate: float,
        input_size: tuple[int, ...],
    ) -> None:
        super().__init__()
        for name, module in body.items():
            self.add_module(name, module)
        self._body = tuple(body)
        self._classifier = classifier
        self.num_features = num_features
        self.default_cfg = {"input_size": input_size}
        self.global_pool = nn.AdaptiveAvgPool3d(1)
        self.flatten = nn.Flatten(1)
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes)

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, channels, depth, height, width) → the last feature map (n, num_features, d, h, w), after its ReLU."""
        for name in self._body:
            inputs = self.get_submodule(name)(inputs)
        return inputs

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """The last feature map → logits (n, outputs); with `pre_logits`, its mean (n, num_features)."""
        pooled = self.head_drop(self.flatten(self.global_pool(features)))
        return pooled if pre_logits else self.get_classifier()(pooled)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(inputs))

    def get_classifier(self) -> nn.Module:
        return self.get_submodule(self._classifier)

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new linear layer in the place of the classifier; none where `num_classes` is 0."""
        self.num_classes = num_classes
        layer = nn.Linear(self.num_features, num_classes) if num_classes > 0 else nn.Identity()
        self.add_module(self._classifier, layer)


def volume_model(
    backbone: str, *, num_classes: int, in_chans: int, drop_rate: float = 0.0, size: tuple[int, ...]
) -> VolumeNetwork:
    """Return a 3D network with new weights.

    Parameters
    ----------
    backbone:
        One of `VOLUME_BACKBONES`: DenseNet (Huang 2017) or ResNet (He 2016; 3D: Hara 2018), as in MONAI. Shortcuts of
        ResNets are convolutions (type B): MONAI's type A lets no gradient through.
    num_classes, in_chans, drop_rate:
        As for `timm.create_model`.
    size:
        Depth, height and width in voxels of the volumes, which decide the strides of the stem (`stem_strides`).

    Raises
    ------
    PlanError
        If there is no such 3D backbone, or a side is below 16 voxels.
    """
    if backbone not in VOLUME_BACKBONES:
        raise PlanError(
            f"backbone: there is no 3D network named {backbone!r}", fix=f"Choose from: {', '.join(VOLUME_BACKBONES)}."
        )
    convolution, pooling = stem_strides(size, dense=backbone in _DENSENETS)
    if backbone not in _DENSENETS:
        body, features = _resnet(backbone, in_chans, convolution, pooling)
    else:
        body, features = _densenet(backbone, in_chans, convolution, pooling)
    return VolumeNetwork(
        body,
        num_features=features,
        classifier="classifier" if backbone in _DENSENETS else "fc",
        num_classes=num_classes,
        drop_rate=drop_rate,
        input_size=(in_chans, *size),
    )


def stem_strides(size: Sequence[int], *, dense: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the strides of the stem's convolution and of its max-pool, for each side of the volume.

    A backbone made for 224 pixels divides each side by 32: by 2 in the stem's convolution, by 2 in its max-pool, by 8
    in the stages. Of a volume of 28 voxels that would leave one cell. So each side on its own keeps 32 from 96 voxels,
    and is divided by 16 from 48, without the max-pool. Below, DenseNets lose both (8), since their pools round down;
    ResNets from 24 voxels keep the max-pool in the place of the stride (16), which on a CPU is the difference between
    minutes and an hour. At least 2 cells are then left in the last map. The kernel stays 7 voxels wide, so that weights
    fit whatever the size.

    Raises
    ------
    PlanError
        If a side is below 16 voxels.
    """
    if len(size) != 3 or min(size) < SMALLEST:
        sides = " × ".join(str(side) for side in size)
        raise PlanError(
            f"size: a volume of {sides} voxels is too small for a 3D network",
            fix=f"Use at least {SMALLEST} voxels on each of three sides, or slices in a sequence (2.5d).",
        )
    convolution = tuple(2 if side >= 48 else 1 for side in size)
    pooling = tuple(2 if side >= 96 or (24 <= side < 48 and not dense) else 1 for side in size)
    return convolution, pooling


def _resnet(
    backbone: str, in_chans: int, convolution: tuple[int, ...], pooling: tuple[int, ...]
) -> tuple[OrderedDict[str, nn.Module], int]:
    from monai.networks.nets.resnet import ResNet  # seconds to import, and only volumes need it

    block, layers = _RESNETS[backbone.removesuffix(HALF)]
    widths = [64, 128, 256, 512]
    if backbone.endswith(HALF):
        widths = [width // 2 for width in widths]
    made = ResNet(
        block,
        layers,
        widths,
        spatial_dims=3,
        n_input_channels=in_chans,
        conv1_t_stride=convolution,  # type: ignore[arg-type]
        shortcut_type="B",
        bias_downsample=False,  # a norm follows, which would cancel it; and 2D weights have none
        feed_forward=False,
    )
    body = OrderedDict[str, nn.Module](conv1=made.conv1, bn1=made.bn1, act1=made.act, maxpool=_max_pool(pooling))
    body.update({name: getattr(made, name) for name in ("layer1", "layer2", "layer3", "layer4")})
    return body, widths[-1] * (4 if block == "bottleneck" else 1)


def _densenet(
    backbone: str, in_chans: int, convolution: tuple[int, ...], pooling: tuple[int, ...]
) -> tuple[OrderedDict[str, nn.Module], int]:
    from monai.networks.nets.densenet import DenseNet

    made: Any = DenseNet(3, in_chans, 1, block_config=_DENSENETS[backbone])
    features = made.features
    features.conv0.stride = convolution
    features.pool0 = _max_pool(pooling)
    features.add_module("relu5", nn.ReLU())  # MONAI has it in its head, timm in the features
    return OrderedDict[str, nn.Module](features=features), made.class_layers.out.in_features


def _max_pool(strides: tuple[int, ...]) -> nn.Module:
    """A max-pool over 3 voxels on the sides that are halved; nothing on the others."""
    if math.prod(strides) == 1:
        return nn.Identity()
    kernel = [3 if stride == 2 else 1 for stride in strides]
    return nn.MaxPool3d(tuple(kernel), tuple(strides), tuple(side // 2 for side in kernel))
