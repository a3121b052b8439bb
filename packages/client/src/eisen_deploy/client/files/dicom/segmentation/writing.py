"""Making a segmentation, by highdicom, and trying beforehand whether one can be made."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eisen_deploy.client._predictions import ModelIdentity
from eisen_deploy.client._version import client_version
from eisen_deploy.client.files.content import Array, Content, Grid
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.libraries import require, writing
from eisen_deploy.client.files.segments import Segment

from . import source_attributes
from .attribute_copies import CopyableHeader, add_copies
from .character_sets import declare_character_set, read_terms
from .items import describe_equipment, describe_segment, to_long_string
from .masks import to_segments

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

_SERIES_NUMBER = 100
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_NO_IMAGES = "a DICOM segmentation belongs to DICOM images, and the input is not DICOM"


def check_grid(grid: Grid) -> tuple[str, ...]:
    """Return what the user should know about a segmentation of these images.

    One is made to find out, with a mask of one voxel.

    :raises UnwritableFile: if there are no images, or they lack what it needs.
    """
    if not grid.slices:
        raise UnwritableFile(_NO_IMAGES)
    with writing("a DICOM segmentation"):
        source_attributes.check_identity(grid.slices)
        mask = np.zeros(grid.shape[::-1], np.uint8)
        mask[0, 0, 0] = 1
        segmentation, left_out = _make(grid, mask, [Segment(1, "Label 1")], "", ModelIdentity())
        segmentation.save_as(BytesIO())
        return source_attributes.list_remarks(grid.slices, left_out)


def write(
    path: Path,
    content: Content,
    segments: Sequence[Segment],
    description: str,
    model: ModelIdentity,
) -> tuple[str, ...]:
    """Write a mask as a segmentation of the series that it lies on.

    :param content: labels (i, j, k), or channels of 0 and 1 (channels, i, j, k), with the grid.
    :param segments: what the labels mean; the others are called ``Label 1``.
    :param description: of the series that is made.
    :param model: that made the mask.
    :returns: what the user should know about it.
    :raises UnwritableFile: if there is no series, or the array is not a mask.
    """
    if content.grid is None or not content.grid.slices:
        raise UnwritableFile(_NO_IMAGES)
    shape = content.value.shape
    if len(shape) not in (3, 4) or shape[-3:] != content.grid.shape or not content.value.size:
        raise UnwritableFile(
            f"an array of shape {list(shape)} is not a mask of images of {list(content.grid.shape)}"
        )
    known = {segment.number: segment for segment in segments}
    masks, numbers = to_segments(content.value, known)
    described = [known.pop(number, Segment(number, f"Label {number}")) for number in numbers]
    with writing("a DICOM segmentation"):
        source_attributes.check_identity(content.grid.slices)
        _make(content.grid, masks, described, description, model)[0].save_as(path)
    if known:
        absent = ", ".join(map(str, sorted(known)))
        return (f"segments {absent} are described, and the output has {len(numbers)} channels",)
    return ()


def _make(
    grid: Grid, masks: Array, segments: Sequence[Segment], description: str, model: ModelIdentity
) -> tuple[Dataset, list[str]]:
    """Return a segmentation, and the keywords of attributes that are left out."""
    highdicom = require("highdicom", "dicom")
    segmentation: Dataset = highdicom.seg.Segmentation(
        source_images=source_attributes.make_stand_ins(grid),
        pixel_array=masks,
        segmentation_type="BINARY",
        segment_descriptions=[
            describe_segment(index, each, model) for index, each in enumerate(segments, 1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Eisen-Deploy",
        manufacturer_model_name="eisen-client",
        software_versions=client_version(),
        device_serial_number="unknown",
        series_description=to_long_string(description) or "Segmentation",
        omit_empty_frames=bool(masks.any()),  # it says so on the terminal where all are empty
    )
    source = CopyableHeader(grid.slices[0])
    segmentation.copy_patient_and_study_information(source)
    add_copies(segmentation, grid.slices[0], _LOSSY)
    _refer_to_classes(segmentation, grid.slices)
    equipment = segmentation.get("ContributingEquipmentSequence") or []
    segmentation.ContributingEquipmentSequence = [*equipment, describe_equipment()]
    declare_character_set(segmentation, read_terms(grid.slices[0]))
    return segmentation, source.left_out


def _refer_to_classes(segmentation: Dataset, headers: Sequence[Dataset]) -> None:
    """Put in the classes of the images, in whose place highdicom was shown others."""
    read = source_attributes.read_identifier
    classes = {read(header, "SOPInstanceUID"): read(header, "SOPClassUID") for header in headers}

    def replace_class(item: Dataset, element: DataElement) -> None:
        if element.keyword == "ReferencedSOPClassUID":
            element.value = classes.get(item.ReferencedSOPInstanceUID, element.value)

    segmentation.walk(replace_class)
