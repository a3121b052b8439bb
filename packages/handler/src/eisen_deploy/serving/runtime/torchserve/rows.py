"""TorchServe's rows, context and statuses, to and from requests and replies.

Source: TorchServe 0.12: ``ts/service.py``, ``ts/context.py`` and
``ts/protocol/otf_message_handler.py``.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping, Sequence

from .._shared.wire.messages import SIZE_HEADER
from ..messages import Reply, Request
from . import frames, worker_log
from .sending import Parts
from .worker_context import Row, WorkerContext

#: From this size on a reply is handed over in pieces, and its client gets it in chunks.
STREAMED = 2**20

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_ENVELOPES = "ts.torch_handler.request_envelope"

_NO_EXPLANATIONS = (
    "this archive gives predictions and explains none: send the request to /predictions/ or /v2/"
)


def prepare_worker() -> None:
    """Have TorchServe's worker hand over bodies as they are, copy none, and write less.

    It would parse JSON and text itself, leniently (NaN, repeated keys). It reads this variable at
    each request, and a worker serves one model only, so nothing else is affected.
    """
    os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
    frames.install()
    worker_log.install()
    _open_envelopes()


def _open_envelopes() -> None:
    """Have TorchServe hand over requests as they are, also where it is set to an envelope.

    An envelope reads the first request of a batch only, or fails on a body that is not JSON, before
    any handler is asked; see :func:`_find_envelope` for what is answered then.
    """
    base = sys.modules.get(f"{_ENVELOPES}.base")
    for envelope in base.BaseEnvelope.__subclasses__() if base is not None else ():
        envelope.parse_input = envelope.format_output = lambda _self, rows: rows


@functools.cache  # TorchServe imports it while it loads the archive
def _find_envelope() -> str | None:
    """Return the name of the envelope that TorchServe is set to, if it is."""
    prefix = f"{_ENVELOPES}."
    names = (name.removeprefix(prefix) for name in sys.modules if name.startswith(prefix))
    return next((name for name in names if name != "base"), None)


def registered_model(context: WorkerContext) -> tuple[str, str]:
    """Return name and version under which the server has registered the archive."""
    return context.model_name, context.manifest["model"]["modelVersion"]


def to_request(row: Row, context: WorkerContext, index: int) -> Request:
    """Return one row of a batch as a request.

    A row is a body, or fields by name: those of a form, or of a call by gRPC, which has no headers.
    """
    headers = _read_headers(context, index)
    refused = _explain_unsupported(headers)
    request = Request(headers, row.get("body", row.get("data", b"")), unsupported=refused)
    if request.media_type in _FORMS:
        has_fields = _is_parsed(row, headers)
    else:
        has_fields = bool(row) and set(row) not in ({"body"}, {"data"})
    return Request(headers, b"", dict(row), refused) if has_fields else request


def _explain_unsupported(headers: Mapping[str, str]) -> str | None:
    """Say why a request is for something that only looks like a prediction, if it is."""
    envelope = _find_envelope()
    if envelope is not None:
        return (
            f"this TorchServe puts requests into the envelope {envelope}, which cannot carry them: "
            "remove service_envelope (TS_SERVICE_ENVELOPE) from its configuration; the archive "
            "speaks the Open Inference Protocol by itself"
        )
    # TorchServe marks so what it gets at /explanations/, and KServe at :explain.
    return _NO_EXPLANATIONS if headers.get("explain", "").lower() == "true" else None


def _read_headers(context: WorkerContext, index: int) -> dict[str, str]:
    properties = context.get_all_request_header(index)
    # Beside the headers, TorchServe keeps here a dict for each field of the body.
    return {name.lower(): value for name, value in properties.items() if isinstance(value, str)}


def _is_parsed(row: Row, headers: Mapping[str, str]) -> bool:
    """Whether TorchServe took a form apart; it hands over the body if that names no boundary."""
    if not row:  # a form in which it found no field, or an empty body that claims to be a form
        return headers.get("content-length", "0") != "0"
    return set(row) != {"body"} or "boundary=" in headers.get("content-type", "")


def write_reply(reply: Reply, context: WorkerContext, index: int) -> bytes | Parts:
    """Put status and headers of a reply into the context, and return its body.

    :returns: the body's buffers where the worker sends them as they are, else the body as one.
    """
    streamed = frames.is_installed() and _may_stream(reply, context, index)
    headers = {SIZE_HEADER: str(reply.size), **reply.headers} if streamed else reply.headers
    # Other than ASCII here would shift TorchServe's frame and kill the worker.
    context.set_response_status(reply.status, "", index)
    for name, value in headers.items():
        clean = value.encode("ascii", "replace").decode("ascii")
        key = "content-type" if name.lower() == "content-type" else name
        context.set_response_header(index, key, " ".join(clean.split()))
    return Parts(reply.buffers, streamed=streamed) if frames.is_installed() else reply.body


def raise_for_grpc(replies: Sequence[Reply], context: WorkerContext) -> None:
    """Raise the error that answers a call by gRPC: TorchServe calls any body a success there.

    Only where it is the one request of its batch: what is raised is the answer to all of them.

    :raises PredictionException: TorchServe's own, with the status and the message.
    """
    server = sys.modules.get("ts.utils.util")
    is_grpc = not _read_headers(context, 0)  # all else has some
    if server is not None and len(replies) == 1 and replies[0].status != 200 and is_grpc:
        message = json.loads(replies[0].body)["message"]
        raise server.PredictionException(message, replies[0].status)


def _may_stream(reply: Reply, context: WorkerContext, index: int) -> bool:
    """Whether a reply is large, and its client can take it in chunks: it speaks HTTP/1.1.

    The worker does not know what is spoken. A call by gRPC, which takes one piece, has no ``Host``;
    who still speaks HTTP/1.0 mostly has the connection closed.
    """
    if reply.size < STREAMED or reply.status != 200:
        return False
    headers = _read_headers(context, index)
    return "host" in headers and "close" not in headers.get("connection", "").lower()
