"""The reply's body, read into one buffer of a bounded size."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
import requests

from ._errors import MalformedReply, ReplyTooLarge, UnknownOutcome
from ._exchange import PIECE, Exchange
from ._failures import FAILURES

#: An error's JSON is small; a longer body is a proxy's page, and is not read.
_MAX_ERROR_BYTES = 256 * 2**10
#: Read at a time where no length is announced: in chunks of a byte, each is an object meanwhile.
_UNANNOUNCED_PIECE = 2**16


class Answer:
    """What came back.

    :param headers: found by name in any case.
    :param body: writable, so that decoded arrays are views of it.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes | bytearray | memoryview
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def request_id(self) -> str | None:
        """The server's name for the request, if it is one that may be shown."""
        return self._word("x-request-id")

    @property
    def model(self) -> str | None:
        """The name of the model that answered, if it is one that may be shown."""
        return self._word("Eisen-Model-Name")

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the server says to ask again (RFC 9110, 10.2.3)."""
        text = self.headers.get("Retry-After", "").strip()
        if re.fullmatch("[0-9]{1,9}", text):
            return float(text)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, TypeError, IndexError, OverflowError):  # TypeError on Python 3.9
            return None

    def _word(self, header: str) -> str | None:
        text = self.headers.get(header, "")
        return text if re.fullmatch("[!-~]{1,100}", text) else None


def read_answer(response: requests.Response, exchange: Exchange, max_reply: int) -> Answer:
    """Read what a server answers.

    :param response: a streaming one, of which nothing was read yet.
    :param max_reply: largest body that is read, in bytes.
    :raises ReplyTooLarge: if the body is larger.
    :raises MalformedReply: if its size or its encoding is not one that can be.
    :raises UnknownOutcome: if the body is shorter than was announced.
    """
    exchange.answered = True
    status, headers = response.status_code, response.headers
    if status == 200:
        if _is_compressed(headers):
            raise MalformedReply("the reply is compressed, though it was asked for as it is")
        return Answer(status, headers, _read_whole(response, exchange, max_reply))
    body: bytes | bytearray | memoryview = b""
    if status == 413:
        # Who refuses a large body often cuts the line, and the status says it all.
        with suppress(UnknownOutcome, MalformedReply, *FAILURES):
            body = _read_error(response, exchange)
    elif status >= 400:
        body = _read_error(response, exchange)
    return Answer(status, headers, body)


def _read_whole(
    response: requests.Response, exchange: Exchange, max_reply: int
) -> bytes | bytearray | memoryview:
    length = exchange.announced = _announced(response.headers)
    if length is None:
        return _read_unannounced(response.raw, exchange, max_reply)
    if length > max_reply:
        raise ReplyTooLarge(f"the reply has {length} bytes, max_reply is {max_reply}")
    return _read_announced(response.raw, exchange, length)


def _announced(headers: Mapping[str, str]) -> int | None:
    if "Content-Length" not in headers or "Transfer-Encoding" in headers:
        return None
    text = headers["Content-Length"].strip(" \t")
    if not re.fullmatch("[0-9]{1,18}", text):
        raise MalformedReply("the reply's Content-Length is not a number of bytes")
    return int(text)


def _read_announced(raw: Any, exchange: Exchange, length: int) -> memoryview:
    try:
        view = np.empty(length, np.uint8).data  # not filled with zeros first, as a bytearray is
    except MemoryError:
        raise ReplyTooLarge(
            f"the reply has {length} bytes, for which this machine's memory does not suffice"
        ) from None
    while exchange.received < length:
        piece = _read_piece(raw, exchange, length - exchange.received)
        if not piece:
            raise UnknownOutcome(f"the reply ends after {exchange.received} of {length} bytes")
        start = exchange.received
        view[start : start + len(piece)] = piece
        exchange.received += len(piece)
    return view


def _read_unannounced(raw: Any, exchange: Exchange, max_reply: int) -> bytearray:
    body = bytearray()
    while piece := _read_piece(raw, exchange, _UNANNOUNCED_PIECE):
        body += piece
        exchange.received += len(piece)
        if exchange.received > max_reply:
            raise ReplyTooLarge(f"the reply has more than {max_reply} bytes, which is max_reply")
    return body


def _read_piece(raw: Any, exchange: Exchange, wanted: int) -> bytes:
    exchange.check()
    piece: bytes = raw.read(min(wanted, PIECE), decode_content=False)
    return piece


def _read_error(response: requests.Response, exchange: Exchange) -> bytes | bytearray | memoryview:
    try:
        body = _read_whole(response, exchange, _MAX_ERROR_BYTES)
    except ReplyTooLarge:
        return b""
    return b"" if _is_compressed(response.headers) else body


def _is_compressed(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")
