"""Why several images of a series lie at one position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import names
from .headers import Slice

#: What may differ between images at one position, the most telling first.
_ATTRIBUTES = (
    *("TemporalPositionIdentifier", "TriggerTime", "NominalPercentageOfCardiacPhase"),
    *("EchoNumbers", "EchoTime", "DiffusionBValue", "DiffusionGradientOrientation"),
    *("InversionTime", "RepetitionTime", "FlipAngle", "FrameReferenceTime", "ImageType"),
    *("ConvolutionKernel", "KVP", "ReconstructionDiameter", "AcquisitionNumber"),
    *("AcquisitionTime", "ContentTime"),
)
_MOST = 3


def explain_repeats(groups: Sequence[Sequence[Slice]], images: int) -> str:
    """Return why a series is no volume.

    :param groups: the images at each position.
    :param images: how many there are.
    """
    several = (group for group in groups if len(group) > 1)
    repeated = min(several, key=lambda group: group[0].name)
    files = names.name_some([each.name for each in repeated])
    return f"holds {images} images at {len(groups)} positions: {_reason(repeated)} ({files})"


def _reason(repeated: Sequence[Slice]) -> str:
    headers = [each.header for each in repeated]
    uids = [str(header.get("SOPInstanceUID", index)) for index, header in enumerate(headers)]
    if len(set(uids)) < len(uids):
        return "some are there twice"
    differing = [name for name in _ATTRIBUTES if _differs(headers, name)][:_MOST]
    if differing:
        return f"several at one position differ in {', '.join(differing)}"
    return "several time points, echoes or reconstructions, or copies"


def _differs(headers: Sequence[Any], keyword: str) -> bool:
    return len({str(header.get(keyword)) for header in headers}) > 1
