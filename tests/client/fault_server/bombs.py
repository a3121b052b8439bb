"""Replies that are larger than they look, or than they may be."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from itertools import chain, repeat
from typing import NamedTuple

from eisen_deploy.client import (
    DeadlineExceeded,
    MalformedReply,
    Redirected,
    ReplyTooLarge,
    RequestTooLarge,
    ServerFailed,
)
from eisen_deploy.client._call.reply_decoding import MAX_METADATA, MAX_OBJECTS

from .bodies import body
from .cases import BINARY, Expected, raw, reply

MIB = 2**20
#: The client's ``max_reply``.
CAP = 16 * MIB
_CHUNKED = {"Transfer-Encoding": "chunked"}
_JSON_CAP = 8 * MIB


class Bomb(NamedTuple):
    """One reply.

    :param pieces: its bytes; they may be without end.
    """

    pieces: Iterable[bytes]
    expected: Expected | None
    method: str = "predict"


def bombs() -> dict[str, Bomb]:
    """Return each reply by its name, which is the model asked for it."""
    return {**_endless(), **_packed(), **_heads(), **_json(), **_strings()}


def _chunks(size: int, content: bytes = b" ") -> Iterator[bytes]:
    piece = b"%x\r\n%b\r\n" % (size, content * size)
    return repeat(piece * max(1, 65536 // size))


def _endless() -> dict[str, Bomb]:
    megabyte = b" " * MIB
    huge = {"Content-Length": "1" + "0" * 15}

    def endless(head: bytes, pieces: Iterable[bytes] | None = None) -> Iterator[bytes]:
        return chain([head], repeat(megabyte) if pieces is None else pieces)

    return {
        "announced": Bomb(endless(raw(huge, b"")), ReplyTooLarge),
        "not-announced": Bomb(endless(raw({}, b"")), ReplyTooLarge),
        "chunks-of-a-megabyte": Bomb(endless(raw(_CHUNKED, b""), _chunks(MIB)), ReplyTooLarge),
        "chunks-of-256": Bomb(endless(raw(_CHUNKED, b""), _chunks(256)), ReplyTooLarge),
        "one-chunk": Bomb(endless(raw(_CHUNKED, b"fffffffffff\r\n")), ReplyTooLarge),
        "chunks-of-1": Bomb(endless(raw(_CHUNKED, b""), _chunks(1)), DeadlineExceeded),
        "negative-chunk": Bomb(endless(raw(_CHUNKED, b"-1\r\n")), MalformedReply),
        "metadata": Bomb(endless(raw({}, b"")), ReplyTooLarge, "get_metadata"),
        "as-large-as-allowed": Bomb(
            [raw({"Content-Length": str(CAP)}, b""), *[megabyte] * 16], MalformedReply
        ),
        "metadata-as-large-as-allowed": Bomb(
            [raw({"Content-Length": str(CAP)}, b""), *[megabyte] * 16],
            MalformedReply,
            "get_metadata",
        ),
        "error": Bomb(endless(raw({}, b"", 500)), ServerFailed),
        "error-announced": Bomb(endless(raw(huge, b"", 500)), ServerFailed),
        "error-in-chunks": Bomb(endless(raw(_CHUNKED, b"", 500), _chunks(MIB)), ServerFailed),
        "too-large": Bomb(endless(raw({}, b"", 413)), RequestTooLarge),
        "redirect": Bomb(endless(raw({"Location": "/"}, b"", 302)), Redirected),
        "trailers": Bomb(
            endless(raw(_CHUNKED, b"0\r\n"), repeat((b"X: " + b"x" * 60000 + b"\r\n") * 16)),
            DeadlineExceeded,
        ),
        "go-on": Bomb(
            endless(b"", repeat(b"HTTP/1.1 100 x\r\n" + b"X: y\r\n" * 90 + b"\r\n")),
            DeadlineExceeded,
        ),
    }


def _packed() -> dict[str, Bomb]:
    bomb = gzip.compress(bytes(256 * MIB), 1)
    gzipped = {**BINARY, "Content-Encoding": "gzip"}
    return {
        "gzip": Bomb([reply(200, gzipped, bomb)], ReplyTooLarge),
        "gzip-of-metadata": Bomb([reply(200, gzipped, bomb)], ReplyTooLarge, "get_metadata"),
        "gzip-in-chunks": Bomb(
            chain([raw({**gzipped, **_CHUNKED}, b"")], _chunks(MIB)), MalformedReply
        ),
        "gzip-of-an-error": Bomb([reply(500, gzipped, bomb)], ServerFailed),
        "gzip-of-a-redirect": Bomb([reply(302, {**gzipped, "Location": "/"}, bomb)], Redirected),
        "gzip-not-told": Bomb([reply(200, BINARY, bomb)], MalformedReply),
    }


def _heads() -> dict[str, Bomb]:
    large = (b"X: " + b"x" * 60000 + b"\r\n") * 98
    line = b"X: " + b"x" * MIB
    return {
        "headers": Bomb([b"HTTP/1.1 200 x\r\n" + large + b"\r\n{}"], MalformedReply),
        "an-endless-header": Bomb(chain([b"HTTP/1.1 200 x\r\n"], repeat(line)), MalformedReply),
        "endless-headers": Bomb(chain([b"HTTP/1.1 200 x\r\n"], repeat(large)), MalformedReply),
        "an-endless-status": Bomb(repeat(b"x" * MIB), MalformedReply),
        "an-endless-location": Bomb(
            [b"HTTP/1.1 302 x\r\n" + b"Location: " + b"x" * 65000 + b"\r\n\r\n"], Redirected
        ),
    }


def _fill(item: bytes, values: int | None = None) -> bytes:
    """Return a JSON list of so many of an item, or as many as 8 MiB hold."""
    count = (_JSON_CAP - 400) // (len(item) + 1) if values is None else values
    return b"[" + b",".join([item] * count) + b"]"


#: An item of a list, and the memory that one counts as, the comma and its bytes with it.
_ITEMS = {
    "lists": (b"[]", 203),
    "objects": (b"{}", 123),
    "floats": (b"1.5", 44),
    "texts": (b'"ab"', 109),
}
_ELEMENT = 136  # of BYTES
_ROOM = 20_000


def _json() -> dict[str, Bomb]:
    found = {}
    for name, (item, memory) in _ITEMS.items():
        most = (MAX_OBJECTS - _ROOM) // memory
        metadata = (MAX_METADATA - _ROOM) // memory
        for what, filled, told, expected in (
            (name, _fill(item), _fill(item), MalformedReply),
            (f"many-{name}", _fill(item, most), _fill(item, metadata), None),
        ):
            head = b'{"outputs": [], "more": ' + filled + b"}"
            found[f"reply-of-{what}"] = Bomb([body(head, b"")], expected)
            answer = reply(200, {}, b'{"more": ' + told + b"}")
            found[f"metadata-of-{what}"] = Bomb([answer], expected, "get_metadata")
            found[f"json-of-{what}"] = Bomb([_json_tensors(filled, 1)], expected)
    nested = _fill(b"[" * 30 + b"]" * 30, (MAX_OBJECTS - _ROOM) // (30 * 162 + 41))
    found["json-of-nested-lists"] = Bomb([_json_tensors(nested, 1)], None)
    half = _fill(b"[]", MAX_OBJECTS // 2 // 203)
    found["json-in-bytes"] = Bomb([_json_tensors(half, 2)], MalformedReply)
    errors = _fill(b"[]")[: 255 * 1024 - 30] + b"[]]"
    found["error-of-lists"] = Bomb([reply(500, {}, b'{"more": ' + errors + b"}")], ServerFailed)
    return found


def _json_tensors(text: bytes, count: int) -> bytes:
    tensor = len(text).to_bytes(4, "little") + text
    told = {"binary_data_size": len(tensor), "content_type": "json"}
    entries = [
        {"name": f"y{i}", "shape": [1], "datatype": "BYTES", "parameters": told}
        for i in range(count)
    ]
    return body(json.dumps({"outputs": entries}).encode(), tensor * count)


def _strings() -> dict[str, Bomb]:
    found = {}
    for name, element, parameters in (
        ("empty", b"\x00" * 4, {}),
        ("short", b"\x02\x00\x00\x00ab", {}),
        ("short-text", b"\x02\x00\x00\x00ab", {"numpy_dtype": "str"}),
    ):
        for what, count, expected in (
            (name, (CAP - 4096) // len(element), MalformedReply),
            (f"many-{name}", (MAX_OBJECTS - _ROOM) // _ELEMENT, None),
        ):
            told = {"binary_data_size": count * len(element), **parameters}
            entry = {"name": "y", "shape": [count], "datatype": "BYTES", "parameters": told}
            found[f"{what}-bytes"] = Bomb([body({"outputs": [entry]}, element * count)], expected)
    return found
