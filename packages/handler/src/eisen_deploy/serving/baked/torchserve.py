"""TorchServe's rows, context and statuses, to and from requests and replies.

Source: TorchServe 0.12: ``ts/service.py``, ``ts/context.py`` and
``ts/protocol/otf_message_handler.py``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .messages import Reply, Request

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def keep_bodies_raw() -> None:
    """Have TorchServe hand over JSON and text bodies as they came.

    It would parse them itself, leniently (NaN, repeated keys). Its worker reads this variable at
    each request, and a worker serves one model only, so nothing else is affected.
    """
    os.environ["TS_DECODE_INPUT_REQUEST"] = "false"


def model_folder(context: Any) -> Path:
    """Return the folder into which the server unpacked the archive."""
    return Path(context.system_properties["model_dir"])


def gpu_id(context: Any) -> int | None:
    """Return the number of the GPU that the server assigns to this worker, if any."""
    number: int | None = context.system_properties.get("gpu_id")
    return number


def to_request(row: Mapping[str, Any], context: Any, index: int) -> Request:
    """Return one row of a batch as a request."""
    properties = context.get_all_request_header(index)
    # Beside the headers, TorchServe keeps here a dict for each field of the body.
    headers = {name.lower(): value for name, value in properties.items() if isinstance(value, str)}
    request = Request(headers, row.get("body", row.get("data", b"")))
    if request.media_type not in _FORMS or not _is_parsed(row, headers):
        return request
    return Request(headers, b"", dict(row))


def _is_parsed(row: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Whether TorchServe took a form apart; it hands over the body if that tells no boundary."""
    if not row:  # a form in which it found no field, or an empty body that claims to be a form
        return headers.get("content-length", "0") != "0"
    return set(row) != {"body"} or "boundary=" in headers.get("content-type", "")


def write_reply(reply: Reply, context: Any, index: int) -> bytes:
    """Put status and headers of a reply into the context, and return its body."""
    # Other than ASCII here would shift TorchServe's frame and kill the worker.
    context.set_response_status(reply.status, "", index)
    for name, value in reply.headers.items():
        clean = value.encode("ascii", "replace").decode("ascii")
        key = "content-type" if name.lower() == "content-type" else name
        context.set_response_header(index, key, " ".join(clean.split()))
    return reply.body
