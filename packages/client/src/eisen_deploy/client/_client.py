"""The client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from . import _batches
from ._credentials import Credentials
from ._deadline import Deadline, check_seconds
from ._endpoint import Endpoint
from ._errors import EisenClientError
from ._replies import Answer
from ._shared.protocol import BINARY_TYPE, JSON_TYPE, Body
from ._transport import Transport

_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "eisen-deploy-client"}


class EisenServingClient:
    """Asks one model, packaged with ``EisenServingMAR`` and served by TorchServe.

    It may be used from several threads at once. Close it, or use it as a context manager, to
    give its connections back.

    :param url: the prediction endpoint, ``http://HOST:8080/predictions/MODEL[/VERSION]`` or
        ``http://HOST:8080/v2/models/MODEL/infer``. A user part is sent as Basic credentials.
    :param validate_inputs: check each batch against the model's metadata before it is sent, and
        convert it where that loses nothing. The metadata is fetched once, with the first batch.
    :param token: sent as ``Authorization: Bearer``: the inference key of TorchServe, or a
        function that returns it, called for each request.
    :param timeout: seconds for a whole call, from connecting to the last byte of the reply;
        ``None`` for no limit. Looking up the host's name is within it.
    :param verify: for https: ``True`` trusts what the environment's ``REQUESTS_CA_BUNDLE`` names
        or else the authorities of certifi, a path trusts that file or folder of authorities and
        nothing else, ``False`` trusts anyone.
    :param cert: the client's own certificate: a path to a PEM file with the key in it, or the
        paths of certificate and key.
    :param max_reply: largest reply that is read, in bytes; 4 GiB by default.
    :raises InvalidURL: if the address is not an http or https URL with a host.
    :raises ValueError: if another parameter cannot be used.
    """

    def __init__(
        self,
        url: str,
        validate_inputs: bool = False,
        *,
        token: str | Callable[[], str] | None = None,
        timeout: float | None = 300.0,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        max_reply: int = 2**32,
    ) -> None:
        self._endpoint = Endpoint.parse(url)
        self._validate_inputs = validate_inputs
        self._timeout = check_seconds(timeout)
        if isinstance(max_reply, bool) or not isinstance(max_reply, int) or max_reply < 1:
            raise ValueError("max_reply must be a number of bytes above 0")
        credentials = Credentials(token, self._endpoint.user)
        self._transport = Transport(self._endpoint, credentials, verify, cert, max_reply)
        self._metadata: dict[str, Any] | None = None

    def get_metadata(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Ask the model for its metadata, by an empty request.

        :param timeout: seconds for this call; ``None`` for the client's.
        :returns: the dict that the model was packaged with.
        :raises EisenClientError: see :class:`EisenClientError` for all that can go wrong.
        """
        with self._named_in_errors():
            return self._fetch_metadata(self._deadline(timeout))

    def predict(
        self,
        batch: Mapping[str, Any],
        *,
        timeout: float | None = None,
        outputs: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Run the model on a batch.

        :param batch: inputs by name: numpy arrays and what converts to them (torch tensors on the
            CPU), str, numbers, None, and lists and dicts of them. Axis 0 of an array is the batch
            axis. Arrays that are C-contiguous and little-endian are sent without a copy.
        :param timeout: seconds for this call, metadata included; ``None`` for the client's.
        :param outputs: names of the outputs to reply; all that the model declares if ``None``.
        :returns: outputs by name. Arrays are writable; those of numbers are views of the one buffer
            that the reply was read into.
        :raises InvalidInput: if the batch cannot be sent, or is not what the model declares.
        :raises EisenClientError: see :class:`EisenClientError` for all else that can go wrong.
        """
        deadline = self._deadline(timeout)
        names = outputs if outputs is None or isinstance(outputs, str) else tuple(outputs)
        with self._named_in_errors():
            _batches.check_names(batch, names)
            if self._validate_inputs:
                batch = _batches.conform(batch, self._cached_metadata(deadline))
            body = _batches.encode(batch, names)
        with self._named_in_errors(body):
            return _batches.decode(self._post(body, BINARY_TYPE, deadline), names)

    def close(self) -> None:
        """Close the connections that are kept for further calls; a further call opens new ones."""
        self._transport.close()

    def __enter__(self) -> EisenServingClient:  # noqa: PYI034 - Self is Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"EisenServingClient({self._endpoint.shown!r}, "
            f"validate_inputs={self._validate_inputs!r}, timeout={self._timeout!r})"
        )

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else check_seconds(timeout))

    def _cached_metadata(self, deadline: Deadline) -> dict[str, Any]:
        # No lock: a thread that waited for another one's request would outlast its deadline.
        if self._metadata is None:
            self._metadata = self._fetch_metadata(deadline)
        return self._metadata

    def _fetch_metadata(self, deadline: Deadline) -> dict[str, Any]:
        return _batches.decode_metadata(self._post(_batches.EMPTY, JSON_TYPE, deadline))

    def _post(self, body: Body, accept: str, deadline: Deadline) -> Answer:
        headers = {**_HEADERS, "Accept": accept}
        if body.buffers:
            headers.update(body.headers)
        return self._transport.post(body, headers, deadline)

    @contextmanager
    def _named_in_errors(self, body: Body = _batches.EMPTY) -> Iterator[None]:
        """Add to every error what was asked and how much was sent."""
        try:
            yield
        except EisenClientError as error:
            error.endpoint = self._endpoint.shown
            error.request_size = body.size
            raise
