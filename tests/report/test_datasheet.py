"""The data sheet: true to its record, alarms on top, alone in the world, and whole whatever the labels are called."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

sys.path.insert(0, str(Path(__file__).parent))
from test_report import Page

from hounsfield.audit.record import (
    Association,
    Audit,
    Column,
    Group,
    Interval,
    Item,
    Missing,
    Pair,
    Picture,
    Shortcut,
)
from hounsfield.errors import UsageError
from hounsfield.report.datasheet import write_datasheet

BINARY = {"benign": 60, "malignant": 40}
LONG = "a very long finding that goes on " * 6 + "andneverends" * 10
NASTY = {'<b>no</b> & "so"': 30, "it's <script>alert(1)</script>": 50, "$x, y; z": 12, LONG: 8}
SEVERAL = {f"finding {number}": 30 + number for number in range(14)}
FILES = ("items", "shortcuts", "groups", "associations", "missing", "pairs")


def auc(value: float | None, note: str = "") -> Interval:
    low, high = (None, None) if value is None else (max(value - 0.06, 0.0), min(value + 0.06, 1.0))
    return Interval(value=value, low=low, high=high, method="cluster bootstrap", note=note)


def shortcut(label: str, positives: int, *, alarm: bool) -> Shortcut:
    columns = [
        Column(name="scanner", family="scanner and protocol", interval=auc(0.88), alarm=alarm, detail="GE: 31 of 40"),
        Column(name="age", family="patient", interval=auc(0.7), alarm=False, detail="median 60, 45 elsewhere"),
        Column(name="site", family="site", interval=auc(None, "one site only"), alarm=False, detail=""),
        *[
            Column(name=f"tag {n}", family="picture", interval=auc(0.45), alarm=False, detail="alike")
            for n in range(13)
        ],
    ]
    joint = auc(0.91 if alarm else 0.52)
    return Shortcut(label=label, cases=100, positives=positives, patients=80, joint=joint, alarm=alarm, columns=columns)


def pair(number: int, labels: list[str]) -> Pair:
    """Every fifth pair carries two labels, every seventh stands in two parts."""
    exact, same = number % 2 == 0, number % 5 != 0
    return Pair(
        first=f"image-{number:012x}",
        second=f"image-f{number:011x}",
        kind="exact" if exact else "near",
        how="" if exact else "mirrored",
        likeness=1.0 if exact else 0.97,
        labels=(labels[0], labels[0] if same else labels[-1]),
        same_label=same,
        same_patient=number % 3 != 0,
        parts=("train", "test" if number % 7 == 0 else "train"),
        fate="kept, never parted",
    )


def picture(folder: Path, name: str, label: str, case: str = "image-000000000001") -> Picture:
    note = PngImagePlugin.PngInfo()
    note.add_text("PatientName", "Jane Doe")
    (folder / "pictures").mkdir(exist_ok=True)
    Image.new("L", (40, 30), 90).save(folder / "pictures" / name, pnginfo=note)
    return Picture(path=f"pictures/{name}", case=case, label=label, caption="")


def group(column: str, value: str, counts: dict[str, int]) -> Group:
    return Group(column=column, value=value, cases=50, patients=40, labels={x: n // 2 for x, n in counts.items()})


def audit(folder: Path, counts: dict[str, int], *, number: int = 12, alarm: bool = True, **more: Any) -> Audit:
    """An audit with some of everything, saved into a folder with its pictures."""
    labels = list(counts)
    found = [pair(n, labels) for n in range(number)]
    drawn = [
        (picture(folder, f"{n}a.png", labels[0], x.first), picture(folder, f"{n}b.png", labels[0], x.second))
        for n, x in enumerate(found[:3])
    ]
    many = [f"image-{number:012x}" for number in range(15)]
    items = [Item(level="alarm", topic="shortcut", sentence=f"The scanner predicts {labels[-1]}.")] if alarm else []
    items += [
        Item(level="warning", topic="labels", sentence="3 pairs carry different labels.", cases=many),
        Item(
            level="note", topic="images", sentence="Read from /data/jane/a.dcm on 2021-03-04 as 1.2.840.113619.2.55.3."
        ),
    ]
    content: dict[str, Any] = {
        "cohort": "3f2a" * 16,
        "unit": "image",
        "cases": 100,
        "patients": 80,
        "labels": labels,
        "several": sum(counts.values()) > 100,
        "counts": counts,
        "split_sentence": "Split by patient.",
        "parts": {"train": 70, "test": 30},
        "items": items,
        "shortcuts": [
            shortcut(label, n, alarm=alarm and label == labels[-1]) for label, n in list(counts.items())[-2:]
        ],
        "groups": [group("site", "north", counts), group("site", "south", counts), group("sex", "F", counts)],
        "missing": [Missing(column="scanner", missing=31, cases=100), Missing(column="sex", missing=0, cases=100)],
        "associations": [
            Association(first="site", second="sex", strength=0.4, sentence="Site goes with sex."),
            Association(first="site", second="scanner", strength=0.9, sentence="Site goes with scanner."),
        ],
        "pairs": found,
        "pair_pictures": drawn,
        "quarantine": [(2, "file", "the pixel data end early"), (7, "case", "the same picture in the test part")],
        "samples": [picture(folder, f"s{n}.png", label) for n, label in enumerate(labels)],
        "artefacts": [picture(folder, "text.png", labels[0])],
        "not_done": ["Frames beyond the first were not looked at."],
        "seconds": {"pictures": 4.0, "shortcuts": 8.0},
    }
    made = Audit(**content | more)
    made.save(folder)
    return made


def empty(folder: Path) -> Audit:
    """An audit that found nothing, of a cohort about which nothing is known."""
    names = ("items", "shortcuts", "groups", "missing", "associations", "pairs", "quarantine")
    return audit(folder, BINARY, **{name: [] for name in (*names, "samples", "artefacts", "pair_pictures", "not_done")})


def written(folder: Path) -> str:
    return write_datasheet(folder).read_text(encoding="utf-8")


def words(text: str) -> str:
    """What a reader sees, in one line."""
    bare = re.sub(r"<(style|svg).*?</\1>", " ", text, flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", bare)))


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=[BINARY, NASTY, SEVERAL, None], ids=["binary", "nasty", "several", "empty"])
def sheet(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Audit, Path]:
    return (empty(tmp_path) if request.param is None else audit(tmp_path, request.param)), tmp_path


def test_the_page_is_well_formed_and_loads_nothing(sheet: tuple[Audit, Path]) -> None:
    text = written(sheet[1])
    page = Page(text)
    assert page.open == [] and page.pictures_without_words == 0 and len(page.ids) == len(set(page.ids))
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))
    assert all(source.startswith("data:image/png;base64,") for source in page.loads)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert "http://" not in text and "https://" not in text and "@import" not in text and "url(" not in text
    assert "<script" not in text and "<b>" not in text and "javascript" not in text


def test_nothing_names_a_patient_a_path_or_a_date(sheet: tuple[Audit, Path]) -> None:
    folder = sheet[1]
    text = re.sub(r"base64,[^\"]*", "", written(folder))
    for content in (text, *((folder / f"{name}.csv").read_text(encoding="utf-8") for name in FILES)):
        for secret in ("Jane", "jane", "/data/", "2021-03-04", "1.2.840", str(folder), str(Path.home())):
            assert secret not in content
    if sheet[0].items:
        assert "Read from (path) on (date) as (UID)." in text
    assert b"Jane" not in (folder / "index.html").read_bytes()


def test_what_the_record_says_is_on_the_page(sheet: tuple[Audit, Path]) -> None:
    made, folder = sheet
    seen = words(written(folder))
    assert "100 cases of 80 patients; a case is one image. Split by patient." in seen
    for label, count in made.counts.items():
        name = label if len(label) <= 60 else label[:59]
        assert f"{name} {count} {count}%" in seen or len(label) > 60
        assert name in seen
    for sentence in [x.sentence for x in made.associations] + made.not_done + [x[2] for x in made.quarantine]:
        assert sentence in seen
    assert made.cohort in seen


def test_alarms_stand_on_top(tmp_path: Path) -> None:
    audit(tmp_path, BINARY)
    head = words(written(tmp_path).split("<nav")[0])
    places = [head.index(x) for x in ("1 alarm, 1 warning", "The scanner predicts malignant.", "3 pairs carry")]
    assert places == sorted(places)
    assert "and 3 more in items.csv" in head
    assert "<title>1 alarm, 1 warning" in written(tmp_path)


def test_one_line_where_all_is_well(tmp_path: Path) -> None:
    empty(tmp_path)
    seen = words(written(tmp_path))
    assert "not everything was looked at Found" in seen, "no box for what was not found; and no label was tried"
    assert "Nothing was put aside." in seen and "No two cases are known to show the same picture." in seen
    assert all(table(tmp_path, name) == [] for name in FILES)


def test_what_was_not_done_is_not_called_fine(tmp_path: Path) -> None:
    audit(tmp_path, BINARY, items=[])
    assert "Nothing that should stop you, but not everything was looked at" in words(written(tmp_path))
    audit(tmp_path, BINARY, alarm=False, items=[], not_done=[])
    assert "Nothing that should stop you Found" in words(written(tmp_path))
    audit(tmp_path, BINARY, alarm=False)
    assert "No alarm, 1 warning" in words(written(tmp_path))


def test_only_the_label_that_is_given_away_is_spread_out(tmp_path: Path) -> None:
    audit(tmp_path, BINARY)
    text = written(tmp_path)
    seen = words(text)
    assert seen.index("malignant Alarm") < seen.index("0.91 (0.85–0.97)") < seen.index("0.52 (0.46–0.58)")
    assert "What gives malignant away" in seen and "benign: nothing alarming among 16 facts" in seen
    open_part = text[text.index("What gives malignant away") : text.index("benign: nothing alarming")]
    assert words(open_part.split("<details")[0]).count("picture") == 0, "facts at chance are folded away"
    assert 'x1="16.7"' in text, "the line of guessing"


def test_groups_show_the_largest_values_and_count_the_rest(tmp_path: Path) -> None:
    groups = [group("site", f"site {n}", BINARY).model_copy(update={"cases": 50 + n}) for n in range(20)]
    audit(tmp_path, BINARY, groups=groups)
    seen = words(written(tmp_path))
    assert "and 8 more values with 428 cases" in seen and "site 8" in seen and "site 7 " not in seen
    assert len(table(tmp_path, "groups")) == 20
    assert (
        table(tmp_path, "groups")[3] | {"label:benign": "30", "label:malignant": "20", "cases": "53"}
        == (table(tmp_path, "groups")[3])
    )


def test_several_labels_in_a_case_are_not_stacked(tmp_path: Path) -> None:
    audit(tmp_path, SEVERAL)
    text = written(tmp_path)
    assert "A case may carry several labels." in text and 'viewBox="0 0 140 10"' in text
    audit(tmp_path, BINARY)
    assert "A case may carry several labels." not in written(tmp_path)


def test_hundreds_of_pairs(tmp_path: Path) -> None:
    made = audit(tmp_path, BINARY, number=400)
    text = written(tmp_path)
    seen = words(text)
    assert seen.count("kept, never parted") == 30 and "the worst 30 of 400 pairs" in seen and "20 more pairs" in seen
    shown = re.findall(r'data-title="Labels">(.*?)</td>', text)
    assert all("benign / malignant" in words(x) for x in shown), "those whose labels differ come first"
    exact = [pair for pair in made.pairs if pair.kind == "exact"]
    other = sum(not pair.same_label for pair in exact)
    two = sum(not pair.same_patient for pair in exact)
    parts = sum(pair.parts[0] != pair.parts[1] for pair in exact)
    assert f"Exact{len(exact)}{other}{two}{parts}" in seen
    rows = table(tmp_path, "pairs")
    assert [(x["first"], x["first_part"], x["second_part"]) for x in rows] == [(x.first, *x.parts) for x in made.pairs]
    assert len(text) < 200_000


def test_pictures_stand_beside_their_own_pair(tmp_path: Path) -> None:
    made = audit(tmp_path, BINARY)
    text = written(tmp_path)
    for one in made.pairs[:3]:
        assert re.search(rf'case {one.first}"><img [^>]*case {one.second}"></div><code>{one.first}</code>', text)
    assert text.count("data:image/png;base64,") == 3 * 2 + len(BINARY) + 1


def test_tables_are_the_record(tmp_path: Path) -> None:
    made = audit(tmp_path, NASTY)
    written(tmp_path)
    rows = table(tmp_path, "shortcuts")
    assert len(rows) == sum(1 + len(x.columns) for x in made.shortcuts)
    assert rows[0]["column"] == "" and rows[0]["family"] == "all together"
    assert [x["label"] for x in rows[::17]] == list(NASTY)[-2:], "names come back as they were"
    assert float(rows[1]["auc"]) == 0.88 and rows[1]["column"] == "scanner" and rows[3]["auc"] == ""
    assert set(table(tmp_path, "groups")[0]) == {"column", "value", "cases", "patients"} | {f"label:{x}" for x in NASTY}
    assert [x["missing"] for x in table(tmp_path, "missing")] == ["31", "0"]
    assert [float(x["strength"]) for x in table(tmp_path, "associations")] == [0.4, 0.9]
    items = table(tmp_path, "items")
    assert [x["level"] for x in items] == ["alarm", "warning", "note"] and len(items[1]["cases"].split()) == 15


def test_the_same_audit_gives_the_same_bytes(tmp_path: Path) -> None:
    audit(tmp_path, NASTY)
    assert written(tmp_path) == written(tmp_path)


def test_a_picture_that_is_missing_or_elsewhere_is_an_error(tmp_path: Path) -> None:
    made = audit(tmp_path, BINARY)
    for path, reason in (("pictures/none.png", "cannot be read"), ("../../etc/passwd", "outside its folder")):
        away = made.samples[0].model_copy(update={"path": path})
        made.model_copy(update={"samples": [away]}).save(tmp_path)
        with pytest.raises(UsageError, match=reason):
            write_datasheet(tmp_path)
    assert not (tmp_path / "index.html").exists(), "half a data sheet"


def test_no_audit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        write_datasheet(tmp_path)


def browse(page: Path, profile: Path) -> tuple[str, bool, list[str]]:
    """Show a page in Debian's chromium, cut off from all hosts.

    Return the page as the browser had it, whether it complained, and what the page asked for. The browser also asks
    its maker for the time and for dictionaries, whatever it shows; only a request on behalf of a file has its key.
    """
    log = profile.with_suffix(".json")
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", f"--log-net-log={log}", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run(
        ["chromium", *flags, page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=os.environ | {"HOME": str(profile)},
    )
    lines = [
        line for line in log.read_text(encoding="utf-8").splitlines() if '"network_isolation_key":"file://' in line
    ]
    asked = [found[1] for line in lines if (found := re.search(r'"url":"((?:http|ws|ftp)[^"]*)"', line))]
    return done.stdout, "CONSOLE" in done.stderr, asked


@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
def test_a_browser_complains_of_nothing_and_asks_for_nothing(tmp_path: Path) -> None:
    audit(tmp_path, NASTY)
    page, bad = write_datasheet(tmp_path), tmp_path / "bad.html"
    shown, complained, asked = browse(page, tmp_path / "profile")
    assert Page(shown).headings == Page(page.read_text(encoding="utf-8")).headings
    assert not complained and asked == []
    bad.write_text('<img src="http://hounsfield.invalid/a.png"><script>no()</script>', encoding="utf-8")
    assert browse(bad, tmp_path / "profile")[1:] == (True, ["http://hounsfield.invalid/a.png"]), "or it sees nothing"
