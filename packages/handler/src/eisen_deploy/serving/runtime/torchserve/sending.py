"""Answers to TorchServe, sent from where they lie in memory.

TorchServe's own code copies all replies of a batch into one ``bytearray``. Here each buffer goes to
the socket as it is. A large reply is sent in pieces, as a *stream* of responses: TorchServe then
hands each piece on while the next one comes, where it would collect the whole reply first, growing
a buffer as it does, and copy it twice more.

Format of an answer: a code, a text, items and -1. An item is request id, content type, status,
reason phrase, headers by their number, body. Integers are four bytes, big-endian; texts and bodies
follow their size. The header ``ts_stream_next`` of an item says whether more of its body comes, in
a further answer. The last answer has an item for each request of the batch.

Source: TorchServe 0.12, ``ts/protocol/otf_message_handler.py``, and who reads it:
``ModelResponseDecoder``, ``BatchAggregator.sendResponse`` and ``RestJob.responseInference``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from socket import socket
from typing import TypeGuard

from ..messages import Buffer
from .worker_context import WorkerContext

#: Pieces of fewer bytes are copied, to be sent together.
LARGE = 64 * 2**10

#: Bytes of a stream's pieces: few of them, but each still small to the garbage collector of Java:
#: to it, large begins at half a region, 1 MiB with a heap of 4 GiB.
PIECE = 960 * 2**10

_INT = struct.Struct("!i")
_END = _INT.pack(-1)
_MORE = "ts_stream_next"

Respond = Callable[..., bytes | bytearray]


class Parts:
    """A reply's body for :func:`make_responder`, in buffers that are sent one after the other.

    :param streamed: whether TorchServe gets it in pieces; its client then gets it in chunks.
    """

    def __init__(self, buffers: Iterable[Buffer], *, streamed: bool = False) -> None:
        self.buffers = tuple(buffers)
        self.streamed = streamed

    def pieces(self) -> Iterator[list[Buffer]]:
        """Yield the body in pieces of :data:`PIECE` bytes, the last one of fewer; at least one."""
        piece: list[Buffer] = []
        room = PIECE
        for buffer in self.buffers:
            view = memoryview(buffer)
            while len(view) > room:
                yield [*piece, view[:room]]
                piece, view, room = [], view[room:], PIECE
            piece.append(view)
            room -= len(view)
        yield piece


def make_responder(original: Respond, received: list[bytearray]) -> Respond:
    """Return what replaces ``create_predict_response``.

    It sends an answer that is replies of ours and nothing else, but for the last bytes, which it
    returns for the worker to send. All else is left to TorchServe's function.

    :param received: bodies whose memory is given back then; the worker would keep it until it
        has received the next ones.
    """

    def create_predict_response(
        ret: object,
        req_id_map: Mapping[int, str],
        message: str,
        code: int,
        context: WorkerContext | None = None,
        ts_stream_next: bool = False,
    ) -> bytes | bytearray:
        if context is None or ts_stream_next or not _is_plain(ret, req_id_map, context):
            received.clear()
            return original(_join_parts(ret), req_id_map, message, code, context, ts_stream_next)
        # As a list: what cannot be written down must fail before the first byte is sent.
        pieces = list(_make_pieces(ret, req_id_map, message, code, context))
        end = send_all_but_the_end(context.cl_socket, pieces)
        ret.clear()
        pieces.clear()
        _give_back(received)
        return end

    return create_predict_response


def _give_back(received: list[bytearray]) -> None:
    for body in received:
        with suppress(BufferError):  # an array that is a view of it is still in use
            body.clear()
    received.clear()


def _is_plain(
    ret: object, ids: Mapping[int, str], context: WorkerContext
) -> TypeGuard[list[Parts]]:
    """Whether TorchServe would only write down what is there."""
    return (
        isinstance(ret, list)
        and all(isinstance(item, Parts) for item in ret)
        and not context.stopping_criteria
        and not any(_MORE in context.get_response_headers(index) for index in ids)
        and os.environ.get("LOCAL_RANK", "0") == "0"  # the others of a group answer nothing
    )


def _join_parts(ret: object) -> object:
    if not isinstance(ret, list):
        return ret
    return [b"".join(item.buffers) if isinstance(item, Parts) else item for item in ret]


def _make_pieces(
    replies: list[Parts], ids: Mapping[int, str], message: str, code: int, context: WorkerContext
) -> Iterator[Buffer]:
    start = _INT.pack(code) + _pack_text(message)
    last: list[Buffer] = [start]
    for index, request_id in ids.items():
        reply, name = replies[index], _pack_text(request_id)
        headers = context.get_response_headers(index)
        body = list(reply.buffers)
        if reply.streamed:
            *firsts, body = reply.pieces()
            for piece in firsts:
                head = _pack_head(context, index, {**headers, _MORE: "true"})
                yield start + name + head + _pack_size(piece)
                yield from piece
                yield _END
                headers = {_MORE: "false"}  # its own went with the first piece
        last += [name + _pack_head(context, index, headers) + _pack_size(body), *body]
    yield from last
    yield _END


def _pack_head(context: WorkerContext, index: int, headers: Mapping[str, str]) -> bytes:
    status, phrase = context.get_response_status(index)
    return b"".join(
        [
            _pack_text(context.get_response_content_type(index) or ""),
            _INT.pack(200 if status is None else status),
            _pack_text(phrase or ""),
            _INT.pack(len(headers)),
            *(_pack_text(text) for item in headers.items() for text in item),
        ]
    )


def _pack_size(buffers: Iterable[Buffer]) -> bytes:
    return _INT.pack(sum(map(len, buffers)))


def _pack_text(text: str) -> bytes:
    raw = text.encode("utf-8")
    return _INT.pack(len(raw)) + raw


def send_all_but_the_end(connection: socket, pieces: Iterable[Buffer]) -> bytearray:
    """Send pieces in their order, small neighbours as one, but for the last small ones.

    :returns: what is left to send.
    """
    small = bytearray()
    for piece in pieces:
        if len(small) + len(piece) > LARGE:
            connection.sendall(small)
            small = bytearray()
        if len(piece) > LARGE:
            connection.sendall(piece)
        else:
            small += piece
    return small
