"""Damage done to DICOM files: bits, runs of bytes, lengths, tags, numbers, fragments, splices. All from one generator."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_LONG = (b"OB", b"OW", b"OD", b"OF", b"OL", b"SQ", b"UC", b"UN", b"UR", b"UT")
_SHORT = (
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST",
    b"TM", b"UI", b"UL", b"US",
)  # fmt: skip
_ELEMENT = re.compile(b"[\\x00-\\xff]{4}(" + b"|".join((*_LONG, *_SHORT)) + b")", re.DOTALL)
_ITEM = re.compile(b"\xfe\xff\x00\xe0", re.DOTALL)
_LENGTHS = (0, 1, 2, 3, 7, 8, 0xFF, 0x7FFF, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    9,
    12,
    15,
    16,
    17,
    24,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    256,
    1023,
    4096,
    32767,
    32768,
    65535,
)
_TEXTS = (
    b"0", b"-1", b"1", b"2", b"9", b"64", b"1000", b"99999", b"999999999", b"2147483647", b"2147483648", b"4294967296",
    b"-99999999999", b"1e9", b"1E400", b"nan", b"inf", b"-inf", b"0.0", b"1e-300", b"", b"\\", b"\\\\\\", b"1\\2", b"abc",
    b"\x00\x00", b"\xff\xfe\xfd", b"1.2.3.4.5.6.7.8.9.10",
)  # fmt: skip
_WORDS = (
    b"MONOCHROME1", b"MONOCHROME2", b"PALETTE COLOR", b"RGB", b"YBR_FULL", b"YBR_FULL_422", b"YBR_RCT", b"YBR_ICT", b"HSV",
    b"CT", b"MR", b"SEG", b"MOSAIC", b"LOCALIZER",
)  # fmt: skip
_SYNTAXES = (
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99",
    b"1.2.840.10008.1.2.5", b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51", b"1.2.840.10008.1.2.4.57",
    b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.81", b"1.2.840.10008.1.2.4.90",
    b"1.2.840.10008.1.2.4.91", b"1.2.840.10008.1.2.4.201", b"1.2.840.10008.1.2.4.100",
)  # fmt: skip
# Elements on which the size of the picture depends, little endian: group 0028.
_SIZES = tuple(bytes((0x28, 0, element, 0)) for element in (0x02, 0x06, 0x08, 0x10, 0x11))
_DEPTHS = tuple(bytes((0x28, 0, element, 1)) for element in (0x00, 0x01, 0x02, 0x03))


@dataclass(frozen=True)
class Element:
    """Where an element lies: its tag, its length field (of 2 or 4 bytes) and its value."""

    tag: int
    vr: bytes
    length: int
    wide: bool
    start: int
    size: int


def elements(raw: bytes) -> list[Element]:
    """Return what looks like elements, at every depth: by their value representation, or by walking where it is implicit."""
    found = []
    for match in _ELEMENT.finditer(raw):
        at, vr = match.start(), match[1]
        wide = vr in _LONG
        if at + 12 > len(raw):
            break
        size = struct.unpack_from("<I", raw, at + 8)[0] if wide else struct.unpack_from("<H", raw, at + 6)[0]
        found.append(Element(at, vr, at + (8 if wide else 6), wide, at + (12 if wide else 8), min(size, len(raw))))
    return found or _implicit(raw)


def _implicit(raw: bytes) -> list[Element]:
    found, at = [], 132 if raw[128:132] == b"DICM" else 0
    while at + 8 <= len(raw):
        size = struct.unpack_from("<I", raw, at + 4)[0]
        if at + 8 + size > len(raw):
            break
        found.append(Element(at, b"", at + 4, True, at + 8, size))
        at += 8 + size
    return found


def mutate(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Return a damaged copy: one kind of damage, now and then two or three."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        damage = KINDS[int(rng.integers(len(KINDS)))]
        raw = damage(raw, others, rng) if len(raw) > 200 else raw
    return raw


def _place(raw: bytes, rng: np.random.Generator) -> int:
    """Pick a place: anywhere, or as often in the first part, where the header is."""
    return int(rng.integers(len(raw) if rng.random() < 0.5 else min(len(raw), 4000)))


def _run(rng: np.random.Generator) -> int:
    return int(2 ** rng.uniform(0, 10))


def _put(raw: bytes, at: int, new: bytes, replaced: int | None = None) -> bytes:
    return raw[:at] + new + raw[at + (len(new) if replaced is None else replaced) :]


def _flip_bits(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    damaged = bytearray(raw)
    for _ in range(int(rng.integers(1, 17))):
        damaged[_place(raw, rng)] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def _zero(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return _put(raw, _place(raw, rng), bytes([int(rng.choice([0, 0, 255]))]) * _run(rng))


def _replace(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return _put(raw, _place(raw, rng), rng.bytes(_run(rng)))


def _insert(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return _put(raw, _place(raw, rng), rng.bytes(_run(rng)), 0)


def _delete(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return _put(raw, _place(raw, rng), b"", _run(rng))


def _repeat(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    at, count = _place(raw, rng), _run(rng)
    return _put(raw, at, raw[at : at + count] * int(rng.integers(2, 20)), count)


def _truncate(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return raw[: _place(raw, rng)]


def _pick(raw: bytes, rng: np.random.Generator, *vrs: bytes) -> Element | None:
    known = [element for element in elements(raw) if not vrs or element.vr in vrs or not element.vr]
    return known[int(rng.integers(len(known)))] if known else None


def _length(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    element = _pick(raw, rng)
    if element is None:
        return raw
    near = element.size + int(rng.integers(-9, 10))
    new = int(rng.choice(_LENGTHS)) if rng.random() < 0.5 else max(0, near)
    return _put(raw, element.length, struct.pack("<I", new) if element.wide else struct.pack("<H", new & 0xFFFF))


def _tag(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    element, other = _pick(raw, rng), _pick(raw, rng)
    if element is None or other is None:
        return raw
    new = rng.bytes(4) if rng.random() < 0.5 else raw[other.tag : other.tag + 4]
    return _put(raw, element.tag, new)


def _vr(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    element = _pick(raw, rng, *_LONG, *_SHORT)
    if element is None or not element.vr:
        return raw
    every = (*_LONG, *_SHORT)
    new = rng.bytes(2) if rng.random() < 0.3 else every[int(rng.integers(len(every)))]
    return _put(raw, element.tag + 4, new)


def _number(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    element = _pick(raw, rng, b"US", b"SS", b"UL", b"SL")
    if element is None:
        return raw
    return _put(raw, element.start, struct.pack("<H", int(rng.choice(_NUMBERS)))) if element.size >= 2 else raw


def _picture_size(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change Rows, Columns, SamplesPerPixel, NumberOfFrames, or the bits of a sample."""
    wanted = _SIZES if rng.random() < 0.6 else _DEPTHS
    known = [element for element in elements(raw) if raw[element.tag : element.tag + 4] in wanted]
    if not known:
        return raw
    element = known[int(rng.integers(len(known)))]
    if element.vr == b"IS" or raw[element.tag + 2 : element.tag + 4] == b"\x08\x00":
        return _resize(raw, element, _TEXTS[int(rng.integers(len(_TEXTS)))])
    return _put(raw, element.start, struct.pack("<H", int(rng.choice(_NUMBERS))))


def _text(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    element = _pick(raw, rng, b"IS", b"DS", b"CS", b"UI")
    if element is None:
        return raw
    known = _TEXTS + _WORDS + _SYNTAXES
    return _resize(raw, element, known[int(rng.integers(len(known)))])


def _syntax(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    known = [element for element in elements(raw) if raw[element.tag : element.tag + 4] == b"\x02\x00\x10\x00"]
    return _resize(raw, known[0], _SYNTAXES[int(rng.integers(len(_SYNTAXES)))]) if known else raw


def _resize(raw: bytes, element: Element, new: bytes) -> bytes:
    """Replace a value, and write its new length, so that the rest of the file stays readable."""
    new += b" " * (len(new) % 2)
    grown = _put(raw, element.start, new, element.size)
    return _put(grown, element.length, struct.pack("<I" if element.wide else "<H", len(new)))


def _fragment(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Change the length of an item, or the first bytes of a compressed picture, where it states its own size."""
    items = [match.start() for match in _ITEM.finditer(raw)]
    if not items:
        return _number(raw, others, rng)
    at = items[int(rng.integers(max(0, len(items) - 12), len(items)))]  # the pixels come last
    if rng.random() < 0.4:
        return _put(raw, at + 4, struct.pack("<I", int(rng.choice(_LENGTHS))))
    damaged = bytearray(raw)
    for _ in range(int(rng.integers(1, 9))):
        damaged[min(len(raw) - 1, at + 8 + int(rng.integers(0, 200)))] = int(rng.integers(256))
    return bytes(damaged)


def _splice(raw: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    other = others[int(rng.integers(len(others)))]
    if rng.random() < 0.5:  # the header of one with the pixels of the other
        one, two = raw.rfind(b"\xe0\x7f\x10\x00"), other.rfind(b"\xe0\x7f\x10\x00")
        if min(one, two) > 0:
            return raw[:one] + other[two:]
    return raw[: _place(raw, rng)] + other[_place(other, rng) :]


KINDS: tuple[Callable[[bytes, Sequence[bytes], np.random.Generator], bytes], ...] = (
    _flip_bits, _zero, _replace, _insert, _delete, _repeat, _truncate, _length, _tag, _vr, _number, _picture_size,
    _picture_size, _text, _syntax, _fragment, _fragment, _splice,
)  # fmt: skip
