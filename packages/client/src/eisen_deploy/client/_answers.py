"""What the errors that a server answers mean for a caller.

They are read by their ``type``; the status decides only where there is none. Sources: the
handler's own error model, TorchServe 0.12's exception classes, and RFC 9110 for proxies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._endpoint import Endpoint
from ._errors import (
    EisenClientError,
    InvalidInput,
    MalformedRequest,
    ModelFailed,
    ModelNotFound,
    OutOfMemory,
    ProxyFailed,
    Redirected,
    RequestRefused,
    RequestTooLarge,
    ServerBusy,
    ServerFailed,
    Unauthorized,
    UnexpectedReply,
    UnsupportedMedia,
    WorkerDied,
)
from ._failures import too_large
from ._replies import Answer
from ._shared import strictjson
from ._shared.errors import ContractError

_MAX_TEXT = 1000
_MAX_PROBLEMS = 100

BY_TYPE: dict[str, type[EisenClientError]] = {
    # the handler's
    "MalformedBody": MalformedRequest,
    "BodyTooLarge": RequestTooLarge,
    "UnsupportedMediaType": UnsupportedMedia,
    "InvalidInput": InvalidInput,
    "TransformFailed": ModelFailed,
    "ModelFailed": ModelFailed,
    "InvalidOutput": ModelFailed,
    "OutOfMemory": OutOfMemory,
    # TorchServe's
    "BadRequestException": MalformedRequest,
    "InvalidKeyException": Unauthorized,
    "ModelNotFoundException": ModelNotFound,
    "ModelVersionNotFoundException": ModelNotFound,
    "ResourceNotFoundException": ModelNotFound,
    "MethodNotAllowedException": ModelNotFound,
    "ServiceUnavailableException": ServerBusy,
}

BY_STATUS: dict[int, type[EisenClientError]] = {
    400: MalformedRequest,
    401: Unauthorized,
    403: Unauthorized,
    404: ModelNotFound,
    405: ModelNotFound,
    407: ProxyFailed,
    413: RequestTooLarge,
    415: UnsupportedMedia,
    422: InvalidInput,
    429: ServerBusy,
    503: ServerBusy,
    507: OutOfMemory,
}

_ADVICE: dict[type[EisenClientError], str] = {
    Unauthorized: "token= takes the inference key of the server's key_file.json, which expires",
    ModelNotFound: "check the address: http://HOST:8080/predictions/MODEL[/VERSION]",
    UnsupportedMedia: "the model's handler is not that of Eisen-Deploy, or an older one",
    ServerBusy: "no worker is ready or the queue is full: try again later",
    WorkerDied: "it crashed, took longer than responseTimeout, or its reply was over "
    "max_response_size: the server's log tells which",
    OutOfMemory: "send less at once, or let fewer workers share the memory",
    ProxyFailed: "the proxy wants credentials: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
}


def error_of(answer: Answer, endpoint: Endpoint, request_size: int) -> EisenClientError:
    """Return the error that an answer with a status other than 200 stands for."""
    told = _read_json(answer)
    type_, text = _text(told.get("type")), _text(told.get("message"))
    kind = _kind(answer, type_, text)
    message = _message(answer, kind, type_, text)
    if kind is Redirected:
        message += f" to {endpoint.show_redirect(answer.headers.get('Location'))}, not followed"
    if kind is RequestTooLarge and type_ is None:  # the handler says itself what is too large
        message += f", as it does {too_large(request_size)}"
    return kind(
        message,
        status=answer.status,
        type=type_,
        server_message=text,
        request_id=answer.request_id,
        problems=_problems(told, text) if kind is InvalidInput else (),
    )


def _kind(answer: Answer, type_: str | None, text: str | None) -> type[EisenClientError]:
    status = answer.status
    if type_ == "InternalServerException":
        return _internal(status, text or "")
    if type_ in BY_TYPE:
        return BY_TYPE[type_]
    if status == 503 and (_is_json(answer) or "Content-Length" not in answer.headers):
        return ServerFailed  # the reason is not known, or cut off: do not advise to retry
    if status in BY_STATUS:
        return BY_STATUS[status]
    ranges = {3: Redirected, 4: RequestRefused, 5: ServerFailed}
    return ranges.get(status // 100, UnexpectedReply)


def _internal(status: int, text: str) -> type[EisenClientError]:
    """Read TorchServe's one type for all that happens in a worker."""
    if status == 507:
        return OutOfMemory
    return WorkerDied if text.startswith("Worker died") else ModelFailed


def _message(
    answer: Answer, kind: type[EisenClientError], type_: str | None, text: str | None
) -> str:
    message = " ".join(["the server answered", str(answer.status), *([type_] if type_ else [])])
    if text:
        message += f": {text}"
    elif answer.body and not _is_json(answer):
        message += " and not in JSON: something on the way to the server may have answered"
    return f"{message}; {_ADVICE[kind]}" if kind in _ADVICE else message


def _read_json(answer: Answer) -> Mapping[str, Any]:
    try:
        return strictjson.loads_object(answer.body, "the error")
    except ContractError:
        return {}


def _is_json(answer: Answer) -> bool:
    return "json" in answer.headers.get("Content-Type", "").lower()


def _problems(told: Mapping[str, Any], text: str | None) -> list[str]:
    listed = told.get("problems")
    texts = [_text(item) for item in listed[:_MAX_PROBLEMS]] if isinstance(listed, list) else []
    return [item for item in texts if item] or [text or "not told by the server"]


def _text(value: Any) -> str | None:
    """Return a stranger's text fit for a message: of bounded length, on one line."""
    if not isinstance(value, str) or not value.strip():
        return None
    line = " ".join(value[: 2 * _MAX_TEXT].split())
    printable = "".join(c if c.isprintable() else "?" for c in line)
    return printable if len(printable) <= _MAX_TEXT else printable[: _MAX_TEXT - 3] + "..."
