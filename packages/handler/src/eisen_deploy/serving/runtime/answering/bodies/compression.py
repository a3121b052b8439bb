"""Replies as gzip, for clients that take it, where a quick look says that it pays.

What counts is time. On two cores of a server, per MiB of a reply: a server takes about 5 ms, a
link of 1 Gbit/s 8 ms; gzip at level 1 takes 2 to 3 ms for label maps, which shrink to 1-3 %, but
9 ms for random bits (22 %) and 20 to 35 ms for float images and probabilities, and the client
some 1 to 10 ms more. Both break even at a ratio of about 1 : 8, on a faster link earlier.

So a body is compressed if samples of it shrink to an eighth. The first look is at 1 KiB, which is
40 µs for data that do not shrink, under 1 % of the time that a body of this size takes at all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from ..._shared.wire.messages import SIZE_HEADER
from ...messages import Buffer, Reply

#: Bodies of fewer bytes are sent as they are: there is less than 3 ms to win.
SMALL = 256 * 2**10

#: What a body must shrink to.
PAYS = 1 / 8

_CODING = "gzip"
_PIECE = 2**20
# Samples lie at multiples of the golden section: at even steps they would all be of one column.
_GOLDEN = 0.6180339887498949


def compress(reply: Reply, accept_encoding: str) -> Reply:
    """Return a reply compressed if the client takes gzip and it pays, else the same reply.

    An error, or a reply that has a content coding already, stays as it is.

    :param accept_encoding: the request's header of that name; empty if it had none.
    """
    coded = any(name.lower() == "content-encoding" for name in reply.headers)
    if reply.status != 200 or coded or reply.size < SMALL:
        return reply
    if not accepts_gzip(accept_encoding) or not _is_worth_it(reply):
        return reply
    buffers = _compress_buffers(reply)
    if buffers is None:
        return reply
    headers = {
        **reply.headers,
        "Content-Encoding": _CODING,
        "Vary": "Accept-Encoding",
        SIZE_HEADER: str(reply.size),
    }
    return replace(reply, buffers=buffers, headers=headers)


# --- whether the client takes it ------------------------------------------------------------


def accepts_gzip(header: str) -> bool:
    """Whether an ``Accept-Encoding`` header takes gzip, at least as gladly as no coding.

    Source: RFC 9110, section 12.5.3; but for no header, which there means any coding and here none.
    """
    weights: dict[str, float] = {}
    for item in header.lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        weights["gzip" if coding == "x-gzip" else coding] = _read_weight(parameters)
    gzip = weights.get(_CODING, weights.get("*", 0.0))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _read_weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            digits = value.strip()
            return float(digits) if digits.replace(".", "", 1).isdecimal() else 0.0
    return 1.0


# --- whether it pays ------------------------------------------------------------------------


def _is_worth_it(reply: Reply) -> bool:
    # Short samples start with no history, so that they shrink less than the whole will.
    return (
        _measure_ratio(reply, 8, 128) < 2 * PAYS
        and _measure_ratio(reply, 32, min(2048, reply.size >> 11)) < PAYS
    )


def _measure_ratio(reply: Reply, count: int, length: int) -> float:
    """Return what some samples, spread over the body, shrink to."""
    span = reply.size - length
    starts = (int(span * (index * _GOLDEN % 1.0)) for index in range(1, count + 1))
    samples = b"".join(_take_sample(reply, start, length) for start in starts)
    return len(zlib.compress(samples, 1)) / len(samples)


def _take_sample(reply: Reply, start: int, length: int) -> memoryview:
    """Return bytes from ``start``, fewer where a buffer ends."""
    ends = accumulate(map(len, reply.buffers), initial=0)
    for (begin, end), buffer in zip(pairwise(ends), reply.buffers, strict=True):
        if start < end:
            return memoryview(buffer)[start - begin : start - begin + length]
    return memoryview(b"")


# --- doing it -------------------------------------------------------------------------------


def _compress_buffers(reply: Reply) -> tuple[bytes, ...] | None:
    """Return the body as gzip, or nothing if it turns out not to shrink."""
    machine = zlib.compressobj(1, wbits=31)  # 31: with the header of gzip
    buffers, taken, given = [], 0, 0
    for piece in _cut(reply.buffers):
        buffers.append(machine.compress(piece))
        taken += len(piece)
        given += len(buffers[-1])
        if taken >= _PIECE and given > 2 * PAYS * taken:
            return None
    buffers.append(machine.flush())
    return tuple(filter(None, buffers))


def _cut(buffers: Sequence[Buffer]) -> Iterator[memoryview]:
    for buffer in buffers:
        view = memoryview(buffer)
        yield from (view[start : start + _PIECE] for start in range(0, len(view), _PIECE))
