"""The figures of the report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hounsfield.evaluate import Evaluation
from hounsfield.measure import Estimate
from hounsfield.report.drawing import BLUE, COLOURS, FAINT, INK, draw, square
from hounsfield.report.words import COVARIATES, part_title

MOST_LINES = 8
_BROAD = (4.4, 3.0)


def roc(name: str, evaluation: Evaluation) -> Markup | None:
    """ROC curve with its band and the operating point; one line per class where there are several."""
    shown = _with(evaluation, "roc")
    if not shown:
        return None
    area = evaluation.estimates["auc"]

    def paint(axes: Axes) -> None:
        square(axes, "1 − specificity", "Sensitivity")
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 4)))
        for colour, (label, points) in zip(COLOURS, shown.items(), strict=False):
            band = evaluation.curves[label].get("roc_band")
            if band is not None and len(shown) == 1:
                axes.fill_between(
                    band["false_positive_rate"], band["low"], band["high"], color=colour, alpha=0.15, linewidth=0
                )
            axes.plot(points["false_positive_rate"], points["sensitivity"], color=colour, label=label)
            if label in evaluation.thresholds:
                _dot(axes, evaluation.per_class[label], colour)
        if evaluation.threshold is not None:
            _dot(axes, evaluation.estimates, INK, label="operating point")
        if len(shown) > 1 or axes.get_legend_handles_labels()[1][1:]:
            axes.legend(loc="lower right")

    return draw(f"roc-{name}", paint, f"ROC curve, area {area}, of {evaluation.cases} cases.")


def _dot(axes: Axes, found: Mapping[str, Estimate], colour: str, label: str | None = None) -> None:
    """Mark the operating point."""
    sensitivity, specificity = found["sensitivity"].value, found["specificity"].value
    if sensitivity is not None and specificity is not None:
        axes.plot([1 - specificity], [sensitivity], "o", color=colour, markersize=6, label=label, zorder=5)


def precision_recall(name: str, evaluation: Evaluation) -> Markup | None:
    """Precision against recall; the dashed line is what guessing gives."""
    shown = _with(evaluation, "precision_recall")
    if not shown:
        return None

    def paint(axes: Axes) -> None:
        square(axes, "Recall (sensitivity)", "Precision (PPV)")
        if len(shown) == 1:
            share = evaluation.prevalence[next(iter(shown))]["share"]
            axes.plot([0, 1], [share, share], color=FAINT, linewidth=1, linestyle=(0, (4, 4)), label="guessing")
        for colour, (label, points) in zip(COLOURS, shown.items(), strict=False):
            axes.plot(points["recall"], points["precision"], color=colour, label=label, drawstyle="steps-pre")
        axes.legend(loc="lower left")

    return draw(
        f"pr-{name}", paint, f"Precision-recall curve, average precision {evaluation.estimates['average_precision']}."
    )


def reliability(name: str, evaluation: Evaluation) -> Markup | None:
    """Observed share against predicted probability, with counts, for the positive or for each class."""
    shown = _with(evaluation, "reliability")
    if not shown:
        return None
    single = len(shown) == 1

    def paint(axes: Axes) -> None:
        square(axes, "Predicted probability", "Observed share")
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 4)))
        for colour, (label, points) in zip(COLOURS, shown.items(), strict=False):
            x, y = np.array(points["predicted"]), np.array(points["observed"])
            if single:
                reach = np.maximum(0, [y - points["low"], points["high"] - y])
                axes.errorbar(x, y, yerr=reach, fmt="none", ecolor=colour, elinewidth=1, alpha=0.6)
            axes.plot(x, y, "o-", color=colour, markersize=4.5, linewidth=1.2, label=label)
        if not single:
            axes.legend(loc="upper left")

    counts = [int(count) for points in shown.values() for count in points["count"]]
    size = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
    return draw(f"calibration-{name}", paint, f"Calibration curve; each point holds {size} cases.")


def forest(name: str, evaluation: Evaluation) -> Markup | None:
    """The AUC of each group of patients with its interval, beside that of all."""
    groups = [item for item in evaluation.subgroups if item.estimates["auc"].value is not None]
    whole = evaluation.estimates["auc"]
    if not groups or whole.value is None:
        return None

    def paint(axes: Axes) -> None:
        axes.axvline(whole.value or 0.5, color=FAINT, linewidth=1, linestyle=(0, (4, 4)))
        for place, item in enumerate(groups):
            area = item.estimates["auc"]
            if area.low is not None and area.high is not None:
                axes.plot([area.low, area.high], [place, place], color=BLUE, linewidth=1.4)
            axes.plot(
                [area.value or 0.0], [place], "s", color=BLUE, markersize=3 + 4 * np.sqrt(item.cases / evaluation.cases)
            )
        axes.set_yticks(
            range(len(groups)), [f"{COVARIATES.get(item.covariate, item.covariate)} {item.value}" for item in groups]
        )
        axes.invert_yaxis()
        axes.set(xlabel="AUC (dashed: all cases)")

    told = ", ".join(f"{item.covariate} {item.value} {item.estimates['auc']}" for item in groups)
    return draw(f"forest-{name}", paint, f"AUC in groups of patients: {told}.", size=(5.6, 0.9 + 0.27 * len(groups)))


def rejection(name: str, evaluation: Evaluation) -> Markup | None:
    """Accuracy against the share of cases that is kept."""
    if evaluation.doubt is None or len(evaluation.doubt.rejection) < 2:
        return None
    kept, right = (np.array(values) for values in zip(*evaluation.doubt.rejection, strict=True))

    def paint(axes: Axes) -> None:
        axes.plot(kept, right, "o-", color=BLUE, markersize=3.5, linewidth=1.4)
        axes.set(
            xlabel="Share of cases kept", ylabel="Accuracy", xlim=(1.03, 0), ylim=(min(right.min() - 0.05, 0.9), 1.01)
        )

    return draw(
        f"rejection-{name}", paint, f"Accuracy from {right[0]:.2f} with all cases to {right[-1]:.2f} with the surest."
    )


def net_benefit(name: str, evaluation: Evaluation) -> Markup | None:
    """Decision curve of a binary task: the model, calling everybody, calling nobody."""
    counts = np.array(evaluation.counts, dtype=np.float64)
    if not len(counts) or not 0 < counts[0, 0] < counts[0].sum():
        return None
    threshold = np.arange(len(counts))[:-1] / (len(counts) - 1)
    odds, total = threshold / (1 - threshold), counts[0].sum()
    model = (counts[:-1, 0] - odds * counts[:-1, 2]) / total
    everybody = (counts[0, 0] - odds * counts[0, 2]) / total

    def paint(axes: Axes) -> None:
        share = counts[0, 0] / total
        axes.plot(threshold, everybody, color=FAINT, linewidth=1.2, label="call everybody")
        axes.axhline(0, color=FAINT, linewidth=1.2, linestyle=(0, (4, 4)), label="call nobody")
        axes.plot(threshold, model, color=BLUE, label="the model")
        axes.set(xlabel="Threshold", ylabel="Net benefit", xlim=(0, 1), ylim=(-0.25 * share, 1.1 * share))
        axes.legend(loc="upper right")

    return draw(
        f"benefit-{name}",
        paint,
        "Decision curve: net benefit of the model, of calling everybody and of calling nobody.",
    )


def centres(evaluations: Mapping[str, Evaluation]) -> Markup | None:
    """The ROC curves of home and other centres in one figure, for a binary task."""
    shown = {name: item for name, item in evaluations.items() if item.positive and _with(item, "roc")}
    if len(shown) < 2:
        return None

    def paint(axes: Axes) -> None:
        square(axes, "1 − specificity", "Sensitivity")
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 4)))
        for colour, (name, item) in zip(COLOURS, shown.items(), strict=False):
            points = next(iter(_with(item, "roc").values()))
            area = item.estimates["auc"].value
            label = f"{part_title(name)} ({area:.2f})"
            axes.plot(points["false_positive_rate"], points["sensitivity"], color=colour, label=label)
            if item.threshold is not None:
                _dot(axes, item.estimates, colour)
        axes.legend(loc="lower right")

    return draw("centres", paint, f"ROC curves of {', '.join(part_title(name) for name in shown)}.")


def validation_auc(history: pl.DataFrame) -> Markup | None:
    """Validation AUC per epoch, one line per member, the kept epoch marked."""
    if history["validation_auc"].is_null().all():
        return None

    def paint(axes: Axes) -> None:
        for colour, (member, rows) in zip(_colours(history), _members(history), strict=True):
            axes.plot(rows["epoch"], rows["validation_auc"], color=colour, label=f"member {member}", linewidth=1.4)
            kept = rows.filter("best")
            axes.plot(kept["epoch"], kept["validation_auc"], "o", color=colour, markersize=6, zorder=5)
        _epochs(axes, history, "Validation AUC")

    return draw("history-auc", paint, "Validation AUC by epoch; a dot marks the epoch that was kept.", size=_BROAD)


def losses(history: pl.DataFrame) -> Markup:
    """Training (dashed) and validation loss per epoch, one colour per member, the kept epoch marked."""

    def paint(axes: Axes) -> None:
        for colour, (member, rows) in zip(_colours(history), _members(history), strict=True):
            axes.plot(rows["epoch"], rows["train_loss"], color=colour, linewidth=1.2, linestyle=(0, (3, 2)))
            axes.plot(rows["epoch"], rows["validation_loss"], color=colour, linewidth=1.4, label=f"member {member}")
            kept = rows.filter("best")
            axes.plot(kept["epoch"], kept["validation_loss"], "o", color=colour, markersize=6, zorder=5)
        _epochs(axes, history, "Loss (dashed: training)")

    return draw(
        "history-loss",
        paint,
        "Training and validation loss by epoch; a dot marks the epoch that was kept.",
        size=_BROAD,
    )


def _epochs(axes: Axes, history: pl.DataFrame, label: str) -> None:
    axes.set(xlabel="Epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if 1 < history["member"].n_unique() <= MOST_LINES:
        axes.legend(loc="best")


def _members(history: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    names = history["member"].unique(maintain_order=True).to_list()
    return [(str(name), history.filter(pl.col("member") == name).sort("epoch")) for name in names]


def _colours(history: pl.DataFrame) -> list[str]:
    count = history["member"].n_unique()
    return [COLOURS[place] for place in range(count)] if count <= MOST_LINES else [BLUE] * count


def _with(evaluation: Evaluation, kind: str) -> dict[str, dict[str, list[float]]]:
    """Label → points, of at most eight labels: more lines than that cannot be told apart."""
    found = {label: points[kind] for label, points in evaluation.curves.items() if kind in points}
    return dict(list(found.items())[:MOST_LINES])
