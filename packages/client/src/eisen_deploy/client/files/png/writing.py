"""Writing pictures to PNG files."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from eisen_deploy.client.files.content import Array
from eisen_deploy.client.files.errors import UnwritableFile
from eisen_deploy.client.files.libraries import require, writing

_COLOURS = (3, 4)  # RGB and RGBA


def write(file: BinaryIO, picture: Array) -> None:
    """Write a picture, its values as they are.

    :param picture: (rows, columns), or colours of 8 bits (channels, rows, columns).
    :raises UnwritableFile: if its values are not whole numbers of 16 bits, or it has other axes.
    """
    array = _to_whole_numbers(picture)
    if not array.size:
        raise UnwritableFile(f"an array of shape {list(array.shape)} has no pixels")
    if array.ndim == 3 and array.shape[0] in _COLOURS and array.dtype == np.uint8:
        array = np.moveaxis(array, 0, 2)
    elif array.ndim != 2:
        raise UnwritableFile(
            f"an array of shape {list(array.shape)} is not a picture of grey values (rows, "
            "columns), or of colours of 8 bits (3, rows, columns)"
        )
    with writing("a PNG file"):
        image = require("PIL.Image", "png").fromarray(np.ascontiguousarray(array))
        image.save(file, format="PNG")


def _to_whole_numbers(array: Array) -> Array:
    if array.dtype.kind == "b" or array.dtype == np.uint8:
        return array
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if array.dtype.kind not in "iu" or low < 0 or high > np.iinfo(np.uint16).max:
        raise UnwritableFile(
            f"PNG holds whole numbers from 0 to 65535, got {array.dtype}: use .npy"
        )
    return array.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)
