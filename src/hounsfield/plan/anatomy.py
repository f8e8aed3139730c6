"""What is known of body parts: which windows show them on CT, and whether a mirrored image is still a possible patient."""

from __future__ import annotations

import re

# Body part → (pattern, the windows of its three channels). The first that matches counts.
REGIONS: dict[str, tuple[str, tuple[str, str, str]]] = {
    "chest": (r"CHEST|THORAX|LUNG|HEART", ("lung", "mediastinum", "bone")),
    "head": (r"HEAD|BRAIN|SKULL", ("brain", "subdural", "skull")),
    "abdomen": (r"ABDOMEN|ABDO|PELVIS|LIVER|KIDNEY|ADRENAL", ("abdomen", "liver", "bone")),
    "spine": (r"SPINE|SPINAL|VERTEBRA|SACRUM|COCCYX", ("spine", "soft tissue", "bone")),
    "neck": (r"NECK|LARYNX|PHARYNX|THYROID|CAROTID", ("soft tissue", "angio", "bone")),
    # The window of the temporal bone is the widest there is, and shows the inside of dense cortex.
    "extremity": (
        r"KNEE|HAND|WRIST|ANKLE|FOOT|HIP|SHOULDER|ELBOW|EXTREMITY|LEG|ARM|FINGER|FEMUR|TIBIA|HUMERUS|CALCANEUS",
        ("soft tissue", "bone", "temporal bone"),
    ),
}

# Paired parts: the mirror image of a left one looks like a right one, so a flip makes a possible patient.
PAIRED = r"BREAST|SKIN|KNEE|HAND|WRIST|ANKLE|FOOT|HIP|SHOULDER|ELBOW|EYE|RETINA|EXTREMITY|LEG|ARM|FINGER"
# Parts with sides: a flip would put the heart, the liver or a speech centre on the wrong side.
SIDED = r"CHEST|THORAX|LUNG|HEART|ABDOMEN|ABDO|PELVIS|LIVER|KIDNEY|ADRENAL|HEAD|BRAIN|SKULL|NECK"


def region_of(body_part: str | None) -> str | None:
    """Return the name in `REGIONS` for a DICOM BodyPartExamined, else None."""
    for name, (pattern, _) in REGIONS.items():
        if body_part and re.search(pattern, body_part.upper()):
            return name
    return None


def flip_allowed(body_part: str | None, side_free: bool) -> tuple[bool, str]:
    """Return whether a horizontal flip respects the anatomy, and why."""
    part = (body_part or "").upper()
    if side_free:
        return True, "the label was said to be free of sides (--side-free)"
    if re.search(SIDED, part):
        return False, f"{part.lower()} has sides; a mirrored patient does not exist (allow it with --side-free)"
    if re.search(PAIRED, part):
        return True, f"{part.lower()} is paired: the mirror image of one side looks like the other"
    return False, "the body part is not known, and a flip could make an impossible patient (allow it with --side-free)"
