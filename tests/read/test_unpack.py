"""Archives of images: all that is sound comes out, nothing leaves the folder, and nothing vanishes."""

from __future__ import annotations

import gzip
import importlib
import io
import os
import platform
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hounsfield.errors import OutputError, ReadError
from hounsfield.read import kind_of
from hounsfield.read.members import PIECE
from hounsfield.read.unpack import Limits, archive_kind, unpack

MODULE = importlib.import_module("hounsfield.read.unpack")
MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
FILES = {"a/IM1": b"one" * 500, "a/IM 2.dcm": b"", "b/Größe/画像.png": os.urandom(3000)}
DEVICE_TYPES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V")


def make_zip(path: Path, files: dict[str, bytes], **options: object) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name) if "\0" not in name else name, content, zipfile.ZIP_DEFLATED)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            add(archive, name, content)
    return path


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(content))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def nothing_left(folder: Path, *but: Path) -> bool:
    return sorted(folder.iterdir()) == sorted(but)


@pytest.mark.parametrize("kind", ["zip", *MODES])
def test_what_goes_in_comes_out(tmp_path, kind) -> None:
    path = tmp_path / "archive.dcm"  # the name says nothing
    make_zip(path, FILES) if kind == "zip" else make_tar(path, FILES, MODES[kind])
    assert archive_kind(path) == kind[:3]
    assert kind_of(path) is None
    done = unpack(path, tmp_path / "deep" / "out")
    assert done.aside == []
    assert done.files == sorted(done.files)
    assert contents(tmp_path / "deep/out") == FILES
    assert {path.stat().st_mode & 0o777 for path in done.files} == {0o600}
    folders = [path for path in (tmp_path / "deep/out").rglob("*") if path.is_dir()]
    assert {path.stat().st_mode & 0o777 for path in [*folders, tmp_path / "deep/out"]} == {0o700}
    assert (tmp_path / "deep/out.json").stat().st_mode & 0o777 == 0o600
    assert nothing_left(tmp_path / "deep", tmp_path / "deep/out", tmp_path / "deep/out.json")


def test_what_is_no_archive_of_files(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", train_images=np.zeros((2, 3, 3)))
    (tmp_path / "head.nii.gz").write_bytes(gzip.compress(bytes(1000)))
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.eye(4)), tmp_path / "v.nii.gz")
    make_zip(tmp_path / "labels.xlsx", {"[Content_Types].xml": b"<>", "xl/media/logo.png": b"x"})
    (tmp_path / "zeros").write_bytes(bytes(2048))
    (tmp_path / "dicom").write_bytes(b"PK\x03\x04" + bytes(124) + b"DICM")
    (tmp_path / "empty").write_bytes(b"")
    for path in sorted(tmp_path.iterdir()):
        assert archive_kind(path) is None, path.name
        with pytest.raises(ReadError, match="not an archive"):
            unpack(path, tmp_path / "out")
    with pytest.raises(ReadError, match="does not exist"):
        unpack(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_stray_array_makes_no_npz(tmp_path) -> None:
    path = make_zip(tmp_path / "a.zip", {"notes/mean.npy": b"", **FILES})
    assert archive_kind(path) == "zip"
    assert kind_of(path) is None
    path = make_zip(tmp_path / "b.npz", {"train_images.npy": b"", "readme.txt": b""})
    assert archive_kind(path) is None
    assert kind_of(path) == "npz"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil", "out of the folder"),
        ("a/../../evil", "out of the folder"),
        ("/evil", "absolute"),
        ("//evil", "absolute"),
        ("C:evil", "absolute"),
        ("c:/evil", "absolute"),
        ("..\\evil", "backslash"),
        ("a\\evil", "backslash"),
        ("evil\x1b[2J", "control"),
        (".", "no name"),
        ("x" * 300, "too long"),
        ("/".join(["x" * 200] * 30), "too long"),
        ("__MACOSX/._IM1", "macOS"),
        ("a/.DS_Store", "macOS"),
    ],
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_are_not_unpacked(tmp_path, make, name, reason) -> None:
    path = make(tmp_path / "archive", {name: b"evil", "good": b"good"})
    done = unpack(path, tmp_path / "in/here/out")
    assert contents(tmp_path / "in/here/out") == {"good": b"good"}
    assert [(found, reason in why) for found, why in done.aside] == [(name, True)]
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", ["zip", "tar"])
def test_two_members_in_one_place(tmp_path, make) -> None:
    pairs = [("a", b"1"), ("./a", b"2"), ("a", b"3"), ("a/b", b"4"), ("c/d", b"5"), ("c", b"6")]
    path = tmp_path / "archive"
    if make == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in pairs:
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w") as archive:
            for name, content in pairs:
                add(archive, name, content)
    done = unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"a": b"1", "c/d": b"5"}
    assert [name for name, _ in done.aside] == ["./a", "a", "a/b", "c"]
    assert "second" in done.aside[0][1]
    assert "taken" in done.aside[2][1]


def test_links_of_a_tar_reach_nothing(tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    with tarfile.open(tmp_path / "archive", "w") as archive:
        add(archive, "root", type=tarfile.SYMTYPE, linkname="/")
        add(archive, f"root{tmp_path}/evil", b"through the link")
        add(archive, "up", type=tarfile.SYMTYPE, linkname="..")
        add(archive, "up/evil", b"through the link")
        add(archive, "hard", type=tarfile.LNKTYPE, linkname=str(secret))
        add(archive, "hard2", type=tarfile.LNKTYPE, linkname="../secret")
        add(archive, "hard3", type=tarfile.LNKTYPE, linkname="root")
        add(archive, "hard4", type=tarfile.LNKTYPE, linkname="later")
        add(archive, "later", b"later")
        add(archive, "twin", type=tarfile.LNKTYPE, linkname="./later")
    done = unpack(tmp_path / "archive", tmp_path / "out")
    assert contents(tmp_path / "out") == {
        f"root{tmp_path}/evil": b"through the link", "up/evil": b"through the link", "later": b"later", "twin": b"later"
    }  # fmt: skip
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert [name for name, _ in done.aside] == ["root", "up", "hard", "hard2", "hard3", "hard4"]
    assert not (tmp_path / "evil").exists()


def test_devices_and_pipes(tmp_path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number, kind in enumerate(DEVICE_TYPES):
            add(archive, f"special{number}", type=kind)
        add(archive, "folder", type=tarfile.DIRTYPE)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number, mode in enumerate((0o020666, 0o060666, 0o010666, 0o120777)):
            info = zipfile.ZipInfo(f"special{number}")
            info.external_attr = mode << 16
            archive.writestr(info, "/etc/passwd")
        archive.writestr("folder/", "")
    for name in ("a.tar", "a.zip"):
        done = unpack(tmp_path / name, tmp_path / f"{name}.out")
        assert done.files == []
        assert [found for found, _ in done.aside] == [f"special{number}" for number in range(4)]
        assert all("plain files" in why for _, why in done.aside)


def test_encrypted_and_unknown_methods(tmp_path) -> None:
    path = make_zip(tmp_path / "a.zip", {"locked": b"x" * 99, "odd": b"y" * 99, "open": b"z"})
    raw = bytearray(path.read_bytes())
    for magic, flags, method in ((b"PK\x03\x04", 6, 8), (b"PK\x01\x02", 8, 10)):
        first = raw.index(magic)
        raw[first + flags] |= 1
        second = raw.index(magic, first + 4)
        struct.pack_into("<H", raw, second + method, 97)
    path.write_bytes(raw)
    done = unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"open": b"z"}
    assert [name for name, _ in done.aside] == ["locked", "odd"]
    assert "encrypted" in done.aside[0][1] and "password" in done.aside[0][1]
    assert "method" in done.aside[1][1]


def test_damaged_member_of_a_zip(tmp_path) -> None:
    noise = os.urandom(3 * PIECE)
    path = make_zip(tmp_path / "a.zip", {"bad": noise, "good": b"good"})
    raw = bytearray(path.read_bytes())
    raw[2 * PIECE] ^= 0xFF
    path.write_bytes(raw)
    done = unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"good": b"good"}
    assert done.aside[0][0] == "bad" and "damaged" in done.aside[0][1]


def test_size_that_lies(tmp_path) -> None:
    path = make_zip(tmp_path / "a.zip", {"lie": b"1" * 5000})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(struct.pack("<I", 5000), struct.pack("<I", 5)))
    done = unpack(path, tmp_path / "out")
    assert done.files == []
    assert "damaged" in done.aside[0][1]


@pytest.mark.parametrize("kind", ["zip", *MODES])
def test_archives_cut_short(tmp_path, kind) -> None:
    path, files = tmp_path / "archive", {f"IM{number}": os.urandom(100_000) for number in range(20)}
    make_zip(path, files) if kind == "zip" else make_tar(path, files, MODES[kind])
    whole = path.read_bytes()
    for part in (0.6, 0.8):  # bzip2 packs 900 kB at a time, and shows nothing of less than that
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(ReadError, match="cut short") as caught:
            unpack(path, tmp_path / "out")
        assert caught.value.where == str(path)
        assert caught.value.fix
        assert nothing_left(tmp_path, path)


def test_damaged_tar_does_not_end_in_silence(tmp_path) -> None:
    path = make_tar(tmp_path / "archive", {f"IM{number}": b"x" * 600 for number in range(5)})
    whole = path.read_bytes()
    third = whole.index(b"IM2")
    path.write_bytes(whole[:third] + b"junk" + whole[third + 4 :])
    with pytest.raises(ReadError, match="after 2 members"):
        unpack(path, tmp_path / "out")
    path.write_bytes(whole + whole)
    with pytest.raises(ReadError, match="two joined"):
        unpack(path, tmp_path / "out")
    path.write_bytes(whole[:third])
    done = unpack(path, tmp_path / "out")
    assert len(done.files) == 2
    assert "no end mark" in done.aside[0][1]
    path.write_bytes(gzip.compress(whole)[:-8] + b"12345678")  # the check sum stands at the end
    with pytest.raises(ReadError, match="damaged"):
        unpack(path, tmp_path / "gz")


def test_headers_of_impossible_size(tmp_path) -> None:
    path = tmp_path / "archive"
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
        add(archive, "x" * (2 * PIECE), b"")
    with pytest.raises(ReadError, match="impossible size"):
        unpack(path, tmp_path / "out")
    info = tarfile.TarInfo("IM1")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xf6\x00"  # a negative size would lead back to this header for ever
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(bytes(header) + bytes(10240))
    with pytest.raises(ReadError, match=r"impossible size|damaged"):
        unpack(path, tmp_path / "out")
    assert nothing_left(tmp_path, path)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_bombs(tmp_path, kind) -> None:
    path, size = tmp_path / "bomb", 120 * PIECE
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
            for _ in range(120):
                file.write(bytes(PIECE))
    else:
        packing = {"compresslevel": 6} if kind == "tar.gz" else {"preset": 0}
        with tarfile.open(path, MODES[kind], **packing) as archive:
            info = tarfile.TarInfo("zeros")
            info.size = size
            archive.addfile(info, _Zeros())
    assert path.stat().st_size < size / 200
    with pytest.raises(ReadError, match="200 times") as caught:
        unpack(path, tmp_path / "out")
    assert caught.value.where is not None and "trusted" in str(caught.value.fix)
    assert nothing_left(tmp_path, path)


class _Zeros(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def test_small_blank_images_are_no_bomb(tmp_path) -> None:
    path = make_zip(tmp_path / "a.zip", {f"blank{number}": bytes(PIECE) for number in range(20)})
    assert len(unpack(path, tmp_path / "out").files) == 20


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(members=2), "more than 2 members"),
        (Limits(one=2999), "a member of more than"),
        (Limits(total=4000), "needs more than"),
    ],
)
def test_limits(tmp_path, make, limits, words) -> None:
    path = make(tmp_path / "archive", FILES)
    with pytest.raises(ReadError, match=words) as caught:
        unpack(path, tmp_path / "out", limits)
    assert str(path) in caught.value.where
    assert caught.value.fix
    assert nothing_left(tmp_path, path)
    assert len(unpack(path, tmp_path / "out").files) == 3


def test_no_more_than_the_disk_has(tmp_path, monkeypatch) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": os.urandom(2 * PIECE)})
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 9, PIECE))
    with pytest.raises(ReadError, match="needs more than"):
        unpack(path, tmp_path / "out")


def test_archives_inside_are_not_opened(tmp_path) -> None:
    inner_zip = make_zip(tmp_path / "in.zip", {"x": b"x"}).read_bytes()
    inner_tar = make_tar(tmp_path / "in.tgz", {"x": b"x"}, "w:gz").read_bytes()
    np.savez(tmp_path / "in.npz", images=np.zeros((2, 3, 3)))
    npz = (tmp_path / "in.npz").read_bytes()
    files = {"deep/in.dcm": inner_zip, "in.tgz": inner_tar, "set.npz": npz, "v.nii.gz": gzip.compress(b"volume")}
    done = unpack(make_tar(tmp_path / "archive", files), tmp_path / "out")
    assert set(contents(tmp_path / "out")) == {"set.npz", "v.nii.gz"}
    assert [name for name, _ in done.aside] == ["deep/in.dcm", "in.tgz"]
    assert all("inside the archive" in why for _, why in done.aside)


def test_names_in_other_encodings(tmp_path) -> None:
    path = tmp_path / "latin.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        add(archive, "Größe", b"1")
    assert unpack(path, tmp_path / "out").files[0].name == "Größe"
    path = make_zip(tmp_path / "mac.zip", {"Größe": b"1"})
    raw = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        raw[raw.index(magic) + flags] &= ~0x08  # UTF-8, as macOS writes it: without saying so
    path.write_bytes(raw)
    assert unpack(path, tmp_path / "out2").files[0].name == "Größe"


def test_zip64(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, archive.open("IM1", "w", force_zip64=True) as file:
        file.write(b"pixels")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == {"IM1": b"pixels"}


def test_a_finished_folder_is_not_unpacked_again(tmp_path, monkeypatch) -> None:
    path, out = make_zip(tmp_path / "a.zip", {**FILES, "../x": b""}), tmp_path / "out"
    first = unpack(path, out)
    assert len(first.aside) == 1
    with monkeypatch.context() as patch:
        patch.setattr(MODULE._Unpacking, "run", _never)
        assert unpack(path, out) == first
    first.files[0].unlink()
    assert unpack(path, out) == first
    make_zip(path, {"new": b"other archive"})
    assert contents(out) == FILES
    unpack(path, out)
    assert contents(out) == {"new": b"other archive"}


def _never(*_: object) -> None:
    raise AssertionError


def test_what_is_not_ours_stays(tmp_path) -> None:
    path = make_zip(tmp_path / "a.zip", FILES)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/diary").write_text("dear diary")
    (tmp_path / "table.json").write_text("{}")
    for name in ("mine", "table"):
        with pytest.raises(OutputError, match="exists already"):
            unpack(path, tmp_path / name)
    assert (tmp_path / "mine/diary").exists()
    assert (tmp_path / "table.json").read_text() == "{}"


def test_interrupted(tmp_path, monkeypatch) -> None:
    path = make_zip(tmp_path / "a.zip", FILES)
    dead = tmp_path / f".out.{platform.node()}.999999999.part"
    dead.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "archive_kind", _interrupt_inside(archive_kind, tmp_path))
        with pytest.raises(KeyboardInterrupt):
            unpack(path, tmp_path / "out")
    assert nothing_left(tmp_path, path)
    assert len(unpack(path, tmp_path / "out").files) == 3


def _interrupt_inside(real: Callable[[Path], object], place: Path) -> Callable[[Path], object]:
    def called(path: Path) -> object:
        if path.parent != place:  # a member that was just written
            raise KeyboardInterrupt
        return real(path)

    return called


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError):
        unpack(make_zip(tmp_path / "a.zip", FILES), tmp_path / "locked/out")


PIECES = st.sampled_from(["..", ".", "", "a", "b", "C:", "\\", "IM1", "é", "~", "\n", "/", "...", "__MACOSX", "link"])
NAMES = st.lists(st.one_of(PIECES, st.text(max_size=6)), min_size=1, max_size=6).map("/".join)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=150, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=6), target=NAMES, packed_as=st.sampled_from(["zip", "tar"]))
def test_whatever_the_names_nothing_leaves_the_folder(names, target, packed_as) -> None:
    with tempfile.TemporaryDirectory() as place:
        path, home = Path(place) / "archive", Path(place) / "a" / "b" / "c"
        _pack(path, names, target, packed_as)
        home.mkdir(parents=True)
        done = unpack(path, home / "out")
        written = {found for found in Path(place).rglob("*") if not found.is_dir()} - {path, home / "out.json"}
        assert written == set(done.files)
        assert all(found.resolve().is_relative_to((home / "out").resolve()) for found in written)
        assert len(done.files) + len(done.aside) + _folders(names, packed_as) == len(names) + (packed_as == "tar")
        assert unpack(path, home / "out") == done


def _pack(path: Path, names: list[str], target: str, packed_as: str) -> None:
    if packed_as == "tar":
        with tarfile.open(path, "w", errors="surrogatepass") as archive:
            add(archive, "link", type=tarfile.SYMTYPE, linkname=target)
            for name in names:
                add(archive, name, b"evil")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                info = zipfile.ZipInfo("x")
                info.filename = name.encode("utf-8", "replace").decode()
                archive.writestr(info, b"" if info.filename.endswith("/") else b"evil")


def _folders(names: list[str], packed_as: str) -> int:
    return sum(name.partition("\0")[0].endswith("/") for name in names) if packed_as == "zip" else 0
