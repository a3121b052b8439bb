"""An answer of a server: its status, its headers and as much of its body as is wanted."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import urllib3

from eisen_deploy.client import _errors as errors
from eisen_deploy.client._predictions import ModelIdentity

from .body_reading import read_body
from .exchange import Exchange
from .network_errors import FAILURES

#: An error's JSON is small; a longer body is a proxy's page, and is not read.
_MAX_ERROR_BYTES = 256 * 2**10


@dataclass(frozen=True, repr=False)  # it holds values
class HTTPAnswer:
    """An answer of whatever status: what was received over HTTP, not decoded.

    :param headers: found by name in any case.
    :param body: writable, so that decoded arrays are views of it.
    :param source: who answered, as a message says it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray | memoryview
    source: str = "the server"

    @property
    def request_id(self) -> str | None:
        """The server's name for the request, if it is one that may be shown."""
        return accept_name(self.headers.get("x-request-id", ""))

    @property
    def model(self) -> str | None:
        """The name of the model that answered, if it is one that may be shown."""
        return accept_name(self.headers.get("Eisen-Model-Name", ""))

    @property
    def identity(self) -> ModelIdentity:
        """Which model answered, as far as its headers say it."""
        text = self.headers.get("Eisen-Archive-Digest", "")
        digest = re.fullmatch("sha-256=([0-9a-f]{64})", text)
        version = accept_name(self.headers.get("Eisen-Model-Version", ""))
        return ModelIdentity(self.model, version, digest and digest[1])

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


def accept_name(text: str) -> str | None:
    """Return a name from the server, if it may be shown."""
    return text if re.fullmatch("[!-~]{1,127}", text) else None


def read_answer(
    response: urllib3.BaseHTTPResponse, exchange: Exchange, max_reply: int
) -> HTTPAnswer:
    """Read what a server answers.

    :param response: one of which nothing was read yet.
    :param max_reply: largest body that is read, in bytes, on the line and decompressed.
    :raises ReplyTooLarge: if the body is larger.
    :raises MalformedReply: if its size or its encoding is impossible, or if it arrived before
        the whole request was sent and is not an error.
    :raises UnknownOutcome: if the body is shorter than was announced.
    """
    exchange.answered = True
    status, headers = response.status, response.headers
    if status == 200:
        if not exchange.is_whole:
            raise errors.MalformedReply(
                "the server answered 200 before it was sent the whole request: that cannot be the "
                "answer to it",
                status=status,
                executed=exchange.executed,
                advice=errors.UnexpectedReply.advice,
            )
        return HTTPAnswer(status, headers, read_body(response, exchange, max_reply))
    body: bytes | bytearray | memoryview = b""
    if status == 413:
        # A server that refuses a large body often closes the connection; the status is enough.
        with suppress(errors.UnknownOutcome, errors.MalformedReply, *FAILURES):
            body = _read_error(response, exchange)
    elif status >= 400:
        body = _read_error(response, exchange)
    return HTTPAnswer(status, headers, body)


def _read_error(
    response: urllib3.BaseHTTPResponse, exchange: Exchange
) -> bytes | bytearray | memoryview:
    try:
        return read_body(response, exchange, _MAX_ERROR_BYTES)
    except errors.ReplyTooLarge:
        return b""
    except errors.MalformedReply:
        if "Content-Encoding" in response.headers:
            return b""  # the status says more than an error about its text
        raise
