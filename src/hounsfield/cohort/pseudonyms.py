"""Pseudonyms: keyed hashes of patients, studies, series and files. One secret key per project."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from hounsfield.core import files
from hounsfield.errors import OutputError, UsageError


class Pseudonyms:
    """Turns identifiers into short keyed hashes (HMAC-SHA256), the same for the same key and kind."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, kind: str, identifier: str) -> str:
        """Return e.g. `patient-3f2a90c1d4e5` for an identifier. 48 bits: a clash among 100,000 has odds of 1 in 50,000."""
        mark = hmac.new(self._key, f"{kind}\0{identifier}".encode(), hashlib.sha256).hexdigest()
        return f"{kind}-{mark[:12]}"


def default_key_file() -> Path:
    """Return where the project's key lives when no --key-file is given; HOUNSFIELD_KEY_FILE changes it."""
    named = os.environ.get("HOUNSFIELD_KEY_FILE")
    return Path(named) if named else Path(platformdirs.user_config_dir("hounsfield")) / "project.key"


def load_key(path: Path | None = None) -> bytes:
    """Read the project's key; make it, readable by the owner alone, where there is none.

    Raises
    ------
    UsageError
        If the file holds no key.
    """
    place = path or default_key_file()
    if not place.exists():
        files.make_folder(place.parent)
        try:
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return load_key(path)
        except OSError as error:
            raise OutputError(f"cannot write the project's key: {error.strerror}", where=place) from error
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    try:
        key = bytes.fromhex(place.read_text().strip())
    except (OSError, ValueError) as error:
        raise UsageError("the key file cannot be read as a key", where=place, fix="Give another --key-file.") from error
    if len(key) < 16:
        raise UsageError("the key is too short to protect anyone", where=place, fix="Give another --key-file.")
    return key
