"""Bad input on the command line: exit code 2, one readable message with what to do, and never a traceback."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image as Picture

from hounsfield.cli import main
from hounsfield.core import Bundle, Calibration, Plan
from hounsfield.core.manifest import CORE
from hounsfield.models import build
from hounsfield.plan import fingerprint, plan_from
from hounsfield.prepare import recipe_of

Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail; return its message, spaces made single."""

    def run(*words: object) -> str:
        monkeypatch.setattr("sys.argv", ["hounsfield", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        told = capsys.readouterr()
        assert caught.value.code == 2, told
        assert "Traceback" not in told.out + told.err
        assert told.err.strip()
        if "Usage:" not in told.err:
            assert told.err.count("error: ") == 1
            assert len(told.err.strip().splitlines()) <= 3, "what, where and what to do"
        return re.sub(r"[\s│╭╮╰╯─]+", " ", told.err)

    return run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Sixteen pictures, without labels."""
    return draw(tmp_path / "images", [f"{number}.png" for number in range(16)])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scanned run folder."""
    names = [f"{('no', 'yes')[number % 2]}/{number}.png" for number in range(16)]
    folder = draw(tmp_path / "classes", names)
    with monkeypatch.context() as patch:
        arguments = ["scan", folder, "--out", tmp_path / "run", "--folds", "3", "--workers", "0"]
        patch.setattr("sys.argv", ["hounsfield", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
    assert caught.value.code in (0, None)
    return tmp_path / "run"


@pytest.fixture
def bundle(tmp_path: Path, run: Path) -> Path:
    """A sealed bundle that was never trained."""
    from hounsfield.core import Cohort
    from hounsfield.core.plan import Cost, Decision
    from hounsfield.plan import make

    cohort = Cohort.load(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "measure", lambda *_: None)
        patch.setattr(make, "cost_of", lambda *_, **__: Decision(value=Cost(minutes=1, memory=1, disk=1)))
        plan: Plan = plan_from(
            fingerprint(cohort, workers=0),
            cohort.digest,
            decisions={"backbone": "mobilenetv3_small_050", "weights": "none", "size": [32, 32], "members": 1},
        )
    build(plan).save(tmp_path / "w.safetensors")
    calibration = Calibration(temperature=1, offsets=[0], threshold=0.5, fitted_on="nothing", cases=0)
    place = tmp_path / "bundle"
    Bundle.seal(
        place,
        plan=plan,
        recipe=recipe_of(plan),
        calibration=calibration,
        reference={},
        weights=tmp_path / "w.safetensors",
    )
    return place


def draw(folder: Path, names: Sequence[str]) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8), dtype=np.uint8)
        Picture.fromarray(pixels).save(folder / name)
    return folder


def table(folder: Path, *lines: str) -> Path:
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


SCANS = ["scan", "run"]
HALF = ["file,label", *[f"{number},{number % 2}" for number in range(16)]]
FEW = ["file,label", *[f"{number},{'yes' if number < 3 else 'no'}" for number in range(16)]]


@pytest.mark.parametrize("command", SCANS)
def test_no_images(refused: Refused, tmp_path: Path, command: str) -> None:
    place, out = tmp_path / "images", ("--out", tmp_path / "out", "--workers", 0)
    assert "does not exist" in refused(command, place, *out)
    place.mkdir()
    assert "no images: the folder is empty" in refused(command, place, *out)
    for name in ("notes.txt", "more.txt"):
        (place / name).write_text("words [bold]and[/bold] words")
    message = refused(command, place, *out)
    assert "no images among 2 files: 2× not an image" in message
    assert str(place) in message


def test_images_that_are_a_file(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    assert "no images" in refused("scan", tmp_path / "notes.txt", "--out", tmp_path / "out", "--workers", 0)


@pytest.mark.parametrize("command", SCANS)
@pytest.mark.parametrize(
    ("lines", "options", "words"),
    [
        (None, [], "the label table does not exist"),
        (["file,label", *[f"x{number},no" for number in range(9)]], [], "no labels match"),
        (["file,label", *[f"{number},no" for number in range(16)]], [], "one class only"),
        (FEW, ["--folds", 5], "fewer patients than folds"),
        (FEW, [], "fewer patients than parts"),
        (["file,label", *[f"{n},{word}" for n in range(16) for word in ("no", "yes")]], [], "two labels for one case: rows 2, 3"),
        (HALF, ["--uncertain", "maybe"], "--uncertain 'maybe'"),
        (HALF, ["--blank", "yes"], "--blank 'yes'"),
        (HALF, ["--split", "random"], "--split 'random' is no way to split"),
        (HALF, ["--split", "time"], "no study date is known"),
        (HALF, ["--split", "site=North"], "no case has the site 'North'"),
        (HALF, ["--split", "column=part"], "there is no column 'part'"),
        (HALF, ["--leaks", "hide"], "--leaks 'hide'"),
        (HALF, ["--repeats", 2], "--repeats 2 needs folds"),
        (HALF, ["--label", "y"], "there is no column 'y'"),
        (HALF, ["--key", "z"], "there is no column 'z'"),
        (HALF, ["--positive", "ill"], "the positive label 'ill'"),
        (HALF, ["--patient-pattern", "("], "no regular expression"),
        (HALF, ["--folds", 2], "2 folds are too few"),
        (["file", "1"], [], "1 column"),
    ],
)  # fmt: skip
def test_labels(
    refused: Refused,
    images: Path,
    tmp_path: Path,
    command: str,
    lines: list[str] | None,
    options: list[object],
    words: str,
) -> None:
    labels = tmp_path / "none.csv" if lines is None else table(tmp_path, *lines)
    message = refused(command, images, "--labels", labels, "--out", tmp_path / "out", "--workers", 0, *options)
    assert words in message
    if "--patient-pattern" not in options:
        assert "to do:" in message


def test_no_labels_at_all(refused: Refused, images: Path, tmp_path: Path) -> None:
    assert "--labels" in refused("scan", images, "--out", tmp_path / "out", "--workers", 0)


@pytest.mark.parametrize("command", SCANS)
def test_a_file_in_the_place_of_the_run(refused: Refused, run: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "taken").write_text("")
    for out in (tmp_path / "taken", tmp_path / "taken" / "deeper"):
        message = refused(command, run.parent / "classes", "--out", out, "--workers", 0)
        assert "cannot create the folder" in message
        assert "--out" in message


def test_a_bad_key_file(refused: Refused, run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.key").write_text("short")
    out = ("--out", tmp_path / "out", "--workers", 0, "--folds", 3)
    assert "--key-file" in refused("scan", run.parent / "classes", "--key-file", tmp_path / "bad.key", *out)
    assert "key" in refused("scan", run.parent / "classes", "--key-file", tmp_path, *out)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "epochs"], "not of the form name=value"),
        (["--set", "epocs=3"], "no decision named epocs"),
        (["--set", "epochs=many"], "epochs"),
        (["--set", "epochs=0"], "epochs must be at least 1"),
        (["--set", "size=[32"], "--set size"),
        (["--set", "size=8"], "size"),
        (["--set", "windows=[[40, 0]]"], "windows"),
        (["--set", "slices=four"], "slices"),
        (["--set", "frozen=everything"], "frozen"),
        (["--set", "conditioning=nonsense"], "conditioning"),
        (["--set", "operating_point=best"], "operating_point"),
        (["--set", "loss={name: hinge}"], "loss"),
        (["--set", "device=cpu"], "device"),
        (["--set", "workers=3"], "workers"),
        (["--set", "cost=3"], "cost"),
        (["--set", "seed=2021-01-01"], "seed"),
        (["--loss", "hinge"], "loss"),
        (["--backbone", "resnett50"], "resnett50"),
        (["--backbone", "resnet18", "--weights", "packaged"], "not at hand"),
        (["--weights", "nowhere.pth"], "not at hand"),
        (["--device", "abacus"], "no device named 'abacus'"),
        (["--epochs", "3"], "No such option"),
    ],
)
def test_decisions(refused: Refused, run: Path, words: list[str], told: str) -> None:
    assert told in refused("plan", run, "--workers", 0, *words)
    assert not (run / "plan.yaml").exists()


@pytest.mark.parametrize("external", ["other", "=other", "B=", "B=a B=b"])
def test_external_without_a_name(refused: Refused, images: Path, tmp_path: Path, external: str) -> None:
    options = [word for pair in external.split() for word in ("--external", pair)]
    assert "NAME=FOLDER" in refused("run", images, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["plan", "train", "predict", "evaluate", "explain", "export", "show"])
def test_folders_that_are_no_runs(refused: Refused, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "none"):
        message = refused(command, place)
        assert str(place) in message
        assert not (tmp_path / "none").exists(), "a mistyped name makes no folder"


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "explain", "export"])
def test_what_comes_too_early(refused: Refused, run: Path, command: str) -> None:
    message = refused(command, run)
    assert "to do: Make" in message or "to do: Run" in message or "missing" in message


def test_a_plan_of_another_cohort(refused: Refused, run: Path, bundle: Path) -> None:
    plan = Plan.load(bundle / "plan.yaml")
    plan.model_copy(update={"cohort": "0" * 64}).save(run / "plan.yaml")
    assert "the plan was made for another cohort" in refused("train", run, "--workers", 0)
    (run / "plan.yaml").write_text("epochs: [")
    assert "plan.yaml" in refused("train", run, "--workers", 0)
    (run / "plan.yaml").write_text("epochs: 3")
    assert "plan.yaml" in refused("train", run, "--workers", 0)


@pytest.mark.parametrize("name", CORE)
def test_a_corrupted_bundle(refused: Refused, bundle: Path, images: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    message = refused("predict", bundle, images, "--out", tmp_path / "p.csv", "--workers", 0)
    assert "changed after it was sealed" in message
    assert name in message
    assert not (tmp_path / "p.csv").exists()


def test_predicting_what_cannot_be_predicted(refused: Refused, bundle: Path, images: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "p.csv", "--workers", 0)
    assert "no device named 'abacus'" in refused("predict", bundle, images, "--device", "abacus", *out)
    assert ".parquet or .csv" in refused("predict", bundle, images, "--out", tmp_path / "p.xlsx", "--workers", 0)
    assert "does not exist" in refused("predict", bundle, tmp_path / "none", *out)
    labels = table(tmp_path, "file,label", *[f"{number},{('no', 'cancer')[number % 2]}" for number in range(16)])
    assert "does not know the label(s) cancer" in refused("predict", bundle, images, "--labels", labels, *out)
    (tmp_path / "taken").write_text("")
    assert "taken" in refused("predict", bundle, images, "--out", tmp_path / "taken" / "p.csv", "--workers", 0)
    for path in images.iterdir():
        path.write_bytes(path.read_bytes()[:60])
    message = refused("predict", bundle, images, *out)
    assert "no images" in message or "can be read" in message


def test_predicting_a_part_that_is_not_there(refused: Refused, run: Path, bundle: Path) -> None:
    bundle.rename(run / "bundle")
    message = refused("predict", run, "--part", "tomorrow", "--workers", 0)
    assert "no usable cases in its tomorrow part" in message
    assert "Parts: train" in message


def test_tables_that_hold_no_predictions(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_text("words")
    assert "not a table of predictions" in refused("evaluate", tmp_path / "p.parquet")
    assert "no predictions here" in refused("evaluate", tmp_path / "none.parquet")
    assert "not a table of predictions" in refused("show", tmp_path / "p.parquet")
    pl.DataFrame({"case": ["a"]}).write_parquet(tmp_path / "q.parquet")
    assert "not a table of predictions" in refused("evaluate", tmp_path / "q.parquet")
    assert "--resamples" in refused("evaluate", tmp_path / "q.parquet", "--resamples", "3")


@pytest.mark.parametrize("options", [[], ["--plan"], ["--cases"], ["--quarantine"], ["--cases", "--paths"]])
def test_showing_nonsense(refused: Refused, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "notes.txt").write_text("words")
    for place in (tmp_path / "notes.txt", tmp_path / "none", tmp_path):
        assert refused("show", place, *options)


def test_commands_that_do_not_exist(refused: Refused) -> None:
    assert "No such command" in refused("diagnose")
    assert "Missing argument" in refused("scan")
