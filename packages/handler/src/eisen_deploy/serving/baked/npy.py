"""Numpy's ``.npy`` format, read from a buffer without a copy and without pickle.

Source: NEP 1, and :mod:`numpy.lib.format`, which parses the header here.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from ._shared import tensors
from .errors import InvalidOutput, MalformedBody

MEDIA_TYPE = "application/x-npy"
_MAX_HEADER = 10_000
_HEADER_READERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


def is_npy(raw: bytes | bytearray) -> bool:
    """Whether a buffer begins as a ``.npy`` file does."""
    return raw[: len(npy_format.MAGIC_PREFIX)] == npy_format.MAGIC_PREFIX


def read(raw: bytes | bytearray, what: str) -> np.ndarray[Any, Any]:
    """Return the array of a ``.npy`` file; a view of ``raw`` where that is writable and aligned.

    :raises MalformedBody: if it is damaged, or holds anything but numbers and strings.
    """
    file = io.BytesIO(memoryview(raw)[: _MAX_HEADER + 12])
    try:
        reader = _HEADER_READERS[npy_format.read_magic(file)]
        shape, is_fortran, dtype = reader(file, max_header_size=_MAX_HEADER)
    except Exception:  # noqa: BLE001 - whatever numpy raises, the header is not one
        raise MalformedBody(f"{what} is not a .npy file of version 1 or 2") from None
    if dtype.kind not in "biufcSU" or dtype.hasobject:
        raise MalformedBody(f"{what}: a .npy file must hold numbers or strings")
    if len(shape) > 64 or any(size < 0 for size in shape):
        raise MalformedBody(f"{what}: the shape in the .npy header is not one")
    return _array(memoryview(raw)[file.tell() :], shape, is_fortran, dtype, what)


def _array(
    raw: memoryview, shape: tuple[int, ...], is_fortran: bool, dtype: np.dtype[Any], what: str
) -> np.ndarray[Any, Any]:
    count = math.prod(shape)
    if len(raw) != count * dtype.itemsize:
        raise MalformedBody(
            f"{what}: {dtype} of shape {list(shape)} takes {count * dtype.itemsize} bytes, "
            f"{len(raw)} came"
        )
    flat = tensors.elements(raw, dtype, count)
    array = tensors.reshape(flat, shape[::-1] if is_fortran else shape, what)
    return array.transpose() if is_fortran else array


def write(array: np.ndarray[Any, Any]) -> tuple[bytes, memoryview]:
    """Return an array as a ``.npy`` file: the header, and the data, shared where contiguous.

    :raises InvalidOutput: if it holds objects.
    """
    if array.dtype.hasobject:
        raise InvalidOutput(f"an array of {array.dtype} has no .npy form")
    about = npy_format.header_data_from_array_1_0(array)
    header = io.BytesIO()
    npy_format.write_array_header_1_0(header, about)
    rows = array.transpose() if about["fortran_order"] else array
    flat = np.ascontiguousarray(rows).reshape(-1)
    # A view as bytes there is not of elements without any, as of an array of empty strings.
    return header.getvalue(), flat.view(np.uint8).data if flat.nbytes else memoryview(b"")
