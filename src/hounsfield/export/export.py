"""export: Bundle → ONNX, checked against the Python path on real images before it may leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import polars as pl

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.cohort import SPLITS, Cohort
from hounsfield.errors import ExportError, HounsfieldError
from hounsfield.export.graph import Parts, parts_of
from hounsfield.export.parity import Parity, Values, check
from hounsfield.export.quantise import SmallNetwork, quantise
from hounsfield.predict import files_of, load_network, preparation_of
from hounsfield.predict.judge import GRAPH, RECORD
from hounsfield.prepare import CaseFiles, Preparation, graph_values
from hounsfield.prepare.case import evenly_spaced
from hounsfield.read import each

IMAGES = 30


@dataclass(frozen=True)
class Exported:
    """What an export gave: the record of parity, the graphs, and the record of the quantised one if that was asked for."""

    parity: Parity
    parts: Parts
    small: SmallNetwork | None


def export(
    bundle: Bundle,
    cohort: Cohort,
    folder: Path,
    *,
    int8: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write `folder`/model.onnx and `folder`/parity.json, and attach both to the bundle.

    The comparison uses images of the cohort, of its test part first. With `int8` a quantised graph is made too, which may be
    refused without an error (see `quantise`).

    Raises
    ------
    ExportError
        If the graph does not answer as the Python path does; parity.json then says why, and no model.onnx is left.
    """
    files.make_folder(folder)
    target, record = folder / GRAPH, folder / RECORD
    network = load_network(bundle, "cpu")
    parts = parts_of(bundle, network)
    with files.replacing(folder / "model-unchecked.onnx") as partial:
        onnx.save(parts.joined(bundle), partial)
    unchecked = folder / "model-unchecked.onnx"
    try:
        parity = check(bundle, network, unchecked, real_images(bundle, cohort, workers, progress))
        files.write_json(record, parity.model_dump(mode="json"))
        if not parity.passed:
            target.unlink(missing_ok=True)
            raise ExportError(f"the ONNX export is refused: {parity.reason}", where=record)
        unchecked.replace(target)
    finally:
        unchecked.unlink(missing_ok=True)
    bundle.attach(GRAPH, target)
    bundle.attach(RECORD, record)
    return Exported(parity, parts, quantise(bundle, parts, cohort, folder, workers=workers) if int8 else None)


def real_images(
    bundle: Bundle, cohort: Cohort, workers: int | None, progress: Callable[[int, int], None] | None
) -> list[Values]:
    """Read at most `IMAGES` cases of a cohort, of its test part first; those that cannot be read are left out."""
    tables = [cohort.part(name) for name in reversed(SPLITS)]
    chosen: list[pl.DataFrame] = []
    room = IMAGES
    for table in tables:
        if room and table.height:
            chosen.append(table[evenly_spaced(table.height, min(room, table.height))])
            room -= chosen[-1].height
    jobs = [(case, preparation_of(bundle)) for case in files_of(cohort, pl.concat(chosen))]
    found = []
    for index, values in each(_values_of, jobs, workers=workers):
        if not isinstance(values, HounsfieldError):  # unreadable files are in quarantine already, or will be
            found.append(values)
        if progress is not None:
            progress(index + 1, len(jobs))
    return found


def _values_of(job: tuple[CaseFiles, Preparation]) -> Values:
    return graph_values(*job)
