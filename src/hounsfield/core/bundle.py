"""Bundle: everything that inference needs, sealed, as a folder or as one file; it loads without executing anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hounsfield.core import archive, files
from hounsfield.core.calibration import Calibration
from hounsfield.core.content import Content, Reference, checked_member
from hounsfield.core.digest import digest_file
from hounsfield.core.manifest import CALIBRATION, CORE, LABELS, MANIFEST, PLAN, RECIPE, REFERENCE, WEIGHTS, Manifest
from hounsfield.core.plan import Plan
from hounsfield.core.recipe import Recipe
from hounsfield.core.verify import refuse_programs, verify
from hounsfield.errors import BundleError


@dataclass(frozen=True)
class Bundle:
    """A sealed model.

    The *core digest* covers weights, plan, recipe, labels, calibration and reference, and is what Predictions quote.
    Attachments (ONNX, parity) have their own digests in the manifest and never change it.

    Attributes
    ----------
    folder:
        Where its members are; of a bundle that was loaded from one file a temporary folder, gone when the process ends.
    reference:
        What the training cases were like, as `core.content.Reference` checks it.
    """

    folder: Path
    plan: Plan
    recipe: Recipe
    labels: list[str]
    positive: str | None
    calibration: Calibration
    reference: dict[str, Any]
    core_digest: str

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def outputs(self) -> list[str]:
        return self.plan.outputs

    @staticmethod
    def seal(
        folder: Path, *, plan: Plan, recipe: Recipe, calibration: Calibration, reference: dict[str, Any], weights: Path
    ) -> Bundle:
        """Write a bundle into `folder`, replacing an older one in one step once the new one is verified.

        Raises
        ------
        BundleError
            If its members contradict each other, or the weights are no safetensors file.
        """
        partial = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        files.make_folder(partial)
        try:
            shutil.copyfile(weights, partial / WEIGHTS)
            plan.portable().save(partial / PLAN)
            recipe.save(partial / RECIPE)
            files.write_json(partial / LABELS, {"labels": plan.labels.value, "positive": plan.positive.value})
            files.write_json(partial / CALIBRATION, calibration.model_dump(mode="json"))
            files.write_json(partial / REFERENCE, checked_member(Reference, reference, partial / REFERENCE).plain)
            Manifest.of({name: digest_file(partial / name) for name in CORE}, {}).save(partial)
            sealed = _read(partial)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return replace(sealed, folder=folder)

    @classmethod
    def load(cls, place: Path) -> Bundle:
        """Read a bundle, a folder or a packed file, and verify the digest of every member.

        Raises
        ------
        BundleError
            If it is no bundle, of an unknown version, or unsafe to unpack; or a member is missing, was changed, is not valid or
            contradicts another one. The member is named.
        """
        if place.is_file():
            with archive.unpacked(place) as folder:
                return _read(folder)
        return _read(place)

    def pack(self, path: Path, *, without: Iterable[str] = ()) -> Path:
        """Write the bundle as one .hounsfield file; the same bundle gives the same bytes. Returns the path.

        Only members go in: what else lies in the folder stays there.

        Parameters
        ----------
        without:
            Attachments to leave out.

        Raises
        ------
        BundleError
            If a member was changed since the bundle was loaded, or there is no such attachment.
        OutputError, UsageError
            If the file cannot be written, or does not end in .hounsfield.
        """
        manifest = Manifest.load(self.folder)
        if manifest.core_digest != self.core_digest:
            raise BundleError("another bundle was sealed here meanwhile", where=self.folder, fix="Load it again.")
        verify(self.folder, manifest)
        return archive.pack(self.folder, manifest.without(without), path)

    def attach(self, name: str, source: Path) -> Path:
        """Copy a file into the bundle as an attachment and note its digest; the core digest stays.

        Raises
        ------
        BundleError
            If the name is that of a member of the core, or is of no kind that a bundle may hold; or the file is a pickle, or not there.
        """
        if name in (*CORE, MANIFEST):
            raise BundleError(f"{name!r} cannot be the name of an attachment", where=self.folder)
        if not source.is_file():
            raise BundleError("there is no such file to attach", where=source)
        refuse_programs(source)
        manifest = Manifest.load(self.folder).attached(name, digest_file(source))
        target = self.folder / name
        with files.replacing(target) as partial:
            shutil.copyfile(source, partial)
        manifest.save(self.folder)
        return target

    def __str__(self) -> str:
        return f"Bundle {self.plan.backbone.value} → {', '.join(self.labels)} ({self.core_digest[:8]})"


def _read(folder: Path) -> Bundle:
    manifest = Manifest.load(folder)
    verify(folder, manifest)
    content = Content.load(folder, manifest)
    return Bundle(
        folder,
        content.plan,
        content.recipe,
        content.labels.labels,
        content.labels.positive,
        content.calibration,
        content.reference.plain,
        manifest.core_digest,
    )
