"""Writing leaves the old file or the new one, never half of one; reading says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from hounsfield.core import files
from hounsfield.errors import BundleError, OutputError, PlanError


def test_a_failure_while_writing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), files.replacing(path) as partial:
        partial.write_text("half of")
        raise RuntimeError
    assert files.read_json(path) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    for place in (tmp_path / "run", tmp_path / "run" / "deeper"):
        with pytest.raises(OutputError, match="folder"):
            files.make_folder(place)
    with pytest.raises(OutputError):
        files.write_text(tmp_path / "run" / "a.txt", "a")


def test_json_and_yaml_come_back(tmp_path: Path) -> None:
    value = {"z": [1, 2.5, None, True], "a": {"ü": "no", "1": "on", "e": "1e5"}}
    files.write_json(tmp_path / "a.json", value)
    files.write_yaml(tmp_path / "a.yaml", value, "# header\n")
    assert files.read_json(tmp_path / "a.json") == files.read_yaml(tmp_path / "a.yaml") == value
    assert list(files.read_json(tmp_path / "a.json")) == ["z", "a"]


def test_what_cannot_be_read_raises_the_error_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="missing"):
        files.read_json(tmp_path / "none", BundleError)
    (tmp_path / "bad").write_text("{'a': [1")
    with pytest.raises(BundleError, match="JSON"):
        files.read_json(tmp_path / "bad", BundleError)
    with pytest.raises(PlanError, match="YAML"):
        files.read_yaml(tmp_path / "bad", PlanError)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(PlanError):
        files.read_yaml(tmp_path / "bytes", PlanError)
    (tmp_path / "code").write_text("!!python/object/apply:os.getcwd []")
    with pytest.raises(PlanError):
        files.read_yaml(tmp_path / "code", PlanError)
