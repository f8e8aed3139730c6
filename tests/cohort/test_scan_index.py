"""What was read is kept: a scan that was killed goes on, a second one reads what changed, and all give one cohort."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hounsfield.cohort import Labelling, Splitting, headers, index, scan
from hounsfield.cohort.index import Index, open_index
from hounsfield.cohort.reading import Outcome, read_file
from hounsfield.core import Cohort
from hounsfield.errors import UsageError

Write = Callable[..., Path]
PATIENTS = 12


@pytest.fixture
def images(tmp_path: Path, dicom: Write, png: Write) -> Path:
    """Series of two slices in two class folders, with a picture, two equal pictures and something that is no image."""
    folder = tmp_path / "images"
    for number in range(PATIENTS):
        for cut in (1, 2):
            place = folder / ("no", "yes")[number % 2] / f"s{number}"
            dicom(place / f"{cut}.dcm", f"p{number}", f"1.2.{number}", f"1.2.{number}.3", cut)
    png(folder / "no" / "one.png", 1)
    png(folder / "no" / "two.png", 2)
    png(folder / "no" / "two again.png", 2)
    (folder / "notes.txt").write_text("words")
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read, where there are no workers."""
    found: list[str] = []

    def noting(path: str) -> Outcome:
        found.append(Path(path).name)
        return read_file(path)

    monkeypatch.setattr(headers, "read_file", noting)
    return found


def look(images: Path, run: Path | None = None, said: list[str] | None = None, **options: object) -> Cohort:
    say = None if said is None else said.append
    return scan(images, splitting=Splitting(folds=3), run=run, say=say, **{"workers": 0, **options})  # type: ignore[arg-type]


def count(images: Path) -> int:
    return sum(path.is_file() for path in images.rglob("*"))


def test_the_second_scan_reads_nothing(
    images: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    marks = headers.byte_marks
    monkeypatch.setattr(headers, "byte_marks", lambda path: hashed.append(path) or marks(path))
    first = look(images, tmp_path / "run")
    assert len(read) == count(images)
    assert {Path(path).name for path in hashed} >= {"two.png", "two again.png"}
    read.clear()
    hashed.clear()
    second = look(images, tmp_path / "run")
    assert (read, hashed) == ([], [])
    without = look(images)
    assert first.digest == second.digest == without.digest
    assert first.quarantine.equals(second.quarantine)
    assert first.crosswalk is not None
    assert first.crosswalk.equals(second.crosswalk)


def test_only_what_changed_is_read(images: Path, tmp_path: Path, read: list[str], png: Write, dicom: Write) -> None:
    look(images, tmp_path / "run")
    read.clear()
    png(images / "yes" / "new.png", 3)  # added
    (images / "notes.txt").write_text("longer words")  # another size
    place = images / "no" / "one.png"
    state = place.stat()
    os.utime(place, ns=(state.st_atime_ns, state.st_mtime_ns + 1))  # the same size, another time
    (images / "no" / "two again.png").unlink()
    dicom(images / "yes" / "s1" / "1.dcm", "p1", "1.2.1", "1.2.1.3", 7)  # rewritten in place
    after = look(images, tmp_path / "run")
    assert sorted(read) == ["1.dcm", "new.png", "notes.txt", "one.png"]
    assert after.digest == look(images).digest
    reasons = set(after.quarantine["reason"])
    assert not any("second time" in reason for reason in reasons), "the copy is gone, and so is its twin's fate"


def test_what_may_pass_is_asked_again(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(path: str) -> Outcome:
        if path.endswith("one.png"):
            return Outcome("aside", "no permission to read the file", fleeting=True)
        return read_file(path)

    with monkeypatch.context() as patch:
        patch.setattr(headers, "read_file", refusing)
        first = look(images, tmp_path / "run")
    assert "no permission to read the file" in set(first.quarantine["reason"])
    second = look(images, tmp_path / "run")
    assert "no permission to read the file" not in set(second.quarantine["reason"])
    assert second.digest == look(images).digest


@pytest.mark.parametrize("damage", ["words", "cut", "holes", "content", "another database", "empty"])
def test_a_damaged_index_is_made_anew(images: Path, tmp_path: Path, read: list[str], damage: str) -> None:
    first = look(images, tmp_path / "run")
    place = tmp_path / "run" / "private" / "index.sqlite"
    whole = place.read_bytes()
    if damage == "words":
        place.write_text("this is no database, and never was one " * 50)
    elif damage == "cut":
        place.write_bytes(whole[: len(whole) // 2])
    elif damage == "holes":
        place.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    elif damage == "content":
        with sqlite3.connect(place) as connection:
            connection.execute("UPDATE files SET content = '[[1, 2' WHERE state = 'image'")
        connection.close()
    elif damage == "another database":
        place.unlink()
        with sqlite3.connect(place) as connection:
            connection.execute("CREATE TABLE others (value)")
        connection.close()
    else:
        place.write_bytes(b"")
    read.clear()
    said: list[str] = []
    again = look(images, tmp_path / "run", said)
    assert again.digest == first.digest
    assert len(read) == count(images)
    assert damage == "empty" or ["damaged" in sentence for sentence in said] == [True]
    read.clear()
    assert look(images, tmp_path / "run").digest == first.digest
    assert not read


def test_another_version_or_folder_is_not_trusted(
    images: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(images, tmp_path / "run")
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(index, "READER_VERSION", index.READER_VERSION + 1)
        read.clear()
        assert look(images, tmp_path / "run", said).digest == first.digest
        assert len(read) == count(images)
    assert "another version" in said[0]
    look(images, tmp_path / "run")
    images.rename(tmp_path / "moved")
    read.clear()
    moved = look(tmp_path / "moved", tmp_path / "run", said)
    assert len(read) == count(tmp_path / "moved"), "a file of the same name, size and time may be another one elsewhere"
    assert "another folder" in said[-1]
    assert moved.digest == first.digest


KILLED = """
import os, signal, sys
from pathlib import Path
from hounsfield.cohort import Splitting, headers, index, scan

def progress(known, total):
    if known > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    index._TOGETHER = 4  # a small folder, so results are written more often
    headers._TOLD = headers._TOGETHER = 2
    scan(Path(sys.argv[1]), splitting=Splitting(folds=3), run=Path(sys.argv[2]), workers=2, progress=lambda what: progress)
"""


def test_a_scan_that_was_killed_goes_on(images: Path, tmp_path: Path, read: list[str]) -> None:
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    run = tmp_path / "run"
    ended = subprocess.run([sys.executable, script, images, run], capture_output=True, timeout=120, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    resumed = look(images, run)
    assert 0 < len(read) < count(images) * 0.7, "about half was known"
    assert resumed.digest == look(images).digest


def test_killed_while_it_lists_the_folder(images: Path, tmp_path: Path, read: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), open_index(tmp_path / "private" / "index.sqlite", images, print) as opened:
        opened.enter(_interrupted())
    assert look(images, tmp_path).digest == look(images).digest


def _interrupted() -> Iterator[index.Place]:
    yield index.Place("a.png", 1, 1)
    raise KeyboardInterrupt


def test_two_scans_at_once(images: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = look(images, run)
    with open_index(run / "private" / "index.sqlite", images, print):
        with pytest.raises(UsageError, match="another scan is writing"):
            look(images, run)
        other = [sys.executable, "-m", "hounsfield", "scan", str(images), "--folds", "3", "--out", str(run)]
        ended = subprocess.run(other, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 2
        assert "another scan is writing" in ended.stdout + ended.stderr
    assert look(images, run).digest == first.digest


def test_its_owner_alone_may_read_it(images: Path, tmp_path: Path) -> None:
    place = tmp_path / "run" / "private" / "index.sqlite"
    modes = []

    def noting(known: int, total: int) -> None:
        modes.extend(path.stat().st_mode & 0o777 for path in place.parent.iterdir())

    look(images, tmp_path / "run", progress=lambda what: noting)
    assert set(modes) == {0o600}
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_without_a_run_folder_nothing_stays(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "temporary"
    empty.mkdir()
    monkeypatch.setenv("TMPDIR", str(empty))
    monkeypatch.setenv("SQLITE_TMPDIR", str(empty))
    before = sorted(tmp_path.rglob("*"))
    seen: list[Path] = []
    look(images, progress=lambda what: lambda known, total: seen.extend(empty.iterdir()))
    assert not seen
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(images: Path, tmp_path: Path, workers: int) -> None:
    assert look(images, tmp_path / "run", workers=workers).digest == look(images).digest


def test_the_run_folder_is_no_part_of_the_images(images: Path, tmp_path: Path) -> None:
    plain = look(images)
    inside = images / "runs" / "first"
    for _ in range(2):
        cohort = look(images, inside)
        cohort.save(inside)
        assert cohort.digest == plain.digest


def test_a_folder_that_is_scanned_into_itself(images: Path) -> None:
    plain = look(images)
    assert look(images, images).digest == plain.digest
    assert look(images, images).digest == plain.digest, "the private part is left out"


def test_labels_by_uid_after_a_resumed_scan(images: Path, tmp_path: Path, table: Write) -> None:
    labels = table("uid,label", *(f"1.2.{number}.3,{('no', 'yes')[number % 2]}" for number in range(PATIENTS)))
    one, two = (
        scan(images, Labelling(labels), splitting=Splitting(folds=3), run=tmp_path / "run", workers=0) for _ in range(2)
    )
    assert one.digest == two.digest
    assert one.usable.height == PATIENTS


def test_results_are_written_while_they_arrive(tmp_path: Path) -> None:
    with open_index(None, tmp_path, print) as opened:
        places = [index.Place(f"{number:04d}", 1, 1) for number in range(1000)]
        opened.enter(places)
        waiting = opened.waiting({None: tmp_path})
        assert [Path(path).name for path in waiting] == [place.name for place in places]
        for number in waiting.numbers[:600]:
            opened.record(number, Outcome("aside", "no"))
        assert 500 < opened.counts()[0] <= 600, "all but the last few"


def test_the_order_is_that_of_the_walk(tmp_path: Path) -> None:
    names = ["a b/c", "a", "a/z", "a.b", "b", "a-", "ä/x", "a/b/c"]
    with open_index(None, tmp_path, print) as opened:
        opened.enter(index.Place(name, 1, 1, "why") for name in names if name != "a")
        assert [one.place for one in opened.aside()] == ["a/b/c", "a/z", "a b/c", "a-", "a.b", "b", "ä/x"]
        assert isinstance(opened, Index)
