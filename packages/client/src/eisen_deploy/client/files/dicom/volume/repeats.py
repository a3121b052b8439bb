"""Why several images of a series lie at one position."""

from __future__ import annotations

from collections.abc import Sequence

from eisen_deploy.client.files.dicom.headers import Slice
from eisen_deploy.client.files.dicom.wording import name_images

#: What may differ between images at one position, the most telling first.
_ATTRIBUTES = (
    "TemporalPositionIdentifier", "TriggerTime", "NominalPercentageOfCardiacPhase",
    "EchoNumbers", "EchoTime", "DiffusionBValue", "DiffusionGradientOrientation",
    "InversionTime", "RepetitionTime", "FlipAngle", "FrameReferenceTime", "ImageType",
    "ConvolutionKernel", "KVP", "ReconstructionDiameter", "AcquisitionNumber",
    "AcquisitionTime", "ContentTime",
)  # fmt: skip
_MOST = 3


def explain_repeats(groups: Sequence[Sequence[Slice]], images: int) -> str:
    """Return why a series is not a volume.

    :param groups: the images at each position.
    :param images: how many there are.
    """
    several = (group for group in groups if len(group) > 1)
    repeated = min(several, key=lambda group: group[0].name)
    places = "1 position" if len(groups) == 1 else f"{len(groups)} positions"
    reason = _find_reason(repeated)
    return f"holds {images} images at {places}: {reason} ({name_images(repeated)})"


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
