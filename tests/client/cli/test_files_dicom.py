"""DICOM series: the same voxels at the same places as in NIfTI, or a reason why not."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
import pytest

from eisen_deploy.client import files

UNSUPPORTED = files.UnsupportedFile
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def save(path, dataset):
    pydicom.dcmwrite(path, dataset)


def test_a_series_has_the_voxels_and_the_places_of_the_volume(series, oblique, canonical):
    volume, affine = oblique
    image = files.read(series)
    assert image.value.dtype == np.int16
    assert image.spatial == 3
    assert image.grid is not None
    assert image.grid.shape == volume.shape == image.value.shape
    data, placed = canonical(image.value, image.grid.affine)
    expected, expected_affine = canonical(volume, affine)
    np.testing.assert_array_equal(data, expected)
    np.testing.assert_allclose(placed, expected_affine, atol=1e-5)


def test_an_index_is_where_dicom_says(series):
    """PS3.3, C.7.6.2.1.1, for each image by itself."""
    image = files.read(series)
    for k in (0, 7, 24):
        header = image.grid.slices[k]
        row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        i, j = 5, 11
        down, across = header.PixelSpacing
        place = np.array(header.ImagePositionPatient, float) + row * across * i + column * down * j
        np.testing.assert_allclose((LPS @ image.grid.affine @ [i, j, k, 1])[:3], place, atol=1e-4)


def test_the_mask_of_a_series_is_nifti_on_the_same_grid(series, tmp_path):
    image = files.read(series)
    array, layout = files.to_model(image, None)
    files.save(tmp_path / "o.nii.gz", files.from_model(array, layout))
    written = nibabel.load(tmp_path / "o.nii.gz")
    np.testing.assert_allclose(written.affine, image.grid.affine, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(written.get_qform(), image.grid.affine, atol=1e-4)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), image.value)
    assert (written.header["sform_code"], written.header["qform_code"]) == (1, 1)
    assert written.header.get_xyzt_units()[0] == "mm"


def test_slices_that_shift_sideways_make_a_shear(make_slices, write_series, tmp_path):
    images = make_slices()
    for k, image in enumerate(images):
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [x, y + 0.4 * k, z]
    image = files.read(write_series(images))
    step = np.subtract(images[1].ImagePositionPatient, images[0].ImagePositionPatient)
    np.testing.assert_allclose(np.abs((LPS @ image.grid.affine)[:3, 2]), np.abs(step), atol=1e-4)
    files.save(tmp_path / "o.nii", image)
    written = nibabel.load(tmp_path / "o.nii")
    np.testing.assert_allclose(written.affine, image.grid.affine, atol=1e-5)
    assert written.header["qform_code"] == 0


def test_positions_that_are_rounded_are_good_enough(make_slices, write_series):
    images = make_slices()
    for image in images:
        image.ImagePositionPatient = [round(float(x), 1) for x in image.ImagePositionPatient]
    assert files.read(write_series(images)).grid.shape == (12, 10, 5)


# --- what is no volume --------------------------------------------------------------------


def change_all(**attributes):
    def change(images):
        for image in images:
            for name, value in attributes.items():
                setattr(image, name, value)

    return change


def change_one(**attributes):
    return lambda images: change_all(**attributes)(images[2:3])


def remove(name):
    def change(images):
        for image in images:
            delattr(image, name)

    return change


def drop_one(images):
    del images[2]


def move_one(by):
    def change(images):
        a, b = (np.array(image.ImagePositionPatient, float) for image in images[1:3])
        images[2].ImagePositionPatient = [f"{x:.8f}"[:16] for x in a + (b - a) * by]

    return change


def tilt_one(images):
    images[1].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop_one, "lacks 1 of its 5 images, between IM154 and IM970"),
        (move_one(1.3), r"not evenly spaced: IM154, number 3 of 5, lies 0\.750 mm off"),
        (move_one(0.0), r"5 images at 4 positions: .* \(IM154, IM970\)"),
        (tilt_one, r"not parallel: 1 of 5 .* \(IM970\)"),
        (
            change_one(SeriesInstanceUID="1.2.3"),
            r"2 series: 4 images \(IM331, IM404 and 2 more\) and 1 image \(IM154\)",
        ),
        (
            change_one(PatientID="CANARY-1"),
            r"a series of 2 patients by their PatientID: 4 images \(.*\) and 1 image",
        ),
        (
            change_one(FrameOfReferenceUID="1.2.3"),
            r"different frames of reference \(IM154 and the others\)",
        ),
        (change_one(PixelSpacing=[1, 1]), r"different pixel spacings \(IM154 and the others\)"),
        (change_one(Rows=5), r"different sizes \(IM154 and the others\)"),
        (change_one(PhotometricInterpretation="MONOCHROME1"), "different photometric"),
        (change_all(PhotometricInterpretation="MONOCHROME1"), "--monochrome1"),
        (change_all(PhotometricInterpretation="PALETTE COLOR"), "palette"),
        (change_all(PhotometricInterpretation="RGB", SamplesPerPixel=3), "in colour"),
        (change_all(NumberOfFrames=2), "multi-frame"),
        (change_all(ModalityLUTSequence=[]), "look-up table"),
        (change_one(RescaleSlope=0), "^IM154 has a rescale slope"),
        (change_all(DoseGridScaling=1), "doses"),
        (change_one(HighBit=15), "^IM154 has pixels .* lowest bit"),
        (change_all(PixelSpacing=[0, 0]), "spacing that is not above 0"),
        (change_all(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "right angles"),
        (remove("ImagePositionPatient"), r"without ImagePositionPatient \(IM"),
        (remove("PixelSpacing"), "without PixelSpacing"),
        (remove("BitsStored"), r"^IM\d+ does not say what its pixels are: BitsStored"),
        (remove("SamplesPerPixel"), "SamplesPerPixel is missing"),
        (remove("PhotometricInterpretation"), "PhotometricInterpretation is missing"),
        (remove("PixelRepresentation"), "PixelRepresentation is missing"),
    ],
)
def test_series_that_make_no_volume_are_refused_with_the_reason(
    make_slices, write_series, change, reason
):
    images = make_slices()
    change(images)
    with pytest.raises(UNSUPPORTED, match=reason) as caught:
        files.read(write_series(images))
    assert "Canary" not in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_one_slice_is_a_volume_of_one_slice(make_slices, write_series):
    folder = write_series(make_slices(1))
    (path,) = folder.iterdir()
    image = files.read(path)
    assert image.grid.shape == (12, 10, 1)
    np.testing.assert_allclose(np.linalg.norm(image.grid.affine[:3, :3], axis=0), [0.9, 1.1, 2.5])
    assert files.to_model(image, [-1, 1, -1, -1])[0].shape == (1, 1, 12, 10)
    assert files.to_model(image, [-1, 1, -1, -1, -1])[0].shape == (1, 1, 12, 10, 1)
    np.testing.assert_array_equal(files.read(folder).value, image.value)


@pytest.mark.parametrize(
    ("thickness", "distance", "expected"),
    [("", "-3.5", 3.5), ("0", "3.5", 3.5), ("2", "3.5", 2), ("", "", 1), ("0", "0", 1)],
)
def test_the_thickness_of_one_slice(
    make_slices, write_series, tmp_path, thickness, distance, expected
):
    (single,) = images = make_slices(1)
    single.SliceThickness, single.SpacingBetweenSlices = thickness, distance
    image = files.read(write_series(images))
    assert np.linalg.norm(image.grid.affine[:3, 2]) == pytest.approx(expected)
    said = "it does not say how thick it is (SliceThickness): 1 mm is assumed"
    assert image.remarks == ((said,) if expected == 1 else ())
    for name in ("mask.nii", "mask.dcm"):
        mask = files.Content((image.value > 0).astype(np.uint8), 3, image.grid)
        assert files.check_grid(tmp_path / name, image.grid) == ()
        files.save(tmp_path / name, mask)
    found = nibabel.load(tmp_path / "mask.nii").affine
    np.testing.assert_allclose(found, image.grid.affine, atol=1e-5)
    measures = pydicom.dcmread(tmp_path / "mask.dcm").SharedFunctionalGroupsSequence[0]
    assert float(measures.PixelMeasuresSequence[0].SliceThickness) == expected


# --- values -------------------------------------------------------------------------------


def test_fractions_of_a_rescale_make_float32(make_slices, write_series, oblique):
    images = make_slices()
    change_all(RescaleSlope="0.5", RescaleIntercept="0.25")(images)
    stored = images[0].pixel_array.T
    image = files.read(write_series(images))
    assert image.value.dtype == np.float32
    assert any(
        np.array_equal(image.value[:, :, k], stored * np.float32(0.5) + 0.25) for k in (0, -1)
    )


def test_each_image_has_its_own_rescale(make_slices, write_series):
    images = make_slices()
    for k, image in enumerate(images):
        image.RescaleSlope, image.RescaleIntercept = 1 + k, 0
    low_to_high = files.read(write_series(images))
    for k, image in enumerate(images):
        position = np.linalg.inv(low_to_high.grid.affine) @ LPS @ [*image.ImagePositionPatient, 1]
        assert round(position[2]) in (k, 4 - k)
        found = low_to_high.value[:, :, round(position[2])]
        np.testing.assert_array_equal(found, image.pixel_array.T.astype(int) * (1 + k))


def test_whole_numbers_are_int16_where_they_fit(make_slices, write_series, bundled):
    assert files.read(bundled / "CT_small.dcm").value.dtype == np.int16  # its header allows more
    images = make_slices(1)
    change_all(RescaleSlope=100)(images)
    expected = images[0].pixel_array.T.astype(int) * 100 - 1024
    found = files.read(write_series(images)).value
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found[:, :, 0], expected)


def test_bits_that_are_not_stored_are_left_out(make_slices, write_series):
    images = make_slices(1)
    clean = files.read(write_series(images, "clean")).value
    raw = np.frombuffer(images[0].PixelData, "<u2") | 0x8000
    images[0].PixelData = raw.tobytes()
    np.testing.assert_array_equal(files.read(write_series(images, "dirty")).value, clean)


def test_signed_values_get_their_sign(make_slices, write_series):
    images = make_slices(1)
    change_all(PixelRepresentation=1, BitsStored=12, HighBit=11, RescaleIntercept=0)(images)
    images[0].PixelData = np.full(120, 0x0FFF, "<u2").tobytes()
    assert np.unique(files.read(write_series(images)).value).tolist() == [-1]


def test_inverse_values_are_inverted_where_that_is_asked_for(make_slices, write_series):
    images = make_slices(1)
    plain = files.read(write_series(images, "plain")).value
    change_all(PhotometricInterpretation="MONOCHROME1")(images)
    folder = write_series(images, "inverse")
    np.testing.assert_array_equal(files.read(folder, monochrome1="keep").value, plain)
    inverted = files.read(folder, monochrome1="invert").value
    np.testing.assert_array_equal(inverted + 1024, 2**15 - 1 - (plain.astype(int) + 1024))


@pytest.mark.parametrize(
    "name",
    ["MR_small_bigendian", "MR_small_expb", "MR_small_implicit", "MR_small_RLE", "MR_small_padded"],
)
def test_transfer_syntaxes(bundled, name):
    plain = files.read(bundled / "MR_small.dcm")
    other = files.read(bundled / f"{name}.dcm")
    np.testing.assert_array_equal(other.value, plain.value)
    assert other.grid.is_like(plain.grid)


def test_a_syntax_without_a_decoder(bundled):
    with pytest.raises(UNSUPPORTED, match=r"compressed as JPEG Lossless.*pip install pylibjpeg"):
        files.read(bundled / "SC_rgb_jpeg_gdcm.dcm")


def test_images_without_a_position_are_pictures(bundled):
    colour = files.read(bundled / "SC_rgb_small_odd.dcm")
    source = pydicom.dcmread(bundled / "SC_rgb_small_odd.dcm").pixel_array
    assert (colour.spatial, colour.grid) == (2, None)
    np.testing.assert_array_equal(colour.value, np.moveaxis(source, 2, 0))
    grey = files.read(bundled / "image_dfl.dcm")
    np.testing.assert_array_equal(
        grey.value, pydicom.dcmread(bundled / "image_dfl.dcm").pixel_array
    )
