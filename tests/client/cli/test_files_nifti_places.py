"""NIfTI files of DICOM series: exact in the sform, and at right angles where ITK looks."""

from __future__ import annotations

import itertools
import re

import nibabel
import numpy as np
import pytest

from eisen_deploy.client import files

from . import by_hand

sitk = pytest.importorskip("SimpleITK")
sitk.ProcessObject_SetGlobalWarningDisplay(False)

SIZES = (0.7, 0.8, 3.0)


def written(tmp_path, grid):
    """Write a mask on a grid; return the header and what should be known about it."""
    path = tmp_path / "mask.nii"
    remarks = files.check_grid(path, grid)
    files.save(path, files.Content(np.zeros(grid.shape, np.uint8), 3, grid))
    header = by_hand.read_nifti(path)[0]
    lengths = np.linalg.norm(grid.affine[:3, :3], axis=0)
    np.testing.assert_allclose(header["pixdim"][1:4], lengths, rtol=1e-6)
    np.testing.assert_allclose(nibabel.load(path).affine, grid.affine, rtol=1e-5, atol=1e-5)
    assert header["sform_code"] == 1
    return header, " ".join(remarks)


def corner_places(affine, shape):
    corners = np.array(list(itertools.product(*[(0, size - 1) for size in shape]))).T
    return affine[:3, :3] @ corners + affine[:3, 3:], corners


def by_itk(path, corners):
    image = sitk.ReadImage(str(path))
    places = [image.TransformIndexToPhysicalPoint(corner.tolist()) for corner in corners.T]
    return np.array(places).T * [[-1], [-1], [1]]


def check_itk(tmp_path, grid, remark):
    """Check that ITK takes a mask, or refuses it, as the remark says, and how far it is off."""
    exact, corners = corner_places(grid.affine, grid.shape)
    if "sheared" in remark:
        with pytest.raises(RuntimeError, match="orthonormal"):
            sitk.ReadImage(str(tmp_path / "mask.nii"))
        return
    off = np.linalg.norm(by_itk(tmp_path / "mask.nii", corners) - exact, axis=0).max()
    off /= np.linalg.norm(grid.affine[:3, :3], axis=0).min()
    told = re.search(r"up to (\S+) voxels off", remark)
    assert off == pytest.approx(float(told[1]), rel=0.06) if told else off < 0.01


def turned(sizes=SIZES):
    """Return an affine of an oblique volume."""
    a, b = np.radians([20, 35])
    row = np.array([np.cos(a), np.sin(a), 0])
    column = np.array([-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), -np.sin(b)])
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row, column, np.cross(row, column)]) * sizes
    affine[:3, 3] = [-10.33, 20.27, -30.18]
    return affine


# --- tilted gantries ----------------------------------------------------------------------


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("degrees", [-30, -2, 1, 5, 15, 22.5])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("is_oblique", [False, True])
def test_a_tilted_series(tmp_path, write_series, slices, degrees, axis, is_oblique):
    affine = turned() if is_oblique else np.diag([-0.7, -0.8, 3, 1])
    along = affine[:3, axis] / np.linalg.norm(affine[:3, axis])
    affine[:3, 2] += along * np.tan(np.radians(degrees)) * 3
    grid = files.read(write_series(slices(np.zeros((8, 6, 12), np.int16), affine))).grid
    header, remark = written(tmp_path, grid)
    assert header["qform_code"] == 0
    thickness = 3 / np.cos(np.radians(degrees))
    np.testing.assert_allclose(header["pixdim"][1:4], [0.7, 0.8, thickness], rtol=1e-5)
    assert "sheared, as those of a tilted gantry" in remark
    check_itk(tmp_path, grid, remark)


def test_the_command_prints_the_remark(model, predict, tmp_path, write_series, slices):
    affine = np.diag([-0.7, -0.8, 3, 1])
    affine[1, 2] = 0.5
    folder = write_series(slices(np.ones((8, 6, 5), np.int16), affine))
    mask = tmp_path / "mask.nii.gz"
    status, _, err = predict(model(), "--input", f"image={folder}", "--output", f"mask={mask}")
    assert status == 0
    assert f"note: mask={mask}: its slices are sheared" in err
    assert "ITK" in err


# --- rounded numbers ----------------------------------------------------------------------


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("digits", [(6, 6), (5, 6), (4, 6), (3, 6), (6, 2), (6, 1), (4, 2), (3, 1)])
@pytest.mark.parametrize("count", [2, 9, 40])
def test_a_rounded_series(tmp_path, write_series, slices, digits, count):
    images = slices(np.zeros((8, 6, count), np.int16), turned())
    for image in images:
        cosines = [round(float(x), digits[0]) for x in image.ImageOrientationPatient]
        image.ImageOrientationPatient = cosines
        image.ImagePositionPatient = [
            round(float(x), digits[1]) for x in image.ImagePositionPatient
        ]
    grid = files.read(write_series(images)).grid
    header, remark = written(tmp_path, grid)
    assert header["qform_code"] == 1
    assert "sheared" not in remark
    check_itk(tmp_path, grid, remark)
    spacing = sitk.ReadImage(str(tmp_path / "mask.nii")).GetSpacing()
    np.testing.assert_allclose(spacing, SIZES, rtol=0.01)


@pytest.mark.parametrize("count", [2, 5, 30, 200])
@pytest.mark.parametrize("shear", [0, 3e-5, 1.5e-4, 5e-4, 2e-3, 4e-3, 0.02, 0.09, 0.2])
@pytest.mark.parametrize("flip", [1, -1])
def test_a_remark_is_there_if_it_is_true(tmp_path, count, shear, flip):
    affine = turned((0.7, 0.8, 3.0 * flip))
    affine[:3, 2] += affine[:3, 0] * shear * 3 / 0.7
    grid = files.Grid((64, 48, count), affine)
    header, remark = written(tmp_path, grid)
    rounding = 1e-3 + 0.1 / (count - 1)  # of a cosine, and of the first and the last position
    assert ("sheared" in remark) == (shear > rounding)
    assert (header["qform_code"] == 0) == (shear > rounding)
    check_itk(tmp_path, grid, remark)


def test_the_placement_at_right_angles_is_in_the_middle(tmp_path):
    """Its errors at both ends are then as small as they can be."""
    affine = turned()
    affine[:3, 2] += affine[:3, 1] * 0.01
    header, _ = written(tmp_path, files.Grid((11, 9, 21), affine))
    rigid = by_hand.placements(header)["method 2"]
    centre = [5, 4, 10, 1]
    np.testing.assert_allclose(rigid @ centre, affine @ centre, atol=1e-4)
    columns = rigid[:3, :3] / np.linalg.norm(rigid[:3, :3], axis=0)
    np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-6)


def test_too_many_voxels_for_nifti_are_refused_before_anything_is_sent(tmp_path):
    with pytest.raises(files.UnwritableFile, match="at most 32767 voxels along an axis"):
        files.check_grid(tmp_path / "x.nii", files.Grid((40000, 2, 2), np.eye(4)))
