"""The error of ours for each answer of a server that is not a reply.

They are read by their ``type``; the status decides only where there is none. Sources: the
handler's own error model, TorchServe 0.12's exception classes, and RFC 9110 for proxies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from eisen_deploy.client import _errors as errors
from eisen_deploy.client._http.answers import HTTPAnswer
from eisen_deploy.client._http.endpoint import Endpoint
from eisen_deploy.client._http.network_errors import USE_HTTPS, describe_size
from eisen_deploy.client._shared.errors import ContractError
from eisen_deploy.client._shared.printable import clean
from eisen_deploy.client._shared.wire import strict_json
from eisen_deploy.client._shared.wire.protocol import Body

_MAX_TEXT = 1000
_MAX_PROBLEMS = 100
_PROXY_ADVICE = "the proxy wants credentials: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
_KILLED_ADVICE = "it was killed by SIGKILL, as the system does where memory does not suffice"
_NO_ROOM = "OutOfDirectMemoryError"  # for one more incoming request
_SERVERS_LIMIT = "this is the server's limit, not a setting of this client"

#: By the type of the answer, where it says more than the class of the error.
_ADVICE = {
    "ReplyTooLarge": _SERVERS_LIMIT,
    "RequestTooLarge": _SERVERS_LIMIT,
    "BodyTooLarge": "send large values as arrays, which travel outside of the JSON part",
    _NO_ROOM: "the server's memory for incoming requests is used up: try again later; if it always "
    "is, raise -XX:MaxDirectMemorySize in its vmargs",
}

BY_TYPE: dict[str, type[errors.EisenClientError]] = {
    # the handler's
    "MalformedBody": errors.MalformedRequest,
    "BodyTooLarge": errors.RequestTooLarge,
    "ReplyTooLarge": errors.ReplyTooLarge,
    "UnsupportedMediaType": errors.UnsupportedMedia,
    "InvalidInput": errors.InvalidInput,
    "TransformFailed": errors.ModelFailed,
    "ModelFailed": errors.ModelFailed,
    "InvalidOutput": errors.ModelFailed,
    "TimedOut": errors.ServerFailed,
    "NotExecuted": errors.ServerBusy,
    "OutOfMemory": errors.OutOfMemory,
    # eisen-serve's, on uvicorn
    "RequestTooLarge": errors.RequestTooLarge,
    "TooSlow": errors.RequestRefused,
    # TorchServe's
    "BadRequestException": errors.MalformedRequest,
    "InvalidKeyException": errors.Unauthorized,
    "ModelNotFoundException": errors.ModelNotFound,
    "ModelVersionNotFoundException": errors.ModelNotFound,
    "ResourceNotFoundException": errors.ModelNotFound,
    "MethodNotAllowedException": errors.ModelNotFound,
    "ServiceUnavailableException": errors.ServerBusy,
    "ConflictStatusException": errors.RequestRefused,
    "RequestTimeoutException": errors.RequestRefused,
    "IllegalArgumentException": errors.MalformedRequest,  # with 403, which is not about the token
    "OutOfMemoryError": errors.OutOfMemory,  # of the Java process
    _NO_ROOM: errors.ServerBusy,
}

#: Not 503: where TorchServe does not say so itself, a proxy may have lost it while the model ran.
BY_STATUS: dict[int, type[errors.EisenClientError]] = {
    400: errors.MalformedRequest,
    401: errors.Unauthorized,
    403: errors.Unauthorized,
    404: errors.ModelNotFound,
    405: errors.ModelNotFound,
    407: errors.ProxyFailed,
    408: errors.ServerFailed,  # Ray Serve's proxy, which has waited too long for the model
    413: errors.RequestTooLarge,
    415: errors.UnsupportedMedia,
    422: errors.InvalidInput,
    429: errors.ServerBusy,
    507: errors.OutOfMemory,
}


#: What nginx, Apache, Go and Tomcat answer with the status 400 to a plain request, where they
#: speak TLS.
_WANTS_TLS = re.compile(
    rb"plain HTTP request was sent to HTTPS port|speaking plain HTTP to an SSL-enabled server|"
    rb"HTTP request to an HTTPS server|combination of host and port requires TLS",
    re.IGNORECASE,
)


def map_server_error(
    answer: HTTPAnswer, endpoint: Endpoint, body: Body, taken: int = 0
) -> errors.EisenClientError:
    """Return the error that an answer with a status other than 200 stands for.

    :param taken: bytes of the largest request that the server is known to take.
    """
    read = _read_json(answer)
    type_, text = _clean_text(read.get("type")), _clean_text(read.get("message"))
    kind = _choose_class(answer.status, type_, text)
    message = _describe_answer(answer, type_, text)
    facts: dict[str, object] = {}
    if kind is errors.Redirected:
        message += f" to {endpoint.show_redirect(answer.headers.get('Location'))}, not followed"
    if kind is errors.InvalidInput:
        facts["problems"] = tuple(_read_problems(read, text))
    if kind is errors.MalformedRequest and _WANTS_TLS.search(answer.body):
        message, facts["advice"] = "the server speaks TLS at this port, not plain HTTP", USE_HTTPS
    if answer.status == 407:
        facts["advice"] = _PROXY_ADVICE
    if type_ in _ADVICE:
        facts["advice"] = _ADVICE[type_]
    if kind is errors.WorkerDied and answer.status == 507:
        facts["advice"] = _KILLED_ADVICE
    if kind is errors.RequestTooLarge and type_ is None:
        message += f": the request is too large; {describe_size(body)}"
        message += f"; the server is known to take {taken}" if 0 < taken < body.size else ""
    return kind(
        message,
        status=answer.status,
        type=type_,
        server_message=text,
        request_id=answer.request_id,
        model=answer.model,
        retry_after=answer.retry_after,
        **facts,
    )


def _choose_class(
    status: int, type_: str | None, text: str | None
) -> type[errors.EisenClientError]:
    if type_ == "InternalServerException":  # TorchServe's, for all that happens in a worker
        if text and text.startswith("Worker died"):
            return errors.WorkerDied
        return errors.OutOfMemory if status == 507 else errors.ModelFailed
    if type_ in BY_TYPE:
        return BY_TYPE[type_]
    if status in BY_STATUS:
        return BY_STATUS[status]
    ranges = {3: errors.Redirected, 4: errors.RequestRefused, 5: errors.ServerFailed}
    return ranges.get(status // 100, errors.UnexpectedReply)


def _describe_answer(answer: HTTPAnswer, type_: str | None, text: str | None) -> str:
    message = f"{answer.source} answered {answer.status}{f' {type_}' if type_ else ''}"
    if text:
        return f"{message}: {text}"
    if answer.body and "json" not in answer.headers.get("Content-Type", "").lower():
        return f"{message} and not in JSON: something on the way to the server may have answered"
    return message


def _read_json(answer: HTTPAnswer) -> Mapping[str, object]:
    try:
        return strict_json.loads_object(answer.body, "the error")
    except ContractError:
        return {}


def _read_problems(read: Mapping[str, object], text: str | None) -> list[str]:
    listed = read.get("problems")
    texts = map(_clean_text, listed[:_MAX_PROBLEMS] if isinstance(listed, list) else ())
    return [item for item in texts if item] or [text or "the server names no problem"]


def _clean_text(value: object) -> str | None:
    """Return a server's text fit for a message: of bounded length, on one line."""
    if not isinstance(value, str) or not value.strip():
        return None
    line = " ".join(value[: 2 * _MAX_TEXT].split())
    printable = "".join(c if clean(c) == c else "?" for c in line)
    return printable if len(printable) <= _MAX_TEXT else printable[: _MAX_TEXT - 3] + "..."
