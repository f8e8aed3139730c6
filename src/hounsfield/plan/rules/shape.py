"""What the network is shown of a case: one image, slices or a volume; how many, how large, and how they are varied."""

from __future__ import annotations

import math

from hounsfield.core.plan import Augmentation, Decision, Region
from hounsfield.plan.anatomy import flip_allowed
from hounsfield.plan.fingerprint import Fingerprint
from hounsfield.plan.rules.values import RADIOGRAPHY, ULTRASOUND

SMALL_IMAGE = 64
SLICES_2D, SLICES = 8, 16
# The largest grid that trains on a CPU, or on a small GPU, in hours and not days.
DEPTH, SIDE = 64, 96
STEP_3D = 8
SMALLEST = 32
# The means over the three channels of ImageNet, for a network whose channels are not red, green and blue.
GREY_MEAN, GREY_STD = 0.449, 0.226
MARGIN_MM = 5.0

Spacing = tuple[float, float, float]


def dimension(found: Fingerprint, device: str, rule: str, *, pretrained: bool, volume_weights: bool) -> Decision[str]:
    """Choose between single images, slices through a 2D network, and a 3D network.

    Parameters
    ----------
    device, rule:
        cpu, cuda or mps; the conditioning.
    pretrained:
        There are pretrained 2D weights at hand.
    volume_weights:
        The weights that were given are those of a 3D network.
    """
    if found.frames == 1:
        return Decision(value="2d", reason="a case is one image")
    about = f"about {found.frames}×{found.height}×{found.width}"
    if rule == "colour":
        return Decision(value="2.5d", reason="3D networks here are for grey volumes: each picture through a 2D network")
    if volume_weights:
        return Decision(value="3d", reason="the weights that were given are those of a 3D network")
    if found.is_small_volume:
        return Decision(value="3d", reason=f"volumes of {about} voxels are small enough to be seen as a whole")
    if not pretrained and device != "cpu":
        return Decision(value="3d", reason="there are no pretrained weights to keep, and the GPU is fast enough for 3D")
    return Decision(
        value="2.5d",
        reason=f"cases of {about} pixels: each slice through a 2D network"
        + (", which is pretrained as no 3D network at hand is" if pretrained else ", which a CPU can train"),
    )


def spacing(found: Fingerprint, kind: str) -> Decision[Spacing | None]:
    """Millimetres between slices, rows and columns of the grid that a 3D network sees."""
    if kind != "3d":
        return Decision(value=None, reason="pixels as they are: only a 3D network needs equal spacing")
    if found.pixel_spacing is None or found.slice_spacing is None:
        return Decision(value=None, reason="the files do not say how far slices and pixels lie apart")
    plane = max(found.pixel_spacing)
    wanted = max(plane, max(found.height * found.pixel_spacing[0], found.width * found.pixel_spacing[1]) / SIDE)
    between = max(found.slice_spacing, found.deepest * found.slice_spacing / DEPTH)
    value = (_rounded_up(between), _rounded_up(wanted), _rounded_up(wanted))
    median = f"the median is {found.slice_spacing:.2f}×{found.pixel_spacing[0]:.2f}×{found.pixel_spacing[1]:.2f} mm"
    coarser = value[0] > 1.02 * found.slice_spacing or value[1] > 1.02 * plane
    why = f", coarsened until the volume fits {DEPTH}×{SIDE}×{SIDE} voxels" if coarser else ""
    return Decision(value=value, reason=median + why)


def slices(found: Fingerprint, kind: str, grid: Spacing | None) -> Decision[int]:
    if found.frames == 1:
        return Decision(value=1, reason="a case is one image")
    if kind == "2d":
        count = min(SLICES_2D, found.frames)
        return Decision(
            value=count, reason=f"{count} evenly spaced slices of about {found.frames}; a case's logit is their mean"
        )
    if kind == "2.5d":
        count = min(SLICES, found.deepest)
        return Decision(value=count, reason=f"at most {count} slices, evenly spaced; cases have about {found.frames}")
    if grid is None or found.slice_spacing is None:
        count = min(DEPTH, found.deepest)
        return Decision(value=count, reason=f"the depth of the grid; cases have about {found.frames} slices")
    count = min(DEPTH, math.ceil(found.deepest * found.slice_spacing / grid[0] - 1e-6))
    return Decision(
        value=max(1, count), reason=f"{found.deepest} slices of {found.slice_spacing:.2f} mm, at {grid[0]:g} mm"
    )


def adjacent(found: Fingerprint, kind: str, rule: str, windows: int) -> Decision[int]:
    """How many neighbours on either side become channels of a slice."""
    if kind != "2.5d" or found.frames < 3:
        return Decision(value=0, reason="only a stack that is seen slice by slice has neighbours to show")
    if rule == "colour":
        return Decision(value=0, reason="the three channels are colours")
    if windows != 1:
        return Decision(value=0, reason=f"the channels are {windows} windows already")
    return Decision(value=1, reason="grey slices leave two channels free: the slice before and the slice after")


def region(found: Fingerprint, kind: str, rule: str) -> Decision[Region]:
    if kind != "3d":
        return Decision(value=Region(), reason="the whole image")
    if found.is_small_volume:
        return Decision(value=Region(), reason="volumes this small were cut out already")
    if rule == "hounsfield":
        return Decision(value=Region(kind="body", margin=MARGIN_MM), reason="CT: the patient, without table and air")
    if found.modality in (*ULTRASOUND, *RADIOGRAPHY) or rule == "range":
        return Decision(value=Region(), reason="nothing is known of a background that could be cut away")
    return Decision(
        value=Region(kind="foreground", margin=MARGIN_MM), reason="what stands out from a background that says nothing"
    )


def size(
    found: Fingerprint, input_size: int, kind: str = "2d", grid: Spacing | None = None, *, fixed: bool = False
) -> Decision[tuple[int, int]]:
    """Height and width of the network's input.

    Parameters
    ----------
    input_size, fixed:
        What the backbone was pretrained at, and whether it takes no other.
    """
    longest = max(found.height, found.width)
    if kind == "3d":
        return _size_of_volumes(found, longest, grid)
    if fixed:
        return Decision(value=(input_size, input_size), reason="the one size that this backbone takes")
    if longest <= SMALL_IMAGE:
        side = 128
        return Decision(
            value=(side, side), reason=f"images of {longest} pixels hold no more detail, and small inputs are fast"
        )
    side = 32 * max(4, min(round(longest / 32), round(input_size / 32)))
    why = "what the backbone was pretrained at" if side == input_size else "the nearest multiple of 32"
    return Decision(value=(side, side), reason=f"images are about {found.height}×{found.width}; {side} is {why}")


def _size_of_volumes(found: Fingerprint, longest: int, grid: Spacing | None) -> Decision[tuple[int, int]]:
    if grid is not None and found.pixel_spacing is not None:
        extent = max(found.height * found.pixel_spacing[0], found.width * found.pixel_spacing[1])
        side = _stepped(extent / grid[1])
        return Decision(
            value=(side, side), reason=f"a plane of {extent:.0f} mm at {grid[1]:g} mm, in steps of {STEP_3D}"
        )
    side = _stepped(longest)
    why = "holds all of it" if longest <= SIDE else "is as much as a 3D network is given"
    return Decision(value=(side, side), reason=f"planes of about {found.height}×{found.width}; {side} {why}")


def channels(kind: str, adjacent_slices: int, windows: int, rule: str) -> Decision[int]:
    if adjacent_slices:
        return Decision(value=2 * adjacent_slices + 1, reason="a slice and its neighbours")
    if kind == "3d" and rule != "colour":
        return Decision(value=windows, reason="one per window; a 3D network's first layer is made to fit")
    return Decision(value=3, reason="what the backbone was pretrained with")


def normalisation(contract: dict[str, list[float]], count: int, kind: str) -> Decision[dict[str, list[float]]]:
    """`contract` is the backbone's own mean and std, one value per channel."""
    if kind != "3d" and count == len(contract["mean"]):
        return Decision(value=contract, reason="the backbone's own")
    grey = {"mean": [GREY_MEAN] * count, "std": [GREY_STD] * count}
    return Decision(value=grey, reason="the means over the three channels of ImageNet: these channels are not colours")


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


def flip_at_test(choice: Augmentation) -> Decision[bool]:
    if choice.flip_horizontal:
        return Decision(
            value=True, reason="a mirrored image is as possible as the image: the mean of both varies less than one"
        )
    return Decision(value=False, reason="training mirrors nothing, so a mirrored image would be strange to the network")


def _rounded_up(millimetres: float) -> float:
    """In hundredths, never finer than asked, so that the grid which follows fits; files keep few digits."""
    return math.ceil(round(millimetres * 100, 3)) / 100


def _stepped(side: float) -> int:
    return min(SIDE, max(SMALLEST, STEP_3D * math.ceil(side / STEP_3D - 1e-6)))
