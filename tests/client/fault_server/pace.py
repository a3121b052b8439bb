"""Servers that stop, drip or read slowly: the deadline ends the call, wherever it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from eisen_deploy.client import DeadlineExceeded, Redirected, ServerBusy

from .cases import BINARY, BODY, GOOD, HEAD, Case, Peer, chunk, error, raw, reply

LIMIT = 0.3
#: Bytes between two places at which a reply stops.
STEP = 5
LARGE = {"x": np.zeros(32 * 2**20, np.uint8)}

_CHUNKED = raw({**BINARY, "Transfer-Encoding": "chunked"}, b"")


def cases() -> Iterator[Case]:
    """Return every case of this module."""
    for length in range(0, len(GOOD), STEP):
        yield _late(f"a stall after {length} bytes", stalls(GOOD[:length]))
    for name, script in {**STALLS, **DRIPS, **SLOW}.items():
        yield _late(name, script)
        yield _late(f"{name}, metadata", script, batch=None)
        yield _late(f"{name}, idempotent", script, call={"idempotent": True})
    for name, script in UNREAD.items():
        yield _late(name, script, batch=LARGE)
    yield from _in_time()


def _late(name: str, script: Callable[[Peer], None], **more: object) -> Case:
    return Case(name, script, DeadlineExceeded, timeout=LIMIT, **more)  # type: ignore[arg-type]


def stalls(answer: bytes) -> Callable[[Peer], None]:
    """Return a script that begins an answer and says no more."""

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(answer)
        peer.wait_for_close()

    return script


def drips(first: bytes, then: bytes, pause: float = 0.02) -> Callable[[Peer], None]:
    """Return a script that sends the same again and again until the client leaves."""

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(first)
        while True:
            peer.send(then)
            time.sleep(pause)

    return script


STALLS = {
    "a stall after 100": stalls(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a stall after 103": stalls(b"HTTP/1.1 103 x\r\nLink: </x>\r\n\r\n"),
    "a stall in 103": stalls(b"HTTP/1.1 103 x\r\nLink: "),
    "a stall in chunks": stalls(_CHUNKED + b"5\r\nhello\r\n"),
    "a stall in a chunk": stalls(_CHUNKED + b"5\r\nhe"),
    "a stall in a chunk's size": stalls(_CHUNKED + b"5"),
    "a stall before the last chunk": stalls(_CHUNKED + chunk(BODY)[:-5]),
    "a stall before the last line": stalls(_CHUNKED + chunk(BODY)[:-2]),
    "a stall in the trailers": stalls(_CHUNKED + chunk(BODY)[:-2] + b"X: y\r\n"),
    "a stall where no length is told": stalls(raw(BINARY, BODY)),
    "a stall in an error": stalls(error(500, "ModelFailed")[:-5]),
    "a stall in an error without a length": stalls(raw({}, b'{"type": "ModelFailed"}', 500)),
    "a stall in a busy server's error": stalls(error(503, "ServiceUnavailableException")[:-5]),
    "a stall in a redirect's head": stalls(b"HTTP/1.1 302 x\r\nLocation: /\r\n"),
}
DRIPS = {
    "drips of a status line": drips(b"HTTP/1.1 200 ", b"x"),
    "drips of headers": drips(b"HTTP/1.1 200 OK\r\n", b"X"),
    "drips of 100": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a flood of 100": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.001),
    "drips of 102": drips(b"", b"HTTP/1.1 102 x\r\n\r\n"),
    "a flood of 103": drips(b"", b"HTTP/1.1 103 x\r\nLink: </x>\r\n\r\n" * 100, 0.001),
    "drips of a body": drips(HEAD.replace(b"Content-Length: ", b"Content-Length: 9"), b" "),
    "drips of a body without a length": drips(raw(BINARY, b""), b" "),
    "drips of chunks": drips(_CHUNKED, b"1\r\n \r\n"),
    "drips of a chunk": drips(_CHUNKED + b"ffff\r\n", b" "),
    "drips of a chunk's size": drips(_CHUNKED, b"0"),
    "drips of an extension": drips(_CHUNKED + b"5;", b"x"),
    "drips of trailers": drips(_CHUNKED + chunk(BODY)[:-2], b"X: y\r\n"),
    "a flood of trailers": drips(_CHUNKED + chunk(BODY)[:-2], b"X: y\r\n" * 100, 0.001),
    "drips of an error": drips(b"HTTP/1.1 500 x\r\nContent-Length: 5000\r\n\r\n", b" "),
    "drips of an error in chunks": drips(
        b"HTTP/1.1 422 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"
    ),
}


def _reads_the_head(peer: Peer) -> None:
    peer.receive_head()
    time.sleep(LIMIT + 0.2)


def _reads_slowly(peer: Peer) -> None:
    peer.receive_head()
    while peer.sock.recv(4096):
        time.sleep(0.01)


def _reads_slowly_and_hints(answer: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.receive_head()
        while peer.sock.recv(4096):
            peer.send(answer)
            time.sleep(0.01)

    return script


def _closes_its_ear(peer: Peer) -> None:
    peer.receive()
    peer.sock.shutdown(0)
    time.sleep(LIMIT + 0.2)


SLOW = {"a stall that reads no more": _closes_its_ear}
UNREAD = {
    "a request not read": _reads_the_head,
    "a request read slowly": _reads_slowly,
    "a request read slowly, with 100": _reads_slowly_and_hints(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a request read slowly, with 103": _reads_slowly_and_hints(b"HTTP/1.1 103 x\r\nX: y\r\n\r\n"),
}


def _in_time() -> Iterator[Case]:
    """A slow reply is read whole; a lost connection is reported at once."""

    def dripped(peer: Peer) -> None:
        peer.receive()
        peer.drip(GOOD, 0.0005)

    def in_pieces(peer: Peer) -> None:
        peer.receive()
        for start in range(0, len(GOOD), 40):
            peer.send(GOOD[start : start + 40])
            time.sleep(0.01)

    yield Case("drips that end", dripped, None)
    yield Case("a reply in pieces", in_pieces, None)
    redirect = drips(b"HTTP/1.1 302 x\r\nLocation: /\r\nContent-Length: 5000\r\n\r\n", b" ")
    yield Case("drips of a redirect's page", redirect, Redirected)

    def busy(peer: Peer) -> None:
        peer.receive()
        peer.send(reply(429, {"Retry-After": "3600"}))

    yield Case("busy for an hour", busy, ServerBusy, timeout=LIMIT)
