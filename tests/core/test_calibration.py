"""A calibration holds one number for all outputs, or one for each."""

from __future__ import annotations

from typing import Any

import pytest

from hounsfield.core import Calibration

GOOD: dict[str, Any] = {"temperature": 1.0, "offsets": [0.1, 0.2], "fitted_on": "calibration", "cases": 9}


def test_temperatures_take_the_place_of_the_common_one() -> None:
    assert Calibration(**GOOD).divisors == 1.0
    made = Calibration(**GOOD, temperatures=[1.5, 0.7], thresholds=[0.3, 0.6])
    assert made.divisors == [1.5, 0.7]
    assert Calibration.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    "change",
    [
        {"temperatures": [1.0]},
        {"temperatures": [1.0, 0.0]},
        {"thresholds": [0.5, 0.5, 0.5]},
        {"thresholds": [0.5, 0.5], "threshold": 0.5},
    ],
)
def test_numbers_that_do_not_fit(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"one per output|greater than 0"):
        Calibration(**(GOOD | change))
