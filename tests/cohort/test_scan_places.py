"""Whatever lies in a folder ends as a file of a case or in the quarantine: archives, links, pipes and all."""

from __future__ import annotations

import io
import logging
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from pydicom import dcmread
from pydicom.fileset import FileSet

from hounsfield.cohort import Splitting, headers, reading, scan, scan_for_prediction
from hounsfield.cohort.places import places_below
from hounsfield.core import Cohort
from hounsfield.errors import ReadError
from hounsfield.read import read_headers, read_image

Write = Callable[..., Path]
LABELS = ("no", "yes")

FOLDS = Splitting(folds=3)


def look(images: Path, run: Path | None = None, said: list[str] | None = None) -> Cohort:
    say = None if said is None else said.append
    return scan_for_prediction(images, list(LABELS), "yes", run=run, workers=0, say=say)


def fates(cohort: Cohort) -> dict[str, str | None]:
    """Path → reason for its quarantine, or None; fails where a path has no fate."""
    assert cohort.crosswalk is not None
    cases = dict(cohort.table.select("case", "quarantine").iter_rows())
    files = {item: why for item, kind, _, why in cohort.quarantine.iter_rows() if kind in ("file", "folder")}
    rows = cohort.crosswalk.select("key", "case", "path").iter_rows()
    return {path: cases[case] if case is not None else files[key] for key, case, path in rows}


def pictures(folder: Path, count: int = 12, first: int = 0) -> Path:
    """Write pictures in two class folders."""
    for number in range(first, first + count):
        place = folder / LABELS[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8), dtype=np.uint8)
        Picture.fromarray(pixels).save(place)
    return folder


def zipped(folder: Path, place: Path, top: str = "") -> Path:
    with zipfile.ZipFile(place, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{top}{path.relative_to(folder).as_posix()}")
    return place


def tarred(folder: Path, place: Path) -> Path:
    with tarfile.open(place, "w:gz") as archive:
        archive.add(folder, arcname=".")
    return place


def listed(root: Path) -> list[str]:
    return [place.name for place in places_below(root)]


# what lies in a folder


def test_the_order_of_the_names(tmp_path: Path) -> None:
    for name in ("a b/c", "a/z", "a.b", "b", "a-", "ä/x", "a/b/c", "B", "10", "9"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    paths = [tmp_path / name for name in listed(tmp_path)]
    assert paths == sorted(path for path in tmp_path.rglob("*") if path.is_file())


def test_links(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "inside", elsewhere / "deep"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    (root / "to itself").symlink_to(root)
    (root / "inside" / "up").symlink_to(root / "inside")
    (root / "sibling").symlink_to(root / "inside")
    (root / "out").symlink_to(elsewhere)
    (root / "out again").symlink_to(elsewhere / "deep")
    (elsewhere / "deep" / "back").symlink_to(elsewhere)
    (elsewhere / "above").symlink_to(tmp_path)
    (root / "a file").symlink_to(elsewhere / "deep" / "file")
    (root / "nothing").symlink_to(tmp_path / "nowhere")
    (root / "round").symlink_to(root / "round")
    found = {place.name: place.trouble for place in places_below(root)}
    entered = {name for name, why in found.items() if why is None}
    assert entered == {"inside/file", "out/deep/file", "a file"}
    other = "a link to a folder that is scanned under another name"
    assert {name for name, why in found.items() if why == other} == {
        "to itself", "inside/up", "sibling", "out again", "out/deep/back", "out/above",
    }  # fmt: skip
    assert found["nothing"] == "a link to nothing"
    assert found["round"] is not None
    assert listed(tmp_path / "root" / "out") == ["above", "deep/back", "deep/file"], "given itself, it is a folder"


def test_what_is_no_file_or_has_no_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).write_text("x")
    found = {place.name: place.trouble or "" for place in places_below(tmp_path)}
    assert "pipe" in found["pipe"]
    assert "UTF-8" in found["caf\\xe9.png"]


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path)
    (tmp_path / "closed" / "deep").mkdir(parents=True)
    real = os.scandir

    def scandir(path: str) -> object:  # the tests may run as root, whom no permission stops
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    cohort = look(tmp_path)
    assert cohort.quarantine.rows()[0][1:] == ("folder", "scan", "the folder cannot be listed (Permission denied)")
    assert fates(cohort)["closed"] == "the folder cannot be listed (Permission denied)"
    assert cohort.usable.height == 12
    monkeypatch.undo()
    assert look(tmp_path).digest == cohort.digest


def test_the_order_of_the_disk_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = look(pictures(tmp_path))
    real = os.scandir

    class Backwards(list):  # type: ignore[type-arg]
        def __enter__(self) -> Backwards:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda path: Backwards(reversed(list(real(path)))))
    assert look(tmp_path).digest == plain.digest


# archives


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize("kept", [True, False])
def test_an_archive_is_what_it_holds(tmp_path: Path, pack: Callable[[Path, Path], Path], kept: bool) -> None:
    folder = pictures(tmp_path / "images", 14)
    archive = pack(folder, tmp_path / "images.packed")
    run = tmp_path / "run" if kept else None
    plain, packed = (scan(images, splitting=FOLDS, run=run, workers=0) for images in (folder, archive))
    assert packed.digest == plain.digest
    assert all(path.exists() for path, _ in packed.locate(packed.usable["files"].explode().to_list()))
    if run is not None:
        packed.save(run)
        found = Cohort.load(run).locate(packed.usable["files"].explode().to_list())
        assert all(path.is_relative_to(run) for path, _ in found)
        assert len({read_image(path).source for path, _ in found}) == 14


def test_a_folder_around_everything_in_an_archive(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", 14)
    archive = zipped(folder, tmp_path / "one.zip", top="some folder/")
    assert scan(archive, splitting=FOLDS, workers=0).digest == scan(folder, splitting=FOLDS, workers=0).digest


def test_paths_of_labels_in_an_archive(tmp_path: Path, png: Write, table: Write) -> None:
    from hounsfield.cohort import Labelling

    for number in range(12):
        png(tmp_path / "plain" / f"{number}.png", number)
    archive = zipped(tmp_path / "plain", tmp_path / "one.zip", top="images/")
    for start in ("", "images/"):
        labels = table("path,label", *(f"{start}{number}.png,{LABELS[number % 2]}" for number in range(12)))
        cohort = scan(archive, Labelling(labels, key="path"), splitting=FOLDS, workers=0)
        assert cohort.usable.height == 12
        assert cohort.about.key_column == "path (path)"


def test_archives_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, run = tmp_path / "images", tmp_path / "run"
    pictures(images / "part", 4)  # above the class folders, so that they are no labels
    inside = pictures(tmp_path / "inside", 6, first=10)
    (inside / "notes.txt").write_text("words")
    zipped(inside, images / "more.zip")
    (images / "broken.zip").write_bytes((images / "more.zip").read_bytes()[:-40])
    zipped(tmp_path / "nothing", images / "empty.zip")
    unpacked: list[object] = []
    unpack = headers.unpack_file
    monkeypatch.setattr(headers, "unpack_file", lambda job: unpacked.append(job) or unpack(job))
    cohort = look(images, run)
    found = fates(cohort)
    assert cohort.usable.height == 10
    away = {Path(path).name: why or "" for path, why in found.items() if why}
    assert set(away) == {"notes.txt", "broken.zip", "empty.zip"}
    assert "more.zip" not in {Path(path).name for path in found}, "what it holds stands for it"
    paths = [path for path, _ in cohort.locate(cohort.usable["files"].explode().to_list())]
    assert all(read_headers(path) for path in paths)
    assert sum("more.zip" in path.parts for path in paths) == 6, "its name can be read in the paths"
    cohort.save(run)
    assert (run / "private").stat().st_mode & 0o777 == 0o700

    times = {path: path.stat().st_mtime_ns for path in paths}
    read: list[str] = []
    monkeypatch.setattr(headers, "read_file", lambda path: read.append(path) or reading.read_file(path))
    again = look(images, run)
    assert again.digest == cohort.digest
    assert {Path(path).name for path in read} <= {"broken.zip", "empty.zip"}, "these are asked again"
    assert {path: path.stat().st_mtime_ns for path in paths} == times, "and nothing is unpacked again"

    pictures(inside, 2, first=30)
    zipped(inside, images / "more.zip")
    changed = look(images, run)
    assert changed.usable.height == 12
    shutil.copytree(images, tmp_path / "elsewhere")
    assert changed.digest == look(tmp_path / "elsewhere").digest
    assert len([place for place in (run / "private" / "unpacked").iterdir() if (place / "more.zip").is_dir()]) == 1

    (images / "more.zip").unlink()
    assert look(images, run).usable.height == 4


def test_what_was_unpacked_may_be_deleted(tmp_path: Path) -> None:
    images, run = tmp_path / "images", tmp_path / "run"
    images.mkdir()
    zipped(pictures(tmp_path / "inside"), images / "more.zip")
    first = look(images, run)
    shutil.rmtree(run / "private" / "unpacked")
    second = look(images, run)
    assert second.digest == first.digest
    assert all(path.exists() for path, _ in second.locate(second.usable["files"].explode().to_list()))


def test_an_archive_that_cannot_be_unpacked(tmp_path: Path) -> None:
    place = zipped(pictures(tmp_path / "inside"), tmp_path / "one.zip")
    place.write_bytes(place.read_bytes()[:-40])
    with pytest.raises(ReadError, match=r"damaged|cut short"):
        look(place)


# DICOMDIR


@pytest.fixture
def disc(tmp_path: Path, dicom: Write) -> Path:
    """A folder with a DICOMDIR that lists eight files, of which one is gone."""
    files = FileSet()
    for number in range(8):
        dataset = dcmread(dicom(tmp_path / "made" / f"{number}.dcm", f"p{number}", f"1.2.{number}", f"1.2.{number}.3"))
        dataset.StudyTime, dataset.StudyID, dataset.SeriesNumber = "101112", "1", 1
        files.add(dataset)
    folder = tmp_path / "disc"
    files.write(folder)
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    assert len(found) == 8
    found[3].unlink()
    return folder


def test_a_dicomdir(disc: Path, tmp_path: Path) -> None:
    whole, by_name = look(disc, tmp_path / "run"), look(disc / "DICOMDIR")
    assert whole.digest == by_name.digest
    found = fates(whole)
    assert "directory of files (DICOMDIR)" in (found["DICOMDIR"] or "")
    (lost,) = [path for path, why in found.items() if why == "listed in a DICOMDIR, and not there"]
    assert not (disc / lost).exists()
    assert whole.usable.height == 7
    shutil.copy(next(path for path in disc.rglob("*") if path.is_file() and path.name != "DICOMDIR"), disc / lost)
    again = look(disc, tmp_path / "run")
    assert not any("not there" in (why or "") for why in fates(again).values()), "the DICOMDIR itself did not change"


# everything together


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost(tmp_path: Path, disc: Path, png: Write, dicom: Write, seed: int) -> None:
    generator = np.random.default_rng(seed)
    root, outside = tmp_path / "root", tmp_path / "outside"
    inner = tmp_path / "inner"
    folders = [root, outside, inner]
    for number in range(60):
        parent = folders[int(generator.integers(len(folders)))]
        name = "".join(generator.choice(list("ab cäß.-_"), 4)).strip(". ") + str(number)
        kind = generator.choice(["png", "copy", "dicom", "repeat", "words", "empty", "folder", "link", "cut"])
        place = parent / name
        if kind == "folder":
            place.mkdir(parents=True, exist_ok=True)
            folders.append(place)
        elif kind == "link" and not place.is_relative_to(inner):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(folders[int(generator.integers(len(folders)))] if number % 2 else tmp_path / "nowhere")
        elif kind in ("png", "copy"):
            png(place, number if kind == "png" else 0)
        elif kind in ("dicom", "repeat", "cut"):
            uid = f"1.2.{number if kind == 'dicom' else 0}"
            dicom(place, f"p{number}", uid, f"{uid}.3")
            if kind == "cut":
                place.write_bytes(place.read_bytes()[:-10])
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"words" if kind == "words" else b"")
    png(root / "one.png", 1000)
    os.mkfifo(root / "pipe")
    (root / "outside").symlink_to(outside)
    shutil.copytree(disc, root / "disc")
    png(inner / "two.png", 1001)
    zipped(inner, root / "packed.zip")

    cohort = look(root, tmp_path / "run")
    found = fates(cohort)
    assert cohort.crosswalk is not None
    assert cohort.crosswalk["key"].n_unique() == cohort.crosswalk.height
    told = {item for item, kind, *_ in cohort.quarantine.iter_rows() if kind in ("file", "folder")}
    assert told <= set(cohort.crosswalk["key"]), "whatever is in the quarantine can be looked up"
    below = {place.name for place in places_below(root)} - {"packed.zip"}
    packed = {path.relative_to(inner).as_posix() for path in inner.rglob("*") if path.is_file()}
    names = {path.partition("/packed.zip/")[2] if "/packed.zip/" in path else path for path in found}
    assert below | packed <= names
    on_disk = {
        (Path(folder) / name).relative_to(root).as_posix()
        for folder, _, files in os.walk(root) for name in files
    } - {"packed.zip"}  # fmt: skip
    assert on_disk <= names
    for path, _ in cohort.locate(cohort.table["files"].explode().to_list()):
        assert path.is_file()
    again = look(root, tmp_path / "run")
    assert again.digest == cohort.digest
    assert again.quarantine.equals(cohort.quarantine)


def test_nothing_given_away_names_a_file_or_a_patient(
    tmp_path: Path, dicom: Write, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    images, run = tmp_path / "images", tmp_path / "run"
    for number in range(6):
        dicom(
            tmp_path / "inner" / f"Doe_Jane_{number}.dcm", f"JANEDOE{number}", f"1.2.77.{number}", f"1.2.77.{number}.3"
        )
    (tmp_path / "inner" / "Doe_Jane.txt").write_text("JANEDOE")
    images.mkdir()
    zipped(tmp_path / "inner", images / "Doe_Jane.zip")
    (images / "Doe_John.zip").write_bytes((images / "Doe_Jane.zip").read_bytes()[:-40])
    (images / "Doe_Link").symlink_to(images)
    (images / "Doe_Nothing").symlink_to(tmp_path / "nowhere")
    with zipfile.ZipFile(images / "Doe_Evil.zip", "w") as archive:
        archive.writestr("../Doe_Out.dcm", "JANEDOE")
        archive.writestr("Doe_Bad.dcm", "JANEDOE")
    said: list[str] = []
    for damage in (False, True):
        if damage:
            (run / "private" / "index.sqlite").write_text("no index")
        cohort = look(images, run, said)
        cohort.save(run)
    assert cohort.usable.height == 6
    plain = io.BytesIO()
    cohort.table.write_parquet(plain, compression="uncompressed")
    told = (run / "quarantine.csv").read_text() + cohort.about.model_dump_json() + "".join(said) + caplog.text
    told += "".join(capfd.readouterr()) + plain.getvalue().decode("latin-1")
    for secret in ("Doe", "DOE", "1.2.77", "nowhere", str(tmp_path), "Secret", "19511224"):
        assert secret not in told, secret


def test_a_file_without_images_is_told(tmp_path: Path) -> None:
    pictures(tmp_path)
    np.savez(tmp_path / "none.npz", train_images=np.zeros((0, 8, 8), np.uint8), train_labels=np.zeros((0, 1), np.uint8))
    assert fates(look(tmp_path))["none.npz"] is not None
