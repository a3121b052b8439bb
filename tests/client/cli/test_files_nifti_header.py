"""Every field of a NIfTI header: kept as it is on disk, or the file is refused by its name."""

from __future__ import annotations

import gzip
import math
import struct
import warnings

import nibabel
import numpy as np
import pytest

from eisen_deploy.client import files

from . import by_hand

VOXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
SROW = [[-2, 0, 0, 10], [0, 2, 0.1, -20], [0, 0, 3, 30]]
PLACED = {"sform_code": 1, "srow": SROW, "pixdim": [1, 2, 2, 3, 1, 1, 1, 1]}
NAN, INF = math.nan, math.inf


def through(tmp_path, raw, end=".nii"):
    """Read a file and write it again; return the content and both headers."""
    source, target = tmp_path / f"source{end}", tmp_path / "target.nii"
    source.write_bytes(raw)
    image = files.read(source)
    array, layout = files.to_model(image, None)
    files.save(target, files.from_model(array, layout))
    return image, by_hand.read_nifti(source)[0], by_hand.read_nifti(target)[0]


KEPT = {
    "codes of all kinds": {"sform_code": 5, "qform_code": 4, "srow": SROW},
    "sform and qform that differ": {"sform_code": 2, "srow": SROW, "qform_code": 1},
    "qfac 0, which is 1": {"qform_code": 1, "pixdim": [0, 2, 2, 3, 1, 1, 1, 1]},
    "qfac -1": {"qform_code": 1, "pixdim": [-1, 2, 2, 3, 1, 1, 1, 1], "quatern": [0.5, 0.5, 0.5]},
    "qfac that nothing uses": {**PLACED, "pixdim": [NAN, 2, 2, 3, 1, 1, 1, 1]},
    "a quaternion of few digits": {"qform_code": 1, "quatern": [0.71, 0.71, 0]},
    "sizes that are not those of the sform": {**PLACED, "pixdim": [1] * 8},
    "metres": {**PLACED, "xyzt_units": 1},
    "microns and seconds": {**PLACED, "xyzt_units": 3 | 8},
    "units without a meaning": {**PLACED, "xyzt_units": 7},
    "axes of frequency, phase and slice": {**PLACED, "dim_info": 0b111001},
    "bitpix of another type, as NIfTI.jl had it": {**PLACED, "bitpix": 32},
    "no bitpix": {**PLACED, "bitpix": 0},
    "no placement": {"pixdim": [-1, 2, 2, 3, 1, 1, 1, 1], "qoffset": [1, 2, 3]},
    "dim beyond its number of axes": {**PLACED, "dim": [3, 4, 5, 3, 0, -7, 99, 1]},
    "an offset that is no multiple of 16": {**PLACED, "qform_code": 1, "vox_offset": 352},
    "a slope of 0, which is no scaling": {**PLACED, "scl_slope": 0, "scl_inter": 5},
    "a slope that is not there": {**PLACED, "scl_slope": NAN, "scl_inter": NAN},
    "a statistical map": {**PLACED, "intent_code": 3},
}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("changes", KEPT.values(), ids=KEPT)
def test_kept(tmp_path, changes, order, version):
    if version == 2:
        changes = {**changes, "vox_offset": 544}
    image, before, after = through(tmp_path, by_hand.nifti(VOXELS, order, version, **changes))
    np.testing.assert_array_equal(image.value, VOXELS)
    for field in by_hand.PLACE:
        np.testing.assert_array_equal(after[field], before[field], field)
    np.testing.assert_array_equal(after["pixdim"][:4], before["pixdim"][:4])
    assert after["dim"][:4].tolist() == [3, 4, 5, 3]


REFUSED = {
    "no axes": ({"dim": [0] * 8}, "dim is"),
    "an axis of size 0": ({"dim": [3, 4, 0, 3, 1, 1, 1, 1]}, "dim is"),
    "an axis of negative size": ({"dim": [3, 4, 5, -3, 1, 1, 1, 1]}, "dim is"),
    "eight axes": ({"dim": [8, 4, 5, 3, 1, 1, 1, 1]}, "dim is"),
    "one axis": ({"dim": [1, 60, 1, 1, 1, 1, 1, 1]}, "expected a volume"),
    "two axes of channels": ({"dim": [5, 2, 5, 1, 3, 2, 1, 1]}, "expected a volume"),
    "an unknown sform": ({"sform_code": 7, "srow": SROW}, "sform_code is 7"),
    "a qform code below 0": ({"qform_code": -1}, "qform_code is -1"),
    "an sform in a plane": ({"sform_code": 1, "srow": [[1, 0, 1, 0]] * 3}, "affine of its sform"),
    "an sform of NaN": ({"sform_code": 1, "srow": [NAN] * 12}, "affine of its sform"),
    "an sform of nothing": ({"sform_code": 1}, "affine of its sform"),
    "no rotation": ({"qform_code": 1, "quatern": [0.9, 0.9, 0.9]}, "quatern"),
    "a rotation by NaN": ({"qform_code": 1, "quatern": [NAN, 0, 0]}, "quatern"),
    "an infinite offset": ({"qform_code": 1, "qoffset": [INF, 0, 0]}, "qoffset"),
    "another qfac": ({"qform_code": 1, "pixdim": [-0.5, *[1] * 7]}, r"pixdim\[0\]"),
    "qfac NaN": ({"qform_code": 1, "pixdim": [NAN, *[1] * 7]}, r"pixdim\[0\]"),
    "a size below 0": ({"qform_code": 1, "pixdim": [1, -2, *[1] * 6]}, "not above 0"),
    "a size below 0 beside an sform": ({**PLACED, "pixdim": [1, -2, *[1] * 6]}, "not above 0"),
    "a size of 0": ({"qform_code": 1, "pixdim": [1, 1, 0, *[1] * 5]}, "not above 0"),
    "a size of NaN": ({"qform_code": 1, "pixdim": [1, 1, 1, NAN, *[1] * 4]}, "not above 0"),
    "an infinite size": ({"pixdim": [1, INF, *[1] * 6]}, "not above 0"),
    "voxels in the header": ({"vox_offset": 0}, "vox_offset"),
    "voxels in the extender": ({"vox_offset": 348}, "vox_offset"),
    "voxels before the file": ({"vox_offset": -352}, "vox_offset"),
    "an offset between two bytes": ({"vox_offset": 352.5}, "vox_offset"),
    "an offset of NaN": ({"vox_offset": NAN}, "vox_offset"),
    "an infinite vox_offset": ({"vox_offset": INF}, "vox_offset"),
    "an offset behind the file": ({"vox_offset": 1024}, "bytes are missing"),
    "more voxels than bytes": ({"dim": [3, 4, 5, 30000, 1, 1, 1, 1]}, "bytes are missing"),
    "more than any memory": ({"dim": [7, *[32767] * 3, 1, 1, 1, 1]}, "bytes are missing"),
    "two sizes of a voxel": ({"bitpix": 16, "dim": [3, 4, 5, 2, 1, 1, 1, 1]}, "bitpix"),
    "two sizes, and less voxels": ({"bitpix": 32, "dim": [3, 4, 5, 4, 1, 1, 1, 1]}, "bitpix"),
    "an infinite slope": ({"scl_slope": INF}, "scl_slope"),
    "a slope without an intercept": ({"scl_slope": 2, "scl_inter": NAN}, "scl_slope"),
    "no type": ({"datatype": 0}, "datatype 0"),
    "bits": ({"datatype": 1, "bitpix": 1}, "single bits"),
    "complex numbers": ({"datatype": 32, "bitpix": 64}, "complex"),
    "long complex numbers": ({"datatype": 2048, "bitpix": 256}, "complex"),
    "floats of 128 bits": ({"datatype": 1536, "bitpix": 128}, "128 bits"),
    "colours": ({"datatype": 128, "bitpix": 24}, "colours"),
    "colours with alpha": ({"datatype": 2304, "bitpix": 32}, "colours"),
    "points": ({"intent_code": 1008}, "mesh"),
    "triangles": ({"intent_code": 1009}, "mesh"),
    "CIFTI": ({"intent_code": 3006}, "CIFTI"),
    "a pair of files": ({"magic": b"ni1\0"}, r"another file \(.img\)"),
    "Analyze": ({"magic": b"\0\0\0\0"}, "Analyze"),
    "a header of another size": ({"sizeof_hdr": 352}, "is not a NIfTI file"),
}


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, changes, reason):
    path = tmp_path / "x.nii"
    path.write_bytes(by_hand.nifti(VOXELS, **changes))
    with pytest.raises(files.FileError, match=reason) as caught:
        files.read(path)
    assert "Error)" not in str(caught.value)


def test_a_byte_order_that_is_not_the_same_in_all_fields(tmp_path):
    """nibabel and ITK would go by dim, and not by sizeof_hdr."""
    raw = bytearray(by_hand.nifti(VOXELS))
    raw[:4] = struct.pack(">i", 348)
    (tmp_path / "x.nii").write_bytes(raw)
    with pytest.raises(files.UnsupportedFile, match="dim is"):
        files.read(tmp_path / "x.nii")


def test_line_ends_of_nifti_2(tmp_path):
    raw = by_hand.nifti(VOXELS, version=2, magic=b"n+2\0\n\n\x1a\n")
    (tmp_path / "x.nii").write_bytes(raw)
    with pytest.raises(files.UnsupportedFile, match="as if they were text"):
        files.read(tmp_path / "x.nii")


# --- extensions ---------------------------------------------------------------------------


def extended(*extensions: tuple[int, int], offset: int = 400, order: str = "<") -> bytes:
    """Return a file with extensions (esize, ecode) of which the voxels begin at an offset."""
    raw = bytearray(by_hand.nifti(VOXELS, order, vox_offset=offset))
    head, voxels = raw[:348] + b"\1\0\0\0", raw[352:]
    for size, code in extensions:
        head += struct.pack(f"{order}ii", size, code).ljust(min(max(size, 8), 500), b"\xee")
    return bytes(head[:offset].ljust(offset, b"\0") + voxels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("sizes", [[48], [16, 32], [32], [16, 16], []])
def test_extensions_are_no_voxels(tmp_path, sizes, order):
    raw = extended(*((size, 6) for size in sizes), order=order)
    image, _, after = through(tmp_path, raw)
    np.testing.assert_array_equal(image.value, VOXELS)
    assert image.remarks[0].startswith("it does not say how it lies")
    assert after["vox_offset"] == 352


@pytest.mark.parametrize("sizes", [[64], [16, 48], [2**31 - 1]])
def test_voxels_within_an_extension(tmp_path, sizes):
    path = tmp_path / "x.nii"
    path.write_bytes(extended(*((size, 6) for size in sizes)))
    with pytest.raises(files.UnsupportedFile, match="within a header extension"):
        files.read(path)


# --- what a file is, and its end ----------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 40])
def test_voxels_that_are_missing(tmp_path, cut):
    (tmp_path / "x.nii").write_bytes(by_hand.nifti(VOXELS)[:-cut])
    with pytest.raises(files.UnreadableFile, match=f"{cut} bytes are missing of 4 x 5 x 3"):
        files.read(tmp_path / "x.nii")


def test_bytes_that_are_not_read_are_reported(tmp_path):
    raw = by_hand.nifti(VOXELS, dim=[3, 4, 5, 2, 1, 1, 1, 1], **PLACED)
    image, _, _ = through(tmp_path, raw)
    assert image.remarks == ("20 bytes after its voxels are not read",)


@pytest.mark.parametrize("end", [".nii", ".nii.gz"])
@pytest.mark.parametrize("members", [0, 1, 3])
def test_compression_is_seen_from_the_content(tmp_path, end, members):
    raw = by_hand.nifti(VOXELS, **PLACED)
    parts = [raw[at : at + 150] for at in range(0, len(raw), 150)] if members == 3 else [raw]
    content = b"".join(map(gzip.compress, parts)) if members else raw
    path = tmp_path / f"x{end}"
    path.write_bytes(content)
    image = files.read(path)
    np.testing.assert_array_equal(image.value, VOXELS)
    image.value[0] = 7  # its own memory, and not the file
    assert path.read_bytes() == content


def test_damaged_compression(tmp_path):
    whole = gzip.compress(by_hand.nifti(VOXELS, **PLACED))
    changed = whole[:-8] + bytes(4) + whole[-4:]
    cases = {whole[:-5]: "ends early", changed: "checksum", whole + b"rubbish": "compressed data"}
    for content, reason in cases.items():
        (tmp_path / "x.nii.gz").write_bytes(content)
        with pytest.raises(files.UnreadableFile, match=f"is damaged: .*{reason}"):
            files.read(tmp_path / "x.nii.gz")


OTHERS = {
    "it is empty": b"",
    "it holds a zip file": b"PK\3\4" + bytes(400),
    "it holds a gzip file": gzip.compress(gzip.compress(bytes(400))),
    "it holds DICOM": bytes(128) + b"DICM" + bytes(400),
    "it holds a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "it holds a web page": b"<html>" + bytes(400),
    "it holds an NRRD file": b"NRRD0004\n" + bytes(400),
    "it holds text": b"CANARY" * 100,
    "it does not start with 348 or 540": b"\xf0\0" * 300,
    "ends within its header": by_hand.nifti(VOXELS)[:349],
}


@pytest.mark.parametrize("what", OTHERS)
@pytest.mark.parametrize("end", [".nii", ".nii.gz"])
def test_a_file_that_is_not_nifti_is_called_what_it_is(tmp_path, what, end):
    (tmp_path / f"x{end}").write_bytes(OTHERS[what])
    with pytest.raises(files.UnreadableFile, match=what) as caught:
        files.read(tmp_path / f"x{end}")
    assert "CANARY" not in str(caught.value)


# --- scaling ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8", "i8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("slope", "inter"), [(1, 0), (0.37, -1024), (-2, 0), (1, 3), (NAN, 0)])
def test_values_are_nibabels(tmp_path, kind, order, slope, inter):
    voxels = np.random.default_rng(0).integers(0, 250, (4, 5, 3, 2)).astype(order + kind)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = slope, inter, 352
    header["sform_code"], header["magic"] = 1, b"n+1"
    header["srow_x"], header["srow_y"], header["srow_z"] = SROW
    path = tmp_path / "x.nii"
    path.write_bytes(header.binaryblock + bytes(4) + voxels.tobytes(order="F"))
    found = files.read(path).value
    image = nibabel.load(path)
    is_scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    of_scaled = "f4" if np.dtype(kind).itemsize <= 2 else "f8"
    assert found.dtype == (of_scaled if is_scaled else order + kind)
    expected = np.moveaxis(np.asanyarray(image.dataobj), 3, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if is_scaled else 0)


# --- axes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "model", "mask"),
    [
        ((4, 5), (1, 1, 4, 5, 1), [2, 4, 5]),
        ((4, 5, 1), (1, 1, 4, 5, 1), [3, 4, 5, 1]),
        ((4, 5, 3, 1), (1, 1, 4, 5, 3), [3, 4, 5, 3]),
        ((4, 1, 3), (1, 1, 4, 1, 3), [3, 4, 1, 3]),
        ((4, 5, 3, 2), (1, 2, 4, 5, 3), [4, 4, 5, 3, 2]),
        ((4, 5, 3, 1, 2), (1, 2, 4, 5, 3), [4, 4, 5, 3, 2]),
        ((1, 1, 1), (1, 1, 1, 1, 1), [3, 1, 1, 1]),
    ],
)
def test_axes(tmp_path, shape, model, mask):
    voxels = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    image, _, after = through(tmp_path, by_hand.nifti(voxels, **PLACED))
    assert files.to_model(image, None)[0].shape == model
    assert after["dim"][: len(mask)].tolist() == mask


def test_times_stay_where_there_are_as_many(tmp_path):
    volumes = np.stack([VOXELS] * 3, axis=3)
    raw = by_hand.nifti(volumes, **{**PLACED, "pixdim": [1, 2, 2, 3, 2.5, 1, 1, 1]}, toffset=4)
    image, _, after = through(tmp_path, raw)
    assert (after["pixdim"][4], after["toffset"]) == (2.5, 4)
    classes = files.Content(np.zeros((2, 4, 5, 3), np.uint8), 3, image.grid)
    files.save(tmp_path / "classes.nii", classes)
    after = by_hand.read_nifti(tmp_path / "classes.nii")[0]
    assert (after["pixdim"][4], after["toffset"]) == (1, 0)


# --- grids --------------------------------------------------------------------------------


def grid_of(tmp_path, **changes):
    (tmp_path / "x.nii").write_bytes(by_hand.nifti(VOXELS, **changes))
    return files.read(tmp_path / "x.nii").grid


def test_the_affine_is_in_millimetres(tmp_path):
    millimetres = grid_of(tmp_path, **PLACED).affine
    for unit, factor in ((1, 1000), (2, 1), (3, 0.001), (0, 1)):
        affine = grid_of(tmp_path, **PLACED, xyzt_units=unit).affine
        np.testing.assert_allclose(affine[:3], millimetres[:3] * factor, rtol=1e-6)


def test_grids_are_alike_if_every_program_sees_them_alike(tmp_path):
    one = grid_of(tmp_path, **PLACED)
    assert one.is_like(grid_of(tmp_path, **PLACED, xyzt_units=2))
    assert one.is_like(files.Grid(one.shape, one.affine))
    assert not one.is_like(grid_of(tmp_path, **PLACED, qform_code=1))
    assert not one.is_like(grid_of(tmp_path, **PLACED, xyzt_units=1))
    metres = {"srow": np.array(SROW) / 1000, "pixdim": [1, 0.002, 0.002, 0.003, 1, 1, 1, 1]}
    elsewhere = grid_of(tmp_path, sform_code=1, xyzt_units=1, **metres)
    np.testing.assert_allclose(elsewhere.affine, one.affine, rtol=1e-6)
    assert not one.is_like(elsewhere)  # to programs that ignore units
    both = grid_of(tmp_path, **PLACED, qform_code=1)
    assert both.is_like(grid_of(tmp_path, **PLACED, qform_code=2))
    assert not grid_of(tmp_path).is_like(both)


def test_a_quaternion_of_few_bits_makes_no_other_grid(tmp_path):
    """Of an axial volume that is turned by a hundredth of a degree, 24 bits know no turn."""
    angle = np.radians(0.01)
    turn = np.array([[-np.cos(angle), np.sin(angle)], [-np.sin(angle), -np.cos(angle)]])
    affine = np.diag([1.0, 1, 3, 1])
    affine[:2, :2] = turn
    grid = files.Grid((512, 512, 3), affine)
    files.save(tmp_path / "x.nii.gz", files.Content(np.zeros(grid.shape, np.uint8), 3, grid))
    found = files.read(tmp_path / "x.nii.gz").grid
    assert np.abs(found.also[0] - affine).max() > 1e-4
    assert grid.is_like(found)
    assert found.is_like(grid)


def test_what_has_no_orientation_is_not_turned(tmp_path):
    (tmp_path / "x.nii").write_bytes(by_hand.nifti(VOXELS))
    image = files.read(tmp_path / "x.nii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(image.grid.affine, nibabel.load(tmp_path / "x.nii").affine)
    assert "does not say how it lies in the patient" in image.remarks[0]
    with pytest.raises(files.GeometryMismatch, match="cannot be turned to RAS"):
        files.to_model(image, None, "RAS")


def test_sides_on_which_programs_differ_are_reported(tmp_path):
    (tmp_path / "x.nii").write_bytes(by_hand.nifti(VOXELS, **PLACED, qform_code=1))
    (remark,) = files.read(tmp_path / "x.nii").remarks
    assert "its sform see it as LAS, and those that prefer its qform as RAS" in remark
