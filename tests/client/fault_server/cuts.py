"""Replies that end, or are reset, after each of their bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from eisen_deploy.client import (
    InvalidInput,
    MalformedReply,
    ModelFailed,
    Redirected,
    RequestTooLarge,
    ServerFailed,
    UnknownOutcome,
)

from .cases import (
    AGAIN,
    BINARY,
    BODY,
    GOOD,
    METADATA,
    Case,
    Expected,
    chunk,
    error,
    raw,
    reply,
    resets,
    sends,
    split,
)

_TEXT = json.dumps(METADATA).encode()
_CHUNKED = raw({**BINARY, "Transfer-Encoding": "chunked"}, chunk(BODY))
_JSON = b'{"outputs": [{"name": "y", "shape": [5], "datatype": "FP32", "data": [0, 1, 2, 3, 4]}]}'

#: Each whole answer: by its name, what the client makes of its status alone, and its bytes.
PREDICTIONS: dict[str, tuple[Expected | None, bytes]] = {
    "a reply": (None, GOOD),
    "a reply in chunks": (None, _CHUNKED),
    "a reply in JSON": (None, reply(200, {"Content-Type": "application/json"}, _JSON)),
    "a reply until the end": (None, raw(BINARY, BODY)),
    "a reply after 100": (None, b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + GOOD),
    "a refused batch": (InvalidInput, error(422, "InvalidInput", "image is missing")),
    "a failed model": (ModelFailed, error(500, "ModelFailed", "raised")),
    "a busy server": (None, error(503, "ServiceUnavailableException", "no worker")),
    "a large request": (RequestTooLarge, error(413, "BodyTooLarge", "the JSON part")),
    "a redirect": (Redirected, reply(307, {"Location": "http://model.invalid/"}, b"<html>")),
}
METADATA_REPLIES = {
    "metadata": reply(200, {"Content-Type": "application/json"}, _TEXT),
    "metadata until the end": raw({}, _TEXT),
    "metadata in chunks": raw({"Transfer-Encoding": "chunked"}, chunk(_TEXT, 16)),
}


def cases() -> Iterator[Case]:
    """Return a truncation and a reset after each byte of each answer."""
    for name, (_, answer) in PREDICTIONS.items():
        for length in range(len(answer)):
            yield Case(
                f"{name} ends at {length}", sends(answer[:length]), ended(name, answer, length)
            )
            yield Case(
                f"{name} reset at {length}", resets(answer[:length]), reset(name, answer, length)
            )
    for name, answer in METADATA_REPLIES.items():
        for length in range(len(answer)):
            for how, end, expected in (
                ("ends", sends, ended(name, answer, length)),
                ("reset", resets, UnknownOutcome),
            ):
                # No model runs for it: it may be asked again.
                count = AGAIN if expected is UnknownOutcome else 1
                title = f"{name} {how} at {length}"
                yield Case(title, end(answer[:length]), expected, count, batch=None)


def ended(name: str, answer: bytes, length: int) -> Expected | None:
    """Return what an answer is that ends too early: what HTTP shows of it.

    Of a head that is cut off HTTP's parsers see only that it has fewer headers.
    """
    part = answer[:length]
    if part.startswith(b"HTTP/1.1 100"):
        part, answer = (text.partition(b"\r\n\r\n")[2] for text in (part, answer))
    if not part:
        return UnknownOutcome
    if re.match(rb"HTTP/1\.1 [0-9]{3}", part) is None:
        return MalformedReply
    head, _ = split(answer)
    announced = re.search(rb"\r\nContent-Length: [0-9]+", part[: len(head)]) is not None
    if name == "a redirect":
        return Redirected
    if b"Transfer-Encoding: chunked" in part:
        whole = len(answer) - len(b"0\r\n\r\n")
        return None if len(part) > whole else UnknownOutcome
    if name == "a large request":
        return RequestTooLarge
    if announced:
        return UnknownOutcome
    if re.search(rb"\r\nContent-Length: ?$", part):
        return MalformedReply
    return {
        "a refused batch": InvalidInput,
        "a failed model": ServerFailed,  # its type, which says more, is in the body
        "a busy server": ServerFailed,
    }.get(name, MalformedReply)


def reset(name: str, answer: bytes, length: int) -> Expected:
    """Return what an answer is that is reset too early: lost, unless its head says it all."""
    head, _ = split(answer)
    if length >= len(head) and name in ("a redirect", "a large request"):
        return PREDICTIONS[name][0] or UnknownOutcome
    return UnknownOutcome
