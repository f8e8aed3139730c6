"""What a worker process does with one file of a scan: read its headers, mark its content, or unpack it.

Results are text, so that the parent writes them down without making an object of each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from hounsfield.cohort.packing import pack
from hounsfield.core.digest import digest_file
from hounsfield.errors import HounsfieldError
from hounsfield.read import Header, read_headers, read_image

State = Literal["image", "aside", "archive"]
Marking = Literal["bytes", "members"]


class Outcome(NamedTuple):
    """What reading a file gave.

    Attributes
    ----------
    state, content:
        "image" and its packed headers; "aside" and the reason; or "archive", to be unpacked.
    fleeting:
        Whether the same file may give something else another time, such as one without permission to read.
    marking:
        How equal content is found where no UID tells: by the bytes of the file, or member by member.
    also:
        (path beside the file, reason) of other files that this one names and that are not there.
    """

    state: State
    content: str | None = None
    fleeting: bool = False
    marking: Marking | None = None
    also: tuple[tuple[str, str], ...] = ()


def read_file(path: str) -> Outcome:
    """Read the headers of one file."""
    try:
        headers = read_headers(Path(path))
    except HounsfieldError as error:
        return _refused(Path(path), error)
    if not headers:
        return Outcome("aside", "the file holds no image")
    return Outcome("image", pack(headers), marking=_marking(headers))


def byte_marks(path: str) -> list[str | None]:
    """Return one mark, of the bytes of a file."""
    return [digest_file(Path(path))]


def member_marks(path: str) -> list[str | None]:
    """Return a mark of the values of every member of a file, read one after the other; None where it has none.

    Raises
    ------
    ReadError
        If a member cannot be read.
    """
    return [read_image(header.source).source for header in read_headers(Path(path))]


def unpack_file(job: tuple[str, str]) -> list[tuple[str, str]]:
    """Unpack an archive (path, folder); return (name, reason) of what was not unpacked.

    Raises
    ------
    ReadError, OutputError
        If it cannot be unpacked; see `hounsfield.read.unpack`.
    """
    from hounsfield.read.unpack import unpack

    path, folder = map(Path, job)
    found = unpack(path, folder)
    # A name in an archive may be no valid text, and no table could hold it.
    return [(name.encode("utf-8", "backslashreplace").decode(), why) for name, why in found.aside]


def _marking(headers: list[Header]) -> Marking | None:
    if any(header.source.member is not None for header in headers):
        return "members"
    # One SOPInstanceUID names one object (PS3.5 section 9), so its bytes need not be read.
    return None if all(header.sop_uid for header in headers) else "bytes"


def _refused(path: Path, error: HounsfieldError) -> Outcome:
    """Judge a file that is no image: an archive of images, a directory of them, or neither."""
    # Imported here: most folders hold neither.
    from hounsfield.read.dicomdir import is_dicomdir, listed_files
    from hounsfield.read.unpack import archive_kind

    try:
        if archive_kind(path) is not None:
            return Outcome("archive")
        if is_dicomdir(path):
            why = "listed in a DICOMDIR, and not there"
            also = tuple((lost.relative_to(path.parent).as_posix(), why) for lost in listed_files(path)[1])
            return Outcome("aside", error.what, fleeting=True, also=also)  # files may come and go beside it
    except HounsfieldError as other:
        return Outcome("aside", f"{error.what}; {other.what}", _may_pass(other))
    except OSError:  # then reading failed for the same reason
        pass
    return Outcome("aside", error.what, _may_pass(error))


def _may_pass(error: HounsfieldError) -> bool:
    """Say whether the machine and not the file was the cause. Decoders raise an OSError without a number for damage."""
    cause = error.__cause__
    return isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno is not None)
