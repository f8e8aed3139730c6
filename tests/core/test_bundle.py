"""A bundle is what was sealed, or it is refused, and the member that was touched is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hounsfield.core import Bundle
from hounsfield.core.bundle import CORE
from hounsfield.core.digest import digest, digest_file
from hounsfield.errors import BundleError

MEMBERS = [*CORE, "parity.json"]


def manifest(bundle: Bundle) -> dict[str, Any]:
    return json.loads((bundle.folder / "manifest.json").read_text())


def test_comes_back_as_it_was_sealed(bundle: Bundle) -> None:
    again = Bundle.load(bundle.folder)
    assert again == bundle
    assert again.weights.read_bytes() == bytes(range(256))
    assert (again.labels, again.positive, again.outputs) == (["no", "yes"], "yes", ["yes"])
    assert again.reference == {"mean": [0.25, 0.5]}
    assert again.calibration.threshold == 0.41
    assert {path.name for path in bundle.folder.iterdir()} == {*MEMBERS, "manifest.json"}


def test_what_is_sealed_again_has_the_same_digest(bundle: Bundle, tmp_path: Path) -> None:
    again = Bundle.seal(
        tmp_path / "again", plan=bundle.plan, recipe=bundle.recipe, calibration=bundle.calibration,
        reference=bundle.reference, weights=bundle.weights,
    )  # fmt: skip
    assert again.core_digest == bundle.core_digest
    cooler = bundle.calibration.model_copy(update={"temperature": 1.31})
    other = Bundle.seal(
        bundle.folder, plan=bundle.plan, recipe=bundle.recipe, calibration=cooler, reference=bundle.reference,
        weights=bundle.weights,
    )  # fmt: skip
    assert other.core_digest != bundle.core_digest
    assert not (bundle.folder / "parity.json").exists(), "what was attached belonged to the older one"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_no_path_of_this_machine_travels_with_it(bundle: Bundle, tmp_path: Path) -> None:
    local = bundle.plan.changed(weights={"source": "file", "path": "/home/doe/secret/weights.pth"})
    again = Bundle.seal(
        tmp_path / "again", plan=local, recipe=bundle.recipe, calibration=bundle.calibration,
        reference=bundle.reference,
        weights=bundle.weights,
    )  # fmt: skip
    assert again.plan.weights.value.path == "weights.pth"
    assert again.plan.digest == local.digest, "it is still the bundle of this plan"
    assert not any(b"secret" in path.read_bytes() for path in again.folder.iterdir())


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("place", [0, -1])
def test_one_byte_of_a_member(bundle: Bundle, name: str, place: int) -> None:
    content = bytearray((bundle.folder / name).read_bytes())
    content[place] ^= 1
    (bundle.folder / name).write_bytes(content)
    with pytest.raises(BundleError, match="changed") as caught:
        Bundle.load(bundle.folder)
    assert caught.value.where == str(bundle.folder / name)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member(bundle: Bundle, name: str) -> None:
    (bundle.folder / name).rename(bundle.folder / "elsewhere")
    with pytest.raises(BundleError, match="missing") as caught:
        Bundle.load(bundle.folder)
    assert caught.value.where == str(bundle.folder / name)
    (bundle.folder / name).symlink_to(bundle.folder / "elsewhere")
    with pytest.raises(BundleError, match="missing"):
        Bundle.load(bundle.folder)


def test_an_edited_manifest(bundle: Bundle) -> None:
    path, good = bundle.folder / "manifest.json", manifest(bundle)
    # Weights of another model, and their digest in the manifest: the core digest does not fit any more.
    bundle.weights.write_bytes(b"other weights")
    core = {**good["core"], "weights.safetensors": digest_file(bundle.weights)}
    less = {name: value for name, value in core.items() if name != "calibration.json"}
    for change, words in [
        ({"core": core}, "manifest was changed"),
        ({"core_digest": "0" * 64}, "manifest was changed"),
        ({"core": less, "core_digest": digest(less)}, "members"),
        ({"core": {**core, "more": "0"}}, "members"),
        ({"core": None}, "members"),
        ({"attachments": None}, "members"),
        ({"schema_version": 2}, "version"),
        ({"schema_version": None}, "version"),
    ]:
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(BundleError, match=words):
            Bundle.load(bundle.folder)
    for text in ("", "[]", "null", "{"):
        path.write_text(text)
        with pytest.raises(BundleError):
            Bundle.load(bundle.folder)
    path.unlink()
    with pytest.raises(BundleError, match="no bundle here"):
        Bundle.load(bundle.folder)


def test_a_manifest_cannot_reach_outside(bundle: Bundle, tmp_path: Path) -> None:
    outside = tmp_path / "any.safetensors"
    for name in ("../any.safetensors", str(outside)):
        edited = {**manifest(bundle), "attachments": {name: digest_file(outside)}}
        (bundle.folder / "manifest.json").write_text(json.dumps(edited))
        with pytest.raises(BundleError):
            Bundle.load(bundle.folder)


def test_attachments_do_not_change_the_core_digest(bundle: Bundle, tmp_path: Path) -> None:
    for content in (b"one", b"another"):
        (tmp_path / "card.md").write_bytes(content)
        written = bundle.attach("card.md", tmp_path / "card.md")
        assert written.read_bytes() == content
        again = Bundle.load(bundle.folder)
        assert again.core_digest == bundle.core_digest
    assert set(manifest(bundle)["attachments"]) == {"parity.json", "card.md"}


@pytest.mark.parametrize("name", [*CORE, "manifest.json", "../up.md", "a/b.md", "/abs.md", ".", "..", ""])
def test_bad_names_of_attachments(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (tmp_path / "card.md").write_bytes(b"a card")
    with pytest.raises(BundleError):
        bundle.attach(name, tmp_path / "card.md")
    assert Bundle.load(bundle.folder) == bundle
