"""A request's body, bounded before memory is taken for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from eisen_deploy.serving.runtime.buffers import make_unfilled
from eisen_deploy.serving.runtime.errors import MalformedBody, NotExecuted, ServingError

from .replies import Receive
from .settings import Settings

#: The extension of ASGI by which a server receives the rest of a body into memory that it is given,
#: as many bytes as that has. It asks how many seconds to wait for more, by how many there are, and
#: gives up when these are over (:class:`asyncio.TimeoutError`). It returns whether all are there: a
#: connection may be lost.
FILL = "eisen_deploy.fill"
Patience = Callable[[int], float]
Fill = Callable[[memoryview, Patience], Awaitable[bool]]


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class RequestTooLarge(ServingError):
    """The body is larger than the server takes."""

    status = 413


class TooSlow(ServingError):
    """Nothing of the body arrived for too long, or all of it too slowly."""

    status = 408


class Room:
    """The memory that all bodies under way may take together.

    :param size: in bytes; one body alone is always taken.
    """

    def __init__(self, size: int) -> None:
        self._size, self._taken = size, 0

    def take(self, size: int) -> None:
        """Take memory for a body, or for a piece of one.

        :raises NotExecuted: if others have taken so much that it does not suffice.
        """
        if self._taken and self._taken + size > self._size:
            raise NotExecuted(
                f"the bodies of other requests fill {self._taken} bytes of the {self._size} that "
                "the server has for them; nothing was executed, the request can be sent again"
            )
        self._taken += size

    def give_back(self, size: int) -> None:
        """Give memory back."""
        self._taken -= size


class Incoming:
    """The body of one request, as it arrives.

    :param headers: by lower-case name.
    :param room: from which its memory is taken, until :meth:`release`.
    :param fill: what receives into memory, where the server has that, see :data:`FILL`.
    :ivar is_whole: whether all of it has arrived.
    :raises RequestTooLarge: if a larger one is announced.
    :raises MalformedBody: if what is announced is not a number.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        receive: Receive,
        settings: Settings,
        room: Room,
        fill: Fill | None = None,
    ) -> None:
        self._receive, self._settings, self._room, self._fill = receive, settings, room, fill
        self._held = self._taken = 0
        self._began = time.monotonic()
        self.size = self._announced(headers)
        self.is_whole = self.size == 0

    def _announced(self, headers: Mapping[str, str]) -> int | None:
        text, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if (text or coding) and "upgrade" in headers.get("connection", "").lower():
            # The parser takes what follows for the other protocol: the body would be lost.
            raise MalformedBody("an Upgrade with a body is not supported: send it without one")
        if coding is not None and coding.lower() != "chunked":
            raise MalformedBody(f"Transfer-Encoding: expected chunked, got {coding[:40]}")
        if text is None:
            return None if coding else 0
        if not (text.isascii() and text.isdigit()):
            raise MalformedBody("Content-Length: expected a number of bytes")
        if int(text) > self._settings.max_body:
            raise self._too_large(text)
        return int(text)

    async def read(self) -> bytearray:
        """Return the whole body, in memory of its own.

        :raises RequestTooLarge: if it is over the limit, which it did not announce.
        :raises TooSlow: if nothing more of it arrives, or too little.
        :raises NotExecuted: if other bodies have taken the memory.
        :raises ClientGone: if the connection ends before.
        """
        self._hold(self.size or 0)
        buffer = make_unfilled(self.size or 0)
        while not self.is_whole:
            start, piece = self._taken, await self.receive_piece()
            buffer[start : self._taken] = piece
            if self._fill is not None and self.size is not None and not self.is_whole:
                await self._receive_rest(self._fill, memoryview(buffer)[self._taken :])
        return buffer

    async def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """Yield the body in pieces as they arrive; raises as :meth:`read` does."""
        while not self.is_whole:
            yield await self.receive_piece()

    async def receive_piece(self) -> bytes | memoryview:
        """Return the next piece of a body that is not whole; raises as :meth:`read` does."""
        settings = self._settings
        try:
            message = await asyncio.wait_for(self._receive(), self._patience(0))
        except asyncio.TimeoutError:
            raise self._too_slow() from None
        if message["type"] != "http.request":
            raise ClientGone
        piece = message.get("body", b"")
        assert isinstance(piece, (bytes, memoryview))  # noqa: S101 - by ASGI
        self._taken += len(piece)
        if self._taken > (settings.max_body if self.size is None else self.size):
            raise self._too_large(f"more than {settings.max_body}")
        self._hold(self._taken)
        self.is_whole = not message.get("more_body", False)
        if self.is_whole and self.size not in (None, self._taken):
            raise ClientGone
        return piece

    async def _receive_rest(self, fill: Fill, view: memoryview) -> None:
        try:
            self.is_whole = await fill(view, self._patience)
        except asyncio.TimeoutError:
            raise self._too_slow() from None
        if not self.is_whole:
            raise ClientGone

    def release(self) -> None:
        """Give back the memory: nobody holds the body any more."""
        self._room.give_back(self._held)
        self._held = 0

    def _hold(self, size: int) -> None:
        """Have memory for so many bytes of the body."""
        if size > self._held:
            self._room.take(size - self._held)
            self._held = size

    def _patience(self, filled: int) -> float:
        """Return for how many seconds the next bytes are waited for.

        :param filled: bytes that have arrived beside the pieces.
        """
        settings, passed = self._settings, time.monotonic() - self._began
        earned = (self._taken + filled) / settings.slowest
        return min(settings.idle, settings.idle + earned - passed)

    def _too_slow(self) -> TooSlow:
        settings, passed = self._settings, time.monotonic() - self._began
        return TooSlow(
            f"the body was not whole after {passed:.1f} s: the server waits {settings.idle:g} s "
            f"for its next bytes, and takes no less than {settings.slowest:g} bytes a second"
        )

    def _too_large(self, size: str) -> RequestTooLarge:
        settings = self._settings
        return RequestTooLarge(
            f"the body has {size} bytes, and the server takes {settings.max_body}: send less at "
            f"once, or raise the server's {settings.max_body_setting}"
        )
