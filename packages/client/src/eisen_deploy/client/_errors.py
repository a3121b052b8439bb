"""What can go wrong with a call.

::

    EisenClientError
    ├── InvalidURL (ValueError)             the address is not an http or https URL
    ├── ConnectionFailed (ConnectionError)  nothing, or not all, was sent         [retry]
    │   ├── ProxyFailed                     the proxy on the way refused
    │   └── TLSFailed                       no trust in the certificate, or another TLS fault
    ├── DeadlineExceeded (TimeoutError)     no whole reply within the timeout     [retry?]
    │   └── NotReady                        the model did not answer wait_ready() in time
    ├── Cancelled                           this program cancelled the call       [retry?]
    ├── UnknownOutcome                      sent, but the reply was lost on the way
    ├── RequestRefused                      4xx: the request is at fault
    │   ├── MalformedRequest                400  not a body that the handler reads
    │   ├── Unauthorized                    400 InvalidKeyException, 401, 403
    │   ├── ModelNotFound                   404, 405  no such model, version or address
    │   ├── RequestTooLarge                 413, cut off while sent, or over a known limit
    │   ├── UnsupportedMedia                415
    │   └── InvalidInput (ValueError)       422, or found before anything was sent
    ├── ServerFailed                        5xx: the server is at fault
    │   ├── ServerBusy                      429, and 503 or 507 where its type says so  [retry]
    │   ├── ModelFailed                     500  the model or a transform raised
    │   ├── WorkerDied                      500, 507  the server's worker process ended
    │   └── OutOfMemory                     507
    └── UnexpectedReply                     an answer that is not the handler's
        ├── Redirected                      3xx; never followed
        ├── MalformedReply                  not a reply of the protocol
        └── ReplyTooLarge                   larger than ``max_reply``, or than the server sends

``[retry]`` marks the errors whose ``retry`` is true: the model has not run, and the same call may
succeed a moment later. ``[retry?]``: it is true if the call ended before all of the request was
sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ._call.input_summaries import InputSummary
from ._shared.printable import clean


class EisenClientError(Exception):
    """Base of every error of this client. Messages never hold values of the data.

    What they quote of others, as a server's message or names from its metadata, is printable.

    ``str(error)`` is one line: the endpoint, what happened, what to do about it.

    :param message: what happened.
    :param facts: values of the attributes below, by name; those that are not given are the class's.
    """

    #: Whether the same call may be made again: the model has not run, and it may succeed then.
    retry: bool = False
    #: Whether the model has run on the batch: ``None`` means that it may have.
    executed: bool | None = None
    #: What to do about it, in a sentence.
    advice: str = ""
    #: The address asked, without credentials and query.
    endpoint: str | None = None
    #: The model asked, as the answer's headers name it, or else the address.
    model: str | None = None
    #: The name under which the server logs the request, if it named one; else the one that this
    #: client sent as the header ``X-Request-Id`` and as the ``id`` of the body.
    request_id: str | None = None
    #: What the request holds: ``(dtype, shape, size)`` by the name of the input, no values.
    inputs: Mapping[str, InputSummary] = MappingProxyType({})
    #: Bytes of the request's body.
    request_size: int | None = None
    #: How far the last attempt got: ``"preparing"``, ``"connecting"``, ``"sending"``,
    #: ``"waiting"`` or ``"receiving"``; ``None`` if there was none.
    stage: str | None = None
    #: How often the request was tried.
    attempts: int = 1
    #: What the first attempt ended with, if there were several.
    first_failure: str | None = None
    #: HTTP status of the answer, if there was one.
    status: int | None = None
    #: The error's name in the answer's JSON, such as ``ModelNotFoundException``.
    type: str | None = None
    #: The server's own message, shortened.
    server_message: str | None = None
    #: Seconds after which the server says to try again.
    retry_after: float | None = None
    #: Each thing that is wrong with the batch, one sentence each.
    problems: tuple[str, ...] = ()

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(clean(message))
        unknown = [name for name in facts if not hasattr(EisenClientError, name)]
        if unknown:
            raise TypeError(f"an error has no such attribute: {', '.join(unknown)}")
        self.__dict__.update({name: _clean(fact) for name, fact in facts.items()})

    def __str__(self) -> str:
        message: str = self.args[0]
        if self.attempts > 1:
            first = f"; the first ended with {self.first_failure}" if self.first_failure else ""
            message = f"{message} (attempt {self.attempts}{first})"
        if self.endpoint is not None:
            message = f"{self.endpoint}: {message}"
        return f"{message}; {self.advice}" if self.advice else message

    def __repr__(self) -> str:
        names = ("status", "type", "executed", "retry")
        facts = {name: getattr(self, name) for name in names}
        shown = "".join(f", {name}={fact!r}" for name, fact in facts.items() if fact is not None)
        return f"{self.__class__.__name__}({str(self)!r}{shown})"


def _clean(fact: object) -> object:
    """Return a fact with nothing that a terminal would obey: it may quote a server."""
    if isinstance(fact, str):
        return clean(fact)
    return tuple(map(_clean, fact)) if isinstance(fact, tuple) else fact


class InvalidURL(EisenClientError, ValueError):
    """The address cannot be used: it has no http or https scheme, or no host."""

    executed = False
    advice = "give the prediction endpoint, such as http://localhost:8080/predictions/model"


class ConnectionFailed(EisenClientError, ConnectionError):
    """No connection, or it broke before the whole request was sent: nothing was executed."""

    retry = True
    executed = False
    advice = "check that the server runs and that its address and port are these"


class ProxyFailed(ConnectionFailed):
    """The proxy on the way to the server could not be used."""

    retry = False
    advice = (
        "HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name the proxy, NO_PROXY the hosts to reach "
        "without it"
    )


class TLSFailed(ConnectionFailed):
    """The server's certificate is not trusted, it does not trust ours, or TLS itself failed."""

    retry = False
    advice = (
        "verify= takes the file of the certificate authority to trust, cert= the certificate of "
        "this client"
    )


class DeadlineExceeded(EisenClientError, TimeoutError):
    """The whole reply was not received within the timeout."""

    advice = "a longer timeout= may help"


class NotReady(DeadlineExceeded):
    """The model did not answer ``wait_ready`` in time; the message names the last obstacle."""

    executed = False
    advice = "the server's log shows whether the model loads"


class Cancelled(EisenClientError):
    """The call was ended by its :class:`Cancellation`, or by ``close()``."""

    advice = "this program itself ended the call"


class UnknownOutcome(EisenClientError):
    """The request was sent and the reply was lost: it may have been executed."""

    advice = "with idempotent=True the client sends it again, where running twice does no harm"


class RequestRefused(EisenClientError):
    """The server refused the request."""

    executed = False
    advice = "the server's message or its log says why"


class MalformedRequest(RequestRefused):
    """The server could not read the request's body."""

    advice = "check that the model's handler is that of Eisen-Deploy, and not older than the client"


class Unauthorized(RequestRefused):
    """The token is missing, wrong or expired, or it does not give access to the model."""

    advice = "token= takes the inference key of the server's key_file.json, which expires"


class ModelNotFound(RequestRefused):
    """The server has no such model, no such version, or no predictions at this address."""

    advice = "check the address: http://HOST:8080/predictions/MODEL[/VERSION]"


class RequestTooLarge(RequestRefused):
    """The request is larger than the server takes."""

    advice = (
        "raise max_request_size in the server's config.properties and the limits of proxies on "
        "the way, or send less at once"
    )


class UnsupportedMedia(RequestRefused):
    """The server's handler does not take the protocol that this client speaks."""

    advice = "the model's handler is not that of Eisen-Deploy, or an older one"


class InvalidInput(RequestRefused, ValueError):
    """The batch cannot be sent, or goes against the metadata; see ``problems``.

    ``status`` is ``None`` if it was found here, before anything was sent, and 422 if the server
    found it.
    """

    advice = "get_metadata() shows what the model takes"


class ServerFailed(EisenClientError):
    """The server, or something on the way to it, failed."""

    advice = "the server's log says why"


class ServerBusy(ServerFailed):
    """No worker is free or ready and the queue is full, or the server lacks memory for one more."""

    retry = True
    executed = False
    advice = "no worker is ready or the queue is full: try again later"


class ModelFailed(ServerFailed):
    """The model or one of its transforms failed on this request."""

    executed = True
    advice = "the same values will most likely fail again"


class WorkerDied(ServerFailed):
    """The worker process crashed, took longer than ``responseTimeout``, or replied too much.

    With the status 507 it was killed by SIGKILL, as where the system's memory does not suffice.
    """

    advice = (
        "it crashed, took longer than responseTimeout, or its reply was over max_response_size: "
        "the server's log says which"
    )


class OutOfMemory(ServerFailed):
    """The server's memory, or its accelerator's, did not suffice."""

    advice = "send less at once, or let fewer workers share the memory"


class UnexpectedReply(EisenClientError):
    """The answer is not the handler's: a proxy or another server may have given it."""

    advice = "check the address, and what stands between here and the server"


class Redirected(UnexpectedReply):
    """The server redirects; neither the batch nor the token is sent anywhere else."""

    executed = False
    advice = "if that address is the right one, make the client with it"


class MalformedReply(UnexpectedReply):
    """The answer is not a reply of the protocol; nothing of it is returned."""

    advice = "check that the address is that of a model packed with Eisen-Deploy"


class ReplyTooLarge(UnexpectedReply):
    """The answer is larger than ``max_reply``, this machine's memory, or what the server sends.

    The last has the status 413, and the model has run.
    """

    advice = "raise max_reply, or ask for fewer outputs or for less at once"
