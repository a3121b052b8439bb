"""DICOM segmentations (SEG, PS3.3 A.51), by highdicom.

A label map of whole numbers becomes one segment for each number but 0, and channels become one
segment each, which may overlap. The patient, the study and the positions are those of the series
that the array belongs to, so it takes a DICOM input.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eisen_deploy.client.files.content import Array, Content, Grid
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.extras import require, writing
from eisen_deploy.client.files.segments import Segment

_TISSUE = ("85756007", "SCT", "Tissue")
_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
_INTELLIGENCE = ("123109", "DCM", "Artificial Intelligence")
_SERIES_NUMBER = 100
_MAX_SEGMENTS = 1000


def check_installed() -> None:
    """Raise :class:`MissingExtra` if highdicom is not installed."""
    require("highdicom", "dicom")


def check_grid(grid: Grid) -> tuple[str, ...]:
    """Return what the user should know about a segmentation of these images.

    :raises UnwritableFile: if there are no images, or they lack what it needs.
    """
    if not grid.slices:
        raise UnwritableFile("a DICOM segmentation belongs to DICOM images, and the input is none")
    return ()


def write(
    path: Path,
    content: Content,
    segments: Sequence[Segment],
    description: str,
    algorithm: tuple[str, str],
) -> None:
    """Write a mask as a segmentation of the series that it lies on.

    :param content: labels (i, j, k), or channels of 0 and 1 (channels, i, j, k), with the grid.
    :param segments: what the labels mean; those that are not told are called ``Label 1``.
    :param description: of the series that is made.
    :param algorithm: name and version of what made the mask.
    :raises UnwritableFile: if there is no series, or the array is no mask.
    """
    highdicom = require("highdicom", "dicom")
    if content.grid is None:
        raise UnwritableFile("a DICOM segmentation needs a geometry, and there is none")
    check_grid(content.grid)
    masks, numbers = _masks(content.value, segments)
    known = {segment.number: segment for segment in segments}
    told = [known.get(number, Segment(number, f"Label {number}")) for number in numbers]
    with writing("a DICOM segmentation"):
        segmentation = highdicom.seg.Segmentation(
            source_images=list(content.grid.slices),
            pixel_array=masks,
            segmentation_type="BINARY",
            segment_descriptions=[
                _describe(highdicom, index, segment, algorithm)
                for index, segment in enumerate(told, 1)
            ],
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="Eisen-Deploy",
            manufacturer_model_name="eisen-client",
            software_versions=algorithm[1] or "unknown",
            device_serial_number="unknown",
            series_description=description[:64] or "Segmentation",
        )
        segmentation.save_as(path)


def _describe(highdicom: Any, index: int, segment: Segment, algorithm: tuple[str, str]) -> Any:
    concept = highdicom.sr.CodedConcept
    kind = concept(*_TISSUE)
    if segment.code:
        kind = concept(segment.code, segment.scheme, segment.name)
    return highdicom.seg.SegmentDescription(
        segment_number=index,
        segment_label=segment.name,
        segmented_property_category=concept(*(_STRUCTURE if segment.code else _TISSUE)),
        segmented_property_type=kind,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=algorithm[0] or "unknown",
            family=concept(*_INTELLIGENCE),
            version=algorithm[1] or "unknown",
        ),
    )


def _masks(array: Array, segments: Sequence[Segment]) -> tuple[Array, list[int]]:
    """Return masks (images, rows, columns, segments) of 0 and 1, and the label of each segment."""
    whole = _of_whole_numbers(array)
    if whole.ndim == 4:
        if whole.size and whole.max() > 1:
            raise UnwritableFile("channels of a DICOM segmentation hold 0 and 1 only")
        return np.moveaxis(whole, 0, 3).transpose(2, 1, 0, 3), list(range(1, len(whole) + 1))
    labels = {int(label) for label in np.unique(whole)} | {each.number for each in segments}
    numbers = sorted(labels - {0}) or [1]
    if len(numbers) > _MAX_SEGMENTS:
        raise UnwritableFile(f"holds {len(numbers)} labels, at most {_MAX_SEGMENTS} make segments")
    masks = np.stack([whole == number for number in numbers], axis=-1)
    return masks.transpose(2, 1, 0, 3).astype(np.uint8), numbers


def _of_whole_numbers(array: Array) -> Array:
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.uint16) if array.dtype.kind in "biuf" else np.empty(0)
    if array.dtype.kind not in "biuf" or not np.array_equal(whole, array):
        raise UnwritableFile(
            "a DICOM segmentation holds whole numbers from 0 to 65535, and the output others"
        )
    return whole
