"""Another centre for a bundle of several labels per case: its labels in the bundle's order, and nothing guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hounsfield.cohort import Labelling, Looking, scan_for_prediction
from hounsfield.core import Cohort
from hounsfield.errors import LabelError

LABELS = ["mass", "effusion", "nodule"]


def scanned(folder: Path, table: str | None, **labelling: object) -> Cohort:
    generator = np.random.default_rng(0)
    for name in "abc":
        Image.fromarray(generator.integers(0, 255, (40, 40), dtype=np.uint8)).save(folder / f"{name}.png")
    how = Labelling()
    if table is not None:
        (folder / "labels.csv").write_text(table)
        how = Labelling(table=folder / "labels.csv", **labelling)  # type: ignore[arg-type]
    return scan_for_prediction(
        folder, LABELS, None, how, multi_label=True, looking=Looking(pixels=False), key_file=folder / "key"
    )


def states_of(cohort: Cohort) -> list[list[int | None]]:
    assert cohort.about.multi_label and cohort.about.labels == LABELS
    assert cohort.table["label"].null_count() == cohort.table.height
    assert set(cohort.part("test")["split"]) == {"test"}
    return sorted(cohort.part("test")["states"].to_list(), key=str)


def test_columns_named_after_labels_are_found_whatever_their_order(tmp_path: Path) -> None:
    found = scanned(tmp_path, "file,nodule,age,mass\na.png,1,50,0\nb.png,0,60,-1\nc.png,,70,1\n")
    assert states_of(found) == sorted([[0, None, 1], [-1, None, 0], [1, None, None]], key=str)


def test_one_column_alone_is_read_as_states(tmp_path: Path) -> None:
    found = scanned(tmp_path, "file,effusion\na.png,1\nb.png,0\nc.png,1\n")
    assert states_of(found) == sorted([[None, 1, None], [None, 0, None], [None, 1, None]], key=str)


def test_a_list_of_labels_even_where_no_case_has_two(tmp_path: Path) -> None:
    found = scanned(tmp_path, "file,finding\na.png,mass\nb.png,No finding\nc.png,effusion\n", label=("finding",))
    assert states_of(found) == sorted([[1, 0, None], [0, 0, None], [0, 1, None]], key=str)


def test_uncertain_counts_as_asked_for(tmp_path: Path) -> None:
    found = scanned(tmp_path, "file,mass\na.png,-1\nb.png,0\nc.png,1\n", uncertain="present")
    assert sorted(row[0] for row in states_of(found)) == [0, 1, 1]


def test_without_a_table_nothing_is_known(tmp_path: Path) -> None:
    assert scanned(tmp_path, None).part("test")["states"].null_count() == 3


def test_labels_that_the_bundle_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"does not know the label\(s\) hernia"):
        scanned(tmp_path, "file,mass,hernia\na.png,1,0\nb.png,0,1\nc.png,1,1\n", label=("mass", "hernia"))
