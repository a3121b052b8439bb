"""DICOM segmentations of images that lack attributes, or hold what the standard forbids."""

from __future__ import annotations

import copy
import dataclasses
import os
import random

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement

from eisen_deploy.client import files

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom warns of what the tests put in

NEEDED = ("StudyInstanceUID", "SeriesInstanceUID")
TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
#: Of many kinds of values, which are only copied.
OTHERS = (
    *("PatientAge", "PatientWeight", "StudyDescription", "Manufacturer", "Modality"),
    *("OtherPatientNames", "LongitudinalTemporalOffsetFromEvent", "PregnancyStatus"),
    *("LossyImageCompressionRatio", "PositionReferenceIndicator", "StationName"),
)
#: What makes no sense for any kind of value, and for some of them.
ODD = [b"", b"\\", b"70,5", b"2024-13-45", b"1.02.03", b"W", b"\xff\xfe" * 40, b"x" * 300]


@pytest.fixture
def few(slices, oblique):
    """Three small images."""
    volume, affine = oblique
    return slices(volume[:4, :4, :3], affine)


def written(image, path):
    """Check and write a segmentation; return the remarks and what is in the file."""
    before = [set(header.keys()) for header in image.grid.slices]
    remarks = files.check_grid(path, image.grid)
    files.save(path, files.Content(np.ones(image.value.shape, bool), 3, image.grid))
    assert [set(header.keys()) for header in image.grid.slices] == before
    return remarks, highdicom.seg.segread(path)


@pytest.fixture
def odd_images(few, write_series):
    """Return images in whose headers attributes have bytes that break the rules.

    They get there after reading, where pydicom keeps bytes until a value is looked at: it writes
    no such files.
    """
    image = files.read(write_series(few))

    def make(values):
        headers = copy.deepcopy(image.grid.slices)
        for header in headers:
            for keyword, value in values.items():
                tag = pydicom.tag.Tag(keyword)
                vr = pydicom.datadict.dictionary_VR(tag)
                header[tag] = RawDataElement(tag, vr, len(value), value, 0, True, True)
        grid = dataclasses.replace(image.grid, slices=headers)
        return dataclasses.replace(image, grid=grid)

    return make


# --- what is missing ----------------------------------------------------------------------


@pytest.mark.slow
def test_each_attribute_of_a_series_may_be_missing(odd_images, tmp_path):
    """Those that reading needs apart: it is written without, or refused by name beforehand."""
    complete = odd_images({})
    refused = {}
    for keyword in [element.keyword for element in complete.grid.slices[0]]:
        if keyword in ("Rows", "Columns", "PixelSpacing") or keyword.startswith("Image"):
            continue
        image = odd_images({})
        for header in image.grid.slices:
            del header[keyword]
        try:
            _, segmentation = written(image, tmp_path / "o.dcm")
        except files.UnwritableFile as error:
            refused[keyword] = str(error)
        else:
            assert not (keyword in TYPE_2 and segmentation[keyword].value)
    assert refused == {
        keyword: f"{keyword} is missing in 3 of 3 images, or is not an identifier"
        for keyword in NEEDED
    }


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("keyword", NEEDED)
def test_what_identifies_the_images_is_needed(few, write_series, tmp_path, keyword, empty):
    for image in few:
        setattr(image, keyword, "")
        if not empty:
            delattr(image, keyword)
    image = files.read(write_series(few))
    with pytest.raises(files.UnwritableFile, match=f"{keyword} is missing in 3 of 3 images"):
        files.check_grid(tmp_path / "o.dcm", image.grid)


@pytest.mark.parametrize("keyword", [*NEEDED, "SOPInstanceUID"])
@pytest.mark.parametrize("value", [b"1.2\\1.3", b"no identifier", b"\xff\xfe"])
def test_identifiers_without_a_value_count_as_missing(odd_images, tmp_path, keyword, value):
    image = odd_images({keyword: value})
    with pytest.raises(files.UnwritableFile, match=f"{keyword} is missing in 3 of 3 images"):
        files.check_grid(tmp_path / "o.dcm", image.grid)


def test_without_a_frame_of_reference_there_is_a_new_one(few, write_series, tmp_path):
    for image in few:
        del image.FrameOfReferenceUID
    remarks, segmentation = written(files.read(write_series(few)), tmp_path / "o.dcm")
    assert pydicom.uid.UID(segmentation.FrameOfReferenceUID).is_valid
    _, another = written(files.read(write_series(few)), tmp_path / "p.dcm")
    assert another.FrameOfReferenceUID == segmentation.FrameOfReferenceUID
    assert len(remarks) == 1
    assert "no FrameOfReferenceUID: the segmentation gets a new one" in remarks[0]


@pytest.mark.parametrize("value", [None, "", "0", "-2"])
def test_a_thickness_is_the_distance_of_the_images(few, write_series, tmp_path, value):
    for image in few:
        image.SliceThickness = value
        if value is None:
            del image.SliceThickness
    remarks, segmentation = written(files.read(write_series(few)), tmp_path / "o.dcm")
    (measures,) = segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert float(measures.SliceThickness) == pytest.approx(2.5, abs=1e-4)
    assert remarks == ()


def test_a_file_may_say_what_its_image_does_not(few, write_series, tmp_path):
    uids = [image.SOPInstanceUID for image in few]
    for image in few:
        del image.SOPInstanceUID
        del image.SOPClassUID
    _, segmentation = written(files.read(write_series(few)), tmp_path / "o.dcm")
    (series,) = segmentation.ReferencedSeriesSequence
    found = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert found == set(uids)


# --- what is odd --------------------------------------------------------------------------


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value[:8]))
def test_odd_values_fail_nothing(odd_images, tmp_path, value):
    """In all attributes of patient and study, and in some that are only copied."""
    image = odd_images(dict.fromkeys((*TYPE_2, *OTHERS), value))
    remarks, segmentation = written(image, tmp_path / "o.dcm")
    said = " ".join(remarks)
    assert all(keyword in segmentation or keyword in said for keyword in TYPE_2)
    assert "70,5" not in said
    assert "2024" not in said


#: Headers at random; ``HEADER_CASES=1000`` takes a minute.
CASES = int(os.environ.get("HEADER_CASES", "15"))


@pytest.mark.slow
def test_headers_at_random(odd_images, tmp_path):
    """Whatever passes the check is written and can be read; all else is refused by name."""
    chance = random.Random(11)
    keywords = (*TYPE_2, *OTHERS, *NEEDED, "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
    sets = (b"ISO_IR 100", b"\\ISO 2022 IR 87", b"GB18030", b"hex", b"\xff", b"")
    for _ in range(CASES):
        parts = [
            *ODD,
            b"^=",
            b"\x1b$B;3ED",
            b"\x1b",
            b"1e400",
            b"nan",
            b"\xe5\xb1\xb1",
            b"\0",
            b"1.2",
        ]
        odd = {
            keyword: b"".join(chance.choices(parts, k=chance.choice([1, 1, 2])))
            for keyword in chance.sample(keywords, chance.randint(1, 8))
        }
        image = odd_images({**odd, "SpecificCharacterSet": chance.choice(sets)})
        try:
            _, segmentation = written(image, tmp_path / "o.dcm")
        except files.UnwritableFile as error:
            named = str(error)
        else:
            named = ""
            assert all(str(element.value) is not None for element in segmentation.iterall())
        assert not named or any(keyword in named for keyword in keywords), odd


def test_values_that_break_a_rule_are_copied_as_they_are(odd_images, tmp_path):
    odd = {
        "PatientSex": "W",
        "PatientBirthDate": "1970-01-01",
        "StudyTime": "12:00",
        "StudyID": "a number of more than 16 characters",
        "PatientAge": "61",
        "StudyInstanceUID": "1.02.003",
    }
    image = odd_images({keyword: value.encode() for keyword, value in odd.items()})
    remarks, segmentation = written(image, tmp_path / "o.dcm")
    assert {keyword: segmentation[keyword].value for keyword in odd} == odd
    assert remarks == ()


def test_unreadable_attributes_are_left_out_and_reported(odd_images, tmp_path):
    image = odd_images({"PatientWeight": b"70,5 kg ", "PregnancyStatus": b"\x01"})
    remarks, segmentation = written(image, tmp_path / "o.dcm")
    (remark,) = remarks
    assert "left out" in remark
    assert "PatientWeight" in remark
    assert "PregnancyStatus" in remark
    assert "70,5" not in remark
    assert "PatientWeight" not in segmentation


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.5", "1.3.12.2.1107.5.9.1"])
def test_a_class_of_images_that_highdicom_does_not_know(few, write_series, tmp_path, uid):
    for image in few:
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = uid
    _, segmentation = written(files.read(write_series(few)), tmp_path / "o.dcm")
    (series,) = segmentation.ReferencedSeriesSequence
    references = [*series.ReferencedInstanceSequence]
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        references += frame.DerivationImageSequence[0].SourceImageSequence
    assert len(references) == 6
    assert {item.ReferencedSOPClassUID for item in references} == {uid}


def test_a_single_frame_that_counts_its_frames(few, write_series, tmp_path):
    for image in few:
        image.NumberOfFrames = 1
    written(files.read(write_series(few)), tmp_path / "o.dcm")


# --- images that do not agree -------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "SECRET^Jane"),
        ("PatientBirthDate", "19991231"),
        ("PatientSex", "F"),
    ],
)
def test_images_of_two_patients(few, write_series, tmp_path, keyword, value):
    setattr(few[1], keyword, value)
    image = files.read(write_series(few))
    with pytest.raises(files.UnwritableFile, match=f"do not agree in {keyword}") as caught:
        files.check_grid(tmp_path / "o.dcm", image.grid)
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "names", [("A^B", "A^B^^^", "A^B^ "), ("A^B=C^D", "A^B^^=C^D^=", "A^B=C^D==")]
)
def test_empty_parts_at_the_end_of_a_name_do_not_count(few, write_series, tmp_path, names):
    for image, name in zip(few, names):
        image.PatientName = name
    image = files.read(write_series(few))
    remarks, segmentation = written(image, tmp_path / "o.dcm")
    assert remarks == ()
    assert segmentation.PatientName == image.grid.slices[0].PatientName


@pytest.mark.parametrize("name", ["A^^B", "=A^B", "B^A", "A^B=A^B", "A^b"])
def test_differing_names_are_refused(few, write_series, tmp_path, name):
    few[0].PatientName, few[1].PatientName, few[2].PatientName = "A^B", name, "A^B"
    image = files.read(write_series(few))
    with pytest.raises(files.UnwritableFile, match="do not agree in PatientName"):
        files.check_grid(tmp_path / "o.dcm", image.grid)


def test_two_images_of_one_name(few, write_series, tmp_path):
    few[1].SOPInstanceUID = few[0].SOPInstanceUID
    few[1].file_meta.MediaStorageSOPInstanceUID = few[0].SOPInstanceUID
    image = files.read(write_series(few))
    with pytest.raises(files.UnwritableFile, match="same SOPInstanceUID"):
        files.check_grid(tmp_path / "o.dcm", image.grid)


def test_other_attributes_that_disagree_are_reported(few, write_series, tmp_path):
    few[0].AccessionNumber, few[2].StudyTime = "SECRET", "130000"
    remarks, _ = written(files.read(write_series(few)), tmp_path / "o.dcm")
    (remark,) = remarks
    assert "do not agree in StudyTime, AccessionNumber" in remark
    assert "SECRET" not in remark


# --- real files ---------------------------------------------------------------------------


@pytest.mark.slow
def test_every_image_that_pydicom_ships(bundled, tmp_path):
    """Whatever passes the check is written; the check refuses by name."""
    taken = 0
    for path in sorted(bundled.glob("*.dcm")):
        try:
            image = files.read(path, monochrome1="keep")
        except files.FileError:
            continue
        if image.grid is None:
            continue
        _, segmentation = written(image, tmp_path / "o.dcm")
        assert segmentation.PatientID == image.grid.slices[0].get("PatientID", "")
        taken += 1
    assert taken > 5
