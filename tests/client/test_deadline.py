"""One deadline bounds the whole call, whatever the server does."""

from __future__ import annotations

import _thread
import signal
import socket
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from eisen_deploy.client import DeadlineExceeded, Retries, ServerFailed
from eisen_deploy.client._call import calls
from eisen_deploy.client._http import exchange as exchanges
from eisen_deploy.client._shared.wire import protocol
from eisen_deploy.client._waiting import deadline

LIMIT = 0.2
BODY = protocol.Body((b"abc",), None)
LARGE = np.zeros(64 * 2**20, np.uint8)


@contextmanager
def bounded(limit=LIMIT):
    """Expect the deadline's error, and at the deadline."""
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        yield caught
    assert limit * 0.9 <= time.monotonic() - start < limit + 0.5


@pytest.fixture
def ctrl_c():
    """Let an interrupt raise KeyboardInterrupt, also where this runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stall(peer):
    peer.receive()
    peer.wait_for_close()


def drip_headers(peer):
    peer.receive()
    peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, 0.02)


def drip_status(peer):
    peer.receive()
    peer.drip(b"HTTP/1.1 200 " + b"x" * 1000, 0.02)


def drip_body(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    peer.drip(b"{" * 1000, 0.02)


def drip_chunks(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"1\r\nx\r\n")
        time.sleep(0.02)


def drip_error(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 500 \r\nContent-Length: 1000\r\n\r\n")
    peer.drip(b"{" * 1000, 0.02)


def go_on(peer):
    peer.receive()
    while True:
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)


def half_a_body(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    peer.wait_for_close()


STALLS = [stall, drip_headers, drip_status, drip_body, drip_chunks, drip_error, go_on, half_a_body]


@pytest.mark.parametrize("script", STALLS, ids=lambda script: script.__name__)
def test_a_reply_that_does_not_come(script, serve, connect):
    server = serve(script)
    with bounded() as caught:
        connect(server, timeout=LIMIT).predict({"x": 1})
    assert "0.2 s" in str(caught.value)
    assert isinstance(caught.value, TimeoutError)
    assert not caught.value.retry
    assert len(server.seen) == 1


def test_metadata_that_does_not_come(serve, connect):
    with bounded():
        connect(serve(drip_body), timeout=LIMIT).get_metadata()


def test_a_server_that_does_not_read(serve, connect):
    def script(peer):
        peer.receive_head()
        time.sleep(LIMIT + 0.3)

    with bounded() as caught:
        connect(serve(script), timeout=LIMIT).predict({"x": LARGE})
    assert f"of {caught.value.request_size} bytes were sent" in str(caught.value)


def test_a_server_that_reads_slowly(serve, connect):
    def script(peer):
        peer.receive_head()
        while peer.sock.recv(4096):
            time.sleep(0.01)

    with bounded():
        connect(serve(script), timeout=LIMIT).predict({"x": LARGE})


def test_a_server_that_does_not_accept(connect):
    """Its queue of waiting connections is full: the system drops what more comes."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        with bounded() as caught:
            connect(f"http://127.0.0.1:{listener.getsockname()[1]}/m", timeout=LIMIT).predict({})
        for sock in waiting:
            sock.close()
    assert "while connecting" in str(caught.value)


def test_a_host_with_many_dead_addresses(connect, monkeypatch):
    """A socket's timeout holds for each of them anew."""

    def addresses(host, port, *_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 20

    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", addresses)
        with bounded():
            connect(f"http://model:{listener.getsockname()[1]}/m", timeout=LIMIT).predict({})
        for sock in waiting:
            sock.close()


def test_a_name_that_is_looked_up_for_ever(connect, monkeypatch):
    over = threading.Event()

    def look_up(*_, **__):
        over.wait(5)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with bounded():
        connect("http://model/m", timeout=LIMIT).predict({"x": 1})
    over.set()


def test_a_tls_handshake_that_does_not_end(connect, serve, certificates):
    def script(peer):
        peer.wait_for_close()

    server = serve(script)
    client = connect(
        f"https://127.0.0.1:{server.port}/m",
        verify=str(certificates / "authority.pem"),
        timeout=LIMIT,
    )
    with bounded():
        client.predict({"x": 1})


def test_a_dripping_reply_over_tls(connect, serve, tls_context, certificates):
    server = serve(drip_body, tls_context)
    client = connect(server, verify=str(certificates / "authority.pem"), timeout=LIMIT)
    with bounded():
        client.predict({"x": 1})


def test_metadata_and_prediction_share_the_deadline(serve, connect, http):
    def script(peer):
        while (request := peer.receive()) is not None:
            time.sleep(0.3)
            peer.send(http.oip({}) if request.body else http.reply(200, body=b"{}"))

    server = serve(script)
    with bounded(0.5):
        connect(server, True, timeout=0.5).predict({"x": 1})
    assert len(server.seen) == 2


def test_a_timeout_of_one_call_is_for_that_call(serve, connect):
    client = connect(serve(stall))
    with bounded():
        client.predict({"x": 1}, timeout=LIMIT)
    with bounded(0.1):
        client.get_metadata(timeout=0.1)


def test_a_short_timeout_does_not_stay_with_the_connection(serve, connect, http):
    def script(peer):
        while (head := peer.receive_head()) is not None:
            length = int(head[1]["content-length"])
            if length > 10**6:
                time.sleep(0.4)
            peer.discard_body(length)
            peer.send(http.oip({"y": 1}))

    server = serve(script)
    client = connect(server)
    assert client.predict({"x": 1}, timeout=0.2) == {"y": 1}
    assert client.predict({"x": LARGE}) == {"y": 1}
    assert server.connections == 1


def test_a_client_can_be_used_after_a_deadline(serve, connect, http):
    server = serve(stall)
    client = connect(server)
    with bounded(0.1):
        client.predict({"x": 1}, timeout=0.1)
    server.script = http.echo()
    assert client.predict({"x": 1}) == {"x": 1}


def test_an_answer_in_time_is_not_late(serve, connect, http):
    def script(peer):
        peer.receive()
        time.sleep(0.1)
        peer.send(http.error(500, "NewKind"))

    with pytest.raises(ServerFailed):
        connect(serve(script), timeout=5).predict({"x": 1})


@pytest.mark.parametrize("way", ["straight", "by proxy"])
def test_the_work_given_up_ends_soon(way, serve, connect, monkeypatch):
    """Its thread is woken by the end of the connection, and keeps no batch alive."""
    server = serve(drip_headers)
    url = server.url
    if way == "by proxy":
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
        url = "http://model.invalid/m"
    with bounded(0.1):
        connect(url, timeout=0.1).predict({"x": 1})
    end = time.monotonic() + 2
    while any(thread.name == "eisen-client-call" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_nothing_of_the_batch_is_sent_after_the_deadline(serve, connect, monkeypatch):
    """The connection comes to be only after the call was given up."""
    real, begun = socket.getaddrinfo, threading.Event()

    def look_up(*args, **kwargs):
        begun.set()
        time.sleep(0.4)
        return real(*args, **kwargs)

    server = serve(stall)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with bounded(0.1):
        connect(server, timeout=0.1).predict({"x": 1})
    while any(thread.name == "eisen-client-call" for thread in threading.enumerate()):
        time.sleep(0.01)
    assert begun.is_set()
    assert server.seen == []


def test_a_stopped_exchange_takes_no_connection_and_sends_nothing():
    exchange = exchanges.Exchange(deadline.Deadline(5), BODY)
    upload = iter(exchanges.Upload(exchange))
    exchange.stop()
    with pytest.raises(deadline.Stopped):
        exchange.attach(SimpleNamespace(sock=None))
    with pytest.raises(deadline.Stopped):
        next(upload)


def test_a_stopped_exchange_does_not_touch_a_connection_in_use_by_another():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = SimpleNamespace(sock=ours)
        first, second = (exchanges.Exchange(deadline.Deadline(5), BODY) for _ in range(2))
        first.attach(connection)
        second.attach(connection)
        first.stop()
        ours.sendall(b"alive")
        assert theirs.recv(5) == b"alive"
        second.stop()
        assert theirs.recv(5) == b""


def test_a_deadline_that_has_passed_starts_nothing(serve, connect, http):
    server = serve(http.echo())
    with pytest.raises(DeadlineExceeded):
        connect(server).predict({"x": 1}, timeout=1e-9)
    assert server.seen == []


def test_what_the_work_raises_is_raised_where_the_caller_is():
    def fail():
        raise KeyError("reason")

    for seconds in (5, None):
        with pytest.raises(KeyError, match="reason"):
            deadline.run_until(deadline.Deadline(seconds), fail, lambda: None)


def test_an_interrupted_wait_stops_the_work():
    stopped = threading.Event()

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deadline.run_until(deadline.Deadline(5), lambda: stopped.wait(5), stopped.set, interrupt)
    assert stopped.is_set()


def test_work_that_begins_after_the_deadline_sends_nothing(serve, connect, http):
    server = serve(http.echo())
    call = calls.Call(BODY, deadline.Deadline(1e-9), "1", Retries(0))
    late = exchanges.Exchange(call.deadline, call.body)
    with pytest.raises(deadline.Expired):
        connect(server)._transport._run(late, call)
    assert server.connections == 0


def test_ctrl_c_ends_a_call_and_its_connection(serve, connect, ctrl_c):
    left = threading.Event()

    def script(peer):
        peer.receive()
        _thread.interrupt_main()
        peer.wait_for_close()
        left.set()

    client = connect(serve(script))
    with pytest.raises(KeyboardInterrupt):
        client.predict({"x": 1})
    assert left.wait(5)


@pytest.mark.parametrize(
    ("body", "sent", "complete", "executed"),
    [(BODY, 0, False, False), (BODY, 0, True, None), (BODY, 3, True, None)],
)
def test_a_body_whose_last_piece_is_under_way_may_be_executed(body, sent, complete, executed):
    exchange = exchanges.Exchange(deadline.Deadline(5), body)
    assert exchange.executed is False
    exchange.connected, exchange.sent, exchange.complete = True, sent, complete
    assert exchange.executed is executed


def test_the_error_says_what_a_late_call_may_have_done(serve, connect):
    client = connect(serve(stall))
    with bounded(0.1) as caught:
        client.predict({"x": 1}, timeout=0.1)
    assert (caught.value.stage, caught.value.executed, caught.value.retry) == (
        "waiting",
        None,
        False,
    )
    with bounded(0.1) as caught:
        client.get_metadata(timeout=0.1)
    assert caught.value.executed is False


def test_a_call_that_was_late_before_all_was_sent_may_be_made_again(serve, connect):
    def script(peer):
        peer.receive_head()
        time.sleep(LIMIT + 0.3)

    with bounded() as caught:
        connect(serve(script), timeout=LIMIT).predict({"x": LARGE})
    assert (caught.value.stage, caught.value.executed, caught.value.retry) == (
        "sending",
        False,
        True,
    )
