"""Numpy's ``.npy`` format, read from a buffer without a copy and without pickle.

Source: NEP 1, and :mod:`numpy.lib.format`. Its reader evaluates the header as a Python literal,
which takes milliseconds for a hostile one; here the header is matched by a pattern.
"""

from __future__ import annotations

import io
import math
import re
import sys

import numpy as np
from numpy.lib import format as npy_format

from ..._shared.wire import tensors
from ..._shared.wire.allowance import UNLIMITED, Allowance
from ..._shared.wire.datatypes import MAX_RANK, Array, DType
from ..._shared.wire.values import normalise_bools
from ...errors import InvalidOutput, MalformedBody

MEDIA_TYPE = "application/x-npy"
_MAX_HEADER = 10_000
#: Bytes of the field that holds the header's length, by version.
_LENGTH_SIZES = {b"\x01\x00": 2, b"\x02\x00": 4}
_FIELD = re.compile(
    rb"""\s*(['"])(descr|fortran_order|shape)\1\s*:\s*"""
    rb"""(True|False|\([0-9L,\s]*\)|'[^']{0,20}'|"[^"]{0,20}")\s*(?:,|$)\s*"""
)
#: Python 2 wrote sizes with an L.
_SHAPE = re.compile(rb"\((?:\s*[0-9]{1,19}L?\s*,)*(?:\s*[0-9]{1,19}L?)?\s*\)")
#: Numbers, bools and strings; never objects, structures, dates or raw bytes.
_DTYPE = re.compile(r"[<>=|]?(?:\?|[biufcSU][0-9]{1,9})")


def is_npy(raw: bytes | bytearray) -> bool:
    """Whether a buffer begins as a ``.npy`` file does."""
    return raw[: len(npy_format.MAGIC_PREFIX)] == npy_format.MAGIC_PREFIX


def read(raw: bytes | bytearray, what: str, allowance: Allowance = UNLIMITED) -> Array:
    """Return the array of a ``.npy`` file; a view of ``raw`` where that is writable and aligned.

    :param allowance: what it may take where it is a copy.
    :raises MalformedBody: if it is damaged, or holds anything but numbers and strings.
    """
    shape, is_fortran, dtype, start = _parse_header(raw, what)
    data = memoryview(raw)[start:]
    size = math.prod(shape) * dtype.itemsize
    if len(data) != size:
        raise MalformedBody(
            f"{what}: {dtype} of shape {list(shape)} takes {size} bytes, got {len(data)}"
        )
    if dtype.itemsize > max(len(data), _MAX_HEADER):  # numpy makes room for one even of none
        raise MalformedBody(f"{what}: elements of {dtype} are larger than the file")
    flat = tensors.read_elements(data, dtype, what, allowance)
    if dtype.kind == "U":
        _check_text(flat, what)
    array = tensors.reshape(flat, shape[::-1] if is_fortran else shape, what)
    return array.transpose() if is_fortran else array


def _parse_header(raw: bytes | bytearray, what: str) -> tuple[tuple[int, ...], bool, DType, int]:
    """Return shape, whether the order is Fortran's, dtype, and where the data begin."""
    begin = len(npy_format.MAGIC_PREFIX) + 2
    begin += _LENGTH_SIZES.get(bytes(raw[begin - 2 : begin]), 0)
    length = int.from_bytes(raw[len(npy_format.MAGIC_PREFIX) + 2 : begin], "little")
    end = begin + length
    fields = _parse_fields(bytes(raw[begin:end])) if is_npy(raw) and length <= _MAX_HEADER else {}
    descr, order, axes = map(fields.get, (b"descr", b"fortran_order", b"shape"))
    if not descr or order not in (b"True", b"False") or not axes or not _SHAPE.fullmatch(axes):
        raise MalformedBody(f"{what} is not a .npy file of version 1 or 2")
    shape = tuple(map(int, re.findall(rb"[0-9]+", axes)))
    if len(shape) > MAX_RANK or math.prod(size or 1 for size in shape) >= 2**59:
        raise MalformedBody(f"{what}: the shape in the .npy header is not one")
    return shape, order == b"True", _parse_dtype(descr[1:-1].decode("latin-1"), what), end


def _parse_fields(text: bytes) -> dict[bytes, bytes]:
    """Return the values of a header's dict as they are written; an empty dict for other text."""
    text = text.strip()
    inner = text[1:-1].strip() if text[:1] == b"{" and text[-1:] == b"}" else b""
    fields: dict[bytes, bytes] = {}
    position = 0
    while match := _FIELD.match(inner, position):
        if match[2] in fields:
            return {}
        fields[match[2]] = match[3]
        position = match.end()
    return fields if position == len(inner) else {}


def _parse_dtype(text: str, what: str) -> DType:
    try:
        if _DTYPE.fullmatch(text):
            return np.dtype(text)
    except (TypeError, ValueError):  # there is no such size
        pass
    raise MalformedBody(f"{what}: a .npy file must hold numbers or strings, not {text!r}")


def _check_text(flat: Array, what: str) -> None:
    """Refuse numbers that are not characters: Python cannot hold them, or UTF-8 cannot."""
    codes = flat.view(np.uint32)
    if flat.size and (codes.max() > sys.maxunicode or (codes - 0xD800 < 0x800).any()):
        raise MalformedBody(f"{what}: holds a number that is not a character")


def write(array: Array) -> tuple[bytes, memoryview]:
    """Return an array as a ``.npy`` file: the header, and the data, shared where contiguous.

    :raises InvalidOutput: if it holds objects, or elements without bytes.
    """
    if array.dtype.hasobject or not array.dtype.itemsize:
        raise InvalidOutput(f"an array of {array.dtype} has no .npy form")
    about = npy_format.header_data_from_array_1_0(array)
    header = io.BytesIO()
    npy_format.write_array_header_1_0(header, about)
    rows = array.transpose() if about["fortran_order"] else array
    flat = normalise_bools(np.ascontiguousarray(rows).reshape(-1))
    return header.getvalue(), flat.view(np.uint8).data
