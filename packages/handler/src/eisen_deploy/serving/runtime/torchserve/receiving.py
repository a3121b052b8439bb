"""What TorchServe sends to its worker, received where it stays.

TorchServe's own code reads a body in pieces that it appends to a ``bytearray``, and each small
field with a call to the kernel. Here a large body is received into memory of its size, and small
fields many at once.

Source: TorchServe 0.12, ``ts/protocol/otf_message_handler.py``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from socket import socket

from ..buffers import make_unfilled

#: Fields of fewer bytes are read ahead, and copied from there.
LARGE = 64 * 2**10

#: Received bodies of fewer bytes are kept until the next one has come, as TorchServe does. From
#: here on malloc returns memory to the system, so that to keep it saves no time.
HUGE = 32 * 2**20


class Reader:
    """Reads fields of known sizes from a connection, small ones from what it read ahead.

    What is read ahead stays here until it is asked for, so nothing else may read from the
    connection.

    :param connection: a blocking stream socket.
    :param received: where huge fields are kept as well, until the answer is sent.
    """

    def __init__(self, connection: socket, received: list[bytearray]) -> None:
        self.connection = connection
        self._received = received
        self._ahead = bytearray(LARGE)
        self._start = self._end = 0

    def read(self, size: int) -> bytearray:
        """Return the next bytes; as TorchServe's worker does, exit where the server is gone."""
        start, end = self._start, self._start + size
        if end <= self._end:
            self._start = end
            return self._ahead[start:end]
        return self._receive(size)

    def _receive(self, size: int) -> bytearray:
        data = make_unfilled(size)
        if size >= HUGE:
            self._received.append(data)
        known = self._end - self._start
        data[:known] = memoryview(self._ahead)[self._start : self._end]
        self._start = self._end = 0
        with memoryview(data) as view:
            while size - known >= LARGE:
                known += self._receive_some(view[known:])
            while known < size:
                self._end = self._receive_some(self._ahead)
                self._start = min(size - known, self._end)
                view[known : known + self._start] = self._ahead[: self._start]
                known += self._start
        return data

    def _receive_some(self, into: bytearray | memoryview) -> int:
        count = self.connection.recv_into(into)
        if not count:
            logging.info("Frontend disconnected.")  # noqa: LOG015 - where TorchServe says it
            sys.exit(0)
        return count


def make_retriever(received: list[bytearray]) -> Callable[[socket, int], bytearray]:
    """Return what replaces ``_retrieve_buffer``: it reads a size from a connection."""
    reader: Reader | None = None

    def _retrieve_buffer(conn: socket, length: int) -> bytearray:
        nonlocal reader
        if reader is None or reader.connection is not conn:
            reader = Reader(conn, received)
        return reader.read(max(length, 0))

    return _retrieve_buffer
