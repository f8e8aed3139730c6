"""Pictures for a page: each read, shrunk and written anew, so that nothing but its pixels comes along."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from hounsfield.errors import UsageError


def embedded(folder: Path, name: str, *, record: str, fix: str, largest: int = 512) -> Markup:
    """Return a picture as a data URI.

    Parameters
    ----------
    folder, name:
        Where the record lies, and what it calls the picture: a path below that folder.
    record, fix:
        The file that names the picture and how to make it anew, for the errors.
    largest:
        The longer side in pixels; larger pictures are made smaller.

    Raises
    ------
    UsageError
        If the picture is missing, unreadable or outside the folder.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UsageError(f"{record} names a picture outside its folder", where=folder / record, fix=fix)
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB") if opened.mode not in ("L", "RGB") else opened.copy()
    except (OSError, UnidentifiedImageError) as error:
        raise UsageError(f"a picture that {record} names cannot be read", where=path, fix=fix) from error
    picture.thumbnail((largest, largest))
    bare = Image.frombytes(picture.mode, picture.size, picture.tobytes())  # leaves text chunks and EXIF behind
    buffer = io.BytesIO()
    bare.save(buffer, format="PNG", optimize=True)
    return Markup("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
