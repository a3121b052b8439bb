"""Messages of the Open Inference Protocol to buffers that are sent one after the other.

The JSON part is padded so that the first tensor is aligned, and tensors are listed by falling item
size so that the others are too: a decoder then needs no copy.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

from ..errors import UnsupportedValue
from . import tensors, values
from .allowance import UNLIMITED, Allowance
from .datatypes import BYTES, NUMPY_OF_DATATYPE
from .messages import Body
from .tensors import Tensor

_ALIGNMENT = 64


def encode_request(
    inputs: Mapping[str, object],
    *,
    id: str | None = None,  # noqa: A002 - the protocol's own name
    outputs: Iterable[str] | None = None,
    binary: bool = True,
) -> Body:
    """Encode a request; with ``binary`` the tensors travel raw, and the reply's shall too.

    :raises UnsupportedValue: if a value has no form on the wire.
    """
    head: dict[str, object] = {} if id is None else {"id": id}
    if binary:
        head["parameters"] = {"binary_data_output": True}
    if outputs is not None:
        head["outputs"] = [{"name": name} for name in outputs]
    return _encode(head, "inputs", inputs, None if binary else ())


def encode_reply(
    outputs: Mapping[str, object],
    *,
    model_name: str,
    model_version: str,
    id: str | None = None,  # noqa: A002
    binary: Collection[str] | None = None,
    allowance: Allowance = UNLIMITED,
) -> Body:
    """Encode a reply with the outputs named in ``binary`` raw (``None``: all of them).

    :param allowance: what those may take that are not raw.
    :raises UnsupportedValue: if a value has no form on the wire.
    :raises BodyTooLarge: if they take more than is allowed.
    """
    head: dict[str, object] = {"model_name": model_name, "model_version": model_version}
    if id is not None:
        head["id"] = id
    return _encode(head, "outputs", outputs, binary, allowance)


def _encode(
    head: dict[str, object],
    key: str,
    named: Mapping[str, object],
    binary: Collection[str] | None,
    allowance: Allowance = UNLIMITED,
) -> Body:
    items = [values.to_tensor(name, value, allowance) for name, value in named.items()]
    if binary is None or any(item.name in binary for item in items):
        items.sort(key=_item_size, reverse=True)
    entries, buffers = [], []
    for item in items:
        entry: dict[str, object] = {
            "name": item.name,
            "shape": list(item.shape),
            "datatype": item.datatype,
        }
        parameters = dict(item.parameters)
        if binary is None or item.name in binary:
            raw = tensors.to_binary(item)
            parameters["binary_data_size"] = len(raw)
            buffers.append(raw)
        else:
            entry["data"] = tensors.to_json(item, allowance)
        if parameters:
            entry["parameters"] = parameters
        entries.append(entry)
    try:
        text = json.dumps({**head, key: entries}, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise UnsupportedValue("the JSON part would hold half of a surrogate pair") from None
    if not buffers:
        return Body((text,), None)
    text += b" " * (-len(text) % _ALIGNMENT)
    return Body((text, *buffers), len(text))


def _item_size(tensor: Tensor) -> int:
    return 0 if tensor.datatype == BYTES else NUMPY_OF_DATATYPE[tensor.datatype].itemsize
