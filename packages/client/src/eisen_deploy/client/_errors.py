"""What can go wrong with a call.

::

    EisenClientError
    ├── InvalidURL (ValueError)             the address is not an http or https URL
    ├── ConnectionFailed (ConnectionError)  nothing, or not all, was sent         [retry]
    │   ├── ProxyFailed                     the proxy on the way refused
    │   └── TLSFailed                       no trust in the certificate, or another TLS fault
    ├── DeadlineExceeded (TimeoutError)     no whole reply within the timeout
    ├── UnknownOutcome                      sent, but the reply was lost on the way
    ├── RequestRefused                      4xx: the request is at fault
    │   ├── MalformedRequest                400  not a body that the handler reads
    │   ├── Unauthorized                    400 InvalidKeyException, 401, 403
    │   ├── ModelNotFound                   404, 405  no such model, version or address
    │   ├── RequestTooLarge                 413, or cut off while a large body was sent
    │   ├── UnsupportedMedia                415
    │   └── InvalidInput (ValueError)       422, or found before anything was sent
    ├── ServerFailed                        5xx: the server is at fault
    │   ├── ServerBusy                      503 ServiceUnavailableException, 429  [retry]
    │   ├── ModelFailed                     500  the model or a transform raised
    │   ├── WorkerDied                      500  the server's worker process ended
    │   └── OutOfMemory                     507
    └── UnexpectedReply                     an answer that is not one of the handler's
        ├── Redirected                      3xx; never followed
        ├── MalformedReply                  not a reply of the protocol
        └── ReplyTooLarge                   larger than ``max_reply``

``[retry]`` marks the errors whose ``retry`` is true: the model has not run, and the same call may
succeed a moment later.
"""

from __future__ import annotations

from collections.abc import Iterable


class EisenClientError(Exception):
    """Base of every error of this client. Messages never hold values of the data.

    :param message: what happened and what to do about it.
    :param endpoint: the address asked, without credentials and query.
    :param status: HTTP status of the answer, if there was one.
    :param type: the error's name in the answer's JSON, such as ``ModelNotFoundException``.
    :param server_message: the server's own words, shortened.
    :param request_size: bytes of the request's body.
    :param request_id: the server's name for the request, to look for in its logs.
    :param problems: each thing that is wrong with the batch, one sentence each.

    Each parameter is an attribute of the same name, but for ``message``, which ``str(error)``
    gives after the endpoint.
    """

    #: Whether the same call may be made again: nothing was executed, and it may succeed then.
    retry: bool = False

    def __init__(
        self,
        message: str,
        *,
        endpoint: str | None = None,
        status: int | None = None,
        type: str | None = None,  # noqa: A002 - the answer's own name for it
        server_message: str | None = None,
        request_size: int | None = None,
        request_id: str | None = None,
        problems: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.status = status
        self.type = type
        self.server_message = server_message
        self.request_size = request_size
        self.request_id = request_id
        self.problems = tuple(problems)

    def __str__(self) -> str:
        message = str(self.args[0])
        return message if self.endpoint is None else f"{self.endpoint}: {message}"

    def __repr__(self) -> str:
        facts = {"status": self.status, "type": self.type, "retry": self.retry}
        told = "".join(f", {name}={fact!r}" for name, fact in facts.items() if fact is not None)
        return f"{self.__class__.__name__}({str(self)!r}{told})"


class InvalidURL(EisenClientError, ValueError):
    """The address is not one that can be asked: no http or https scheme, or no host."""


class ConnectionFailed(EisenClientError, ConnectionError):
    """No connection, or it broke before the whole request was sent: nothing was executed."""

    retry = True


class ProxyFailed(ConnectionFailed):
    """The proxy on the way to the server could not be used."""

    retry = False


class TLSFailed(ConnectionFailed):
    """The server's certificate is not trusted, it does not trust ours, or TLS itself failed."""

    retry = False


class DeadlineExceeded(EisenClientError, TimeoutError):
    """The whole reply was not here within the timeout; the request may have been executed."""


class UnknownOutcome(EisenClientError):
    """The request was sent and the reply was lost: it may have been executed."""


class RequestRefused(EisenClientError):
    """The server refused the request."""


class MalformedRequest(RequestRefused):
    """The server could not read the request's body."""


class Unauthorized(RequestRefused):
    """The token is missing, wrong or expired, or it does not give access to the model."""


class ModelNotFound(RequestRefused):
    """The server has no such model, no such version, or no predictions at this address."""


class RequestTooLarge(RequestRefused):
    """The request is larger than the server takes."""


class UnsupportedMedia(RequestRefused):
    """The server's handler does not take the protocol that this client speaks."""


class InvalidInput(RequestRefused, ValueError):
    """The batch cannot be sent, or goes against the metadata; see ``problems``.

    ``status`` is ``None`` if it was found here, before anything was sent, and 422 if the server
    found it.
    """


class ServerFailed(EisenClientError):
    """The server, or something on the way to it, failed."""


class ServerBusy(ServerFailed):
    """No worker is free or ready, and the server's queue took nothing more."""

    retry = True


class ModelFailed(ServerFailed):
    """The model or one of its transforms failed on this request."""


class WorkerDied(ServerFailed):
    """The worker process crashed, took longer than ``responseTimeout``, or replied too much."""


class OutOfMemory(ServerFailed):
    """The server's memory, or its accelerator's, did not suffice."""


class UnexpectedReply(EisenClientError):
    """The answer is not one of the handler's: a proxy or another server may have given it."""


class Redirected(UnexpectedReply):
    """The server redirects; neither the batch nor the token is sent anywhere else."""


class MalformedReply(UnexpectedReply):
    """The answer is not a reply of the protocol; nothing of it is returned."""


class ReplyTooLarge(UnexpectedReply):
    """The answer is larger than ``max_reply``, or than this machine's memory."""
