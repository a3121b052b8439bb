"""Clients that are no good: one resets while it sends, many send a byte at a time."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading

_HEAD = (
    "POST /predictions/{model} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Content-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
)
_RESET = struct.pack("ii", 1, 0)
_SECONDS = 30.0


def reset_while_sending(port: int, model: str, body: bytes, sent: int) -> None:
    """Send so many bytes of a request, and reset the connection."""
    raw = _HEAD.format(model=model, size=len(body)).encode() + body
    with socket.create_connection(("127.0.0.1", port), _SECONDS) as connection:
        connection.sendall(raw[:sent])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class SlowClients:
    """Connections that are held open, from entering this to leaving it.

    Most send a few bytes a second, of their headers or of their body. One of ten has sent a whole
    request, and reads the reply as slowly.

    :param request: a whole one, of which the reply is large.
    """

    def __init__(self, port: int, model: str, request: bytes, count: int) -> None:
        head = _HEAD.format(model=model, size=2**24).encode()
        self._address = ("127.0.0.1", port)
        senders = [(b"", head), (head, bytes(2**20))]
        self._plans = [(request, b"") if n % 10 == 0 else senders[n % 2] for n in range(count)]
        self.connections: list[socket.socket] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._trickle, daemon=True)

    def __enter__(self):
        for first, rest in self._plans:
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(_SECONDS)
            self.connections.append(connection)
            connection.connect(self._address)
            connection.sendall(first)
            if not rest:  # the queue of the server is short: no more than one of them waits
                connection.recv(1)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for connection in self.connections:
            connection.close()

    def _trickle(self) -> None:
        position = 0
        while not self._stop.wait(1):
            for connection, (_, rest) in zip(self.connections, self._plans):
                with contextlib.suppress(OSError):  # the server has had enough of it
                    connection.settimeout(0.001)
                    if rest:
                        connection.sendall(rest[position : position + 3])
                    else:
                        connection.recv(random.randint(1, 9))
            position += 3
