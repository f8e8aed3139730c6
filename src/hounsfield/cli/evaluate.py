"""hounsfield evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hounsfield.cli.app import app, console

if TYPE_CHECKING:
    from hounsfield.core.predictions import Predictions
    from hounsfield.evaluate import Evaluation, ModelComparison

What = Annotated[
    Path,
    typer.Argument(
        help="A run folder, or a table of predictions (Parquet, CSV; ours or another tool's).", metavar="RUN|TABLE"
    ),
]
Resamples = Annotated[int, typer.Option("--resamples", help="Resamples of the bootstrap over patients.", min=100)]
Prevalence = Annotated[
    list[float] | None,
    typer.Option(
        "--prevalence", help="A share with the disease, such as 0.02, to tell the operating points for; repeatable."
    ),
]
Against = Annotated[
    Path | None, typer.Option("--against", help="Predictions of a first model on the same cases, to compare with.")
]
Positive = Annotated[
    str | None, typer.Option("--positive", help="Of two labels the one that means disease (another tool's table).")
]
Logits = Annotated[bool, typer.Option("--logits", help="The scores of another tool's table are log odds.")]
By = Annotated[
    list[str] | None,
    typer.Option("--by", help="A column of the table whose values make groups of patients; repeatable."),
]
Per = Annotated[
    Literal["case", "patient-mean", "patient-max"],
    typer.Option("--per", help="Judge cases, or patients by the mean or the largest probability of their cases."),
]
Json = Annotated[Path | None, typer.Option("--json", help="Also write what was found to this file.")]


@app.command(epilog="Example: `hounsfield evaluate runs/first`")
def evaluate(
    what: What,
    resamples: Resamples = 2000,
    prevalence: Prevalence = None,
    against: Against = None,
    positive: Positive = None,
    logits: Logits = False,
    by: By = None,
    per: Per = "case",
    json: Json = None,
) -> None:
    """Predictions → measures with 95% intervals; for a run folder also the report."""
    from hounsfield.cli.console import Bars
    from hounsfield.core import files
    from hounsfield.errors import UsageError
    from hounsfield.evaluate import by_patient, compare_models, load_predictions
    from hounsfield.evaluate import evaluate as judge
    from hounsfield.pipeline.folder import RunFolder
    from hounsfield.pipeline.stages import Machine, report_stage

    if what.is_dir():
        if against is not None or positive is not None or logits or by or per != "case" or json is not None:
            raise UsageError(
                "a run folder is judged as it is",
                fix="Give a table for --against, --positive, --logits, --by, --per and --json: RUN/predictions/test.parquet.",
            )
        with Bars(console) as bars:
            page = report_stage(RunFolder(what), Machine(reporter=bars), resamples, prevalence or [])
        console.print(f"report: {page}", soft_wrap=True)
        return

    def loaded(path: Path) -> Predictions:
        predictions, assumed = load_predictions(path, positive=positive, logits=logits, by=by or [])
        for text in assumed:
            console.print(f"{path.name}: {text}", highlight=False, markup=False, soft_wrap=True)
        return predictions if per == "case" else by_patient(predictions, "mean" if per == "patient-mean" else "max")

    mine = loaded(what)
    if against is not None:
        found: ModelComparison | Evaluation = compare_models(loaded(against), mine, resamples=resamples)
    else:
        found = judge(mine, resamples=resamples, prevalences=prevalence or [])
    console.print(str(found), highlight=False, markup=False, soft_wrap=True)
    if json is not None:
        files.write_json(json, found.to_dict())
        console.print(f"written: {json}", soft_wrap=True)
