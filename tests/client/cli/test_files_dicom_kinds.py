"""DICOM images of which no volume can be made: mosaics, mixtures, several at one position."""

from __future__ import annotations

import struct

import numpy as np
import pydicom
import pytest

from eisen_deploy.client import files

AXIAL = ["ORIGINAL", "PRIMARY", "AXIAL"]
MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def refusal(make_slices, write_series):
    """Return why images are refused: ``refusal(change)``, with ``change(images)`` of the five."""

    def refuse(change):
        images = make_slices()
        change(images)
        with pytest.raises(files.UnsupportedFile) as caught:
            files.read(write_series(images, numbers=[1, 2, 3, 4, 5]))
        assert "anary" not in str(caught.value).lower()
        return str(caught.value)

    return refuse


# --- mosaics ------------------------------------------------------------------------------


def csa_header(tiles):
    """Return Siemens' own header with two values, as nibabel.nicom.csareader reads it."""
    header = b"SV10\4\3\2\1" + struct.pack("<2I", 2, 77)
    for name, text in (("EchoTime", b"12.5"), ("NumberOfImagesInMosaic", tiles)):
        padded = text + b"\0" * (-len(text) % 4)
        header += struct.pack("<64si4s3i", name.encode(), 1, b"US", 6, 1, 77)
        header += struct.pack("<4i", len(text), len(text), 77, len(text)) + padded
    return header


def make_mosaic(image, sign):
    image.Modality, image.SOPClassUID = "MR", MR
    if sign == "type":
        image.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    elif sign == "type of UIH":
        image.ImageType = ["ORIGINAL", "PRIMARY", "VFRAME"]
    elif sign == "count":
        image.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 36)
    elif sign == "count without a type":
        image.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "UN", b"\x24\0")
    else:
        block = image.private_block(0x29, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa_header(b"      36"))


@pytest.mark.parametrize("sign", ["type", "type of UIH", "count", "count without a type", "header"])
@pytest.mark.parametrize("which", [[0], [1], [0, 1]])
def test_mosaics_are_refused(make_slices, write_series, sign, which):
    """As all slices of a volume are tiles of one image, its position is no slice's."""
    images = make_slices(2)
    for index in which:
        make_mosaic(images[index], sign)
    folder = write_series(images, numbers=[1, 2])
    with pytest.raises(files.UnsupportedFile, match=r"IM00.*: is a Siemens mosaic.*dcm2niix"):
        files.read(folder)
    with pytest.raises(files.UnsupportedFile, match=r"^is a Siemens mosaic"):
        files.read(folder / f"IM00{which[0] + 1}")


def test_frames_that_were_a_mosaic_are_called_frames(make_slices, write_series):
    (image,) = images = make_slices(1)
    make_mosaic(image, "type")
    image.NumberOfFrames = 36
    with pytest.raises(files.UnsupportedFile, match=r"^IM001: is a multi-frame object"):
        files.read(write_series(images, numbers=[1]))


@pytest.mark.parametrize("tiles", [b"       1", b"", b"x"])
def test_siemens_images_that_are_no_mosaics_are_read(make_slices, write_series, tiles):
    images = make_slices()
    for image in images:
        image.Modality = "MR"
        image.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0B, "US", 36)
        block = image.private_block(0x29, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa_header(tiles))
    assert files.read(write_series(images)).grid.shape == (12, 10, 5)


# --- images of different meaning in one series --------------------------------------------


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (["DERIVED", "SECONDARY", "MPR"], "DERIVED SECONDARY MPR"),
        (["DERIVED", "PRIMARY", "AXIAL"], "DERIVED PRIMARY"),
        (["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"], "DERIVED SECONDARY REFORMATTED AVER"),
        (["ORIGINAL", "PRIMARY", "M", "ND"], "ORIGINAL PRIMARY M"),
        (["ORIGINAL", "PRIMARY", "AXIAL", "NORM"], "ORIGINAL PRIMARY NORM"),
        (["ORIGINAL", "PRIMARY", "CANARY", "WATER"], "ORIGINAL PRIMARY WATER"),
    ],
)
def test_images_of_several_types_are_refused(refusal, other, named):
    def change(images):
        for image in images:
            image.ImageType = AXIAL
        images[3].ImageType = other

    said = refusal(change)
    assert "4 images ORIGINAL PRIMARY (IM001, IM002 and 2 more) and 1 image" in said
    assert f"1 image {named}" in said
    assert "(IM004)" in said


@pytest.mark.parametrize(
    "types",
    [
        [AXIAL, [*AXIAL, "CT_SOM5 SPI"], [*AXIAL, "", "STD"]],
        [["ORIGINAL", "PRIMARY", "M", "ND"], ["ORIGINAL", "PRIMARY", "M", "DIS2D"]],
        [["DERIVED ", "PRIMARY", "AXIAL"], ["DERIVED", "PRIMARY", "AXIAL"]],
        [["ORIGINAL", "PRIMARY", "OTHER"], ["ORIGINAL", "PRIMARY"]],
        [["DERIVED", "SECONDARY", "MPR"]],
    ],
)
def test_types_that_mean_the_same_make_one_volume(make_slices, write_series, types):
    images = make_slices()
    for index, image in enumerate(images):
        image.ImageType = types[index % len(types)]
    assert files.read(write_series(images)).grid.shape == (12, 10, 5)


# --- several images at one position -------------------------------------------------------


def repeat(**attributes):
    """Put each second image where the one before it is; they differ in the attributes."""

    def change(images):
        for first, second in ((0, 1), (2, 3)):
            images[second].ImagePositionPatient = images[first].ImagePositionPatient
            for name, values in attributes.items():
                setattr(images[first], name, values[0])
                setattr(images[second], name, values[1])

    return change


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"EchoTime": (10, 80)}, "several at one position differ in EchoTime"),
        (
            {"TriggerTime": (0, 40), "AcquisitionTime": ("101010", "101011")},
            "TriggerTime, AcquisitionTime",
        ),
        ({"TemporalPositionIdentifier": (1, 2)}, "differ in TemporalPositionIdentifier"),
        ({"DiffusionBValue": (0.0, 1000.0)}, "differ in DiffusionBValue"),
        ({"SOPInstanceUID": ("1.2.3", "1.2.3")}, "some are there several times"),
        ({}, "several time points, echoes or reconstructions, or copies"),
    ],
)
def test_images_at_one_position_are_refused_with_the_difference(refusal, attributes, reason):
    said = refusal(repeat(**attributes))
    assert said.startswith("holds 5 images at 3 positions")
    assert reason in said
    assert said.endswith("(IM001, IM002)")


# --- pixels -------------------------------------------------------------------------------


def test_pixels_of_one_bit(make_slices, write_series):
    """Eight in a byte, the first in its lowest bit (PS3.5, 8.1.1)."""
    images = make_slices(1)
    image = images[0]
    expected = np.random.default_rng(0).integers(0, 2, (image.Rows, image.Columns), np.uint8)
    image.BitsAllocated = image.BitsStored = 1
    image.HighBit = image.RescaleIntercept = 0
    image.PixelData = np.packbits(expected.ravel(), bitorder="little").tobytes() + b"\0"
    found = files.read(write_series(images))
    np.testing.assert_array_equal(found.value[:, :, 0].T, expected)


def test_values_of_pet_have_a_slope_for_each_image(make_slices, write_series):
    images = make_slices()
    for index, image in enumerate(images):
        image.RescaleSlope, image.RescaleIntercept = 0.37 + 0.011 * index, 0
        image.PixelPaddingValue = 1024
    found = files.read(write_series(images))
    for k, header in enumerate(found.grid.slices):
        image = next(i for i in images if i.SOPInstanceUID == header.SOPInstanceUID)
        expected = image.pixel_array.T * float(image.RescaleSlope)
        np.testing.assert_allclose(found.value[:, :, k], expected, rtol=1e-6)


def test_overlays_in_unused_bits_are_no_values(make_slices, write_series):
    images = make_slices(1)
    plain = files.read(write_series(images, "plain")).value
    drawn = np.frombuffer(images[0].PixelData, "<u2") | (1 << 15)
    images[0].add_new(0x60000100, "US", 16)  # Overlay Bits Allocated
    images[0].add_new(0x60000102, "US", 15)  # Overlay Bit Position
    images[0].PixelData = drawn.astype("<u2").tobytes()
    np.testing.assert_array_equal(files.read(write_series(images, "drawn")).value, plain)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"FloatPixelData": b"\0" * 480, "PixelData": None}, "IM003 has pixels that are floating"),
        ({"PixelData": b"\0" * 480}, "IM003 has the pixels of several images"),
        ({"NumberOfFrames": 4}, "IM003: is a multi-frame object"),
    ],
)
def test_what_one_image_cannot_hold_is_refused_by_name(refusal, change, reason):
    def change_third(images):
        for name, value in change.items():
            setattr(images[2], name, value)
        if images[2].PixelData is None:
            del images[2].PixelData

    assert refusal(change_third).startswith(reason)


def test_a_decoder_that_is_missing_is_named_with_the_file(refusal, bundled):
    """Three bytes of what should be a picture in JPEG Lossless."""

    def compress(images):
        lossless = pydicom.dcmread(bundled / "SC_rgb_jpeg_gdcm.dcm")
        images[2].file_meta.TransferSyntaxUID = lossless.file_meta.TransferSyntaxUID
        images[2].PixelData = lossless.PixelData
        images[2]["PixelData"].is_undefined_length = True

    said = refusal(compress)
    assert said.startswith("IM003 is compressed as JPEG Lossless")
    assert "pip install pylibjpeg" in said
