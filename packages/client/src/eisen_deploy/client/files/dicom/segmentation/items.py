"""What a segmentation says of its segments, and of the model that made them."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from eisen_deploy.client._predictions import ModelIdentity
from eisen_deploy.client.files.libraries import require
from eisen_deploy.client.files.segments import LONGEST_NAME, Segment, is_forbidden

from .colors import to_cielab

if TYPE_CHECKING:
    from pydicom import Dataset

_TISSUE = ("85756007", "SCT", "Tissue")
_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
_INTELLIGENCE = ("123109", "DCM", "Artificial Intelligence")
_PROCESSING = ("109102", "DCM", "Processing Equipment")
_UNKNOWN = "unknown"


def describe_segment(index: int, segment: Segment, model: ModelIdentity) -> Dataset:
    """Return the item of the Segment Sequence for a segment.

    :param index: its number in the segmentation, from 1 and without gaps.
    """
    highdicom = require("highdicom", "dicom")
    concept = highdicom.sr.CodedConcept
    structure = (segment.code, segment.scheme, segment.name)
    item: Dataset = highdicom.seg.SegmentDescription(
        segment_number=index,
        segment_label=segment.name,
        segmented_property_category=concept(*(_STRUCTURE if segment.code else _TISSUE)),
        segmented_property_type=concept(*(structure if segment.code else _TISSUE)),
        algorithm_type="AUTOMATIC",
        algorithm_identification=_identify_algorithm(highdicom, model),
    )
    if segment.color is not None:
        item.RecommendedDisplayCIELabValue = to_cielab(segment.color)
    return item


def describe_equipment(version: str, time: str) -> Dataset:
    """Return the item of the Contributing Equipment Sequence that names this program.

    :param version: of the program.
    :param time: as DICOM writes it.
    """
    item: Dataset = require("pydicom", "dicom").Dataset()
    purpose = require("highdicom", "dicom").sr.CodedConcept(*_PROCESSING)
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer, item.ManufacturerModelName = "Eisen-Deploy", "eisen-client"
    item.SoftwareVersions = version
    item.ContributionDateTime = time
    item.ContributionDescription = "Asked the model, and wrote its output as segmentation"
    return item


def to_long_string(text: str) -> str:
    """Return a text as a DICOM Long String can hold it: whatever it cannot hold becomes ``_``."""
    kept = ("_" if is_forbidden(character) else character for character in text)
    return "".join(kept)[:LONGEST_NAME].strip()


def _identify_algorithm(highdicom: ModuleType, model: ModelIdentity) -> Sequence[Dataset]:
    """Return the Algorithm Identification Sequence; its parameters hold all in full."""
    facts = {"model": model.name, "version": model.version, "archive-sha-256": model.digest}
    identification: Sequence[Dataset] = highdicom.AlgorithmIdentificationSequence(
        name=to_long_string(model.name or "") or _UNKNOWN,
        family=highdicom.sr.CodedConcept(*_INTELLIGENCE),
        version=to_long_string(model.version or "") or _UNKNOWN,
        parameters={name: value for name, value in facts.items() if value} or None,
    )
    return identification
