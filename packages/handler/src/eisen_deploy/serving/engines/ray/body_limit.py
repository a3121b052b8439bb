"""Limits on the bodies that one of Ray's HTTP proxies receives.

A proxy itself reads all that a client sends into its own memory, whatever a replica answers
meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from eisen_deploy.serving.engines.asgi.application import explain_failure, read_headers
from eisen_deploy.serving.engines.asgi.bodies import ClientGone, Incoming, Room
from eisen_deploy.serving.engines.asgi.replies import (
    Message,
    Receive,
    Scope,
    Send,
    refuse_unread,
)
from eisen_deploy.serving.engines.asgi.settings import MAX_BODY, Settings


class BodyLimit:
    """A middleware that refuses bodies which are too large, too slow, or too many at once.

    :param most: bytes of one body.
    :param together: bytes of all bodies under way.
    """

    def __init__(
        self, app: Callable[[Scope, Receive, Send], Awaitable[None]], most: int, together: int
    ) -> None:
        self._app = app
        self._settings = Settings(max_body=most, max_body_setting=MAX_BODY)
        self._room = Room(together)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            incoming = Incoming(read_headers(scope), receive, self._settings, self._room)
        except Exception as error:  # noqa: BLE001 - the answer is typed, whatever fails
            await refuse_unread(explain_failure(error), send, receive)
            return
        try:
            await _Exchange(incoming, receive, send).run(self._app, scope)
        finally:
            incoming.release()


class _Exchange:
    """One request whose body is limited, and its answer."""

    def __init__(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        self._incoming, self._receive, self._send = incoming, receive, send
        self._error: Exception | None = None
        self._is_begun = False

    async def run(
        self, app: Callable[[Scope, Receive, Send], Awaitable[None]], scope: Scope
    ) -> None:
        """Let the application answer, unless the body is refused before it does."""
        await app(scope, self._pass_in, self._pass_on)
        if self._error is not None and not self._is_begun:
            await refuse_unread(explain_failure(self._error), self._send, self._receive)

    async def _pass_in(self) -> Message:
        """Receive a piece of the body; for the application, a refused client has gone away."""
        if self._incoming.is_whole or self._error is not None:
            return await self._receive()
        try:
            piece = await self._incoming.receive_piece()
        except ClientGone:
            return {"type": "http.disconnect"}
        except Exception as error:  # noqa: BLE001 - the answer is typed, whatever fails
            self._error = error
            return {"type": "http.disconnect"}
        more = not self._incoming.is_whole
        return {"type": "http.request", "body": piece, "more_body": more}

    async def _pass_on(self, message: Message) -> None:
        """Send a part of the answer, unless another one is to be sent."""
        if self._error is None or self._is_begun:
            self._is_begun = True
            await self._send(message)
