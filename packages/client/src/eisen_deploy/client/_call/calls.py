"""One call: a request that is sent until it is answered, or may not be sent again."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from eisen_deploy.client._errors import EisenClientError, UnknownOutcome
from eisen_deploy.client._http.answers import HTTPAnswer
from eisen_deploy.client._http.body_reading import CODING
from eisen_deploy.client._http.endpoint import Endpoint
from eisen_deploy.client._logging import log
from eisen_deploy.client._shared.wire.protocol import BINARY_TYPE, JSON_TYPE, Body
from eisen_deploy.client._waiting.callbacks import Progress
from eisen_deploy.client._waiting.deadline import Deadline

from .input_summaries import summarise_inputs
from .retries import Retries, call_with_retries
from .server_errors import map_server_error
from .size_limit import SizeLimit

#: The body of the request that asks for the metadata.
METADATA_REQUEST = Body((), None)

_HEADERS = {"Accept-Encoding": CODING, "User-Agent": "eisen-deploy-client"}


class Call(NamedTuple):
    """What is asked, and how.

    :param body: one without buffers asks for the metadata.
    :param id: our name for the request.
    """

    body: Body
    deadline: Deadline
    id: str
    retries: Retries
    idempotent: bool = False
    progress: Callable[[Progress], object] | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its request, but for credentials and length."""
        headers = {**_HEADERS, "X-Request-Id": self.id}
        if not self.body.buffers:
            return {**headers, "Accept": JSON_TYPE}
        return {**headers, "Accept": BINARY_TYPE, **self.body.headers}


class Transport(Protocol):
    """What brings the answer to a call: over HTTP, or from a model that needs no server."""

    def post(self, call: Call) -> HTTPAnswer:
        """Return the answer, of whatever status.

        :raises EisenClientError: if there is no whole answer.
        """

    def close(self) -> None:
        """Give back what is kept for further calls."""


def new_id() -> str:
    """Return a name for a request that no other one has."""
    return os.urandom(8).hex()


@dataclass(frozen=True, repr=False)
class Caller:
    """Makes calls to one endpoint.

    :param renewable: whether the token may be another one when it is read again.
    """

    endpoint: Endpoint
    transport: Transport
    limit: SizeLimit
    renewable: bool

    def send(self, call: Call) -> HTTPAnswer:
        """Send a call, again where that is safe, and return the answer, which has status 200.

        :raises EisenClientError: if there was none.
        """
        with self.describe_in_errors(call.body, call.id):
            self.limit.check(call.body)
            return call_with_retries(lambda: self._attempt(call), call, renewable=self.renewable)

    @contextmanager
    def describe_in_errors(self, body: Body, id_: str | None) -> Iterator[None]:
        """Add to every error what was asked and what was sent."""
        try:
            yield
        except EisenClientError as error:
            error.endpoint = self.endpoint.shown
            error.model = error.model or self.endpoint.model
            error.request_id = error.request_id or id_
            error.request_size = body.size
            error.inputs = summarise_inputs(body)
            if not body.buffers:  # it asked for the metadata: no model runs for that
                error.executed = False
                if isinstance(error, UnknownOutcome):
                    error.advice = "no model ran for it: try again"
            raise

    def _attempt(self, call: Call) -> HTTPAnswer:
        start = time.monotonic()
        size = call.body.size
        inputs = _list_inputs(call.body) if log.isEnabledFor(logging.DEBUG) else ""
        log.debug("request %s: %d bytes to %s%s", call.id, size, self.endpoint.shown, inputs)
        try:
            answer = self.transport.post(call)
            if answer.status != 200:
                raise map_server_error(answer, self.endpoint, call.body, self.limit.taken)
        except EisenClientError as error:
            self.limit.learn(size, error)
            what = f"{type(error).__name__} (status {error.status})"
            log.debug("request %s: %s after %.3f s", call.id, what, time.monotonic() - start)
            raise
        self.limit.learn(size, None)
        length, seconds = len(answer.body), time.monotonic() - start
        log.debug("request %s: answered with %d bytes after %.3f s", call.id, length, seconds)
        return answer


def _list_inputs(body: Body) -> str:
    listed = [f"{name}: {item}" for name, item in summarise_inputs(body).items()]
    return f" ({'; '.join(listed)})" if listed else ""
