"""A reply's body, decompressed if need be, read into one buffer of a bounded size."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import urllib3

from eisen_deploy.client._errors import MalformedReply, ReplyTooLarge, UnknownOutcome
from eisen_deploy.client._shared.wire.messages import SIZE_HEADER

from .exchange import PIECE, Exchange

#: What ``Accept-Encoding`` may name.
CODING = "gzip"

#: Read at a time from chunks: in chunks of a byte, each is an object meanwhile.
_PIECE_OF_CHUNKS = 2**18


def read_body(
    response: urllib3.BaseHTTPResponse, exchange: Exchange, limit: int
) -> bytearray | memoryview:
    """Read a body.

    :param response: one of which nothing was read yet.
    :param limit: largest body that is read, in bytes, on the line and decompressed.
    :raises ReplyTooLarge: if the body is larger.
    :raises MalformedReply: if its size or its encoding is impossible.
    :raises UnknownOutcome: if the body is shorter than announced.
    """
    headers = response.headers
    coding = _read_coding(headers)
    length = None if "Transfer-Encoding" in headers else _read_number(headers, "Content-Length")
    size = length if coding is None and length is not None else _read_number(headers, SIZE_HEADER)
    exchange.announced = length if coding else size
    for announced in (length, size):
        if announced is not None and announced > limit:
            raise ReplyTooLarge(f"the reply has {announced} bytes, max_reply is {limit}")
    pieces = _read_pieces(response, exchange, length, limit)
    if coding:
        pieces = _inflate(pieces)
    if size is None:
        return _collect(pieces, limit)
    memory = _make_unfilled(size)
    return _fill(pieces, memory) if coding or length is None else _receive(pieces, memory, exchange)


def _read_coding(headers: Mapping[str, str]) -> str | None:
    coding = headers.get("Content-Encoding", "").strip().lower()
    if coding in ("", "identity"):
        return None
    if coding not in (CODING, "x-gzip"):
        raise MalformedReply("the reply is compressed in a way that was not asked for")
    return CODING


def _read_number(headers: Mapping[str, str], name: str) -> int | None:
    if name not in headers:
        return None
    text = headers[name].strip(" \t")
    if not re.fullmatch("[0-9]{1,18}", text):
        raise MalformedReply(f"the reply's {name} is not a number of bytes")
    return int(text)


def _read_pieces(
    response: urllib3.BaseHTTPResponse, exchange: Exchange, length: int | None, limit: int
) -> Iterator[bytes]:
    """Yield the bytes on the line: as many as were announced, or all there are."""
    while length is None or exchange.received < length:
        exchange.check()
        rest = _PIECE_OF_CHUNKS if length is None else min(PIECE, length - exchange.received)
        piece: bytes = response.read(rest, decode_content=False)
        if not piece:
            break
        exchange.received += len(piece)
        if exchange.received > limit:
            raise ReplyTooLarge(f"the reply has more than {limit} bytes, which is max_reply")
        yield piece
    if length is not None and exchange.received < length:
        raise UnknownOutcome(f"the reply ends after {exchange.received} of {length} bytes")


def _inflate(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what gzip made of them, in pieces of a bounded size."""
    inflater = zlib.decompressobj(wbits=31)
    for piece in pieces:
        rest = piece
        while rest:
            try:
                inflated = inflater.decompress(rest, PIECE)
            except zlib.error:
                raise MalformedReply("the reply is not gzip, though it says so") from None
            yield inflated
            if inflater.unused_data:
                raise MalformedReply("something follows the compressed reply")
            rest = inflater.unconsumed_tail
    # What zlib holds back at the end of its input is less than it was asked for.
    while inflated := inflater.decompress(b"", PIECE):
        yield inflated
    if not inflater.eof:
        raise UnknownOutcome("the compressed reply is cut off")


def _make_unfilled(size: int) -> memoryview:
    try:
        return np.empty(size, np.uint8).data  # not filled with zeros first, as a bytearray is
    except MemoryError:
        raise ReplyTooLarge(
            f"the reply has {size} bytes, more than this machine has memory for"
        ) from None


def _receive(pieces: Iterator[bytes], view: memoryview, exchange: Exchange) -> memoryview:
    """Have the socket write pieces to where they belong."""
    exchange.target = view
    for _ in pieces:
        continue
    return view


def _fill(pieces: Iterator[bytes], view: memoryview) -> memoryview:
    size = len(view)
    end = 0
    for piece in pieces:
        start, end = end, end + len(piece)
        if end > size:
            raise MalformedReply(f"the reply has more than the {size} bytes that it announces")
        view[start:end] = piece
    if end < size:
        raise UnknownOutcome(f"the reply ends after {end} of {size} bytes")
    return view


def _collect(pieces: Iterator[bytes], limit: int) -> bytearray:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > limit:
            raise ReplyTooLarge(f"the reply has more than {limit} bytes, which is max_reply")
    return body
