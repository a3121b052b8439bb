"""The targets of the fuzzer: each takes any bytes, and raises an error if a promise is broken.

The promises: only the typed errors are raised; every byte of a value comes from the input; a
decoded value does not change when it is encoded and decoded again.
"""

from __future__ import annotations

import gzip
import json
import math
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from eisen_deploy.client import EisenClientError
from eisen_deploy.client._call import reply_decoding
from eisen_deploy.client._http import body_reading
from eisen_deploy.client._http.answers import HTTPAnswer
from eisen_deploy.serving.runtime._shared.archive import eisen_json, zips
from eisen_deploy.serving.runtime._shared.errors import ContractError, CorruptArchive
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime._shared.wire import protocol, strict_json
from eisen_deploy.serving.runtime.answering.bodies import decode as server
from eisen_deploy.serving.runtime.answering.bodies import encode, npy
from eisen_deploy.serving.runtime.errors import ServingError
from eisen_deploy.serving.runtime.messages import Request

METADATA = [
    Metadata.parse({"inputs": [{"name": "x", "type": "ndarray", "shape": [-1, 2]}]}),
    Metadata.parse({"inputs": [{"name": "x", "type": "ndarray[float32]", "finite": True}]}),
    Metadata.parse({"inputs": [{"name": "x", "type": "ndarray[complex64]"}]}),
    *(
        Metadata.parse({"inputs": [{"name": "x", "type": kind}]})
        for kind in ("str", "list", "json", "int", "float", "bool")
    ),
    Metadata.parse({"inputs": [{"name": "x", "type": "ndarray"}, {"name": "y", "type": "json"}]}),
    Metadata.parse({}),
]
_PROTOCOL, _JSON, _NPY = protocol.BINARY_TYPE, protocol.JSON_TYPE, npy.MEDIA_TYPE
#: Ends the JSON part of a body; UTF-8 does not use this byte.
END = b"\xff"
#: The names of the parts of a form.
_NAMES = ["x", "y", "", "z" * 50]


def request(data: bytes) -> None:
    """Decode a request as the handler does: a byte of media type, one of metadata, the body."""
    metadata = METADATA[data[1] % len(METADATA)] if len(data) > 1 else METADATA[0]
    sent = _request(data[0] if data else 0, data[2:])
    call = _same_twice(lambda: server.decode(_fresh(sent), metadata, 2**20), ServingError)
    if call is None or call.inputs is None:
        return
    if sent.form is None:
        packed = {**sent.headers, "content-encoding": "deflate"}
        inflated = server.decode(Request(packed, zlib.compress(bytes(sent.body))), metadata)
        _check(_bits(inflated.inputs) == _bits(call.inputs), "another value if it was compressed")
    _check_encoding(call.inputs)


def _request(kind: int, body: bytes) -> Request:
    head, end, raw = body.partition(END)
    length = {protocol.LENGTH_HEADER.lower(): str(len(head))} if end else {}
    kinds = [(_PROTOCOL, length), (_JSON, {}), (_NPY, {}), ("", {}), ("multipart/form-data", {})]
    media, headers = kinds[kind % len(kinds)]
    headers = {"content-type": media, **headers}
    if media == "multipart/form-data":
        parts = [part for part in body.split(b"\xfe\xfe") if part]
        form = {_NAMES[part[0] % len(_NAMES)]: bytearray(part[1:]) for part in parts}
        return Request(headers, b"", form)
    if kind // len(kinds) % 8 == 7:
        return Request({**headers, "content-encoding": "gzip"}, bytearray(body))
    return Request(headers, bytearray(head + raw if length else body))


def _fresh(sent: Request) -> Request:
    form = None if sent.form is None else {k: bytearray(v) for k, v in sent.form.items()}
    return Request(sent.headers, bytearray(sent.body), form)


def reply(data: bytes) -> None:
    """Decode a reply as the client does; ``END`` ends its JSON part."""
    head, end, raw = data.partition(END)
    headers = {protocol.LENGTH_HEADER: str(len(head))} if end else {}

    def decoded() -> dict[str, Any]:
        return reply_decoding.decode(HTTPAnswer(200, headers, bytearray(head + raw)), None, "1")

    outputs = _same_twice(decoded, EisenClientError)
    if outputs is not None:
        _check_encoding(outputs)


def text(data: bytes) -> None:
    """Read a JSON text; if it is accepted, the value must be that of Python's own parser."""
    try:
        value = strict_json.loads(data, "the text")
    except ContractError:
        return
    _check(repr(json.loads(data.decode("utf-8"))) == repr(value), "another value than Python's")
    again = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    _check(repr(strict_json.loads(again, "the text")) == repr(value), "another value once encoded")


def metadata(data: bytes) -> None:
    """Read metadata, and check a batch against them."""
    try:
        raw = strict_json.loads_object(data, "metadata")
        Metadata.parse(raw).conform({"x": np.zeros((1, 2)), "y": [1, "a"]})
    except ContractError:
        pass


def description(data: bytes) -> None:
    """Read ``eisen.json``, unchanged and with the digest that fits its content."""
    try:
        about = strict_json.loads_object(data, "the file")
    except ContractError:
        about = {}
    fitting = {key: about[key] for key in about.keys() - {"format", "digest"}}
    for raw in (data, eisen_json.encode(fitting)):
        with suppress(CorruptArchive):
            _check(eisen_json.parse(raw).files is not None, "no files")


def archive(data: bytes) -> None:
    """Read a zip file."""
    path = _FOLDER / "archive"
    path.write_bytes(data)
    try:
        for entry in zips.read(path):
            zips.read_file(path, entry, 2**20)
    except CorruptArchive:
        pass


def inflate(data: bytes) -> None:
    """Inflate gzip data; server and client must get the same."""
    data = b"\x1f\x8b" + data  # a server accepts zlib's own format too
    _check(_inflated_by_server(data) == _inflated_by_client(data), "server and client differ")


def _inflated_by_server(data: bytes) -> bytes | None:
    try:
        return bytes(server._decompress(Request({"content-encoding": "gzip"}, data), 2**24).body)
    except ServingError:
        return None


def _inflated_by_client(data: bytes) -> bytes | None:
    pieces = (data[at : at + 100] for at in range(0, len(data), 100))
    try:
        return b"".join(body_reading._inflate(pieces))
    except EisenClientError:
        return None


TARGETS: dict[str, Callable[[bytes], None]] = {
    "request": request,
    "reply": reply,
    "text": text,
    "metadata": metadata,
    "description": description,
    "archive": archive,
    "inflate": inflate,
}

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
_HOLDER = tempfile.TemporaryDirectory(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None)
_FOLDER = Path(_HOLDER.name)


# --- the promises ---------------------------------------------------------------------------


class BrokenPromise(Exception):
    """A target found that a promise is broken."""


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenPromise(otherwise)


def _same_twice(decode: Callable[[], Any], refused: type[Exception]) -> Any:
    """Decode with two fillings of free memory; return the value, or nothing if it is refused."""
    found = []
    for filling in (0xAA, 0x55):
        _fill_free_memory(filling)
        try:
            found.append(decode())
        except refused as error:
            found.append(error)
    one, other = map(_bits, found)
    _check(one == other, "a value that is not of the input alone")
    return None if isinstance(found[0], Exception) else found[0]


def _fill_free_memory(filling: int) -> None:
    held = [np.full(size, filling, np.uint8) for size in (*range(8, 129, 8), 256, 512, 2048, 2**16)]
    del held


def _bits(value: Any) -> Any:
    """Return something that is equal for values that are the same bit for bit."""
    if isinstance(value, np.ndarray):
        items = _bits(value.tolist()) if value.dtype.hasobject else value.tobytes()
        return value.dtype.str, value.shape, items
    if isinstance(value, Mapping):
        return {name: _bits(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_bits(item) for item in value]
    if isinstance(value, server.Call):
        return _bits(vars(value))
    return repr(value)


def _check_encoding(values: Mapping[str, Any]) -> None:
    """Check that values are encoded, and decoded to the same."""
    for value in values.values():
        if isinstance(value, np.ndarray) and not _is_of_protocol(value):
            continue
        for binary in (True, False):
            try:
                body = protocol.encode_request({"x": value}, binary=binary)
            except ContractError as error:
                _check(_may_have_no_form(value, binary=binary), f"no form on the wire: {error}")
                continue
            raw = bytearray(b"".join(body.buffers))
            again = protocol.decode_request(raw, body.json_size).inputs["x"]
            _check(_bits(again) == _bits(value), "another value once encoded")
    with suppress(ServingError, ContractError):
        encode._encode_json(values)


def _is_of_protocol(array: np.ndarray[Any, Any]) -> bool:
    """Whether an array is one of the protocol: those of ``.npy`` files can be more."""
    return array.dtype.kind not in "SU" and array.dtype.char not in "gG"


def _may_have_no_form(value: Any, *, binary: bool) -> bool:
    """Whether a value may be one that JSON has no form for, and with it what is sent in it."""
    if isinstance(value, np.ndarray):
        is_text = value.dtype.hasobject
        return not binary and (is_text or not bool(np.isfinite(value).all()))
    if isinstance(value, (list, dict)):
        items = value if isinstance(value, list) else value.values()
        return any(_may_have_no_form(item, binary=binary) for item in items)
    return isinstance(value, float) and not math.isfinite(value)


# --- where it begins ------------------------------------------------------------------------

#: What the inputs are made of, for the fuzzer to put in.
WORDS = (
    *("inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "binary_data_size"),
    *("binary_data", "binary_data_output", "content_type", "numpy_dtype", "id", "x", "y"),
    *("BOOL", "UINT8", "INT64", "FP16", "FP32", "FP64", "BYTES", "str", "json", "float"),
    *("complex64", "complex128", "type", "ndarray[float16]", "finite", "model_input_list"),
    *("'descr': '<f4'", "'|S0'", "'<U2'", "'fortran_order': False", "'shape': (2, 0)", "'>c8'"),
    *("null", "true", "1e400", "NaN", "-inf", "9007199254740993", "\\ud83d\\ude00", "[[]]"),
)


def seeds(target: str) -> Iterator[bytes]:
    """Yield valid inputs, from which the fuzzer makes its first own ones."""
    values = [{"x": value} for value in _VALUES]
    if target == "request":
        for index, batch in enumerate(values):
            kind = bytes([0, index])
            body = protocol.encode_request(batch, id="1", outputs=["y"])
            yield kind + END.join(map(bytes, (body.buffers[0], b"".join(body.buffers[1:]))))
            whole = protocol.encode_request(batch, binary=False) if index else body
            yield bytes([1, index]) + bytes(whole.buffers[0])
        for array in (np.ones((1, 2)), np.array(["a", "bc"]), np.ones((2, 2), ">f2", order="F")):
            file = b"".join(map(bytes, npy.write(array)))
            yield b"\2\0" + file
            yield b"\4\x09" + b"\xfe\xfe".join([b"\0" + file, b"\1[1, 2]"])
        yield b"\1\x0a" + b'{"x": [[1, 2.5]], "y": {"a": null}}'
        yield b"\x27\0" + gzip.compress(b'{"x": [[1, 2]]}', 9, mtime=0)
    elif target == "reply":
        for batch in values:
            body = protocol.encode_reply(batch, model_name="m", model_version="1", id="1")
            yield END.join(map(bytes, (body.buffers[0], b"".join(body.buffers[1:]))))
    elif target == "archive":
        yield from _archives()
    elif target == "inflate":
        yield gzip.compress(b"abcabcabc", 9, mtime=0)[2:]
    else:
        yield json.dumps(_ABOUT if target == "description" else _METADATA).encode()
        yield '{"a": [1, -0.0, 1e-7, "\u00e9\\ud83d\\ude00"], "b": {"": null}}'.encode()


_VALUES = (
    np.ones((1, 2), np.float32),
    np.array([True]),
    np.array([1 + 2j]),
    np.array(["a", "b"], object),
    "text",
    [1, "a", None],
    {"a": 0.5},
    float("inf"),
)
_METADATA = {
    "inputs": [{"name": "x", "type": "ndarray[float16]", "shape": [-1, 2], "finite": True}],
    "outputs": [{"name": "y", "type": "json"}],
    "model_input_list": ["x"],
}
_ABOUT = {
    "model": {"name": "m", "version": "1.0", "form": "eager", "file": "model.pt"},
    "transforms": {"pre_processing": None, "post_processing": None},
    "handler": None,
    "packed_with": {"python": "3.11.7"},
    "modules": {"nets": {"decision": "captured", "file": "captured_code/nets.py"}},
    "requirements": ["monai==1.6.1"],
    "sample": None,
    "serving": None,
    "batches": {"shared": False, "reason": "none", "tried": 0, "refused": 0},
    "files": {
        name: {"sha256": "0" * 64, "size": 1} for name in ("model.pt", "captured_code/nets.py")
    },
}


def _archives() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "files"
        folder.mkdir()
        for count in range(3):
            path = Path(name) / f"{count}.mar"
            zips.write(folder, path)
            yield path.read_bytes()
            (folder / f"file{count}").write_bytes(b"content")
