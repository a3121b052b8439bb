"""Answers as ``http.client`` reads them, with checks that it lacks.

By itself it skips no interim answers but 100, reads chunks of a negative size without bounds, and
takes an answer that arrives before the request was sent as one to that request.
"""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, parse_headers
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any

from urllib3.util import wait_for_read

from .exchange import Exchange, running_exchange

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: A server that sends one a second would need a day for them.
_MAX_INTERIM = 100_000
#: Bytes of an interim answer that is not whole yet.
_MAX_HEAD = 2**16
#: Interim answers, all whole; not 101, which would be the last one.
_INTERIM = re.compile(rb"(?:HTTP/1\.\d 1(?!01)\d\d[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n)*")
#: In a status line, where the status begins.
_STATUS = len("HTTP/1.1 ")


class StrictResponse(HTTPResponse):
    """The answer to the running exchange, after its interim answers."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        exchange = running_exchange()
        if exchange is not None and exchange.early:
            self.fp = BufferedReader(_Joined(exchange.early, self.fp))

    def begin(self) -> None:
        super().begin()
        exchange = running_exchange()
        if exchange is not None and not exchange.is_whole:
            self.will_close = True  # the server may take what comes next for the rest of it

    def read(self, amt: int | None = None) -> Any:
        """Return as much of the body as is wanted, where the exchange wants to have it."""
        exchange = running_exchange()
        if exchange is None or exchange.target is None or amt is None:
            return super().read(amt)
        target = exchange.target
        count = self.readinto(target[:amt])
        exchange.target = target[count:]
        return target[:count]

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MAX_INTERIM):
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            status = line[1]
            if status // 100 != 1 or status == HTTPStatus.SWITCHING_PROTOCOLS:
                return line
            parse_headers(self.fp)
        raise HTTPException("too many interim answers")

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            raise HTTPException("a chunk has a negative size")
        return size


def look_for_answer(sock: socket.socket, exchange: Exchange) -> None:
    """Look whether a server answers already, before more of the request is sent to it.

    :raises BrokenPipeError: if it does: then urllib3 sends no more, and reads the answer.
    """
    if not wait_for_read(sock, 0):
        return
    early = exchange.early
    early += _receive(sock)
    whole = _INTERIM.match(early)
    del early[: whole.end() if whole else 0]
    if bytes(early[_STATUS : _STATUS + 1]) not in (b"", b"1") or len(early) > _MAX_HEAD:
        exchange.halted = True
        raise BrokenPipeError


def _receive(sock: socket.socket) -> bytes:
    """Return what is there; of TLS it may be only what TLS itself has to say."""
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        with suppress(BlockingIOError, ssl.SSLWantReadError):
            return sock.recv(_MAX_HEAD)
    finally:
        sock.settimeout(timeout)
    return b""


class _Joined(RawIOBase):
    """Bytes that were received before, then those that follow them."""

    def __init__(self, first: bytearray, rest: BufferedReader) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if not self._first:
            return self._rest.readinto1(buffer)
        view = memoryview(buffer)
        piece = self._first[: len(view)]
        del self._first[: len(piece)]
        view[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._rest.close()
        super().close()
