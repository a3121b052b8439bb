"""NIfTI files: voxels and geometry are kept, and nothing else."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from eisen_deploy.client import files

FIELDS = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "xyzt_units")


def round_trip(path: Path, target: Path, value=None):
    image = files.read(path)
    array, layout = files.to_model(image, None)
    files.save(target, files.from_model(array if value is None else value(array), layout))
    return nibabel.load(target)


@pytest.mark.parametrize("name", ["anatomical.nii", "example_nifti2.nii.gz", "standard.nii.gz"])
@pytest.mark.parametrize("end", [".nii", ".nii.gz"])
def test_geometry_and_voxels_are_those_of_the_source(scans, tmp_path, name, end):
    source = nibabel.load(scans / name)
    written = round_trip(scans / name, tmp_path / f"out{end}")
    assert type(written) is type(source)
    np.testing.assert_array_equal(written.affine, source.affine)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.asanyarray(source.dataobj))
    assert written.get_data_dtype() == source.get_data_dtype().newbyteorder("=")
    for field in FIELDS:
        assert written.header[field] == source.header[field], field
    assert written.header.get_zooms()[:3] == source.header.get_zooms()[:3]


def test_several_volumes_are_channels_in_front_and_written_behind(scans):
    image = files.read(scans / "example4d.nii.gz")
    source = np.asanyarray(nibabel.load(scans / "example4d.nii.gz").dataobj)
    array, _ = files.to_model(image, [-1, 2, -1, -1, -1])
    assert array.shape == (1, 2, 128, 96, 24)
    np.testing.assert_array_equal(array[0, 1], source[..., 1])


def test_scaling_is_applied_in_float32(scans):
    image = files.read(scans / "functional.nii")
    source = nibabel.load(scans / "functional.nii")
    assert image.value.dtype == np.float32
    np.testing.assert_allclose(
        image.value, np.moveaxis(source.get_fdata(dtype=np.float32), 3, 0), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("bool", "uint8"), ("float16", "float32"), ("int64", "int32"), ("uint64", "int32")]
    + [(each, each) for each in ("uint8", "int16", "float32", "float64", "complex64")],
)
def test_types(anatomical, tmp_path, dtype, stored):
    written = round_trip(anatomical, tmp_path / "o.nii", lambda a: (a > 9000).astype(dtype))
    assert written.get_data_dtype() == stored
    assert set(np.unique(np.asanyarray(written.dataobj))) == {0, 1}


def test_64_bits_stay_where_fewer_do_not_suffice(anatomical, tmp_path):
    written = round_trip(anatomical, tmp_path / "o.nii", lambda a: a.astype(np.int64) * 2**33)
    assert written.get_data_dtype() == np.int64


def test_descriptions_and_extensions_of_the_source_stay_behind(anatomical, tmp_path):
    source = nibabel.load(anatomical)
    source.header["descrip"] = source.header["db_name"] = b"CANARY"
    source.header["aux_file"] = b"CANARY"
    source.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"CANARY" * 9))
    path = tmp_path / "source.nii"
    nibabel.save(source, path)
    assert b"CANARY" in path.read_bytes()
    round_trip(path, tmp_path / "CANARY.nii.gz")
    compressed = (tmp_path / "CANARY.nii.gz").read_bytes()
    assert b"CANARY" not in compressed[:200]
    assert b"CANARY" not in gzip.decompress(compressed)


def test_a_slice_is_written_as_a_slice(tmp_path):
    path = tmp_path / "slice.nii"
    nibabel.save(nibabel.Nifti1Image(np.arange(12, dtype=np.int16).reshape(4, 3), np.eye(4)), path)
    image = files.read(path)
    array, layout = files.to_model(image, [-1, 1, -1, -1])
    assert array.shape == (1, 1, 4, 3)
    files.save(tmp_path / "out.nii", files.from_model(array, layout))
    assert nibabel.load(tmp_path / "out.nii").shape == (4, 3)


@pytest.mark.parametrize("cut", [0, 100, 348, 400, 5000])
def test_damaged_files(anatomical, tmp_path, cut):
    path = tmp_path / "bad.nii"
    path.write_bytes(anatomical.read_bytes()[:cut])
    with pytest.raises(files.UnreadableFile, match="is damaged, or is not a NIfTI file"):
        files.read(path)


def test_damaged_compression(scans, tmp_path):
    raw = bytearray((scans / "example_nifti2.nii.gz").read_bytes())
    raw[9000:9100] = bytes(100)
    path = tmp_path / "bad.nii.gz"
    path.write_bytes(raw)
    with pytest.raises(files.UnreadableFile, match="damaged"):
        files.read(path)


def test_files_without_a_volume_of_numbers(scans, tmp_path):
    with pytest.raises(files.UnsupportedFile, match="not a NIfTI volume"):
        files.read(scans / "row_major.dconn.nii")
    colours = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = tmp_path / "o.nii"
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), path)
    with pytest.raises(files.UnsupportedFile, match="colours"):
        files.read(path)
    header = nibabel.Nifti1Header()
    header.set_sform(np.diag([1, 1, 0, 1]), 1)
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 3, 3), np.uint8), None, header), path)
    with pytest.raises(files.UnsupportedFile, match="affine"):
        files.read(path)
    many = nibabel.Nifti1Image(np.zeros((3, 3, 3, 2, 2), np.uint8), np.eye(4))
    nibabel.save(many, path)
    with pytest.raises(files.UnsupportedFile, match=r"has shape \[3, 3, 3, 2, 2\]"):
        files.read(path)


def test_text_is_no_image(anatomical, tmp_path):
    image = files.read(anatomical)
    words = files.Content(np.full((33, 41, 25), "a"), 3, image.grid)
    with pytest.raises(files.UnwritableFile, match="does not hold"):
        files.save(tmp_path / "o.nii", words)
    with pytest.raises(files.UnwritableFile, match="geometry"):
        files.save(tmp_path / "o.nii", files.Content(np.zeros((2, 2, 2))))
