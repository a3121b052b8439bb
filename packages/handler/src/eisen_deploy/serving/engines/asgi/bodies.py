"""A request's body, bounded before memory is taken for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from eisen_deploy.serving.runtime.buffers import make_unfilled
from eisen_deploy.serving.runtime.errors import MalformedBody, NotExecuted, ServingError

from .replies import Receive
from .settings import Settings


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
    :ivar is_whole: whether all of it has arrived.
    :raises RequestTooLarge: if a larger one is announced.
    :raises MalformedBody: if what is announced is not a number.
    """

    def __init__(
        self, headers: Mapping[str, str], receive: Receive, settings: Settings, room: Room
    ) -> None:
        self._receive, self._settings, self._room = receive, settings, room
        self._held = 0
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
        filled = 0
        async for piece in self.pieces():
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        return buffer

    async def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """Yield the body in pieces as they arrive; raises as :meth:`read` does."""
        taken = 0
        while not self.is_whole:
            try:
                message = await asyncio.wait_for(self._receive(), self._patience(taken))
            except asyncio.TimeoutError:
                raise self._too_slow(taken) from None
            if message["type"] != "http.request":
                raise ClientGone
            piece = message.get("body", b"")
            assert isinstance(piece, (bytes, memoryview))  # noqa: S101 - by ASGI
            taken += len(piece)
            if taken > (self._settings.max_body if self.size is None else self.size):
                raise self._too_large(f"more than {self._settings.max_body}")
            self._hold(taken)
            self.is_whole = not message.get("more_body", False)
            yield piece
        if self.size not in (None, taken):
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

    def _patience(self, taken: int) -> float:
        """Return for how long the next piece is waited for, in seconds."""
        settings, passed = self._settings, time.monotonic() - self._began
        return min(settings.idle, settings.idle + taken / settings.slowest - passed)

    def _too_slow(self, taken: int) -> TooSlow:
        settings, passed = self._settings, time.monotonic() - self._began
        return TooSlow(
            f"{taken} bytes of the body arrived in {passed:.1f} s: the server waits "
            f"{settings.idle:g} s for the next ones, and takes no less than "
            f"{settings.slowest:g} bytes a second"
        )

    def _too_large(self, size: str) -> RequestTooLarge:
        settings = self._settings
        return RequestTooLarge(
            f"the body has {size} bytes, and the server takes {settings.max_body}: send less at "
            f"once, or raise the server's {settings.max_body_setting}"
        )
