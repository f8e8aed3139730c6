"""A bundle is what was sealed, or it is refused, and the member that was touched is named."""

from __future__ import annotations

import io
import json
import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from hounsfield.core import Bundle, Calibration
from hounsfield.core.digest import digest, digest_file
from hounsfield.core.manifest import CORE
from hounsfield.errors import BundleError

MEMBERS = [*CORE, "parity.json"]


def manifest(bundle: Bundle) -> dict[str, Any]:
    return json.loads((bundle.folder / "manifest.json").read_text())


def test_comes_back_as_it_was_sealed(bundle: Bundle) -> None:
    again = Bundle.load(bundle.folder)
    assert again == bundle
    assert load_file(again.weights)["any"].tolist() == list(range(64))
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


@pytest.mark.parametrize("name", [*MEMBERS, "manifest.json"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_one_byte_of_a_member(bundle: Bundle, name: str, share: float, mask: int) -> None:
    path = bundle.folder / name
    good = path.read_bytes()
    content = bytearray(good)
    content[int(share * len(good))] ^= mask
    path.write_bytes(content)
    try:
        with pytest.raises(BundleError) as caught:
            Bundle.load(bundle.folder)
    finally:
        path.write_bytes(good)
    assert caught.value.where == str(path)
    assert name == "manifest.json" or "changed" in caught.value.what


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member(bundle: Bundle, name: str) -> None:
    (bundle.folder / name).rename(bundle.folder / "elsewhere")
    with pytest.raises(BundleError, match="missing") as caught:
        Bundle.load(bundle.folder)
    assert caught.value.where == str(bundle.folder / name)
    (bundle.folder / name).symlink_to(bundle.folder / "elsewhere")
    with pytest.raises(BundleError, match="link"):
        Bundle.load(bundle.folder)


def edited(bundle: Bundle, **changes: Any) -> None:
    """Write another manifest, with a digest of its own that fits it."""
    content = {**manifest(bundle), **changes}
    del content["digest"]
    content |= {"digest": digest(content)} | {name: value for name, value in changes.items() if name == "digest"}
    (bundle.folder / "manifest.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def test_an_edited_manifest(bundle: Bundle) -> None:
    path, good = bundle.folder / "manifest.json", manifest(bundle)
    written = path.read_bytes()
    edited(bundle)
    assert path.read_bytes() == written, "what follows fails for what was changed, and not for its form"
    # Weights of another model, and their digest in the manifest: the core digest does not fit any more.
    bundle.weights.write_bytes(b"other weights")
    core = {**good["core"], "weights.safetensors": digest_file(bundle.weights)}
    less = {name: value for name, value in core.items() if name != "calibration.json"}
    for changes, words in [
        ({"core": core}, "manifest was changed"),
        ({"core_digest": "0" * 64}, "manifest was changed"),
        ({"digest": "0" * 64}, "manifest was changed"),
        ({"core": less, "core_digest": digest(less)}, "members of the core"),
        ({"core": {**core, "more": "0"}}, "not valid: core → more"),
        ({"core": None}, "not valid: core"),
        ({"attachments": None}, "not valid: attachments"),
        ({"attachments": {f"{number}.md": "0" * 64 for number in range(99)}}, "at most 64 members"),
        ({"attachments": {"A.md": "0" * 64, "a.md": "0" * 64}}, "same name"),
        ({"attachments": {"Manifest.json": "0" * 64}}, "same name"),
        ({"more": 1}, "not valid: more"),
        ({"written_by": "\ud800"}, "not valid: written_by"),
        ({"schema_version": 3}, r"newer Hounsfield \(version 3 of a bundle; this one knows up to 2\)"),
        *[({"schema_version": version}, "which version") for version in (None, 0, -1, True, "2", 2.0, [2])],
    ]:
        path.write_bytes(written)
        if changes.get("written_by") == "\ud800":
            path.write_text(json.dumps({**good, **changes}))
        else:
            edited(bundle, **changes)
        with pytest.raises(BundleError, match=words) as caught:
            Bundle.load(bundle.folder)
        assert caught.value.where == str(path) and caught.value.fix
    for text in ("", "[]", "null", "{", "[" * 100_000, json.dumps(good), written.decode() + " " * 2**20):
        path.write_text(text)
        with pytest.raises(BundleError):
            Bundle.load(bundle.folder)
    path.unlink()
    with pytest.raises(BundleError, match="no bundle here"):
        Bundle.load(bundle.folder)


def test_a_manifest_cannot_reach_outside(bundle: Bundle, tmp_path: Path) -> None:
    outside = tmp_path / "any.safetensors"
    for name in ("../any.safetensors", str(outside)):
        edited(bundle, attachments={name: digest_file(outside)})
        with pytest.raises(BundleError, match="attachments"):
            Bundle.load(bundle.folder)


def test_attachments_do_not_change_the_core_digest(bundle: Bundle, tmp_path: Path) -> None:
    for content in (b"one", b"another"):
        (tmp_path / "card.md").write_bytes(content)
        written = bundle.attach("card.md", tmp_path / "card.md")
        assert written.read_bytes() == content
        again = Bundle.load(bundle.folder)
        assert again.core_digest == bundle.core_digest
    assert set(manifest(bundle)["attachments"]) == {"parity.json", "card.md"}


@pytest.mark.parametrize(
    "name",
    [*CORE, "manifest.json", "Plan.yaml", "../up.md", "a/b.md", "a\\b.md", "C:a.md", "/abs.md", ".a.md", ".", "..", "", "a\0.md",
     "model.pkl", "model.pt", "model.pth", "model.bin", "model.joblib", "library.npy", "library.npz", "cohort.parquet", "a.PKL", "md"],
)  # fmt: skip
def test_bad_names_of_attachments(bundle: Bundle, tmp_path: Path, name: str) -> None:
    (tmp_path / "card.md").write_bytes(b"a card")
    with pytest.raises(BundleError):
        bundle.attach(name, tmp_path / "card.md")
    assert Bundle.load(bundle.folder) == bundle


@pytest.mark.parametrize("name", ["model.onnx", "notes.txt"])
def test_a_pickle_under_another_name(bundle: Bundle, tmp_path: Path, name: str) -> None:
    buffers = [pickle.dumps({"a": 1}, protocol=protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for kind in ("torch", "npy", "npz"):
        into = io.BytesIO()
        {"torch": torch.save, "npy": lambda it, to: np.save(to, it), "npz": lambda it, to: np.savez(to, a=it)}[kind](
            [1.0], into
        )
        buffers.append(into.getvalue())
    for content in buffers:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BundleError, match="pickle"):
            bundle.attach(name, tmp_path / name)
        # Sealed by somebody else, with digests that fit.
        (bundle.folder / name).write_bytes(content)
        edited(bundle, attachments={name: digest_file(bundle.folder / name)})
        with pytest.raises(BundleError, match="pickle") as caught:
            Bundle.load(bundle.folder)
        assert caught.value.where == str(bundle.folder / name)


def reseal(bundle: Bundle, name: str, content: bytes) -> None:
    """Replace a member of the core as somebody would who knows how: with digests that fit."""
    (bundle.folder / name).write_bytes(content)
    core = {**manifest(bundle)["core"], name: digest_file(bundle.folder / name)}
    edited(bundle, core=core, core_digest=digest(core))


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04N.", b"GIF89a", bytes(64), b"\xff" * 64, b"\x10" + bytes(7) + b"[" * 16]
)
def test_weights_that_are_no_safetensors(bundle: Bundle, content: bytes) -> None:
    reseal(bundle, "weights.safetensors", content)
    with pytest.raises(BundleError, match=r"pickle|no safetensors file") as caught:
        Bundle.load(bundle.folder)
    assert caught.value.where == str(bundle.weights)


def test_weights_that_were_cut_or_made_longer(bundle: Bundle) -> None:
    whole = bundle.weights.read_bytes()
    for content in (whole[:-1], whole + b"0", whole[:40]):
        reseal(bundle, "weights.safetensors", content)
        with pytest.raises(BundleError, match="no safetensors file"):
            Bundle.load(bundle.folder)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("labels.json", {"labels": ["yes", "no"]}, "labels.json has other labels than plan.yaml"),
        ("labels.json", {"positive": "no"}, "labels.json has other labels than plan.yaml"),
        ("labels.json", {"positive": None}, "labels.json has other labels"),
        ("labels.json", {"labels": []}, "labels: "),
        ("labels.json", {"names": ["no"]}, "names: "),
        ("calibration.json", {"offsets": [0.1, 0.2]}, "2 offsets, and plan.yaml 1 outputs"),
        ("calibration.json", {"method": "platt"}, "another method"),
        ("calibration.json", {"threshold": None, "thresholds": [0.5]}, "no use for"),
        ("calibration.json", {"floors": {"maybe": 0.1}}, "floors of other labels"),
        ("calibration.json", {"temperature": 0}, "temperature: "),
        ("calibration.json", {"more": 0}, "more: "),
        ("reference.json", {"counts": {"maybe": 3}}, "counts other labels"),
        ("reference.json", {"cases": -1}, "cases: "),
        ("reference.json", {"embeddings": [[0.1, 0.2]]}, "embeddings: "),
        ("recipe.json", {"steps": []}, "recipe"),
        ("recipe.json", {"steps": [{"kind": "exec"}]}, "recipe"),
        ("recipe.json", "height", "differ in size"),
        ("recipe.json", "windows", "differ in windows"),
        ("recipe.json", "channels", "differ in channels"),
        ("recipe.json", "mean", "differ in normalisation"),
    ],
)  # fmt: skip
def test_members_that_are_not_valid_or_contradict_each_other(
    bundle: Bundle, name: str, change: Any, words: str
) -> None:
    content = json.loads((bundle.folder / name).read_text())
    if isinstance(change, dict):
        content |= change
    for step in content.get("steps", []) if isinstance(change, str) else []:
        if change in step:
            step[change] = {"height": 8, "windows": [[1.0, 2.0]], "channels": 7, "mean": [0.1, 0.2, 0.3]}[change]
    reseal(bundle, name, json.dumps(content).encode())
    with pytest.raises(BundleError, match=words) as caught:
        Bundle.load(bundle.folder)
    assert str(bundle.folder) in str(caught.value.where) and name.partition(".")[0] in str(caught.value)


@pytest.mark.parametrize("name", ["labels.json", "recipe.json", "calibration.json", "reference.json", "plan.yaml"])
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{]", b"!!python/object/apply:os.system [ls]"]
)
def test_members_that_are_no_such_text(bundle: Bundle, name: str, content: bytes) -> None:
    reseal(bundle, name, content)
    with pytest.raises(BundleError) as caught:
        Bundle.load(bundle.folder)
    assert caught.value.where == str(bundle.folder / name)


def test_text_that_grows_when_it_is_read(bundle: Bundle) -> None:
    names = [f"a{number}" for number in range(30)]
    laughs = "a0: &a0 [no, yes]\n" + "".join(
        f"{name}: &{name} [*{before}, *{before}]\n" for before, name in pairwise(names)
    )
    whole = (bundle.folder / "plan.yaml").read_text()
    for content in (laughs, laughs + "labels: {value: *a29}\n", whole + "# more\n" * 200_000):
        reseal(bundle, "plan.yaml", content.encode())
        with pytest.raises(BundleError) as caught:
            Bundle.load(bundle.folder)
        assert caught.value.where == str(bundle.folder / "plan.yaml")


def test_what_is_not_there_is_not_attached(bundle: Bundle, tmp_path: Path) -> None:
    for place in (tmp_path / "none.md", tmp_path):
        with pytest.raises(BundleError, match="no such file"):
            bundle.attach("card.md", place)


def test_what_contradicts_itself_is_not_sealed(bundle: Bundle, tmp_path: Path) -> None:
    """And the bundle that was there stays."""
    wrong = bundle.calibration.model_copy(update={"offsets": [0.1, 0.2]})
    cases: list[tuple[Calibration, dict[str, Any], Path]] = [
        (wrong, {}, bundle.weights),
        (bundle.calibration, {"embeddings": [1.0]}, bundle.weights),
        (bundle.calibration, {}, bundle.folder / "plan.yaml"),
    ]
    for calibration, reference, weights in cases:
        with pytest.raises(BundleError):
            Bundle.seal(
                bundle.folder, plan=bundle.plan, recipe=bundle.recipe, calibration=calibration, reference=reference,
                weights=weights,
            )  # fmt: skip
        assert Bundle.load(bundle.folder) == bundle
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def older(bundle: Bundle) -> dict[str, Any]:
    """Make the manifest of a bundle what version 1 wrote, byte for byte."""
    now = manifest(bundle)
    first = {"schema_version": 1, **{name: now[name] for name in ("core_digest", "core", "attachments")}}
    (bundle.folder / "manifest.json").write_text(json.dumps(first, indent=2, ensure_ascii=False) + "\n")
    return first


def test_version_1_is_migrated_and_keeps_its_core_digest(bundle: Bundle, tmp_path: Path) -> None:
    first = older(bundle)
    again = Bundle.load(bundle.folder)
    assert again == bundle and again.core_digest == first["core_digest"]
    assert json.loads((bundle.folder / "manifest.json").read_text()) == first, "loading writes nothing"
    packed = Bundle.load(again.pack(tmp_path / "one.hounsfield"))
    assert manifest(packed)["written_by"] == "unknown" and manifest(packed)["schema_version"] == 2
    assert packed.core_digest == bundle.core_digest
    again.attach("card.md", Path(__file__).with_name("conftest.py"))
    assert manifest(again)["schema_version"] == 2
    assert Bundle.load(bundle.folder) == bundle


def test_version_1_is_verified_before_it_is_migrated(bundle: Bundle) -> None:
    path, first = bundle.folder / "manifest.json", older(bundle)
    core = {**first["core"], "plan.yaml": "0" * 64}
    for content in (
        {**first, "core_digest": "0" * 64},
        {**first, "core": core},
        {**first, "core": core, "core_digest": digest(core)},
        {**first, "core": {"\ud800": "0"}},
        {**first, "attachments": {"parity.json": "0" * 64}},
        {**first, "attachments": {"model.pkl": "0" * 64}},
        {**first, "attachments": {"../up.md": "0" * 64}},
        {**first, "attachments": []},
        {**first, "written_by": "somebody"},
        {name: value for name, value in first.items() if name != "attachments"},
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(BundleError) as caught:
            Bundle.load(bundle.folder)
        assert caught.value.where is not None and caught.value.where.startswith(str(bundle.folder))
