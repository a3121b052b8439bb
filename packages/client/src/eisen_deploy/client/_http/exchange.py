"""One request and its reply, under way: how far it has got, and how to stop it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from eisen_deploy.client._shared.wire.protocol import Body
from eisen_deploy.client._waiting.deadline import Deadline, Stopped

if TYPE_CHECKING:
    from .connections import StoppableConnection

#: Bytes handed to the socket, and taken from it, at a time.
PIECE = 2**20

#: Up to so many bytes, copying a body costs less than handing the socket one more buffer.
SMALL = 2**16

_running = threading.local()


class Exchange:
    """The state of one request.

    The thread that runs it works on it between :meth:`running`; another one may :meth:`stop` it.

    :param fits: whether the server is known to take a body of this size.
    """

    def __init__(self, deadline: Deadline, body: Body, *, fits: bool = False) -> None:
        self.deadline = deadline
        self.body = body
        self.size = body.size
        self.fits = fits
        self.authorised = False
        self.connected = False
        self.sent = 0
        #: Whether the server may have the whole body: its last piece was handed over.
        self.complete = False
        #: What the server sent before the request was sent.
        self.early = bytearray()
        #: Whether no more is sent, for the server has answered.
        self.halted = False
        self.answered = False
        #: Bytes of the reply, counted in whole pieces.
        self.received = 0
        #: Memory for what comes next of the reply's body; none where its pieces are objects.
        self.target: memoryview | None = None
        #: Bytes that the reply announces.
        self.announced: int | None = None
        self._connection: StoppableConnection | None = None
        self._mark = object()  # a connection that knew the exchange would keep the body alive
        self._stopped = False

    @property
    def stage(self) -> str:
        """How far it has got, in a word."""
        if not self.connected:
            return "connecting" if self.authorised else "preparing"
        if self.sent < self.size:
            return "sending"
        return "receiving" if self.answered else "waiting"

    @property
    def progress(self) -> str:
        """How far it has got, as a message says it."""
        return {
            "preparing": "while the token was read",
            "connecting": "while connecting",
            "sending": f"after {self.sent} of {self.size} bytes were sent",
            "waiting": "while waiting for the reply",
            "receiving": f"after {self.received} bytes or more of the reply had arrived",
        }[self.stage]

    @property
    def executed(self) -> bool | None:
        """Whether the model may have run: ``None``, or ``False`` if it cannot have."""
        may_have = self.size and self.connected and self.complete and not self.halted
        return None if may_have else False

    @property
    def is_whole(self) -> bool:
        """Whether all of the request was sent."""
        return self.sent == self.size and not self.halted

    @property
    def uses_proxy(self) -> bool:
        """Whether its connection is one to a proxy."""
        return self._connection is not None and self._connection.proxy is not None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make this the exchange to which the connections used by this thread belong."""
        _running.exchange = self
        try:
            yield
        finally:
            _running.exchange = None

    def attach(self, connection: StoppableConnection) -> None:
        """Take note of the connection that is used from now on.

        :raises Stopped: if the exchange was stopped.
        """
        connection.owner = self._mark
        self._connection = connection
        self.check()

    def check(self) -> None:
        """Raise :class:`Stopped` if the exchange was stopped."""
        if self._stopped:
            raise Stopped

    def stop(self) -> None:
        """Shut the connection down: whatever waits for it wakes up and fails."""
        self._stopped = True
        connection = self._connection
        # It may be back in the pool, and in use by another exchange.
        if connection is not None and connection.owner is self._mark:
            _shut_down(connection.sock)


def running_exchange() -> Exchange | None:
    """Return the exchange that this thread runs."""
    exchange: Exchange | None = getattr(_running, "exchange", None)
    return exchange


class Upload:
    """A request's body as urllib3 takes it: with a length, and in pieces.

    The length makes it ``Content-Length`` and not chunks; the pieces are views, so no tensor is
    copied where that would take longer than to send one piece more.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __len__(self) -> int:
        return self._exchange.size

    def __iter__(self) -> Iterator[memoryview]:
        exchange = self._exchange
        exchange.connected = True
        buffers: Sequence[bytes | memoryview] = exchange.body.buffers
        if exchange.size <= SMALL:
            buffers = [b"".join(buffers)]
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), PIECE):
                exchange.check()
                piece = view[start : start + PIECE]
                exchange.complete = exchange.sent + len(piece) == exchange.size
                yield piece
                exchange.sent += len(piece)


def _shut_down(sock: object) -> None:
    plain = getattr(sock, "socket", sock)  # urllib3 wraps it for TLS inside TLS
    if isinstance(plain, socket.socket):
        with suppress(OSError):  # it is closed already
            # Not its own method: that of an SSL socket takes the TLS layer from under a reader.
            socket.socket.shutdown(plain, socket.SHUT_RDWR)
