"""The JSON Schema that is shipped is that of the models, and real bundles fit it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml

from hounsfield.core import Bundle
from hounsfield.core.manifest import CALIBRATION, LABELS, MANIFEST, PLAN, RECIPE, REFERENCE
from hounsfield.core.schema import SCHEMA, bundle_schema

REFERENCE_OF_A_RUN: dict[str, Any] = {
    "input": {
        "modalities": ["CT"], "body_parts": ["CHEST"], "spacing": [0.5, 0.9], "suited": None,
        "reach": {"brightness": [0.1, 0.9]},
    },
    "unit": "HU", "modality": ["CT"], "body_part": [], "cases": 24, "patients": 20, "counts": {"no": 12, "yes": 12},
    "mean": [0.25], "std": [0.5],
}  # fmt: skip


def content(bundle: Bundle) -> dict[str, Any]:
    """What the files say, read as any tool would."""
    texts = {name: (bundle.folder / name).read_text(encoding="utf-8") for name in
             (MANIFEST, PLAN, RECIPE, LABELS, CALIBRATION, REFERENCE)}  # fmt: skip
    return {name: yaml.safe_load(text) if name == PLAN else json.loads(text) for name, text in texts.items()}


def test_the_file_is_that_of_the_models() -> None:
    made = json.loads(json.dumps(bundle_schema()))
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == made, (
        "the models changed: run  python -c 'from hounsfield.core.schema import save_schema; save_schema()'"
    )


def test_a_bundle_fits_the_schema(bundle: Bundle) -> None:
    sealed = Bundle.seal(
        bundle.folder, plan=bundle.plan, recipe=bundle.recipe, calibration=bundle.calibration,
        reference=REFERENCE_OF_A_RUN, weights=bundle.weights,
    )  # fmt: skip
    assert sealed.reference == REFERENCE_OF_A_RUN
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    good = content(sealed)
    check.validate(good)
    for name, change in (
        (MANIFEST, {"schema_version": 1}),
        (MANIFEST, {"core_digest": "0"}),
        (MANIFEST, {"attachments": {"../up": "0" * 64}}),
        (PLAN, {"epochs": 3}),
        (RECIPE, {"steps": [{"kind": "exec"}]}),
        (LABELS, {"labels": "no"}),
        (CALIBRATION, {"temperature": 0}),
        (REFERENCE, {"embeddings": []}),
    ):
        with pytest.raises(jsonschema.ValidationError):
            check.validate({**good, name: {**good[name], **change}})
    with pytest.raises(jsonschema.ValidationError):
        check.validate({name: value for name, value in good.items() if name != PLAN})
