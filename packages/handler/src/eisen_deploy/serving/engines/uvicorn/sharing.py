"""One listening socket for several processes, each of which takes its share of the connections.

An event loop accepts all that wait at once: of the connections that a client with many threads
opens together, one process would get all, and keep them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial

import uvicorn

# What a process leaves to the others after each connection that it has taken, in seconds.
_PAUSE = 0.002
# The same if none could be taken, for want of file descriptors or memory.
_PAUSE_AFTER_FAILURE = 1.0


class SharingServer(uvicorn.Server):
    """uvicorn that takes one connection at a time; not on Windows."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See :class:`uvicorn.Server`."""
        await super().startup([])
        protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        make_protocol = partial(
            protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self._acceptors = [
            Acceptor(each, lambda: make_protocol(_loop=asyncio.get_running_loop()), self.config)
            for each in sockets or []
        ]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See :class:`uvicorn.Server`."""
        for acceptor in self._acceptors:
            acceptor.close()
        await super().shutdown(sockets)


class Acceptor:
    """Takes the connections of one listening socket until it is closed."""

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        config: uvicorn.Config,
    ) -> None:
        self._listener, self._make_protocol, self._ssl = listener, make_protocol, config.ssl
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._is_closed = False
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take no more."""
        self._is_closed = True
        self._loop.remove_reader(self._listener)

    def _listen(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        pause = _PAUSE
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another process has taken it
            return
        except OSError:
            pause = _PAUSE_AFTER_FAILURE
        else:
            self._open(connection)
        self._loop.remove_reader(self._listener)
        self._loop.call_later(pause, self._listen)

    def _open(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._make_protocol, connection, ssl=self._ssl)
        )
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled():
            task.exception()  # a handshake that failed is the client's affair
