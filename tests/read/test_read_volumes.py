"""NIfTI volumes and archives of arrays."""

from __future__ import annotations

import gzip
import zipfile

import nibabel
import numpy as np
import pytest

from hounsfield.core.digest import digest_array
from hounsfield.errors import ReadError
from hounsfield.read import Source, archive, kind_of, read_headers, read_image

VOXELS = np.random.default_rng(0).integers(-500, 500, (4, 5, 6), dtype=np.int16)
AFFINE = np.array([[0.5, 0, 0, 7], [0, 0.75, 0, -8], [0, 0, 2, 9], [0, 0, 0, 1.0]])  # axes run right, front, head


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v2.nii"])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIL", "SRA"])
def test_nifti_is_turned_to_radiological_axial_slices(tmp_path, name, axes) -> None:
    kind = nibabel.Nifti2Image if "2" in name else nibabel.Nifti1Image
    source = nibabel.Nifti1Image(VOXELS, AFFINE)
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(axes)
    )
    stored = source.as_reoriented(turn)
    path = tmp_path / name
    nibabel.save(kind(np.asarray(stored.dataobj), stored.affine), path)
    image, header = read_image(path), read_headers(path)[0]
    assert kind_of(path) == "nifti"
    assert image.pixels.shape == (header.frames, header.rows, header.columns) == (6, 5, 4)
    # Left of the picture is the patient's right, and its top the front: both are the far ends of RAS axes.
    assert np.array_equal(image.pixels, VOXELS[::-1, ::-1].transpose(2, 1, 0))
    assert image.spacing == header.spacing == pytest.approx((0.75, 0.5))
    for column, row, frame in [(0, 0, 0), (3, 1, 5)]:
        ras = AFFINE @ [3 - column, 4 - row, frame, 1]
        assert np.allclose(image.affine @ [column, row, frame, 1], ras * [-1, -1, 1, 1])


def test_nifti_scaling_and_range(tmp_path) -> None:
    image = nibabel.Nifti1Image(VOXELS, AFFINE)
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "v.nii")
    # nibabel scales on the way in as well, so the stored values are checked through its own reader
    expected = nibabel.load(tmp_path / "v.nii").get_fdata()[::-1, ::-1].transpose(2, 1, 0)
    read = read_image(tmp_path / "v.nii")
    assert np.allclose(read.pixels, expected, atol=1e-3)
    assert read.unit == "arbitrary"
    assert read.facts.value_range == (-66560.0, 64510.0)


def test_nifti_without_orientation_has_no_affine(tmp_path) -> None:
    image = nibabel.Nifti1Image(VOXELS, None)
    image.header["qform_code"] = image.header["sform_code"] = 0
    nibabel.save(image, tmp_path / "v.nii")
    assert read_image(tmp_path / "v.nii").affine is None


def test_nifti_dimensions(tmp_path) -> None:
    path = tmp_path / "v.nii"
    nibabel.save(nibabel.Nifti1Image(VOXELS[..., None], AFFINE), path)
    assert read_image(path).pixels.shape == (6, 5, 4)
    nibabel.save(nibabel.Nifti1Image(np.stack([VOXELS] * 2, axis=-1), AFFINE), path)
    for read in (read_headers, read_image):
        with pytest.raises(ReadError, match="4 dimensions"):
            read(path)


TYPES = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, np.float32, np.float64)


@pytest.mark.parametrize("type_", TYPES)
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.Nifti1Pair])
def test_nifti_of_every_type(tmp_path, type_, kind) -> None:
    voxels = (VOXELS // 10 + (60 if np.dtype(type_).kind == "u" else 0)).astype(type_)
    path = tmp_path / ("v.hdr" if kind is nibabel.Nifti1Pair else "v.nii")
    image = kind(voxels, AFFINE, dtype=type_)
    image.header.set_slope_inter(1, 0)
    nibabel.save(image, path)
    read = read_image(path)
    assert np.array_equal(read.pixels, voxels[::-1, ::-1].transpose(2, 1, 0).astype(np.float32))
    if np.dtype(type_).kind in "iu":
        assert read.facts.value_range == (float(np.iinfo(type_).min), float(np.iinfo(type_).max))
    else:
        assert read.facts.value_range is None


def test_nifti_in_colours(tmp_path) -> None:
    stored = np.random.default_rng(1).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    coloured = np.ascontiguousarray(stored).view([(name, "u1") for name in "RGB"])[..., 0]
    nibabel.save(nibabel.Nifti1Image(coloured, AFFINE), tmp_path / "v.nii")
    image = read_image(tmp_path / "v.nii")
    assert image.unit == "RGB"
    assert np.array_equal(image.pixels, stored[::-1, ::-1].transpose(2, 1, 0, 3))


@pytest.mark.parametrize("name", ["scan", "scan.dcm", "scan.nii.png"])
@pytest.mark.parametrize("zipped", [False, True])
def test_nifti_under_any_name(tmp_path, name, zipped) -> None:
    raw = nibabel.Nifti1Image(VOXELS, AFFINE).to_bytes()
    (tmp_path / name).write_bytes(gzip.compress(raw) if zipped else raw)
    assert read_headers(tmp_path / name)[0].kind == "nifti"
    assert np.array_equal(read_image(tmp_path / name).pixels, VOXELS[::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (2, 1)])
def test_nifti_by_either_matrix(tmp_path, sform, qform) -> None:
    image = nibabel.Nifti1Image(VOXELS, AFFINE)
    image.set_sform(AFFINE if sform else None, code=sform)
    image.set_qform(AFFINE if qform else None, code=qform)
    nibabel.save(image, tmp_path / "v.nii")
    read = read_image(tmp_path / "v.nii")
    assert np.array_equal(read.pixels, VOXELS[::-1, ::-1].transpose(2, 1, 0))
    assert np.allclose(read.affine @ [3, 4, 0, 1], (AFFINE @ [0, 0, 0, 1]) * [-1, -1, 1, 1], atol=1e-5)
    assert read.spacing == pytest.approx((0.75, 0.5))


@pytest.mark.parametrize("suffixes", [(".hdr", ".img"), (".HDR", ".IMG"), ("", ".img")])
def test_nifti_pairs_are_known_by_their_voxels(tmp_path, suffixes) -> None:
    sources = []
    for name, voxels in (("a", VOXELS), ("b", VOXELS[::-1].copy())):
        nibabel.save(nibabel.Nifti1Pair(voxels, AFFINE), tmp_path / f"{name}.hdr")
        for old, new in zip((".hdr", ".img"), suffixes, strict=True):
            (tmp_path / f"{name}{old}").rename(tmp_path / f"{name}{new}")
        image = read_image(tmp_path / f"{name}{suffixes[0]}")
        assert np.array_equal(image.pixels, voxels[::-1, ::-1].transpose(2, 1, 0))
        assert read_headers(tmp_path / f"{name}{suffixes[0]}")[0].frames == 6
        sources.append(image.source)
    assert (tmp_path / f"a{suffixes[0]}").read_bytes() == (tmp_path / f"b{suffixes[0]}").read_bytes()
    assert sources[0] != sources[1]
    (tmp_path / f"a{suffixes[1]}").unlink()
    for read in (read_headers, read_image):
        with pytest.raises(ReadError, match=r"without its \.img"):
            read(tmp_path / f"a{suffixes[0]}")


def test_nifti_with_holes(tmp_path) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), tmp_path / "v.nii")
    pixels = read_image(tmp_path / "v.nii").pixels
    assert pixels[0, 4, 3] == pixels.min() == voxels[~np.isnan(voxels)].min()
    assert np.isfinite(pixels).all()


@pytest.mark.parametrize("zipped", [False, True])
def test_nifti_cut_short(tmp_path, zipped) -> None:
    path = tmp_path / "v.nii"
    nibabel.save(nibabel.Nifti1Image(VOXELS, AFFINE), path)
    cut = path.read_bytes()[:-20]
    path.write_bytes(gzip.compress(cut) if zipped else cut)
    with pytest.raises(ReadError, match="incomplete"):
        read_image(path)
    if not zipped:
        with pytest.raises(ReadError, match="incomplete"):
            read_headers(path)


ARRAYS = {
    "train_images": np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)[:, :, :2].copy(),
    "train_labels": np.array([[0], [1], [1], [0], [2]], dtype=np.uint8),
    "val_images": np.arange(2 * 4 * 2 * 3, dtype=np.uint8).reshape(2, 4, 2, 3),
    "val_labels": np.array(["no", "yes"]),
    "test_images": np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kept", [0, 2**20])
def test_members_of_an_archive(tmp_path, monkeypatch, save, kept) -> None:
    monkeypatch.setattr(archive, "_KEPT_WHOLE", kept)
    path = tmp_path / "set.npz"
    save(path, **ARRAYS)
    headers = read_headers(path)
    assert kind_of(path) == "npz"
    assert [header.source.member for header in headers][4:7] == ["train/4", "val/0", "val/1"]
    assert [header.label for header in headers] == ["0", "1", "1", "0", "2", "no", "yes", None, None]
    assert [header.split for header in headers] == ["train"] * 5 + ["validation"] * 2 + ["test"] * 2
    assert (headers[-1].frames, headers[-1].rows, headers[-1].columns) == (3, 4, 5)
    for index in (3, 4, 0, 2, 2):  # forwards and backwards
        image = read_image(Source(path, f"train/{index}"))
        assert np.array_equal(image.pixels[0], ARRAYS["train_images"][index])
        assert image.source == digest_array(ARRAYS["train_images"][index])
        assert image.facts.value_range == (0.0, 255.0)
    colour = read_image(Source(path, "val/1"))
    assert colour.unit == "RGB"
    assert np.array_equal(colour.pixels[0], ARRAYS["val_images"][1])
    assert np.array_equal(read_image(Source(path, "test/0")).pixels, ARRAYS["test_images"][0])


@pytest.mark.parametrize("member", [None, "train/9", "train/x", "nowhere/0", "train/-1"])
def test_missing_members(tmp_path, member) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **ARRAYS)
    with pytest.raises(ReadError, match="archive"):
        read_image(Source(path, member))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"weights": np.zeros(3)}, "without an array of images"),
        ({"train_images": np.zeros((2, 3))}, "shape"),
        ({"train_images": np.zeros((2, 3, 3)), "train_labels": np.zeros((2, 14))}, "several values"),
        ({"train_images": np.zeros((2, 3, 3)), "train_labels": np.zeros(3)}, "3 labels for 2 images"),
        ({"train_images": np.array([{}, {}], dtype=object)}, "Python objects"),
    ],
)
def test_archives_that_do_not_fit(tmp_path, arrays, words) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    with pytest.raises(ReadError, match=words):
        read_headers(path)


def test_channels_of_an_archive(tmp_path) -> None:
    path, grey = tmp_path / "set.npz", np.arange(2 * 5 * 6, dtype=np.float32).reshape(2, 5, 6)
    np.savez(path, images=grey[..., None])
    assert (read_headers(path)[0].frames, read_headers(path)[0].rows, read_headers(path)[0].columns) == (1, 5, 6)
    assert np.array_equal(read_image(Source(path, "1")).pixels, grey[1:])
    np.savez(path, images=np.repeat(grey[..., None], 4, axis=-1))
    with pytest.raises(ReadError, match="shape"):
        read_headers(path)
    np.savez(path, images=np.full((1, 2, 2), np.nan))
    with pytest.raises(ReadError, match="no pixel"):
        read_image(Source(path, "0"))


def test_zip_of_other_things_is_no_image(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as zipped:
        zipped.writestr("a.txt", "text")
    assert kind_of(tmp_path / "a.npz") is None


def test_real_archives(data) -> None:
    path = data / "medmnist/adrenalmnist3d_64.npz"
    headers = read_headers(path)
    assert len(headers) == 1188 + 98 + 298
    assert (headers[0].frames, headers[0].rows, headers[0].columns) == (64, 64, 64)
    image = read_image(headers[1190].source)
    assert np.array_equal(image.pixels, np.load(path)["val_images"][2])
