"""MLflow, for those who keep their experiments there; an extra, and nothing of a patient goes to it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger

from hounsfield.core import files
from hounsfield.core.plan import Plan
from hounsfield.errors import UsageError

EXPERIMENT = "hounsfield"


def mlflow_logger(place: str, plan: Plan, member: int) -> Logger:
    """Return a logger that writes a member's metrics, and the plan's values, to an MLflow tracking URI or a folder.

    A folder gets a database, mlflow.db: MLflow's newer versions write no plain files any more.

    Raises
    ------
    UsageError
        If MLflow is not installed.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError("MLflow is not installed", fix="Install it with: pip install hounsfield[mlflow]")
    uri = place if "://" in place else f"sqlite:///{files.make_folder(Path(place)).resolve() / 'mlflow.db'}"
    logger = MLFlowLogger(EXPERIMENT, run_name=f"{plan.digest[:8]} member {member}", tracking_uri=uri)
    values = {name: decision.model_dump(mode="json")["value"] for name, decision in plan.portable().decisions.items()}
    logger.log_hyperparams({name: value for name, value in values.items() if name != "cost"} | {"member": member})
    return logger
