"""What looks at a case: the backbone, its weights, how much of it stays frozen, how slices are joined, how many members."""

from __future__ import annotations

import timm

from hounsfield.core.plan import Decision, Weights
from hounsfield.models import at_hand
from hounsfield.models.volume import VOLUME_BACKBONES
from hounsfield.plan.fingerprint import Fingerprint

BACKBONE, BACKBONE_3D, LIGHT_3D = "tf_efficientnet_lite0", "resnet18", "resnet18_half"
# Fewer cases than this cannot teach which slice matters: a mean has nothing to learn.
FEW_FOR_ATTENTION = 150
# From here on one member varies little; stacks count their images.
MANY_CASES, MANY_IMAGES = 5000, 2000
_CUTTABLE = ("efficientnet", "resnet", "densenet", "convnext", "regnet", "mobilenet")


def backbone(kind: str, device: str = "cpu") -> Decision[str]:
    if kind == "3d" and device == "cpu" and at_hand(BACKBONE_3D).source == "none":
        return Decision(value=LIGHT_3D, reason=f"a quarter of the work of {BACKBONE_3D}, which a CPU feels")
    if kind == "3d":
        return Decision(
            value=BACKBONE_3D, reason="the smallest 3D network with a 2D namesake, whose weights it can take"
        )
    return Decision(value=BACKBONE, reason="small, fast on a CPU, and its weights install offline")


def dimension_of(name: str) -> str | None:
    """Return the one dimension that a backbone can have: 3d, 2.5d (which one image may use too), or None for both."""
    if name not in VOLUME_BACKBONES:
        return "2.5d"
    return None if timm.is_model(name) else "3d"


def has_fixed_size(name: str) -> bool:
    """Whether a backbone takes images of one size alone, as most vision transformers do."""
    config = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return config is not None and bool(config.fixed_input_size)


def weights(name: str) -> Decision[Weights]:
    choice = at_hand(name)
    reasons = {
        "packaged": "ImageNet weights from an installed package; nothing is downloaded",
        "cache": "ImageNet weights found in the local cache; nothing is downloaded",
        "none": "no weights are at hand, so it learns from nothing; give --weights FILE to do better",
    }
    return Decision(value=choice, reason=reasons[choice.source])


def frozen(found: Fingerprint, name: str, pretrained: bool) -> Decision[str]:
    if not pretrained:
        return Decision(value="none", reason="without pretrained weights there is nothing worth freezing")
    stage = 4 if "efficientnet" in name else 2
    if not any(word in name for word in _CUTTABLE):
        return Decision(value="all", reason="this backbone cannot be cut between stages, so only the head is trained")
    return Decision(
        value=f"through stage {stage}",
        reason=f"{found.cases} training cases: edges and textures are kept as pretrained and computed once",
    )


def pooling(found: Fingerprint, kind: str) -> Decision[str]:
    if kind == "3d":
        return Decision(value="mean", reason="a 3D network joins the slices itself")
    if kind == "2d" or found.frames == 1:
        return Decision(value="mean", reason="the mean logit of what a case shows")
    if found.cases < FEW_FOR_ATTENTION:
        return Decision(value="mean", reason=f"{found.cases} training cases are too few to learn which slice matters")
    return Decision(
        value="attention", reason="a finding shows in few slices: the network learns how much each of them counts"
    )


def head(name: str, frozen_to: str, kind: str) -> Decision[str]:
    """`name` is the backbone."""
    if kind == "3d" or frozen_to in ("none", "all") or not any(word in name for word in _CUTTABLE):
        return Decision(value="last", reason="the last map, as in pretraining")
    return Decision(
        value="stages",
        reason="mean and maximum of every trained stage: fine texture too, which few labels cannot teach the last map",
    )


def cached_views(found: Fingerprint, frozen_to: str, slice_count: int) -> Decision[int]:
    if frozen_to == "none":
        return Decision(value=0, reason="nothing is frozen, so nothing is cached: every epoch augments anew")
    images = found.cases * slice_count
    views = max(4 if slice_count == 1 else 2, min(16, round(8_000 / images)))
    return Decision(value=views, reason=f"{views} augmented views per image; epochs take turns")


def members(found: Fingerprint, slice_count: int = 1, kind: str = "2d") -> Decision[int]:
    if found.folds:
        return Decision(value=found.folds, reason="one per fold, each time that the cohort is divided")
    if kind == "3d":
        return Decision(value=1, reason="a 3D network takes its time; more members are better where there is more")
    if found.cases * slice_count >= MANY_IMAGES and slice_count > 1:
        return Decision(
            value=1, reason=f"{found.cases} training cases of {slice_count} slices are many images to train on"
        )
    if found.cases < MANY_CASES:
        return Decision(value=3, reason=f"{found.cases} training cases: the mean of three seeds varies less than one")
    return Decision(value=1, reason=f"{found.cases} training cases are enough for one")
