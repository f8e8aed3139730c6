"""Cutting a backbone into stem, stages and the rest, in one vocabulary for every family, in 2D (timm) and in 3D.

`frozen` is one of: none | stem | through stage k | all. For a ResNet, stage k is layer k; for a DenseNet it is dense
block k with its transition; for an EfficientNet it is blocks[k - 1]. What follows the last stage (a final convolution
or norm) is frozen only with `all`. The 3D networks of `models.volume` bear the same names as their 2D namesakes, so
that "through stage 3" freezes the same layers of both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn

from hounsfield.errors import PlanError

_CONTAINERS = ("features", "blocks", "stages")
_STAGE = re.compile(r"(?:(?:blocks|stages)\.|features\.denseblock|layer|s)(\d+)$")
_BELONGS_TO_STAGE = re.compile(r"features\.transition(\d+)$")
_HEAD = ("global_pool", "head", "head_drop", "fc", "classifier", "fc_norm", "conv_head_drop", "flatten")


def stage_names(model: nn.Module) -> list[list[str]] | None:
    """Return the module names of [stem, stage 1, …, stage n, rest], or None where the backbone is no chain of modules.

    The chain, applied in order, is meant to equal `model.forward_features`; `models.network` proves it on an input.
    """
    names: list[str] = []
    for name, child in model.named_children():
        if name in _HEAD:
            break
        if name in _CONTAINERS and isinstance(child, nn.Sequential):
            names += [f"{name}.{inner}" for inner, _ in child.named_children()]
        else:
            names.append(name)
    groups: list[list[str]] = [[]]
    done = False
    for name in names:
        if _STAGE.fullmatch(name):
            groups.append([name])
        elif _BELONGS_TO_STAGE.fullmatch(name) or len(groups) == 1:
            groups[-1].append(name)
        elif not done:
            groups.append([name])
            done = True
        else:
            groups[-1].append(name)
    stages = len(groups) - 1 - int(done)
    if stages < 2 or not groups[0]:
        return None
    return groups if done else [*groups, []]


def frozen_groups(frozen: str, groups: Sequence[Sequence[str]] | None) -> int:
    """Return how many leading groups `frozen` freezes: 0 for none, 1 for the stem, … and -1 for all.

    Raises
    ------
    PlanError
        If the word is unknown, or the backbone has no such stage; the choices are listed.
    """
    if frozen == "none":
        return 0
    if frozen == "all":
        return -1
    stages = 0 if groups is None else len(groups) - 2
    match = re.fullmatch(r"through stage (\d+)", frozen)
    if stages and frozen == "stem":
        return 1
    if match and 1 <= int(match[1]) <= stages:
        return 1 + int(match[1])
    choices = "none, stem, through stage 1…" + str(stages) + ", all" if stages else "none, all"
    raise PlanError(f"frozen: {frozen!r} is not possible for this backbone", fix=f"Choose from: {choices}.")
