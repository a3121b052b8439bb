"""Typed errors for what Ray's own HTTP proxies answer, and limits on what they receive.

This runs in the proxies' processes.

A proxy answers by itself where no replica does: with an empty 500 when the replica that had the
request is lost, with a line of text when none takes it, or when the proxy's time is over. None of
this says to a client whether the request was executed.

=======  =========================================  ============================================
proxy    why                                        answered with
=======  =========================================  ============================================
429      as many requests wait as ``queue`` allows  503 ``NotExecuted``
503      the same, or the deployment has failed     503 ``NotExecuted``
408      ``request_timeout_s`` is over              502 ``ReplicaLost``: it may have been executed
500      the replica was lost                       502 ``ReplicaLost``: it may have been executed
=======  =========================================  ============================================
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.middleware import Middleware

from eisen_deploy.serving.engines.asgi.replies import (
    Message,
    Receive,
    Scope,
    Send,
    error_reply,
    send_reply,
)
from eisen_deploy.serving.engines.asgi.settings import MAX_BODY, read_variable
from eisen_deploy.serving.engines.machine import share_for_bodies
from eisen_deploy.serving.engines.sizes import parse_size
from eisen_deploy.serving.runtime.errors import NotExecuted, ServingError

from .body_limit import BodyLimit
from .errors import ReplicaLost

_log = logging.getLogger("eisen_deploy.serving")

_NOT_TAKEN = "no replica takes the request; nothing was executed, the request can be sent again"
_BARE: dict[object, ServingError] = {
    408: ReplicaLost("no replica answered within the proxy's request_timeout_s"),
    429: NotExecuted(_NOT_TAKEN),
    503: NotExecuted(_NOT_TAKEN),
}
_LOST = ReplicaLost("the replica that had the request was lost before it answered")

_Headers = Sequence[tuple[bytes, bytes]]


def middlewares() -> list[Middleware]:
    """Return what Ray's proxies put around every request.

    For ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``. With ``EISEN_MAX_BODY``, the size of the
    largest body, a proxy takes no larger one, and of all together a quarter of its node's memory.

    :raises ValueError: if ``EISEN_MAX_BODY`` is no size such as ``512MiB``.
    """
    around = [Middleware(TypedErrors)]
    most = read_variable(MAX_BODY, parse_size)
    if most is not None:
        around.append(Middleware(BodyLimit, most=most, together=share_for_bodies(1)))
    return around


class TypedErrors:
    """A middleware that answers in place of a proxy which has nothing better to say."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification."""
        if scope["type"] != "http" or str(scope["path"]).startswith("/-/"):  # Ray's own addresses
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.pass_on)
        except Exception:
            if answer.is_begun:
                raise
            _log.exception("the proxy failed")
        await answer.end()


class _Answer:
    """What is sent of one answer.

    :ivar is_begun: whether something was sent of it.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_begun = False
        self._error: ServingError = _LOST
        self._is_held = False

    async def pass_on(self, message: Message) -> None:
        """Send a message, unless it belongs to an answer that is the proxy's own."""
        if not self.is_begun and message["type"] == "http.response.start":
            self._is_held = _is_bare(message)
        if self._is_held:
            self._error = _BARE.get(message.get("status"), self._error)
            return
        self.is_begun = True
        await self._send(message)

    async def end(self) -> None:
        """Answer what nobody has answered."""
        if not self.is_begun:
            reply = error_reply(self._error)
            await send_reply(reply, self._send, reply.size)


def _is_bare(start: Message) -> bool:
    """Whether an answer is the proxy's own: applications say how long theirs are."""
    pairs: _Headers = start.get("headers", ())  # type: ignore[assignment]
    headers = {bytes(name).lower(): bytes(value) for name, value in pairs}
    kind = headers.get(b"content-type", b"")
    is_text = kind.startswith(b"text/plain") and b"content-length" not in headers
    return start["status"] in _BARE and is_text
