"""What a segmentation takes over from the images that it belongs to.

Attributes that are missing, or that hold what the standard forbids, are common in old and
de-identified images. What identifies the images cannot be made up: it has to be there. Of the
rest, what cannot be read or written is left out, and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from eisen_deploy.client.files.content import Grid
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.extras import require

from .character_sets import TEXTS, decoded, is_declared, terms_of, values_of

#: Shown to highdicom as the class of every image: it does not know all classes.
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"

#: Of an image and its series; without one of them nothing can refer to it.
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
#: Those in which all images have to agree: others would be of another patient or study.
_SAME = ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex")
#: Those of which the first image's is taken if they do not agree.
_FIRST = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")

_PLACE = ("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
#: What highdicom takes of the first image beside patient and study.
_OF_THE_IMAGE = (
    "PositionReferenceIndicator",
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber"),
    *("InstitutionName", "InstitutionalDepartmentName", "StationName"),
)
_SHOWN = 8


def check_identity(headers: Sequence[Any]) -> None:
    """Check that a segmentation can refer to images, and that all are of one patient.

    :raises UnwritableFile: if not; it names the attribute.
    """
    for keyword in _IDENTITY:
        lacking = sum(not identity_of(header, keyword) for header in headers)
        if lacking:
            raise UnwritableFile(f"{lacking} of {len(headers)} images have no {keyword}")
    for keyword in _SAME:
        if not _agree(headers, keyword):
            raise UnwritableFile(f"the images do not agree in {keyword}")
    if len({identity_of(header, "SOPInstanceUID") for header in headers}) < len(headers):
        raise UnwritableFile("several images have the same SOPInstanceUID")


def identity_of(header: Any, keyword: str) -> str:
    """Return an identifier of an image; that of the file says the same as that of the image."""
    text = _text(header, keyword)
    if not text and keyword.startswith("SOP"):
        text = _text(getattr(header, "file_meta", {}), f"MediaStorage{keyword}")
    return text


def stand_ins(grid: Grid) -> list[Any]:
    """Return headers in the place of the images', with what highdicom needs and takes.

    Nothing of the patient and the study is in them: see :func:`copy_attributes`.
    """
    pydicom = require("pydicom", "dicom")
    # All segmentations of a series without a frame of reference get the same one.
    series = identity_of(grid.slices[0], "SeriesInstanceUID")
    frame_of_reference = pydicom.uid.generate_uid(entropy_srcs=[series, "frame of reference"])
    made = []
    for header in grid.slices:
        made.append(pydicom.Dataset())
        for keyword in (*_PLACE, *(_OF_THE_IMAGE if len(made) == 1 else ())):
            for element in _readable(header, keyword):
                made[-1][element.tag] = element
        for keyword in _IDENTITY:
            setattr(made[-1], keyword, identity_of(header, keyword))
        made[-1].SOPClassUID = CT_IMAGE
        made[-1].FrameOfReferenceUID = _text(header, "FrameOfReferenceUID") or frame_of_reference
        made[-1].SliceThickness = _thickness(header, grid)
        made[-1].Modality = _modality(header)
        for keyword in (*_SAME[1:], *_FIRST):
            setattr(made[-1], keyword, "")
    return made


def copy_attributes(header: Any, segmentation: Any) -> list[str]:
    """Copy what an image says of patient and study, and whether it was compressed with loss.

    :param segmentation: highdicom's object, which knows the attributes of patient and study.
    :returns: the keywords of those that cannot be read, or not be written.
    """
    source = _Source(header)
    segmentation.copy_patient_and_study_information(source)
    for keyword in _LOSSY:
        for element in _readable(header, keyword):
            segmentation[element.tag] = element
    return source.left_out


def remarks_on(headers: Sequence[Any], left_out: Sequence[str]) -> tuple[str, ...]:
    """Return what the user should know about a segmentation of these images.

    :param left_out: keywords of attributes that are left out.
    """
    remarks = []
    if not _text(headers[0], "FrameOfReferenceUID"):
        remarks.append(
            "the images have no FrameOfReferenceUID: the segmentation gets a new one, and viewers "
            "may not lay it over the images"
        )
    differing = [keyword for keyword in _FIRST if not _agree(headers, keyword)]
    if differing:
        remarks.append(
            f"the images do not agree in {_listed(differing)}: the segmentation gets what the "
            "first one has"
        )
    if left_out:
        remarks.append(
            f"left out of the segmentation, since it cannot be read or written: {_listed(left_out)}"
        )
    if not is_declared(terms_of(headers[0])):
        strange = [key for key in (*_SAME[1:], *_FIRST) if not _text(headers[0], key).isascii()]
        if strange:
            remarks.append(
                f"{_listed(strange)} may be read wrong: the images have characters beyond ASCII, "
                "and do not say of which character set (SpecificCharacterSet)"
            )
    return tuple(remarks)


class _Source:
    """A header as highdicom copies from it: what cannot be copied is as if it were absent."""

    SOPClassUID = CT_IMAGE
    SOPInstanceUID = ""

    def __init__(self, header: Any) -> None:
        self.left_out: list[str] = []
        self._header = header

    def __getitem__(self, tag: Any) -> Any:
        keyword = require("pydicom.datadict", "dicom").keyword_for_tag(tag)
        if tag not in self._header:
            raise KeyError(keyword)
        for element in _readable(self._header, keyword):
            return element
        self.left_out.append(keyword)
        raise KeyError(keyword)


def _readable(header: Any, keyword: str) -> Iterator[Any]:
    """Yield a copy of an attribute, its texts decoded, if it can be read and written."""
    if keyword not in header:
        return
    try:
        element = _copied(header[keyword], terms_of(header))
        _write(deepcopy(element))  # a name keeps the bytes that it was written as
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever pydicom makes of values that break the rules
        return
    yield element


def _copied(element: Any, terms: Sequence[str]) -> Any:
    """Return a copy with decoded texts, of the kind that the standard has for the attribute."""
    copied = deepcopy(element)
    if copied.VR == "SQ":
        for item in copied.value:
            terms_here = terms_of(item) or terms
            for each in list(item):
                item[each.tag] = _copied(each, terms_here)
            item.pop("SpecificCharacterSet", None)  # that of the whole dataset holds for all
        return copied
    if copied.VR in TEXTS:
        # A name that was read keeps its bytes and their character set: make a new one.
        texts = [decoded(str(value), terms) for value in values_of(element)]
        copied.value = texts if len(texts) > 1 else "".join(texts)
    datadict = require("pydicom.datadict", "dicom")
    if not datadict.dictionary_has_tag(copied.tag):
        return copied
    # What breaks the rules of its kind, pydicom reads as text: that would be written as such.
    kind = datadict.dictionary_VR(copied.tag)
    return require("pydicom", "dicom").DataElement(copied.tag, kind, copied.value)


def _write(element: Any) -> None:
    file = require("pydicom.filebase", "dicom").DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    require("pydicom.filewriter", "dicom").write_data_element(file, element, ["utf8"])


def _text(header: Any, keyword: str) -> str:
    try:
        value = header.get(keyword)
    except Exception:  # noqa: BLE001 - it breaks the rules of its kind
        return ""
    return "" if value is None else decoded(str(value), terms_of(header)).strip()


def _agree(headers: Sequence[Any], keyword: str) -> bool:
    return len({_text(header, keyword) for header in headers}) == 1


def _thickness(header: Any, grid: Grid) -> str:
    """Return the thickness of an image, or else the distance from one image to the next."""
    try:
        thickness = float(header.SliceThickness)
    except (AttributeError, TypeError, ValueError):
        thickness = 0.0
    if not (np.isfinite(thickness) and thickness > 0):
        columns = grid.affine[:3, :3]
        normal = np.cross(columns[:, 0], columns[:, 1])
        thickness = float(abs(columns[:, 2] @ normal) / np.linalg.norm(normal))
    return f"{thickness:.10g}"


def _modality(header: Any) -> str:
    text = _text(header, "Modality")
    return text if re.fullmatch("[A-Z]{1,12}", text) else "OT"


def _listed(keywords: Sequence[str]) -> str:
    more = f" and {len(keywords) - _SHOWN} more" if len(keywords) > _SHOWN else ""
    return f"{', '.join(keywords[:_SHOWN])}{more}"
