"""A body received where it is to lie: no parser reads it, and nothing is copied on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from eisen_deploy.serving.engines.asgi.bodies import Patience

if TYPE_CHECKING:
    from .protocol import BoundedProtocol


class Filling(asyncio.BufferedProtocol):
    """The protocol of a connection for as long as bytes of a body arrive.

    :param connection: its protocol otherwise.
    :param view: memory for just these bytes.
    """

    def __init__(self, connection: BoundedProtocol, view: memoryview) -> None:
        self._connection, self._left = connection, view
        self._ended: asyncio.Future[None] = connection.loop.create_future()

    @property
    def is_full(self) -> bool:
        """Whether all bytes are there."""
        return not self._left

    async def wait(self, patience: Patience) -> None:
        """Return when all bytes are there, or the connection is lost.

        :param patience: returns for how many seconds more are waited for.
        :raises asyncio.TimeoutError: if none arrive in so many.
        """
        size = len(self._left)
        while not self._ended.done():
            left = len(self._left)
            await asyncio.wait([self._ended], timeout=max(0.0, patience(size - left)))
            if not self._ended.done() and len(self._left) == left:
                raise asyncio.TimeoutError

    def get_buffer(self, sizehint: int) -> memoryview:
        """See :class:`asyncio.BufferedProtocol`."""
        del sizehint
        return self._left

    def buffer_updated(self, nbytes: int) -> None:
        """See :class:`asyncio.BufferedProtocol`."""
        self._left = self._left[nbytes:]
        if self.is_full:  # now: the next byte is one of the next request
            self._connection.end_body()
            self._end()

    def pause_writing(self) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """See :class:`asyncio.BaseProtocol`."""
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self._connection.connection_lost(exc)
        self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
