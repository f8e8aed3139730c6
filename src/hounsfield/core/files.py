"""Writing files so that a crash never leaves half of one, and reading them back with clear errors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from hounsfield.errors import HounsfieldError, OutputError, UsageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it replaces `path` in one step."""
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(
            f"cannot write: {error.strerror or error}", where=path, fix="Choose a writable place with room."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    """Create a folder and its parents, and make sure that it can be written to.

    Raises
    ------
    OutputError
        If the folder cannot be made or is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot create the folder: {error.strerror or error}", where=path, fix="Choose another place with --out."
        ) from error
    if not os.access(path, os.W_OK):
        raise OutputError("the folder is not writable", where=path, fix="Choose another place with --out.")
    return path


def make_private(path: Path) -> None:
    """Make an empty file that its owner alone may read, or take the rights of others from one that is there.

    One that is there is not opened: closing it again would end the lock that this process may have on it (fcntl(2)).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    path.chmod(0o600)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")  # the same bytes, and digest, on every system


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n")


def write_yaml(path: Path, value: Any, header: str = "") -> None:
    body = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=118, default_flow_style=None)
    write_text(path, header + body)


def read_json(path: Path, kind: type[HounsfieldError] = UsageError) -> Any:
    """Read a JSON file; a missing or malformed one raises `kind`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise kind("the file is missing", where=path) from error
    except (ValueError, OSError, RecursionError) as error:
        raise kind(f"the file cannot be read as JSON: {error}", where=path) from error


def read_yaml(path: Path, kind: type[HounsfieldError] = UsageError) -> Any:
    """Read a YAML file with the safe loader; a missing or malformed one raises `kind`."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise kind("the file is missing", where=path) from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise kind(f"the file cannot be read as YAML: {line}{error.problem}", where=path) from error
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        raise kind(f"the file cannot be read as YAML: {type(error).__name__}", where=path) from error
