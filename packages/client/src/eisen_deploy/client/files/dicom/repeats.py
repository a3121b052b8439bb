"""Images of a series that are there several times, and why several lie at one position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
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


def drop_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Return images without those whose files are copies of others, byte for byte, and the copies.

    Files are only compared if they say that they hold the same image.
    """
    uids = Counter(_uid_of(each) for each in slices)
    kept: dict[Any, Slice] = {}
    copies = []
    for each in slices:
        repeated = uids[_uid_of(each)] > 1
        content = sha256(each.path.read_bytes()).digest() if repeated else each.name
        if kept.setdefault(content, each) is not each:
            copies.append(each)
    return list(kept.values()), copies


def _uid_of(each: Slice) -> str:
    return str(each.header.get("SOPInstanceUID", ""))


def explain_repeats(groups: Sequence[Sequence[Slice]], images: int) -> str:
    """Return why a series is no volume.

    :param groups: the images at each position.
    :param images: how many there are.
    """
    several = (group for group in groups if len(group) > 1)
    repeated = min(several, key=lambda group: group[0].name)
    files = names.name_some([each.name for each in repeated])
    places = "1 position" if len(groups) == 1 else f"{len(groups)} positions"
    return f"holds {images} images at {places}: {_reason(repeated)} ({files})"


def _reason(repeated: Sequence[Slice]) -> str:
    headers = [each.header for each in repeated]
    uids = [str(header.get("SOPInstanceUID", index)) for index, header in enumerate(headers)]
    if len(set(uids)) < len(uids):
        return "some are there several times (one SOPInstanceUID), and differ: keep one of each"
    differing = [name for name in _ATTRIBUTES if _differs(headers, name)][:_MOST]
    if differing:
        return f"several at one position differ in {', '.join(differing)}"
    return "several time points, echoes or reconstructions, or copies"


def _differs(headers: Sequence[Any], keyword: str) -> bool:
    return len({str(header.get(keyword)) for header in headers}) > 1
