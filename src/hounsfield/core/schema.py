"""The JSON Schema of a bundle, for tools in other languages: made from the models that check it here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hounsfield.core import files
from hounsfield.core.content import Content

SCHEMA = Path(__file__).with_name("bundle.schema.json")


def bundle_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of an object from member name to content; `plan.yaml` read as YAML, the others as JSON."""
    made = Content.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Hounsfield bundle"}


def save_schema() -> Path:
    """Write the schema file that is shipped beside this module, after the models were changed."""
    files.write_json(SCHEMA, bundle_schema())
    return SCHEMA
