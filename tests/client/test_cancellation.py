"""A call ends soon after it is cancelled, whatever it is doing, and says what it may have done."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from eisen_deploy.client import Cancellation, Cancelled, DeadlineExceeded, InvalidInput, Retries

WAIT = 0.15
LARGE = np.zeros(64 * 2**20, np.uint8)


@contextmanager
def cancelled(cancel, after=WAIT):
    """Cancel from another thread, and expect the error soon after that."""
    moments = []

    def end():
        moments.append(time.monotonic())
        cancel.cancel()

    timer = threading.Timer(after, end)
    timer.start()
    with pytest.raises(Cancelled) as caught:
        yield caught
    assert 0 <= time.monotonic() - moments[0] < 0.5
    timer.join()


def stall(peer):
    peer.receive()
    peer.wait_for_close()


def do_not_read(peer):
    peer.receive_head()
    time.sleep(2 * WAIT)


def half_a_reply(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    peer.wait_for_close()


def drip(peer):
    peer.receive()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    peer.drip(b"{" * 1000, 0.02)


@pytest.mark.parametrize("timeout", [10, None])
@pytest.mark.parametrize(
    ("script", "value", "stage", "executed"),
    [
        (do_not_read, LARGE, "sending", False),
        (stall, 1, "waiting", None),
        (half_a_reply, 1, "receiving", None),
        (drip, 1, "receiving", None),
    ],
)
def test_cancelling_while_it_is_sent_or_answered(
    timeout, script, value, stage, executed, serve, connect
):
    server, cancel = serve(script), Cancellation()
    client = connect(server, timeout=timeout, retries=3)
    with cancelled(cancel) as caught:
        client.predict({"x": value}, cancel=cancel, idempotent=True)
    error = caught.value
    assert (error.stage, error.executed, error.retry) == (stage, executed, executed is False)
    assert ("nothing was executed" in str(error)) is (executed is False)
    assert server.connections == 1


def test_cancelling_while_connecting(connect):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        cancel = Cancellation()
        with cancelled(cancel) as caught:
            connect(f"http://127.0.0.1:{listener.getsockname()[1]}/m").predict({}, cancel=cancel)
        for sock in waiting:
            sock.close()
    assert (caught.value.stage, caught.value.executed) == ("connecting", False)


def test_cancelling_while_the_token_is_read(serve, connect, http):
    over, cancel, server = threading.Event(), Cancellation(), serve(http.echo())

    def read():
        over.wait(5)
        return "key"

    with cancelled(cancel) as caught:
        connect(server, token=read).predict({"x": 1}, cancel=cancel)
    over.set()
    assert (caught.value.stage, caught.value.executed) == ("preparing", False)
    while any(thread.name == "eisen-client-call" for thread in threading.enumerate()):
        time.sleep(0.01)
    assert server.connections == 0


@pytest.mark.parametrize("asked", [{}, {"Retry-After": "8"}])
def test_cancelling_between_two_attempts(asked, serve, connect, http):
    server, cancel = serve(http.always(http.reply(429, asked, b"busy"))), Cancellation()
    client = connect(server, retries=Retries(3, first_delay=8, random=lambda: 1.0))
    with cancelled(cancel) as caught:
        client.predict({"x": 1}, cancel=cancel)
    assert (caught.value.executed, caught.value.retry, caught.value.attempts) == (False, True, 1)
    assert "waiting to send again after ServerBusy" in str(caught.value)
    assert len(server.seen) == 1


def test_cancelling_between_two_attempts_of_which_one_may_have_run(serve, connect):
    cancel = Cancellation()
    server = serve(lambda peer: peer.receive())
    client = connect(server, retries=Retries(3, first_delay=8, random=lambda: 1.0))
    with cancelled(cancel, after=4 * WAIT) as caught:
        client.predict({"x": 1}, cancel=cancel, idempotent=True)
    assert (caught.value.executed, caught.value.retry) == (None, False)


def test_cancelling_while_the_metadata_is_asked_for(serve, connect):
    client = connect(serve(stall), True)
    for call in (client.get_metadata, lambda **options: client.predict({"x": 1}, **options)):
        cancel = Cancellation()
        with cancelled(cancel) as caught:
            call(cancel=cancel)
        assert caught.value.executed is False


def test_a_cancelled_call_does_not_begin(serve, connect, http):
    server, cancel = serve(http.echo()), Cancellation()
    cancel.cancel()
    for _ in range(2):
        with pytest.raises(Cancelled) as caught:
            connect(server).predict({"x": 1}, cancel=cancel)
        assert (caught.value.executed, caught.value.retry) == (False, True)
    assert server.connections == 0


def test_cancelling_after_the_call_changes_nothing(serve, connect, http):
    cancel, client = Cancellation(), connect(serve(http.echo()))
    assert client.predict({"x": 1}, cancel=cancel) == {"x": 1}
    assert not cancel.cancelled
    cancel.cancel()
    cancel.cancel()
    assert cancel.cancelled
    assert "cancelled=True" in repr(cancel)
    assert client.predict({"x": 2}) == {"x": 2}


def test_one_cancellation_ends_several_calls_of_several_clients(serve, connect):
    server, cancel, ended = serve(stall), Cancellation(), []

    def call(client):
        with pytest.raises(Cancelled):
            client.predict({"x": 1}, cancel=cancel)
        ended.append(time.monotonic())

    threads = [threading.Thread(target=call, args=(connect(server),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(server.seen) < 4:
        time.sleep(0.01)
    start = time.monotonic()
    cancel.cancel()
    for thread in threads:
        thread.join(5)
    assert len(ended) == 4
    assert max(ended) - start < 0.5


def test_a_call_without_it_goes_on(serve, connect, http):
    def script(peer):
        while (request := peer.receive()) is not None:
            time.sleep(3 * WAIT)
            peer.send(http.oip(request.decode().inputs))

    client, cancel, results = connect(serve(script)), Cancellation(), []
    other = threading.Thread(target=lambda: results.append(client.predict({"x": 1})))
    other.start()
    with cancelled(cancel):
        client.predict({"x": 2}, cancel=cancel)
    other.join()
    assert results == [{"x": 1}]


def test_the_connection_of_a_cancelled_call_is_shut(serve, connect):
    left = threading.Event()

    def script(peer):
        stall(peer)
        left.set()

    cancel = Cancellation()
    with cancelled(cancel):
        connect(serve(script)).predict({"x": 1}, cancel=cancel)
    assert left.wait(5)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no such timer")
def test_cancelling_from_a_signal_handler(serve, connect):
    cancel = Cancellation()
    before = signal.signal(signal.SIGALRM, lambda *_: cancel.cancel())
    try:
        signal.setitimer(signal.ITIMER_REAL, WAIT)
        with pytest.raises(Cancelled):
            connect(serve(stall)).predict({"x": 1}, cancel=cancel)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_deadline_still_ends_a_call_that_could_be_cancelled(serve, connect):
    with pytest.raises(DeadlineExceeded):
        connect(serve(stall)).predict({"x": 1}, cancel=Cancellation(), timeout=0.1)


def test_problems_of_a_batch_are_reported_all_the_same(connect):
    with pytest.raises(InvalidInput):
        connect("http://127.0.0.1:9/m").predict({"x": object()}, cancel=Cancellation())
