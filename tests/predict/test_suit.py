"""What a bundle notes of its training cases, and what it asks of a new one's header."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from hounsfield.core import Bundle
from hounsfield.errors import BundleError
from hounsfield.predict.suit import Seen, checks, noted


def bundle(**known: Any) -> Bundle:
    return cast(Bundle, SimpleNamespace(reference={"input": known} if known else {}, folder=Path("bundle")))


def row(**values: Any) -> dict[str, Any]:
    return {"modality": None, "body_part": None, "spacing": None} | values


def test_headers_that_contradict_the_training_are_named() -> None:
    ask, check = checks(bundle(modalities=["CT"], body_parts=["HEAD", "BRAIN"], spacing=[0.4, 0.6]))
    seen = check(np.array([0.0, 1.0]).reshape(1, 1, 1, 2), None)
    assert seen == Seen(None, 0.5, 0.5, None)
    assert ask(row()) is None and ask(row(modality="CT", body_part="SKULL", spacing=[0.5, 0.5])) is None
    assert "modality is US" in str(ask(row(modality="US")))
    assert "shows the chest" in str(ask(row(modality="CT", body_part="CHEST")))
    assert "1.3 mm" in str(ask(row(spacing=[1.3, 1.3]))) and "0.19 mm" in str(ask(row(spacing=[0.19, 0.19])))
    assert ask(row(spacing=[1.15, 1.15])) is None and ask(row(spacing=[0.25, 0.25])) is None


def test_a_body_part_that_nobody_knows_contradicts_nothing() -> None:
    ask, _ = checks(bundle(modalities=[], body_parts=["PHANTOM"], spacing=None))
    assert ask(row(body_part="CHEST", modality="MR")) is None
    ask, _ = checks(bundle(modalities=["MR"], body_parts=["HEAD"], spacing=None))
    assert ask(row(body_part="SOMETHING")) is None


def test_an_older_bundle_asks_nothing_and_a_damaged_one_is_refused() -> None:
    ask, check = checks(bundle())
    assert ask(row(modality="US", spacing=[9.0, 9.0])) is None
    assert check(np.zeros((1, 1, 4, 4)), None).reason is None
    with pytest.raises(BundleError, match="not valid"):
        checks(bundle(suited={"turned": 3}))


def test_what_is_noted_names_no_case() -> None:
    table = pl.DataFrame(
        {
            "modality": ["CT", "CT", None],
            "body_part": ["HEAD", None, "CHEST"],
            "spacing": [[0.5, 0.4], None, [0.7, 0.9]],
        }
    )
    assert noted(table, None) == {
        "modalities": ["CT"],
        "body_parts": ["CHEST", "HEAD"],
        "spacing": [0.4, 0.9],
        "suited": None,
    }
