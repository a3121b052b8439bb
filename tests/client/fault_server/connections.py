"""Connections that end at every other moment, and how often a request is sent for all that."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from eisen_deploy.client import (
    InvalidInput,
    MalformedReply,
    ModelFailed,
    Redirected,
    ReplyTooLarge,
    RequestRefused,
    RequestTooLarge,
    ServerBusy,
    ServerFailed,
    Unauthorized,
    UnexpectedReply,
    UnknownOutcome,
    WorkerDied,
)

from .cases import (
    AGAIN,
    BINARY,
    BODY,
    GOOD,
    Case,
    Expected,
    Peer,
    chunk,
    error,
    oip,
    raw,
    reply,
)

LARGE = {"x": np.zeros(32 * 2**20, np.uint8)}
#: A reply to another request: it must never be taken for the answer to the next.
FORGED = oip({"y": np.full(5, 666, np.float32)})
_BUSY = error(503, "ServiceUnavailableException", "no worker")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HINTS = b"HTTP/1.1 103 x\r\nLink: </x>; rel=preload\r\nLink: </y>\r\n\r\n"


def cases() -> Iterator[Case]:
    """Return every case of this module."""
    yield from _unread()
    yield from _early()
    yield from _half_closed()
    yield from _kept()
    yield from _left_over()
    yield from _sent_again()


def _leave_unread(peer: Peer) -> None:
    """Wait until the whole request has come, and leave it unread: closing then is a reset."""
    while True:
        head, _, body = peer.sock.recv(65536, socket.MSG_PEEK).partition(b"\r\n\r\n")
        told = re.search(rb"\r\nContent-Length: ([0-9]+)", head)
        if told and len(body) == int(told[1]):
            return
        time.sleep(0.001)


def _unread() -> Iterator[Case]:
    """The request is not read, or not all of it."""

    def resets_it(peer: Peer) -> None:
        _leave_unread(peer)
        peer.reset()

    yield Case("closed unread", _leave_unread, UnknownOutcome, 0, 1)
    yield Case("reset unread", resets_it, UnknownOutcome, 0, 1)

    for size in (0, 1, 100_000, 2**20):
        for end in ("end", "reset"):

            def cuts(peer: Peer, size: int = size, end: str = end) -> None:
                peer.receive_head()
                left = size
                while left > 0:
                    left -= len(peer.sock.recv(min(left, 65536)))
                if end == "reset":
                    peer.reset()

            name = f"a large request: {end} after {size} bytes of it"
            yield Case(name, cuts, RequestTooLarge, batch=LARGE)

    def refuses(peer: Peer) -> None:
        _, headers = peer.receive_head() or ("", {})
        peer.send(reply(413, {"Connection": "close"}))
        peer.discard_body(int(headers["content-length"]))

    name = "a large request: refused at its head"
    yield Case(name, refuses, RequestTooLarge, batch=LARGE)

    def early(peer: Peer) -> None:
        peer.receive_head()
        peer.send(GOOD)
        peer.wait_for_close()

    yield Case("a reply before the request is read", early, None)


#: What comes at the head of a large request, and what the client makes of it.
EARLY: dict[str, tuple[bytes, Expected]] = {
    "a reply": (GOOD, MalformedReply),
    "a reply after 100": (_CONTINUE + GOOD, MalformedReply),
    "a reply after 103": (_HINTS * 3 + GOOD, MalformedReply),
    "a reply in chunks": (
        raw({**BINARY, "Transfer-Encoding": "chunked"}, chunk(BODY)),
        MalformedReply,
    ),
    "a page": (reply(200, {"Content-Type": "text/html"}, b"<html>"), MalformedReply),
    "204": (b"HTTP/1.1 204 x\r\n\r\n", UnexpectedReply),
    "101": (b"HTTP/1.1 101 x\r\n\r\n", UnexpectedReply),
    "a redirect": (reply(307, {"Location": "/"}), Redirected),
    "401": (reply(401), Unauthorized),
    "401 after 103": (_HINTS + reply(401, {}, b"<html>" * 999), Unauthorized),
    "a refused batch": (error(422, "InvalidInput"), InvalidInput),
    "500": (reply(500, {}, b"<html>"), ServerFailed),
    "garbage": (b"garbage\r\n\r\n", MalformedReply),
}
#: What may come before a request is sent, and does not end that.
INTERIM = {
    "100": _CONTINUE,
    "102 twice": b"HTTP/1.1 102 x\r\n\r\n" * 2,
    "103": _HINTS,
    "103 with line feeds alone": _HINTS.replace(b"\r\n", b"\n"),
    "a flood of 103": _HINTS * 10_000,
}


def _early() -> Iterator[Case]:
    """The server answers before the request is sent: that is an error, or no answer to it."""

    def begins(answer: bytes) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            _, headers = peer.receive_head() or ("", {})
            if peer.nth == 1:
                peer.send(answer)
            peer.discard_body(int(headers["content-length"]))
            peer.send(GOOD)

        return script

    for name, (answer, expected) in EARLY.items():
        yield Case(f"early: {name}", begins(answer), expected, 2, 2, batch=LARGE, then=(None,))
    for name, answer in INTERIM.items():
        yield Case(f"early: {name}", begins(answer), None, batch=LARGE)

    def drips(peer: Peer) -> None:
        _, headers = peer.receive_head() or ("", {})
        peer.drip(_HINTS * 3, 0.001)
        peer.discard_body(int(headers["content-length"]))
        peer.send(GOOD)

    yield Case("early: drips of 103", drips, None, batch=LARGE)


def _half_closed() -> Iterator[Case]:
    def silent(peer: Peer) -> None:
        peer.receive()
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_for_close()

    def after(answer: bytes) -> Callable[[Peer], None]:
        def script(peer: Peer) -> None:
            peer.receive()
            peer.send(answer)
            peer.sock.shutdown(socket.SHUT_WR)
            peer.wait_for_close()

        return script

    yield Case("half closed at once", silent, UnknownOutcome)
    yield Case("half closed after the reply", after(GOOD), None)
    yield Case("half closed in the reply", after(GOOD[:-1]), UnknownOutcome)
    yield Case("half closed after a reply without a length", after(raw({}, BODY)), MalformedReply)


def _answers(*answers: bytes, end: Callable[[Peer], None] | None = None) -> Callable[[Peer], None]:
    """Return a script that keeps each connection for so many answers, then ends it."""

    def script(peer: Peer) -> None:
        for answer in answers:
            if peer.receive() is None:
                return
            peer.send(answer)
        if end is not None:
            end(peer)
        peer.sock.close()
        peer.tally.ready.set()

    return script


def _reset(peer: Peer) -> None:
    peer.reset()


def _receive(peer: Peer) -> None:
    peer.receive()


def _receive_and_reset(peer: Peer) -> None:
    peer.receive()
    peer.reset()


def _kept() -> Iterator[Case]:
    """The connection of one call is used by the next one."""
    yield Case("kept", _answers(GOOD, GOOD, GOOD), None, 3, 1, then=(None, None))
    yield Case("closed between calls", _answers(GOOD), None, 3, 3, then=(None, None), waits=True)
    yield Case(
        "reset between calls", _answers(GOOD, end=_reset), None, 3, then=(None, None), waits=True
    )
    close = oip({"y": np.arange(5, dtype=np.float32)}, {"Connection": "close"})
    yield Case("told to close", _answers(close), None, 3, 3, then=(None, None))
    yield Case("HTTP/1.0", _answers(GOOD.replace(b"1.1", b"1.0", 1)), None, 2, then=(None,))
    for name, end in (("closed", _receive), ("reset", _receive_and_reset)):
        script = _answers(GOOD, end=end)
        yield Case(f"{name} at the second request", script, None, 2, 1, then=(UnknownOutcome,))
        yield Case(
            f"{name} at the second request, idempotent",
            script,
            None,
            3,
            2,
            then=(None,),
            call={"idempotent": True},
        )
    for name, answer, expected in (
        ("an error", error(422, "InvalidInput"), InvalidInput),
        ("a failed model", error(500, "ModelFailed"), ModelFailed),
    ):
        script = _answers(answer, GOOD, answer)
        yield Case(f"kept after {name}", script, expected, 3, 1, then=(None, expected))


#: Answers to the first call, and whether the connection may be used again after them.
FIRST: dict[str, tuple[bytes, Expected | None, bool]] = {
    "a reply": (GOOD, None, True),
    "a refused batch": (error(422, "InvalidInput"), InvalidInput, True),
    "a page": (reply(200, {"Content-Type": "text/html"}, b"x"), UnexpectedReply, True),
    "a redirect": (reply(302, {"Location": "/"}), Redirected, False),
    "a page of a redirect": (reply(302, {"Location": "/"}, b"x"), Redirected, False),
    "204": (b"HTTP/1.1 204 x\r\n\r\n", UnexpectedReply, False),
    "204 with a length": (b"HTTP/1.1 204 x\r\nContent-Length: 9\r\n\r\n", UnexpectedReply, False),
    "205": (b"HTTP/1.1 205 x\r\nContent-Length: 0\r\n\r\n", UnexpectedReply, False),
    "304": (b"HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", Redirected, False),
    "101": (b"HTTP/1.1 101 x\r\n\r\n", UnexpectedReply, False),
    "103 and a reply": (b"HTTP/1.1 103 x\r\nLink: </x>\r\n\r\n" + GOOD, None, True),
    "a long page": (b"HTTP/1.1 500 x\r\nContent-Length: 1000000\r\n\r\n{}", ServerFailed, False),
    "an odd coding": (reply(200, {"Content-Encoding": "br"}, b"x"), MalformedReply, False),
    "a reply over the cap": (
        b"HTTP/1.1 200 x\r\nContent-Length: 9999999999\r\n\r\n",
        ReplyTooLarge,
        False,
    ),
    "chunks without a size": (
        b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        UnknownOutcome,
        False,
    ),
}


def _left_over() -> Iterator[Case]:
    """More comes than the answer: it never answers the next call."""
    for name, (answer, expected, kept) in FIRST.items():
        for what, junk in {"garbage": b"garbage\r\n\r\n", "a forgery": FORGED}.items():
            yield Case(
                f"{name} and {what}",
                _forges(answer + junk, GOOD),
                expected,
                2,
                -1 if kept else 2,
                then=(None,),
                waits=True,
            )
            if not kept:
                yield Case(
                    f"{name}, and {what} when the next call begins",
                    _forges(answer, junk),
                    expected,
                    2,
                    2,
                    then=(None,),
                    waits=True,
                )
    yield Case(
        "garbage as the second answer",
        _forges(GOOD, b"garbage\r\n\r\n"),
        None,
        2,
        1,
        then=(MalformedReply,),
        waits=True,
    )


def _forges(first: bytes, second: bytes) -> Callable[[Peer], None]:
    """Return a script of two answers on the first connection, and of a good one on others."""

    def script(peer: Peer) -> None:
        peer.receive()
        if peer.nth > 1:
            peer.send(GOOD)
            return
        peer.send(first)
        peer.tally.ready.set()
        if peer.receive() is not None:
            peer.send(second)

    return script


_DIED = error(500, "InternalServerException", "Worker died.")
_GARBAGE = b"garbage\r\n\r\n"
#: Instead of an answer: a reset, and an answer that is cut off.
_LOST, _CUT = None, ...


def _each(*steps: Any) -> Callable[[Peer], None]:
    """Return a script that answers each request with the next of these, the last one for ever."""

    def script(peer: Peer) -> None:
        while peer.receive() is not None:
            step = steps[min(peer.tally.requests, len(steps)) - 1]
            if step is _LOST:
                peer.reset()
                return
            if step is _CUT:
                peer.send(GOOD[:-1])
                return
            peer.send(step)

    return script


def _sent_again() -> Iterator[Case]:
    """A request is sent again where the model cannot have run, or the caller says so."""
    lost, cut, good, busy, died = _LOST, _CUT, GOOD, _BUSY, _DIED
    limited = reply(429, {"Retry-After": "0"})
    for name, steps, expected, count in (
        ("busy", (busy,), ServerBusy, AGAIN),
        ("busy, then a reply", (busy, good), None, 2),
        ("too many, then a reply", (limited, good), None, 2),
        ("busy twice, too many, then a reply", (busy, busy, limited, good), None, 4),
        ("busy four times", (busy, busy, busy, busy, good), ServerBusy, AGAIN),
        ("busy, then lost", (busy, lost), UnknownOutcome, 2),
        ("busy, then cut off", (busy, cut, good), UnknownOutcome, 2),
        ("busy, then garbage", (busy, _GARBAGE), MalformedReply, 2),
        ("busy, then a worker died", (busy, died, good), WorkerDied, 2),
        ("lost", (lost, good), UnknownOutcome, 1),
        ("a worker died", (died, good), WorkerDied, 1),
        ("500 of a proxy", (reply(500, {}, b"Internal Error"), good), ServerFailed, 1),
        ("a bad gateway", (reply(502), good), ServerFailed, 1),
    ):
        yield Case(name, _each(*steps), expected, count, -1)
    for name, steps, expected, count in (
        ("lost", (lost,), UnknownOutcome, AGAIN),
        ("cut off", (cut,), UnknownOutcome, AGAIN),
        ("lost, then a reply", (lost, good), None, 2),
        ("cut off, then a reply", (cut, good), None, 2),
        ("busy, lost, cut off, then a reply", (busy, lost, cut, good), None, 4),
        ("lost, busy, then a reply", (lost, busy, good), None, 3),
        ("cut off, busy, then a reply", (cut, busy, good), None, 3),
        ("lost behind a proxy, then a reply", (reply(503), good), None, 2),
        ("a worker died, then a reply", (died, good), None, 2),
        ("a worker died twice", (died, died, good), WorkerDied, 2),
        ("lost, then a failed model", (lost, error(500, "ModelFailed")), ModelFailed, 2),
        ("garbage", (_GARBAGE, good), MalformedReply, 1),
        ("a redirect", (reply(302, {"Location": "/"}), good), Redirected, 1),
        ("500 of a proxy, then a reply", (reply(500, {}, b"Internal Error"), good), None, 2),
        ("408 of a proxy, then a reply", (reply(408, {}, b"timed out after 1 s"), good), None, 2),
        ("408 of a server", (error(408, "TooSlow"), good), RequestRefused, 1),
        ("a bad gateway, then a reply", (reply(502), good), None, 2),
        ("504 of a proxy, then a reply", (reply(504, {}, b"<html>"), good), None, 2),
        ("all of a proxy's", tuple(map(reply, (500, 502, 503, 504))), ServerFailed, AGAIN),
        ("501 of a proxy", (reply(501), good), ServerFailed, 1),
        ("a late answer", (error(504, "TimedOut"), good), ServerFailed, 1),
        ("an unknown failure", (error(500, "NullPointerException"), good), ServerFailed, 1),
    ):
        yield Case(
            f"{name}, idempotent", _each(*steps), expected, count, -1, call={"idempotent": True}
        )
    for name, steps, expected, count in (
        ("lost, then a reply", (lost, good), UnknownOutcome, 1),
        ("busy", (busy, good), ServerBusy, 1),
    ):
        yield Case(f"{name}, no retries", _each(*steps), expected, count, -1, client={"retries": 0})
