"""One request and its reply, under way: how far it has come, and how to stop it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ._deadline import Deadline, Expired

#: Bytes handed to the socket, and taken from it, at a time.
PIECE = 2**20

_running = threading.local()


class Exchange:
    """The state of one request.

    The thread that runs it works on it between :meth:`running`; another one may :meth:`stop` it.

    :param size: bytes of the request's body.
    """

    def __init__(self, deadline: Deadline, size: int) -> None:
        self.deadline = deadline
        self.size = size
        self.connected = False
        self.sent = 0
        self.received = 0
        self._connection: Any = None
        self._stopped = False

    @property
    def progress(self) -> str:
        """How far it has come, in words."""
        if not self.connected:
            return "while connecting"
        if self.sent < self.size:
            return f"after {self.sent} of {self.size} bytes were sent"
        if self.received:
            return f"after {self.received} bytes of the reply had come"
        return "while waiting for the reply"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make this the exchange to which the connections used by this thread belong."""
        _running.exchange = self
        try:
            yield
        finally:
            _running.exchange = None

    def attach(self, connection: Any) -> None:
        """Take note of the connection that is used from now on.

        :raises Expired: if the exchange was stopped.
        """
        connection.exchange = self
        self._connection = connection
        self.check()

    def check(self) -> None:
        """Raise :class:`Expired` if the exchange was stopped."""
        if self._stopped:
            raise Expired

    def stop(self) -> None:
        """Shut the connection down: whatever waits for it wakes up and fails."""
        self._stopped = True
        connection = self._connection
        # It may be back in the pool, and in use by another exchange.
        if connection is not None and connection.exchange is self:
            _shut_down(connection.sock)


def running_exchange() -> Exchange | None:
    """Return the exchange that this thread runs."""
    exchange: Exchange | None = getattr(_running, "exchange", None)
    return exchange


class Upload:
    """A request's body as requests and urllib3 take it: with a length, and in pieces.

    The length makes it ``Content-Length`` and not chunks; the pieces are views, so no tensor is
    copied.
    """

    def __init__(self, buffers: Iterable[bytes | memoryview], exchange: Exchange) -> None:
        self._buffers = buffers
        self._exchange = exchange

    def __len__(self) -> int:
        return self._exchange.size

    def __iter__(self) -> Iterator[memoryview]:
        exchange = self._exchange
        exchange.connected = True
        for buffer in self._buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), PIECE):
                exchange.check()
                piece = view[start : start + PIECE]
                yield piece
                exchange.sent += len(piece)


def _shut_down(sock: Any) -> None:
    plain = getattr(sock, "socket", sock)  # urllib3 wraps it for TLS inside TLS
    if isinstance(plain, socket.socket):
        with suppress(OSError):  # it is closed already
            # Not its own method: that of an SSL socket takes the TLS layer from under a reader.
            socket.socket.shutdown(plain, socket.SHUT_RDWR)
