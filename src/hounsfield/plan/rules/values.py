"""What becomes of an image's values: their unit, the rule that conditions them, and the windows that follow."""

from __future__ import annotations

from typing import Any

from hounsfield.core.plan import Decision
from hounsfield.core.windows import WINDOWS, by_name
from hounsfield.errors import PlanError
from hounsfield.plan.anatomy import REGIONS, region_of
from hounsfield.plan.fingerprint import Fingerprint
from hounsfield.prepare import RULES

RADIOGRAPHY = ("CR", "DX", "RF", "XA", "PX", "IO", "RG")
ULTRASOUND = ("US", "IVUS")
GREY_BY_RANGE = ("CT", "EM", "SC", "OT", "ES", "XC", "OP", "GM", "SM")
# Files that should say what they are. Pictures and archives cannot, but the range of their values is known.
SPEAKING = ("dicom", "nifti")
SAY_IT = (
    "Say it when you scan: --modality CT (or MR, CR, DX, MG, US…); or choose a rule: --set conditioning=NAME, of "
    f"{', '.join(RULES)}."
)


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
