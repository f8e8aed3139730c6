"""MLflow hears of metrics and of the plan, and is missed in plain words."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from hounsfield.core import Plan
from hounsfield.errors import UsageError
from hounsfield.train import tracking

Make = Callable[..., Plan]


def test_it_is_missed_in_plain_words(plan: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="MLflow is not installed") as caught:
        tracking.mlflow_logger(str(tmp_path), plan(), 0)
    assert "hounsfield[mlflow]" in str(caught.value.fix)


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="MLflow is an extra")
def test_it_hears_of_metrics_and_of_the_plan(plan: Make, tmp_path: Path) -> None:
    settings = plan()
    logger = tracking.mlflow_logger(str(tmp_path / "runs"), settings, 2)
    logger.log_metrics({"validation_auc": 0.75}, step=1)
    logger.finalize("success")
    run = logger.experiment.get_run(logger.run_id)
    assert run.data.metrics["validation_auc"] == 0.75
    assert run.data.params["backbone"] == settings.backbone.value and run.data.params["member"] == "2"
    assert "cost" not in run.data.params and (tmp_path / "runs" / "mlflow.db").is_file()
