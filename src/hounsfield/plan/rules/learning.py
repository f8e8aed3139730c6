"""How it is trained: the loss, the batch and its order, the rates, the schedule, the precision."""

from __future__ import annotations

from hounsfield.core.plan import Decision, Loss
from hounsfield.plan.fingerprint import Fingerprint

EPOCHS, EPOCHS_OF_MANY, EPOCHS_FROM_NOTHING, PATIENCE = 20, 8, 24, 8
ENOUGH_PER_EPOCH = 2000
LARGEST_BATCH, SMALLEST_BATCH = 32, 4
# What a batch may hold before memory, not the number of cases, decides: 128 images, or as many voxels as 16 volumes of 64³.
IMAGES_TOGETHER = 128
VOXELS_TOGETHER = 16 * 64**3
LARGEST_WEIGHT = 20.0
CUSTOMARY = {
    "dropout": (0.2, "customary for this size of network"),
    "patience": (PATIENCE, "epochs that are clearly worse than the best before it stops"),
    "layer_decay": (1.0, "the stages that are trained learn alike: there are few of them"),
    "unfreeze": (0, "all that is trained is trained from the start: what is frozen stays cached"),
    "schedule": ("one-cycle", "a rise, then a fall to nothing: it needs no guess of when to lower the rate"),
    "warm_up": (0.15, "share of the steps in which the rate rises: a new head's first gradients are large"),
    "clip": (1.0, "the greatest norm of a gradient, so that one strange batch cannot undo many good ones"),
    "deterministic": (False, "the fastest algorithms; on a CPU they give the same numbers each time anyway"),
    "cache_precision": ("half", "half the room, and far finer than what the noise of augmentation changes"),
    "weight_decay": (0.05, "customary for fine-tuning with AdamW"),
    "calibration": (
        "temperature",
        "one number keeps the order of cases and needs few of them; platt and isotonic fit more and need hundreds",
    ),
    "operating_point": ("youden", "sensitivity and specificity weigh the same; or sensitivity>=0.95"),
    "seed": (0, "any number; the same number gives the same run"),
}


def customary(name: str) -> Decision[object]:
    """Decisions that no fact of the cohort changes."""
    value, reason = CUSTOMARY[name]
    return Decision(value=value, reason=reason)


def epochs(found: Fingerprint, pretrained: bool) -> Decision[int]:
    if pretrained and found.cases >= ENOUGH_PER_EPOCH:
        return Decision(value=EPOCHS_OF_MANY, reason=f"at the most; each shows {found.cases} cases")
    if not pretrained:
        return Decision(value=EPOCHS_FROM_NOTHING, reason="at the most; what begins with nothing needs more of them")
    return Decision(value=EPOCHS, reason="at the most; early stopping on validation AUC may end sooner")


def learning_rate(pretrained: bool) -> Decision[float]:
    how = "AdamW; the greatest rate of the schedule, for the head"
    if not pretrained:
        return Decision(value=2e-3, reason=f"{how}; without pretrained weights there is nothing to spoil")
    return Decision(value=1e-3, reason=how)


def sampler() -> Decision[str]:
    return Decision(value="shuffled", reason="every case once per epoch; the loss, and not the order, balances classes")


def loss(found: Fingerprint, name: str, drawn: str = "shuffled") -> Decision[Loss]:
    """Weigh rare labels more; `drawn` is the sampler, and where that balances, the loss must not do it again."""
    how = "focal loss, asked for, " if name == "focal" else "cross-entropy "
    if drawn == "balanced":
        return Decision(
            value=Loss(name=name), reason=f"{how}without weights: the balanced sampler draws every class equally often"
        )
    if found.multi_label:
        return _loss_of_findings(found, name, how)
    total, kinds = sum(found.counts.values()), len(found.counts)
    balance = {label: round(total / (kinds * max(1, count)), 4) for label, count in found.counts.items()}
    counted = ", ".join(f"{count} {label}" for label, count in found.counts.items())
    return Decision(
        value=Loss(name=name, class_weights=balance), reason=f"{how}weighted by the class balance: {counted}"
    )


def _loss_of_findings(found: Fingerprint, name: str, how: str) -> Decision[Loss]:
    """A case that has the finding weighs as much more as such cases are rarer, where that is known."""
    balance = {}
    for label, present in found.counts.items():
        ratio = (found.known[label] - present) / max(1, present)
        balance[label] = round(min(LARGEST_WEIGHT, max(ratio, 1 / LARGEST_WEIGHT)), 4)
    counted = ", ".join(f"{label} {count} of {found.known[label]}" for label, count in found.counts.items())
    return Decision(
        value=Loss(name=name, class_weights=balance),
        reason=f"{how}per label, present against absent by their ratio (at most {LARGEST_WEIGHT:g}): {counted}",
    )


def batch(found: Fingerprint, slice_count: int, voxels: int | None = None) -> Decision[int]:
    """`voxels` are those of a volume that is seen as a whole."""
    value = min(_wanted_batch(found), _room(slice_count, voxels))
    return Decision(value=value, reason=f"{found.cases} training cases of {slice_count} slice(s)")


def accumulate(found: Fingerprint, size: int) -> Decision[int]:
    """Batches that make a step together, where memory keeps each of them small."""
    steps = max(1, _wanted_batch(found) // size)
    if steps == 1:
        return Decision(value=1, reason="every batch is a step")
    return Decision(value=steps, reason=f"batches of {size} are small for memory; {steps} of them make one step")


def _wanted_batch(found: Fingerprint) -> int:
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, found.cases // 8))


def _room(slice_count: int, voxels: int | None) -> int:
    if voxels is None:
        return max(SMALLEST_BATCH, IMAGES_TOGETHER // slice_count)
    return max(2, VOXELS_TOGETHER // voxels)


def backbone_rate(pretrained: bool, slice_count: int) -> Decision[float]:
    if not pretrained:
        return Decision(value=1.0, reason="without pretrained weights every layer learns alike")
    if slice_count > 1:
        return Decision(
            value=0.1,
            reason="pretrained layers learn at a tenth of the head's rate: a label for many slices is a weak teacher",
        )
    return Decision(
        value=0.5, reason="pretrained layers learn at half the head's rate, so that they keep what they know"
    )


def batch_norm(pretrained: bool, slice_count: int) -> Decision[str]:
    if pretrained and slice_count > 1:
        return Decision(
            value="frozen",
            reason="the slices of a case are alike, so the pretrained statistics are better than a batch's",
        )
    return Decision(value="trained", reason="batches of different images have statistics of their own")


def precision(device: str, *, has_bf16: bool) -> Decision[str]:
    if device != "cuda":
        return Decision(value="single", reason=f"{device}: lower precision is not faster there")
    if has_bf16:
        return Decision(value="bf16", reason="twice as fast on this GPU, with the range of single precision")
    return Decision(value="fp16", reason="twice as fast on this GPU, which has no bf16")
