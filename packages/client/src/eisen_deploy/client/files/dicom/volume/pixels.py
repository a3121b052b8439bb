"""The pixels of DICOM images, as the values that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eisen_deploy.client.files.content import Array
from eisen_deploy.client.files.dicom.headers import Slice, check_same, count_bytes, read_image
from eisen_deploy.client.files.dicom.wording import prefix_errors
from eisen_deploy.client.files.errors import UnreadableFile, UnsupportedFile
from eisen_deploy.client.files.libraries import reading

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

_KEPT = ("MONOCHROME1", "MONOCHROME2", "RGB")
#: Without one of these a pixel may mean anything (PS3.3, C.7.6.3).
_NEEDED = (
    "SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation",
    "BitsAllocated", "BitsStored", "HighBit",
)  # fmt: skip
_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64")


def check_values(slices: Sequence[Slice], monochrome1: str | None) -> bool:
    """Check, before pixels are read, that headers say what the values of images are.

    :returns: whether to invert them.
    :raises UnsupportedFile: says which property is not supported.
    """
    for each in slices:
        with prefix_errors(each.name):
            _check_header(each.header)
    colours = ("PhotometricInterpretation", "SamplesPerPixel")
    check_same(slices, colours, "holds images with different photometric interpretations")
    meaning = str(slices[0].header.get("PhotometricInterpretation", ""))
    if meaning == "MONOCHROME1" and monochrome1 is None:
        raise UnsupportedFile(
            "is MONOCHROME1, in which small values are bright: say by --monochrome1 whether to "
            "keep or to invert them, as the model was trained"
        )
    if meaning not in _KEPT:
        raise UnsupportedFile("has colours that are not RGB, from a palette perhaps: convert them")
    return meaning == "MONOCHROME1" and monochrome1 == "invert"


def read(slices: Sequence[Slice], invert: bool) -> Array:
    """Read images, and return them stacked on axis 0: (images, rows, columns[, colours]).

    The type is the smallest of those that hold every value that the headers allow: whole numbers
    where slopes and intercepts are, else float32, float64 for pixels of more than 16 bits. It is
    int16 where that holds every value that there is: CT of 16 bits would be twice as large else.

    :param invert: exchange the smallest and the largest value that can be stored, and so on.
    """
    dtype = _choose_dtype([each.header for each in slices])
    images = (_read_values(each, dtype, invert) for each in slices)
    first = next(images)
    volume = np.empty((len(slices), *first.shape), dtype)
    volume[0] = first
    for index, image in enumerate(images, 1):
        volume[index] = image
    info = np.iinfo(np.int16)
    wide = volume.dtype.kind in "iu" and volume.dtype.itemsize > 2
    narrow = wide and info.min <= volume.min() and volume.max() <= info.max
    return volume.astype(np.int16) if narrow else volume


def _check_header(header: Dataset) -> None:
    if "ModalityLUTSequence" in header:
        raise UnsupportedFile("has its values in a modality look-up table")
    if "DoseGridScaling" in header:
        raise UnsupportedFile("holds doses")
    lacking = [name for name in _NEEDED if not isinstance(header.get(name), (int, str))]
    if lacking:
        raise UnsupportedFile(f"does not say what its pixels are: {', '.join(lacking)} is missing")
    bits = [header[name].value for name in ("BitsAllocated", "BitsStored", "HighBit")]
    if bits[2] != bits[1] - 1 or not 0 < bits[1] <= bits[0]:
        raise UnsupportedFile("has pixels that do not start at the lowest bit")
    _read_rescale(header)


def _read_values(each: Slice, dtype: np.dtype[np.generic], invert: bool) -> Array:
    header = each.header
    with prefix_errors(each.name):
        stored = _read_stored(each.path, header)
    if invert:
        stored = sum(_find_range(header)) - stored.astype(np.int64)
    slope, intercept = _read_rescale(header)
    if (slope, intercept) == (1, 0):
        return stored.astype(dtype)
    if dtype.kind == "f":
        stored = stored * np.float64(slope) + intercept
    else:
        stored = stored.astype(np.int64) * int(slope) + int(intercept)
    return stored.astype(dtype)


def _read_stored(path: Path, header: Dataset) -> Array:
    with reading("DICOM"):
        image = read_image(path)
        _check_length(image)
    syntax = image.file_meta.TransferSyntaxUID
    try:
        with reading("DICOM"):
            stored: Array = image.pixel_array
    except UnreadableFile as error:
        if not syntax.is_compressed:
            raise
        raise UnsupportedFile(
            f"is compressed as {syntax.name} and cannot be decoded: it is damaged, or a decoder is "
            "missing: pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        ) from error
    unused = 8 * stored.dtype.itemsize - header.BitsStored
    if unused > 0 and stored.dtype.kind in "iu":  # others may be in them; pydicom 3 drops them too
        stored = (stored << unused) >> unused
    return stored


def _check_length(image: FileDataset) -> None:
    """Check that there are pixels, as many as the header says."""
    if "FloatPixelData" in image or "DoubleFloatPixelData" in image:
        raise UnsupportedFile("has pixels that are floating-point numbers")
    if "PixelData" not in image:
        raise UnreadableFile("has no pixels: it is cut off, or was stored without them")
    if image.file_meta.TransferSyntaxUID.is_compressed:
        return
    needed, there = count_bytes(image), len(image.PixelData)
    if there < needed:
        raise UnreadableFile(f"is cut off: {there} of the {needed} bytes of its pixels are there")
    if there >= 2 * needed:
        raise UnsupportedFile("has the pixels of several images, and says that it is one")


def _read_rescale(header: Dataset) -> tuple[float, float]:
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    try:
        slope = 1.0 if slope is None else float(slope)
        intercept = 0.0 if intercept is None else float(intercept)
    except (TypeError, ValueError):
        slope = intercept = 0.0
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise UnsupportedFile(
            "has a rescale slope of 0, or a slope or intercept that is not a number"
        )
    return slope, intercept


def _find_range(header: Dataset) -> tuple[int, int]:
    bits = int(header.BitsStored)
    if header.get("PixelRepresentation", 0):
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def _choose_dtype(headers: Sequence[Dataset]) -> np.dtype[np.generic]:
    rescales = [_read_rescale(header) for header in headers]
    if not all(number.is_integer() for rescale in rescales for number in rescale):
        wide = any(header.BitsStored > 16 for header in headers)
        return np.dtype(np.float64 if wide else np.float32)
    ends = [
        slope * end + intercept
        for header, (slope, intercept) in zip(headers, rescales)
        for end in _find_range(header)
    ]
    for name in _TYPES:
        info = np.iinfo(name)
        if info.min <= min(ends) and max(ends) <= info.max:
            return np.dtype(name)
    return np.dtype(np.float64)
