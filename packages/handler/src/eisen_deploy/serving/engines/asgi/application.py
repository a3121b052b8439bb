"""The ASGI application: an HTTP request to any of a model's addresses in, its answer out.

It needs an event loop, and another thread that runs :meth:`Batcher.run`: the model never runs on
the loop's thread. Whatever a request does wrong is answered with a typed error in JSON.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eisen_deploy.serving.runtime._shared.model.metadata import Metadata
from eisen_deploy.serving.runtime.errors import OutOfMemory, ServingError
from eisen_deploy.serving.runtime.messages import Reply, Request

from . import descriptions, forms
from .addresses import Address, Kind, parse_path
from .batcher import Batcher, Waiting
from .bodies import ClientGone, Incoming, Room
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
from .tokens import TokenFile

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


class Application:
    """One model behind its addresses.

    :param metrics: returns the text for ``/metrics``.
    """

    def __init__(
        self, model: Model, batcher: Batcher, settings: Settings, metrics: Callable[[], bytes]
    ) -> None:
        self._model, self._batcher, self._settings = model, batcher, settings
        self._metrics = metrics
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
        try:
            headers = _read_headers(scope)
            address = self._admit(scope, headers)
            incoming = Incoming(headers, receive, self._settings, self._room)
            if address.kind is Kind.PREDICTION:
                reply = await self._predict(headers, incoming, receive)
            else:
                reply = self._describe(address.kind)
        except ClientGone:
            _log.info("a client went away before its answer")
            return
        except ServingError as error:
            reply = error_reply(error)
        except MemoryError:
            reply = error_reply(OutOfMemory("there is no memory for the body"))
        except Exception as error:  # noqa: BLE001 - the answer is typed, whatever fails
            _log.exception("a request could not be answered")
            reply = error_reply(ServingError(f"the server failed: {type(error).__name__}"))
        finally:
            if incoming is not None:
                incoming.release()
        if incoming is not None and incoming.is_whole:
            await send_reply(reply, send, head=scope["method"] == "HEAD")
        else:
            await refuse_unread(reply, send, receive)

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> Address:
        """Return what a request is for.

        :raises ServingError: 401, 404 or 405.
        """
        model, method = self._model, str(scope["method"])
        address = parse_path(str(scope["path"]))
        is_served = address is not None and (
            address.model in (None, model.name) and address.version in (None, model.version)
        )
        is_open = is_served and address is not None and address.kind in _OPEN
        if self._token is not None and not is_open:
            self._token.check(headers.get("authorization"))
        if address is None:
            raise NotFound(f"nothing is here: predictions are at /predictions/{model.name}")
        if not is_served:
            raise NotFound(f"the model that is served here is {model.name} {model.version}")
        if method not in address.methods:
            raise MethodNotAllowed(f"expected {' or '.join(address.methods)}, got {method[:20]}")
        return address

    async def _predict(
        self, headers: Mapping[str, str], incoming: Incoming, receive: Receive
    ) -> Reply:
        waiting = self._batcher.put(await self._receive_request(headers, incoming))
        listening = asyncio.ensure_future(self._listen(receive, waiting))
        try:
            return await waiting.reply
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
        if kind is Kind.LIVE:
            return json_reply({"live": True})
        if kind is Kind.PING:
            return json_reply({"status": "Healthy" if ready else "Unhealthy"}, _status(ready))
        said = {"ready": ready} if kind is Kind.READY else {"name": model.name, "ready": ready}
        return json_reply(said, _status(ready))


def _status(ready: bool) -> int:
    return 200 if ready else 503


def _read_headers(scope: Scope) -> dict[str, str]:
    """Return the headers by lower-case name; repeated ones are joined, as HTTP has it."""
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
