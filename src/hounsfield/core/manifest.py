"""The manifest of a bundle: its members, their digests, and the version of their layout. Older versions are migrated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hounsfield.core import digest as digests
from hounsfield.core import files
from hounsfield.errors import BundleError

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
WEIGHTS, PLAN, RECIPE, LABELS = "weights.safetensors", "plan.yaml", "recipe.json", "labels.json"
CALIBRATION, REFERENCE = "calibration.json", "reference.json"
CORE = (WEIGHTS, PLAN, RECIPE, LABELS, CALIBRATION, REFERENCE)
# Kinds of files that are data to whoever opens them; pickles, and what may hold one (.pt, .npy, .joblib), are programs.
ATTACHABLE = (".onnx", ".json", ".md", ".txt", ".csv", ".html", ".png", ".pdf")
MOST_MEMBERS = 64
MOST_BYTES = 2**20  # of the manifest itself
AGAIN = "Take the bundle again from where it was made."

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# A plain file name on every system: no folder, no drive, no hidden file.
NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
Name = Annotated[str, Field(pattern=f"^{NAME}$")]


class Manifest(BaseModel):
    """What a bundle holds.

    Attributes
    ----------
    schema_version:
        Of the layout of the bundle; this one.
    written_by:
        The program that sealed it, with its version.
    core_digest:
        sha256 of `core`; what Predictions quote.
    core, attachments:
        Name of a member → sha256 of its bytes.
    digest:
        sha256 of all the above, so that a change of the manifest itself is found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: Literal[2]
    written_by: str = Field(min_length=1, max_length=100)
    core_digest: Sha256
    core: dict[Name, Sha256] = Field(json_schema_extra={"additionalProperties": False})
    attachments: dict[Name, Sha256] = Field(json_schema_extra={"additionalProperties": False})
    digest: Sha256

    @classmethod
    def of(cls, core: Mapping[str, str], attachments: Mapping[str, str], written_by: str | None = None) -> Manifest:
        """Make the manifest of members and their digests; without `written_by`, this program wrote the bundle.

        Raises
        ------
        BundleError
            If a name cannot be that of a member.
        """
        content = {
            "schema_version": SCHEMA_VERSION,
            "written_by": written_by or _this_program(),
            "core_digest": digests.digest(core),
            "core": {name: core[name] for name in CORE if name in core},
            "attachments": dict(sorted(attachments.items())),
        }
        return _checked({**content, "digest": digests.digest(content)}, None)

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read the manifest of a bundle's folder, migrated where it is older.

        Raises
        ------
        BundleError
            If there is none; it is damaged, changed, or of a version that is not known; or it names what cannot be a member.
        """
        path = folder / MANIFEST
        if not path.is_file() or path.is_symlink():
            raise BundleError("there is no bundle here", where=folder, fix="Make one with: hounsfield train RUN")
        if path.stat().st_size > MOST_BYTES:
            raise BundleError(f"the manifest is larger than {MOST_BYTES} bytes", where=path, fix=AGAIN)
        content = files.read_json(path, BundleError)
        found = content.get("schema_version") if isinstance(content, dict) else None
        if not isinstance(found, int) or isinstance(found, bool) or found < 1:
            raise BundleError("the manifest does not say which version of a bundle this is", where=path, fix=AGAIN)
        if found > SCHEMA_VERSION:
            raise BundleError(
                f"this bundle was written by a newer Hounsfield (version {found} of a bundle; this one knows up to "
                f"{SCHEMA_VERSION})",
                where=path,
                fix="Update with: pip install --upgrade hounsfield",
            )
        for older in range(found, SCHEMA_VERSION):
            content = _MIGRATIONS[older](content, path)
        manifest = _checked(content, path)
        # Also spaces, the order of keys and keys that come twice: each byte is as it was written.
        if found == SCHEMA_VERSION and path.read_bytes() != manifest.text.encode():
            raise BundleError("the manifest was changed after it was written", where=path, fix=AGAIN)
        return manifest

    def save(self, folder: Path) -> None:
        files.write_text(folder / MANIFEST, self.text)

    @property
    def text(self) -> str:
        """The bytes of the file: the same members give the same ones."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    @property
    def members(self) -> dict[str, str]:
        """Name → sha256 of every member, in the order in which they are written and verified."""
        return {**{name: self.core[name] for name in CORE}, **self.attachments}

    def attached(self, name: str, sha256: str) -> Manifest:
        """Return the manifest with an attachment more, or another one under its name."""
        return Manifest.of(self.core, {**self.attachments, name: sha256}, self.written_by)

    def without(self, names: Iterable[str]) -> Manifest:
        """Return the manifest without some attachments.

        Raises
        ------
        BundleError
            If one of them is no attachment.
        """
        left_out = set(names)
        for name in sorted(left_out - set(self.attachments)):
            why = "belongs to the sealed core and cannot be left out" if name in CORE else "is not in this bundle"
            raise BundleError(f"{name} {why}", fix=f"Attachments: {', '.join(self.attachments) or 'none'}.")
        kept = {name: value for name, value in self.attachments.items() if name not in left_out}
        return Manifest.of(self.core, kept, self.written_by)

    @model_validator(mode="after")
    def _members_are_possible(self) -> Manifest:
        if set(self.core) != set(CORE):
            raise ValueError(f"the members of the core must be {', '.join(CORE)}")
        for name in self.attachments:
            if Path(name).suffix not in ATTACHABLE:
                raise ValueError(
                    f"{name} is of no kind that a bundle may hold ({', '.join(ATTACHABLE)}): others may be pickles, "
                    "which run when they are opened"
                )
        names = [name.casefold() for name in (*self.core, *self.attachments, MANIFEST)]
        if len(set(names)) < len(names):
            raise ValueError("two members have the same name")
        if len(names) > MOST_MEMBERS:
            raise ValueError(f"a bundle has at most {MOST_MEMBERS} members")
        return self

    @model_validator(mode="after")
    def _is_as_written(self) -> Manifest:
        content = self.model_dump(mode="json", exclude={"digest"})
        if digests.digest(self.core) != self.core_digest or digests.digest(content) != self.digest:
            raise ValueError("the manifest was changed after the bundle was sealed")
        return self


def _from_1(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Version 1 did not say what had written it, and had no digest of the manifest."""
    if set(content) != {"schema_version", "core_digest", "core", "attachments"}:
        raise BundleError("the manifest does not list the members of a bundle", where=path, fix=AGAIN)
    migrated = {**content, "schema_version": 2, "written_by": "unknown"}
    return {**migrated, "digest": digests.digest(migrated)}


# From the version that is the key to the next one.
_MIGRATIONS: dict[int, Callable[[dict[str, Any], Path], dict[str, Any]]] = {1: _from_1}


def _checked(content: Mapping[str, Any], path: Path | None) -> Manifest:
    try:
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":
            raise BundleError(first["msg"].removeprefix("Value error, "), where=path, fix=AGAIN) from error
        place = " → ".join(str(part) for part in first["loc"])
        raise BundleError(f"the manifest is not valid: {place}: {first['msg']}", where=path, fix=AGAIN) from error


def _this_program() -> str:
    try:
        return f"hounsfield {version('hounsfield')}"
    except PackageNotFoundError:
        return "hounsfield"
