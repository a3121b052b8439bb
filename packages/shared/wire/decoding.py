"""Bodies of the Open Inference Protocol to messages whose arrays are views of the body.

Every size that a body claims is checked with Python's integers before anything is allocated, and
what its values take is counted before they are made.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..errors import InvalidInput, MalformedBody
from . import strict_json, tensors, values
from .allowance import MAX_OBJECTS, Allowance
from .datatypes import BYTES, NUMPY_OF_DATATYPE
from .messages import LENGTH_HEADER, Reply, Request
from .strict_json import name_json_type
from .tensors import Tensor

MAX_TENSORS = 4096
_NOTHING = memoryview(b"")


def decode_request(
    buffer: bytes | bytearray | memoryview,
    json_size: int | None = None,
    *,
    names: Collection[str] | None = None,
    allowance: Allowance | None = None,
) -> Request:
    """Decode a request.

    :param buffer: the whole body; arrays are views of it where it is writable.
    :param json_size: value of the ``Inference-Header-Content-Length`` header, if there was one.
    :param names: the model's inputs; others are not read, and get the value ``None``.
        ``None`` reads all.
    :param allowance: what its values may take; ``None`` for as much as any message.
    :raises MalformedBody: if it is not a request of the protocol.
    :raises BodyTooLarge: if its values take more than is allowed.
    :raises InvalidInput: if two tensors have the same name.
    """
    allowance = allowance or Allowance(arrays=len(buffer))
    head, raw = _split(buffer, json_size, allowance)
    return decode_parsed_request(head, raw, names=names, allowance=allowance)


def is_request(head: Mapping[str, object]) -> bool:
    """Whether a JSON object means to be a request: its ``inputs`` are a list of tensors."""
    inputs = head.get("inputs")
    return isinstance(inputs, list) and all(
        isinstance(entry, dict) and "datatype" in entry for entry in inputs
    )


def decode_parsed_request(
    head: dict[str, object],
    raw: memoryview = _NOTHING,
    *,
    names: Collection[str] | None = None,
    allowance: Allowance | None = None,
) -> Request:
    """Decode a request whose JSON part is parsed already; the rest as of :func:`decode_request`.

    :param raw: the binary part, empty where all tensors are in the JSON.
    """
    inputs = _read_tensors(head, raw, "inputs", allowance or Allowance(), names)
    parameters = _read_parameters(head)
    outputs, binary = _parse_outputs(
        head.get("outputs"), _read_flag(parameters, "binary_data_output")
    )
    return Request(inputs, _read_optional_text(head, "id"), outputs, binary)


def decode_reply(
    buffer: bytes | bytearray | memoryview,
    json_size: int | None = None,
    max_objects: int | None = MAX_OBJECTS,
) -> Reply:
    """Decode a reply; other parameters and errors as of :func:`decode_request`.

    :param max_objects: bytes of memory for everything but arrays of numbers; ``None`` for no limit.
    """
    allowance = Allowance(max_objects, len(buffer))
    head, raw = _split(buffer, json_size, allowance)
    return Reply(
        _read_tensors(head, raw, "outputs", allowance),
        _read_optional_text(head, "model_name") or "",
        _read_optional_text(head, "model_version") or "",
        _read_optional_text(head, "id"),
        _read_parameters(head),
    )


def parse_json_size(text: str | None, body_size: int) -> int | None:
    """Return the value of the ``Inference-Header-Content-Length`` header.

    :raises MalformedBody: if it is not a decimal number from 1 to the size of the body.
    """
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,19}", text) or not 0 < int(text) <= body_size:
        raise MalformedBody(
            f"{LENGTH_HEADER} must be a number from 1 to the size of the body ({body_size})"
        )
    return int(text)


def _split(
    buffer: bytes | bytearray | memoryview, json_size: int | None, allowance: Allowance
) -> tuple[dict[str, object], memoryview]:
    body = memoryview(buffer).cast("B")
    json_size = len(body) if json_size is None else json_size
    if not 0 < json_size <= len(body):
        raise MalformedBody(f"the JSON part has {json_size} bytes, the body {len(body)}")
    head = strict_json.loads_object(body[:json_size], "the JSON part", allowance)
    return head, body[json_size:]


def _read_tensors(
    head: dict[str, object],
    raw: memoryview,
    key: str,
    allowance: Allowance,
    names: Collection[str] | None = None,
) -> dict[str, object]:
    entries = head.get(key)
    if not isinstance(entries, list):
        raise MalformedBody(f"{key!r} must be a list, got {name_json_type(entries)}")
    if len(entries) > MAX_TENSORS:
        raise MalformedBody(f"{len(entries)} {key}, at most {MAX_TENSORS} are read")
    specs = [_Spec.parse(entry, f"{key}[{index}]") for index, entry in enumerate(entries)]
    _check_names(specs, key)
    return _decode_all(specs, raw, allowance, names)


class _Spec(NamedTuple):
    """One tensor as the JSON part announces it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, object]
    size: int | None  # of its raw bytes; None if the data is in the JSON
    data: object

    @classmethod
    def parse(cls, raw: object, what: str) -> _Spec:
        entry = _expect_object(raw, what)
        name, datatype = entry.get("name"), entry.get("datatype")
        if not isinstance(name, str) or not name:
            raise MalformedBody(f"{what}: name must be a string that is not empty")
        if not isinstance(datatype, str) or not (
            datatype == BYTES or datatype in NUMPY_OF_DATATYPE
        ):
            known = ", ".join([*NUMPY_OF_DATATYPE, BYTES])
            raise MalformedBody(f"{what}: datatype must be one of {known}")
        shape = tensors.check_shape(entry.get("shape"), what)
        parameters = _read_parameters(entry, f"{what}: ")
        size = parameters.pop("binary_data_size", None)
        if size is not None and (type(size) is not int or size < 0):
            raise MalformedBody(f"{what}: binary_data_size must be an integer of 0 or more")
        if (size is None) == ("data" not in entry):
            raise MalformedBody(f"{what}: needs either data or binary_data_size")
        return cls(name, datatype, shape, parameters, size, entry.get("data"))


def _check_names(specs: list[_Spec], key: str) -> None:
    names = [spec.name for spec in specs]
    if len(set(names)) < len(names):
        first = {name: i for i, name in reversed(list(enumerate(names)))}
        places = [i for i, name in enumerate(names) if first[name] != i]
        raise InvalidInput([f"{key}[{i}] repeats the name of another one" for i in places[:8]])


def _decode_all(
    specs: list[_Spec], raw: memoryview, allowance: Allowance, names: Collection[str] | None
) -> dict[str, object]:
    announced = sum(spec.size or 0 for spec in specs)
    if announced != len(raw):
        raise MalformedBody(
            f"the JSON part announces {announced} bytes of tensors, {len(raw)} follow it"
        )
    named, position = {}, 0
    for index, spec in enumerate(specs):
        piece = raw[position : position + (spec.size or 0)]
        position += len(piece)
        is_known = names is None or spec.name in names
        named[spec.name] = (
            _decode_tensor(spec, piece, f"tensor {index}", allowance) if is_known else None
        )
    return named


def _decode_tensor(spec: _Spec, piece: memoryview, what: str, allowance: Allowance) -> object:
    if spec.size is None:
        content = tensors.from_json(spec.datatype, spec.shape, spec.data, what, allowance)
    else:
        content = tensors.from_binary(spec.datatype, spec.shape, piece, what, allowance)
    tensor = Tensor(spec.name, spec.datatype, spec.shape, content, spec.parameters)
    return values.from_tensor(tensor, allowance)


def _parse_outputs(
    entries: object, default: bool
) -> tuple[tuple[str, ...] | None, frozenset[str] | None]:
    """Return the outputs asked for and those of them wanted in binary."""
    if entries is None or entries == []:
        return None, None if default else frozenset()
    if not isinstance(entries, list) or len(entries) > MAX_TENSORS:
        raise MalformedBody(f"'outputs' must be a list of at most {MAX_TENSORS}")
    binary: dict[str, bool] = {}
    for index, raw in enumerate(entries):
        entry = _expect_object(raw, f"outputs[{index}]")
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise MalformedBody(f"outputs[{index}]: name must be a string that is not empty")
        if name in binary:
            raise InvalidInput(f"outputs[{index}] repeats the name of another one")
        parameters = _read_parameters(entry, f"outputs[{index}]: ")
        binary[name] = _read_flag(parameters, "binary_data", default)
    return tuple(binary), frozenset(name for name, raw in binary.items() if raw)


def _read_flag(parameters: Mapping[str, object], name: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise MalformedBody(f"{name} must be true or false, got {name_json_type(value)}")
    return value


def _read_parameters(entry: Mapping[str, object], where: str = "") -> dict[str, object]:
    """Return the parameters of an object, none where they are null, which KServe writes."""
    value = entry.get("parameters")
    return {} if value is None else _expect_object(value, f"{where}parameters")


def _expect_object(value: object, what: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise MalformedBody(f"{what} must be an object, got {name_json_type(value)}")
    return value


def _read_optional_text(head: Mapping[str, object], name: str) -> str | None:
    value = head.get(name)
    if value is not None and not isinstance(value, str):
        raise MalformedBody(f"{name!r} must be a string, got {name_json_type(value)}")
    return value
