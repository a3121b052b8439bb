"""A model that needs no server, to test programs that use the client.

>>> import numpy as np
>>> from eisen_deploy.client import EisenServingClient
>>> from eisen_deploy.client.testing import FakeModel
>>> model = FakeModel({}, lambda inputs: {"mask": inputs["image"] > 0})
>>> client = EisenServingClient("http://test/predictions/seg", transport=model)
>>> client.predict({"image": np.array([1, -1])})["mask"]
array([ True, False])

All of the client but the network is real: batches are checked, encoded and decoded, and
failures are retried.
"""

from __future__ import annotations

import copy
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ._call.calls import Call
from ._errors import EisenClientError
from ._http.answers import HTTPAnswer
from ._http.exchange import Exchange
from ._http.network_errors import map_network_error
from ._predictions import ModelIdentity
from ._shared.errors import ContractError
from ._shared.model.metadata import Metadata
from ._shared.wire import protocol
from ._shared.wire.protocol import JSON_TYPE, Body
from ._waiting.callbacks import CallerError, make_watcher
from ._waiting.deadline import Stopped

__all__ = ["FakeModel", "FakeRequest"]


class FakeRequest(NamedTuple):
    """One request that a fake model was asked.

    :param inputs: values by name, as they arrived over the wire; ``None`` where it asked for the
        metadata.
    :param outputs: names of the outputs asked for; ``None`` for all of them.
    :param id: the client's name for the request, which its errors carry too.
    """

    inputs: dict[str, Any] | None
    outputs: tuple[str, ...] | None
    id: str


class FakeModel:
    """Answers a client in place of a server: ``EisenServingClient(url, transport=model)``.

    :param metadata: what it says of itself. Batches that go against it are refused as the server's
        handler does, with :class:`~eisen_deploy.client.InvalidInput`, whether the client validates
        or not.
    :param function: returns the outputs by name for the inputs by name. What it raises leaves
        ``predict`` unchanged: raise a :class:`~eisen_deploy.client.ModelFailed` to play a model
        that fails.
    :param model: what its replies say of the model; nothing by default.
    """

    def __init__(
        self,
        metadata: Mapping[str, object],
        function: Callable[[dict[str, Any]], Mapping[str, object]],
        *,
        model: ModelIdentity = ModelIdentity(),  # noqa: B008 - it is immutable
    ) -> None:
        #: Each :class:`FakeRequest` so far, those that failed included.
        self.requests: list[FakeRequest] = []
        self._metadata = metadata
        self._function = function
        self._model = model
        self._failures: deque[EisenClientError] = deque()
        self._lock = threading.Lock()

    def fail(self, error: EisenClientError | type[EisenClientError], *, times: int = 1) -> None:
        """Let the next requests end with an error, whatever they ask for.

        :param error: any of the client's errors, or its class.
        :param times: how many requests; a client that sends again makes several for one call.
        """
        made = error("as the test wants it") if isinstance(error, type) else error
        self._failures.extend(copy.copy(made) for _ in range(times))

    def post(self, call: Call) -> HTTPAnswer:
        """Answer a request of the client; it is the client that calls this."""
        exchange = Exchange(call.deadline, call.body)
        look = make_watcher(call.progress, exchange)
        failure: Exception
        try:
            return self._exchange(exchange, call.id, look)
        except Stopped as stopped:
            failure = map_network_error(stopped, exchange)
        except CallerError as raised:
            failure = raised.error
        raise failure

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _exchange(self, exchange: Exchange, id_: str, look: Callable[[], None]) -> HTTPAnswer:
        exchange.deadline.check()
        request = _decode_request(exchange.body, id_)
        with self._lock:
            self.requests.append(request)
            failure = self._failures.popleft() if self._failures else None
        if failure is not None:
            raise failure
        exchange.authorised = exchange.connected = exchange.complete = True
        exchange.sent = exchange.size
        look()
        answer = self._answer(request)
        exchange.deadline.check()
        exchange.answered = True
        exchange.received = exchange.announced = len(answer.body)
        look()
        return answer

    def _answer(self, request: FakeRequest) -> HTTPAnswer:
        if request.inputs is None:
            return _json_answer(200, self._metadata)
        try:
            inputs = Metadata.parse(self._metadata).conform(request.inputs)
        except ContractError as error:
            problems = {"message": str(error), "problems": error.problems}
            return _json_answer(422, {"type": "InvalidInput", **problems})
        outputs = self._function(inputs)
        if request.outputs is not None:
            outputs = {name: outputs[name] for name in request.outputs if name in outputs}
        reply = protocol.encode_reply(outputs, model_name="", model_version="", id=request.id)
        headers = {**reply.headers, **_make_headers(self._model)}
        return HTTPAnswer(200, headers, bytearray().join(reply.buffers))


def _decode_request(body: Body, id_: str) -> FakeRequest:
    if not body.buffers:
        return FakeRequest(None, None, id_)
    raw = bytearray().join(body.buffers)
    request = protocol.decode_request(raw, body.json_size)
    return FakeRequest(request.inputs, request.outputs, id_)


def _make_headers(model: ModelIdentity) -> dict[str, str]:
    headers = {
        "Eisen-Model-Name": model.name,
        "Eisen-Model-Version": model.version,
        "Eisen-Archive-Digest": model.digest and f"sha-256={model.digest}",
    }
    return {name: value for name, value in headers.items() if value}


def _json_answer(status: int, body: Mapping[str, object]) -> HTTPAnswer:
    return HTTPAnswer(status, {"Content-Type": JSON_TYPE}, json.dumps(body).encode())
