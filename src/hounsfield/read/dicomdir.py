"""DICOMDIR: the directory on a CD of images, and which of the files it lists are there (PS3.3 F, PS3.10 8)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hounsfield.errors import ReadError
from hounsfield.read import tags
from hounsfield.read.trouble import plain_errors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SOP_CLASS = "1.2.840.10008.1.3.10"
_RECORDS = 0x00041220  # DirectoryRecordSequence
_UNDEFINED = 0xFFFFFFFF
_NOT_IN_USE = 0  # RecordInUseFlag; FFFF is in use (PS3.3 F.3.2.2)
_WITHOUT = "Leave the DICOMDIR out: the files beside it are read without it."


def is_dicomdir(path: Path) -> bool:
    """Say whether a file is a DICOMDIR, from its file meta information alone.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    from pydicom import config
    from pydicom.filereader import read_file_meta_info

    path = Path(path)
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return False
    try:
        with config.disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote header values
            return tags.text(read_file_meta_info(path), "MediaStorageSOPClassUID") == _SOP_CLASS
    except OSError:
        raise
    except Exception:  # noqa: BLE001 — pydicom fails in many ways on a damaged header, which is no DICOMDIR
        return False


def listed_files(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of the IMAGE records of a DICOMDIR: those that are there, and those that are not.

    Both in the order of the directory, each once. Records out of use are left out; the records are taken as they
    follow each other and not by their offsets, which many writers get wrong. Upper and lower case, a version (";1") and
    a dot at the end count for nothing where a name is looked for: CDs are written in capitals and mounted in small
    letters. Symbolic links are followed, as everywhere in a folder of the user.

    Raises
    ------
    ReadError
        If the file is no DICOMDIR, is damaged or cut short, or lists files outside its folder.
    """
    path = Path(path)
    with plain_errors(path):
        if not is_dicomdir(path):
            raise ReadError("not a DICOMDIR")
        there: dict[Path, None] = {}
        missing: dict[Path, None] = {}
        # One CD has few folders and many files in each, so each folder is read once.
        entries = cache(_entries)
        for parts in _file_ids(path):
            place = path.parent
            for part in parts:
                place = _found(place, part, entries(place)) if place.is_dir() else place / part
            (there if place.is_file() else missing)[place] = None
    return list(there), list(missing)


def _file_ids(path: Path) -> Iterator[list[str]]:
    """Yield the components of the ReferencedFileID of each image."""
    for record in _records(path):
        in_use = tags.whole(record, "RecordInUseFlag") != _NOT_IN_USE
        if not in_use or (tags.text(record, "DirectoryRecordType") or "").upper() != "IMAGE":
            continue
        # Some writers put the whole path into one component.
        components = [part.strip(" \0") for text in tags.texts(record, "ReferencedFileID") for part in text.split("/")]
        parts = [part for part in components if part not in ("", ".")]
        if not parts:
            raise ReadError("the DICOMDIR has a record of an image that names no file", fix=_WITHOUT)
        if ".." in parts or any(re.match("[A-Za-z]:", part) for part in parts):
            raise ReadError("the DICOMDIR lists files outside its folder", fix=_WITHOUT)
        yield parts


def _records(path: Path) -> list[Dataset]:
    from pydicom import config
    from pydicom.filereader import read_partial

    damaged = ReadError("the DICOMDIR is damaged or cut short", fix=_WITHOUT)
    ends: list[int] = []
    with config.disable_value_validation(), path.open("rb") as file:
        try:
            dataset = read_partial(file, stop_when=_noting(file, ends), specific_tags=[_RECORDS])
            records = list(tags.items(dataset, "DirectoryRecordSequence"))
        except Exception as error:
            raise damaged from error
    # pydicom gives what it has where the sequence is cut short; one of undefined length it refuses itself.
    if not ends or ends[0] > path.stat().st_size:
        raise damaged
    return records


def _noting(file: BinaryIO, ends: list[int]) -> Callable[[int, str | None, int], bool]:
    """Return a condition for `read_partial` that never stops it, but notes where the records are to end."""

    def note(tag: int, vr: str | None, length: int) -> bool:
        if tag == _RECORDS:
            ends.append(0 if length == _UNDEFINED else file.tell() + length)
        return False

    return note


def _found(folder: Path, name: str, entries: dict[str, str]) -> Path:
    """Return the entry of a folder that a name means; where there is none, the name as it is."""
    place = folder / name
    return place if place.exists() else folder / entries.get(_plain(name), name)


def _entries(folder: Path) -> dict[str, str]:
    """Return plain name → name of everything in a folder; of two that differ by case only, the first in order."""
    return {_plain(entry.name): entry.name for entry in sorted(folder.iterdir(), reverse=True)}


def _plain(name: str) -> str:
    return re.sub(r";\d+$", "", name).rstrip(".").upper()
