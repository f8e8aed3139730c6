"""What a report tells of: a run folder, and what its predictions are worth, judged once for page, card, tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hounsfield.evaluate import Drop, Evaluation, Shift, compare, evaluate, shift
from hounsfield.report.gather import Found


@dataclass(frozen=True)
class Results:
    """A run folder and its judgement.

    Attributes
    ----------
    judged:
        Name → Evaluation, of the predictions with a known truth, in the order of `found.judged`.
    drops:
        The change from the main part to each other centre.
    shifts:
        Name of another centre → what differs there.
    main:
        The part whose numbers stand at the top: test, else folds; None where neither was judged.
    """

    found: Found
    judged: dict[str, Evaluation]
    drops: list[Drop]
    shifts: dict[str, Shift]
    main: str | None

    @property
    def best(self) -> Evaluation | None:
        """The evaluation of the main part."""
        return self.judged[self.main] if self.main else None


def judge(found: Found, *, resamples: int, seed: int, prevalences: Sequence[float]) -> Results:
    """Judge all predictions of a run folder."""
    judged = {
        name: evaluate(predictions, resamples=resamples, seed=seed, prevalences=prevalences)
        for name, predictions in found.judged.items()
        if predictions.known.any()
    }
    main = next((name for name in ("test", "folds") if name in judged), None)
    drops = (
        [compare(judged[main], item) for name, item in judged.items() if name.startswith("external-")] if main else []
    )
    shifts = {drop.away: shift(found.judged[drop.home], found.judged[drop.away]) for drop in drops}
    return Results(found, judged, drops, shifts, main)
