"""DCMTK's programs, run beside Hounsfield: pictures (dcm2pnm), decompressed files (dcmdjpeg and its kin), header values."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
from pydicom.uid import UID

from tests.read.conformance.independent import run

_TOKEN = re.compile(rb"(?:\s|#[^\n]*\n)*(\S+)")


def picture(path: Path, out: Path, *options: str, syntax: str = "") -> np.ndarray | None:
    """Return the 8-bit picture that DCMTK shows of a file's first frame: (rows, columns) or (rows, columns, 3).

    None where DCMTK cannot: it has no JPEG 2000, and no samples of 32 bits in colour. Overlays are not drawn.
    """
    out.unlink(missing_ok=True)
    run(_shower(syntax), "-O", "+op", *options, path, out)
    return read_pnm(out.read_bytes()) if out.exists() else None


def _shower(syntax: str) -> str:
    name = UID(syntax).name if syntax else ""
    if "JPEG-LS" in name:
        return "dcml2pnm"
    return "dcmj2pnm" if name.startswith("JPEG") and "2000" not in name else "dcm2pnm"


def decompressed(path: Path, out: Path, syntax: str) -> Path | None:
    """Write the file without its compression, and return where; None where DCMTK does not know it."""
    name = UID(syntax).name
    if "RLE" in name:
        tool = "dcmdrle"
    elif "JPEG-LS" in name:
        tool = "dcmdjpls"
    elif name.startswith("JPEG") and "2000" not in name:
        tool = "dcmdjpeg"
    else:
        return None
    out.unlink(missing_ok=True)
    done = run(tool, path, out)
    return out if done.returncode == 0 and out.exists() else None


def read_pnm(raw: bytes) -> np.ndarray:
    """Return the samples of a binary PGM or PPM with 8 bits."""
    position, words = 0, []
    while len(words) < 4:
        match = _TOKEN.match(raw, position)
        assert match is not None
        words.append(match[1])
        position = match.end()
    kind, width, height, top = words[0], *(int(word) for word in words[1:])
    assert kind in (b"P5", b"P6") and top == 255
    shape = (height, width, 3) if kind == b"P6" else (height, width)
    return np.frombuffer(raw, np.uint8, int(np.prod(shape)), position + 1).reshape(shape)


@cache
def values_of(path: Path) -> dict[str, list[str]]:
    """Return the top-level elements of a file as dcmdump prints them: "0028,1050" → ["40"]."""
    printed = run("dcmdump", "-q", "+L", "+sb", "7fe0,0010", path).stdout.decode("latin-1")
    found = {}
    for line in printed.splitlines():
        match = re.match(r"\(([0-9a-f]{4},[0-9a-f]{4})\) (\w\w) (?:\[([^]]*)\]|(=\w+|[^ #]+))", line)
        if match:
            value = match[3] if match[3] is not None else match[4]
            found[match[1]] = [] if value == "(no" else value.strip().split("\\")  # (no value available)
    return found


def numbers(values: dict[str, list[str]], tag: str) -> list[float]:
    """Return the numbers of an element, none where it is missing, empty or not a number."""
    try:
        return [float(word) for word in values.get(tag, []) if word]
    except ValueError:
        return []
