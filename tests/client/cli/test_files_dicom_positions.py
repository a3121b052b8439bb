"""Where a series lies: by a line through all positions, and as dicom2nifti and ITK have it.

``ORACLE_CASES=1000`` makes as many series at random; the first 16 are enough for every run.
"""

from __future__ import annotations

import os

import nibabel
import numpy as np
import pytest

from eisen_deploy.client import files

CASES = int(os.environ.get("ORACLE_CASES", "16"))
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
AXES = {
    "axial": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
    "coronal": [[-1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "sagittal": [[0, 0, 1], [-1, 0, 0], [0, -1, 0]],
    "feet first": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "mirrored": [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
}


def turned(rng, most=180):
    """Return a rotation by at most so many degrees, around any axis."""
    x, y, z = rng.normal(size=3)
    length = np.sqrt(x * x + y * y + z * z)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / length
    angle = np.deg2rad(rng.uniform(-most, most))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def random_affine(rng, tilt=0.0):
    name = rng.choice([*AXES])
    matrix = np.array(AXES[name], float).T
    matrix = turned(rng, 180 if rng.random() < 0.4 else 0) @ matrix
    affine = np.eye(4)
    affine[:3, :3] = matrix @ np.diag(rng.uniform(0.3, 5, 3))
    down = affine[:3, 1] / np.linalg.norm(affine[:3, 1])
    affine[:3, 2] += np.tan(tilt) * np.linalg.norm(affine[:3, 2]) * down
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    return affine


def write_random(rng, slices, write_series, name, digits=9, tilt=0.0):
    """Write a random series, and return its folder."""
    shape = tuple(rng.integers(5, 9, 3))
    volume = rng.integers(-900, 3000, shape).astype(np.int16)
    images = slices(volume, random_affine(rng, tilt))
    for image in images:
        image.ImagePositionPatient = [round(float(x), digits) for x in image.ImagePositionPatient]
    numbers = [*range(1, len(images) + 1)]
    return write_series(images, name, numbers[:: rng.choice([-1, 1])])


def as_nifti(folder, path):
    """Return what `eisen-client` writes of a series as NIfTI."""
    files.save(path, files.read(folder))
    return nibabel.load(path)


def by_dicom2nifti(folder):
    """Return what dicom2nifti makes of a series; ``None`` if it refuses it."""
    convert = pytest.importorskip("dicom2nifti.convert_dicom")
    from dicom2nifti.exceptions import ConversionError, ConversionValidationError

    try:
        return convert.dicom_series_to_nifti(str(folder), None, reorient_nifti=False)["NII"]
    except (ConversionError, ConversionValidationError):
        return None


def check_like(ours, theirs, within=1e-4):
    """Check affine and values; the images may be in the opposite order."""
    data, affine = np.asanyarray(theirs.dataobj), theirs.affine
    if affine[:3, 2] @ ours.affine[:3, 2] < 0:
        back = np.diag([1.0, 1, -1, 1])
        back[2, 3] = data.shape[2] - 1
        data, affine = data[:, :, ::-1], affine @ back
    np.testing.assert_allclose(ours.affine, affine, rtol=0, atol=within)
    np.testing.assert_array_equal(np.asanyarray(ours.dataobj), data)


# --- other programs -----------------------------------------------------------------------


@pytest.mark.slow
def test_dicom2nifti_has_the_same_affines(slices, write_series, tmp_path):
    taken = 0
    for case in range(CASES):
        rng = np.random.default_rng(case)
        tilt = rng.choice([0, 0, 0.02])
        folder = write_random(rng, slices, write_series, f"s{case}", rng.choice([5, 6, 9]), tilt)
        theirs = by_dicom2nifti(folder)
        if theirs is not None:
            check_like(as_nifti(folder, tmp_path / "o.nii"), theirs)
            taken += 1
    assert taken >= 0.9 * CASES


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("digits", [1, 2, 3])
def test_dicom2nifti_is_as_near_as_positions_are_rounded(slices, write_series, tmp_path, digits):
    """It goes from the first position to the last, whose rounding the line evens out."""
    for case in range(CASES // 4):
        rng = np.random.default_rng([digits, case])
        volume = rng.integers(0, 3000, (6, 5, 8)).astype(np.int16)
        affine = random_affine(rng)
        affine[:3, 2] *= 2.5 / np.linalg.norm(affine[:3, 2])
        images = slices(volume, affine)
        for image in images:
            position = [round(float(x), digits) for x in image.ImagePositionPatient]
            image.ImagePositionPatient = position
        folder = write_series(images, f"s{case}", [*range(1, 9)])
        theirs = by_dicom2nifti(folder)
        if theirs is not None:
            check_like(as_nifti(folder, tmp_path / "o.nii"), theirs, within=10.0**-digits)


def test_dicom2nifti_has_the_same_affines_of_single_images(slices, write_series, tmp_path):
    settings = pytest.importorskip("dicom2nifti.settings")
    settings.disable_validate_slicecount()
    try:
        for case in range(6):
            rng = np.random.default_rng(case)
            volume = rng.integers(0, 3000, (6, 5, 1)).astype(np.int16)
            folder = write_series(slices(volume, random_affine(rng)), f"s{case}", [1])
            check_like(as_nifti(folder, tmp_path / "o.nii"), by_dicom2nifti(folder))
    finally:
        settings.enable_validate_slicecount()


def test_dicom2nifti_has_the_same_affine_of_a_real_series(bundled, tmp_path):
    """Five slices of a CT, from the middle of the series."""
    folder = bundled / "dicomdirtests/98892001/CT5N"
    theirs = by_dicom2nifti(folder)
    assert theirs is not None
    check_like(as_nifti(folder, tmp_path / "o.nii"), theirs)
    assert files.read(folder).remarks == (
        "the image numbers begin at 6: images before may be missing",
    )


def test_itk_has_the_same_places(slices, write_series):
    itk = pytest.importorskip("SimpleITK")
    for case in range(CASES // 2):
        rng = np.random.default_rng(case)
        folder = write_random(rng, slices, write_series, f"s{case}")
        reader = itk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        theirs, ours = reader.Execute(), files.read(folder)
        assert theirs.GetSize() == ours.grid.shape
        np.testing.assert_array_equal(itk.GetArrayFromImage(theirs).T, ours.value)
        for corner in np.ndindex(2, 2, 2):
            index = [int(i) for i in np.array(corner) * (np.array(ours.grid.shape) - 1)]
            place = (LPS @ ours.grid.affine @ [*index, 1])[:3]
            there = theirs.TransformIndexToPhysicalPoint(index)
            np.testing.assert_allclose(place, there, atol=0.01 * min(theirs.GetSpacing()))


# --- rounded numbers ----------------------------------------------------------------------


def write_line(slices, write_series, positions, name="line"):
    """Write axial images of 0.7 x 0.8 mm at these positions (LPS)."""
    count = len(positions)
    volume = np.zeros((6, 5, count), np.int16)
    images = slices(volume, LPS @ np.diag([0.7, 0.8, 3, 1]))
    for image, position in zip(images, positions):
        image.ImagePositionPatient = [f"{x:.9f}"[:16] for x in position]
    return write_series(images, name, [*range(1, count + 1)])


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("step", "count", "digits"),
    [(1.25, 30, 1), (1.75, 60, 1), (0.625, 40, 2), (3.3333, 50, 1), (0.15, 80, 2)],
)
def test_positions_are_rounded_along_the_normal(slices, write_series, step, count, digits):
    """The rounding of the first and the last image is no different from that of the others."""
    exact = np.array([[-10, 20, -30 + step * k] for k in range(count)])
    folder = write_line(slices, write_series, exact.round(digits))
    found = files.read(folder)
    unit = 10.0**-digits
    np.testing.assert_allclose(found.grid.affine[:3, 2], [0, 0, step], atol=unit / count)
    np.testing.assert_allclose(found.grid.affine[:3, 3], [10, -20, -30], atol=unit / 2)


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_positions_of_oblique_images_are_rounded(slices, write_series, digits):
    rng = np.random.default_rng(digits)
    affine = random_affine(rng)
    affine[:3, :3] = turned(rng) @ np.diag([0.7, 0.8, 3])
    images = slices(np.zeros((6, 5, 20), np.int16), affine)
    for image in images:
        image.ImagePositionPatient = [round(float(x), digits) for x in image.ImagePositionPatient]
        cosines = [round(float(x), 4) for x in image.ImageOrientationPatient]
        image.ImageOrientationPatient = cosines
    found = files.read(write_series(images)).grid.affine
    if found[:3, 2] @ affine[:3, 2] < 0:
        found = found @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 19], [0, 0, 0, 1]]
    np.testing.assert_allclose(found[:, :2], affine[:, :2], atol=1e-4)
    np.testing.assert_allclose(found[:3, 2:], affine[:3, 2:], atol=10.0**-digits)


def test_positions_that_are_exact_are_kept(slices, write_series):
    positions = [[-10.5, 20.25, -30 + 1.5 * k] for k in range(9)]
    affine = files.read(write_line(slices, write_series, positions)).grid.affine
    np.testing.assert_allclose(affine[:3, 3], [10.5, -20.25, -30], rtol=0, atol=1e-12)
    np.testing.assert_allclose(affine[:3, 2], [0, 0, 1.5], rtol=0, atol=1e-13)


# --- what is not even ---------------------------------------------------------------------


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("index", [0, 4, 8])
@pytest.mark.parametrize("off", [(0, 0, 0.6), (0.6, 0, 0), (0.4, -0.3, 0.3)])
def test_the_image_that_is_off_is_named(slices, write_series, index, off):
    positions = np.array([[-10, 20, -30 + 2.0 * k] for k in range(9)])
    positions[index] += off
    folder = write_line(slices, write_series, positions)
    with pytest.raises(files.UnsupportedFile) as caught:
        files.read(folder)
    said = str(caught.value)
    assert f"IM00{index + 1}, number {index + 1} of 9, lies {np.linalg.norm(off):.3f} mm" in said
    assert said.endswith("a twentieth of that is tolerated")


@pytest.mark.parametrize("axis", [0, 2])
def test_a_deviation_of_a_twentieth_of_the_distance_is_tolerated(slices, write_series, axis):
    """Every second image is off to the other side."""
    for off in (0.049, 0.051):
        positions = np.array([[-10, 20, -30 + 2.0 * k] for k in range(20)])
        positions[:, axis] += 2 * off * (-1) ** np.arange(20)
        folder = write_line(slices, write_series, positions, f"off {off}")
        if off < 0.05:
            assert files.read(folder).grid.shape == (6, 5, 20)
            continue
        with pytest.raises(files.UnsupportedFile, match="not evenly spaced: IM"):
            files.read(folder)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("start", [-30, -100.3, 57.7, 211.45])
@pytest.mark.parametrize("step", [1.05, 1.25, 1.35])
def test_halves_rounded_up_or_down_are_tolerated(slices, write_series, start, step):
    """Numbers such as 1.35 are not exact in binary: many are rounded up at one end of a volume, and
    down at the other, and yet none is off an even grid by more than 0.05 mm.
    """
    positions = [[0, 0, round(start + step * k, 1)] for k in range(40)]
    affine = files.read(write_line(slices, write_series, positions)).grid.affine
    places = affine[2, 3] + affine[2, 2] * np.arange(40)
    np.testing.assert_allclose(places, start + step * np.arange(40), atol=0.1)


def test_distances_that_grow_are_not_even(slices, write_series):
    positions = [[0, 0, 2.0 * k + 0.02 * k * k] for k in range(12)]
    with pytest.raises(files.UnsupportedFile, match="not evenly spaced"):
        files.read(write_line(slices, write_series, positions))


def test_a_microscopes_distances_are_read(slices, write_series):
    affine = np.diag([-0.0005, -0.0005, 0.0005, 1])
    folder = write_series(slices(np.zeros((4, 3, 5), np.int16), affine))
    np.testing.assert_allclose(files.read(folder).grid.affine, affine, atol=1e-8)


def test_images_that_are_missing_are_between_named_ones(slices, write_series):
    places = [0, 1, 2, 5, 6, 7, 9, 10, 11, 12]
    folder = write_line(slices, write_series, [[0, 0, 2.0 * k] for k in places])
    with pytest.raises(files.UnsupportedFile) as caught:
        files.read(folder)
    assert str(caught.value) == (
        "lacks 3 of its 13 images, between IM003 and IM004, IM006 and IM007"
    )


def test_headers_that_are_cut_short_name_their_file(make_slices, write_series):
    images = make_slices()
    images[1].ImagePositionPatient = [1, 2]
    del images[3].PixelSpacing
    folder = write_series(images, numbers=[1, 2, 3, 4, 5])
    with pytest.raises(files.UnsupportedFile, match=r"without PixelSpacing \(IM004\)"):
        files.read(folder)
    images[3].PixelSpacing = images[2].PixelSpacing
    with pytest.raises(files.UnsupportedFile, match=r"without ImagePositionPatient \(IM002\)"):
        files.read(write_series(images, numbers=[1, 2, 3, 4, 5]))
