"""`hounsfield explain RUN --case KEY`: a page and a picture of the case, beside what the report shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hounsfield.cli import main
from hounsfield.core import Cohort, Predictions
from hounsfield.explain import methods
from hounsfield.pipeline.folder import RunFolder


def explained(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["hounsfield", "explain", *map(str, words), "--device", "cpu", "--workers", "0"])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_a_named_case_gets_its_page(finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "QUESTIONS", 48)
    run = tmp_path / "run"
    shutil.copytree(finished.path, run, ignore=shutil.ignore_patterns("store", "train"))
    predictions = Predictions.load(run / "predictions" / "test.parquet")
    first, second = predictions.table["case"][:2]
    assert explained(monkeypatch, run, "--case", first) == 0
    folder = run / "explain"
    page, record = (folder / f"{first}.html").read_text(), json.loads((folder / f"{first}.json").read_text())
    assert [one["method"] for one in record["maps"]] == ["gradcam", "kernel-shap", "lime"]
    assert record["window"]["unit"] == "HU" and "window centre" in page and f"slice {record['slice']} of the 3" in page
    # The phantom lies on its back and is shown as customary.
    assert record["marks"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"} and record["frames"] == 8
    assert record["agreement"]["sentence"] in page and (folder / f"{first}-page.png").is_file()
    cohort = Cohort.load(run)
    train = cohort.part("train")
    near = record["similar"]
    assert len(near["neighbours"]) == 5 and near["among"] == train.height
    patient = dict(zip(cohort.table["case"], cohort.table["patient"], strict=True))
    for one in near["neighbours"]:
        assert one["case"] in set(train["case"]) and patient[one["case"]] != patient[first]
        assert one["case"] in page and (folder / one["picture"]).is_file() and 0 <= one["rank"] <= 1
    # Nothing that tells where the run lies is in the page, and nothing was added to the sealed bundle.
    assert str(run) not in page and str(finished.path) not in page
    assert not any((run / "bundle" / name).exists() for name in ("neighbours.npz",))
    assert [one["case"] for one in json.loads((folder / "panels.json").read_text())] == [first]

    kept = (folder / "neighbours.npz").stat().st_mtime_ns
    assert explained(monkeypatch, run, "--case", second, "--method", "gradcam") == 0
    record = json.loads((folder / f"{second}.json").read_text())
    assert record["agreement"] is None and len(record["maps"]) == 1
    assert (folder / "neighbours.npz").stat().st_mtime_ns == kept, "the training cases were not read again"
    assert explained(monkeypatch, run, "--case", "case-nobody") == 2
