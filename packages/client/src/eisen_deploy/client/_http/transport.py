"""Sends one request and brings its answer, under one deadline."""

from __future__ import annotations

import os

from eisen_deploy.client._call.calls import Call
from eisen_deploy.client._call.size_limit import SizeLimit
from eisen_deploy.client._errors import EisenClientError
from eisen_deploy.client._waiting.callbacks import CallerError, make_watcher
from eisen_deploy.client._waiting.deadline import Expired, run_until

from .answers import HTTPAnswer, read_answer
from .connections import Connections
from .credentials import Credentials
from .endpoint import Endpoint
from .exchange import Exchange, Upload
from .network_errors import FAILURES, map_network_error


class Transport:
    """The connections to one endpoint; safe to use from several threads at once.

    Parameters as of :class:`EisenServingClient`; ``limit`` is what its calls learn of the server.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        verify: bool | str,
        cert: str | tuple[str, str] | None,
        max_reply: int,
        limit: SizeLimit,
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._verify = verify
        self._cert = cert
        self._max_reply = max_reply
        self._limit = limit
        self._open()

    def post(self, call: Call) -> HTTPAnswer:
        """Send a request and return its answer, of whatever status.

        :raises EisenClientError: if there is no whole answer.
        """
        fits = call.body.size <= self._limit.taken
        exchange = Exchange(call.deadline, call.body, fits=fits)
        look = make_watcher(call.progress, exchange)
        failure: Exception
        try:
            return run_until(call.deadline, lambda: self._run(exchange, call), exchange.stop, look)
        except EisenClientError as error:
            error.stage = exchange.stage
            raise
        except CallerError as raised:
            failure = raised.error
        except FAILURES as error:
            failure = map_network_error(error, exchange)
        try:
            raise failure  # out here: it would hold on to requests' error, and that to the batch
        finally:
            del failure  # it holds on to this frame

    def close(self) -> None:
        """Close the connections that no call uses."""
        self._connections.close()

    def _open(self) -> None:
        self._process = os.getpid()
        self._connections = Connections(self._endpoint.url, self._verify, self._cert)

    def _run(self, exchange: Exchange, call: Call) -> HTTPAnswer:
        headers = {"Connection": "keep-alive", **call.headers, **self._credentials.read()}
        headers["Content-Length"] = str(exchange.size)
        exchange.authorised = True
        timeout = exchange.deadline.remaining
        if timeout == 0:
            raise Expired
        if self._process != os.getpid():  # a fork: two processes must not share a connection
            self._open()
        body = Upload(exchange) if exchange.size else None
        with exchange.running():
            response = self._connections.send(body, headers, timeout)
            try:
                return read_answer(response, exchange, self._max_reply)
            finally:
                response.close()  # this also closes a connection that is not read whole
                response.release_conn()
