"""A bundle as one file: always the same bytes, and nothing that a foreign file holds is trusted."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hounsfield.core import Bundle, archive
from hounsfield.core.digest import digest_file
from hounsfield.core.manifest import CORE, MANIFEST
from hounsfield.errors import BundleError, HounsfieldError, OutputError, UsageError

Entries = dict[str, tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture
def packed(bundle: Bundle, tmp_path: Path) -> Path:
    return bundle.pack(tmp_path / "out" / "model.hounsfield")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where bundles are unpacked: nothing may be left there of one that was refused."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def entries(path: Path) -> Entries:
    with zipfile.ZipFile(path) as found:
        return {entry.filename: (entry, found.read(entry)) for entry in found.infolist()}


def extents(path: Path) -> dict[str, range]:
    """Where the bytes of each member lie."""
    whole, found = path.read_bytes(), {}
    for name, (entry, content) in entries(path).items():
        start = whole.index(content, entry.header_offset)
        found[name] = range(start, start + len(content))
    return found


def write(path: Path, changed: Entries | list[tuple[zipfile.ZipInfo, bytes]], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as made:
        for entry, content in changed.values() if isinstance(changed, dict) else changed:
            made.writestr(entry, content, compress_type=kind)
    return path


def refused(path: Path, words: str, temporary: Path) -> BundleError:
    with pytest.raises(BundleError, match=words) as caught:
        Bundle.load(path)
    assert caught.value.where is not None and caught.value.where.startswith(str(path))
    assert str(temporary) not in str(caught.value).replace(str(path), "")
    assert list(temporary.iterdir()) == [], "nothing is left of what was refused"
    return caught.value


def test_comes_back_as_it_was_packed(bundle: Bundle, packed: Path) -> None:
    again = Bundle.load(packed)
    assert again.folder != bundle.folder
    for name in ("plan", "recipe", "labels", "positive", "calibration", "reference", "core_digest"):
        assert getattr(again, name) == getattr(bundle, name)
    for name in (*CORE, "parity.json", MANIFEST):
        assert (again.folder / name).read_bytes() == (bundle.folder / name).read_bytes()
    assert list(packed.parent.iterdir()) == [packed]
    assert again.folder.stat().st_mode & 0o077 == 0


def test_the_same_bundle_gives_the_same_bytes(bundle: Bundle, packed: Path, tmp_path: Path) -> None:
    wanted = digest_file(packed)
    assert digest_file(bundle.pack(packed)) == wanted, "over the older one"
    assert digest_file(Bundle.load(packed).pack(tmp_path / "again.hounsfield")) == wanted
    for number, name in enumerate(("one", "deeper/two")):
        copy = tmp_path / name
        shutil.copytree(bundle.folder, copy)
        for path in sorted(copy.iterdir(), reverse=number == 0):
            os.utime(path, (1e9 + number, 1e9 + number))
            path.chmod((0o600, 0o755)[number])
        (copy / "library.npy").write_bytes(b"embeddings of training cases")
        (copy / "notes").mkdir()
        assert digest_file(Bundle.load(copy).pack(tmp_path / f"{number}.hounsfield")) == wanted


def test_the_order_of_attaching_leaves_no_trace(bundle: Bundle, tmp_path: Path) -> None:
    for number, order in enumerate((("b.md", "a.md"), ("a.md", "b.md"))):
        copy = tmp_path / str(number)
        shutil.copytree(bundle.folder, copy)
        for name in order:
            (tmp_path / name).write_text(name)
            Bundle.load(copy).attach(name, tmp_path / name)
        Bundle.load(copy).pack(tmp_path / f"{number}.hounsfield")
    assert (tmp_path / "0.hounsfield").read_bytes() == (tmp_path / "1.hounsfield").read_bytes()


def test_what_is_in_the_file(packed: Path) -> None:
    """Nothing of the machine, the day or the library; any tool can open it."""
    found = entries(packed)
    assert list(found) == [MANIFEST, *CORE, "parity.json"]
    for entry, content in found.values():
        assert entry.date_time == (1980, 1, 1, 0, 0, 0) and entry.create_system == 3
        assert entry.external_attr == (stat.S_IFREG | 0o644) << 16
        assert entry.compress_type == zipfile.ZIP_STORED and entry.file_size == len(content)
        assert (entry.comment, entry.extra, entry.flag_bits) == (b"", b"", 0)


def test_only_members_are_packed_and_attachments_can_be_left_out(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.folder / "embeddings.npy").write_bytes(b"of training cases")
    (bundle.folder / ".hidden").write_text("")
    assert list(entries(bundle.pack(tmp_path / "all.hounsfield"))) == [MANIFEST, *CORE, "parity.json"]
    less = bundle.pack(tmp_path / "less.hounsfield", without=["parity.json"])
    assert list(entries(less)) == [MANIFEST, *CORE]
    assert Bundle.load(less).core_digest == bundle.core_digest
    assert (bundle.folder / "parity.json").exists()
    for name, words in (("model.onnx", "not in this bundle"), ("plan.yaml", "sealed core"), (MANIFEST, "not in this")):
        with pytest.raises(BundleError, match=words):
            bundle.pack(tmp_path / "none.hounsfield", without=[name])
    assert not (tmp_path / "none.hounsfield").exists()


def test_what_cannot_be_packed(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.hounsfield"):
        bundle.pack(tmp_path / "model.zip")
    (tmp_path / "taken.hounsfield").mkdir()
    with pytest.raises(OutputError):
        bundle.pack(tmp_path / "taken.hounsfield")
    bundle.weights.write_bytes(b"other")
    with pytest.raises(BundleError, match="changed") as caught:
        bundle.pack(tmp_path / "model.hounsfield")
    assert caught.value.where == str(bundle.weights)
    cooler = bundle.calibration.model_copy(update={"temperature": 1.9})
    shutil.copyfile(tmp_path / "any.safetensors", bundle.weights)
    Bundle.seal(
        bundle.folder, plan=bundle.plan, recipe=bundle.recipe, calibration=cooler, reference={}, weights=bundle.weights
    )
    with pytest.raises(BundleError, match="meanwhile"):
        bundle.pack(tmp_path / "model.hounsfield")
    assert not [path for path in tmp_path.iterdir() if path.is_file() and "hounsfield" in path.name]


def test_the_temporary_folder_goes_with_the_process(packed: Path, temporary: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hounsfield.core import Bundle\n"
        "one, two = (Bundle.load(Path(sys.argv[1])) for _ in range(2))\n"
        "assert one.folder != two.folder and one.weights.is_file()\n"
        "print(one.folder.parent)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(packed)], env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True,
        text=True, check=True, timeout=120,
    )  # fmt: skip
    assert told.stdout.strip() == str(temporary)
    assert list(temporary.iterdir()) == []


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_one_byte_of_the_file(bundle: Bundle, packed: Path, temporary: Path, share: float, mask: int) -> None:
    """It is found; one of a member is found in that member."""
    good = packed.read_bytes()
    place = int(share * len(good))
    content = bytearray(good)
    content[place] ^= mask
    changed = packed.with_name("changed.hounsfield")
    changed.write_bytes(content)
    error = refused(changed, ".", temporary)
    for name, inside in extents(packed).items():
        assert place not in inside or error.where == str(changed / name)


def test_each_byte_that_is_of_no_member(packed: Path, temporary: Path) -> None:
    """Names, sizes, dates, places, rights: what stands around the members."""
    good = packed.read_bytes()
    inside = {place for extent in extents(packed).values() for place in extent}
    around = [place for place in range(len(good)) if place not in inside]
    assert len(around) == 22 + sum(30 + 46 + 2 * len(name) for name in extents(packed)), "all of its heads and its end"
    changed = packed.with_name("changed.hounsfield")
    for number, place in enumerate(around):
        content = bytearray(good)
        content[place] ^= (1, 0x20, 0x80, 0xFF)[number % 4]
        changed.write_bytes(content)
        with pytest.raises(BundleError), archive.unpacked(changed):  # what the members say has no part in it
            pass
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("before", "after"), [(b"#!/bin/sh\n", b""), (b"", b"more"), (b"\0", b"\0" * 70_000)])
def test_something_beside_the_members(packed: Path, temporary: Path, before: bytes, after: bytes) -> None:
    packed.write_bytes(before + packed.read_bytes() + after)
    refused(packed, r"changed after it was packed|damaged, or no packed bundle", temporary)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut(packed: Path, temporary: Path, share: float) -> None:
    content = packed.read_bytes()
    cut = packed.with_name("cut.hounsfield")
    cut.write_bytes(content[: int(share * len(content))])
    refused(cut, "damaged, or no packed bundle", temporary)


@pytest.mark.parametrize("name", [*CORE, "parity.json"])
def test_a_changed_member_is_named(packed: Path, temporary: Path, name: str) -> None:
    """Changed by somebody who can make zips, so that the checksums of the zip fit."""
    found = entries(packed)
    content = bytearray(found[name][1])
    content[len(content) // 2] ^= 1
    found[name] = (found[name][0], bytes(content))
    error = refused(write(packed, found), "changed after it was sealed", temporary)
    assert error.where == str(packed / name)


@pytest.mark.parametrize("name", [*CORE, "parity.json", MANIFEST])
def test_a_missing_member_is_named(packed: Path, temporary: Path, name: str) -> None:
    found = entries(packed)
    del found[name]
    error = refused(write(packed, found), r"missing|no manifest", temporary)
    assert name in str(error)


@pytest.mark.parametrize(
    ("kind", "words"), [(zipfile.ZIP_DEFLATED, "is compressed"), (zipfile.ZIP_STORED, "another tool packed it")]
)
def test_a_zip_that_another_tool_made_of_a_bundle(
    bundle: Bundle, packed: Path, temporary: Path, tmp_path: Path, kind: int, words: str
) -> None:
    """It may hold more than one sees; its folder is loaded as any."""
    found = [(zipfile.ZipInfo(name), content) for name, (_, content) in entries(packed).items()]
    assert "unzip it" in str(refused(write(packed, found[::-1], kind), words, temporary))
    with zipfile.ZipFile(packed) as other:
        other.extractall(tmp_path / "unzipped")
    assert Bundle.load(tmp_path / "unzipped").core_digest == bundle.core_digest


def linked(entry: zipfile.ZipInfo) -> None:
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16


def device(entry: zipfile.ZipInfo) -> None:
    entry.external_attr = (stat.S_IFCHR | 0o666) << 16


def folder(entry: zipfile.ZipInfo) -> None:
    entry.external_attr = 0x10


@pytest.mark.parametrize("change", [linked, device, folder])
@pytest.mark.parametrize("name", [MANIFEST, "plan.yaml", "parity.json"])
def test_what_is_no_plain_file(
    packed: Path, temporary: Path, change: Callable[[zipfile.ZipInfo], None], name: str
) -> None:
    found = entries(packed)
    change(found[name][0])
    found[name] = (found[name][0], b"../../../etc/passwd")
    assert name in refused(write(packed, found), "a link, a folder or a device", temporary).what


@pytest.mark.parametrize(
    "name",
    ["../up.json", "/abs.json", "a/b.json", "a/", "./a.json", "..", ".", "..\\up.json", "C:up.json", "C:\\up.json", "\\\\host\\a.json",
     "a\0.json", "a\n.json", ".a.json", "ä.json", "x" * 101, " plan.yaml", "plan.yaml "],
)  # fmt: skip
def test_a_name_that_leads_elsewhere(packed: Path, temporary: Path, tmp_path: Path, name: str) -> None:
    before = {path for path in tmp_path.rglob("*") if path != packed}
    found = list(entries(packed).values())
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = entry.orig_filename = name
    refused(write(packed, [*found, (entry, b"x")]), "lead out of the bundle", temporary)
    assert {path for path in tmp_path.rglob("*") if path != packed} == before


@pytest.mark.parametrize("name", ["plan.yaml", MANIFEST, "Plan.yaml", "MANIFEST.JSON"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice(packed: Path, temporary: Path, name: str) -> None:
    found = list(entries(packed).values())
    refused(write(packed, [*found, (zipfile.ZipInfo(name), b"{}")]), "is there twice", temporary)


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "library.npy", "run.sh", "card.md", "hounsfield.json"])
def test_what_the_manifest_does_not_name(packed: Path, temporary: Path, name: str) -> None:
    found = list(entries(packed).values())
    error = refused(write(packed, [*found, (zipfile.ZipInfo(name), b"\x80\x04N.")]), "not in the manifest", temporary)
    assert error.where == str(packed / name)


def test_too_many_members(packed: Path, temporary: Path) -> None:
    found = list(entries(packed).values())
    more = [(zipfile.ZipInfo(f"{number}.md"), b"") for number in range(100)]
    refused(write(packed, [*found, *more]), "has 108 members", temporary)


@pytest.mark.parametrize("name", ["plan.yaml", MANIFEST])
def test_a_bomb(packed: Path, temporary: Path, name: str) -> None:
    found = entries(packed)
    found[name] = (found[name][0], bytes(30_000_000))
    write(packed, found, zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 100_000
    refused(packed, "is compressed", temporary)


def test_entries_that_share_their_bytes(packed: Path, temporary: Path) -> None:
    """Overlapping entries unpack to more than there is (Fifield, WOOT 2019): their sizes count each time."""
    found = list(entries(packed).values())
    kernel = ("a.md", bytes(20_000))
    names = [f"{number}.md" for number in range(40)]
    write(packed, [*found, (zipfile.ZipInfo(kernel[0]), kernel[1])])
    with zipfile.ZipFile(packed, "a") as made:
        entry = made.getinfo(kernel[0])
        for name in names:
            copy = zipfile.ZipInfo(name)
            for field in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
                setattr(copy, field, getattr(entry, field))
            made.filelist.append(copy)
            made._didModify = True  # type: ignore[attr-defined]
    refused(packed, "members are said to have", temporary)


def test_more_than_the_disk_holds(packed: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(temporary)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    refused(packed, "cannot be unpacked: .* bytes are needed", temporary)


@pytest.mark.parametrize("change", [-5, 7, 2**31])
@pytest.mark.parametrize("field", [20, 24])
def test_a_size_that_lies(packed: Path, temporary: Path, change: int, field: int) -> None:
    """What the table of contents says of a member's size, as it is packed and as it was."""
    content = bytearray(packed.read_bytes())
    place = content.rindex(b"PK\x01\x02", 0, content.rindex(b"plan.yaml")) + field
    (size,) = struct.unpack_from("<I", content, place)
    struct.pack_into("<I", content, place, (size + change) % 2**32)
    packed.write_bytes(content)
    refused(packed, ".", temporary)


def test_the_copy_stops_where_the_size_is_reached(
    packed: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a version of the library does with sizes that lie."""
    written: list[int] = []

    class Endless:
        def __enter__(self) -> Endless:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self, count: int) -> bytes:
            written.append(count)
            return bytes(count)

    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: Endless())
    refused(packed, "another size", temporary)
    assert len(written) == 1


@pytest.mark.parametrize(("field", "words"), [("flag_bits", "encrypted"), ("compress_type", "compressed")])
def test_encrypted_or_compressed(packed: Path, temporary: Path, field: str, words: str) -> None:
    content = bytearray(packed.read_bytes())
    start = content.rindex(b"PK\x01\x02", 0, content.rindex(b"plan.yaml"))
    content[start + {"flag_bits": 8, "compress_type": 10}[field]] = {"flag_bits": 1, "compress_type": 14}[field]
    packed.write_bytes(content)
    assert "plan.yaml" in refused(packed, words, temporary).what


@pytest.mark.parametrize("content", [b"", b"words", b"PK\x05\x06" + bytes(18), b"\x80\x04N.", bytes(1000)])
def test_what_is_no_packed_bundle(tmp_path: Path, temporary: Path, content: bytes) -> None:
    (tmp_path / "x.hounsfield").write_bytes(content)
    refused(tmp_path / "x.hounsfield", "no packed bundle", temporary)


def test_an_older_and_a_newer_version(bundle: Bundle, packed: Path, temporary: Path) -> None:
    found = entries(packed)
    text = found[MANIFEST][1]
    found[MANIFEST] = (found[MANIFEST][0], text.replace(b'"schema_version": 2', b'"schema_version": 3'))
    assert "pip install" in str(refused(write(packed, found), "newer Hounsfield", temporary))


def test_what_goes_wrong_while_it_is_read_leaves_nothing(packed: Path, temporary: Path) -> None:
    with pytest.raises(KeyboardInterrupt), archive.unpacked(packed):
        raise KeyboardInterrupt
    with pytest.raises(HounsfieldError), archive.unpacked(packed):
        raise HounsfieldError("no place is known")
    assert list(temporary.iterdir()) == []
