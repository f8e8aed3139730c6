"""Series → volumes, on files: what is read, what is put aside and why; enhanced objects, mosaics, real series."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from hounsfield.errors import ReadError
from hounsfield.read import read_headers, read_image, read_series, runs_of

RNG = np.random.default_rng(5)
VOLUME = RNG.integers(0, 1000, (7, 6, 9)).astype(np.int16)


def _slices(write, order=range(7), **more) -> list[Path]:
    return [
        write(
            VOLUME[number],
            name=f"slice{place}",
            SOPInstanceUID=f"1.2.3.{number}.{place}",
            InstanceNumber=number + 1,
            PixelSpacing=[0.5, 0.75],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-10, -20, 30 + 2.5 * number],
            **{"RescaleIntercept": -1024, "RescaleSlope": 1} | more,
        )
        for place, number in enumerate(order)
    ]


def test_a_shuffled_folder_is_one_volume(write) -> None:
    paths = _slices(write, RNG.permutation(7))
    found = read_series(paths[0].parent)
    (volume,) = found.volumes
    assert found.aside == []
    assert np.array_equal(volume.pixels, VOLUME - 1024.0)
    assert volume.unit == "HU"
    assert np.allclose(volume.affine, [[0.75, 0, 0, -10], [0, 0.5, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]])


def test_slices_far_to_near_and_prone_are_the_same_patient(write) -> None:
    """A prone patient's picture stands on its head; turned, every pixel has its old place."""
    plain = read_series(_slices(write)).volumes[0]
    turned = [
        write(
            VOLUME[number, ::-1, ::-1].copy(),
            name=f"prone{number}",
            SOPInstanceUID=f"1.2.9.{number}",
            PixelSpacing=[0.5, 0.75],
            ImageOrientationPatient=[-1, 0, 0, 0, -1, 0],
            ImagePositionPatient=[-10 + 8 * 0.75, -20 + 5 * 0.5, 30 + 2.5 * number],
            RescaleIntercept=-1024,
            RescaleSlope=1,
        )
        for number in range(7)
    ]
    volume = read_series(turned).volumes[0]
    assert np.array_equal(volume.pixels, plain.pixels)
    assert np.allclose(volume.affine, plain.affine)


def test_a_gap_is_put_aside_whole_and_a_stray_file_alone(write, tmp_path) -> None:
    paths = [path for number, path in enumerate(_slices(write)) if number != 3]
    (tmp_path / "notes.txt").write_text("no image")
    found = read_series([*paths, tmp_path / "notes.txt"])
    assert found.volumes == []
    reasons = dict.fromkeys(why for _, why in found.aside)
    assert next(iter(reasons)).startswith("not an image")
    assert list(reasons)[1] == "1 slice(s) are missing between the 6 that are there, 2.5 mm apart"
    assert len(found.aside) == 7


def test_scouts_captures_and_copies_are_put_aside(write) -> None:
    paths = _slices(write)
    scout = _slices(write, [0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])[0].rename(paths[0].with_name("scout"))
    copy = Path(shutil.copy(_slices(write, [4])[0], paths[0].with_name("copy")))
    paths = _slices(write)
    capture = write(np.zeros((40, 40), np.uint8), name="capture", SOPInstanceUID="1.2.8")
    found = read_series([*paths, scout, copy, capture])
    (volume,) = found.volumes
    assert np.array_equal(volume.pixels, VOLUME - 1024.0)
    assert {source.path.name: why.split(" (")[0] for source, why in found.aside} == {
        "scout": "a scout",
        "copy": "the same slice, a second time",
        "capture": "a single picture of another size or plane than the 7 slices of its series",
    }


def test_two_echoes_are_two_volumes(write) -> None:
    first = _slices(write, EchoNumbers=1, Modality="MR")
    first = [path.rename(path.with_name(f"a{path.name}")) for path in first]
    second = _slices(write, EchoNumbers=2, Modality="MR", RescaleIntercept=0)
    found = read_series([*second, *first])
    assert [volume.pixels[0, 0, 0] - VOLUME[0, 0, 0] for volume in found.volumes] == [-1024, 0]


def _enhanced(order, *, echoes: int = 1, gap: bool = False):
    def edit(dataset: Dataset) -> None:
        dataset.NumberOfFrames = len(order)
        frames = []
        for place in order:
            number, echo = divmod(int(place), echoes)
            frame, content, position, timing = Dataset(), Dataset(), Dataset(), Dataset()
            content.StackID = "1"
            position.ImagePositionPatient = [-10, -20, 30 + 2.5 * (number + (gap and number > 3))]
            timing.EffectiveEchoTime = 10.0 + echo
            frame.FrameContentSequence, frame.PlanePositionSequence = Sequence([content]), Sequence([position])
            frame.MREchoSequence = Sequence([timing])
            frames.append(frame)
        shared, plane, measures, values = Dataset(), Dataset(), Dataset(), Dataset()
        plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = [0.5, 0.75], 2
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 2, -5, "US"
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([plane]), Sequence([measures])
        shared.PixelValueTransformationSequence = Sequence([values])
        dataset.SharedFunctionalGroupsSequence = Sequence([shared])
        dataset.PerFrameFunctionalGroupsSequence = Sequence(frames)
        dataset.Modality, dataset.SOPClassUID = "MR", EnhancedMRImageStorage

    return edit


def test_frames_of_an_enhanced_object_are_put_in_order(write) -> None:
    order = RNG.permutation(7)
    path = write(VOLUME[order], edit=_enhanced(order))
    image = read_image(path)
    assert np.array_equal(image.pixels, VOLUME * 2.0 - 5)
    assert np.allclose(image.affine, [[0.75, 0, 0, -10], [0, 0.5, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]])
    (header,) = read_headers(path)
    assert [(block.frames, block.trouble) for block in header.blocks] == [(7, None)]


def test_two_echoes_in_one_enhanced_object_are_two_volumes(write) -> None:
    order = RNG.permutation(14)
    stored = np.stack([VOLUME[place // 2] + 10 * (place % 2) for place in order])
    found = read_series([write(stored, edit=_enhanced(order, echoes=2))])
    assert len(found.volumes) == 2
    for echo, volume in enumerate(found.volumes):
        assert np.array_equal(volume.pixels, (VOLUME + 10 * echo) * 2.0 - 5)
        assert np.allclose(volume.affine[:3, 2], [0, 0, 2.5])


def test_a_gap_in_an_enhanced_object_is_trouble(write) -> None:
    path = write(VOLUME, edit=_enhanced(range(7), gap=True))
    found = read_series([path])
    assert found.volumes == []
    assert found.aside[0][1] == "1 slice(s) are missing between the 7 that are there, 2.5 mm apart"
    assert read_image(path).affine is None  # its frames are still pictures


def test_a_mosaic_becomes_its_slices_or_is_refused(data, tmp_path) -> None:
    source = next(
        path for path in sorted((data / "dicom-series/mr-epi/20180918Si/mr_0003").iterdir()) if path.suffix != ".txt"
    )
    image = read_image(source)
    stored = dcmread(source).pixel_array
    assert image.pixels.shape == (5, 72, 72)
    assert np.array_equal(image.pixels[1], stored[:72, 72:144])
    assert np.array_equal(image.pixels[3], stored[72:144, :72])
    dataset = dcmread(source)
    dataset.remove_private_tags()
    dataset.save_as(tmp_path / "anonymous")
    for reader in (read_headers, read_image):
        with pytest.raises(ReadError, match="a Siemens mosaic whose private header"):
            reader(tmp_path / "anonymous")


def test_real_series_are_whole(data) -> None:
    series = data / "dicom-series"
    head = read_series(series / "ct-ge")
    assert [volume.frames for volume in head.volumes] == [14, 14]  # thin slices below, thick ones above
    notes = {
        note
        for run in runs_of([read_headers(path)[0] for path in (series / "ct-ge").iterdir()]).runs
        for note in run.notes
    }
    assert notes == {"the gantry is tilted by 18.5°: the slices are sheared"}
    (sagittal,) = read_series(series / "mr-t1-sag").volumes
    assert sagittal.frames == 35
    assert np.allclose(sagittal.affine[:3, 2], [-4.8, 0, 0], atol=1e-3)
    times = read_series(series / "mr-epi/20180918GE/mr_0004")
    assert [volume.frames for volume in times.volumes] == [15] * 10


def test_an_empty_folder_is_an_error(tmp_path) -> None:
    with pytest.raises(ReadError, match="no files are here"):
        read_series(tmp_path)
