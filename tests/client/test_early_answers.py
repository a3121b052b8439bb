"""Interim answers, and answers that come before the request was sent, on plain and TLS lines."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest

from eisen_deploy.client import (
    EisenClientError,
    InvalidInput,
    MalformedReply,
    RequestTooLarge,
    ServerBusy,
    Unauthorized,
)
from eisen_deploy.client._http import exchange as exchanges
from eisen_deploy.client._http import response_parsing
from eisen_deploy.client._shared.wire import protocol
from eisen_deploy.client._waiting import deadline

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LARGE = {"x": np.zeros(16 * 2**20, np.uint8)}


@pytest.fixture(params=["plain", "tls"])
def ask(request, serve, connect, tls_context, certificates):
    """Return a client of a server with a script, over a plain line and over TLS."""

    def call(script):
        server = serve(script, tls_context if request.param == "tls" else None)
        return server, connect(server, verify=str(certificates / "authority.pem"))

    return call


def early(answer):
    """Return a script that answers at the head of a request, on the first connection."""

    def script(peer):
        while (head := peer.receive_head()) is not None:
            if peer.number == 1:
                peer.send(answer)
            peer.discard_body(int(head[1]["content-length"]))
            peer._rest.clear()
            peer.send(oip({"y": peer.number}))

    return script


def oip(outputs):
    body = protocol.encode_reply(outputs, model_name="seg", model_version="1.0")
    lines = "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
    head = f"HTTP/1.1 200 OK\r\n{lines}Content-Length: {body.size}\r\n\r\n"
    return head.encode() + b"".join(body.buffers)


def error_of(client, batch, **options):
    """Return the error of a call without its frames, which hold on to connections."""
    try:
        client.predict(batch, **options)
    except EisenClientError as error:
        return error.with_traceback(None)
    return None


@pytest.mark.quick_cases(6)
@pytest.mark.parametrize(
    "first",
    [b"", CONTINUE, PROCESSING, HINTS, CONTINUE + PROCESSING * 9 + HINTS],
    ids=["none", "100", "102", "103", "all"],
)
@pytest.mark.parametrize("batch", [{"x": 1}, LARGE], ids=["small", "large"])
def test_interim_answers_are_skipped_whenever_they_arrive(first, batch, ask):
    def script(peer):
        while (head := peer.receive_head()) is not None:
            peer.send(first)
            peer.discard_body(int(head[1]["content-length"]))
            peer._rest.clear()
            peer.send(first + oip({"y": 5}))

    server, client = ask(script)
    for _ in range(3):
        assert client.predict(batch) == {"y": 5}
    assert server.connections == 1


def test_interim_answers_before_metadata_are_skipped(ask, http):
    _, client = ask(http.always(HINTS + http.reply(200, {}, b'{"n": 1}')))
    assert client.get_metadata() == client.get_metadata() == {"n": 1}


@pytest.mark.slow
def test_interim_answers_without_end_are_refused(fails):
    def script(peer):
        peer.receive()
        for _ in range(1010):
            peer.send(CONTINUE * 100)
        peer.wait_for_close()

    assert type(fails(script, timeout=60)) is MalformedReply


def test_a_reply_before_the_request_was_sent_is_refused(ask):
    server, client = ask(early(oip({"y": 666})))
    error = error_of(client, LARGE, idempotent=True)
    assert type(error) is MalformedReply
    assert "answered 200 before it was sent the whole request" in str(error)
    assert (error.executed, error.retry) == (False, False)
    assert (error.status, error.stage) == (200, "sending")
    assert client.predict({"x": 1}) == {"y": 2}
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((401, ""), Unauthorized),
        ((413, ""), RequestTooLarge),
        ((422, "InvalidInput"), InvalidInput),
        ((503, "ServiceUnavailableException"), ServerBusy),
    ],
)
def test_an_error_before_the_request_was_sent_is_raised(answer, expected, ask, http):
    """It is read at once, and what is left of the request is not sent on that connection."""
    server, client = ask(early(HINTS + http.error(*answer)))
    error = error_of(client, LARGE)
    assert type(error) is expected
    assert error.status == answer[0]
    assert client.predict({"x": 1}) == {"y": 2}
    assert server.connections == 2


def test_a_stray_reply_between_two_calls_is_not_used(ask):
    """As a server's late answer to a call that was given up."""
    sent = threading.Event()

    def script(peer):
        while peer.receive() is not None:
            peer.send(oip({"y": peer.number}))
            if peer.number == 1:
                peer.send(oip({"y": 666}))
            sent.set()

    _, client = ask(script)
    assert client.predict({"x": 1}) == {"y": 1}
    assert sent.wait(5)
    assert client.predict({"x": 1}) in ({"y": 1}, {"y": 2})


# --- the look at a line, on its own -------------------------------------------------------


@pytest.fixture
def line():
    """Return both ends of a line, and an exchange."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        yield ours, theirs, exchanges.Exchange(deadline.Deadline(5), protocol.Body((b"x",), None))


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [CONTINUE],
        [CONTINUE, HINTS, PROCESSING],
        [HINTS[:5]],
        [HINTS[:15]],
        [HINTS[:-1]],
        [HINTS[:20], HINTS[20:-2], HINTS[-2:]],
        [HINTS * 1000] * 3,
        [b"HTTP/1.1 101 x\r\n\r\n"],
    ],
    ids=lambda pieces: f"{len(pieces)} pieces of {len(b''.join(pieces))} bytes",
)
def test_more_is_sent_while_no_answer_is_there(pieces, line):
    ours, theirs, exchange = line
    for piece in pieces:
        theirs.sendall(piece)
        response_parsing.look_for_answer(ours, exchange)
    response_parsing.look_for_answer(ours, exchange)
    assert not exchange.halted
    assert exchange.is_whole is False
    assert len(exchange.early) < 2**16
    assert ours.gettimeout() == 5


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n",
        HINTS + b"HTTP/1.1 2",
        b"HTTP/1.0 500 x",
        b"220 mail.invalid\r\n",
    ],
)
def test_an_answer_stops_what_is_sent(answer, line):
    ours, theirs, exchange = line
    theirs.sendall(answer)
    with pytest.raises(BrokenPipeError):
        response_parsing.look_for_answer(ours, exchange)
    assert exchange.halted
    assert exchange.executed is False


def test_an_interim_answer_that_does_not_end_stops_it_too(line):
    ours, theirs, exchange = line
    theirs.sendall(b"HTTP/1.1 103 x\r\nX: " + b"x" * 2**16)
    response_parsing.look_for_answer(ours, exchange)
    with pytest.raises(BrokenPipeError):
        response_parsing.look_for_answer(ours, exchange)


def test_a_line_that_ended_is_left_to_who_sends(line):
    ours, theirs, exchange = line
    theirs.close()
    response_parsing.look_for_answer(ours, exchange)
    assert not exchange.halted


def test_a_server_that_speaks_first_is_not_understood(ask):
    def script(peer):
        peer.send(oip({"y": 666}))
        peer.wait_for_close()

    with pytest.raises(MalformedReply):
        ask(script)[1].predict(LARGE)
