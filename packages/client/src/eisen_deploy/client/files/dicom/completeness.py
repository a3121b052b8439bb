"""What headers show about images that are not there.

Gaps between images are seen in the positions, and refused. A missing end, or each second image that
is missing, is seen only where the headers count the images. They do not always mean this series, so
it is a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .headers import read_private
from .names import count_images

#: How many images there are: in the acquisition, in the series, in the volume of a PET.
_COUNTS = ("ImagesInAcquisition", "NumberOfSeriesRelatedInstances", "NumberOfSlices")
#: The same, of GE and Philips.
_PRIVATE_COUNTS = (
    (0x0021, "GEMS_RELA_01", 0x4F),
    (0x0025, "GEMS_SERS_01", 0x07),
    (0x2001, "Philips Imaging DD 001", 0x18),
)


def remark_missing(ordered: Sequence[Any], beside: Sequence[Any]) -> Iterator[str]:
    """Yield sentences about images that may be missing, and no positions show it.

    :param ordered: headers of the images in their order along the normal.
    :param beside: headers of further images of the series, which were set aside.
    """
    here = len(ordered) + len(beside)
    told = max(count for header in (ordered[0], ordered[-1]) for count in _counts(header))
    if told > here:
        yield (
            f"the headers count {count_images(told)} and there {'is' if here == 1 else 'are'} "
            f"{here}: images at an end may be missing"
        )
    numbers = [_whole(header, "InstanceNumber") for header in ordered]
    taken = {_whole(header, "InstanceNumber") for header in beside}
    step, first, last = _find_step(numbers), min(numbers), max(numbers)
    if step and any(number not in taken for number in range(first - step, 0, -step)):
        yield f"the image numbers begin at {first}: images before may be missing"
    between = sum(first < number < last for number in taken.difference(numbers))
    if between < last - first + 1 - len(numbers) and step:
        yield f"the image numbers go up by {step}: images between may be missing"


def _find_step(numbers: Sequence[int]) -> int:
    """Return by how much numbers go up or down along the normal; 0 if that is not even."""
    steps = {int(step) for step in np.diff(numbers)}
    return abs(steps.pop()) if len(steps) == 1 else 0


def _counts(header: Any) -> Iterator[int]:
    for keyword in _COUNTS:
        yield _whole(header, keyword)
    for group, creator, element in _PRIVATE_COUNTS:
        yield _whole({"count": read_private(header, group, creator, element)}, "count")


def _whole(header: Any, keyword: str) -> int:
    """Return a whole number of a header; 0 where there is none, for nothing depends on it."""
    try:
        return int(header.get(keyword))
    except Exception:  # noqa: BLE001 - pydicom raises many
        return 0
