"""An ASGI application without a model: ``uvicorn serving_benchmark.servers.asgi_echo:echo``.

It returns the array that it got, as a reply that our client reads: a JSON part, and the same bytes.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]

_LENGTH = "inference-header-content-length"
_ALIGNED = 64
_PIECE = 2**20


async def echo(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer one request; see the ASGI specification."""
    if scope["type"] != "http":
        return
    headers = {name.decode(): value for name, value in scope["headers"]}
    body = bytearray(int(headers.get("content-length", 0)))
    filled, more = 0, True
    while more:
        message = await receive()
        piece, more = message.get("body", b""), message.get("more_body", False)
        body[filled : filled + len(piece)] = piece
        filled += len(piece)
    raw = memoryview(body)[int(headers.get(_LENGTH, 0)) :]
    head = _describe(len(raw))
    length = str(len(head)).encode()
    sent = [(b"content-type", b"application/octet-stream"), (_LENGTH.encode(), length)]
    sent += [(b"content-length", str(len(head) + len(raw)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": sent})
    await send({"type": "http.response.body", "body": head, "more_body": True})
    for start in range(0, len(raw), _PIECE):
        part = raw[start : start + _PIECE]
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _describe(size: int) -> bytes:
    """Return the JSON part of a reply with one array of 32-bit floats."""
    tensor = {"name": "y", "datatype": "FP32", "shape": [1, size // 4]}
    outputs = [{**tensor, "parameters": {"binary_data_size": size}}]
    text = json.dumps({"model_name": "echo", "model_version": "1.0", "outputs": outputs}).encode()
    return text.ljust(-(-len(text) // _ALIGNED) * _ALIGNED)
