"""Values other than arrays, read as the metadata declares them.

Clients of other projects know only tensors, so each value may also be an array of strings.
"""

from __future__ import annotations

import numpy as np

from ..errors import BodyTooLarge, ContractError, InvalidInput
from ..wire import strict_json
from ..wire.allowance import UNLIMITED, Allowance
from ..wire.datatypes import Array
from ..wire.tensors import to_lists

#: Types of arrays of numbers that neither JSON nor Python's float holds.
_NO_PLAIN_VALUES = "FDGg"


def conform_plain(kind: str, name: str, value: object, allowance: Allowance = UNLIMITED) -> object:
    """Return a value as one of a declared kind, converted where that loses nothing.

    :param kind: ``str``, ``list``, ``json``, ``int``, ``float`` or ``bool``.
    :param allowance: what the values of an array may take.
    :raises InvalidInput: if it is not of that kind.
    :raises BodyTooLarge: if it takes more than is allowed.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = _read_from_array(kind, name, value, allowance)
    if kind == "json":
        return value
    allowed: dict[str, tuple[type, ...]] = {
        "str": (str, np.ndarray),
        "list": (list, tuple),
        "int": (int,),
        "float": (float, int),
        "bool": (bool,),
    }
    strays = isinstance(value, bool) and kind != "bool"
    texts = kind == "str" and isinstance(value, list) and all(type(v) is str for v in value)
    if strays or not (texts or isinstance(value, allowed[kind])):
        raise InvalidInput(f"{name}: expected {kind}, got {type(value).__name__}")
    if kind == "float" and isinstance(value, (int, float)):
        return _to_double(name, value)
    return value


def _to_double(name: str, value: float) -> float:
    try:
        double = float(value)
    except OverflowError:
        raise InvalidInput(f"{name}: holds a number out of the range of a double") from None
    if isinstance(value, int) and int(double) != value:
        raise InvalidInput(f"{name}: holds an integer that a double does not hold exactly")
    return double


def _read_from_array(kind: str, name: str, array: Array, allowance: Allowance) -> object:
    """Read an array where a plain value is declared."""
    if array.dtype.char in _NO_PLAIN_VALUES:
        raise InvalidInput(f"{name}: expected {kind}, got {array.dtype}")
    if kind in ("int", "float", "bool") and array.size != 1:
        raise InvalidInput(f"{name}: expected {kind}, got list")
    values = [
        _decode_text(kind, name, item, allowance) if type(item) is bytes else item
        for item in to_lists(array.reshape(-1), name, allowance)
    ]
    if kind == "list" or len(values) != 1:
        decoded = np.empty(len(values), dtype=object)
        for index, value in enumerate(values):  # one by one: numpy would take lists apart
            decoded[index] = value
        is_text = kind == "str" and all(type(value) is str for value in values)
        whole = decoded.reshape(array.shape)
        return whole if is_text else to_lists(whole, name, allowance)
    if kind == "json" and type(values[0]) is str:
        try:
            return strict_json.loads(values[0].encode("utf-8"), name, allowance)
        except BodyTooLarge:
            raise
        except UnicodeEncodeError:
            raise InvalidInput(f"{name}: holds half of a surrogate pair") from None
        except ContractError as error:
            raise InvalidInput(error.problems) from None
    return values[0]


def _decode_text(kind: str, name: str, raw: bytes, allowance: Allowance) -> str:
    allowance.take(4 * len(raw), name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(f"{name}: expected {kind}, got bytes that are not UTF-8") from None
