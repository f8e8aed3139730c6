"""What the planner is told of a cohort: labels, slices, millimetres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import polars as pl
import pytest

from hounsfield.cohort import Labelling, Looking, Stated, scan
from hounsfield.plan import fingerprint, make_plan
from hounsfield.plan.counting import count_labels

UNSEEN = Looking(pixels=False)


def test_counting_knows_what_is_not_known() -> None:
    table = pl.DataFrame(
        {
            "patient": ["a", "a", "b", "c", "d"],
            "label": [None] * 5,
            "states": [[1, 0], [1, None], [0, -1], [None, 1], [1, 1]],
        },
        schema_overrides={"states": pl.List(pl.Int8), "label": pl.String},
    )
    counts = count_labels(table, ["x", "y"], multi_label=True)
    assert counts.present == {"x": 3, "y": 2}
    assert counts.known == {"x": 4, "y": 3}, "null and uncertain are not known"
    assert counts.patients == {"x": 2, "y": 2}
    single = pl.DataFrame({"patient": ["a", "a", "b"], "label": ["x", "x", "y"], "states": [None] * 3})
    assert count_labels(single, ["x", "y"], multi_label=False).present == {"x": 2, "y": 1}
    assert count_labels(single, ["x", "y"], multi_label=False).patients == {"x": 1, "y": 1}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """40 volumes of 6 to 12 slices, 0.8×0.8×2.5 mm, with two findings each, some of them not known."""
    folder = tmp_path_factory.mktemp("several")
    rows = []
    for number in range(40):
        values = np.random.default_rng(number).integers(0, 900, (70, 66, 6 + number % 7)).astype(np.int16)
        nibabel.Nifti1Image(values, np.diag([0.8, 0.8, 2.5, 1.0])).to_filename(folder / f"case{number}.nii")
        rows.append((f"case{number}", "" if number % 10 == 0 else str(number % 2), str(int(number % 4 == 0))))
    table = folder / "labels.csv"
    pl.DataFrame(rows, schema=["case", "odd", "fourth"], orient="row").write_csv(table)
    labelling = Labelling(table=table, key="case", label=("odd", "fourth"))
    return scan(folder, labelling, looking=UNSEEN, stated=Stated(modality="MR"), workers=0)


def test_a_cohort_of_several_findings(several: Any) -> None:
    found = fingerprint(several, workers=0)
    assert found.multi_label and found.labels == ["odd", "fourth"] and found.positive is None
    states = np.array(several.part("train")["states"].to_list(), dtype=float)
    assert found.known == {"odd": int(np.isfinite(states[:, 0]).sum()), "fourth": len(states)}
    assert found.counts == {"odd": int((states[:, 0] == 1).sum()), "fourth": int((states[:, 1] == 1).sum())}
    assert found.parts == several.parts and sum(found.parts.values()) == 40
    assert 6 <= found.fewest_frames <= found.frames <= found.most_frames <= 12
    assert found.fewest_frames < found.most_frames


def test_millimetres_come_from_table_and_files(several: Any) -> None:
    found = fingerprint(several, workers=0)
    assert found.pixel_spacing == pytest.approx((0.8, 0.8))
    assert found.slice_spacing == pytest.approx(2.5)
    assert found.anisotropy == pytest.approx(2.5 / 0.8)
    assert not found.is_small_volume, "planes of 70×66"


@pytest.mark.usefixtures("unmeasured")
def test_a_plan_of_several_findings(several: Any) -> None:
    plan = make_plan(several, workers=0, device="cpu")
    assert (plan.task.value, plan.positive.value, plan.outputs) == ("multilabel", None, ["odd", "fourth"])
    weights = plan.loss.value.class_weights
    assert weights["fourth"] > 2 > weights["odd"]
    assert (plan.dimension.value, plan.adjacent.value, plan.channels.value) == ("2.5d", 1, 3)
    assert all(decision.reason for decision in plan.decisions.values())
    volume = make_plan(several, workers=0, device="cpu", decisions={"dimension": "3d"})
    assert volume.backbone.value in ("resnet18_half", "resnet18") and volume.channels.value == 1
    assert volume.spacing.value == (2.5, 0.8, 0.8) and volume.region.value.kind == "foreground"


def test_single_slices_tell_how_far_they_lie_apart(tmp_path: Path) -> None:
    from hounsfield.phantom import generate

    generate(tmp_path / "images", patients_a=20, patients_b=2, slices=6, seed=3)
    found = fingerprint(scan(tmp_path / "images" / "centre-a", _phantom_labels(tmp_path), looking=UNSEEN), workers=0)
    assert found.kind == "dicom" and found.frames == 6
    assert found.slice_spacing is not None and found.slice_spacing > 0


def _phantom_labels(place: Path) -> Labelling:
    return Labelling(table=place / "images" / "labels.csv", label=("nodule",))
