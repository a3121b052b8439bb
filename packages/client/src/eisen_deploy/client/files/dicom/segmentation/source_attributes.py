"""What a segmentation takes over from the images that it belongs to.

Attributes that are missing, or that hold what the standard forbids, are common in old and
de-identified images. What identifies the images cannot be made up: it has to be there. Of the
rest, what cannot be read or written is left out, and said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from eisen_deploy.client.files.content import Grid
from eisen_deploy.client.files.dicom.names import name_some
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.extras import require

from .attribute_copies import CT_IMAGE, Copies, copy_of, put, raw_text_of, text_of
from .character_sets import has_unread_escapes, is_declared, terms_of

#: Of an image and its series; without one of them nothing can refer to it.
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
#: In these all images have to agree: others would be of another patient.
_PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
#: Of these the first image's is taken if they do not agree.
_STUDY = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")

_FRAME = "FrameOfReferenceUID"
_PLACE = ("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
#: What highdicom takes of the first image beside patient and study.
_OF_THE_IMAGE = (
    "PositionReferenceIndicator",
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber"),
    *("InstitutionName", "InstitutionalDepartmentName", "StationName"),
)


def check_identity(headers: Sequence[Any]) -> None:
    """Check that a segmentation can refer to images, and that all are of one patient.

    :raises UnwritableFile: if not; it names the attribute.
    """
    for keyword in _IDENTITY:
        lacking = sum(not identity_of(header, keyword) for header in headers)
        if lacking:
            raise UnwritableFile(
                f"{keyword} is missing in {lacking} of {len(headers)} images, or is no identifier"
            )
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", *_PATIENT):
        if not _agree(headers, keyword):
            raise UnwritableFile(f"the images do not agree in {keyword}")
    if len({identity_of(header, "SOPInstanceUID") for header in headers}) < len(headers):
        raise UnwritableFile("several images have the same SOPInstanceUID")


def identity_of(header: Any, keyword: str) -> str:
    """Return an identifier of an image; nothing if it has none, or what cannot be one.

    Some are made by programs that do not keep to digits and dots.
    """
    text = text_of(header, keyword)
    if not text and keyword.startswith("SOP"):  # the file says the same of its image
        text = text_of(getattr(header, "file_meta", {}), f"MediaStorage{keyword}")
    return text if re.fullmatch("[A-Za-z0-9._-]+", text) else ""


def stand_ins(grid: Grid) -> list[Any]:
    """Return headers in the place of the images', with what highdicom needs and takes.

    Nothing of the patient and the study is in them: see :func:`copy_attributes`.
    """
    pydicom = require("pydicom", "dicom")
    # All segmentations of a series without a frame of reference get the same one.
    series = identity_of(grid.slices[0], "SeriesInstanceUID")
    frame_of_reference = pydicom.uid.generate_uid(entropy_srcs=[series, "frame of reference"])
    distance = _distance(grid)
    made = []
    for header in grid.slices:
        made.append(pydicom.Dataset())
        for keyword in (*_PLACE, *(_OF_THE_IMAGE if len(made) == 1 else ())):
            put(made[-1], copy_of(header, keyword))
        for keyword in _IDENTITY:
            setattr(made[-1], keyword, identity_of(header, keyword))
        made[-1].SOPClassUID = CT_IMAGE
        made[-1].FrameOfReferenceUID = identity_of(header, _FRAME) or frame_of_reference
        made[-1].SliceThickness = _thickness(header, distance)
        made[-1].SpacingBetweenSlices = distance  # some highdicoms make one up, others leave it out
        made[-1].Modality = _modality(header)
        for keyword in (*_PATIENT, *_STUDY):
            setattr(made[-1], keyword, "")
    return made


def copy_attributes(header: Any, segmentation: Any) -> list[str]:
    """Copy what an image says of patient and study, and whether it was compressed with loss.

    :param segmentation: highdicom's object, which knows the attributes of patient and study.
    :returns: the keywords of those that cannot be read, or not be written.
    """
    source = Copies(header)
    segmentation.copy_patient_and_study_information(source)
    for keyword in _LOSSY:
        put(segmentation, copy_of(header, keyword))
    return source.left_out


def remarks_on(headers: Sequence[Any], left_out: Sequence[str]) -> tuple[str, ...]:
    """Return what the user should know about a segmentation of these images.

    :param left_out: keywords of attributes that are left out.
    """
    remarks = []
    if not identity_of(headers[0], _FRAME):
        remarks.append(
            "the images have no FrameOfReferenceUID: the segmentation gets a new one, and viewers "
            "may not lay it over the images"
        )
    differing = [keyword for keyword in _STUDY if not _agree(headers, keyword)]
    if differing:
        remarks.append(
            f"the images do not agree in {name_some(differing)}: the segmentation gets what the "
            "first one has"
        )
    if left_out:
        remarks.append(
            "left out of the segmentation, since it cannot be read or written: "
            f"{name_some(left_out)}"
        )
    strange = [key for key in (*_PATIENT, *_STUDY) if _is_doubtful(headers[0], key)]
    if strange:
        remarks.append(
            f"{name_some(strange)} may be read wrong: the images have characters beyond ASCII, and "
            "do not say of which character set (SpecificCharacterSet)"
        )
    return tuple(remarks)


def _is_doubtful(header: Any, keyword: str) -> bool:
    """Whether a text has characters of a set that the header does not declare."""
    terms = terms_of(header)
    if has_unread_escapes(raw_text_of(header, keyword), terms):
        return True
    return not is_declared(terms) and not text_of(header, keyword).isascii()


def _agree(headers: Sequence[Any], keyword: str) -> bool:
    texts = {text_of(header, keyword) for header in headers}
    if keyword.endswith("Name"):  # empty parts at the end of a name may be written or not
        texts = {re.sub(r"[\^ ]+(?==|$)|=+$", "", text) for text in texts}
    return len(texts) == 1


def _thickness(header: Any, distance: str) -> str:
    """Return the thickness of an image, or else the distance from one image to the next."""
    try:
        thickness = float(text_of(header, "SliceThickness"))
    except ValueError:
        thickness = 0.0
    return f"{thickness:.10g}" if np.isfinite(thickness) and thickness > 0 else distance


def _distance(grid: Grid) -> str:
    """Return the distance from one image to the next; of a single one, its thickness."""
    columns = grid.affine[:3, :3]
    normal = np.cross(columns[:, 0], columns[:, 1])
    return f"{abs(columns[:, 2] @ normal) / np.linalg.norm(normal):.10g}"


def _modality(header: Any) -> str:
    text = text_of(header, "Modality")
    return text if re.fullmatch("[A-Z]{1,12}", text) else "OT"
