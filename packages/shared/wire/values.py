"""One Python value, to and from a tensor of the protocol.

Arrays of the protocol's datatypes are tensors as they are. The rest uses ``parameters``, which
the protocol leaves to its users:

=====================  ========  =======================================  ==================
value                  datatype  parameters                               shape
=====================  ========  =======================================  ==================
complex array          FP32/64   ``numpy_dtype: complex64 | complex128``  its shape, then 2
array of str           BYTES     ``numpy_dtype: str``                     its shape
array of bytes         BYTES                                              its shape
``str``                BYTES     ``content_type: str``                    ``[1]``
NaN, infinite float    BYTES     ``content_type: float``                  ``[1]``
other (list, dict,     BYTES     ``content_type: json``                   ``[1]``
numbers, bool, None)
=====================  ========  =======================================  ==================
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterable

import numpy as np

from ..errors import MalformedBody, UnsupportedValue
from . import strict_json
from .allowance import UNLIMITED, Allowance
from .datatypes import BYTES, COMPLEX_OF_NAME, DATATYPE_OF_NUMPY, Array
from .tensors import Tensor, reshape, to_lists


def to_tensor(name: str, value: object, allowance: Allowance = UNLIMITED) -> Tensor:
    """Return the tensor that carries a value.

    An array is copied only if it is not C-contiguous and little-endian already, or has bools of
    other bytes than 0 and 1.

    :param allowance: what lists of arrays inside lists and dicts may take.
    :raises UnsupportedValue: if the name or the value has no form on the wire.
    :raises BodyTooLarge: if the lists take more than is allowed.
    """
    if not isinstance(name, str) or not name:
        raise UnsupportedValue("a name must be a string that is not empty")
    _encode_utf8("a name", name)
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        return _array_tensor(name, _as_array(name, value))
    if isinstance(value, str):
        return _text_tensor(name, value, "str")
    if isinstance(value, float) and not math.isfinite(value):
        return _text_tensor(name, repr(value), "float")
    try:
        text = json.dumps(
            to_json_value(name, value, allowance), ensure_ascii=False, allow_nan=False
        )
    except ValueError:
        raise UnsupportedValue(
            f"{name}: holds NaN, infinity or a huge integer inside a list or a dict: use an array"
        ) from None
    return _text_tensor(name, text, "json")


def from_tensor(tensor: Tensor, allowance: Allowance = UNLIMITED) -> object:
    """Return the value that a tensor carries.

    :param allowance: what it may take.
    :returns: an array with the tensor's shape, or the Python value that its parameters name.
    :raises MalformedBody: if its parameters and its content do not fit.
    """
    content_type = tensor.parameters.get("content_type")
    if tensor.datatype == BYTES and content_type in ("str", "json", "float"):
        return _read_text(tensor, content_type, allowance)
    name = tensor.parameters.get("numpy_dtype")
    if isinstance(tensor.content, list):
        return _read_bytes(tensor, tensor.content, name, allowance)
    return tensor.content if name is None else _read_complex(tensor, tensor.content, name)


# --- to the wire --------------------------------------------------------------------------


def _as_array(name: str, value: object) -> Array:
    if hasattr(value, "mask") and hasattr(value, "filled"):
        raise UnsupportedValue(
            f"{name}: a masked array would lose its mask: send filled() and mask"
        )
    try:
        return np.asarray(value)
    except Exception as error:  # an unknown class's __array__ may raise anything
        raise UnsupportedValue(
            f"{name}: {type(value).__name__} could not be read as an array ({type(error).__name__})"
        ) from error


def _array_tensor(name: str, array: Array) -> Tensor:
    dtype = array.dtype
    datatype = DATATYPE_OF_NUMPY.get((dtype.kind, dtype.itemsize))
    if datatype is not None:
        return Tensor(name, datatype, array.shape, _contiguous(array))
    if dtype.name in COMPLEX_OF_NAME:
        pairs = _contiguous(array).reshape(-1).view(f"<f{dtype.itemsize // 2}")
        shape = (*array.shape, 2)
        datatype = DATATYPE_OF_NUMPY["f", dtype.itemsize // 2]
        return Tensor(name, datatype, shape, pairs.reshape(shape), {"numpy_dtype": dtype.name})
    return _strings_tensor(name, array)


def _contiguous(array: Array) -> Array:
    # ascontiguousarray alone would give a 0-d array an axis.
    little = array.dtype.newbyteorder("<")
    compact: Array = np.ascontiguousarray(array, dtype=little).reshape(array.shape)
    return normalise_bools(compact)


def normalise_bools(array: Array) -> Array:
    """Return an array whose bools are bytes of 0 and 1; it is copied only if they are not.

    Other bytes come from views, and from libraries that set all bits. To numpy and torch they are
    true, but a decoder has to refuse them: it cannot distinguish them from damage.
    """
    if array.dtype.kind != "b" or not array.size or array.view(np.uint8).max() <= 1:
        return array
    sound: Array = np.asarray(array.view(np.uint8) != 0)
    return sound


def _strings_tensor(name: str, array: Array) -> Tensor:
    items = array.reshape(-1).tolist()
    kinds = set(map(type, items)) or {str if array.dtype.kind in "UT" else bytes}
    if array.dtype.kind in "USO" and kinds == {bytes}:
        return Tensor(name, BYTES, array.shape, items)
    if array.dtype.kind in "UOT" and kinds == {str}:
        content = [_encode_utf8(name, item) for item in items]
        return Tensor(name, BYTES, array.shape, content, {"numpy_dtype": "str"})
    raise UnsupportedValue(
        f"{name}: arrays of {array.dtype} cannot be sent: expected bool, integers and floats of "
        "up to 8 bytes, complex64, complex128, str or bytes"
    )


def _text_tensor(name: str, text: str, content_type: str) -> Tensor:
    return Tensor(name, BYTES, (1,), [_encode_utf8(name, text)], {"content_type": content_type})


def _encode_utf8(name: str, text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise UnsupportedValue(f"{name}: holds half of a surrogate pair") from None


def to_json_value(
    name: str, value: object, allowance: Allowance = UNLIMITED, depth: int = 0
) -> object:
    """Return a value as JSON knows it, arrays as nested lists; one without arrays is not copied.

    :param allowance: what lists of arrays may take, and their text.
    :raises UnsupportedValue: if JSON has no form for it; NaN and infinity are let through.
    :raises BodyTooLarge: if the lists take more than is allowed.
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain_array(name, value, allowance, depth)
    if depth == strict_json.MAX_DEPTH:
        raise UnsupportedValue(f"{name}: nested more than {strict_json.MAX_DEPTH} deep")
    if isinstance(value, (list, tuple)):
        items = [to_json_value(name, item, allowance, depth + 1) for item in value]
        return value if _are_same(items, value) else items
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        items = [to_json_value(name, item, allowance, depth + 1) for item in value.values()]
        return value if _are_same(items, value.values()) else dict(zip(value, items))
    what = "a dict with keys that are not str" if isinstance(value, dict) else type(value).__name__
    raise UnsupportedValue(
        f"{name}: {what} cannot be sent: expected an array, or str, numbers, None, and lists "
        "and dicts of them"
    )


def _are_same(items: Iterable[object], others: Iterable[object]) -> bool:
    return all(map(operator.is_, items, others))


def _plain_array(name: str, array: Array | np.generic, allowance: Allowance, depth: int) -> object:
    dtype = array.dtype
    if dtype.kind in "UT" or (dtype.kind, dtype.itemsize) in DATATYPE_OF_NUMPY:
        return to_lists(np.asarray(array), name, allowance)
    if dtype.kind == "O":
        return to_json_value(name, to_lists(np.asarray(array), name, allowance), allowance, depth)
    # The rest has no form in JSON: tolist gives numpy's own scalars, or drops a unit of time.
    raise UnsupportedValue(f"{name}: {dtype} cannot be sent as JSON")


# --- from the wire ------------------------------------------------------------------------


def _read_text(tensor: Tensor, content_type: str, allowance: Allowance) -> object:
    what = f"{_quote_name(tensor)} ({content_type})"
    if len(tensor.content) != 1:
        raise MalformedBody(f"{what}: expected one element, got {len(tensor.content)}")
    raw = tensor.content[0]
    if content_type == "json":
        return strict_json.loads(raw, what, allowance)
    text = decode_text(raw, what, allowance)
    if content_type == "str":
        return text
    if text not in ("nan", "inf", "-inf"):
        raise MalformedBody(f"{what}: expected nan, inf or -inf")
    return float(text)


def _read_bytes(tensor: Tensor, content: list[bytes], name: object, allowance: Allowance) -> Array:
    if name not in (None, "str"):
        raise MalformedBody(f"{_quote_name(tensor)}: numpy_dtype of BYTES must be 'str'")
    array = np.empty(len(content), dtype=object)
    what = _quote_name(tensor)
    array[:] = [decode_text(item, what, allowance) for item in content] if name else content
    return reshape(array, tensor.shape, what)


def _quote_name(tensor: Tensor) -> str:
    """Return a tensor's name for a message; a long one is cut, since anyone may have chosen it."""
    return f"{tensor.name[:40]!r}"


def decode_text(raw: bytes | bytearray, what: str, allowance: Allowance) -> str:
    """Return UTF-8 as text.

    :raises MalformedBody: if it is not UTF-8.
    :raises BodyTooLarge: if it takes more than is allowed.
    """
    if not raw.isascii():  # one such letter makes all of a text's four times as large
        allowance.take(3 * len(raw), what)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"{what}: is not UTF-8 (byte {error.start})") from None


def _read_complex(tensor: Tensor, content: Array, name: object) -> Array:
    dtype = COMPLEX_OF_NAME.get(name) if isinstance(name, str) else None
    if dtype is None or content.dtype.kind != "f" or content.dtype.itemsize * 2 != dtype.itemsize:
        raise MalformedBody(f"{_quote_name(tensor)}: numpy_dtype does not fit {tensor.datatype}")
    if not tensor.shape or tensor.shape[-1] != 2:
        raise MalformedBody(f"{_quote_name(tensor)}: complex numbers need a last axis of 2")
    flat: Array = content.reshape(-1).view(dtype.newbyteorder("="))
    return flat.reshape(tensor.shape[:-1])
