"""Request bodies that ask for far more memory, time or lists than they have bytes.

Each is made by a function of a size in bytes, roughly that of what it is after inflation, for a
model with the inputs :data:`METADATA`. What they ask for is the most that is still read, or more.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from eisen_deploy.serving.runtime._shared.wire import strict_json
from eisen_deploy.serving.runtime._shared.wire.allowance import MAX_OBJECTS, Allowance

METADATA = {
    "inputs": [
        {"name": "image", "type": "ndarray", "shape": [-1, 1, -1]},
        {"name": "spacing", "type": "ndarray"},
        {"name": "options", "type": "json"},
    ],
    "outputs": [
        {"name": "mask", "type": "ndarray"},
        {"name": "spacing", "type": "ndarray"},
        {"name": "options", "type": "json"},
    ],
    "model_input_list": ["image"],
    "model_output_list": ["mask"],
}
IMAGE = np.zeros((1, 1, 4), np.float32)
OCTETS, JSON = "application/octet-stream", "application/json"


class Hostile(NamedTuple):
    """A body, or the parts of a form; and its size after inflation."""

    headers: dict[str, str]
    body: bytes
    parts: dict[str, bytes] | None = None
    inflated: int | None = None

    @property
    def size(self) -> int:
        if self.parts is not None:
            return sum(map(len, self.parts.values()))
        return len(self.body) if self.inflated is None else self.inflated

    def as_sent(self) -> tuple[dict[str, str], bytes]:
        """Return headers and body as a client sends them."""
        if self.parts is None:
            return self.headers, self.body
        head = '--b\r\nContent-Disposition: form-data; name="{}"; filename="f"\r\n\r\n'
        pieces = [head.format(name).encode() + part + b"\r\n" for name, part in self.parts.items()]
        return self.headers, b"".join([*pieces, b"--b--\r\n"])


def plain(text: bytes) -> Hostile:
    return Hostile({"content-type": JSON}, text)


def form(**parts: bytes) -> Hostile:
    return Hostile({"content-type": "multipart/form-data; boundary=b"}, b"", parts)


def tensor(name: str, datatype: str, shape: list[int], raw: bytes | None, **more: Any) -> tuple:
    """Return an entry and its bytes; ``None`` for data in the JSON, which is empty."""
    entry = {"name": name, "datatype": datatype, "shape": shape}
    if raw is None:
        return {**entry, "data": [], "parameters": more}, b""
    return {**entry, "parameters": {"binary_data_size": len(raw), **more}}, raw


def binary(*tensors: tuple, outputs: list[str] | None = None) -> Hostile:
    head: dict[str, Any] = {"inputs": [entry for entry, _ in tensors]}
    if outputs:
        head["outputs"] = [{"name": name} for name in outputs]
    text = json.dumps(head).encode()
    headers = {"content-type": OCTETS, "inference-header-content-length": str(len(text))}
    return Hostile(headers, text + b"".join(raw for _, raw in tensors))


def zipped(plainly: Hostile, coding: str = "gzip") -> Hostile:
    packed = (gzip if coding == "gzip" else zlib).compress(plainly.body, 6)
    headers = {**plainly.headers, "content-encoding": coding}
    return Hostile(headers, packed, None, len(plainly.body))


def npy(descr: str, shape: str, data: bytes = b"", order: bool = False) -> bytes:
    head = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    head = head.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + data


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def whole(*others: tuple) -> tuple:
    """Return the tensors of a request that is right, the last of them replaced by others."""
    named = {entry["name"] for entry, _ in others}
    right = [
        tensor("image", "FP32", [1, 1, 4], IMAGE.tobytes()),
        tensor("spacing", "FP32", [1], b"\0\0\0\0"),
        tensor("options", "BYTES", [1], b"\4\0\0\0null", content_type="json"),
    ]
    return (*[each for each in right if each[0]["name"] not in named], *others)


def _fill(item: bytes, size: int, *, more: bool = False) -> bytes:
    """Return a JSON list of an item of a size, or of the most such items that are read."""
    size = min(size, strict_json.MAX_BYTES - 400)
    sample = Allowance(2**40)
    sample.take_json((item + b",") * 1000, "")
    cost = (2**40 - sample._left) // 1000 + 1
    count = size // (len(item) + 1)
    if not more:
        count = min(count, (MAX_OBJECTS - 100_000) // cost)
    return b"[" + b",".join([item] * max(count, 1)) + b"]"


#: Items of JSON lists.
ITEMS = {
    "digits": b"0",
    "integers": b"300",
    "floats": b"0.5",
    "long-floats": b"0.12345678901234567",
    "lists": b"[]",
    "rows-of-one": b"[0.5]",
    "points": b"[10,20,30]",
    "nested": b"[" * 29 + b"]" * 29,
    "objects": b"{}",
    "objects-of-one": b'{"":0}',
    "texts": b'"ab"',
    "empty-texts": b'""',
    "emoji": '"\U0001f600\U0001f600"'.encode(),
    "escapes": b'"\\ud83d\\ude00"',
    "line-ends": b'"\\n\\n\\n\\n\\n\\n\\n\\n"',
    "almost-long-numbers": b"9" * 199,
    "long-integers": b"9" * 299,
}
#: What makes the parser take its slow way.
PREFIXES = {
    "checked": b'"e999",',
    "paired": b'"\\ud83d\\ude00",',
    "wide": '"\U0001f600",'.encode(),
}


def _texts() -> dict[str, Callable[[int], Hostile]]:
    """Return JSON of each item: as an array, as a value, in BYTES, in a form; too many of them."""
    found: dict[str, Callable[[int], Hostile]] = {}
    makes: dict[str, Callable[[bytes], Hostile]] = {
        "array": lambda text: plain(b'{"image": ' + text + b"}"),
        "value": lambda text: plain(b'{"options": ' + text + b"}"),
        "bytes": lambda text: binary(*whole(_json_tensor("options", text))),
        "part": lambda text: form(options=text),
    }

    def add(kind: str, name: str, head: bytes = b"", *, more: bool = False) -> None:
        found[f"{kind}-of-{'too-many-' if more else ''}{name}"] = lambda size: makes[
            kind.rpartition("-")[2]
        ](b"[" + head + _fill(ITEMS[name], size, more=more)[1:])

    for name in ITEMS:
        add("array", name)
        add("value", name)
        add("value", name, more=True)
    for name in ("digits", "floats"):
        for what, head in PREFIXES.items():
            add(f"{what}-value", name, head)
    for name in ("lists", "objects-of-one"):
        add("bytes", name)
        add("part", name)
    return found


def _json_tensor(name: str, text: bytes) -> tuple:
    return tensor(name, "BYTES", [1], len(text).to_bytes(4, "little") + text, content_type="json")


def _many_json(size: int, name: str) -> Hostile:
    text = _fill(b'{"":0}', min(size, 2**23), more=True)
    count = max(2, size // len(text))
    return binary(*(_json_tensor(name.format(index), text) for index in range(count)))


def _elements(size: int, raw: bytes, **more: Any) -> Hostile:
    count = size // len(raw)
    return binary(*whole(tensor("options", "BYTES", [count], raw * count, **more)))


def _keys(size: int) -> Hostile:
    count = min(size, 2**23 - 400) // 12
    return plain(
        b'{"options": {' + b",".join(b'"%x":0' % (2**20 + i) for i in range(count)) + b"}}"
    )


def _codes(size: int) -> Hostile:
    """Return blocks that each describe a code and use it for nothing."""
    one = zlib.compressobj(9, wbits=-15)
    block = one.compress(b"abcabcdabcdeabcdef" * 4) + one.flush(zlib.Z_FULL_FLUSH)
    packed = b"\x78\x9c" + block * (size // len(block))
    return Hostile({"content-type": OCTETS, "content-encoding": "deflate"}, packed)


def _cast(datatype: str, item: int, name: str = "image") -> Callable[[int], Hostile]:
    def make(size: int) -> Hostile:
        raw = bytes(size // item * item)
        return binary(*whole(tensor(name, datatype, [1, 1, len(raw) // item], raw)))

    return make


def _zero_axis(name: str, datatype: str = "UINT8") -> Callable[[int], Hostile]:
    return lambda _: binary(*whole(tensor(name, datatype, [50_000_000, 1, 0], None)))


def _parts(size: int) -> Hostile:
    head = npy("'<f4'", "(" + "1, " * 60 + ")").ljust(1000)
    return form(**{f"part{index}": head for index in range(max(1, size // 1000))})


def bodies() -> dict[str, Callable[[int], Hostile]]:
    """Return a function from a size to each body, by its name."""
    found = _texts()
    image = {"image": saved(IMAGE), "options": b"null"}
    for descr in ("'|S0'", "'<U0'", "'|V0'", "'S'", "'U'", "[('a', '<f4', (0,))]", "('<f4', (0,))"):
        found[f"npy-{descr}"] = lambda size, d=descr: form(
            **image, spacing=npy(d, f"({min(size, 10**6)},)")
        )
    for order in (False, True):
        found[f"npy-zero-axis-{order}"] = lambda _, o=order: form(
            **image, spacing=npy("'<f4'", "(90000000, 1, 0)", order=o)
        )
    found |= {
        "npy-wide-of-none": lambda _: form(**image, spacing=npy("'<U99999999'", "(0,)")),
        "npy-no-characters": lambda size: form(
            **image, spacing=npy("'<U1'", f"({size // 4},)", b"\xff" * (size // 4 * 4))
        ),
        "npy-bools": lambda size: form(**image, spacing=npy("'|b1'", f"({size},)", b"\2" * size)),
        "npy-short": lambda size: form(**image, spacing=npy("'<f8'", f"({size},)", bytes(9))),
        "npy-swapped": lambda size: form(
            **image, spacing=npy("'>f8'", f"({size // 8},)", bytes(size // 8 * 8))
        ),
        "npy-fortran": lambda size: form(
            **image, spacing=npy("'<f8'", f"({size // 8}, 1)", bytes(size // 8 * 8), order=True)
        ),
        "npy-nested-header": lambda _: form(**image, spacing=npy("(" * 9000 + ")" * 900, "()")),
        "many-parts": _parts,
        "keys": _keys,
        "quotes": lambda size: plain(b'{"image": ' + b'"' * min(size, 2**23 - 20)),
        "brackets": lambda size: plain(b'{"image": ' + b"[" * min(size, 2**23 - 20)),
        "json-of-unknown-inputs": lambda size: zipped(_many_json(size, "unknown{}")),
        "json-of-one-input": lambda size: zipped(_many_json(size, "options")),
        "json-of-every-input": lambda size: binary(
            *(_json_tensor(n, _fill(b"[]", size // 3)) for n in ("image", "spacing", "options"))
        ),
        "empty-elements": lambda size: _elements(size, bytes(4)),
        "empty-texts": lambda size: _elements(size, bytes(4), numpy_dtype="str"),
        "short-elements": lambda size: _elements(size, b"\2\0\0\0ab"),
        "wide-texts": lambda size: _elements(size, b"\4\0\0\0\xf0\x9f\x98\x80", numpy_dtype="str"),
        "one-wide-text": lambda size: binary(
            *whole(
                tensor(
                    *("options", "BYTES", [1]),
                    (size + 4).to_bytes(4, "little") + b"a" * size + "\U0001f600".encode(),
                    content_type="str",
                )
            )
        ),
        "elements-in-json": lambda size: plain(
            b'{"inputs": [{"name": "options", "datatype": "BYTES", "shape": [%d], "data": %b}]}'
            % (text.count(b",") + 1, text)
            if (text := _fill(b'"ab"', size))
            else b""
        ),
        "zero-axis-image": _zero_axis("image"),
        "zero-axis-spacing": _zero_axis("spacing"),
        "zero-axis-value": _zero_axis("options"),
        "zero-axis-text": _zero_axis("options", "BYTES"),
        "zero-axis-unknown": _zero_axis("more"),
        "bytes-as-array": _cast("UINT8", 1),
        "halves-as-array": _cast("FP16", 2),
        "bools-as-array": _cast("BOOL", 1),
        "bytes-as-value": _cast("UINT8", 1, "options"),
        "halves-as-value": _cast("FP16", 2, "options"),
        "thousands-of-tensors": lambda size: binary(
            *(tensor(f"t{i}", "UINT8", [1] * 60, b"\1") for i in range(min(4096, size // 300)))
        ),
        "more-tensors-than-allowed": lambda size: binary(
            *(tensor(f"t{i}", "UINT8", [1], b"\1") for i in range(min(9000, size // 100)))
        ),
        "thousands-of-outputs": lambda size: binary(
            *whole(), outputs=[f"o{index}" for index in range(min(4096, size // 20))]
        ),
        "gzip-of-zeros": lambda size: zipped(Hostile({"content-type": OCTETS}, bytes(size))),
        "deflate-of-spaces": lambda size: zipped(plain(b" " * size), "deflate"),
        "gzip-twice": lambda size: zipped(zipped(plain(b" " * size))),
        "codes-of-nothing": _codes,
    }
    return found
