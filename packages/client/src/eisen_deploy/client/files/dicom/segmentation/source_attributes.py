"""What a segmentation takes over from the images that it belongs to.

Attributes that are missing, or that hold what the standard forbids, are common in old and
de-identified images. What identifies the images cannot be made up: it has to be there. Of the
rest, what cannot be read or written is left out, and a remark says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eisen_deploy.client.files.content import Grid
from eisen_deploy.client.files.dicom.wording import name_some
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.libraries import require

from .attribute_copies import CT_IMAGE, add_copies
from .character_sets import is_doubtful, read_text

if TYPE_CHECKING:
    from pydicom import Dataset

#: Of an image and its series; without one of them nothing can refer to it.
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
#: In these all images have to agree: others would be of another patient.
_PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
#: Of these the first image's is taken if they do not agree.
_STUDY = ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")

_FRAME = "FrameOfReferenceUID"
_PLACE = ("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
#: What highdicom takes of the first image beside patient and study.
_OF_THE_IMAGE = (
    "PositionReferenceIndicator",
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber",
    "InstitutionName", "InstitutionalDepartmentName", "StationName",
)  # fmt: skip


def check_identity(headers: Sequence[Dataset]) -> None:
    """Check that a segmentation can refer to images, and that all are of one patient.

    :raises UnwritableFile: if not; it names the attribute.
    """
    for keyword in _IDENTITY:
        lacking = sum(not read_identifier(header, keyword) for header in headers)
        if lacking:
            raise UnwritableFile(
                f"{keyword} is missing in {lacking} of {len(headers)} images, or is not an "
                "identifier"
            )
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", *_PATIENT):
        if not _agree(headers, keyword):
            raise UnwritableFile(f"the images do not agree in {keyword}")
    if len({read_identifier(header, "SOPInstanceUID") for header in headers}) < len(headers):
        raise UnwritableFile("several images have the same SOPInstanceUID")


def read_identifier(header: Dataset, keyword: str) -> str:
    """Return an identifier of an image; nothing if it is missing or malformed.

    Some are made by programs that do not keep to digits and dots.
    """
    text = read_text(header, keyword)
    meta = getattr(header, "file_meta", None)
    if not text and meta is not None and keyword.startswith("SOP"):  # it says the same of its image
        text = read_text(meta, f"MediaStorage{keyword}")
    return text if re.fullmatch("[A-Za-z0-9._-]+", text) else ""


def make_stand_ins(grid: Grid) -> list[Dataset]:
    """Return headers in the place of the images', with what highdicom needs and takes.

    Nothing of the patient and the study is in them: highdicom copies that later.
    """
    pydicom = require("pydicom", "dicom")
    # All segmentations of a series without a frame of reference get the same one.
    series = read_identifier(grid.slices[0], "SeriesInstanceUID")
    frame_of_reference = pydicom.uid.generate_uid(entropy_srcs=[series, "frame of reference"])
    distance = _measure_distance(grid)
    made: list[Dataset] = []
    for header in grid.slices:
        item: Dataset = pydicom.Dataset()
        add_copies(item, header, (*_PLACE, *(() if made else _OF_THE_IMAGE)))
        for keyword in _IDENTITY:
            setattr(item, keyword, read_identifier(header, keyword))
        item.SOPClassUID = CT_IMAGE
        item.FrameOfReferenceUID = read_identifier(header, _FRAME) or frame_of_reference
        item.SliceThickness = _read_thickness(header, distance)
        item.SpacingBetweenSlices = distance  # some highdicoms make one up, others leave it out
        modality = read_text(header, "Modality")
        item.Modality = modality if re.fullmatch("[A-Z]{1,12}", modality) else "OT"
        for keyword in (*_PATIENT, *_STUDY):
            setattr(item, keyword, "")
        made.append(item)
    return made


def list_remarks(headers: Sequence[Dataset], left_out: Sequence[str]) -> tuple[str, ...]:
    """Return what the user should know about a segmentation of these images.

    :param left_out: keywords of attributes that are left out.
    """
    remarks = []
    if not read_identifier(headers[0], _FRAME):
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
    strange = [key for key in (*_PATIENT, *_STUDY) if is_doubtful(headers[0], key)]
    if strange:
        remarks.append(
            f"{name_some(strange)} may be read wrong: the images have characters beyond ASCII, and "
            "do not say of which character set (SpecificCharacterSet)"
        )
    return tuple(remarks)


def _agree(headers: Sequence[Dataset], keyword: str) -> bool:
    texts = {read_text(header, keyword) for header in headers}
    if keyword.endswith("Name"):  # empty parts at the end of a name may be written or not
        texts = {re.sub(r"[\^ ]+(?==|$)|=+$", "", text) for text in texts}
    return len(texts) == 1


def _read_thickness(header: Dataset, distance: str) -> str:
    """Return the thickness of an image, or else the distance from one image to the next."""
    try:
        thickness = float(read_text(header, "SliceThickness"))
    except ValueError:
        thickness = 0.0
    return f"{thickness:.10g}" if np.isfinite(thickness) and thickness > 0 else distance


def _measure_distance(grid: Grid) -> str:
    """Return the distance from one image to the next; of a single one, its thickness."""
    columns = grid.affine[:3, :3]
    normal = np.cross(columns[:, 0], columns[:, 1])
    return f"{abs(columns[:, 2] @ normal) / np.linalg.norm(normal):.10g}"
