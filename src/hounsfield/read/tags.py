"""Lenient readers of single DICOM values: what is missing, empty or malformed is None, never an exception.

Files in the wild hold letters in number fields and dates with dots. A header must not be lost for such a value unless
the pixels depend on it; then `needed` raises.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from datetime import date as Date
from functools import cache
from typing import TYPE_CHECKING, Any

from hounsfield.errors import ReadError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

# Value representations (PS3.5 6.2) that are plain text, several values parted by backslashes; and those that struct reads.
_TEXT = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "SH", "TM", "UI"))
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_DAYS_A_YEAR = 365.25
_YEARS_PER = {"Y": 1.0, "M": 1 / 12, "W": 7 / _DAYS_A_YEAR, "D": 1 / _DAYS_A_YEAR}  # PS3.5 6.2, VR AS
_OLDEST = 130.0


@cache
def tag_of(keyword: str) -> BaseTag:
    """Return the tag of a keyword, always the same object, so that a dictionary finds it by identity."""
    from pydicom.tag import Tag

    return Tag(keyword)


def raw(dataset: Dataset, keyword: str) -> Any:
    """Return a value as pydicom gives it, or None where it is missing, empty or cannot be parsed."""
    tag = tag_of(keyword)
    if tag not in dataset.keys():  # noqa: SIM118 — a plain dictionary's keys: `in dataset` converts the tag first
        return None
    try:
        value = dataset[tag].value
    except Exception:  # noqa: BLE001 — pydicom converts on access, and fails in as many ways as values can be malformed
        return None
    if value is None or (hasattr(value, "__len__") and len(value) == 0):
        return None
    return value


def text(dataset: Dataset, *keywords: str) -> str | None:
    """Return the first of several elements that is not empty, as stripped text; of many values, the first."""
    for keyword in keywords:
        quick = _quick(dataset, keyword)
        if quick is None:
            value = raw(dataset, keyword)
            if value is not None and not isinstance(value, str) and isinstance(value, Sequence):
                value = value[0]
            found = "" if value is None else str(value).replace("\x00", "").strip()
        else:
            found = str(quick[0]) if quick else ""
        if found:
            return found
    return None


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values of an element as stripped text."""
    quick = _quick(dataset, keyword)
    if quick is not None:
        return tuple(str(item) for item in quick)
    value = raw(dataset, keyword)
    if value is None:
        return ()
    many = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
    return tuple(str(item).strip() for item in many)


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return all values of an element as finite floats, or nothing where one of them is not a finite number."""
    many: Sequence[Any] | None = _quick(dataset, keyword)
    if many is None:
        value = raw(dataset, keyword)
        if value is None:
            return ()
        many = [value] if isinstance(value, (str, int, float)) or not isinstance(value, Sequence) else value
    try:
        found = tuple(float(item) for item in many)
    except (TypeError, ValueError):
        return ()
    return found if all(math.isfinite(item) for item in found) else ()


def _quick(dataset: Dataset, keyword: str) -> tuple[str, ...] | tuple[float, ...] | None:
    """Return the values of an element that is missing or simple; None leaves it to pydicom.

    pydicom's conversion of one element takes 25 µs, and a header asks for ninety; this takes 2.
    """
    # The dictionary inside: the public ways convert tag and element first, which takes longer than all of the rest.
    element: Any = dataset._dict.get(tag_of(keyword))
    if element is None:
        return ()
    value = element.value
    if not element.is_raw or not isinstance(value, bytes):
        return None
    vr = element.VR or _vr(keyword)  # none where it is implicit
    if vr in _TEXT:
        if not value.isascii():
            return None
        found = value.decode("ascii").replace("\x00", "").strip()
        return tuple(part.strip() for part in found.split("\\")) if found else ()
    kind = _BINARY.get(vr)
    if kind is None or len(value) % struct.calcsize(kind):
        return None
    order = "<" if element.is_little_endian else ">"
    return struct.unpack(f"{order}{len(value) // struct.calcsize(kind)}{kind}", value)


@cache
def _vr(keyword: str) -> str:
    from pydicom.datadict import dictionary_VR

    return dictionary_VR(tag_of(keyword))


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of an element as a finite float."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def whole(dataset: Dataset, keyword: str) -> int | None:
    """Return the first value of an element as a whole number."""
    found = number(dataset, keyword)
    return int(found) if found is not None and found == int(found) else None


def needed(dataset: Dataset, keyword: str) -> int:
    """Return a whole number without which there is no image.

    Raises
    ------
    ReadError
        If it is missing or not a whole number.
    """
    found = whole(dataset, keyword)
    if found is None:
        raise ReadError(f"the DICOM header lacks a valid {keyword}")
    return found


def items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence; none where it is missing."""
    value = raw(dataset, keyword)
    if value is None:
        return ()
    from pydicom.sequence import Sequence as DicomSequence

    return value if isinstance(value, DicomSequence) else ()


def date(dataset: Dataset, keyword: str) -> str | None:
    """Return a date as YYYYMMDD; the dots of ACR-NEMA (1999.12.31) are dropped."""
    found = (text(dataset, keyword) or "").replace(".", "").replace("-", "")[:8]
    return found if _day(found) else None


def sex(dataset: Dataset) -> str | None:
    """Return "F", "M" or "O"; other words (female, männlich) count by their first letter."""
    found = (text(dataset, "PatientSex") or "").upper()[:1]
    return found if found in ("F", "M", "O") else None


def age(dataset: Dataset) -> float | None:
    """Return the age in years: PatientAge (045Y, 006M, 012W, 003D), else the time from birth to study."""
    match = re.fullmatch(r"(\d{1,3})([YMWD]?)", (text(dataset, "PatientAge") or "").upper())
    if match:
        years = int(match[1]) * _YEARS_PER[match[2] or "Y"]
    else:
        born, studied = (_day(date(dataset, keyword) or "") for keyword in ("PatientBirthDate", "StudyDate"))
        if born is None or studied is None:
            return None
        years = (studied - born).days / _DAYS_A_YEAR
    return years if 0 <= years <= _OLDEST else None


def _day(found: str) -> Date | None:
    if not re.fullmatch(r"\d{8}", found):
        return None
    try:
        return Date(int(found[:4]), int(found[4:6]), int(found[6:]))
    except ValueError:
        return None


def has_functional_groups(dataset: Dataset) -> bool:
    """Return whether a data set is of an enhanced object."""
    there = dataset.keys()
    return tag_of("SharedFunctionalGroupsSequence") in there or tag_of("PerFrameFunctionalGroupsSequence") in there


def functional_group(dataset: Dataset, macro: str, frame: int = 0) -> Dataset | None:
    """Return the item of a functional group that holds for a frame of an enhanced object (PS3.3 C.7.6.16).

    A group stands either with the frame or among the shared ones; the frame's own is looked for first.
    """
    if not has_functional_groups(dataset):
        return None
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    places = ([per_frame[frame]] if frame < len(per_frame) else []) + list(shared[:1])
    for place in places:
        found = items(place, macro)
        if len(found):
            return found[0]
    return None
