"""What tells the frames of one series apart: attributes by name, each with the places where it may stand.

Classic objects hold them at the top level, enhanced ones in functional groups (PS3.3 C.7.6.16.2). Values are kept as
text: they are compared, never reckoned with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hounsfield.read import tags
from hounsfield.read.stacks import SCOUT, THICKNESS, Key

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Name → (functional group or "", keyword, place in PS3.3).
_PLACES: tuple[tuple[str, str, str, str], ...] = (
    ("echo", "", "EchoNumbers", "C.8.3.1"),
    ("echo time", "MREchoSequence", "EffectiveEchoTime", "C.8.13.5.4"),
    ("echo time", "", "EchoTime", "C.8.3.1"),
    ("component", "MRImageFrameTypeSequence", "ComplexImageComponent", "C.8.13.5.1"),
    ("b-value", "MRDiffusionSequence", "DiffusionBValue", "C.8.13.5.9"),
    ("b-value", "", "DiffusionBValue", "C.8.13.5.9"),
    ("time point", "FrameContentSequence", "TemporalPositionIndex", "C.7.6.16.2.2"),
    ("time point", "TemporalPositionSequence", "TemporalPositionTimeOffset", "C.7.6.16.2.16"),
    ("time point", "", "TemporalPositionIdentifier", "C.8.3.1"),
    ("phase", "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "C.7.6.16.2.7"),
    ("phase", "", "NominalPercentageOfCardiacPhase", "C.7.6.16.2.7"),
    ("trigger", "", "TriggerTime", "C.8.3.1"),
    ("stack", "FrameContentSequence", "StackID", "C.7.6.16.2.2"),
    ("acquisition", "FrameContentSequence", "FrameAcquisitionNumber", "C.7.6.16.2.2"),
    ("acquisition", "", "AcquisitionNumber", "C.7.6.1"),
    ("inversion time", "MRTimingAndRelatedParametersSequence", "InversionTimes", "C.8.13.5.2"),
    ("inversion time", "", "InversionTime", "C.8.3.1"),
    ("kernel", "CTReconstructionSequence", "ConvolutionKernel", "C.8.15.3.4"),
    ("kernel", "", "ConvolutionKernel", "C.8.2.1"),
    ("energy", "", "KVP", "C.8.2.1"),
    ("series part", "", "SeriesTime", "C.7.3.1"),
    (THICKNESS, "PixelMeasuresSequence", "SliceThickness", "C.7.6.16.2.1"),
    (THICKNESS, "", "SliceThickness", "C.7.6.2"),
)
TOP_LEVEL = tuple(keyword for _, group, keyword, _ in _PLACES if not group)
# Values 3 and 4 of ImageType say what a picture is: LOCALIZER in CT (C.8.2.1.1.1) and enhanced objects; M, P, R, I in MR.
_COMPONENTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}


def key_of(dataset: Dataset, frame: int = 0) -> Key:
    """Return (name, value) pairs of a frame, for what its header states."""
    found: dict[str, str] = {}
    for name, macro, keyword, _ in _PLACES:
        if name in found:
            continue
        place = tags.functional_group(dataset, macro, frame) if macro else dataset
        values = tags.texts(place, keyword) if place is not None else ()
        if any(values):
            found[name] = "/".join(values)
    direction = _direction(dataset, frame)
    if direction:
        found["direction"] = direction
    return tuple(sorted((found | _type(dataset, frame)).items()))


def _type(dataset: Dataset, frame: int) -> dict[str, str]:
    kinds = tags.texts(dataset, "ImageType")
    for macro in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence"):
        place = tags.functional_group(dataset, macro, frame)
        if place is not None:
            kinds = tags.texts(place, "FrameType") or kinds
    found = {"type": "/".join(kinds[2:])} if len(kinds) > 2 else {}
    component = next((_COMPONENTS[kind] for kind in kinds[2:] if kind in _COMPONENTS), None)
    if component:
        found["component"] = component
    if any(kind.upper() in ("LOCALIZER", "SCOUT") for kind in kinds):
        found[SCOUT] = "yes"
    return found


def _direction(dataset: Dataset, frame: int) -> str | None:
    diffusion = tags.functional_group(dataset, "MRDiffusionSequence", frame)
    if diffusion is None:
        return "/".join(tags.texts(dataset, "DiffusionGradientOrientation")) or None
    directions = tags.items(diffusion, "DiffusionGradientDirectionSequence")
    return "/".join(tags.texts(directions[0], "DiffusionGradientOrientation")) if len(directions) else None
