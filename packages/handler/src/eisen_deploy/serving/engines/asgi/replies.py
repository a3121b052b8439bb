"""Replies and errors as messages of ASGI 3; its types. Source: the ASGI specification, 2.3."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping

from eisen_deploy.serving.runtime._shared.wire.protocol import JSON_TYPE
from eisen_deploy.serving.runtime.errors import ServingError
from eisen_deploy.serving.runtime.messages import Reply

from .lending import LentReply

Message = MutableMapping[str, object]
Scope = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: Seconds for which a body that is refused is still read: its sender, who may only read the answer
#: when all is sent, gets it then, and not a reset connection.
POLITE_SECONDS = 2.0


def error_reply(error: ServingError) -> Reply:
    """Return the reply that an error is."""
    return Reply((error.body(),), error.status, {"Content-Type": JSON_TYPE})


def json_reply(content: object, status: int = 200) -> Reply:
    """Return a reply with a JSON body."""
    return Reply((json.dumps(content).encode("ascii"),), status, {"Content-Type": JSON_TYPE})


# What goes with a status: 503 says that nothing was executed.
_BESIDE = {503: [(b"retry-after", b"1")], 401: [(b"www-authenticate", b"Bearer")]}


async def send_reply(
    reply: Reply | LentReply, send: Send, piece: int, *, head: bool = False
) -> None:
    """Send a reply.

    :param piece: bytes that are handed over at once.
    """
    await _send_start(reply, reply.headers, send)
    if not head:
        await _send_pieces(reply, send, piece)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def refuse_unread(reply: Reply | LentReply, send: Send, receive: Receive) -> None:
    """Send an error before the body of its request is read, and close the connection."""
    await _send_start(reply, {**reply.headers, "Connection": "close"}, send)
    await _send_pieces(reply, send, reply.size)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_read_on(receive), POLITE_SECONDS)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_pieces(reply: Reply | LentReply, send: Send, most: int) -> None:
    lent = reply if isinstance(reply, LentReply) else LentReply(reply)
    for piece in lent.pieces(most):
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _read_on(receive: Receive) -> None:
    while (await receive()).get("more_body", False):
        pass


async def _send_start(
    reply: Reply | LentReply, more_headers: Mapping[str, str], send: Send
) -> None:
    headers = [(b"content-length", str(reply.size).encode("ascii"))]
    headers += _BESIDE.get(reply.status, [])
    for name, value in more_headers.items():
        clean = " ".join(value.encode("ascii", "replace").decode("ascii").split())
        headers.append((name.lower().encode("ascii"), clean.encode("ascii")))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
