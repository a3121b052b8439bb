"""A request's body, whatever its format, as a call: inputs by name, and the reply it wants.

==================================  ==============================================================
``Content-Type``                    body
==================================  ==============================================================
any, with an empty body             asks for the metadata
``application/octet-stream``        Open Inference Protocol, JSON part then raw tensors
``application/json``                Open Inference Protocol, or ``{"name": nested lists, ...}``
``application/x-npy``               one array, for the model's only input
``multipart/form-data``             one part an input: ``.npy``, or text for values that are text
none                                JSON or ``.npy``, recognised by the first bytes
==================================  ==============================================================

Where the protocol is not used, ``Accept`` may name one of these types for the reply.

Nothing here unpickles, and no size that a request claims is believed before it is checked. What it
may cost is counted (:mod:`.allowance`). Inputs that the model does not have are not read.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..._shared.errors import ContractError
from ..._shared.model.metadata import Metadata
from ..._shared.wire import protocol, strict_json, values
from ..._shared.wire.allowance import Allowance
from ...errors import (
    BodyTooLarge,
    MalformedBody,
    NotSupported,
    UnsupportedMediaType,
    to_serving_error,
)
from ...messages import Batch, Request
from . import npy

#: A compressed body may grow to this many bytes where the server's own limit is not known.
MAX_INFLATED = 512 * 2**20
#: Seconds of CPU to inflate a body: for any, and for each byte of it, before or after.
INFLATING = (1.0, 2 / (64 * 2**20))

_PIECE = 256 * 2**10

WHAT_TO_SEND = (
    "send application/octet-stream or application/json of the Open Inference Protocol, "
    "application/json with {input name: nested lists}, application/x-npy for one array, "
    "multipart/form-data with a .npy part for each input, or nothing to get the metadata"
)


@dataclass(frozen=True)
class Call:
    """What a request asks for.

    :param inputs: by name, checked against the metadata; ``None`` asks for the metadata.
    :param form: of the reply: ``protocol``, ``json`` or ``npy``.
    :param outputs: names of the outputs wanted; ``None``: all of them.
    :param binary: of these the ones wanted raw; ``None``: all of them.
    """

    inputs: Batch | None = None
    form: str = "protocol"
    id: str | None = None
    outputs: tuple[str, ...] | None = None
    binary: frozenset[str] | None = None


def decode(request: Request, metadata: Metadata, max_body: int | None = None) -> Call:
    """Decode a request.

    :param max_body: bytes that the server takes in a body; a compressed one may grow to as many.
        ``None`` where that is not known.
    :raises ServingError: 400, 413, 415, 422 or 501, with every problem that was found.
    """
    if request.unsupported is not None:
        raise NotSupported(request.unsupported)
    if request.form is None and not request.body:
        return Call()
    try:
        inflated = _decompress(request, MAX_INFLATED if max_body is None else max_body)
        sent_beside = 0 if inflated is request else request.size
        # Of the memory of four bodies, one is the body's own.
        allowance = Allowance(arrays=3 * inflated.size - sent_beside)
        call = _pick_decoder(inflated)(inflated, metadata, allowance)
        return _conform(call, metadata, request.headers.get("accept", "").lower(), allowance)
    except ContractError as error:
        raise to_serving_error(error) from None


def _conform(call: Call, metadata: Metadata, accept: str, allowance: Allowance) -> Call:
    form = call.form
    if form != "protocol":
        form = next((form for media, form in _ACCEPTED.items() if media in accept), form)
    inputs = metadata.conform(call.inputs or {}, allowance)
    return replace(call, inputs=inputs, form=form)


_ACCEPTED = {npy.MEDIA_TYPE: "npy", protocol.JSON_TYPE: "json", protocol.BINARY_TYPE: "protocol"}


def _pick_decoder(request: Request) -> Callable[[Request, Metadata, Allowance], Call]:
    media = request.media_type
    if protocol.LENGTH_HEADER.lower() in request.headers or media == protocol.BINARY_TYPE:
        return _decode_protocol
    if request.form is not None and media in ("", "multipart/form-data"):
        return _decode_form
    if media == protocol.JSON_TYPE or (not media and _OBJECT.match(request.body)):
        return _decode_json
    if media == npy.MEDIA_TYPE or (not media and npy.is_npy(request.body)):
        return _decode_npy
    if media == "multipart/form-data":
        raise MalformedBody("multipart/form-data must name its boundary in Content-Type")
    got = media if media.isascii() and len(media) < 80 else "an unreadable Content-Type"
    raise UnsupportedMediaType(f"got {got or 'a body with no Content-Type'}: {WHAT_TO_SEND}")


# As a pattern: lstrip would copy the body.
_OBJECT = re.compile(rb"\s*\{")


def _decompress(request: Request, limit: int) -> Request:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        return request
    if coding not in ("gzip", "deflate"):
        raise UnsupportedMediaType("Content-Encoding must be gzip, deflate or identity, once")
    try:
        return Request(request.headers, _inflate(memoryview(request.body), coding, limit))
    except zlib.error:
        raise MalformedBody(f"the body is not {coding}") from None


def _inflate(body: memoryview, coding: str, limit: int) -> bytearray:
    """Return what a body was before it was compressed, taking memory only as that comes."""
    inflater = zlib.decompressobj(wbits=47)  # zlib's format or gzip's, by its first bytes
    inflated = bytearray()
    taken, start = 0, time.thread_time()
    while not inflater.eof:
        piece: bytes | memoryview = inflater.unconsumed_tail
        if not piece:
            piece = body[taken : taken + _PIECE]
            taken += len(piece)
        found = inflater.decompress(piece, min(_PIECE, limit + 1 - len(inflated)))
        if not piece and not found:
            raise MalformedBody(f"the {coding} body is cut off")
        inflated += found
        if len(inflated) > limit:
            raise BodyTooLarge(
                f"the body has more than {limit} bytes when it is decompressed, and the server "
                "takes no more: send less at once, or raise its limit for a request"
            )
        # Each few bytes can hold a code of their own, which takes longer to read than they do.
        least, per_byte = INFLATING
        if time.thread_time() - start > least + per_byte * max(taken, len(inflated)):
            raise BodyTooLarge("the body takes too long to decompress: send it as it is")
    if inflater.unused_data or taken < len(body):
        raise MalformedBody(f"something follows the {coding} body")
    return inflated


def _decode_protocol(request: Request, metadata: Metadata, allowance: Allowance) -> Call:
    text = request.headers.get(protocol.LENGTH_HEADER.lower())
    size = protocol.parse_json_size(text, len(request.body))
    names = metadata.input_names
    return _to_call(protocol.decode_request(request.body, size, names=names, allowance=allowance))


def _to_call(request: protocol.Request) -> Call:
    return Call(request.inputs, "protocol", request.id, request.outputs, request.binary)


def _decode_json(request: Request, metadata: Metadata, allowance: Allowance) -> Call:
    charset = request.headers.get("content-type", "").lower().partition("charset=")[2]
    if charset.partition(";")[0].strip("\"' ") not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("application/json must be UTF-8")
    head = strict_json.loads_object(request.body, "the body", allowance)
    if protocol.is_request(head) and "inputs" not in _list_input_names(metadata):
        names = metadata.input_names
        return _to_call(protocol.decode_parsed_request(head, names=names, allowance=allowance))
    return Call(head, "json")


def _decode_npy(request: Request, metadata: Metadata, allowance: Allowance) -> Call:
    names = _list_input_names(metadata)
    if len(names) != 1:
        raise UnsupportedMediaType(
            f"{npy.MEDIA_TYPE} takes one array, the model has {len(names) or 'undeclared'} inputs: "
            "send multipart/form-data with a part for each"
        )
    return Call({names[0]: npy.read(request.body, "the body", allowance)}, "npy")


def _decode_form(request: Request, metadata: Metadata, allowance: Allowance) -> Call:
    form: Mapping[str, bytes | bytearray] = request.form or {}
    if len(form) > protocol.MAX_TENSORS:
        raise MalformedBody(f"{len(form)} parts, at most {protocol.MAX_TENSORS} are read")
    known = metadata.input_names
    return Call(
        {
            name: _decode_field(name, raw, metadata, allowance)
            if known is None or name in known
            else None
            for name, raw in form.items()
        },
        "npy",
    )


def _decode_field(
    name: str, raw: bytes | bytearray, metadata: Metadata, allowance: Allowance
) -> object:
    what = f"part {name[:40]!r}"
    if npy.is_npy(raw):
        return npy.read(raw, what, allowance)
    declared = metadata.input_type(name)
    if declared is None or declared.kind == "ndarray":
        raise MalformedBody(f"{what}: expected a .npy file")
    if declared.kind != "str":
        return strict_json.loads(raw, what, allowance)
    return values.decode_text(raw, what, allowance)


def _list_input_names(metadata: Metadata) -> tuple[str, ...]:
    if metadata.inputs is not None:
        return tuple(item.name for item in metadata.inputs)
    return metadata.model_inputs or ()
