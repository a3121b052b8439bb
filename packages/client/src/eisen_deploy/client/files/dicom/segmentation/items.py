"""What a segmentation says of its segments, and of the model that made them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from eisen_deploy.client._predictions import ModelIdentity
from eisen_deploy.client._version import client_version
from eisen_deploy.client.files.libraries import require
from eisen_deploy.client.files.segments import LONGEST_NAME, Color, Segment, is_forbidden

if TYPE_CHECKING:
    from pydicom import Dataset

_TISSUE = ("85756007", "SCT", "Tissue")
_STRUCTURE = ("123037004", "SCT", "Anatomical Structure")
_INTELLIGENCE = ("123109", "DCM", "Artificial Intelligence")
_PROCESSING = ("109102", "DCM", "Processing Equipment")
_UNKNOWN = "unknown"

#: From linear sRGB to XYZ, and its white. DICOM's Lab is used with that of a daylight (D65).
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


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


def describe_equipment() -> Dataset:
    """Return the item of the Contributing Equipment Sequence that names this program."""
    item: Dataset = require("pydicom", "dicom").Dataset()
    purpose = require("highdicom", "dicom").sr.CodedConcept(*_PROCESSING)
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer, item.ManufacturerModelName = "Eisen-Deploy", "eisen-client"
    item.SoftwareVersions = client_version()
    item.ContributionDateTime = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S+0000")
    item.ContributionDescription = "Asked the model, and wrote its output as segmentation"
    return item


def to_long_string(text: str) -> str:
    """Return a text as a DICOM Long String can hold it: whatever it cannot hold becomes ``_``."""
    kept = ("_" if is_forbidden(character) else character for character in text)
    return "".join(kept)[:LONGEST_NAME].strip()


def to_cielab(color: Color) -> list[int]:
    """Return an sRGB colour as DICOM stores it: L*, a* and b* in 16 bits (PS3.3, C.10.7.1.1).

    :param color: red, green and blue, 0 to 255.
    """
    part = np.array(color, float) / 255
    linear = np.where(part > 0.04045, ((part + 0.055) / 1.055) ** 2.4, part / 12.92)
    xyz = _TO_XYZ @ linear / _WHITE
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * 841 / 108 + 4 / 29)
    lab = np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])
    stored = (lab - [0, -128, -128]) / [100, 255, 255] * 65535
    return [int(number) for number in np.rint(stored).clip(0, 65535)]


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
