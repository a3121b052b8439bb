"""PNG: pictures, (rows, columns) or (channels, rows, columns)."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from .content import Array, Content
from .errors import UnsupportedFile, UnwritableFile
from .extras import reading, require, writing

_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16", "I")
_COLOURS = {3: "RGB", 4: "RGBA"}
_DEPTH, _COLOUR_TYPE = 24, 25  # bytes of IHDR (PNG specification, 11.2.1)


def check_installed() -> None:
    """Raise :class:`MissingExtra` if Pillow is not installed."""
    require("PIL.Image", "png")


def read(path: Path) -> Content:
    """Read a picture with its values as they are: bool, uint8 or uint16.

    :raises UnsupportedFile: if it has a palette, or colours of 16 bits.
    """
    image_of = require("PIL.Image", "png")
    with reading("a PNG file"):
        head = path.open("rb").read(26)
        with image_of.open(path, formats=["PNG"]) as image:
            mode = image.mode
            array = np.array(image) if mode in _MODES else np.empty(0)
    if mode not in _MODES or (head[_DEPTH] == 16 and head[_COLOUR_TYPE] != 0):
        raise UnsupportedFile(
            "has a palette or colours of 16 bits: convert it to grey values or colours of 8 bits"
        )
    if head[_DEPTH] == 16:
        array = array.astype(np.uint16)
    return Content(np.moveaxis(array, 2, 0) if array.ndim == 3 else array, 2)


def write(file: BinaryIO, content: Content) -> None:
    """Write a picture, its values as they are.

    :raises UnwritableFile: if it is no picture, or its values are not whole numbers of 16 bits.
    """
    image_of = require("PIL.Image", "png")
    array = _of_whole_numbers(content.value)
    if array.ndim == 3 and array.shape[0] in _COLOURS and array.dtype == np.uint8:
        array = np.ascontiguousarray(np.moveaxis(array, 0, 2))
    elif array.ndim != 2:
        raise UnwritableFile(
            f"an array of shape {list(array.shape)} is no picture of grey values (rows, columns), "
            "nor of colours of 8 bits (3, rows, columns)"
        )
    with writing("a PNG file"):
        image_of.fromarray(np.ascontiguousarray(array)).save(file, format="PNG")


def _of_whole_numbers(array: Array) -> Array:
    if array.dtype.kind == "b" or array.dtype == np.uint8:
        return array
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if array.dtype.kind not in "iu" or low < 0 or high > np.iinfo(np.uint16).max:
        raise UnwritableFile(
            f"PNG holds whole numbers from 0 to 65535, and came {array.dtype}: use .npy"
        )
    return array.astype(np.uint8 if high <= np.iinfo(np.uint8).max else np.uint16)
