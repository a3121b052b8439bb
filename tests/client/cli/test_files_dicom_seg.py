"""DICOM segmentations, read with highdicom."""

from __future__ import annotations

import highdicom
import numpy as np
import pytest

from eisen_deploy.client import files


@pytest.fixture
def image(make_slices, write_series):
    return files.read(write_series(make_slices()))


def masks_of(path, image):
    """Return the masks of a segmentation by label, in the order (i, j, k) of the image."""
    segmentation = highdicom.seg.segread(path)
    uids = [header.SOPInstanceUID for header in image.grid.slices]
    frames = segmentation.get_pixels_by_source_instance(
        uids, assert_missing_frames_are_empty=True, rescale_fractional=False
    )
    labels = [item.SegmentLabel for item in segmentation.SegmentSequence]
    return {
        label: frames[..., number].transpose(2, 1, 0) for number, label in enumerate(labels)
    }, segmentation


def test_a_mask(image, tmp_path):
    mask = image.value > np.median(image.value)
    files.save(
        tmp_path / "o.dcm",
        files.Content(mask, 3, image.grid),
        description="mask",
        algorithm=("seg", "1.2"),
    )
    masks, segmentation = masks_of(tmp_path / "o.dcm", image)
    assert list(masks) == ["Label 1"]
    np.testing.assert_array_equal(masks["Label 1"], mask)
    source = image.grid.slices[0]
    for name in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert segmentation[name].value == source[name].value
    assert segmentation.SeriesInstanceUID != source.SeriesInstanceUID
    assert segmentation.SeriesDescription == "mask"
    (algorithm,) = segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("seg", "1.2")


def test_its_planes_lie_where_the_images_lie(image, tmp_path):
    files.save(tmp_path / "o.dcm", files.Content(np.ones(image.value.shape, bool), 3, image.grid))
    segmentation = highdicom.seg.segread(tmp_path / "o.dcm")
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    source = image.grid.slices[0]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == list(
        source.ImageOrientationPatient
    )
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == list(source.PixelSpacing)
    found = {
        tuple(frame.PlanePositionSequence[0].ImagePositionPatient)
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    }
    assert found == {tuple(header.ImagePositionPatient) for header in image.grid.slices}


def test_labels_become_segments_with_names_and_codes(image, tmp_path):
    labels = np.zeros(image.value.shape, np.int64)
    labels[2:5], labels[6:9] = 2, 7
    segments = [files.Segment.parse("7=Liver,SCT:10200004"), files.Segment(9, "Spleen")]
    content = files.Content(labels, 3, image.grid)
    files.save(tmp_path / "o.dcm", content, segments=segments)
    masks, segmentation = masks_of(tmp_path / "o.dcm", image)
    assert list(masks) == ["Label 2", "Liver", "Spleen"]
    np.testing.assert_array_equal(masks["Label 2"], labels == 2)
    np.testing.assert_array_equal(masks["Liver"], labels == 7)
    assert not masks["Spleen"].any()
    (code,) = segmentation.SegmentSequence[1].SegmentedPropertyTypeCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == (
        "10200004",
        "SCT",
        "Liver",
    )


def test_channels_become_segments_that_may_overlap(image, tmp_path):
    channels = np.stack([image.value > -900, image.value > 0]).astype(np.float32)
    files.save(tmp_path / "o.dcm", files.Content(channels, 3, image.grid))
    masks, _ = masks_of(tmp_path / "o.dcm", image)
    np.testing.assert_array_equal(masks["Label 1"], channels[0])
    np.testing.assert_array_equal(masks["Label 2"], channels[1])


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_an_empty_mask(image, tmp_path, capfd, channels):
    """A healthy patient: highdicom would say on the standard error that nothing is marked."""
    empty = np.zeros((*channels, *image.value.shape), bool)
    files.save(tmp_path / "o.dcm", files.Content(empty, 3, image.grid))
    assert capfd.readouterr().err == ""
    masks, segmentation = masks_of(tmp_path / "o.dcm", image)
    assert len(masks) == (channels or (1,))[0]
    assert not any(mask.any() for mask in masks.values())
    assert segmentation.NumberOfFrames == len(masks) * len(image.grid.slices)


@pytest.mark.parametrize("text", ["a\\b", "\ttab\x1b", "\udcff", "x" * 200, "", " ", "größer"])
def test_names_that_dicom_cannot_hold(image, tmp_path, text):
    """Of outputs and of models: they are made to fit, and stand in full in the parameters."""
    content = files.Content(np.ones(image.value.shape, bool), 3, image.grid)
    model = ("m" * 127, "1.0") if text else (text, text)
    files.save(tmp_path / "o.dcm", content, description=text, algorithm=model)
    segmentation = highdicom.seg.segread(tmp_path / "o.dcm")
    assert 0 < len(segmentation.SeriesDescription) <= 64
    assert isinstance(segmentation.SeriesDescription, str)
    (algorithm,) = segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    if text:
        assert algorithm.AlgorithmName == "m" * 64
        assert algorithm.AlgorithmParameters == f"model={'m' * 127},version=1.0"
    else:
        assert algorithm.AlgorithmName == "unknown"
        assert "AlgorithmParameters" not in algorithm


@pytest.mark.parametrize("value", [0.5, -1, 70000, np.nan])
def test_arrays_that_are_not_masks_are_refused(image, tmp_path, value):
    array = np.full(image.value.shape, value)
    with pytest.raises(files.UnwritableFile, match="whole numbers"):
        files.save(tmp_path / "o.dcm", files.Content(array, 3, image.grid))


def test_without_images_there_is_no_segmentation(anatomical, tmp_path):
    image = files.read(anatomical)
    with pytest.raises(files.UnwritableFile, match="belongs to DICOM images"):
        files.save(tmp_path / "o.dcm", files.Content(image.value > 0, 3, image.grid))


@pytest.mark.parametrize("text", ["", "1", "1=", "x=Liver", "0=Liver", "70000=Liver", "1=A,b"])
def test_wrong_segments(text):
    with pytest.raises(ValueError, match="expected NUMBER=NAME"):
        files.Segment.parse(text)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("thickness", ["2.5", "4"])
def test_the_distance_between_its_planes(make_slices, write_series, tmp_path, count, thickness):
    """As the images say it, of a single one its thickness: readers give the mask this depth."""
    images = make_slices(count)
    for each in images:
        each.SliceThickness = thickness
    image = files.read(write_series(images))
    files.save(tmp_path / "o.dcm", files.Content(np.ones(image.value.shape, bool), 3, image.grid))
    shared = highdicom.seg.segread(tmp_path / "o.dcm").SharedFunctionalGroupsSequence[0]
    (measures,) = shared.PixelMeasuresSequence
    assert measures.SliceThickness == float(thickness)
    assert measures.SpacingBetweenSlices == (float(thickness) if count == 1 else 2.5)


@pytest.mark.parametrize("shape", [(), (12, 10), (10, 12, 5), (0, 12, 10, 5), (1, 1, 12, 10, 5)])
def test_arrays_that_are_no_masks_of_the_images(image, tmp_path, shape):
    assert image.value.shape == (12, 10, 5)
    with pytest.raises(files.UnwritableFile, match=r"is not a mask of images of \[12, 10, 5\]"):
        files.save(tmp_path / "o.dcm", files.Content(np.ones(shape, bool), 3, image.grid))
