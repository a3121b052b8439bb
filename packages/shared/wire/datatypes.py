"""The closed tables of element types.

Names from the wire are looked up here and never handed to :class:`numpy.dtype`, which would
read structures, objects and addresses out of a string.
"""

from __future__ import annotations

from typing import Any

import numpy as np

DType = np.dtype[np.generic]
Array = np.ndarray[Any, DType]  # NDArray, without importing numpy.typing

#: Fixed-size datatypes of the Open Inference Protocol, little-endian as the protocol says.
NUMPY_OF_DATATYPE: dict[str, DType] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}

#: The one datatype whose elements vary in size: a uint32 length, then that many bytes.
BYTES = "BYTES"

DATATYPE_OF_NUMPY: dict[tuple[str, int], str] = {
    (dtype.kind, dtype.itemsize): name for name, dtype in NUMPY_OF_DATATYPE.items()
}

#: Complex types travel as their real and imaginary parts, on a last axis of 2.
COMPLEX_OF_NAME: dict[str, DType] = {"complex64": np.dtype("<c8"), "complex128": np.dtype("<c16")}

#: Element types that a metadata type string such as ``ndarray[int64]`` can ask for.
NUMPY_OF_NAME: dict[str, DType] = {
    dtype.name: dtype.newbyteorder("=")
    for dtype in [*NUMPY_OF_DATATYPE.values(), *COMPLEX_OF_NAME.values()]
}

#: No larger rank is decoded: numpy 2 holds 64 axes.
MAX_RANK = 64


def exact_integers(dtype: DType) -> tuple[int, int]:
    """Return the ends of the range of integers that a type of numbers holds exactly."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype.str)
        return int(info.min), int(info.max)
    end = 2 ** (int(np.finfo(dtype.str).nmant) + 1)
    return -end, end
