"""Writing a model repository: numbered versions that are never changed, and configurations that name the newest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx
from pydantic import BaseModel, ConfigDict, ValidationError

from hounsfield.core import files
from hounsfield.core.bundle import Bundle
from hounsfield.core.digest import digest_file
from hounsfield.errors import ExportError
from hounsfield.export.triton.config import LABELS, Halves, configs
from hounsfield.export.triton.serving import Serving
from hounsfield.export.triton.text import to_text
from hounsfield.predict import is_proved
from hounsfield.predict.judge import GRAPH

RECORD = "versions.json"


class Version(BaseModel):
    """Which graph a numbered folder holds."""

    model_config = ConfigDict(extra="forbid")
    version: int
    bundle: str
    graph: str


class Record(BaseModel):
    """What was exported under one name.

    Attributes
    ----------
    contract:
        What all versions share, since Triton has one configuration for all of them.
    versions:
        In the order in which they came.
    """

    model_config = ConfigDict(extra="forbid")
    contract: dict[str, Any]
    versions: list[Version] = []


def write_repository(bundle: Bundle, folder: Path, serving: Serving | None = None) -> int:
    """Write a bundle's proved graph into the model repository `folder`, beside whatever it holds, and return its version.

    A graph that is the newest version already gets no other number, but the configuration is written again. An older one
    comes back as a new version. Files are written such that a server which looks at the folder at any time finds whole
    models: new versions first, and the ensemble, which joins them, last.

    Raises
    ------
    ExportError
        If the bundle holds no graph that was proved; or the name is taken by a model with other inputs, outputs, labels or
        conditioning, or by one that was not written here.
    """
    serving = serving or Serving()
    if not is_proved(bundle):
        raise ExportError(
            "the bundle holds no graph that was proved to answer as Python does", where=bundle.folder,
            fix="Export it first: hounsfield export RUN",
        )  # fmt: skip
    graph = bundle.folder / GRAPH
    halves = Halves.of(onnx.load(graph))
    names = serving.models
    record = _record(files.make_folder(folder), serving, _contract(halves))
    content = digest_file(graph)
    if not record.versions or record.versions[-1].graph != content:
        number = record.versions[-1].version + 1 if record.versions else 1
        record.versions.append(Version(version=number, bundle=bundle.core_digest, graph=content))
    version = record.versions[-1].version
    for name, half in zip(names, (halves.recipe, halves.network, None), strict=True):
        _write_version(folder / name, version, half)
    for name, config in zip(names, configs(halves, serving, version), strict=True):
        if name != names[0]:
            files.write_text(folder / name / LABELS, "".join(f"{label}\n" for label in bundle.outputs))
        files.write_text(folder / name / "config.pbtxt", to_text(config))
    files.write_json(folder / serving.name / RECORD, record.model_dump(mode="json"))
    return version


def _contract(halves: Halves) -> dict[str, Any]:
    shapes = {
        "inputs": {name: shape for name, (_, shape) in halves.inputs.items()},
        "network_input": {name: shape for name, (_, shape) in halves.between.items()},
        "answers": {name: shape for name, (_, shape) in halves.outputs.items()},
    }
    return shapes | {name: halves.metadata[name] for name in ("labels", "outputs", "task", "unit", "conditioning")}


def _record(folder: Path, serving: Serving, contract: dict[str, Any]) -> Record:
    """Return what is known of a name, or of a new one nothing yet."""
    place = folder / serving.name / RECORD
    fix = "Choose another name with --name, or another folder."
    if not place.is_file():
        taken = next((folder / name for name in serving.models if (folder / name).exists()), None)
        if taken is not None:
            raise ExportError("there is a model of this name that was not written here", where=taken, fix=fix)
        return Record(contract=contract)
    try:
        record = Record.model_validate(files.read_json(place, ExportError))
    except ValidationError as error:
        raise ExportError("the record of versions is not valid", where=place, fix=fix) from error
    differs = [name for name in contract if record.contract.get(name) != contract[name]]
    if differs:
        raise ExportError(
            f"the model cannot be a version of {serving.name}: {' and '.join(differs)} are others, "
            f"and Triton has one configuration for all versions", where=folder / serving.name, fix=fix,
        )  # fmt: skip
    return record


def _write_version(folder: Path, version: int, model: onnx.ModelProto | None) -> None:
    """Make a numbered folder in one step; that of an ensemble is empty."""
    target, partial = folder / str(version), folder / f".{version}.part"
    if (target / GRAPH).is_file() or (model is None and target.is_dir()):
        return
    shutil.rmtree(partial, ignore_errors=True)
    files.make_folder(partial)
    if model is not None:
        onnx.save(model, partial / GRAPH)
    partial.rename(target)
