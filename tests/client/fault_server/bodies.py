"""Replies of the protocol, damaged at every field, and errors that are not what they should be."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from eisen_deploy.client import (
    EisenClientError,
    InvalidInput,
    MalformedReply,
    MalformedRequest,
    ModelFailed,
    ModelNotFound,
    OutOfMemory,
    ProxyFailed,
    RequestRefused,
    RequestTooLarge,
    ServerBusy,
    ServerFailed,
    Unauthorized,
    UnexpectedReply,
    UnsupportedMedia,
)

from .cases import (
    AGAIN,
    BINARY,
    BODY,
    GOOD,
    JSON_SIZE,
    Case,
    Expected,
    Peer,
    Y,
    keeps,
    reply,
    sends,
)

_RAW = Y.tobytes()
_REPLY: dict[str, Any] = {
    "model_name": "seg",
    "model_version": "1.0",
    "outputs": [
        {
            "name": "y",
            "shape": [5],
            "datatype": "FP32",
            "parameters": {"binary_data_size": 20},
        }
    ],
}
_ABSENT = object()
_ANYTHING = [None, True, 0, 5, -1, 2.5, "", "x", [], [[]], {}, {"x": 1}]


def cases() -> Iterator[Case]:
    """Return every case of this module."""
    yield from _bytes()
    yield from _json_sizes()
    yield from _fields()
    yield from _texts()
    yield from _long_names()
    yield from _strings()
    yield from _plain()
    yield from _media()
    yield from _metadata()
    yield from _identities()
    yield from _errors()
    yield from _pages()


def _bytes() -> Iterator[Case]:
    """A byte more or less: the JSON part or what follows has another size than declared."""
    for index in range(len(BODY)):
        less = reply(200, BINARY, BODY[:index] + BODY[index + 1 :])
        yield Case(f"body without byte {index}", sends(less), MalformedReply)
        more = reply(200, BINARY, BODY[:index] + b"x" + BODY[index:])
        yield Case(f"body with a byte before {index}", sends(more), MalformedReply)
    for index in range(JSON_SIZE):
        for byte in (b"\x00", b"\xff", b"\x1f", b'"'):
            if BODY[index : index + 1] != byte:
                changed = reply(200, BINARY, BODY[:index] + byte + BODY[index + 1 :])
                yield Case(f"byte {index} is {byte!r}", sends(changed), MalformedReply)


JSON_SIZES = ["", "0", "-1", "x", "1", "1e2", "0x40", "9" * 18, "9" * 19, "9" * 5000, str(2**63)]


def _json_sizes() -> Iterator[Case]:
    name = "Inference-Header-Content-Length"
    near = [JSON_SIZE + by for by in (-64, -1, 1, 4, 19, 20, 21, 64)]
    listed = [f"+{JSON_SIZE}", f"{JSON_SIZE}.0", f"{JSON_SIZE}, {JSON_SIZE}", f"{JSON_SIZE};x"]
    for text in [*JSON_SIZES, *map(str, near), *listed]:
        answer = reply(200, {**BINARY, name: text}, BODY)
        yield Case(f"JSON size {text[:30]!r} ({len(text)})", sends(answer), MalformedReply)
    answer = reply(200, {"Content-Type": BINARY["Content-Type"]}, BODY)
    yield Case("JSON size absent", sends(answer), MalformedReply)
    doubled = reply(200, BINARY, BODY).replace(b"\r\n", f"\r\n{name}: 5\r\n".encode(), 1)
    yield Case("JSON size twice", sends(doubled), MalformedReply)


def body(head: Any, tensors: bytes = _RAW) -> bytes:
    """Return an answer with a JSON part and the bytes after it."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    headers = {**BINARY, "Inference-Header-Content-Length": str(len(text))}
    return reply(200, headers, text + tensors)


#: By the path to a field: values with which the reply is whole, and such as break it.
FIELDS: dict[tuple[Any, ...], tuple[list[Any], list[Any]]] = {
    ("model_name",): ([_ABSENT, None, "", "x"], [True, 5, 2.5, [], {}]),
    ("model_version",): ([_ABSENT, None, "", "x"], [True, 5, 2.5, [], {}]),
    ("id",): ([_ABSENT, None], [True, 5, 2.5, [], {}, "", "another"]),
    ("parameters",): ([_ABSENT, None, {}, {"x": [1]}], [True, 5, "x", [], [[]]]),
    ("more",): ([*_ANYTHING], []),
    ("outputs",): ([], [_ABSENT, *_ANYTHING, [None], [5], ["y"], [{}]]),
    ("outputs", 0): ([], [*_ANYTHING]),
    ("outputs", 0, "name"): ([], [_ABSENT, None, True, 5, 2.5, "", [], {}, ["y"]]),
    ("outputs", 0, "datatype"): (
        [],
        [_ABSENT, None, True, 5, [], {}, "", "fp32", "FP16", "FP64", "FP8", "BF16", "INT64",
         "UINT8", "BOOL", "BYTES", "float32", "<f4", "O", "V8", "i4,O", "FP32 ", "STRING"],
    ),
    ("outputs", 0, "shape"): (
        [],
        [_ABSENT, None, True, 5, "5", {}, [], ["5"], [5.0], [True], [None], [[5]], [-1], [-5],
         [0], [4], [6], [5, 0], [5, 2], [2**63], [2**32, 2**32], [2**62, 4], [0, 2**63], [10**30],
         [1] * 65, [5, *[1] * 64], [5, -1], [-5, -1]],
    ),
    ("outputs", 0, "parameters"): ([], [_ABSENT, None, True, 5, "x", [], {}, {"x": 1}]),
    ("outputs", 0, "parameters", "binary_data_size"): (
        [],
        [_ABSENT, None, True, "20", 20.0, [], {}, -1, -20, 0, 1, 19, 21, 40, 2**31, 2**63, 10**30],
    ),
    ("outputs", 0, "parameters", "content_type"): ([None, "str", 5], []),
    ("outputs", 0, "parameters", "numpy_dtype"): (
        [None],
        ["complex64", "complex128", "object", "float64", 5, "", [], {}],
    ),
    ("outputs", 0, "parameters", "more"): ([*_ANYTHING], []),
    ("outputs", 0, "data"): ([], [None, [], [0, 1, 2, 3, 4], "x", 5, {}]),
    ("outputs", 0, "more"): ([*_ANYTHING], []),
}  # fmt: skip


def _fields() -> Iterator[Case]:
    for path, (whole, broken) in FIELDS.items():
        for value in whole:
            yield Case(_name(path, value), sends(body(_changed(path, value))), None)
        for value in broken:
            yield Case(_name(path, value), sends(body(_changed(path, value))), MalformedReply)
    entry = _REPLY["outputs"][0]
    for name, entries, tensors in (
        ("one output twice", [entry, entry], _RAW * 2),
        ("one output of two", [entry, {**entry, "name": "z"}], _RAW),
        ("two outputs of one", [entry], _RAW * 2),
        ("no output and bytes", [], _RAW),
        ("no bytes", [entry], b""),
        ("a million outputs", [entry] * 10_000, _RAW),
    ):
        answer = body({**_REPLY, "outputs": entries}, tensors)
        yield Case(f"reply with {name}", sends(answer), MalformedReply)
    wanted = {"outputs": ["y", "z"]}
    yield Case(
        "reply without an output asked for", sends(body(_REPLY)), MalformedReply, call=wanted
    )
    z = {**entry, "name": "z"}
    for names in (["y"], ["z"]):
        answer = body({**_REPLY, "outputs": [entry, z]}, _RAW * 2)
        yield Case(
            f"reply with more than {names}", sends(answer), MalformedReply, call={"outputs": names}
        )
    yield Case("reply with just that", sends(body(_REPLY)), None, call={"outputs": ["y"]})


def _changed(path: tuple[Any, ...], value: Any) -> Any:
    head = copy.deepcopy(_REPLY)
    parent: Any = head
    for key in path[:-1]:
        parent = parent[key]
    if value is _ABSENT:
        parent.pop(path[-1], None)
    else:
        parent[path[-1]] = value
    return head


def _name(path: tuple[Any, ...], value: Any) -> str:
    shown = "absent" if value is _ABSENT else repr(value)
    return f"reply: {'.'.join(map(str, path))} is {shown[:60]} ({len(shown)})"


_WHOLE = json.dumps(_REPLY).encode()
TEXTS: dict[str, tuple[bytes, Expected | None]] = {
    "spaces around": (b" \n\t" + _WHOLE + b"\r\n  ", None),
    "empty": (b"", MalformedReply),
    "spaces": (b"   ", MalformedReply),
    "null": (b"null", MalformedReply),
    "a list": (b"[" + _WHOLE + b"]", MalformedReply),
    "text": (b'"' + b"x" * 100 + b'"', MalformedReply),
    "twice": (_WHOLE * 2, MalformedReply),
    "more after it": (_WHOLE + b"x", MalformedReply),
    "NUL after it": (_WHOLE + b"\x00", MalformedReply),
    "cut off": (_WHOLE[:-1], MalformedReply),
    "a byte order mark": (b"\xef\xbb\xbf" + _WHOLE, MalformedReply),
    "UTF-16": (_WHOLE.decode().encode("utf-16"), MalformedReply),
    "UTF-32": (_WHOLE.decode().encode("utf-32"), MalformedReply),
    "Latin-1": (_WHOLE.replace(b"seg", b"s\xe9g"), MalformedReply),
    "half of a surrogate": (_WHOLE.replace(b"seg", rb"\ud800"), MalformedReply),
    "a control character": (_WHOLE.replace(b"seg", b"\x01"), MalformedReply),
    "single quotes": (_WHOLE.replace(b'"', b"'"), MalformedReply),
    "a comma too many": (_WHOLE.replace(b"]}", b"],}", 1), MalformedReply),
    "a comment": (b"/* x */" + _WHOLE, MalformedReply),
    "NaN": (_WHOLE.replace(b'"1.0"', b"NaN"), MalformedReply),
    "Infinity": (_WHOLE.replace(b'"seg"', b"-Infinity"), MalformedReply),
    "1e400": (_WHOLE.replace(b"{", b'{"more": 1e400, ', 1), MalformedReply),
    "5000 digits": (_WHOLE.replace(b"{", b'{"more": ' + b"1" * 5000 + b", ", 1), MalformedReply),
    "a name twice": (_WHOLE.replace(b"{", b'{"outputs": [], ', 1), MalformedReply),
    "deep": (_WHOLE.replace(b"{", b'{"more": ' + b"[" * 33 + b"]" * 33 + b", ", 1), MalformedReply),
    "very deep": (b"[" * 100_000, MalformedReply),
    "very deep objects": (b'{"a":' * 100_000, MalformedReply),
    "over the cap": (b" " * (8 * 2**20) + _WHOLE, MalformedReply),
    "a page": (b"<html><body>hello</body></html>", MalformedReply),
}  # fmt: skip


def _texts() -> Iterator[Case]:
    for name, (text, expected) in TEXTS.items():
        yield Case(f"JSON part: {name}", sends(body(text)), expected)
        if expected is MalformedReply:
            answer = reply(200, {"Content-Type": "application/json"}, text)
            yield Case(f"metadata: {name}", sends(answer), MalformedReply, batch=None)


def _long_names() -> Iterator[Case]:
    told = {"binary_data_size": 5, "content_type": "json"}
    entry = {"name": "n" * 60_000, "shape": [1], "datatype": "BYTES", "parameters": told}
    answer = body({"outputs": [entry]}, b"\x01\x00\x00\x00]")
    yield Case("a long name of what is not JSON", sends(answer), MalformedReply)


def _output(datatype: str, shape: list[int], tensors: bytes, **parameters: Any) -> bytes:
    told = {"binary_data_size": len(tensors), **parameters}
    entry = {"name": "y", "shape": shape, "datatype": datatype, "parameters": told}
    return body({"outputs": [entry]}, tensors)


def _text(*items: bytes) -> bytes:
    return b"".join(len(item).to_bytes(4, "little") + item for item in items)


STRINGS: dict[str, bytes] = {
    "cut off": _output("BYTES", [1], _text(b"hello")[:-1]),
    "cut in a length": _output("BYTES", [2], _text(b"hello") + b"\x01\x00"),
    "more bytes": _output("BYTES", [1], _text(b"hello") + b"x"),
    "one more": _output("BYTES", [1], _text(b"a", b"b")),
    "one less": _output("BYTES", [2], _text(b"a")),
    "a length past the end": _output("BYTES", [1], b"\xff\xff\xff\xff"),
    "a length of big end": _output("BYTES", [1], b"\x00\x00\x00\x01x"),
    "none where one is due": _output("BYTES", [1], b""),
    "a thousand millions": _output("BYTES", [10**9], _text(b"a")),
    "no shape for text": _output("BYTES", [], _text(b"a"), numpy_dtype=5),
    "text not UTF-8": _output("BYTES", [1], _text(b"\xff"), content_type="str"),
    "texts not UTF-8": _output("BYTES", [1], _text(b"\xff"), numpy_dtype="str"),
    "two texts": _output("BYTES", [2], _text(b"a", b"b"), content_type="str"),
    "JSON that is none": _output("BYTES", [1], _text(b"{"), content_type="json"),
    "JSON with NaN": _output("BYTES", [1], _text(b"NaN"), content_type="json"),
    "deep JSON": _output("BYTES", [1], _text(b"[" * 10**5), content_type="json"),
    "two JSON": _output("BYTES", [2], _text(b"1", b"2"), content_type="json"),
    "a float that is none": _output("BYTES", [1], _text(b"x"), content_type="float"),
    "an unknown dtype": _output("BYTES", [1], _text(b"x"), numpy_dtype="object"),
    "BOOL 2": _output("BOOL", [3], b"\x00\x01\x02"),
    "BOOL 255": _output("BOOL", [1], b"\xff"),
    "complex of three": _output("FP32", [2, 3], bytes(24), numpy_dtype="complex64"),
    "complex of no axis": _output("FP32", [], bytes(4), numpy_dtype="complex64"),
    "complex of the other": _output("FP32", [2, 2], bytes(16), numpy_dtype="complex128"),
    "complex integers": _output("INT32", [2, 2], bytes(16), numpy_dtype="complex64"),
}


def _strings() -> Iterator[Case]:
    for name, answer in STRINGS.items():
        yield Case(f"output: {name}", sends(answer), MalformedReply)


#: The ``datatype``, ``shape`` and ``data`` of an output in JSON that cannot be.
PLAIN: list[tuple[str, Any, Any]] = [
    *(("FP32", [5], data) for data in _ANYTHING),
    *(("FP32", [5], data) for data in ([1, 2, 3, 4], [1] * 6, [[1, 2], [3]], [1, 2, 3, 4, "5"])),
    *(("FP32", [5], data) for data in ([1, 2, 3, 4, None], [1, 2, 3, 4, True], [1, [2], 3, 4, 5])),
    *(("FP32", [1], data) for data in ([1e39], [2**53 + 1], ["NaN"], [{}], [[[]]])),
    ("FP16", [1], [70000.0]),
    ("FP64", [1], [2**60 + 1]),
    ("INT8", [1], [128]),
    ("INT8", [1], [-129]),
    ("INT8", [1], [1.0]),
    ("INT8", [1], [True]),
    ("UINT8", [1], [-1]),
    ("UINT64", [1], [2**64]),
    ("INT64", [1], [2**63]),
    ("BOOL", [1], [1]),
    ("BOOL", [1], ["true"]),
    ("BYTES", [1], [5]),
    ("BYTES", [2], ["a"]),
    ("BYTES", [1], [None]),
    ("FP32", [2, 2], [[1, 2, 3, 4]]),
    ("FP32", [2, 3], [[1, 2], [3, 4], [5, 6]]),
    ("FP32", [2, 2], [[1, 2], [3]]),
]


def _plain() -> Iterator[Case]:
    for datatype, shape, data in PLAIN:
        entry = {"name": "y", "shape": shape, "datatype": datatype, "data": data}
        answer = reply(200, {}, json.dumps({"outputs": [entry]}).encode())
        yield Case(f"data: {datatype} {shape} {data!r}", sends(answer), MalformedReply)
    entry = {"name": "y", "shape": [5], "datatype": "FP32", "data": [0, 1, 2, 3, 4]}
    for given in ({"parameters": None}, {}, {"parameters": {}}):  # KServe writes null
        told = {"outputs": [{**entry, **given}], "model_version": None, "id": None, **given}
        yield Case(f"data: with {given}", sends(reply(200, {}, json.dumps(told).encode())), None)
    for data in ([0, 1, 2, 3, 4], [0.0, 1.0, 2.0, 3.0, 4.0], [0, 1.0, 2, 3e0, 4]):
        entry = {"name": "y", "shape": [5], "datatype": "FP32", "data": data}
        answer = reply(200, {}, json.dumps({"outputs": [entry]}).encode())
        yield Case(f"data: {data!r}", sends(answer), None)


MEDIA: dict[str, Expected | None] = {
    "application/octet-stream": None,
    "application/json": None,
    "": None,
    "x": None,
    "text/plain": None,
    "multipart/form-data": None,
    "text/html": UnexpectedReply,
    "text/html; charset=utf-8": UnexpectedReply,
    "Text/HTML;charset=utf-8": UnexpectedReply,
}


def _media() -> Iterator[Case]:
    for kind, expected in MEDIA.items():
        answer = reply(200, {**BINARY, "Content-Type": kind}, BODY)
        yield Case(f"media type {kind!r}", sends(answer), expected)
    page = b"<!DOCTYPE html><html><title>Log in</title></html>"
    for method, batch in (("predict", {"x": 1}), ("metadata", None)):
        for kind in ("text/html", "text/HTML; charset=x"):
            answer = reply(200, {"Content-Type": kind}, page)
            yield Case(f"page {kind!r} for {method}", sends(answer), UnexpectedReply, batch=batch)
        for kind in ("text/plain", "application/xhtml+xml", "", "application/json"):
            answer = reply(200, {"Content-Type": kind}, page)
            yield Case(f"page {kind!r} for {method}", sends(answer), MalformedReply, batch=batch)


def _metadata() -> Iterator[Case]:
    values: list[Any] = [value for value in _ANYTHING if not isinstance(value, dict)]
    for value in values:
        answer = reply(200, {}, json.dumps(value).encode())
        yield Case(f"metadata: {value!r}", sends(answer), MalformedReply, batch=None)
    for metadata in ({"inputs": 5}, {"inputs": [5]}, {"inputs": [{"name": 5, "type": []}]}):
        script = _tells(reply(200, {}, json.dumps(metadata).encode()))
        client = {"validate_inputs": True}  # by what is not declared, nothing is checked
        yield Case(f"{metadata} to validate by", script, None, 2, -1, client=client)
    for size in (8 * 2**20 + 1, 9 * 2**20):
        answer = reply(200, {}, b'{"x": "' + b"x" * (size - 9) + b'"}')
        yield Case(f"metadata of {size} bytes", sends(answer), MalformedReply, batch=None)


def _tells(metadata: bytes) -> Callable[[Peer], None]:
    """Return a script that answers the first request with the metadata, and others well."""

    def script(peer: Peer) -> None:
        while peer.receive() is not None:
            peer.send(metadata if peer.tally.requests == 1 else GOOD)

    return script


def _identities() -> Iterator[Case]:
    """The reply names its request."""

    def script(id_: str | None) -> Any:
        def answer(peer: Peer) -> None:
            request = peer.receive()
            if request is not None:
                told = (request.decode().id or "") if id_ is None else id_
                peer.send(body({**_REPLY, "id": told}))

        return answer

    yield Case("id of the request", script(None), None)
    for id_ in ("x", "0" * 16, "\u00e9", "null", " "):
        yield Case(f"id {id_!r}", script(id_), MalformedReply)


#: What an error is where only its status can be read.
BY_STATUS: dict[int, Expected] = {
    400: MalformedRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: ModelNotFound,
    405: ModelNotFound,
    407: ProxyFailed,
    408: ServerFailed,
    409: RequestRefused,
    413: RequestTooLarge,
    415: UnsupportedMedia,
    418: RequestRefused,
    422: InvalidInput,
    429: ServerBusy,
    451: RequestRefused,
    500: ServerFailed,
    501: ServerFailed,
    502: ServerFailed,
    503: ServerFailed,
    504: ServerFailed,
    507: OutOfMemory,
    511: ServerFailed,
    599: ServerFailed,
}
#: JSON that says nothing, or not what it should.
SHAPES: list[bytes] = [
    *(json.dumps(value).encode() for value in _ANYTHING),
    b"",
    b"{",
    b'{"type": null, "message": null}',
    b'{"type": 5, "message": 5}',
    b'{"type": ["ModelFailed"], "message": ["x"]}',
    b'{"type": {"x": 1}, "message": {"x": 1}}',
    b'{"type": "", "message": ""}',
    b'{"type": "  ", "message": "\\n"}',
    b'{"type": "Unheard", "message": "' + b"x" * 100_000 + b'"}',
    b'{"type": "' + b"x" * 100_000 + b'"}',
    b'{"message": "\\u0000\\u001b[31m\\u202e\\r\\nx"}',
    b'{"problems": "x"}',
    b'{"problems": [1, null, {}, [], ""]}',
    b'{"problems": {"x": 1}}',
    b'{"code": "x", "message": NaN}',
    b'{"message": "a", "message": "b"}',
    b'{"message": "\\ud800"}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"[" * 50_000,
]


def _errors() -> Iterator[Case]:
    for status, expected in BY_STATUS.items():
        count = AGAIN if expected is ServerBusy else 1
        for index, shape in enumerate(SHAPES):
            answer = reply(status, {"Content-Type": "application/json"}, shape)
            name = f"{status} with {shape[:40]!r} ({index})"
            yield Case(name, keeps(answer), expected, count, -1)
    types: dict[Any, type[EisenClientError]] = {
        "ModelFailed": ModelFailed,
        "InvalidInput": InvalidInput,
        "InvalidKeyException": Unauthorized,
        "ModelNotFoundException": ModelNotFound,
    }
    for type_, kind in types.items():  # the type says more than the status
        for status in (400, 404, 418, 500, 503, 599):
            answer = reply(status, {}, json.dumps({"type": type_, "more": _ANYTHING}).encode())
            yield Case(f"{status} {type_}", sends(answer), kind)
    for count in (0, 1, 100, 5000):
        told = {"type": "InvalidInput", "problems": ["wrong"] * count, "message": "x"}
        answer = reply(422, {}, json.dumps(told).encode())
        yield Case(f"422 with {count} problems", sends(answer), InvalidInput)


_PAGE = b"<html>\r\n<head><title>Bad Gateway</title></head>\r\n<body>nginx</body></html>\r\n"


def _pages() -> Iterator[Case]:
    """Pages of proxies: of all sizes, whole or not."""
    for status, expected in BY_STATUS.items():
        count = AGAIN if expected is ServerBusy else 1
        for name, page in {"a page": _PAGE, "nothing": b"", "a long page": _PAGE * 5000}.items():
            answer = reply(status, {"Content-Type": "text/html"}, page)
            yield Case(f"{status} with {name}", keeps(answer), expected, count, -1)
        answer = reply(status, {"Content-Type": "text/html", "Content-Length": "1" + "0" * 15})
        yield Case(f"{status} with an endless page", keeps(answer), expected, count, -1)
    told = b"upstream connect error or disconnect/reset before headers. reset reason: connection "
    answer = reply(503, {"Content-Type": "text/plain"}, told + b"termination")
    yield Case("503 after the upstream was lost", sends(answer), ServerFailed)
