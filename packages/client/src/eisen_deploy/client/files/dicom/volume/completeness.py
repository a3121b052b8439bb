"""What headers show about images that are not there, or that lie at one position.

Gaps between images are seen in the positions, and refused. A missing end, or each second image that
is missing, is seen only where the headers count the images. They do not always mean this series, so
it is a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eisen_deploy.client.files.dicom.headers import Slice, read_private
from eisen_deploy.client.files.dicom.wording import count_images, name_images

if TYPE_CHECKING:
    from pydicom import Dataset

#: How many images there are: in the acquisition, in the series, in the volume of a PET.
_COUNTS = ("ImagesInAcquisition", "NumberOfSeriesRelatedInstances", "NumberOfSlices")
#: The same, of GE and Philips.
_PRIVATE_COUNTS = (
    (0x0021, "GEMS_RELA_01", 0x4F),
    (0x0025, "GEMS_SERS_01", 0x07),
    (0x2001, "Philips Imaging DD 001", 0x18),
)
#: What may differ between images at one position, the most telling first.
_ATTRIBUTES = (
    "TemporalPositionIdentifier", "TriggerTime", "NominalPercentageOfCardiacPhase",
    "EchoNumbers", "EchoTime", "DiffusionBValue", "DiffusionGradientOrientation",
    "InversionTime", "RepetitionTime", "FlipAngle", "FrameReferenceTime", "ImageType",
    "ConvolutionKernel", "KVP", "ReconstructionDiameter", "AcquisitionNumber",
    "AcquisitionTime", "ContentTime",
)  # fmt: skip
_MOST = 3


def remark_missing(ordered: Sequence[Dataset], beside: Sequence[Dataset]) -> Iterator[str]:
    """Yield sentences about images that may be missing, and no positions show it.

    :param ordered: headers of the images in their order along the normal.
    :param beside: headers of further images of the series, which were set aside.
    """
    here = len(ordered) + len(beside)
    counted = max(count for header in (ordered[0], ordered[-1]) for count in _find_counts(header))
    if counted > here:
        yield (
            f"the headers count {count_images(counted)} and there {'is' if here == 1 else 'are'} "
            f"{here}: images at an end may be missing"
        )
    numbers = [_read_number(header, "InstanceNumber") for header in ordered]
    taken = {_read_number(header, "InstanceNumber") for header in beside}
    step, first, last = _find_step(numbers), min(numbers), max(numbers)
    if step and any(number not in taken for number in range(first - step, 0, -step)):
        yield f"the image numbers begin at {first}: images before may be missing"
    between = sum(first < number < last for number in taken.difference(numbers))
    if between < last - first + 1 - len(numbers) and step:
        yield f"the image numbers go up by {step}: images between may be missing"


def explain_repeats(groups: Sequence[Sequence[Slice]]) -> str:
    """Return why a series is not a volume.

    :param groups: the images at each position.
    """
    several = (group for group in groups if len(group) > 1)
    repeated = min(several, key=lambda group: group[0].name)
    places = "1 position" if len(groups) == 1 else f"{len(groups)} positions"
    reason = _find_reason(repeated)
    images = sum(map(len, groups))
    return f"holds {images} images at {places}: {reason} ({name_images(repeated)})"


def _find_step(numbers: Sequence[int]) -> int:
    """Return by how much numbers go up or down along the normal; 0 if that is not even."""
    steps = {int(step) for step in np.diff(numbers)}
    return abs(steps.pop()) if len(steps) == 1 else 0


def _find_counts(header: Dataset) -> Iterator[int]:
    for keyword in _COUNTS:
        yield _read_number(header, keyword)
    for attribute in _PRIVATE_COUNTS:
        yield _read_number({"count": read_private(header, *attribute)}, "count")


def _read_number(header: Dataset | dict[str, Any], keyword: str) -> int:
    """Return a whole number of a header; 0 if it is missing, for nothing depends on it."""
    try:
        return int(header.get(keyword, 0))
    except Exception:  # noqa: BLE001 - pydicom raises many
        return 0


def _find_reason(repeated: Sequence[Slice]) -> str:
    headers = [each.header for each in repeated]
    uids = {str(header.get("SOPInstanceUID", index)) for index, header in enumerate(headers)}
    if len(uids) < len(headers):
        return "some are there several times (one SOPInstanceUID), and differ: keep one of each"
    values = {name: {str(header.get(name)) for header in headers} for name in _ATTRIBUTES}
    differing = [name for name in _ATTRIBUTES if len(values[name]) > 1]
    if differing:
        return f"several at one position differ in {', '.join(differing[:_MOST])}"
    return "several time points, echoes or reconstructions, or copies"
