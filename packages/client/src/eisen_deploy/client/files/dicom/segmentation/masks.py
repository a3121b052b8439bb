"""The pixels of a segmentation: from a mask of labels, or of channels, to segments."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from eisen_deploy.client.files.content import Array
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.segments import MAX_SEGMENTS


def to_segments(array: Array, described: Collection[int]) -> tuple[Array, list[int]]:
    """Return the pixels of all segments, and what each of them was in the mask.

    :param array: labels (i, j, k), or channels of 0 and 1 (channels, i, j, k).
    :param described: numbers of labels that become segments even where they mark nothing.
    :returns: of labels (images, rows, columns) whose values are the numbers of segments from 1; of
        channels (images, rows, columns, segments) of 0 and 1. And for each segment the label, or
        the number of the channel from 1.
    :raises UnwritableFile: if it is not a mask.
    """
    whole = _to_whole_numbers(array)
    planes = np.ascontiguousarray(np.swapaxes(whole, -1, -3))  # each is read for each segment
    if whole.ndim == 4:
        if whole.size and whole.max() > 1:
            raise UnwritableFile("channels of a DICOM segmentation hold 0 and 1 only")
        return np.moveaxis(planes.astype(np.uint8), 0, 3), list(range(1, len(whole) + 1))
    found = np.zeros(2**16, bool)
    for plane in planes:  # an index takes four times the memory
        found[plane] = True
    found[list(described)] = True
    found[0] = False
    numbers = [int(number) for number in np.flatnonzero(found)] or [1]
    if len(numbers) > MAX_SEGMENTS:
        raise UnwritableFile(f"holds {len(numbers)} labels, at most {MAX_SEGMENTS} make segments")
    renumbered = np.zeros(2**16, np.uint8 if len(numbers) < 2**8 else np.uint16)
    renumbered[numbers] = np.arange(1, len(numbers) + 1)
    return np.stack([renumbered[plane] for plane in planes]), numbers


def _to_whole_numbers(array: Array) -> Array:
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.uint16) if array.dtype.kind in "biuf" else np.empty(0)
    if array.dtype.kind not in "biuf" or not np.array_equal(whole, array):
        raise UnwritableFile(
            "a DICOM segmentation holds whole numbers from 0 to 65535, and the output holds others"
        )
    return whole
