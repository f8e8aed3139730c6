"""The page: true to report.json, alone in the world, silent about patients, and whole when stages are missing."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from synthetic import BINARY, MANY, SEVERAL, predictions, run_folder, several, several_folder

from hounsfield.audit import Audit
from hounsfield.audit.record import Item
from hounsfield.core import Cohort, files
from hounsfield.errors import HounsfieldError, UsageError
from hounsfield.evaluate import Evaluation
from hounsfield.explain.attention import judge_looks, write_attention
from hounsfield.explain.attention.attend import LesionLook
from hounsfield.explain.attention.look import OnLesion
from hounsfield.measure import decimals
from hounsfield.report import write_report
from hounsfield.report.words import anonymous, duration, operating_point, scrub
from tests.explain.test_attention import looks

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects what a page loads, its headings, its ids, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.scripts = 0
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.pictures_without_words = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        for name in ("src", "srcset", "data", "poster"):
            if values.get(name):
                self.loads.append(str(values[name]))
        if tag in ("link", "iframe", "object", "embed") or (tag == "script" and values):
            self.loads.append(tag)
        self.scripts += tag == "script"
        if tag == "a":
            self.links.append(str(values["href"]))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in values:
            self.ids.append(str(values["id"]))
        if (tag == "img" and not values.get("alt")) or (
            tag == "svg" and not values.get("aria-label") and not values.get("aria-hidden")
        ):
            self.pictures_without_words += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = run_folder(tmp_path_factory.mktemp("run"), BINARY)
    write_report(folder, resamples=300)
    return folder


def text_of(run: Path) -> str:
    return (run / "report" / "index.html").read_text(encoding="utf-8")


def record_of(run: Path) -> dict:
    return json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))


def test_the_page_loads_nothing(run: Path) -> None:
    text, page = text_of(run), Page(text_of(run))
    assert "http://" not in text and "https://" not in text and "@import" not in text
    assert not re.findall(r"url\((?!#)", text)
    assert page.loads and all(source.startswith("data:image/png;base64,") for source in page.loads)
    inside = [link for link in page.links if link.startswith("#")]
    assert all(link[1:] in page.ids for link in inside)
    assert all((run / "report" / link).is_file() for link in page.links if link not in inside)
    assert page.scripts == 1 and not re.search(r"fetch|XMLHttpRequest|eval\(|import\(|localStorage|cookie", text)


def test_the_page_is_well_formed_and_accessible(run: Path) -> None:
    page = Page(text_of(run))
    assert page.open == []
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.ids) == len(set(page.ids))
    assert page.pictures_without_words == 0
    assert '<html lang="en">' in text_of(run)


@pytest.mark.parametrize(
    "name", ["index.html", "report.json", "measures.csv", "put_aside.csv", "reporting.csv", "reporting.md"]
)
def test_nothing_names_a_patient_a_path_or_a_date(run: Path, name: str) -> None:
    text = (run / "report" / name).read_text(encoding="utf-8")
    text = re.sub(r"base64,[^\"]*", "", text)  # in random letters any short name turns up
    assert not re.search(r"\b(Jane|Doe|John|Roe)\b", text)
    for secret in ("Jane", "4711", "/data/", "/home/", "/tmp/", "secret", str(run), str(Path.home())):
        assert secret not in text
    # Single-level absolute paths are looked for in the page's words, where "</p>" cannot be mistaken for one.
    words = re.sub(r"<[^>]*>", " ", re.sub(r"<(style|svg).*?</\1>", " ", text, flags=re.DOTALL))
    assert not re.search(r"(?<![\w.])/(?:\w+/)+\w+", words)


def test_headline_numbers_are_those_of_the_json_and_the_csv(run: Path) -> None:
    record = record_of(run)
    main = record["evaluations"][record["main"]]
    head = text_of(run).split("<nav")[0]
    table = pl.read_csv(run / "report" / "measures.csv")
    assert record["main"] == "test"
    for name in ("auc", "sensitivity", "specificity"):
        estimate = main["estimates"][name]
        assert decimals(estimate["value"]) in head
        assert f"{decimals(estimate['low'])}–{decimals(estimate['high'])}" in head
        row = table.filter((pl.col("part") == "test") & (pl.col("measure") == name)).row(0, named=True)
        assert row["value"] == pytest.approx(estimate["value"]) and row["low"] == pytest.approx(estimate["low"])
    assert f"{main['patients']} patients" in head
    assert Evaluation.from_dict(main).cases == main["cases"]


@pytest.mark.parametrize("kind", ["binary", "several"])
def test_every_table_is_there_as_csv_with_full_numbers(run: Path, tmp_path: Path, kind: str) -> None:
    if kind == "several":
        run = several_folder(tmp_path)
        write_report(run, resamples=100)
    tables = re.findall(r'aria-label="([^"]+), as CSV"', text_of(run))
    assert len(tables) == text_of(run).count('class="scroll"') > 8
    sheets = {path.name: pl.read_csv(path, infer_schema_length=None) for path in (run / "report").glob("*.csv")}
    used = {link for link in Page(text_of(run)).links if link.endswith(".csv")}
    assert used <= set(sheets) and all(sheets[name].height for name in used)
    evaluations = record_of(run)["evaluations"]
    groups = sheets["groups.csv"].filter(pl.col("part") == "test")
    stored = evaluations["test"]["subgroups"]
    assert groups.height == 3 * len(stored) > 0
    first = groups.row(0, named=True)
    assert (
        first["value"] == pytest.approx(stored[0]["estimates"]["auc"]["value"])
        and first["n"] == stored[0]["estimates"]["auc"]["n"]
    )
    if kind == "binary":
        drop = record_of(run)["drops"][0]
        gap = (
            sheets["centres.csv"]
            .filter((pl.col("measure") == "auc") & (pl.col("side") == "difference"))
            .row(0, named=True)
        )
        assert gap["low"] == pytest.approx(drop["changes"]["auc"]["difference"]["low"])
        assert sheets["sets.csv"].filter(pl.col("part") == "test")["value"][0] == pytest.approx(
            evaluations["test"]["doubt"]["coverage"][""]["value"]
        )


def test_the_first_page_answers_what_a_clinician_asks(run: Path) -> None:
    head, record = text_of(run).split("<nav")[0], record_of(run)
    main = record["evaluations"]["test"]
    at = main["points"][0]["at"][0]
    found, missed, alarms = (round(at[name]) for name in ("found", "missed", "alarms"))
    assert f"{found} are found and {missed} missed; of the others {alarms} are called by mistake" in head
    assert record["drops"][0]["sentence"] in head
    assert "No difference beyond chance among 7 groups by age, sex and site" in head
    assert f"Calibration slope {decimals(main['estimates']['calibration_slope']['value'])} (" in head
    assert f"{main['doubt']['sizes']['1']:.0%} of the cases one answer is left" in head
    assert "12 of 44 items of CLAIM 2024" in head and head.count("<svg") == 2


def test_the_first_page_says_what_is_not_known(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, BINARY, full=False)
    predictions("test", BINARY, seed=5, site="north").save(folder / "predictions" / "test.parquet")
    write_report(folder, resamples=100)
    head = text_of(folder).split("<nav")[0]
    assert "Not known: it has not been tried at another centre." in head and "What does it look at?" not in head


def test_every_part_is_there(run: Path) -> None:
    text, record = text_of(run), record_of(run)
    assert set(record["evaluations"]) == {"test", "folds", "external-Utrecht"}
    assert record["drops"][0]["sentence"] in text and record["drops"][0]["home"] == "test"
    assert "it served to choose something: validation" in text
    assert "Fold by fold" in text and "A map is no proof" in text and "Passed." in text
    assert text.count("data:image/png") == 10
    assert "damaged: the pixel data end early in (path)" in text
    assert record["cohort"]["quarantine"][0] == {
        "stage": "audit",
        "kind": "case",
        "reason": "near-duplicate of … in the test part",
        "count": 2,
    }
    confusion = pl.read_csv(run / "report" / "confusion_test.csv")
    assert confusion.select(BINARY).sum().sum_horizontal()[0] == record["evaluations"]["test"]["cases"]


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    before = text_of(run)
    write_report(run, resamples=300)
    assert text_of(run) == before


def test_without_the_optional_parts_it_says_what_is_missing(tmp_path: Path) -> None:
    run_folder(tmp_path, BINARY, full=False)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert Page(text).open == []
    for words in (
        "Not trained yet",
        "Not predicted yet",
        "Not exported yet",
        "No maps have been made yet",
        "no bundle yet",
    ):
        assert words in text
    assert "has not been judged" in text and record_of(tmp_path)["main"] is None


def test_several_classes(tmp_path: Path) -> None:
    run_folder(tmp_path, MANY)
    text = write_report(tmp_path, resamples=100).read_text(encoding="utf-8")
    assert Page(text).open == []
    assert "Class by class" in text and "mean of classes" in text
    record = record_of(tmp_path)
    assert set(record["evaluations"]["test"]["per_class"]) == set(MANY)
    table = pl.read_csv(tmp_path / "report" / "measures.csv")
    assert set(table["class"].drop_nulls().to_list()) >= set(MANY)


def test_labels_are_escaped_and_dollars_are_not_formulas(tmp_path: Path) -> None:
    labels = ["<b>no</b>", "$x & <script>y$"]
    run_folder(tmp_path, labels, full=False)
    predictions("test", labels).save(tmp_path / "predictions" / "test.parquet")
    text = write_report(tmp_path, resamples=50).read_text(encoding="utf-8")
    assert "<b>no" not in text and text.count("<script>") == 1 and "&lt;script&gt;" in text
    assert Page(text).open == []


def test_folds_stand_at_the_top_when_there_is_no_test_part(tmp_path: Path) -> None:
    run_folder(tmp_path, BINARY, full=False)
    predictions("folds", BINARY, folds=4).save(tmp_path / "predictions" / "folds.parquet")
    text = write_report(tmp_path, resamples=50).read_text(encoding="utf-8")
    assert "AUC, out of fold" in text and "no held-out test part" in text


def test_another_centre_without_truth_or_with_one_class(tmp_path: Path) -> None:
    run_folder(tmp_path, BINARY, full=False)
    predictions("test", BINARY).save(tmp_path / "predictions" / "test.parquet")
    for name, truth in (("external-A", None), ("external-B", "benign")):
        made = predictions(name, BINARY, seed=7)
        table = made.table.with_columns(truth=pl.lit(truth, dtype=pl.String))
        type(made)(table, made.task).save(tmp_path / "predictions" / f"{name}.parquet")
    text = write_report(tmp_path, resamples=50).read_text(encoding="utf-8")
    assert "no case has a known truth: A" in text
    assert "At B the AUC cannot be computed: no case here is malignant." in text


def test_the_private_folder_is_not_read(tmp_path: Path) -> None:
    run_folder(tmp_path, BINARY, full=False)
    (tmp_path / "private" / "crosswalk.parquet").write_bytes(b"not a table")
    assert write_report(tmp_path).exists()


def test_a_leak_that_was_allowed_marks_the_report(tmp_path: Path) -> None:
    from synthetic import cohort

    run_folder(tmp_path, BINARY, full=False)
    made = cohort(BINARY)
    about = made.about.model_copy(update={"leaks": "allow", "leaks_allowed": 4})
    type(made)(made.table, about).save(tmp_path)
    head = write_report(tmp_path).read_text(encoding="utf-8").split("<nav")[0]
    assert "4 cases leak from one part of the given split into another, and were allowed to" in head


def audited(cohort: Cohort, items: list[Item]) -> Audit:
    return Audit(
        cohort=cohort.digest, unit="series", cases=400, patients=400, labels=BINARY, several=False, counts={}, split_sentence="",
        parts={}, items=items, shortcuts=[], groups=[], missing=[], associations=[], pairs=[], quarantine=[],
    )  # fmt: skip


def test_an_alarm_of_the_audit_marks_the_report_of_its_own_cohort_alone(tmp_path: Path) -> None:
    run_folder(tmp_path, BINARY, full=False)
    made = Cohort.load(tmp_path)
    page = write_report(tmp_path)
    assert "The cohort was not audited. Do it with: hounsfield audit RUN" in page.read_text(encoding="utf-8")
    alarm = Item(level="alarm", topic="shortcut", sentence="Scanner <b> alone predicts malignant with AUC 0.91.")
    warning = Item(level="warning", topic="labels", sentence="3 pairs have two labels.")
    record = audited(made, [alarm, warning])
    record.save(tmp_path / "audit")
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Scanner &lt;b&gt; alone predicts malignant with AUC 0.91." in text.split("<nav")[0]
    assert "3 pairs have two labels." in text.split("<nav")[1] and "1 alarm and 1 warning" in text
    record.model_copy(update={"cohort": "of another cohort"}).save(tmp_path / "audit")
    assert "alone predicts" not in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_shortcut_at_home_is_named_as_a_cause_of_a_fall(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, BINARY)
    write_report(folder, resamples=100)
    assert "elsewhere they mean" not in text_of(folder)
    alarm = Item(level="alarm", topic="shortcut", sentence="Facts beside the anatomy predict 'malignant' with AUC 0.9.")
    audited(Cohort.load(folder), [alarm]).save(folder / "audit")
    write_report(folder, resamples=100)
    assert "the model may have learnt these, and elsewhere they mean" in text_of(folder).split('id="centres"')[1]


def test_leaks_in_quarantine_mark_the_report(tmp_path: Path) -> None:
    from synthetic import cohort

    run_folder(tmp_path, BINARY, full=False)
    made = cohort(BINARY)
    made.noting([("case-0", "case", "scan", "the same image stands in the test part (a leak)")]).save(tmp_path)
    head = write_report(tmp_path).read_text(encoding="utf-8").split("<nav")[0]
    assert "stood in two parts of the given split" in head


def test_pictures_lose_their_metadata_and_stay_in_their_folder(tmp_path: Path) -> None:
    from PIL import Image, PngImagePlugin

    run_folder(tmp_path, BINARY)
    note = PngImagePlugin.PngInfo()
    note.add_text("PatientName", "Jane Doe")
    Image.new("L", (900, 600)).save(tmp_path / "explain" / "0.png", pnginfo=note)
    text = write_report(tmp_path, resamples=20).read_text(encoding="utf-8")
    assert "Jane" not in text
    entries = files.read_json(tmp_path / "explain" / "panels.json")
    files.write_json(tmp_path / "explain" / "panels.json", [entries[0] | {"image": "../../etc/passwd"}])
    with pytest.raises(UsageError, match="outside its folder"):
        write_report(tmp_path, resamples=20)


@pytest.mark.parametrize(
    "name", ["export/parity.json", "train/history.csv", "explain/panels.json", "predictions/test.parquet"]
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    run_folder(tmp_path, BINARY)
    (tmp_path / name).write_text("broken")
    with pytest.raises(HounsfieldError) as caught:
        write_report(tmp_path, resamples=20)
    assert Path(name).name in str(caught.value)


def test_no_cohort_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cohort"):
        write_report(tmp_path)


def test_free_text_is_scrubbed() -> None:
    assert scrub("read /data/x/y.dcm on 2021-03-04 or 20210304") == "read (path) on (date) or (date)"
    assert scrub(r"in C:\Users\jane\a.dcm, 1.2.840.10008.1.2.1.99") == "in (path), (UID)"
    assert scrub("train/validation and 60/12/8/20, HU 1024") == "train/validation and 60/12/8/20, HU 1024"
    assert anonymous("like 0123456789abcdef") == "like …" and anonymous("defaced") == "defaced"
    assert [duration(4), duration(42), duration(120), duration(7200)] == ["4.0 s", "42 s", "2.0 min", "2.0 h"]
    assert operating_point("sensitivity>=0.95") == "a sensitivity of at least 0.95"


def test_several_labels_per_case(tmp_path: Path) -> None:
    run_folder(tmp_path, MANY)  # stale files of another task
    several_folder(tmp_path)
    for stale in ("folds", "validation"):
        (tmp_path / "predictions" / f"{stale}.parquet").unlink()
    text = write_report(tmp_path, resamples=100).read_text(encoding="utf-8")
    page, record = Page(text), record_of(tmp_path)
    assert page.open == [] and len(page.ids) == len(set(page.ids)) and page.pictures_without_words == 0
    main = record["evaluations"]["test"]
    assert set(main["per_class"]) == set(SEVERAL) and "mean of labels" in text and "mean of classes" not in text
    assert "Label by label" in text and "Confusion matrix" not in text and "Class by class" not in text
    for label in SEVERAL:
        row = main["prevalence"][label]
        counts = f"{row['cases']} / {row['absent']} / {main['cases'] - row['known']}"
        assert counts in text and f"{main['thresholds'][label]:.3f}" in text
        assert decimals(main["per_class"][label]["auc"]["value"]) in text
        assert label in record["drops"][0]["areas"]
    table = pl.read_csv(tmp_path / "report" / "confusion_test.csv")
    assert table["label"].to_list() == SEVERAL
    assert table.drop("label").sum_horizontal().to_list() == [main["prevalence"][label]["known"] for label in SEVERAL]
    states = record["cohort"]["states"]
    assert all(sum(row[kind] for kind in ("present", "absent", "uncertain", "unknown")) == 400 for row in states)
    assert record["cohort"]["labels"] == SEVERAL and record["cohort"]["total"]["counts"][0] == states[0]["present"]


def test_a_label_that_cannot_be_judged_is_said_on_the_page(tmp_path: Path) -> None:
    several_folder(tmp_path)
    made = several("test", seed=1)
    for labels in (["nodule"], SEVERAL):
        table = made.table.with_columns(pl.lit(0, pl.Int8).alias(f"truth:{label}") for label in labels)
        type(made)(table, made.task).save(tmp_path / "predictions" / "test.parquet")
        text = write_report(tmp_path, resamples=20).read_text(encoding="utf-8")
        assert Page(text).open == [] and "not judged: no case here is nodule" in text


def test_the_model_card_tells_what_the_run_knows_and_leaves_the_rest_open(run: Path) -> None:
    text = (run / "report" / "model_card.md").read_text(encoding="utf-8")
    record = record_of(run)
    area = record["evaluations"]["test"]["estimates"]["auc"]
    assert (
        f"| AUC | {area['value']:.2f} (" in text
        and "| Operating point |" in text
        and "| Group | Patients | AUC |" in text
    )
    assert text.count("**OPEN**") >= 6 and "At Utrecht the AUC is" in text and "None" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.endswith("|") for row in rows)
    assert not re.search(r"\n\n\n", text)


def test_the_model_card_of_a_run_that_was_not_judged_says_so(tmp_path: Path) -> None:
    run_folder(tmp_path, BINARY, full=False)
    write_report(tmp_path, resamples=50)
    text = (tmp_path / "report" / "model_card.md").read_text(encoding="utf-8")
    assert "Not judged yet." in text and "how it does elsewhere is not known" in text


def test_reporting_items_are_filled_where_the_run_knows_and_open_elsewhere(run: Path) -> None:
    """All 44 items of CLAIM 2024 and the 27 (52 with parts) of TRIPOD+AI, on the page, as CSV and to be completed."""
    rows = pl.read_csv(run / "report" / "reporting.csv", infer_schema_length=None)
    claim, tripod = (rows.filter(pl.col("guideline") == name) for name in ("CLAIM 2024", "TRIPOD+AI"))
    assert claim["number"].to_list() == [str(number) for number in range(1, 45)]
    assert tripod.height == 52 and {int(str(x).rstrip("abcdefg")) for x in tripod["number"]} == set(range(1, 28))
    assert set(rows["status"]) == {"answered", "partly", "open"}
    told = {str(row["number"]): row for row in claim.iter_rows(named=True)}
    for number in ("15", "18", "34", "44"):  # nobody but a person can know these
        assert told[number]["status"] == "open" and not told[number]["answer"] and told[number]["open"]
    main = record_of(run)["evaluations"]["test"]
    assert f"{main['cases']} cases of {main['patients']} patients" in told["32"]["answer"]
    assert record_of(run)["drops"][0]["sentence"] in told["33"]["answer"]
    assert f"{main['confusion'][1][0]} malignant called benign" in told["39"]["answer"]
    assert "cross-entropy" in told["25"]["answer"] and "/home/someone" not in told["24"]["answer"]
    text, page = (run / "report" / "reporting.md").read_text(), text_of(run)
    assert text.count("**OPEN**: ") == rows["open"].is_not_null().sum() == page.count('class="open"')
    assert text.count("- **") == 96


def test_reporting_items_of_a_run_that_was_not_judged_stay_open(tmp_path: Path) -> None:
    write_report(run_folder(tmp_path, BINARY, full=False))
    rows = pl.read_csv(tmp_path / "report" / "reporting.csv", infer_schema_length=None)
    claim = {str(row["number"]): row for row in rows.filter(pl.col("guideline") == "CLAIM 2024").iter_rows(named=True)}
    for number in ("31", "32", "33", "37", "38", "39"):
        assert claim[number]["status"] == "open" and claim[number]["open"]
    assert claim["22"]["status"] == "answered"


@pytest.mark.parametrize("folder", [lambda path: run_folder(path, MANY), several_folder])
def test_reporting_items_are_filled_for_other_tasks(tmp_path: Path, folder: Callable[[Path], Path]) -> None:
    write_report(folder(tmp_path), resamples=100)
    rows = pl.read_csv(tmp_path / "report" / "reporting.csv", infer_schema_length=None)
    assert rows.height == 96 and rows.filter(pl.col("number") == "37")["answer"][0].startswith(
        "Held-out test part: AUC"
    )


def test_other_maps_and_their_checks_stand_below_the_first(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, BINARY)
    entries = files.read_json(folder / "explain" / "panels.json")
    first = entries[0]
    first["maps"] = [
        {"title": title, "overlay": first["overlay"], "note": f"colours run from {low} to 2"}
        for title, low in (("SHAP (superpixels)", "−2"), ("LIME", "−1"))
    ]
    first["checks"] = [
        {
            "name": "randomisation",
            "method": "lime",
            "value": 0.1,
            "limit": 0.3,
            "passed": True,
            "said": "rank correlation 0.10",
        },
        {"name": "deletion", "method": "lime", "value": 1.0, "limit": 0.5, "passed": False, "said": "mean logit 1.00"},
        {"name": "agreement", "method": "a, b", "value": None, "limit": 0.3, "passed": None, "said": "one is empty"},
    ]
    files.write_json(folder / "explain" / "panels.json", entries)
    write_report(folder, resamples=100)
    looks = text_of(folder).split('id="looks"')[1].split("</section>")[0]
    assert "LIME: colours run from −1 to 2" in looks and "1 of 2 checks passed" in looks
    assert ">failed</span>; mean logit 1.00" in looks and "Agreement (a, b): not asked; one is empty" in looks
    assert looks.count("data:image/png") == 11


def test_where_the_maps_lie_stands_on_top_if_it_is_no_good(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    made = looks(16, 3.0, 15)
    made.mean_maps = {"yes": (np.eye(8), np.ones((8, 8)))}
    made.leave_out("nothing in the image spoke for the decided label", 3)
    made.lesions = [
        LesionLook(f"c{number}", f"p{number}", "yes", "lime", OnLesion(0.1, 0.3, number < 9, number < 3))
        for number in range(12)
    ]
    found = judge_looks(made)
    digest = files.read_json(folder / "bundle" / "manifest.json")["core_digest"]
    write_attention(folder / "explain", digest, made, found)
    text = write_report(folder).read_text(encoding="utf-8")
    head, below = text.split("<nav")[0], text.split("<nav")[1]
    assert "The model depends on a marker." in head
    assert "LIME points at the lesion in 75%" in below and "Left out, 3: nothing in the image spoke" in below
    assert "Mean of 20 cases called yes" in below
    record = record_of(folder)["attention"]
    assert record["zones"][0]["peak"]["value"] == 0.8
    table = pl.read_csv(folder / "report" / "attention.csv")
    assert table.filter(pl.col("figure") == "peak")["value"][0] == 0.8
    assert pl.read_csv(folder / "report" / "pointing.csv").filter(pl.col("figure") == "peak")["value"][0] == 0.75
    # Of another bundle it says nothing.
    write_attention(folder / "explain", "another", made, found)
    assert "depends on a marker" not in write_report(folder).read_text(encoding="utf-8")
