"""What the conformance tests share: values worked out without Hounsfield, and the tools of others that are run beside it.

Nothing here calls `hounsfield.read`, so that an error there cannot hide on both sides of a comparison.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, config, dcmread
from pydicom.pixels import apply_color_lut, apply_modality_lut, convert_color_space, get_decoder
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

GREY = ("MONOCHROME1", "MONOCHROME2")
# How a picture may lie in memory: by name, the function that brings it there.
TURNS = {
    "": lambda frames: frames,
    "rows": lambda frames: frames[:, ::-1],
    "columns": lambda frames: frames[:, :, ::-1],
    "rows+columns": lambda frames: frames[:, ::-1, ::-1],
    "transposed": lambda frames: frames.swapaxes(1, 2),
    "transposed+rows": lambda frames: frames.swapaxes(1, 2)[:, ::-1],
    "transposed+columns": lambda frames: frames.swapaxes(1, 2)[:, :, ::-1],
    "transposed+rows+columns": lambda frames: frames.swapaxes(1, 2)[:, ::-1, ::-1],
}


def collections(data: Path) -> dict[str, list[Path]]:
    """Return the files of three collections of odd DICOM files: two that pip installs, and one among the real data.

    The first two hold the 162 files with pixels that PARTS.md counts. pydicom's own finder (`pydicom.data`) is not asked:
    it tries to download what it does not find.
    """
    spec = find_spec("data_store")
    if spec is None or spec.origin is None:
        pytest.skip("pydicom-data is not installed: pip install pydicom-data")
    roots = {
        "pydicom": Path(pydicom.__file__).parent / "data/test_files",
        "pydicom-data": Path(spec.origin).parent / "data",
        "conformance": data / "dicom-conformance/pydicom",
    }
    return {name: [root, *sorted(_dicom_files(root))] for name, root in roots.items()}


def _dicom_files(root: Path) -> Iterator[Path]:
    others = (".txt", ".json", ".dump", ".icc", ".gz")
    for path in root.rglob("*"):
        if path.is_file() and path.suffix not in others and path.name != "README":
            yield path


def parsed(path: Path) -> Dataset:
    """Return the data set of a file, whole, with the transfer syntax that it was parsed with where it names none."""
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        dataset = dcmread(path, force=True)
        dataset.walk(lambda _, element: element.value)  # converts while validation is off
    meta = getattr(dataset, "file_meta", None)
    if meta is None or "TransferSyntaxUID" not in meta:
        implicit, little = dataset.original_encoding
        guess = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        dataset.file_meta.TransferSyntaxUID = guess if little else ExplicitVRBigEndian
    return dataset


def plugins_for(dataset: Dataset) -> tuple[str, ...]:
    """Return the decoders at hand that are pydicom's own; "" stands for uncompressed pixels, which need none."""
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    return tuple(name for name in decoder.available_plugins if name != "imagecodecs") or ("",)


def pydicom_values(dataset: Dataset, plugin: str) -> np.ndarray:
    """Return (frames, rows, columns), or (…, 3) in RGB from 0 to 255, as pydicom's functions give them, in float64."""
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored, how = decoder.as_array(dataset, raw=True, decoding_plugin=plugin)
        if int(how.get("number_of_frames", 1)) == 1:
            stored = stored[np.newaxis]
        photometric = str(how["photometric_interpretation"])
        if photometric == "PALETTE COLOR":
            found = apply_color_lut(stored, dataset)[..., :3]
            return np.asarray(found >> 8 if found.dtype == np.uint16 and found.max() > 255 else found, np.float64)
        if photometric in GREY:
            return _rescaled(stored, dataset)
        if photometric != "RGB":
            stored = np.stack([convert_color_space(frame, photometric, "RGB") for frame in stored])
    top = 2 ** int(dataset.BitsStored) - 1
    return stored.astype(np.float64) * (255 / top)


def _rescaled(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    if "ModalityLUTSequence" in dataset:
        return apply_modality_lut(stored, dataset).astype(np.float64)
    values = stored.astype(np.float64)
    for frame in range(len(values)):
        place = _transformation(dataset, frame)
        values[frame] *= float(place.get("RescaleSlope", None) or 1)
        values[frame] += float(place.get("RescaleIntercept", None) or 0)
    return values


def _transformation(dataset: Dataset, frame: int) -> Dataset:
    """Return where the rescale of a frame stands (PS3.3 C.7.6.16.2.9), with the frame, for all, or at the top."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*per_frame[frame : frame + 1], *shared[:1]]:
        if group.get("PixelValueTransformationSequence"):
            return group.PixelValueTransformationSequence[0]
    return dataset


def padding_of(dataset: Dataset, plugin: str) -> np.ndarray | None:
    """Return where the pixels are padding (PS3.3 C.7.5.1.1.2), or None where the file states none."""
    value = dataset.get("PixelPaddingValue")
    if not isinstance(value, int) or dataset.get("PhotometricInterpretation") not in GREY:
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    stored, _ = decoder.as_array(dataset, raw=True, decoding_plugin=plugin)
    stored = stored.reshape(-1, *stored.shape[-2:]).astype(np.int64)
    bits = int(dataset.BitsAllocated)
    # A signed value may be written as unsigned, and the other way round: the cell holds the same bits.
    ends = [(end & (2**bits - 1)) for end in (value, value if limit is None else limit)]
    if dataset.PixelRepresentation:
        ends = [end - 2**bits if end >= 2 ** (bits - 1) else end for end in ends]
    return (stored >= min(ends)) & (stored <= max(ends))


def turn_between(reference: np.ndarray, found: np.ndarray, *, ignore: np.ndarray | None = None) -> tuple[str, float]:
    """Return how `reference` must be turned to lie as `found` does, and the largest difference that is left then.

    The turn is tried only where the pictures differ as they are. Pixels in `ignore` (as in the reference) do not count.
    """
    best = ("none", float("inf"))
    for name, turn in TURNS.items():
        turned = turn(reference)
        if turned.shape != found.shape:
            continue
        difference = np.abs(turned - found)
        if ignore is not None:
            difference = np.where(turn(ignore), 0, difference)
        largest = float(difference.max())
        if largest < best[1]:
            best = (name, largest)
        if largest == 0:
            break
    return best


def needed(tool: str) -> str:
    """Return the path of a command line program, or skip the test, saying what to install."""
    found = shutil.which(tool)
    if found is None:
        package = "dcm2niix" if tool == "dcm2niix" else "dcmtk"
        pytest.skip(f"{tool} is not installed: apt-get install {package}")
    return found


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a program of DCMTK and return what it printed; it fails the test where it fails, unless the caller looks."""
    words = [needed(tool), *(str(argument) for argument in arguments)]
    return subprocess.run(words, capture_output=True, check=False, timeout=60, env={**os.environ, "TZ": "UTC"})
