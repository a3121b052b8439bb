"""Sends one request and brings its answer, under one deadline."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from requests.auth import AuthBase

from ._answers import error_of
from ._connections import open_session
from ._credentials import Credentials
from ._deadline import Deadline, Expired, run_until
from ._endpoint import Endpoint
from ._errors import EisenClientError
from ._exchange import Exchange, Upload
from ._failures import FAILURES, explain
from ._replies import Answer, read_answer
from ._shared.protocol import Body


class Transport:
    """The connections to one endpoint; safe to use from several threads at once.

    Parameters as of :class:`EisenServingClient`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        verify: bool | str,
        cert: str | tuple[str, str] | None,
        max_reply: int,
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._verify = verify
        self._cert = cert
        self._max_reply = max_reply
        self._session = open_session()

    def post(self, body: Body, headers: Mapping[str, str], deadline: Deadline) -> Answer:
        """Send a request and return its answer, which has status 200.

        :param body: one without buffers asks for the metadata.
        :raises EisenClientError: if no whole answer came, or another status.
        """
        exchange = Exchange(deadline, body.size)
        upload = Upload(body.buffers, exchange) if body.buffers else None
        auth = self._credentials.read()
        try:
            answer = run_until(
                deadline, lambda: self._run(exchange, upload, headers, auth), exchange.stop
            )
        except EisenClientError:
            raise
        except FAILURES as error:
            raise explain(error, exchange) from None
        if answer.status != 200:
            raise error_of(answer, self._endpoint, body.size)
        return answer

    def close(self) -> None:
        """Close the connections that no call uses."""
        self._session.close()

    def _run(
        self,
        exchange: Exchange,
        upload: Upload | None,
        headers: Mapping[str, str],
        auth: AuthBase,
    ) -> Answer:
        timeout = exchange.deadline.remaining
        if timeout == 0:
            raise Expired
        with exchange.running():
            response = self._session.post(
                self._endpoint.url,
                data=upload,  # type: ignore[arg-type] # http.client sends any buffers
                headers=headers,
                auth=auth,
                timeout=timeout,
                allow_redirects=False,
                stream=True,
                # With each call: the environment would win over what a session holds.
                verify=self._verify,
                cert=self._cert,
            )
            with closing(response):
                return read_answer(response, exchange, self._max_reply)
