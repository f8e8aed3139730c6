"""How a file was made is told as words and numbers; nothing that names a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Picture
from pydicom import dcmread

from hounsfield.phantom import generate
from hounsfield.read.technical import FREE_TEXT, technical_facts


def test_dicom(tmp_path: Path) -> None:
    made = generate(tmp_path, patients_a=3, patients_b=0, slices=3, size=32, seed=0)
    path = next(path for path in sorted(made.centre_a.rglob("*.dcm")) if path.stat().st_size > 2000)
    dataset = dcmread(path)
    dataset.ContrastBolusAgent, dataset.KVP, dataset.ConvolutionKernel = "Omnipaque", "120", "B30f"
    dataset.ProtocolName = "for Dr Who"
    dataset.add_new("FlipAngle", "LO", "steep")
    dataset.save_as(path)
    facts = technical_facts(path)
    assert (facts["format"], facts["ContrastBolusAgent"], facts["KVP"], facts["ConvolutionKernel"]) == (
        "DICOM", "Omnipaque", 120.0, "B30f",
    )  # fmt: skip
    assert "FlipAngle" not in facts, "what is no number is left out"
    assert facts["transfer syntax"] == "Explicit VR Little Endian"
    assert facts["ProtocolName"] == "for Dr Who" and "ProtocolName" in FREE_TEXT, (
        "told, and marked as what must not be shown"
    )
    secrets = {
        str(dataset[name].value)
        for name in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate")
        if name in dataset
    }
    assert len(secrets) == 4
    assert not secrets & {str(value) for value in facts.values()}
    assert all(isinstance(value, (str, float, bool)) for value in facts.values())


def test_pictures(tmp_path: Path) -> None:
    picture = Picture.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8))
    picture.save(tmp_path / "a.png", dpi=(300, 300))
    picture.save(tmp_path / "good.jpg", quality=95)
    picture.save(tmp_path / "poor.jpg", quality=40, progressive=True)
    png, good, poor = (technical_facts(tmp_path / name) for name in ("a.png", "good.jpg", "poor.jpg"))
    assert (png["format"], png["colour mode"], round(float(png["dots per inch"]))) == ("PNG", "L", 300)
    assert "JPEG quantisation" not in png
    assert float(good["JPEG quantisation"]) < 10 < float(poor["JPEG quantisation"])
    assert (good["progressive"], poor["progressive"]) == (False, True)
