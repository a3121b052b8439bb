"""The client."""

from __future__ import annotations

import copy
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from ._call import batch_encoding, reply_decoding
from ._call.calls import METADATA_REQUEST, Call, Caller, new_id
from ._call.parallel_batches import run_in_order
from ._call.retries import Retries
from ._call.size_limit import SizeLimit
from ._errors import Cancelled, EisenClientError, MalformedReply
from ._http.credentials import Credentials
from ._http.endpoint import Endpoint
from ._http.transport import Transport
from ._predictions import Prediction
from ._waiting.callbacks import Progress
from ._waiting.deadline import Cancellation, Deadline, check_seconds
from ._waiting.readiness import wait_ready

if TYPE_CHECKING:
    from .testing import FakeModel


class EisenServingClient:
    """Asks one model, packaged with ``EisenServingMAR`` and served by TorchServe.

    It may be used from several threads at once. Close it, or use it as a context manager, to
    give its connections back. It is not copied or pickled: make one in each process.

    :param url: the prediction endpoint, ``http://HOST:8080/predictions/MODEL[/VERSION]`` or
        ``http://HOST:8080/v2/models/MODEL/infer``. A user part is sent as Basic credentials.
    :param validate_inputs: check each batch against the model's metadata before it is sent, and
        convert it where that loses nothing; check also that the reply holds the declared outputs
        and no others. The metadata is fetched with the first batch, by each ``get_metadata()``, and
        again after a reply that cannot be read.
    :param token: sent as ``Authorization: Bearer``: the inference key of TorchServe; or the
        ``pathlib.Path`` of a file that holds it, alone or as TorchServe's ``key_file.json``; or a
        function that returns it. File and function are read for each request, and once more where
        the server refuses the token. The function is called on a thread of the client's own.
    :param timeout: seconds for a whole call, from connecting to the last byte of the reply and
        with all retries; ``None`` for no limit. Looking up the host's name is within it.
    :param verify: for https: ``True`` trusts what the environment's ``REQUESTS_CA_BUNDLE`` names
        or else the authorities of certifi, a path trusts that file or folder of authorities and
        nothing else, ``"system"`` those that the operating system trusts (by the extra
        ``truststore``, on Python 3.10 and later), ``False`` trusts anyone.
    :param cert: the client's own certificate: a path to a PEM file with the key in it, or the
        paths of certificate and key.
    :param max_reply: largest reply that is read, in bytes; 4 GiB by default. Of strings
        and of values in JSON no more than some 200,000 are read.
    :param max_request: largest request in bytes that the server is known to take, its
        ``max_request_size``: a larger one is refused before it is sent. What the server itself
        refused as too large is remembered for a minute.
    :param retries: how often a request is sent again where the model cannot have run: no
        connection, or a busy server. A number, or a :class:`Retries`.
    :param transport: a :class:`~eisen_deploy.client.testing.FakeModel` to ask in place of a server.
    :raises InvalidURL: if the address is not an http or https URL with a host.
    :raises ValueError: if another parameter cannot be used.
    """

    def __init__(  # noqa: PLR0913 - the options of a client
        self,
        url: str,
        validate_inputs: bool = False,
        *,
        token: str | os.PathLike[str] | Callable[[], str] | None = None,
        timeout: float | None = 300.0,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        max_reply: int = 2**32,
        max_request: int | None = None,
        retries: int | Retries = 3,
        transport: FakeModel | None = None,
    ) -> None:
        self._endpoint = Endpoint.parse(url)
        self._validate_inputs = validate_inputs
        self._timeout = check_seconds(timeout)
        self._retries = retries if isinstance(retries, Retries) else Retries(retries)
        _check_bytes("max_reply", max_reply)
        if max_request is not None:
            _check_bytes("max_request", max_request)
        credentials = Credentials(token, self._endpoint.user)
        limit = SizeLimit(max_request)
        self._transport = transport or Transport(
            self._endpoint, credentials, verify, cert, max_reply, limit
        )
        self._caller = Caller(self._endpoint, self._transport, limit, credentials.renewable)
        self._metadata: Mapping[str, object] | None = None
        self._iterations: weakref.WeakSet[Cancellation] = weakref.WeakSet()

    def get_metadata(
        self, *, timeout: float | None = None, cancel: Cancellation | None = None
    ) -> dict[str, Any]:
        """Ask the model for its metadata, by an empty request.

        :param timeout: seconds for this call; ``None`` for the client's.
        :param cancel: ends the call from another thread.
        :returns: the dict that the model was packaged with.
        :raises EisenClientError: see :class:`EisenClientError` for all that can go wrong.
        """
        return self._fetch_metadata(self._deadline(timeout, cancel), self._retries)

    def predict(
        self,
        batch: Mapping[str, object],
        *,
        timeout: float | None = None,
        outputs: Iterable[str] | None = None,
        idempotent: bool = False,
        cancel: Cancellation | None = None,
        progress: Callable[[Progress], object] | None = None,
    ) -> Prediction:
        """Run the model on a batch.

        :param batch: inputs by name: numpy arrays and what converts to them (torch tensors on the
            CPU), str, numbers, None, and lists and dicts of them. Axis 0 of an array is the batch
            axis. Arrays that are C-contiguous and little-endian are sent without a copy.
        :param timeout: seconds for this call, metadata and retries included; ``None`` for the
            client's.
        :param outputs: names of the outputs to reply; all that the model declares if ``None``.
        :param idempotent: running the model twice does no harm: send again also where it may have
            run, after :class:`UnknownOutcome` or a 408, 500, 502, 503 or 504 of a proxy, and once
            after :class:`WorkerDied`.
        :param cancel: ends the call from another thread.
        :param progress: called on this thread with a :class:`Progress`, a few times a second and at
            the end of each attempt. What it raises ends the call.
        :returns: a dict, outputs by name. Arrays are writable; those of numbers are views of the
            one buffer that the reply was read into. Its attribute ``model`` says which model
            answered, see :class:`Prediction`.
        :raises InvalidInput: if the batch cannot be sent, or is not what the model declares.
        :raises EisenClientError: see :class:`EisenClientError` for all else that can go wrong.
        """
        deadline = self._deadline(timeout, cancel)
        return self._predict(batch, deadline, _list_names(outputs), idempotent, progress)

    def predict_many(
        self,
        batches: Iterable[Mapping[str, object]],
        *,
        workers: int = 4,
        timeout: float | None = None,
        outputs: Iterable[str] | None = None,
        idempotent: bool = False,
        cancel: Cancellation | None = None,
        return_errors: bool = False,
    ) -> Iterator[Any]:
        """Run the model on many batches, several at a time, and yield the results in their order.

        Batches are taken as results are consumed, at most ``workers + 1`` ahead, on the thread that
        consumes. The first error is raised in its place and ends the rest. Closing the iterator or
        the client ends it too. When it has ended, its threads have.

        :param batches: any iterable of what :meth:`predict` takes; it may be endless.
        :param workers: how many requests are under way at a time.
        :param timeout: seconds for each batch; ``None`` for the client's.
        :param return_errors: yield the error of a batch in place of its result, and go on.
        :returns: what :meth:`predict` returns, for each batch.
        :raises ValueError: if ``workers`` is not a number of 1 or more.

        The other parameters are those of :meth:`predict`.
        """
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ValueError("workers must be a number of 1 or more")
        seconds, names, stop = check_seconds(timeout), _list_names(outputs), Cancellation()

        def call(batch: Mapping[str, object]) -> Prediction | EisenClientError:
            deadline = self._deadline(seconds, cancel, stop)
            try:
                return self._predict(batch, deadline, names, idempotent, None)
            except Cancelled:
                raise
            except EisenClientError as error:
                if return_errors:
                    return error.with_traceback(None)  # its frames hold the batch
                raise

        self._iterations.add(stop)
        return run_in_order(call, iter(batches), workers, stop)

    def wait_ready(
        self, timeout: float = 60.0, *, cancel: Cancellation | None = None
    ) -> dict[str, Any]:
        """Wait until the model answers, asking for its metadata again and again.

        A server that is not there yet or is busy is waited for; a wrong address or token, or a
        certificate that is not trusted, is raised at once.

        :param timeout: seconds to wait at most.
        :param cancel: ends the wait from another thread.
        :returns: the metadata.
        :raises NotReady: if it did not answer by then; it names the last obstacle.
        :raises EisenClientError: if waiting cannot help.
        """
        deadline = self._deadline(timeout, cancel)
        with self._caller.describe_in_errors(METADATA_REQUEST, None):
            return wait_ready(partial(self._fetch_metadata, retries=Retries(0)), deadline)

    def close(self) -> None:
        """End what :meth:`predict_many` began, and close the connections that are kept.

        A further call opens new ones.
        """
        for stop in list(self._iterations):
            stop.cancel()
        self._transport.close()

    def __enter__(self) -> EisenServingClient:  # noqa: PYI034 - Self is Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a client is not copied or pickled, it holds connections and credentials: make one "
            "in each process, and share it between threads"
        )

    def __repr__(self) -> str:
        return (
            f"EisenServingClient({self._endpoint.shown!r}, "
            f"validate_inputs={self._validate_inputs!r}, timeout={self._timeout!r})"
        )

    def _deadline(self, timeout: float | None, *cancellations: Cancellation | None) -> Deadline:
        seconds = self._timeout if timeout is None else check_seconds(timeout)
        return Deadline(seconds, *cancellations)

    def _predict(
        self,
        batch: Mapping[str, object],
        deadline: Deadline,
        outputs: Iterable[str] | None,
        idempotent: bool,
        progress: Callable[[Progress], object] | None,
    ) -> Prediction:
        id_, declared = new_id(), None
        with self._caller.describe_in_errors(METADATA_REQUEST, None):
            batch_encoding.check_names(batch, outputs)
            if self._validate_inputs:
                batch, declared = batch_encoding.conform(batch, self._cached_metadata(deadline))
            body = batch_encoding.encode(batch, outputs, id_)
        call = Call(body, deadline, id_, self._retries, idempotent, progress)
        answer = self._caller.send(call)
        try:
            with self._caller.describe_in_errors(body, id_):
                return reply_decoding.decode(answer, outputs or declared, id_)
        except MalformedReply:
            self._metadata = None  # by now it may be another version of the model that answers
            raise

    def _cached_metadata(self, deadline: Deadline) -> Mapping[str, object]:
        # No lock: a thread that waited for another one's request would outlast its deadline.
        if self._metadata is None:
            return self._fetch_metadata(deadline, self._retries)
        return self._metadata

    def _fetch_metadata(self, deadline: Deadline, retries: Retries) -> dict[str, Any]:
        id_ = new_id()
        call = Call(METADATA_REQUEST, deadline, id_, retries, idempotent=True)
        with self._caller.describe_in_errors(METADATA_REQUEST, id_):
            metadata = reply_decoding.decode_metadata(self._caller.send(call))
        self._metadata = copy.deepcopy(metadata)  # what is returned is the caller's to change
        return metadata


def _list_names(outputs: Iterable[str] | None) -> Iterable[str] | None:
    return outputs if outputs is None or isinstance(outputs, str) else tuple(outputs)


def _check_bytes(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a number of bytes above 0")
