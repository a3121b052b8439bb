"""Values that are no arrays, read as the metadata declares them.

Other clients than ours know only tensors, so an array of strings may stand for each of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import strictjson
from .datatypes import Array
from .errors import ContractError, InvalidInput


def conform_plain(kind: str, name: str, value: Any) -> Any:
    """Return a value as one of a declared kind, converted where that loses nothing.

    :param kind: ``str``, ``list``, ``json``, ``int``, ``float`` or ``bool``.
    :raises InvalidInput: if it is not of that kind.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = _from_array(kind, name, value)
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
        raise InvalidInput(f"{name}: expected {kind}, came {type(value).__name__}")
    try:
        return float(value) if kind == "float" else value
    except OverflowError:
        raise InvalidInput(f"{name}: holds a number out of the range of a double") from None


def _from_array(kind: str, name: str, array: Array) -> Any:
    """Read an array where a plain value is declared: other clients know only tensors."""
    items = array.reshape(-1).tolist()
    try:
        items = [item.decode("utf-8") if type(item) is bytes else item for item in items]
    except UnicodeDecodeError:
        raise InvalidInput(f"{name}: expected {kind}, came bytes that are not UTF-8") from None
    if kind == "list" or len(items) != 1:
        decoded = np.empty(len(items), dtype=object)
        for index, item in enumerate(items):  # one by one: numpy would take lists apart
            decoded[index] = item
        is_text = kind == "str" and all(type(item) is str for item in items)
        whole = decoded.reshape(array.shape)
        return whole if is_text else whole.tolist()
    if kind == "json" and type(items[0]) is str:
        try:
            return strictjson.loads(items[0].encode("utf-8"), name)
        except ContractError as error:
            raise InvalidInput(error.problems) from None
    return items[0]
