"""One tensor of the Open Inference Protocol, to and from its bytes or its JSON list.

Source: the protocol's *tensor data* and *binary tensor data extension*. Raw tensors are
little-endian and row-major; an element of BYTES is its length as uint32, then that many bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import MalformedBody, UnsupportedValue
from .allowance import UNLIMITED, Allowance
from .datatypes import BYTES, MAX_RANK, NUMPY_OF_DATATYPE, Array, DType, exact_integers
from .strict_json import name_json_type

_LENGTH = struct.Struct("<I")
_MAX_BYTES = 2**63 - 1
#: Above this, a JSON number may have been rounded: it need not be the integer that was meant.
_EXACT = 2**53


class Tensor(NamedTuple):
    """One named tensor.

    :param content: for BYTES the elements in row-major order; else a C-contiguous array of
        the datatype, little-endian, with the shape ``shape``.
    :param parameters: the sender's parameters of the tensor, without ``binary_data_size``.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: list[bytes] | Array
    parameters: Mapping[str, object] = MappingProxyType({})


def check_shape(shape: object, what: str) -> tuple[int, ...]:
    """Return a shape from the wire as a tuple, or refuse it.

    :raises MalformedBody: if it is not a list of at most 64 integers, each of them 0 or more,
        that spans less than 2^63 bytes even where a 0 among them makes the tensor empty.
    """
    if not isinstance(shape, list):
        raise MalformedBody(f"{what}: shape must be a list, got {name_json_type(shape)}")
    if len(shape) > MAX_RANK:
        raise MalformedBody(f"{what}: shape has {len(shape)} axes, at most {MAX_RANK} are read")
    for axis, size in enumerate(shape):
        if type(size) is not int:
            raise MalformedBody(
                f"{what}: shape[{axis}] must be an integer, got {name_json_type(size)}"
            )
        if size < 0:
            raise MalformedBody(f"{what}: shape[{axis}] must be 0 or more, got {size}")
    if math.prod(size or 1 for size in shape) > _MAX_BYTES // 16:
        raise MalformedBody(f"{what}: shape has more elements than memory has addresses")
    return tuple(shape)


# --- binary -------------------------------------------------------------------------------


def to_binary(tensor: Tensor) -> memoryview:
    """Return the tensor's raw bytes; those of a fixed-size datatype are shared, not copied."""
    if isinstance(tensor.content, np.ndarray):
        return tensor.content.reshape(-1).view(np.uint8).data
    pieces = chain.from_iterable((_LENGTH.pack(len(item)), item) for item in tensor.content)
    return memoryview(b"".join(pieces))


def from_binary(
    datatype: str, shape: tuple[int, ...], raw: memoryview, what: str, allowance: Allowance
) -> list[bytes] | Array:
    """Read a tensor's raw bytes.

    The array is a view of ``raw`` where that is writable and aligned, and otherwise a copy.

    :param raw: exactly the bytes of this tensor, shape (n,), uint8.
    :raises MalformedBody: if the bytes are not those of such a tensor.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        return _split_elements(raw, count, what, allowance)
    dtype = NUMPY_OF_DATATYPE[datatype]
    if len(raw) != count * dtype.itemsize:
        raise MalformedBody(
            f"{what}: {datatype} of shape {list(shape)} takes {count * dtype.itemsize} bytes, "
            f"binary_data_size is {len(raw)}"
        )
    return reshape(read_elements(raw, dtype, what, allowance), shape, what)


def read_elements(raw: memoryview, dtype: DType, what: str, allowance: Allowance) -> Array:
    """Return raw bytes as a flat array, writable, aligned and in this machine's byte order.

    It is a view of ``raw`` where ``raw`` is all of this already, and otherwise a copy. It can hold
    nothing but ``raw``.

    :param raw: as many bytes as some number of elements has.
    :raises MalformedBody: if an element has no bytes, or is a bool that is neither 0 nor 1.
    """
    if not dtype.itemsize:
        raise MalformedBody(f"{what}: elements of {dtype.str} have no bytes")
    array = np.frombuffer(raw, dtype) if len(raw) else np.empty(0, dtype)
    if dtype.kind == "b" and len(raw) and array.view(np.uint8).max() > 1:
        raise MalformedBody(f"{what}: a BOOL is a byte of 0 or 1, got other bytes")
    if array.flags.aligned and array.flags.writeable and array.dtype.isnative:
        return array
    allowance.take_array(len(raw), what, "send it aligned, in little-endian byte order")
    return array.astype(dtype.newbyteorder("="))


def _split_elements(raw: memoryview, count: int, what: str, allowance: Allowance) -> list[bytes]:
    if count * _LENGTH.size > len(raw):
        raise MalformedBody(f"{what}: {count} BYTES elements do not fit into {len(raw)} bytes")
    allowance.take_elements(count, what)
    items, position = [], 0
    for index in range(count):
        start = position + _LENGTH.size
        if start > len(raw):
            raise MalformedBody(f"{what}: the bytes end before BYTES element {index}")
        position = start + _LENGTH.unpack_from(raw, position)[0]
        if position > len(raw):
            raise MalformedBody(f"{what}: BYTES element {index} reaches past the end")
        items.append(bytes(raw[start:position]))
    if position != len(raw):
        raise MalformedBody(f"{what}: {len(raw) - position} bytes follow the last BYTES element")
    return items


def reshape(array: Array, shape: tuple[int, ...], what: str) -> Array:
    """Return the array with another shape of as many elements.

    :raises MalformedBody: if numpy cannot hold the shape.
    """
    try:
        return array.reshape(shape)
    except ValueError:  # numpy 1 holds 32 axes
        raise MalformedBody(f"{what}: numpy cannot hold the shape {list(shape)}") from None


# --- JSON ---------------------------------------------------------------------------------


def to_json(tensor: Tensor, allowance: Allowance = UNLIMITED) -> list[object]:
    """Return the tensor's elements as a flat list for JSON, in row-major order.

    :param allowance: what the list and its text may take.
    :raises UnsupportedValue: for what JSON has no form for: NaN, infinity, bytes not UTF-8.
    :raises BodyTooLarge: if it takes more than is allowed.
    """
    if isinstance(tensor.content, np.ndarray):
        if tensor.content.dtype.kind == "f" and not np.isfinite(tensor.content).all():
            raise UnsupportedValue(
                f"{tensor.name}: holds NaN or infinity, which JSON cannot carry: ask for binary"
            )
        flat: list[object] = to_lists(tensor.content.reshape(-1), tensor.name, allowance)
        return flat
    try:
        return [item.decode("utf-8") for item in tensor.content]
    except UnicodeDecodeError:
        raise UnsupportedValue(
            f"{tensor.name}: holds bytes that are not UTF-8, which JSON cannot carry: "
            "ask for binary"
        ) from None


def to_lists(array: Array, what: str, allowance: Allowance) -> Any:
    """Return an array as nested lists, or as one value, once what they take is allowed.

    :raises BodyTooLarge: if they take more; a list for each row counts even where rows are empty.
    """
    allowance.take_lists(array.shape, _list_element_cost(array.dtype), what)
    return array.tolist()


def _list_element_cost(dtype: DType) -> int:
    """Return bytes of memory of one element in a list, and of its JSON text as str and bytes."""
    if dtype.kind in "biu" and dtype.itemsize == 1:
        return 24  # no object of its own: small integers and bools are there already
    return 96 + (4 * dtype.itemsize if dtype.kind in "SU" else 0)


def from_json(
    datatype: str, shape: tuple[int, ...], data: object, what: str, allowance: Allowance
) -> list[bytes] | Array:
    """Read a tensor's elements from a JSON list, flat or nested as its shape.

    :raises MalformedBody: if they are not elements of that datatype, or not that many.
    """
    flat, nested = flatten(data, what)
    if len(nested) > 1 and nested != shape:
        raise MalformedBody(f"{what}: data is nested as {list(nested)}, not as {list(shape)}")
    count = math.prod(shape)
    if len(flat) != count:
        raise MalformedBody(
            f"{what}: shape {list(shape)} takes {count} elements, data has {len(flat)}"
        )
    if datatype == BYTES:
        _check_types(flat, {str}, datatype, what)
        allowance.take_elements(len(flat), what)
        return [item.encode("utf-8") for item in flat]
    return reshape(_convert_numbers(flat, datatype, what), shape, what)


def flatten(data: object, what: str) -> tuple[list[Any], tuple[int, ...]]:
    """Return the elements of nested lists in row-major order, and the shape of the nesting.

    :raises MalformedBody: if it is not a list, or its lists differ in length or depth.
    """
    if not isinstance(data, list):
        raise MalformedBody(f"{what}: expected a list, got {name_json_type(data)}")
    shape = [len(data)]
    while list in (kinds := set(map(type, data))):
        if len(shape) == MAX_RANK:
            raise MalformedBody(f"{what}: lists are nested more than {MAX_RANK} deep")
        lengths = set(map(len, data)) if len(kinds) == 1 else set()
        if len(lengths) != 1:
            raise MalformedBody(f"{what}: ragged lists at depth {len(shape)}")
        shape.append(lengths.pop())
        data = list(chain.from_iterable(data))
    return data, tuple(shape)


def guess_array(data: object, what: str) -> Array:
    """Read nested JSON lists (or one number) as an array of the type that their elements have.

    :returns: bool, int64 (uint64 above its range), float64, or an object array of str.
    :raises MalformedBody: if they are ragged, of mixed types, or neither number nor string.
    """
    flat, shape = flatten(data, what) if isinstance(data, list) else ([data], ())
    kinds = set(map(type, flat))
    if kinds <= {str} and flat:
        return reshape(np.array(flat, dtype=object), shape, what)
    if kinds == {bool}:
        datatype = "BOOL"
    elif kinds == {int}:
        datatype = "UINT64" if max(flat) >= 2**63 else "INT64"
    else:
        datatype = "FP64"
    return reshape(_convert_numbers(flat, datatype, what), shape, what)


def _convert_numbers(flat: list[Any], datatype: str, what: str) -> Array:
    dtype = NUMPY_OF_DATATYPE[datatype]
    if dtype.kind == "b":
        _check_types(flat, {bool}, datatype, what)
    elif dtype.kind in "iu":
        _check_types(flat, {int}, datatype, what)
        _check_range(flat, *exact_integers(dtype), datatype, what)
    else:
        _check_types(flat, {int, float}, datatype, what)
        integers = [n for n in flat if type(n) is int]
        _check_range(integers, -_EXACT, _EXACT, datatype, what)
    with np.errstate(over="ignore"):
        array = np.array(flat, dtype=dtype.newbyteorder("="))
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise MalformedBody(f"{what}: holds a number out of the range of {datatype}")
    if dtype.kind == "f" and dtype.itemsize < 8:
        _check_exact(integers, dtype, datatype, what)
    return array


def _check_exact(integers: list[int], dtype: DType, datatype: str, what: str) -> None:
    """Refuse integers that a short floating type rounds; all of them are doubles exactly."""
    doubles = np.array(integers, np.float64)
    if (doubles.astype(dtype) != doubles).any():
        raise MalformedBody(f"{what}: holds an integer that {datatype} does not hold exactly")


def _check_types(flat: list[object], allowed: set[type], datatype: str, what: str) -> None:
    for kind in set(map(type, flat)) - allowed:
        example = next(item for item in flat if type(item) is kind)
        raise MalformedBody(f"{what}: {datatype} data holds {name_json_type(example)}")


def _check_range(flat: list[int], low: int, high: int, datatype: str, what: str) -> None:
    if flat and (min(flat) < low or max(flat) > high):
        raise MalformedBody(f"{what}: holds an integer that {datatype} does not hold exactly")
