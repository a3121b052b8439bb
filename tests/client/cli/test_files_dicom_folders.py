"""Each file of a DICOM folder is read, is named as left out, or is named as the reason why not."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from eisen_deploy.client import files

SHAPE = (12, 10, 5)
IMPLICIT, EXPLICIT, BIG_ENDIAN = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2"))
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
NAMES = ["IM001", "IM002", "IM003", "IM004", "IM005"]


@pytest.fixture
def folder(make_slices, write_series):
    """A series of five images, IM001 to IM005 from one end to the other."""
    return write_series(make_slices(), numbers=[1, 2, 3, 4, 5])


def refusal(folder):
    with pytest.raises(files.FileError) as caught:
        files.read(folder)
    assert "anary" not in str(caught.value).lower()
    return str(caught.value)


def remarks(folder):
    """Return what is said of a folder whose five images are all read."""
    content = files.read(folder)
    assert content.grid.shape == SHAPE
    return "\n".join(content.remarks)


def data_set_of(path, syntax=EXPLICIT):
    """Return the bytes of an image without preamble and file meta information."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    image = pydicom.dcmread(path)
    implicit, little = syntax == IMPLICIT, syntax != BIG_ENDIAN
    if not little:
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    image = pydicom.dataset.Dataset({tag: image[tag] for tag in image.keys()})  # noqa: SIM118
    if pydicom.__version__ >= "3":
        image._pixel_rep = 0  # pydicom takes it from the data set that it has read otherwise
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, little
    write_dataset(stream, image)
    return stream.getvalue()


# --- without a preamble -------------------------------------------------------------------


@pytest.mark.parametrize("which", [range(5), [0], [3, 4]])
def test_images_that_lack_the_preamble_are_read(folder, which):
    whole = files.read(folder)
    for index in which:
        path = folder / NAMES[index]
        path.write_bytes(path.read_bytes()[132:])
    stripped = files.read(folder)
    np.testing.assert_array_equal(stripped.value, whole.value)
    assert stripped.grid.is_like(whole.grid)
    assert stripped.remarks == ()


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("group_length", [True, False])
def test_images_without_file_meta_are_read(folder, syntax, group_length):
    whole = files.read(folder)
    for name in NAMES[2:]:
        data = data_set_of(folder / name, syntax)
        if group_length:
            order, vr = (">" if syntax == BIG_ENDIAN else "<"), b"UL"
            length = struct.pack(f"{order}I", 4) if syntax == IMPLICIT else vr
            length += b"" if syntax == IMPLICIT else struct.pack(f"{order}H", 4)
            data = struct.pack(f"{order}HH", 8, 0) + length + struct.pack(f"{order}I", 400) + data
        (folder / name).write_bytes(data)
    found = files.read(folder)
    np.testing.assert_array_equal(found.value, whole.value)
    assert found.remarks == ()
    single = files.read((folder / NAMES[3]).rename(folder / "1.2.3.999"))
    assert single.grid.slices[0].InstanceNumber == 4


def test_pixels_that_may_be_compressed_are_not_guessed(folder):
    """Without a transfer syntax, only the length shows that pixels are plain."""
    path = folder / NAMES[1]
    image = pydicom.dcmread(path)
    image.PixelData = image.PixelData[:100]
    image.save_as(path)
    path.write_bytes(data_set_of(path))
    assert refusal(folder).startswith("IM002 does not say how its pixels are encoded")


def test_a_file_without_preamble_and_uids_is_refused_by_name(folder):
    image = pydicom.dcmread(folder / NAMES[0])
    del image.SOPClassUID, image.SeriesInstanceUID
    image.save_as(folder / NAMES[0])
    (folder / NAMES[0]).write_bytes(data_set_of(folder / NAMES[0]))
    assert "IM001 (DICOM without a preamble and without UIDs" in refusal(folder)


# --- what cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 100, 140, 250, 400, 900, -241, -240, -1])
@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_file_that_is_cut_off_is_named(folder, left, index):
    """Of the first and the last image nothing else would show that they are missing."""
    victim = folder / NAMES[index]
    victim.write_bytes(victim.read_bytes()[:left])
    said = refusal(folder)
    assert NAMES[index] in said
    assert not any(name in said for name in NAMES if name != victim.name)


@pytest.mark.parametrize("left", [300, 400, 900, -240])
def test_a_file_without_a_preamble_that_is_cut_off_is_named(folder, left):
    victim = folder / NAMES[4]
    victim.write_bytes(data_set_of(victim)[:left])
    assert "IM005" in refusal(folder)


@pytest.mark.parametrize(("size", "state"), [(0, "empty"), (4000, "filled with zeros")])
def test_a_file_of_zeros_is_named(folder, size, state):
    (folder / NAMES[3]).write_bytes(bytes(size))
    assert refusal(folder) == (
        f"holds files that cannot be read: IM004 ({state}: copy it again, or remove it if it is "
        "not an image)"
    )


def test_images_in_gzip_are_named(folder):
    for name in NAMES[1:3]:
        (folder / f"{name}.dcm").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    (folder / NAMES[3]).write_bytes(gzip.compress(data_set_of(folder / NAMES[3])))
    assert "IM002.dcm, IM003.dcm, IM004 (compressed by gzip: unpack it)" in refusal(folder)
    assert refusal(folder / NAMES[3]) == "is compressed by gzip: unpack it"


def test_links_that_lead_nowhere_are_named(folder):
    (folder / NAMES[4]).unlink()
    (folder / NAMES[4]).symlink_to("elsewhere")
    (folder / "loop").symlink_to("loop")
    assert "IM005, loop (not readable" in refusal(folder)


def test_images_without_pixels_are_named(make_slices, write_series):
    images = make_slices()
    del images[1].PixelData
    said = refusal(write_series(images, numbers=[1, 2, 3, 4, 5]))
    assert said == "IM002 has no pixels: it is cut off, or was stored without them"


def test_a_count_that_is_no_number_names_its_file(make_slices, write_series):
    images = make_slices()
    images[1].NumberOfFrames = 1
    folder = write_series(images, numbers=[1, 2, 3, 4, 5])
    path = folder / "IM002"
    one, other = (b"\x28\0\x08\0IS\2\0" + text for text in (b"1 ", b"ab"))
    assert files.read(folder).grid.shape == SHAPE
    assert one in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(one, other))
    said = refusal(folder)
    assert "IM002" in said
    assert "damaged" in said


def test_of_many_files_the_first_are_named(make_slices, write_series):
    folder = write_series(make_slices(25), numbers=range(1, 26))
    for path in sorted(folder.iterdir())[5:25]:
        path.write_bytes(b"")
    assert "IM006, IM007, IM008, IM009, IM010, IM011, IM012, IM013 and 12 more" in refusal(folder)


# --- what is left out ---------------------------------------------------------------------


def test_files_that_are_no_images_are_named(folder, bundled):
    (folder / "Thumbs.db").write_bytes(b"x" * 500)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + b"x" * 200)
    (folder / ".hidden").touch()
    (folder / "scan.nii.gz").write_bytes(gzip.compress(b"\x5c\1\0\0" * 100))
    (folder / "mask.raw").write_bytes(bytes(600) + b"\1\2" * 300)
    (folder / "report").write_bytes((bundled / "reportsi.dcm").read_bytes())
    (folder / "plan").write_bytes((bundled / "ExplVR_LitEndNoMeta.dcm").read_bytes())
    (folder / "mask.dcm").write_bytes((bundled / "liver_1frame.dcm").read_bytes())
    (folder / "DICOMDIR").write_bytes((bundled / "dicomdirtests/DICOMDIR").read_bytes())
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.write(folder / NAMES[0])
    os.mkfifo(folder / "pipe")
    said = remarks(folder)
    for expected in (
        ".DS_Store, mask.raw (not DICOM)",
        "Thumbs.db (text)",
        "scan.nii.gz (a gzip file)",
        ".hidden (empty)",
        "report (Basic Text SR)",
        "plan (RT Ion Plan)",
        "mask.dcm (Segmentation)",
        "DICOMDIR (Media Directory)",
        "all.zip (a zip file)",
        "pipe (not an ordinary file)",
    ):
        assert expected in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SOPClassUID": SECONDARY_CAPTURE}, "a secondary capture"),
        ({"SOPClassUID": f"{SECONDARY_CAPTURE}.4"}, "a secondary capture"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer"),
        ({"ImageType": ["DERIVED", "PRIMARY", "SCOUT "], "Rows": 7}, "a localizer"),
        ({"SOPClassUID": DOSE}, "RT Dose"),
        (
            {"SOPClassUID": PRESENTATION_STATE, "Rows": None},
            "Grayscale Softcopy Presentation State",
        ),
        ({"SOPClassUID": "1.3.12.2.1107.5.9.1", "Rows": None}, "an object of a private class"),
    ],
)
@pytest.mark.parametrize("same_series", [True, False])
def test_images_beside_a_volume_are_named(make_slices, write_series, change, said, same_series):
    images = make_slices(6)
    beside = images[5]
    for name, value in change.items():
        setattr(beside, name, value)
    if beside.Rows is None:
        del beside.Rows, beside.PixelData
    beside.file_meta.MediaStorageSOPClassUID = beside.SOPClassUID
    if not same_series:
        beside.SeriesInstanceUID = generate_uid()
    assert remarks(write_series(images, numbers=[1, 2, 3, 4, 5, 9])) == f"left out: IM009 ({said})"


def test_a_folder_of_localizers_alone_is_read(make_slices, write_series):
    images = make_slices()
    for image in images:
        image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    assert remarks(write_series(images, numbers=[1, 2, 3, 4, 5])) == ""


def test_the_command_prints_what_was_left_out(folder, model, predict, tmp_path):
    (folder / "no\u202etes.txt").write_text("x" * 200)
    arguments = ["--input", f"image={folder}", "--output", f"mask={tmp_path / 'o.npy'}"]
    status, _, err = predict(model(), *arguments)
    assert status == 0
    assert f"eisen-client: note: image={folder}: left out: no\\u202etes.txt (text)" in err


# --- several series -----------------------------------------------------------------------


def test_several_series_are_named(make_slices, write_series):
    images = make_slices(9)
    for image in images[6:8]:
        image.SeriesInstanceUID = "1.2.3"
    images[8].StudyInstanceUID = "1.2.4"
    said = refusal(write_series(images, numbers=range(1, 10)))
    assert said == (
        "holds 3 series: 6 images (IM001, IM002 and 4 more), 2 images (IM007, IM008), 1 image "
        "(IM009): give a folder with one of them"
    )


# --- folders in the folder ----------------------------------------------------------------


@pytest.mark.parametrize("below", ["more", "a/b/c"])
@pytest.mark.parametrize("packed", [False, True])
def test_images_of_the_series_in_a_further_folder(folder, below, packed):
    (folder / below).mkdir(parents=True)
    data = (folder / NAMES[4]).read_bytes()
    (folder / NAMES[4]).unlink()
    (folder / below / "x").write_bytes(gzip.compress(data) if packed else data)
    assert refusal(folder) == (
        f"holds images of its series in other folders as well ({below}): put them into one folder"
    )


@pytest.mark.parametrize("left", [800, 900, -240])
def test_images_of_the_series_in_a_further_folder_that_are_cut_off(folder, left):
    (folder / "below").mkdir()
    image = (folder / NAMES[4]).read_bytes()
    (folder / NAMES[4]).unlink()
    (folder / "below" / NAMES[4]).write_bytes(image[:left])
    assert "in other folders as well (below)" in refusal(folder)


def test_images_of_the_series_behind_links(folder, tmp_path):
    (folder / "below").mkdir()
    (folder / "below" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (folder / NAMES[2]).rename(tmp_path / "elsewhere" / NAMES[2])
    assert "in other folders as well (below/link)" in refusal(folder)


def test_links_that_lead_back_are_no_other_folders(folder):
    (folder / "below").mkdir()
    (folder / "below" / "back").symlink_to(folder)
    (folder / "itself").symlink_to(folder)
    assert remarks(folder) == "left out: below, itself (folders without images of this series)"


def test_other_folders_are_named(folder, make_slices, write_series):
    write_series(make_slices(2), "series/other")
    (folder / "notes").mkdir()
    (folder / "notes" / "x.txt").write_text("x")
    (folder / "other" / "broken").write_bytes(b"")
    assert remarks(folder) == ("left out: notes, other (folders without images of this series)")


@pytest.mark.slow
def test_of_very_many_files_in_folders_the_first_are_looked_at(folder):
    (folder / "many").mkdir()
    for index in range(10_000):
        (folder / "many" / f"{index}.txt").touch()
    assert "were looked at" not in remarks(folder)
    (folder / "many" / "one more").touch()
    assert remarks(folder).endswith("of the files in its folders, only 10000 were looked at")


def test_folders_without_images(tmp_path, make_slices, write_series, bundled):
    assert refusal(tmp_path) == "holds no DICOM images"
    (tmp_path / "deeper").mkdir()
    assert refusal(tmp_path) == "holds no DICOM images, nor do its folders"
    write_series(make_slices(2), "study/one")
    write_series(make_slices(2), "study/sub/two")
    assert refusal(tmp_path / "study") == (
        "holds no DICOM images, only further folders: give the one of the series: one, sub/two"
    )
    (tmp_path / "deeper" / "report").write_bytes((bundled / "reportsi.dcm").read_bytes())
    assert refusal(tmp_path / "deeper") == "holds no DICOM images: report (Basic Text SR)"


# --- copies -------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [[3], [1, 5], [1, 2, 3, 4, 5]])
def test_copies_of_files_are_left_out(folder, which):
    plain = files.read(folder)
    for index in which:
        copy = folder / f"IM00{index} (1)"
        copy.write_bytes((folder / f"IM00{index}").read_bytes())
    named = ", ".join(f"IM00{index} (1)" for index in which)
    assert remarks(folder) == f"left out: {named} (the same file as another one)"
    np.testing.assert_array_equal(files.read(folder).value, plain.value)
    np.testing.assert_array_equal(files.read(folder).grid.affine, plain.grid.affine)


@pytest.mark.parametrize("keyword", ["SeriesDescription", "PixelData"])
def test_an_image_that_is_there_twice_and_differs(folder, keyword):
    image = pydicom.dcmread(folder / "IM003")
    value = {"SeriesDescription": "Canary", "PixelData": bytes(len(image.PixelData))}[keyword]
    setattr(image, keyword, value)
    image.save_as(folder / "again")
    assert refusal(folder) == (
        "holds 6 images at 5 positions: some are there several times (one SOPInstanceUID), and "
        "differ: keep one of each (IM003, again)"
    )


def test_images_that_have_one_identifier_are_no_copies(make_slices, write_series):
    images = make_slices()
    for image in images:
        image.SOPInstanceUID = "1.2.3"
    assert remarks(write_series(images, numbers=[1, 2, 3, 4, 5])) == ""


# --- images that are missing --------------------------------------------------------------


BEGIN = "the image numbers begin at 4: images before may be missing"
STEP = "the image numbers go up by 2: images between may be missing"


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([1, 2, 3, 4, 5], ""),
        ([5, 4, 3, 2, 1], ""),
        ([0, 1, 2, 3, 4], ""),
        ([2, 4, 6, 8, 10], STEP),
        ([9, 7, 5, 3, 1], STEP),
        ([1, 10**9 + 1, 2 * 10**9 + 1], STEP.replace("2", str(10**9))),
        ([4, 5, 6, 7, 8], BEGIN),
        ([8, 7, 6, 5, 4], BEGIN),
        ([4, 6, 8, 10, 12], f"{BEGIN}\n{STEP}"),
        ([4, 5, 6, 7, 9], ""),
        ([8, 5, 6, 7, 4], ""),
    ],
)
def test_image_numbers_that_leave_out_some(make_slices, write_series, numbers, said):
    series = write_series(make_slices(len(numbers)), numbers=numbers)
    assert "\n".join(files.read(series).remarks) == said


def test_numbers_of_localizers_are_not_missing(make_slices, write_series):
    images = make_slices(6)
    images[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    said = remarks(write_series(images, numbers=[1, 2, 3, 4, 5, 6]))
    assert said == "left out: IM001 (a localizer)"


def test_numbers_of_what_lies_between_are_not_missing(make_slices, write_series):
    images = make_slices(5)
    for k in range(4):
        images.append(make_slices(k + 1)[k])
        images[-1].StudyInstanceUID = images[0].StudyInstanceUID
        images[-1].SeriesInstanceUID = images[0].SeriesInstanceUID
        images[-1].SOPClassUID = SECONDARY_CAPTURE
    said = remarks(write_series(images, numbers=[1, 3, 5, 7, 9, 2, 4, 6, 8]))
    assert said == "left out: IM002, IM004, IM006, IM008 (a secondary capture)"


@pytest.mark.parametrize(
    "tag",
    [
        "ImagesInAcquisition",
        "NumberOfSeriesRelatedInstances",
        "NumberOfSlices",
        (0x0021, "GEMS_RELA_01", 0x4F, "SS"),
        (0x0025, "GEMS_SERS_01", 0x07, "SL"),
        (0x2001, "Philips Imaging DD 001", 0x18, "SL"),
    ],
)
@pytest.mark.parametrize(("count", "missing"), [(5, False), (0, False), (7, True)])
def test_headers_that_count_more_images(make_slices, write_series, tag, count, missing):
    images = make_slices()
    for image in images:
        if isinstance(tag, str):
            setattr(image, tag, count)
        else:
            group, creator, element, vr = tag
            image.private_block(group, creator, create=True).add_new(element, vr, count)
    said = "the headers count 7 images and there are 5: images at an end may be missing"
    assert remarks(write_series(images, numbers=[5, 4, 3, 2, 1])) == (said if missing else "")
