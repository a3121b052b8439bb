"""The ASGI application: an HTTP request to any of a model's addresses in, its answer out.

It needs an event loop, and another thread that runs :meth:`Batcher.run`: the model never runs on
the loop's thread. Whatever a request does wrong is answered with a typed error in JSON.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eisen_deploy.serving.engines.keys import TokenFile
from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime.errors import OutOfMemory, ServingError
from eisen_deploy.serving.runtime.messages import Reply, Request

from . import descriptions, forms
from .addresses import Address, Kind, parse_path
from .batcher import Batcher, Waiting
from .bodies import FILL, ClientGone, Incoming, Room
from .lending import LentReply
from .metrics import MEDIA_TYPE as METRICS_TYPE
from .replies import (
    Receive,
    Scope,
    Send,
    error_reply,
    json_reply,
    refuse_unread,
    send_reply,
)
from .settings import Settings

_log = logging.getLogger("eisen_deploy.serving")

#: Addresses that a probe asks without a token: they say nothing of the model.
_OPEN = (Kind.PING, Kind.LIVE, Kind.READY, Kind.MODEL_READY)


class NotFound(ServingError):
    """Nothing of this server has the address."""

    status = 404


class MethodNotAllowed(ServingError):
    """The address takes other methods."""

    status = 405


@dataclass(frozen=True)
class Model:
    """The model that an application serves.

    :param make_request: the class of its runtime's requests: an archive brings its own.
    """

    name: str
    version: str
    metadata: Metadata
    make_request: type[Request] = Request


class Front(ABC):
    """What is done for a request whoever answers it: tokens, limits, errors, sending."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._room = Room(settings.all_bodies)
        self._token = None if settings.token_file is None else TokenFile(settings.token_file)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; see the ASGI specification."""
        if scope["type"] == "lifespan":
            await _follow_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = None
        reply: Reply | LentReply
        try:
            headers = read_headers(scope)
            address = self._admit(scope, headers)
            fill = _find_extension(scope, FILL)
            incoming = Incoming(headers, receive, self._settings, self._room, fill)
            reply = await self._respond(address, headers, incoming, receive)
        except ClientGone:
            _log.info("a client went away before its answer")
            return
        except Exception as error:  # noqa: BLE001 - the answer is typed, whatever fails
            reply = explain_failure(error)
        finally:
            if incoming is not None:
                incoming.release()
        if incoming is not None and incoming.is_whole:
            await send_reply(reply, send, self._settings.piece, head=scope["method"] == "HEAD")
        else:
            await refuse_unread(reply, send, receive)

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> Address:
        """Return what a request is for.

        :raises ServingError: 401, 404 or 405.
        """
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
        method, address = str(scope["method"]), parse_path(path)
        problem = self._explain_unserved(address)
        is_open = problem is None and address is not None and address.kind in _OPEN
        if self._token is not None and not is_open:
            self._token.check(headers.get("authorization"))
        if address is None or problem is not None:
            raise NotFound(problem or "nothing is here")
        if method not in address.methods:
            raise MethodNotAllowed(f"expected {' or '.join(address.methods)}, got {method[:20]}")
        return address

    @abstractmethod
    def _explain_unserved(self, address: Address | None) -> str | None:
        """Say why an address is not served here; ``None`` if it is."""

    @abstractmethod
    async def _respond(
        self,
        address: Address,
        headers: Mapping[str, str],
        incoming: Incoming,
        receive: Receive,
    ) -> Reply | LentReply:
        """Answer a request that is admitted."""


class Application(Front):
    """One model behind its addresses.

    :param metrics: returns the text for ``/metrics``.
    """

    def __init__(
        self, model: Model, batcher: Batcher, settings: Settings, metrics: Callable[[], bytes]
    ) -> None:
        super().__init__(settings)
        self._model, self._batcher, self._metrics = model, batcher, metrics

    async def exchange(self, headers: Mapping[str, str], receive: Receive) -> Reply:
        """Predict for a request that somebody else has admitted, and sends the reply of.

        :param headers: by lower-case name.
        """
        incoming = None
        try:
            incoming = Incoming(headers, receive, self._settings, self._room)
            return (await self._predict(headers, incoming, receive)).own()
        except Exception as error:  # noqa: BLE001 - the answer is typed, whatever fails
            return explain_failure(error)
        finally:
            if incoming is not None:
                incoming.release()

    def _explain_unserved(self, address: Address | None) -> str | None:
        model = self._model
        if address is None:
            return f"nothing is here: predictions are at /predictions/{model.name}"
        if address.model in (None, model.name) and address.version in (None, model.version):
            return None
        return f"the model that is served here is {model.name} {model.version}"

    async def _respond(
        self,
        address: Address,
        headers: Mapping[str, str],
        incoming: Incoming,
        receive: Receive,
    ) -> Reply | LentReply:
        if address.kind is Kind.PREDICTION:
            return await self._predict(headers, incoming, receive)
        return self._describe(address.kind)

    async def _predict(
        self, headers: Mapping[str, str], incoming: Incoming, receive: Receive
    ) -> LentReply:
        waiting = self._batcher.put(await self._receive_request(headers, incoming))
        listening = asyncio.ensure_future(self._listen(receive, waiting))
        try:
            return await waiting.reply
        except asyncio.CancelledError:  # how some servers say that the client went away
            self._batcher.drop(waiting)
            raise
        finally:
            listening.cancel()

    async def _listen(self, receive: Receive, waiting: Waiting) -> None:
        """Drop the request of a client that goes away."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._batcher.drop(waiting)
        if not waiting.reply.done():
            waiting.reply.set_exception(ClientGone())

    async def _receive_request(self, headers: Mapping[str, str], incoming: Incoming) -> Request:
        make = self._model.make_request
        boundary = None if incoming.size == 0 else forms.find_boundary(headers)
        if boundary is not None:
            return make(headers, b"", await forms.read_form(incoming, boundary))
        return make(headers, await incoming.read())

    def _describe(self, kind: Kind) -> Reply:
        """Answer what needs no model to run."""
        model, ready = self._model, self._batcher.is_open
        described = model.name, model.version, model.metadata
        if kind is Kind.METRICS:
            return Reply((self._metrics(),), headers={"Content-Type": METRICS_TYPE})
        if kind is Kind.MODEL:
            return json_reply(descriptions.describe_model(*described))
        if kind is Kind.OPENAPI:
            return json_reply(descriptions.describe_api(*described))
        if kind is Kind.SERVER:
            return json_reply(descriptions.describe_server(self._settings.libraries))
        return descriptions.describe_health(kind, ready, model.name)


def explain_failure(error: Exception) -> Reply:
    """Return the reply to a request that failed; its text holds nothing of the request."""
    if isinstance(error, ServingError):
        return error_reply(error)
    if isinstance(error, MemoryError):
        return error_reply(OutOfMemory("there is no memory for the body"))
    _log.error("a request could not be answered", exc_info=error)
    return error_reply(ServingError(f"the server failed: {type(error).__name__}"))


def _find_extension(scope: Scope, name: str) -> Any:
    """Return what a server offers beyond ASGI, if it does."""
    extensions = scope.get("extensions")
    return extensions.get(name) if isinstance(extensions, dict) else None


def read_headers(scope: Scope) -> dict[str, str]:
    """Return a request's headers by lower-case name; repeated ones are joined, as HTTP has it."""
    headers: dict[str, str] = {}
    pairs = scope["headers"]
    assert isinstance(pairs, (list, tuple))  # noqa: S101 - by ASGI
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _follow_lifespan(receive: Receive, send: Send) -> None:
    """Agree to start and to stop: the model is loaded before the application is made."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
