"""What the labels of a mask mean: as it is given, and as the metadata declare it."""

from __future__ import annotations

import highdicom
import numpy as np
import pytest

from eisen_deploy.client import files
from eisen_deploy.client.files.dicom.segmentation.items import to_cielab
from eisen_deploy.client.files.segments import find_declared_segments, override

LIVER = {"number": 1, "label": "Liver", "code": "SCT:10200004", "color": [221, 130, 101]}
OUTPUTS = [{"name": "mask", "type": "ndarray", "shape": []}, {"name": "heat"}]


def declared(*entries, output="mask"):
    metadata = {"outputs": OUTPUTS, "custom": {"segments": list(entries)}}
    return find_declared_segments(metadata, output)


def test_segments_of_the_metadata():
    spleen = {"number": 7, "label": " Milz ", "color": "#9D6ca2", "output": "mask", "more": 1}
    segments, remarks = declared(LIVER, spleen)
    assert remarks == ()
    assert segments == (
        files.Segment(1, "Liver", "SCT", "10200004", (221, 130, 101)),
        files.Segment(7, "Milz", color=(157, 108, 162)),
    )


def test_segments_of_another_output():
    other = {**LIVER, "label": "Hot", "output": "heat"}
    assert [each.name for each in declared(LIVER, other, output="heat")[0]] == ["Liver"]
    assert [each.name for each in declared(other, output="heat")[0]] == ["Hot"]
    assert declared(other) == ((), ())


@pytest.mark.parametrize("metadata", [{}, {"custom": None}, {"custom": []}, {"custom": {"a": 1}}])
def test_metadata_without_segments(metadata):
    assert find_declared_segments(metadata, "mask") == ((), ())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"number": 0}, "number"),
        ({"number": 65536}, "number"),
        ({"number": True}, "number"),
        ({"number": "1"}, "number"),
        ({"number": None}, "number"),
        ({"label": ""}, "label"),
        ({"label": " "}, "label"),
        ({"label": 3}, "label"),
        ({"label": "x" * 65}, "label"),
        ({"label": "a\\b"}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"label": "a\x1b$Bb"}, "label"),
        ({"label": "a\u2028b"}, "label"),
        ({"code": "10200004"}, "code"),
        ({"code": 10200004}, "code"),
        ({"code": "SCT:" + "1" * 17}, "code"),
        ({"color": "red"}, "color"),
        ({"color": [1, 2]}, "color"),
        ({"color": [1, 2, 256]}, "color"),
        ({"color": [1, 2, True]}, "color"),
        ({"color": [0.5, 1, 1]}, "color"),
        ({"color": {"r": 1}}, "color"),
        ({"output": "no"}, "output"),
        ({"output": 1}, "output"),
    ],
)
def test_a_wrong_entry_is_reported_and_the_others_are_used(change, told):
    segments, remarks = declared({**LIVER, **change}, {**LIVER, "number": 2})
    assert [each.number for each in segments] == [2]
    (remark,) = remarks
    assert remark.startswith(f"custom.segments[0] of the metadata is not used: {told}: ")


@pytest.mark.parametrize("entries", ["Liver", {"1": "Liver"}, 1, [LIVER] * 1001])
def test_segments_that_are_not_a_list(entries):
    segments, remarks = find_declared_segments({"custom": {"segments": entries}}, "mask")
    assert segments == ()
    (remark,) = remarks
    assert "is not used: expected a list of at most 1000 objects" in remark


def test_numbers_that_are_described_twice():
    segments, (remark,) = declared(LIVER, LIVER, {**LIVER, "label": "Other"})
    assert [each.name for each in segments] == ["Liver"]
    assert "custom.segments[2]" in remark
    assert "1 is described before" in remark


def test_many_wrong_entries_are_counted():
    _, remarks = declared(*range(50))
    assert len(remarks) == 9
    assert remarks[-1] == "42 more of custom.segments are not used"


def test_what_is_given_overrides_what_is_declared():
    segments, _ = declared(LIVER, {"number": 2, "label": "Spleen"})
    given = [files.Segment.parse("1=Leber"), files.Segment.parse("3=Niere,SCT:64033007")]
    assert override(segments, given) == (
        files.Segment(1, "Leber", color=(221, 130, 101)),
        files.Segment(2, "Spleen"),
        files.Segment(3, "Niere", "SCT", "64033007"),
    )


@pytest.mark.parametrize("number", [0, 2**16, True, "1", None])
def test_numbers_that_dicom_cannot_hold(number):
    with pytest.raises(ValueError, match="number: expected"):
        files.Segment(number, "Liver")


@pytest.mark.parametrize("name", ["", " ", "a\\b", "a\0", "x" * 65])
def test_segments_made_by_hand_are_checked(name):
    with pytest.raises(ValueError, match="label: expected"):
        files.Segment(1, name)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"color": (300, 0, 0)}, "color"),
        ({"color": (-1, 0, 0)}, "color"),
        ({"color": (0.5, 0, 0)}, "color"),
        ({"color": (1, 2)}, "color"),
        ({"color": "#FF0000"}, "color"),
        ({"scheme": "SCT"}, "code"),
        ({"code": "10200004"}, "code"),
        ({"scheme": "a\\b", "code": "1"}, "code"),
        ({"scheme": "SCT", "code": "1" * 17}, "code"),
    ],
)
def test_colours_and_codes_made_by_hand_are_checked(made, told):
    with pytest.raises(ValueError, match=f"{told}: expected"):
        files.Segment(1, "Liver", **made)


@pytest.mark.parametrize("text", ["1=a\\b", "1=a\nb", "1=\udcff", "1=" + "x" * 65, "\u0661=Liver"])
def test_names_that_dicom_cannot_hold(text):
    with pytest.raises(ValueError, match="expected NUMBER=NAME"):
        files.Segment.parse(text)


# --- in a DICOM segmentation --------------------------------------------------------------


@pytest.fixture
def image(make_slices, write_series):
    return files.read(write_series(make_slices()))


def test_colours(image, tmp_path):
    segments = [files.Segment(1, "Liver", color=(221, 130, 101)), files.Segment(2, "Spleen")]
    content = files.Content(np.ones(image.value.shape, np.uint8), 3, image.grid)
    files.save(tmp_path / "o.dcm", content, segments=segments)
    liver, spleen = highdicom.seg.segread(tmp_path / "o.dcm").SegmentSequence
    assert "RecommendedDisplayCIELabValue" not in spleen
    assert list(liver.RecommendedDisplayCIELabValue) == to_cielab((221, 130, 101))


@pytest.mark.skipif(
    not hasattr(highdicom.color.CIELabColor, "from_rgb"),
    reason="this highdicom converts no colours",
)
@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (221, 130, 101), (0, 0, 255)])
def test_colours_are_those_of_highdicom(color):
    stored = to_cielab(color)
    assert stored == list(highdicom.color.CIELabColor.from_rgb(*color).value)
    assert highdicom.color.CIELabColor.from_dicom_value(tuple(stored)).to_rgb() == color


def test_segments_beyond_the_channels_are_reported(image, tmp_path):
    content = files.Content(np.ones((2, *image.value.shape), bool), 3, image.grid)
    segments = [files.Segment(2, "Spleen"), files.Segment(3, "Liver"), files.Segment(9, "Lung")]
    remarks = files.save(tmp_path / "o.dcm", content, segments=segments)
    assert remarks == ("segments 3, 9 are described, and the output has 2 channels",)
    found = highdicom.seg.segread(tmp_path / "o.dcm").SegmentSequence
    assert [item.SegmentLabel for item in found] == ["Label 1", "Spleen"]


@pytest.mark.slow
def test_many_labels_of_high_numbers(image, tmp_path):
    labels = np.zeros(image.value.shape, np.uint16)
    labels.flat[:300] = np.arange(300) * 200 + 5000
    files.save(tmp_path / "o.dcm", files.Content(labels, 3, image.grid))
    segmentation = highdicom.seg.segread(tmp_path / "o.dcm")
    found = [item.SegmentLabel for item in segmentation.SegmentSequence]
    assert found == [f"Label {number * 200 + 5000}" for number in range(300)]
    assert segmentation.SegmentsOverlap == "NO"
