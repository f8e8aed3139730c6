"""The planner's rules: each a small function of the fingerprint, returning a decision and its reason in plain words."""

from __future__ import annotations

from typing import Any

from hounsfield.core.plan import Augmentation, Decision, Loss, Weights
from hounsfield.core.windows import WINDOWS, by_name
from hounsfield.errors import PlanError
from hounsfield.models import at_hand
from hounsfield.plan.anatomy import REGIONS, flip_allowed, region_of
from hounsfield.plan.fingerprint import Fingerprint
from hounsfield.prepare import RULES

BACKBONE = "tf_efficientnet_lite0"
RADIOGRAPHY = ("CR", "DX", "RF", "XA", "PX", "IO", "RG")
ULTRASOUND = ("US", "IVUS")
GREY_BY_RANGE = ("CT", "EM", "SC", "OT", "ES", "XC", "OP", "GM", "SM")
# Files that should say what they are. Pictures and archives cannot, but the range of their values is known.
SPEAKING = ("dicom", "nifti")
SAY_IT = (
    "Say it when you scan: --modality CT (or MR, CR, DX, MG, US…); or choose a rule: --set conditioning=NAME, of "
    f"{', '.join(RULES)}."
)
SMALL_IMAGE = 64


def unit(found: Fingerprint, rule: str | None = None) -> Decision[str]:
    """`rule` is the conditioning where it was asked for."""
    if found.kind == "nifti" and found.looks_hounsfield and (found.modality == "CT" or rule == "hounsfield"):
        return Decision(value="HU", reason="said to be CT: NIfTI holds HU by convention, and the values look like it")
    return Decision(value=found.unit, reason="what the files hold")


def conditioning(found: Fingerprint) -> Decision[str]:
    """Choose by modality. Where none is known, or none of the rules is for it, the choice is the user's: no default."""
    modality = found.modality
    if found.unit == "HU":
        return Decision(value="hounsfield", reason="CT: the values are Hounsfield units already")
    if modality is None and found.kind in SPEAKING:
        raise PlanError("the files state no modality, and how their values are to be read depends on it", fix=SAY_IT)
    if modality in ULTRASOUND and (found.is_picture or found.unit == "RGB"):
        return Decision(
            value="ultrasound",
            reason="ultrasound: the regions that show tissue, in grey; colour-Doppler wants `colour`",
        )
    if found.unit == "RGB":
        return Decision(value="colour", reason="the images are in colour")
    if modality == "MR":
        return Decision(
            value="percentiles",
            reason="MR has no fixed unit, so each case's own foreground sets the range (`zscore` is another way)",
        )
    if modality == "MG":
        return Decision(
            value="mammogram", reason="MG: as the file asks to be shown, the breast alone, the chest wall on the left"
        )
    if modality in RADIOGRAPHY:
        return Decision(
            value="voi", reason=f"{modality}: the VOI LUT or window that the file asks for, else its percentiles"
        )
    if modality == "CT" and found.kind == "nifti":
        raise PlanError(
            "the files were said to be CT, and their values do not look like Hounsfield units (no air below -200)",
            fix="Convert them with their rescale; or, if you know what they hold: --set conditioning=percentiles.",
        )
    if found.is_picture and (modality is None or modality in GREY_BY_RANGE):
        return Decision(value="range", reason="grey pictures: the range that the file can hold becomes 0 to 1")
    if modality is None:
        raise PlanError("the files state neither a modality nor the range of their values", fix=SAY_IT)
    raise PlanError(
        f"there is no rule for modality {modality!r}",
        fix=f"Choose one yourself: --set conditioning=NAME, of {', '.join(RULES)}.",
    )


def windows(found: Fingerprint, rule: str) -> Decision[list[tuple[float, float]]]:
    if rule != "hounsfield":
        return Decision(value=[(0.5, 1.0)], reason="the conditioned values already run from 0 to 1")
    region = region_of(found.body_part)
    if region is not None:
        names = REGIONS[region][1]
        return Decision(
            value=[WINDOWS[name] for name in names], reason=f"CT of the {region}: {', '.join(names)} as three channels"
        )
    return Decision(
        value=[fitted_window(found)],
        reason="CT of an unknown body part: fitted to the 0.5th to 99.5th percentile of a sample, air left out",
    )


def windows_asked_for(found: Fingerprint, rule: str, asked: Any) -> Decision[Any]:
    """Put numbers in the place of names and of `fitted`.

    Raises
    ------
    PlanError
        If a name is not known, or the rule does not give Hounsfield units.
    """
    try:
        value, told = by_name(asked, fitted_window(found))
    except ValueError as error:
        raise PlanError(f"windows: {error}") from error
    if told and rule != "hounsfield":
        raise PlanError(
            f"windows: names are of CT windows in Hounsfield units, and the rule {rule!r} gives values from 0 to 1",
            fix="Leave windows out.",
        )
    return Decision(value=value, reason=f"asked for: {', '.join(told)}" if told else "asked for")


def fitted_window(found: Fingerprint) -> tuple[float, float]:
    """Return the window around the 0.5th to 99.5th percentile of the sample, in HU."""
    low, high = found.low, max(found.high, found.low + 50)
    return round((low + high) / 2), round(high - low)


def slices(found: Fingerprint) -> Decision[int]:
    if found.frames == 1:
        return Decision(value=1, reason="a case is one image")
    count = min(8, found.frames)
    return Decision(
        value=count, reason=f"{count} evenly spaced slices of about {found.frames}; a case's logit is their mean"
    )


def size(found: Fingerprint, input_size: int) -> Decision[tuple[int, int]]:
    longest = max(found.height, found.width)
    if longest <= SMALL_IMAGE:
        side = 128
        return Decision(
            value=(side, side), reason=f"images of {longest} pixels hold no more detail, and small inputs are fast"
        )
    side = 32 * max(4, min(round(longest / 32), round(input_size / 32)))
    why = "what the backbone was pretrained at" if side == input_size else "the nearest multiple of 32"
    return Decision(value=(side, side), reason=f"images are about {found.height}×{found.width}; {side} is {why}")


def augmentation(found: Fingerprint, side_free: bool, rule: str | None = None) -> Decision[Augmentation]:
    flip, why = flip_allowed(found.body_part, side_free)
    if rule == "mammogram":
        flip, why = False, "the rule mammogram has turned all chest walls to the left, and a flip would undo it"
    choice = Augmentation(flip_horizontal=flip)
    return Decision(
        value=choice,
        reason=f"small turns, scales and shifts, noise and contrast; horizontal flip {'on' if flip else 'off'}: {why}; "
        "no vertical flip and no elastic deformation",
    )


def weights(backbone: str) -> Decision[Weights]:
    choice = at_hand(backbone)
    reasons = {
        "packaged": "ImageNet weights from an installed package; nothing is downloaded",
        "cache": "ImageNet weights found in the local cache; nothing is downloaded",
        "none": "no weights are at hand, so it learns from nothing; give --weights FILE to do better",
    }
    return Decision(value=choice, reason=reasons[choice.source])


def frozen(found: Fingerprint, backbone: str, pretrained: bool) -> Decision[str]:
    if not pretrained:
        return Decision(value="none", reason="without pretrained weights there is nothing worth freezing")
    stage = 4 if "efficientnet" in backbone else 2
    if not any(name in backbone for name in ("efficientnet", "resnet", "densenet", "convnext", "regnet", "mobilenet")):
        return Decision(value="all", reason="this backbone cannot be cut between stages, so only the head is trained")
    return Decision(
        value=f"through stage {stage}",
        reason=f"{found.cases} training cases: edges and textures are kept as pretrained and computed once",
    )


def cached_views(found: Fingerprint, frozen_to: str, slice_count: int) -> Decision[int]:
    if frozen_to == "none":
        return Decision(value=0, reason="nothing is frozen, so nothing is cached: every epoch augments anew")
    views = max(4, min(8, round(8_000 / (found.cases * slice_count))))
    return Decision(value=views, reason=f"{views} augmented views per image, kept at half precision; epochs take turns")


def members(found: Fingerprint) -> Decision[int]:
    if found.folds:
        return Decision(value=found.folds, reason="one per fold, each time that the cohort is divided")
    if found.cases < 2000:
        return Decision(value=3, reason=f"{found.cases} training cases: the mean of three seeds varies less than one")
    return Decision(value=1, reason=f"{found.cases} training cases are enough for one")


def loss(found: Fingerprint, name: str) -> Decision[Loss]:
    total, kinds = sum(found.counts.values()), len(found.counts)
    balance = {label: round(total / (kinds * max(1, count)), 4) for label, count in found.counts.items()}
    counted = ", ".join(f"{count} {label}" for label, count in found.counts.items())
    how = "focal loss, asked for, " if name == "focal" else "cross-entropy "
    return Decision(
        value=Loss(name=name, class_weights=balance), reason=f"{how}weighted by the class balance: {counted}"
    )


def batch(found: Fingerprint, slice_count: int) -> Decision[int]:
    room = max(4, 128 // slice_count)
    value = max(4, min(32, room, found.cases // 8))
    return Decision(value=value, reason=f"{found.cases} training cases of {slice_count} slice(s)")


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
